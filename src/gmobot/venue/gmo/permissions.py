"""Whether a key may open and close, found out without an order.

GMO Coin checks a key's permissions before it looks at the parameters. So a request that cannot be an order
tells: ERR-5012 says that the key may not, a complaint about the parameters that it may.

That it can never become an order does not rest on one parameter. Every one of them is impossible by itself:
a symbol that does not exist, a side that is none, an execution type that is none, a size of zero, and, for
a close, a position that cannot be. The bodies are constants: no caller can put anything into them.

Source: reference/gmo-coin-api.md §2 (permissions), §5.13 (ERR-5106 names the bad parameters), §9, §10.2.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gmobot.errors import FatalError, Refused
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.limits import Priority
from gmobot.venue.gmo.requester import Requester

_NOTHING: Final = {"symbol": "NO_SUCH_SYMBOL", "side": "NONE", "executionType": "NONE", "timeInForce": "NONE"}


class Permission(StrEnum):
    """What a key may be allowed, by the path that needs it."""

    OPEN = "/v1/order"
    CLOSE = "/v1/closeOrder"


_IMPOSSIBLE: Final = {
    Permission.OPEN: _NOTHING | {"size": "0"},
    Permission.CLOSE: _NOTHING | {"settlePosition": [{"positionId": 0, "size": "0"}]},
}
_COMPLAINTS: Final = frozenset({"ERR-70", "ERR-254", "ERR-5106", "ERR-5111", "ERR-5114", "ERR-5126", "ERR-5207"})
"""What an exchange says that has read the parameters. A path it does not know (ERR-5204) is not among them."""


class PermissionProbe(Requester):
    """Asks what cannot be done, to learn what might be."""

    async def allows(self, permission: Permission) -> bool:
        """Return whether the key has a permission.

        Raises:
            VenueError: It could not be found out.
            FatalError: The exchange took an impossible order. A person must look at once.
        """
        try:
            order_id = await self._post(
                permission.value, _IMPOSSIBLE[permission], Priority.READ, lambda envelope: wire.order_id(envelope.data)
            )
        except Refused as error:
            if error.code == "ERR-5012":
                return False
            if error.code in _COMPLAINTS:
                return True
            raise
        raise FatalError(f"{permission.value}: the exchange took an order without symbol, side and size as {order_id}; look at it now")

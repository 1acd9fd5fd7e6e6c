"""GMO Coin's REST API, typed: everything the daemon may ask and tell the exchange.

One method per endpoint. Moving money between accounts is not among them: that is ``transfers.py``, which
nothing the daemon consists of can import.

Source: reference/gmo-coin-api.md §1–§5.
"""

from __future__ import annotations

import msgspec

from gmobot.secrets import Secret
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.account import AccountEndpoints
from gmobot.venue.gmo.limits import Priority
from gmobot.venue.gmo.orders import OrderEndpoints
from gmobot.venue.gmo.public import PublicEndpoints
from gmobot.venue.gmo.requester import ONCE, Call, Repetition, RequestRecord, accepted

__all__ = ["ONCE", "GmoRest", "Repetition", "RequestRecord"]


class GmoRest(PublicEndpoints, AccountEndpoints, OrderEndpoints):
    """The REST half of the client."""

    async def create_token(self) -> Secret:
        """Create a token for the private stream, good for sixty minutes; a sixth one ends the oldest."""
        call = Call("POST", "/private", "/v1/ws-auth", "", b"{}", Priority.ORDER)
        return await self._call(call, lambda envelope: Secret(wire.token(envelope.data)))

    async def extend_token(self, token: Secret) -> None:
        """Give a token another sixty minutes."""
        await self._call(_about(token, "PUT"), accepted)

    async def revoke_token(self, token: Secret) -> None:
        """Revoke a token."""
        await self._call(_about(token, "DELETE"), accepted)


def _about(token: Secret, method: str) -> Call:
    body = msgspec.json.encode({"token": token.reveal().decode()})
    return Call(method, "/private", "/v1/ws-auth", "", body, Priority.ORDER, token)

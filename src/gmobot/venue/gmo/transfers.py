"""Moving yen between the crypto and the FX account: for a person at a terminal, never for the daemon.

It is a class of its own so that no object the daemon is given can do it; ``lint-imports`` proves that
nothing in ``live/`` reaches this module.

Source: reference/gmo-coin-api.md §5.6.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from gmobot.venue.gmo import wire
from gmobot.venue.gmo.limits import Priority
from gmobot.venue.gmo.requester import Requester


class TransferDirection(StrEnum):
    """The wire's words; which way each goes is documented nowhere beyond doubt (§5.6: assumed)."""

    TO_FX = "WITHDRAWAL"
    FROM_FX = "DEPOSIT"


class TransferClient(Requester):
    """Transfers; the exchange takes one in three minutes."""

    async def transfer(self, amount_jpy: int, direction: TransferDirection) -> Decimal:
        """Move yen and return how much was moved.

        Raises:
            Refused: Definitive; ERR-754 says that there is not so much, ERR-5003 that it is too soon.
            NotSent: Definitive.
            OutcomeUnknown: It may have been done: look at the balance, never repeat.
        """
        body = {"amount": str(amount_jpy), "transferType": direction.value}
        return await self._post("/v1/account/transfer", body, Priority.ORDER, _moved)


def _moved(envelope: wire.Envelope) -> Decimal:
    return sum((row.model() for row in wire.decode(envelope.data, tuple[wire.TransferData, ...])), Decimal(0))

"""A flow: something that came or went other than by our trading. The value alone; ``live/cash.py`` books it."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One flow.

    Attributes:
        key: What it is known by for good: booked once, whoever tells of it, however often.
        kind: A :class:`gmobot.live.cash.FlowKind`.
        asset: ``JPY`` or a coin.
        amount: By how much the balance of a coin changed; of yen see ``yen_uyen``.
        yen_uyen: By how much the balance of yen changed.
        symbol: The symbol that was traded, or whose position a fee was for; empty for none of ours.
        at_ns: When, by the exchange's clock.
        evidence: What says so.
        price: What coins went for, where that is known; not kept.
    """

    key: str
    kind: str
    asset: str
    amount: Decimal
    yen_uyen: int
    at_ns: int
    evidence: str
    symbol: str = ""
    price: Decimal | None = None

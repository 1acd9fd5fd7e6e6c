"""What the store takes besides orders and fills."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something for the audit log."""

    name: str
    fields: dict[str, Any]


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one symbol's decision core stands after its last bar.

    Attributes:
        program: What gives the state its meaning, as :meth:`Program.state_key` tells it.
    """

    symbol: str
    program: str
    bar_open_ns: int
    state: bytes
    desired: str


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the core, with what came of it; or a word that was exchanged about an order.

    Attributes:
        ref: What it belongs to: a bar's open time, an intent's number. 0 for nothing.
    """

    kind: str
    symbol: str
    payload: str
    ref: int = 0


class ClosedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A trading day as its last moment left it.

    Attributes:
        day: Its number (:func:`gmobot.clock.trading_day`).
        equity_uyen: Everything ours, at the market.
        profit_uyen: What trading brought of it since the day began.
        drawdown: Share of the peak, 0 to 1.
        positions: Coins by symbol, as decimal strings; only what is held.
    """

    day: int
    closed_ns: int
    equity_uyen: int
    profit_uyen: int
    drawdown: float
    positions: dict[str, str]

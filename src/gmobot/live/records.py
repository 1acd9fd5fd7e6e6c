"""What the store takes besides orders and fills."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something for the audit log."""

    name: str
    fields: dict[str, Any]


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one symbol's decision core stands after its last bar."""

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

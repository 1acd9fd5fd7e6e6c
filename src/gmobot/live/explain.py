"""Why an order exists and what became of it, from the state database alone: bar, decision, intent, words, fills."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from gmobot.clock import iso_utc
from gmobot.core.instrument import to_yen
from gmobot.core.reasons import names
from gmobot.errors import UserError
from gmobot.live.intents import Fill, Intent
from gmobot.live.reading import reading
from gmobot.live.recording import Bar, Start

_BAR = """
SELECT seq, run_id, payload FROM journal WHERE ref = ? AND kind = 'bar' AND symbol = ?
AND seq < (SELECT COALESCE(MIN(seq), 1 << 62) FROM journal WHERE ref = ? AND kind IN ('request', 'order')) ORDER BY seq DESC LIMIT 1
"""
"""The bar an order was decided on: a later run may have read the same one again, to warm up."""
_START = "SELECT payload FROM journal WHERE kind = 'start' AND symbol = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"
_WORDS = "SELECT at_ns, kind, payload FROM journal WHERE ref = ? AND kind IN ('request', 'reply', 'order') ORDER BY seq"
_ACTIONS = {1: "buy", -1: "sell", 0: "hold"}


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said to or by the exchange (``request``, ``reply``), or where the order stood then (``order``)."""

    at: str
    kind: str
    said: Any


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story of an order. Sizes in coins, prices and money in yen, as text.

    Attributes:
        order: The intent and where it stands.
        run_id: The run that decided.
        bar: The bar it was decided at; ``None`` when no decision asked for the order, or it is not kept.
        account: The account as the core saw it.
        indicators: What the strategy remembered after that bar.
        decision: What the strategy and the engine said.
        desired: The state that the order manager was to bring about.
        words: Requests and replies.
        fills: What was executed.
        missing: What of all this is not known, and why.
    """

    order: dict[str, Any]
    run_id: str | None
    bar: dict[str, Any] | None
    account: dict[str, Any] | None
    indicators: dict[str, float]
    decision: dict[str, Any] | None
    desired: dict[str, Any] | None
    words: list[Word]
    fills: list[dict[str, Any]]
    missing: list[str]


class _Scale:
    """A symbol's ticks and lots in yen and coins; as plain numbers where they are not known."""

    def __init__(self, start: Start | None) -> None:
        self._tick = Decimal(start.tick_size) if start else Decimal(1)
        self._step = Decimal(start.size_step) if start else Decimal(1)

    def price(self, ticks: int) -> str | None:
        return f"{ticks * self._tick:f}" if ticks else None

    def size(self, lots: int) -> str:
        return f"{lots * self._step:f}"


def explain(database: Path, number: int) -> Explanation:
    """Tell the story of an order.

    Args:
        database: The state database; a daemon may be running on it.
        number: The exchange's order id, or our own intent number.

    Raises:
        UserError: No order of ours has this number.
    """
    with closing(reading(database)) as db:
        intent = _intent(db, number)
        asked = (intent.decision_id, intent.symbol, intent.intent_id)
        found = db.execute(_BAR, asked).fetchone() if intent.decision_id else None
        seq, run_id, payload = found or (1 << 62, None, None)
        began = db.execute(_START, (intent.symbol, seq)).fetchone()
        start = msgspec.json.decode(began[0], type=Start) if began else None
        bar = msgspec.json.decode(payload, type=Bar) if payload else None
        words = [_word(*row) for row in db.execute(_WORDS, (intent.intent_id,))]
        fills = [
            msgspec.convert(row, Fill) for row in _rows(db, "SELECT * FROM fills WHERE intent_id = ? ORDER BY at_ns", intent.intent_id)
        ]
    scale = _Scale(start)
    return Explanation(
        order=_order(intent, scale),
        run_id=run_id,
        bar=_bar(bar, scale) if bar else None,
        account=_account(bar, scale) if bar else None,
        indicators=bar.state if bar else {},
        decision=_decision(bar, start.reasons if start else ()) if bar else None,
        desired=_desired(bar, scale) if bar else None,
        words=words,
        fills=[_fill(fill, scale) for fill in fills],
        missing=_missing(intent, bar, start, words),
    )


def lines(story: Explanation) -> list[str]:
    """Return a story for people, in the order in which it happened."""
    order = story.order
    title = f"order {order['order_id'] or '-'} (intent {order['intent_id']})"
    out = [f"{title}: {order['purpose']} {order['side']} {order['size']} {order['symbol']}"]
    parts = (
        ("bar", story.bar),
        ("account", story.account),
        ("indicators", story.indicators),
        ("decision", story.decision),
        ("desired", story.desired),
        ("intent", order),
    )
    out += [f"{name:<12}{_flat(part)}" for name, part in parts if part]
    out += [f"{word.kind:<12}{word.at}  {_flat(word.said)}" for word in story.words]
    out += [f"{'fill':<12}{_flat(fill)}" for fill in story.fills]
    out.append(
        f"{'outcome':<12}{order['state']}, {order['executed_size']} of {order['size']} executed"
        + (f": {order['detail']}" if order["detail"] else "")
    )
    return out + [f"{'not known':<12}{text}" for text in story.missing]


def _intent(db: sqlite3.Connection, number: int) -> Intent:
    query = "SELECT * FROM intents WHERE order_id = ? OR intent_id = ? ORDER BY order_id IS ? DESC LIMIT 1"
    found = _rows(db, query, number, number, number) if 0 < number < 1 << 63 else []
    if not found:
        raise UserError(f"no order of ours has the number {number}; `gmobot audit search --event order_intent` lists them")
    return msgspec.convert(found[0], Intent)


def _word(at_ns: int, kind: str, payload: str) -> Word:
    word = json.loads(payload)
    if kind == "order":
        return Word(at=iso_utc(at_ns), kind=kind, said={name: word[name] for name in ("state", "executed_lots", "detail") if word[name]})
    return Word(at=iso_utc(word["at_ns"]), kind=kind, said=word["said"])


def _order(intent: Intent, scale: _Scale) -> dict[str, Any]:
    return {
        "intent_id": intent.intent_id,
        "order_id": intent.order_id,
        "symbol": intent.symbol,
        "purpose": intent.purpose.value,
        "side": intent.side.value,
        "type": intent.type.value,
        "settle": intent.settle.value,
        "time_in_force": intent.time_in_force.value,
        "size": scale.size(intent.lots),
        "price": scale.price(intent.price),
        "created_at": iso_utc(intent.created_ns),
        "updated_at": iso_utc(intent.updated_ns),
        "state": intent.state.value,
        "executed_size": scale.size(intent.executed_lots),
        "detail": intent.detail,
    }


def _bar(row: Bar, scale: _Scale) -> dict[str, Any]:
    bar = row.bar
    prices = {name: scale.price(bar[name]) for name in ("open", "high", "low", "close")}
    return {"at": iso_utc(bar["open_time"]), **prices, "volume": scale.size(bar["volume"]), "flags": bar["flags"]}


def _account(row: Bar, scale: _Scale) -> dict[str, Any]:
    account = row.account
    money = {name.removesuffix("_uyen") + "_jpy": str(to_yen(value)) for name, value in account.items() if name.endswith("_uyen")}
    return {
        "position": scale.size(account["position"]),
        "pending": scale.size(account["pending"]),
        "halted": bool(account["halted"]),
        **money,
    }


def _decision(row: Bar, own_reasons: Sequence[str]) -> dict[str, Any]:
    said = row.desired
    return {
        "action": _ACTIONS[int(said["action"])],
        "confidence": float.fromhex(str(said["confidence"])),
        "reason_codes": names(int(said["reasons"]), own_reasons),
        "risk_status": said["risk_status"],
    }


def _desired(row: Bar, scale: _Scale) -> dict[str, Any]:
    said = row.desired
    return {
        "target": scale.size(int(said["target"])),
        "stop": scale.price(int(said["stop"])),
        "take_profit": scale.price(int(said["take_profit"])),
        "max_holding_bars": said["max_holding_bars"],
    }


def _fill(fill: Fill, scale: _Scale) -> dict[str, Any]:
    return {
        "execution_id": fill.execution_id,
        "at": iso_utc(fill.at_ns),
        "size": scale.size(fill.lots),
        "price": scale.price(fill.ticks),
        "fee_jpy": str(to_yen(fill.fee_uyen)),
    }


def _missing(intent: Intent, bar: Bar | None, start: Start | None, words: Sequence[Word]) -> list[str]:
    missing = []
    if not intent.decision_id:
        missing.append("no decision of ours asked for this order")
    elif bar is None:
        missing.append("the bar it was decided at is not in the journal any more (state.journal_days)")
    if start is None:
        missing.append("tick and lot of the symbol: prices and sizes are shown in ticks and lots")
    if intent.decision_id and not any(word.kind == "request" for word in words):
        missing.append("requests and replies are not in the journal any more")
    return missing


def _flat(part: object) -> str:
    if isinstance(part, dict):
        return "  ".join(f"{key}={_flat(value)}" for key, value in part.items() if value is not None)
    if isinstance(part, list):
        return ",".join(str(item) for item in part) or "-"
    return f"{part:.10g}" if isinstance(part, float) else str(part)


def _rows(db: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    cursor = db.execute(query, values)
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]

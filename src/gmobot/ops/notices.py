"""Which audit events people are told of, how badly they matter, and in which words: one table.

Everything here is pure. A field that an event lacks reads as ``?``: a notice with a hole is better than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from typing import Any, Final

from gmobot.ops import words
from gmobot.ops.audit import AuditEvent
from gmobot.ops.words import Language, Said, reason, said


class Severity(IntEnum):
    """How badly somebody must look."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2
    """It passes in quiet hours."""

    @classmethod
    def named(cls, name: str) -> Severity:
        """Return the one that a configuration names."""
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told of one event.

    Attributes:
        key: What it is about. Of several notices with the same key in a short time the first is told and the last.
        hold_seconds: How short that time is; 0 tells every one.
        is_state: Whether it tells how something now is: the last one counts, and one like the former is no news.
    """

    severity: Severity
    key: str
    text: Said
    hold_seconds: float = 0.0
    is_state: bool = False

    def in_(self, language: Language) -> str:
        """Return its words."""
        return self.text.in_(language)


INFO, WARNING, CRITICAL = Severity
_LONG: Final = 600.0
_SHORT: Final = 60.0
_MOST_CHARACTERS: Final = 300
"""Of one field: what an exchange or a strategy says may be long."""


class Fields(dict[str, Any]):
    """An event's fields; what is not there reads as ``?``."""

    def __missing__(self, key: str) -> str:
        return "?"

    def text(self, key: str) -> str:
        """Return a field as one short line."""
        line = " ".join(str(self[key]).split())
        return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"

    def behind(self, key: str, before: str = " / ") -> str:
        """Return a field as what follows the words, nothing when it is not there or empty."""
        return f"{before}{self.text(key)}" if self.get(key) not in (None, "", [], {}) else ""


def notice(event: str, fields: Mapping[str, Any]) -> Notice | None:
    """Return what is told of an event, ``None`` for nothing."""
    tell = TABLE.get(event)
    return tell(Fields(fields)) if tell is not None else None


def yen(value: object, *, signed: bool = False) -> str:
    """Return an amount with thousands set apart; what is no amount, as it is."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    plain = amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount.normalize()
    return f"{plain:{'+' if signed else ''},f}"


def _order(fields: Fields) -> Said:
    side, purpose = said(words.SIDES, fields["side"]), said(words.PURPOSES, fields["purpose"])
    price = f" @ {yen(fields['price'])}" if "price" in fields else ""
    number = f" (order {fields['order_id']})" if "order_id" in fields else f" (intent {fields['intent_id']})"
    what = f"{fields['symbol']} {{}} {fields['size']}{price}"
    return Said(f"{what.format(side.ja)}・{purpose.ja}{number}", f"{what.format(side.en)}, {purpose.en}{number}")


def _run_started(fields: Fields) -> Notice:
    how = f"{fields['mode']}{fields.behind('environment')}{fields.behind('source')}"
    return Notice(INFO, "run_started", Said(f"起動しました（{how}）", f"started ({how})"), _SHORT)


def _run_stopped(fields: Fields) -> Notice:
    why = reason(fields["reason"])
    return Notice(INFO, "run_stopped", Said(f"停止しました: {why.ja}", f"stopped: {why.en}"), _SHORT)


def _config_loaded(fields: Fields) -> Notice | None:
    """Only a change of the exchange's rules; that the configuration was loaded is part of every start."""
    if "reason" not in fields:
        return None
    why, changes = reason(fields["reason"]), {k: v for k, v in fields.items() if k not in ("reason", "symbol")}
    detail = Fields(changes=changes).behind("changes")
    return Notice(
        WARNING, f"rules:{fields['symbol']}", Said(f"{fields['symbol']}: {why.ja}{detail}", f"{fields['symbol']}: {why.en}{detail}")
    )


def _armed(_: Fields) -> Notice:
    return Notice(WARNING, "command:armed", words.COMMANDS["armed"])


def _preflight(fields: Fields) -> Notice | None:
    if fields.get("state") != "failed":
        return None
    what = f"{fields['check']}{fields.behind('detail', ': ')}"
    return Notice(
        WARNING, f"preflight:{fields['check']}", Said(f"事前確認に失敗しました: {what}", f"a preflight check failed: {what}"), _LONG
    )


def _rejected(fields: Fields) -> Notice:
    what, detail = _order(fields), fields.behind("detail")
    text = Said(f"注文が成立しませんでした: {what.ja}{detail}", f"order rejected: {what.en}{detail}")
    return Notice(WARNING, f"rejected:{fields['symbol']}:{fields['purpose']}", text, _SHORT)


def _unknown(fields: Fields) -> Notice:
    what, detail = _order(fields), fields.behind("detail")
    text = Said(
        f"注文の結果が分かりません（確認中）: {what.ja}{detail}", f"outcome of an order unknown, being looked for: {what.en}{detail}"
    )
    return Notice(CRITICAL, f"unknown:{fields['intent_id']}", text, _LONG)


def _resolved(fields: Fields) -> Notice:
    what, state = _order(fields), said(words.ORDER_STATES, fields["state"])
    text = Said(f"注文の結果が分かりました: {what.ja} → {state.ja}", f"outcome of an order known: {what.en} → {state.en}")
    return Notice(WARNING, f"resolved:{fields['intent_id']}", text)


def _fill(fields: Fields) -> Notice:
    what, fee = _order(fields), yen(fields["fee_jpy"])
    severity = WARNING if fields["purpose"] == "forced" else INFO
    text = Said(f"約定: {what.ja} 手数料 {fee} 円", f"fill: {what.en}, fee {fee} JPY")
    return Notice(severity, f"fill:{fields['execution_id']}", text)


def _cash_flow(fields: Fields) -> Notice:
    kind, amount = said(words.FLOWS, fields["kind"]), f"{fields['asset']} {yen(fields['amount'], signed=True)}"
    money = "" if fields["asset"] == "JPY" else f" / {yen(fields['yen'], signed=True)} JPY"
    severity = INFO if fields["kind"] in ("deposit", "withdrawal", "withdrawal_fee", "leverage_fee", "exchange_fee") else WARNING
    text = Said(f"入出金: {kind.ja} {amount}{money}", f"cash flow: {kind.en} {amount}{money}")
    return Notice(severity, f"flow:{fields['kind']}:{fields['asset']}", text, _SHORT)


def _risk(fields: Fields) -> Notice:
    status, codes = fields["status"], fields.get("reason_codes") or []
    state, why = said(words.RISK, status), [reason(code) for code in codes]
    text = Said(
        ": ".join([state.ja, "、".join(w.ja for w in why)][: 1 + bool(why)]),
        ": ".join([state.en, ", ".join(w.en for w in why)][: 1 + bool(why)]),
    )
    severity = {"ok": INFO, "degraded": WARNING}.get(str(status), CRITICAL)
    return Notice(severity, "risk", text, 0.0 if severity is CRITICAL else _SHORT, is_state=True)


def _monitor(fields: Fields) -> Notice:
    status, detail = fields["status"], fields.behind("detail")
    state = said(words.MONITOR, status)
    severity = {"active": INFO, "reconnecting": WARNING}.get(str(status), CRITICAL)
    hold = 0.0 if severity is CRITICAL else _SHORT
    return Notice(severity, "monitor", Said(f"{state.ja} ({status}){detail}", f"{state.en} ({status}){detail}"), hold, is_state=True)


def _command(fields: Fields) -> Notice:
    command, source = fields["command"], fields["source"]
    what = said(words.COMMANDS, command)
    by_hand = source not in ("guard", "alarm")
    severity = INFO if command == "resume" else WARNING if command in ("pause", "armed") else CRITICAL
    why = reason(fields["reason"]) if command in ("halt", "close", "flatten") and not by_hand else Said("", "")
    text = Said(f"{what.ja}{': ' if why.ja else ''}{why.ja} [{source}]", f"{what.en}{': ' if why.en else ''}{why.en} [{source}]")
    return Notice(severity, f"command:{command}", text)


_ERRORS: Final[Mapping[str, Severity]] = {
    "position_unprotected": CRITICAL,
    "order_outcome_unknown": CRITICAL,
    "wallet_drift_exceeded": CRITICAL,
    "exchange_error": CRITICAL,
    "foreign_order": CRITICAL,
    "state_unwritable": CRITICAL,
    "state_restored": CRITICAL,
    "strategy_timeout": CRITICAL,
    "rules_changed": CRITICAL,
}
"""Reasons for which somebody must look now; every other one is a warning."""


def _error(fields: Fields) -> Notice:
    code, symbol = str(fields["reason"]), f"{fields['symbol']}: " if "symbol" in fields else ""
    why = reason(code)
    more = "".join(fields.behind(name) for name in ("detail", "order_id", "positions", "evidence", "run", "source"))
    cause = said(words.CAUSES, fields.get("cause", ""))
    seconds = fields.get("seconds")
    lasting = Said(f" / {cause.ja}（{seconds} 秒）", f" / {cause.en} ({seconds} s)") if seconds is not None else Said("", "")
    text = Said(f"{symbol}{why.ja}{lasting.ja}{more}", f"{symbol}{why.en}{lasting.en}{more}")
    lasts = code == "state_unwritable"
    return Notice(_ERRORS.get(code, WARNING), f"error:{code}:{symbol}", text, _SHORT if lasts else _LONG, is_state=lasts)


TABLE: Final[Mapping[str, Callable[[Fields], Notice | None]]] = {
    AuditEvent.RUN_STARTED: _run_started,
    AuditEvent.RUN_STOPPED: _run_stopped,
    AuditEvent.CONFIG_LOADED: _config_loaded,
    AuditEvent.ARMED: _armed,
    AuditEvent.PREFLIGHT_RESULT: _preflight,
    AuditEvent.ORDER_REJECTED: _rejected,
    AuditEvent.ORDER_OUTCOME_UNKNOWN: _unknown,
    AuditEvent.ORDER_RESOLVED: _resolved,
    AuditEvent.FILL: _fill,
    AuditEvent.CASH_FLOW: _cash_flow,
    AuditEvent.RISK_STATUS_CHANGED: _risk,
    AuditEvent.MONITOR_STATUS_CHANGED: _monitor,
    AuditEvent.CONTROL_COMMAND: _command,
    AuditEvent.ERROR: _error,
}
"""Event to words. What is not here is for the audit log alone."""
SILENT: Final = frozenset(AuditEvent) - frozenset(TABLE)

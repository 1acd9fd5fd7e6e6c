"""What happens, told as it happens: every audit event becomes a line of the program's log.

So the terminal and ``docker-compose logs`` show a run's life, and nothing decides twice what is worth
telling. A bar on which nothing changed is told once a minute: enough to see that the bot is awake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog

from gmobot.clock import NS_PER_SECOND
from gmobot.ops.audit import AuditEvent, AuditLog

_QUIET_NS: Final = 60 * NS_PER_SECOND
_LOUD: Final = frozenset({AuditEvent.ERROR, AuditEvent.ORDER_REJECTED, AuditEvent.ORDER_OUTCOME_UNKNOWN})
_WORDLESS: Final[tuple[object, ...]] = (None, "", [], {})
log = structlog.get_logger("gmobot.bot")


class Narrator:
    """An audit log that is also told."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._told: dict[str, tuple[object, int]] = {}

    @property
    def last_seq(self) -> int:
        """Sequence number of the last whole line on disk, 0 for none."""
        return self._audit.last_seq

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event and tell it; one at or below ``last_seq`` was both already."""
        news = seq > self._audit.last_seq
        self._audit.append(seq, ts_ns, run_id, event, fields)
        if news and self._is_worth_telling(ts_ns, event, fields):
            tell = log.warning if event in _LOUD else log.info
            tell(event, **{_key(name): value for name, value in fields.items() if value not in _WORDLESS})

    def _is_worth_telling(self, ts_ns: int, event: str, fields: Mapping[str, Any]) -> bool:
        if event != AuditEvent.DECISION:
            return True
        symbol = str(fields.get("symbol"))
        said = (fields.get("action"), fields.get("reason_codes"), fields.get("target_size"))
        before, at_ns = self._told.get(symbol, (None, 0))
        if said == before and ts_ns - at_ns < _QUIET_NS:
            return False
        self._told[symbol] = (said, ts_ns)
        return True


def _key(name: str) -> str:
    """Return a field's name as structlog takes it: ``event`` is the line's own."""
    return "event_" if name == "event" else name

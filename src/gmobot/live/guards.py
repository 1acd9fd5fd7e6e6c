"""The latches and guards of the account: what forbids new exposure now, and what closes everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gmobot.clock import NS_PER_SECOND
from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.reasons import names
from gmobot.core.records import RISK_ABORT, RISK_DEGRADED, RISK_OK
from gmobot.core.risk import assess
from gmobot.live.account import Account
from gmobot.live.desk import Desk
from gmobot.live.intents import Latch
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.supervisor import MonitorStatus, Supervisor

_assess = uncompiled(assess)
STATUS_NAMES = {RISK_OK: "ok", RISK_DEGRADED: "degraded", RISK_ABORT: "abort"}


class Guards:
    """Judges the account between bars and keeps what an operator must take back.

    Attributes:
        status: Worst of all symbols: ok, degraded or abort.
        reasons: Reason codes behind it.
        skew_seconds: The exchange's clock minus ours.
    """

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        state_directory: Path,
        *,
        latches: Mapping[Latch, str],
        min_free_disk_bytes: int,
        max_clock_skew_seconds: float,
        close_on_abort: bool,
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._directory = state_directory
        self._latches = dict(latches)
        self._min_free = min_free_disk_bytes
        self._max_skew = max_clock_skew_seconds
        self._close_on_abort = close_on_abort
        self._closed_trades: dict[str, int] = {}
        self.status = RISK_OK
        self.reasons: list[str] = []
        self.skew_seconds = 0.0
        self.disk_free_bytes = 0

    @property
    def halted(self) -> bool:
        """Whether a halt is latched."""
        return Latch.HALT in self._latches

    @property
    def paused(self) -> bool:
        """Whether an operator paused new exposure."""
        return Latch.PAUSE in self._latches

    @property
    def closing(self) -> bool:
        """Whether everything we own must be closed."""
        return Latch.CLOSE in self._latches

    @property
    def halt_reason(self) -> str | None:
        """Why the halt was latched."""
        return self._latches.get(Latch.HALT)

    def armed(self, config_hash: str) -> bool:
        """Return whether an operator acknowledged exactly this configuration."""
        return self._latches.get(Latch.ARMED) == config_hash

    async def set(self, latch: Latch, reason: str, *, source: str) -> None:
        """Latch something, durably."""
        if self._latches.get(latch) == reason:
            return
        self._latches[latch] = reason
        await self._store.latch(latch, reason, [Event("control_command", {"command": latch.value, "reason": reason, "source": source})])

    async def release(self, latches: Iterable[Latch], *, source: str) -> None:
        """Take latches back, durably."""
        gone = [latch for latch in latches if self._latches.pop(latch, None) is not None]
        if gone:
            event = Event("control_command", {"command": "resume", "released": [latch.value for latch in gone], "source": source})
            await self._store.unlatch(gone, [event])

    def entry_bar(self, desks: Iterable[Desk], unknown: int) -> str | None:
        """Return the reason code that forbids new exposure now, or ``None``."""
        checks: tuple[tuple[str, Callable[[], bool]], ...] = (
            ("operator_halt", lambda: self.halted),
            ("operator_pause", lambda: self.paused),
            ("exchange_maintenance", lambda: self._supervisor.maintenance),
            ("stream_stale", lambda: self._supervisor.status is not MonitorStatus.ACTIVE),
            ("order_outcome_unknown", lambda: unknown > 0),
            ("clock_skew", lambda: abs(self.skew_seconds) > self._max_skew),
            ("disk_low", lambda: self.disk_free_bytes < self._min_free),
            ("strategy_timeout", lambda: any(desk.decisions.hung for desk in desks)),
            ("state_unwritable", lambda: self._store.trouble is not None),
            ("position_unprotected", lambda: any(desk.protection.alarmed for desk in desks)),
        )
        named = next((name for name, holds in checks if holds()), None)
        return named or next(iter(self.reasons), None)

    def look_around(self, server_offset_ns: int) -> None:
        """Measure clock and disk."""
        self.skew_seconds = server_offset_ns / NS_PER_SECOND
        self.disk_free_bytes = shutil.disk_usage(self._directory).free

    async def assess(self, account: Account, desks: Mapping[str, Desk]) -> None:
        """Judge the account at the latest prices; an abort latches a halt."""
        status, bits = RISK_OK, 0
        for symbol, desk in desks.items():
            price = desk.market.mark()
            if not price:
                continue
            record: Any = PlainRecord(account.record(symbol, halted=self.halted)[0])
            news = record.closed_trades > self._closed_trades.setdefault(symbol, int(record.closed_trades))
            self._closed_trades[symbol] = int(record.closed_trades)
            found, reasons = _assess(record, desk.limits, price, news)
            status, bits = max(status, int(found)), bits | int(reasons)
        await self._take(status, names(bits))

    async def _take(self, status: int, reasons: list[str]) -> None:
        changed = (status, reasons) != (self.status, self.reasons)
        self.status, self.reasons = status, reasons
        if changed:
            await self._store.emit([Event("risk_status_changed", {"status": STATUS_NAMES[status], "reason_codes": reasons})])
        if status == RISK_ABORT and not self.halted:
            await self.set(Latch.HALT, reasons[0], source="guard")
            if self._close_on_abort:
                await self.set(Latch.CLOSE, reasons[0], source="guard")

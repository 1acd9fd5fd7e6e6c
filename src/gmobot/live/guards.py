"""The latches and guards of the account: what forbids new exposure now, and what closes everything."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from gmobot.clock import NS_PER_SECOND
from gmobot.core.compiled import uncompiled
from gmobot.core.reasons import names
from gmobot.core.records import RISK_ABORT, RISK_DEGRADED, RISK_OK
from gmobot.core.risk import ABORTING, assess
from gmobot.errors import StoreError
from gmobot.live.account import Account
from gmobot.live.desk import Desk
from gmobot.live.intents import Latch
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.supervisor import MonitorStatus, Supervisor

_assess = uncompiled(assess)
JUDGED = "judged:"
"""What the numbers of judged trades are kept under."""
_RESUME = "nothing is opened until gmobot resume --acknowledge, or until an exit is accepted"
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
        judged: Mapping[str, int],
        min_free_disk_bytes: int,
        max_clock_skew_seconds: float,
        close_on_abort: bool,
        circuit_open: Callable[[], bool],
    ) -> None:
        """Make the guards of one run.

        Args:
            store: Where latches are kept.
            supervisor: Knows whether the way to the exchange is whole.
            state_directory: Whose disk must have room.
            latches: As the last run left them.
            judged: By symbol: how many closed trades were judged so far.
            min_free_disk_bytes: How much room.
            max_clock_skew_seconds: How far our clock may be off.
            close_on_abort: Whether an abort closes what we own.
            circuit_open: Returns whether the exchange refused too many orders in a row.
        """
        self._circuit_open = circuit_open
        self._circuit_told = False
        self._store = store
        self._supervisor = supervisor
        self._directory = state_directory
        self._latches = dict(latches)
        self._unwritten: dict[Latch, Event] = {}
        self._turn = asyncio.Lock()
        self._min_free = min_free_disk_bytes
        self._max_skew = max_clock_skew_seconds
        self._close_on_abort = close_on_abort
        self._judged = dict(judged)
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
        """Latch something at once; it is durable when this returns.

        Raises:
            StoreError: It holds, and could be written nowhere yet: :meth:`keep` tries again.
        """
        if self._latches.get(latch) != reason:
            self._latches[latch] = reason
            self._unwritten[latch] = Event("control_command", {"command": latch.value, "reason": reason, "source": source})
        await self._write()

    async def keep(self) -> None:
        """Write what holds and could not be written before, if that can be done now."""
        with contextlib.suppress(StoreError):
            await self._write()

    async def _write(self) -> None:
        # Who asks for what is being written waits for it: a command that returns is kept.
        async with self._turn:
            while self._unwritten:
                latch, event = next(iter(self._unwritten.items()))
                await self._store.latch(latch, self._latches[latch], [event])
                if self._unwritten[latch] is event:
                    del self._unwritten[latch]

    async def release(self, latches: Iterable[Latch], *, source: str) -> None:
        """Take latches back, durably.

        Raises:
            StoreError: It could be written nowhere: they hold as before.
        """
        async with self._turn:
            gone = {latch: self._latches.pop(latch) for latch in latches if latch in self._latches}
            if not gone:
                return
            event = Event("control_command", {"command": "resume", "released": [latch.value for latch in gone], "source": source})
            try:
                await self._store.unlatch(list(gone), [event])
            except StoreError:
                self._latches = gone | self._latches
                raise
            for latch in gone.keys() - self._latches.keys():
                # What was latched anew meanwhile is still to be written.
                self._unwritten.pop(latch, None)

    def entry_bar(self, desks: Iterable[Desk], unknown: int) -> str | None:
        """Return the reason code that forbids new exposure now, or ``None``."""
        return next(self._bars(desks, unknown), None)

    def _bars(self, desks: Iterable[Desk], unknown: int) -> Iterator[str]:
        """Yield everything that forbids it, what an operator should be told first at the front."""
        if self.halted:
            yield "operator_halt"
        if self.paused:
            yield "operator_pause"
        if self._supervisor.maintenance:
            yield "exchange_maintenance"
        if self._supervisor.status is not MonitorStatus.ACTIVE:
            yield "stream_stale"
        if unknown > 0:
            yield "order_outcome_unknown"
        if abs(self.skew_seconds) > self._max_skew:
            yield "clock_skew"
        if self.disk_free_bytes < self._min_free:
            yield "disk_low"
        if any(desk.decisions.hung for desk in desks):
            yield "strategy_timeout"
        if self._store.trouble is not None:
            yield "state_unwritable"
        if any(desk.protection.alarmed for desk in desks):
            yield "position_unprotected"
        if self._circuit_open():
            yield "reject_circuit_open"
        yield from self.reasons

    def look_around(self, server_offset_ns: int) -> None:
        """Measure clock and disk."""
        self.skew_seconds = server_offset_ns / NS_PER_SECOND
        self.disk_free_bytes = shutil.disk_usage(self._directory).free

    async def assess(self, account: Account, desks: Mapping[str, Desk]) -> None:
        """Judge the account at the latest prices; an abort latches a halt."""
        status, bits, judged = RISK_OK, 0, dict(self._judged)
        for symbol, desk in desks.items():
            price = desk.market.mark()
            if not price:
                continue
            shown = account.shown(symbol, halted=self.halted)
            worst = account.worst_trade_uyen(symbol, since=self._judged[symbol])
            judged[symbol] = shown.closed_trades
            if worst is not None:
                # Several may have closed since the last look: the last is not the worst of them.
                shown.last_trade_pnl_uyen = worst
            found, reasons = _assess(shown, desk.limits, price, worst is not None)
            status, bits = max(status, found), bits | reasons
        await self._take(status, bits)
        if judged != self._judged:
            # Only now: a loss that was judged and not halted for would be forgotten over a restart.
            self._judged = judged
            await self._store.save_account({JUDGED + symbol: number for symbol, number in judged.items()})
            account.forget_trades({symbol: judged[symbol] for symbol in desks})
        await self._tell_circuit()

    async def _tell_circuit(self) -> None:
        """Say it once when the exchange refused too many orders in a row: nothing is opened until an operator resumes."""
        is_open = self._circuit_open()
        if is_open and not self._circuit_told:
            await self._store.emit([Event("error", {"reason": "reject_circuit_open", "detail": _RESUME})])
        self._circuit_told = is_open

    async def _take(self, status: int, bits: int) -> None:
        reasons = names(bits)
        changed = (status, reasons) != (self.status, self.reasons)
        self.status, self.reasons = status, reasons
        if status == RISK_ABORT:
            await self._abort(names(bits & ABORTING)[0])
        if changed:
            await self._store.emit([Event("risk_status_changed", {"status": STATUS_NAMES[status], "reason_codes": reasons})])

    async def _abort(self, reason: str) -> None:
        if not self.halted:
            await self.set(Latch.HALT, reason, source="guard")
        if self._close_on_abort and not self.closing:
            # Whatever it was halted for before: this loss is to end.
            await self.set(Latch.CLOSE, reason, source="guard")

"""One closed bar in, one desire out: the live caller of the compiled core, for one symbol.

The call runs on the decision thread with a deadline. A strategy that hangs is latched out: it is never
called again in this run, no position is opened, and exits, stops and controls go on without it. Bar,
account, decision and the core's new state are committed together, so a restart continues exactly here
and any run can be fed to the core again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from gmobot.clock import NS_PER_SECOND, Clock, iso_utc, trading_day
from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR_LATE, BAR_PAST
from gmobot.live import recording
from gmobot.live.account import Account
from gmobot.live.desire import Desire
from gmobot.live.records import EngineRow, Event, JournalRow
from gmobot.live.store import Store
from gmobot.live.workers import Worker
from gmobot.ops.telemetry import Telemetry
from gmobot.strategies.program import DecisionCore, Desired, StateMismatchError

_QUEUE = 10_000
ACTIONS = {1: "buy", -1: "sell", 0: "hold"}


class SymbolDecisions:
    """Decides for one symbol."""

    def __init__(
        self,
        instrument: Instrument,
        core: DecisionCore,
        *,
        bar_seconds: int,
        account: Account,
        store: Store,
        worker: Worker,
        clock: Clock,
        telemetry: Telemetry,
        deadline_seconds: float,
        settled: Callable[[], bool],
        halted: Callable[[], bool],
        decided: Callable[[Desire, Desired], None],
    ) -> None:
        """Make a decider.

        Args:
            instrument: The symbol's arithmetic.
            core: The compiled core with its state.
            bar_seconds: Length of a bar.
            account: What the core is told of the account.
            store: Where decisions are kept.
            worker: The decision thread.
            clock: Wall time.
            telemetry: Counts decisions.
            deadline_seconds: A call that takes longer hangs.
            settled: Whether nothing but this symbol's decision stands between a bar and an order.
            halted: Whether a latched halt forbids new exposure.
            decided: Takes each new desire.
        """
        self._instrument = instrument
        self._core = core
        self._state_key = core.program.state_key(bar_seconds)
        self._bar_ns = bar_seconds * NS_PER_SECOND
        self._account = account
        self._store = store
        self._worker = worker
        self._clock = clock
        self._telemetry = telemetry
        self._deadline = deadline_seconds
        self._settled = settled
        self._halted = halted
        self._decided = decided
        self._bars: asyncio.Queue[np.ndarray] = asyncio.Queue(_QUEUE)
        self.hung = False
        self._checkpoint_day: int | None = None
        self.last_bar_ns = 0
        self._plan_until_ns = 0
        self.last: Desired | None = None
        self.bars = 0
        self._orphan: Desire | None = None
        self.restored: Desire | None = None
        """What an earlier run left, to hold and not to open."""

    def put(self, bars: np.ndarray) -> None:
        """Queue closed bars, oldest first."""
        self._bars.put_nowait(bars)

    def restore(self, row: EngineRow | None) -> bool:
        """Continue from a stored state. Returns whether the whole of it fits this program.

        When the strategy's code, its parameters or the length of a bar have changed, the plan of an open position is
        taken over and the rest warms up anew; when even the engine's own layout has, the position keeps the stop that
        rests for it.
        """
        if row is None:
            return False
        # The bar is old news: it shapes what we hold, and opens nothing.
        self.restored = Desire(**(json.loads(row.desired) | {"may_open": False}))
        try:
            if row.program == self._state_key:
                self._core.load(row.state)
                self.last_bar_ns = row.bar_open_ns
                return True
            former_ns = self.restored.closed_ns - self.restored.decision_id
            self._core.load_plan(row.state, former_bar=Fraction(former_ns, self._bar_ns))
            # What the strategy warms up on is from before the position, or was counted then.
            self._plan_until_ns = self.restored.closed_ns
        except StateMismatchError:
            self._orphan = self.restored
        return False

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            await self.take(await self._bars.get())

    async def take(self, bars: np.ndarray) -> None:
        """Decide on closed bars, oldest first, and commit them together."""
        if self.hung or not len(bars):
            return
        bars["flags"][bars["open_time"] + self._bar_ns <= self._plan_until_ns] |= BAR_PAST
        rows = self._checkpoint(int(bars["open_time"][0]))
        events: list[Event] = []
        desired: Desired | None = None
        due_ns = self._clock.now_ns()
        account = self._account.record(self._instrument.symbol, halted=self._halted())
        for position in range(len(bars)):
            bar = bars[position : position + 1]
            account = self._account.record(self._instrument.symbol, halted=self._halted())
            desired = await self._step(bar, account)
            if desired is None:
                await self._store.emit([Event("error", {"reason": "strategy_timeout", "symbol": self._instrument.symbol})])
                return
            rows.append(self._journal_row(bar, account, desired))
            if not int(bar["flags"][0]) & BAR_LATE:
                events.append(self._event(bar, desired))
            self._telemetry.decision(ACTIONS[desired.action])
            self.bars += 1
            self.last, self.last_bar_ns = desired, int(bar["open_time"][0])
        if desired is None:
            return
        # Holding is no entry: what a stop or target sells later in this bar is not bought again.
        plans_entry = desired.target != 0 and desired.target * int(account["position"][0]) <= 0 and not int(account["pending"][0])
        desire = self._desire(bars[-1:], desired, due_ns, plans_entry=plans_entry)
        await self._store.save_decisions(self._engine_row(desire), rows, events)
        self._decided(desire, desired)

    async def _step(self, bar: np.ndarray, account: np.ndarray) -> Desired | None:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._worker.run(lambda: self._core.step(bar, account))
        except TimeoutError:
            self.hung = True
            return None

    def _desire(self, bar: np.ndarray, desired: Desired, due_ns: int, *, plans_entry: bool) -> Desire:
        opened = int(bar["open_time"][0])
        stop, take_profit = desired.stop, desired.take_profit
        if desired.target == 0 or stop:
            self._orphan = None
        elif self._orphan is not None:
            stop, take_profit = self._orphan.stop, self._orphan.take_profit
        return Desire(
            decision_id=opened,
            closed_ns=opened + self._bar_ns,
            due_ns=due_ns,
            target=desired.target,
            stop=stop,
            take_profit=take_profit,
            may_open=plans_entry and not int(bar["flags"][0]) & BAR_LATE and self._settled(),
        )

    def _engine_row(self, desire: Desire) -> EngineRow:
        return EngineRow(
            symbol=self._instrument.symbol,
            program=self._state_key,
            bar_open_ns=desire.decision_id,
            state=self._core.dump(),
            desired=json.dumps({name: getattr(desire, name) for name in desire.__struct_fields__}),
        )

    def _checkpoint(self, bar_open_ns: int) -> list[JournalRow]:
        """Return, before the first bar of a run and of a day, everything a replay must begin with."""
        day = trading_day(bar_open_ns)
        if day == self._checkpoint_day:
            return []
        self._checkpoint_day = day
        return [JournalRow(kind="start", symbol=self._instrument.symbol, payload=recording.start(self._core, self._instrument))]

    def _journal_row(self, bar: np.ndarray, account: np.ndarray, desired: Desired) -> JournalRow:
        payload = recording.bar(self._core, bar, account, desired)
        return JournalRow(kind="bar", symbol=self._instrument.symbol, payload=payload, ref=int(bar["open_time"][0]))

    def _event(self, bar: np.ndarray, desired: Desired) -> Event:
        instrument = self._instrument
        return Event(
            "decision",
            {
                "symbol": instrument.symbol,
                "bar_at": iso_utc(int(bar["open_time"][0])),
                "close": str(instrument.price(int(bar["close"][0]))),
                "action": ACTIONS[desired.action],
                "confidence": round(desired.confidence, 6),
                "reason_codes": list(desired.reason_names),
                "target_size": str(instrument.size(desired.target)),
                "stop_price": str(instrument.price(desired.stop)) if desired.stop else None,
                "take_profit_price": str(instrument.price(desired.take_profit)) if desired.take_profit else None,
            },
        )

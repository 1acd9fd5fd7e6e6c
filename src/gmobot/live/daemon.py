"""The daemon: from an empty process to a trading one, turn by turn, and back to a clean stop.

One loop, one group of tasks, every one of them supervised: whatever one of them raises ends the run with
its reason on record, while the protective orders rest at the exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from gmobot.clock import Clock
from gmobot.config import Config, InstrumentConfig, Mode
from gmobot.core.instrument import Instrument, to_uyen
from gmobot.errors import ConfigError, FatalError, GmobotError, StoreError, VenueError
from gmobot.live.account import Account, AccountState
from gmobot.live.barkeeping import BarKeeping
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.commands import Commands
from gmobot.live.comparing import Comparing
from gmobot.live.database import UnwritableError
from gmobot.live.desk import Desk, Surroundings, instrument_of
from gmobot.live.exposure import AccountLimits
from gmobot.live.gate import GateLimits, OrderGate
from gmobot.live.guards import JUDGED, Guards
from gmobot.live.holdings import Holdings, holdings_of
from gmobot.live.housekeeping import Housekeeping
from gmobot.live.intake import Intake
from gmobot.live.intents import IntentState, Latch
from gmobot.live.market import Market
from gmobot.live.notifier import Notifier
from gmobot.live.ownership import KEY as OWNER
from gmobot.live.ownership import claim, marks, recognise
from gmobot.live.publisher import Publisher
from gmobot.live.reconcile import Reconciler
from gmobot.live.records import Event
from gmobot.live.rotation import Rotation, Told, loaded
from gmobot.live.rules import Grid, RulesWatch, begin_with
from gmobot.live.saved import Saved
from gmobot.live.search import Search
from gmobot.live.store import Store
from gmobot.live.supervisor import MonitorStatus, Supervisor
from gmobot.live.trader import Standing
from gmobot.live.watch import ExchangeWatch
from gmobot.live.workers import Worker
from gmobot.ops.telemetry import Telemetry
from gmobot.strategies.program import Program
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import PrivateStream, PublicStream, Stream
from gmobot.venue.models import ExchangeStatus, StreamEvent

T = TypeVar("T")
_RETRY_SECONDS = 2.0
log = structlog.get_logger("gmobot.daemon")


@dataclass(frozen=True, slots=True)
class Links:
    """The ways to the exchange.

    Attributes:
        public_rest: Market data.
        public_stream: Market data.
        trade_rest: Account and orders; ``None`` while no keys are given.
        private_stream: Our events; ``None`` with ``trade_rest``.
        tap: Gets every public event too: the paper exchange lives on them.
        remind: Tells an exchange that forgets everything with its process, as paper's does, what was there.
    """

    public_rest: GmoRest
    public_stream: PublicStream
    trade_rest: GmoRest | None
    private_stream: PrivateStream | None
    tap: Callable[[StreamEvent], None] | None = None
    remind: Callable[[Holdings], None] | None = None


class _StoppedEarlyError(GmobotError):
    """The run was to end while it was still waiting to begin."""


class Daemon:
    """One run of the bot on one account."""

    def __init__(
        self,
        config: Config,
        links: Links,
        programs: Mapping[str, Program],
        *,
        store: Store,
        telemetry: Telemetry,
        clock: Clock,
        decision_worker: Worker,
        run_id: str,
        preflight: list[str],
        rotation: Rotation | None = None,
        previous_crashed: bool = False,
        notifier: Notifier | None = None,
    ) -> None:
        self.config = config
        self.config_hash = config.hash()
        self.clock = clock
        self.telemetry = telemetry
        self.run_id = run_id
        self.preflight = preflight
        self.previous_crashed = previous_crashed
        self.notifier = notifier
        self.started_ns = clock.now_ns()
        self.status = "starting"
        self.last_error: str | None = None
        self.desks: dict[str, Desk] = {}
        self.books: Books | None = None
        self.account: Account | None = None
        self.guards: Guards | None = None
        self.commands: Commands | None = None
        self._links = links
        self._programs = programs
        self._store = store
        self._rotation = rotation
        self._decision_worker = decision_worker
        self.streams: list[Stream] = [s for s in (links.public_stream, links.private_stream) if s is not None]
        self.supervisor = Supervisor(
            tuple(stream.name for stream in self.streams),
            clock,
            degraded_after_seconds=config.feed.degraded_after_seconds,
            maintenance_max_minutes=config.maintenance.max_minutes,
            changed=self._on_monitor,
        )
        self._reconciler: Reconciler | None = None
        self._rules: RulesWatch | None = None
        self._intake = Intake(self.desks, self.supervisor, telemetry, clock, links.tap)
        self._comparing = Comparing(clock, self._intake.reconcile, every_seconds=config.runtime.reconcile_seconds)
        self._bars = BarKeeping(self.desks, self.supervisor, self._intake, clock)
        self._exchange = ExchangeWatch(links.public_rest, self.account_rest, self.supervisor, turned=self._on_exchange_turned)
        self._publisher = Publisher(self)
        self._housekeeping = Housekeeping(store, clock, journal_days=config.state.journal_days)
        self._stop = asyncio.Event()
        self._stop_reason = "graceful_shutdown"
        self._last_turn_at = clock.monotonic()
        self._called: set[tuple[str, str]] = set()

    # --- what operators and the web see ---------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the run is about to end."""
        return self._stop.is_set()

    @property
    def sends_orders(self) -> bool:
        """Whether orders leave this daemon, to whatever exchange."""
        return self._watch_reason() is None

    @property
    def account_rest(self) -> GmoRest:
        """The client for account and orders; the public one where there is no account."""
        return self._links.trade_rest or self._links.public_rest

    def stop(self, reason: str = "graceful_shutdown") -> None:
        """Ask for a clean end."""
        self._stop_reason = reason
        self._stop.set()

    def checks(self) -> dict[str, bool]:
        """Return the health checks by name."""
        grace = self.config.health.degraded_grace_seconds
        turn_age = self.clock.monotonic() - self._last_turn_at
        turn_limit = self.config.runtime.turn_deadline_seconds + 2 * self.config.runtime.interval_seconds + 5
        return {
            "run_loop": turn_age < turn_limit,
            "monitor_status": self.supervisor.status is not MonitorStatus.DEGRADED or self.supervisor.seconds <= grace,
            "bars": not self._bars.blind,
            "store": self._store.audit_failure is None and self._store.trouble is None,
            "compared": not self._comparing.overdue,
        }

    def ready(self) -> bool:
        """Return whether the daemon could trade now."""
        return self.status == "running" and self._entry_bar() is None and not self._bars.blind

    # --- life -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until stopped or something fatal happens.

        Raises:
            ConfigError: The exchange does not list a configured symbol.
            StoreError: State cannot be written.
            FatalError: Going on could lose money.
        """
        reason = "failed"
        try:
            await self._open_store()
            if self.notifier is not None:
                await self.notifier.start()
            await self._begin()
            await self._trade_until_stopped()
            reason = self._stop_reason
        except _StoppedEarlyError:
            reason = self._stop_reason
        except BaseException as error:
            self.last_error = self.last_error or f"{type(error).__name__}: {error}"
            raise
        finally:
            await self._end(reason)

    async def _open_store(self) -> None:
        """Open the state; a lock or a full disk is waited for: ending would only be started again."""
        while True:
            try:
                return await self._store.open()
            except UnwritableError as error:
                await self._not_yet("the state database cannot be opened yet", error)

    async def _not_yet(self, what: str, error: GmobotError) -> None:
        """The start has to wait: say so wherever somebody may look."""
        self.last_error = f"start: {error}"
        log.warning(what, error=str(error))
        with contextlib.suppress(OSError):
            self._publisher.progress()
        self.telemetry.turn(failed=True)
        self._last_turn_at = self.clock.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS):
                await self._stop.wait()
                raise _StoppedEarlyError

    async def _begin(self) -> None:
        saved = await self._store.load()
        anew, rest = claim(self.config, saved), self._links.trade_rest
        if rest is not None:
            await self._until_answered(lambda: recognise(self.config, saved, rest))
        self.previous_crashed = self.previous_crashed or saved.unfinished_run is not None
        events = [Event("run_started", {"mode": self.config.mode.value, "environment": self.config.environment.value})]
        events.append(Event("config_loaded", {"config_hash": self.config_hash}))
        events += [loaded(name) for name in (self._rotation.names if self._rotation is not None else ())]
        if self.previous_crashed:
            events.append(Event("error", {"reason": "previous_run_crashed", "run": saved.unfinished_run}))
        if saved.restored_from is not None:
            events.append(Event("error", {"reason": "state_restored", "source": saved.restored_from}))
        await self._store.begin_run(self.config_hash, events, tells_of_restore=saved.restored_from is not None)
        with contextlib.suppress(OSError):
            self._publisher.progress()
        rules = {row.symbol: row for row in await self._until_answered(self._links.public_rest.symbols)}
        instruments: dict[str, tuple[InstrumentConfig, Instrument]] = {}
        for wanted in self.config.instruments:
            if wanted.symbol not in rules:
                raise ConfigError(f"instruments: the exchange does not list {wanted.symbol}; it lists: {', '.join(sorted(rules))}")
            row, still_known = begin_with(rules[wanted.symbol], saved)
            if not still_known:
                saved.engines.pop(wanted.symbol, None)
            instruments[wanted.symbol] = (wanted, instrument_of(wanted, row, self.config.venue.fee_rounding))
        await self._furnish(instruments, saved, anew=anew)

    async def _furnish(self, instruments: Mapping[str, tuple[InstrumentConfig, Instrument]], saved: Saved, *, anew: bool) -> None:
        """Put up the books, the guards and a desk per symbol, as the last run left them."""
        config = self.config
        markets = {symbol: Market(instrument) for symbol, (_, instrument) in instruments.items()}
        self.books = books = Books({symbol: market.instrument for symbol, market in markets.items()}, self._store, self.clock, saved)
        state, today = AccountState.restore(saved.account), self._exchange_now_ns
        self.account = account = Account(books, markets, self.clock, state, exchange_now_ns=today)
        gate = self._put_up_controls(account, saved)
        numbers = marks(config, self._links.trade_rest)
        for symbol, market in markets.items():
            numbers |= Grid.of(market.instrument).numbers(symbol)
        await self._store.save_account(numbers, anew=anew)
        self._rules = RulesWatch(config.instruments, books, markets, self._store, fee_rounding=config.venue.fee_rounding, tell=self._tell)
        cash = CashBook(books, account, markets, self._store, self.clock, known=saved.known_flows, alarm=self._alarm)
        around = Surroundings(
            config=config,
            books=books,
            account=account,
            cash=cash,
            store=self._store,
            gate=gate,
            public_rest=self._links.public_rest,
            trade_rest=self.account_rest,
            clock=self.clock,
            telemetry=self.telemetry,
            decision_worker=self._decision_worker,
            standing=self._standing,
            settled=self._settled,
            halted=lambda: self.guards is not None and self.guards.halted,
            alarm=self._alarm,
            found_closed=self._exchange.due.set,
            doubts_rules=self._intake.rules.set,
        )
        for symbol, (wanted, _) in instruments.items():
            desk = self.desks[symbol] = Desk(wanted, self._programs[symbol], markets[symbol], around)
            if desk.decisions.restore(saved.engines.get(symbol)):
                desk.feed.continue_from(desk.decisions.last_bar_ns)
            if desk.decisions.restored is not None:
                desk.trader.desire(desk.decisions.restored)
        await self._remind(books, account)
        for intent in books.unresolved():
            if intent.state is IntentState.INTENT:
                await books.unknown(intent, "the last run ended before a reply")
        self._put_up_reconciler(books, account, cash, markets)

    def _put_up_controls(self, account: Account, saved: Saved) -> OrderGate:
        """Put up what forbids, and what an operator commands."""
        config = self.config
        # What was booked and not judged is news: the last run may have ended in between. Trades of another account are none.
        anew = OWNER not in saved.account
        judged = {
            symbol: saved.account.get(JUDGED + symbol, ledger["closed_trades"] if anew else 0) for symbol, ledger in saved.ledgers.items()
        }
        self.guards = Guards(
            self._store,
            self.supervisor,
            config.paths.state,
            latches=saved.latches,
            judged=dict.fromkeys(self._programs, 0) | judged,
            min_free_disk_bytes=config.risk.min_free_disk_bytes,
            max_clock_skew_seconds=config.risk.max_clock_skew_seconds,
            close_on_abort=config.risk.close_on_abort,
            circuit_open=lambda: gate.circuit_open,
        )
        limits = AccountLimits.of(config, account)
        gate = OrderGate(GateLimits.of(config), self.clock, entry_bar=self._entry_bar, account=limits, freed=self._wake_all)
        self.commands = Commands(
            self.guards,
            gate,
            account=account,
            store=self._store,
            config_hash=self.config_hash,
            acknowledge=self._acknowledge,
            watch_reason=self._watch_reason,
            wake=self._wake_all,
        )
        return gate

    def _put_up_reconciler(self, books: Books, account: Account, cash: CashBook, markets: Mapping[str, Market]) -> None:
        """Put up what compares with the exchange; without an account there is nothing to compare with."""
        config, rest = self.config, self._links.trade_rest
        if rest is None:
            self._comparing.use(None)
            if account.state.base_cash is None:
                account.start(to_uyen(config.capital.paper_jpy), {}, assumed=True)
            return
        self._reconciler = Reconciler(
            rest,
            books,
            account,
            self._store,
            self.desks,
            self.clock,
            cash=cash,
            search=Search(rest, self._links.public_rest, books, account, cash, self._store, markets, self.clock),
            visibility_seconds=config.venue.visibility_delay_seconds,
            max_drift_uyen=to_uyen(config.risk.max_wallet_drift),
            alarm=self._tell,
        )
        self._comparing.use(self._reconciler)

    async def _remind(self, books: Books, account: Account) -> None:
        """Tell an exchange that forgets what was there; orders that rested there are gone."""
        if self._links.remind is None or account.state.base_cash is None:
            return
        for symbol in books.symbols:
            for intent in books.open_intents(symbol):
                await books.end(intent, IntentState.EXPIRED, "the paper exchange ended with the last run")
        self._links.remind(holdings_of(books, account))

    async def _trade_until_stopped(self) -> None:
        self.status = "running"
        self._intake.reconcile.set()
        self._intake.repair.set()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in self._work()]
            await self._stop.wait()
            self.status = "stopping"
            await self._wind_down()
            for task in tasks:
                task.cancel()

    def _work(self) -> list[Coroutine[None, None, None]]:
        work: list[Coroutine[None, None, None]] = [stream.run(self._intake.take) for stream in self.streams]
        work += [self._intake.pump(), self._run_loop(), self._bars.repair(), self._bars.watch(), self._exchange.status()]
        work.append(self._exchange.rules(self._started(self._rules), self._intake.rules))
        if self._reconciler is not None:
            work += [self._comparing.run(), self._exchange.tier()]
        if self._rotation is not None:
            work.append(self._rotation.run(self._on_secrets, self._is_of_our_account))
        for desk in self.desks.values():
            work += [desk.decisions.run(), desk.trader.run(), self._bars.close(desk)]
        return work

    async def _wind_down(self) -> None:
        """Cancel entries and leave stops resting, within the grace period."""
        self._wake_all()
        try:
            async with asyncio.timeout(self.config.runtime.stop_grace_seconds / 2):
                for desk in self.desks.values():
                    await desk.trader.idle.wait()
        except TimeoutError:
            log.warning("stopping before every order came to rest")
        if self._links.private_stream is not None:
            try:
                async with asyncio.timeout(1.0):
                    await self._links.private_stream.close()
            except TimeoutError:
                log.warning("the stream token was not revoked; it ends by itself")

    async def _end(self, reason: str) -> None:
        failed = reason == "failed"
        self.status = "failed" if failed else "stopped"
        try:
            await self._flush_audit()
            if self.account is not None:
                await self._store.save_account(self.account.state.to_dict())
            if not failed:
                await self._store.end_run(reason, [Event("run_stopped", {"reason": reason})])
            if self.notifier is not None:
                await self.notifier.finish(seconds=self.config.runtime.stop_grace_seconds / 2)
            self._publisher.progress()
            halted = self.guards is not None and self.guards.halted
            status = "failed" if failed else "halted" if halted else "stopped"
            self._publisher.summary(status, self.last_error if failed else reason)
        except (StoreError, OSError) as error:
            log.error("the end of the run could not be recorded", error=str(error))
        finally:
            await self._store.close()

    # --- loops ----------------------------------------------------------------------------------------

    async def _run_loop(self) -> None:
        interval, deadline = self.config.runtime.interval_seconds, self.config.runtime.turn_deadline_seconds
        while True:
            started = self.clock.monotonic()
            failed = False
            try:
                await self._turn()
            except (VenueError, OSError) as error:
                failed, self.last_error = True, f"{type(error).__name__}: {error}"
                log.error("a turn of the run loop failed", error=self.last_error)
            spent = self.clock.monotonic() - started
            self.telemetry.turn(failed=failed or spent > deadline)
            self._last_turn_at = self.clock.monotonic()
            await asyncio.sleep(max(0.0, interval - spent))

    async def _turn(self) -> None:
        guards, account, books = self._started(self.guards), self._started(self.account), self._started(self.books)
        self.supervisor.check()
        guards.look_around(self.account_rest.server_offset_ns)
        await guards.keep()
        await self._housekeeping.keep(account, books)
        if (news := self._housekeeping.news()) is not None:
            self._intake.audit.append(news)
            self.last_error = f"state_unwritable: {news.fields['detail']}"
        if (news := self._comparing.look(excused=self.supervisor.maintenance)) is not None:
            self._intake.audit.append(news)
        if self._comparing.failure is not None:
            self.last_error = f"reconcile: {self._comparing.failure}"
        await guards.assess(account, self.desks)
        for desk in self.desks.values():
            self._intake.audit += desk.measure_protection(books, exchange_open=not self.supervisor.maintenance)
        self._wake_all()
        await self._flush_audit()
        await self._housekeeping.prune()
        self.status = "halted" if guards.halted else "paused" if guards.paused else "running"
        self._publisher.turn()

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except VenueError as error:
                await self._not_yet("the exchange does not answer yet", error)

    # --- what stands where ----------------------------------------------------------------------------

    def _standing(self) -> Standing:
        guards, books = self._started(self.guards), self._started(self.books)
        return Standing(
            watch_reason=self._watch_reason(),
            close=guards.closing,
            stopping=self.stopping,
            entry_bar=self._entry_bar(but_unknown=True),
            exchange_open=not self.supervisor.maintenance,
            silent=self.supervisor.exchange is ExchangeStatus.MAINTENANCE,
            deaf=not self.supervisor.is_up("private"),
            unknown=books.unsettled(),
        )

    def _watch_reason(self) -> str | None:
        """Return why orders are only recorded, or ``None`` when they are sent."""
        config = self.config
        if config.mode is Mode.PAPER:
            return None
        if not config.execute_orders:
            return "execute_orders_disabled"
        if self._links.trade_rest is None:
            return "missing_credentials"
        armed = config.environment.value == "emulator" or (self.guards is not None and self.guards.armed(self.config_hash))
        return None if armed else "not_armed"

    def _entry_bar(self, *, but_unknown: bool = False) -> str | None:
        if self.guards is None or self.books is None or not self._knows_the_account:
            return "stream_stale"
        if self._comparing.overdue:
            return "exchange_error"
        return self.guards.entry_bar(self.desks.values(), 0 if but_unknown else self.books.unsettled())

    def _exchange_now_ns(self) -> int:
        """What the exchange's clock reads, 0 before it has told: the day turns by it and not by ours, which may be set."""
        return self.account_rest.server_floor_ns

    def _settled(self) -> bool:
        return self.supervisor.status is MonitorStatus.ACTIVE and self._knows_the_account and not self.stopping

    @property
    def _knows_the_account(self) -> bool:
        """Whether books and exchange were compared, and drawdown and the day's loss can be judged."""
        return self._comparing.done and self.account is not None and self.account.is_known

    async def _acknowledge(self) -> None:
        if self._reconciler is not None:
            await self._reconciler.acknowledge()

    async def _tell(self, reason: str, text: str) -> None:
        """A person should look; nothing is latched."""
        log.error("a person must look", reason=reason, detail=text)
        self.last_error = text
        await self._store.emit([Event("error", {"reason": reason, "detail": text})])

    async def _alarm(self, reason: str, text: str) -> None:
        """A person must look: latch a halt, before anything is awaited, and say why, once for each halt."""
        guards = self._started(self.guards)
        if not guards.halted:
            self._called.clear()
        if (reason, text) in self._called:
            return
        self._called.add((reason, text))
        await guards.set(Latch.HALT, reason, source="alarm")
        await self._tell(reason, text)

    def _compare_first(self) -> None:
        """Open nothing until books and exchange were compared again: anything may have happened meanwhile."""
        self._intake.rules.set()
        self._comparing.doubt()

    def _on_exchange_turned(self) -> None:
        """The exchange closed or opened: nothing opens before books and exchange were compared."""
        self._compare_first()
        self._wake_all()

    def _on_monitor(self, status: MonitorStatus, why: str) -> None:
        if status is not MonitorStatus.ACTIVE:
            # It may be the exchange that closes: ask it now.
            self._exchange.due.set()
            self._compare_first()
        self.telemetry.monitor_status(status.value)
        self._intake.audit.append(Event("monitor_status_changed", {"status": status.value, "detail": why}))

    async def _is_of_our_account(self, rest: GmoRest) -> None:
        """Make sure that a new API key is of the account these books are of, by orders of ours."""
        await recognise(self.config, await self._store.load(), rest)

    async def _on_secrets(self, told: Told) -> None:
        """Secrets were looked up again; a key that was taken is known at the next start."""
        await self._store.save_account(marks(self.config, self._links.trade_rest))
        self.preflight = told.warnings
        self.last_error = told.problem or self.last_error
        self._intake.audit += told.events

    def _wake_all(self) -> None:
        for desk in self.desks.values():
            desk.trader.wake()

    async def _flush_audit(self) -> None:
        events, self._intake.audit = self._intake.audit, []
        if events:
            await self._store.emit(events)

    @staticmethod
    def _started(part: T | None) -> T:
        if part is None:
            raise FatalError("a part of the daemon was used before it was made")
        return part

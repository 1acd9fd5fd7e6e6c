"""One seed: an exchange, a daemon that dies and comes back, everything its plan holds, and invariants after every step."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from tests.simulation.acts import Acts
from tests.simulation.end import check_end
from tests.simulation.evidence import Evidence
from tests.simulation.folder import Folder
from tests.simulation.hands import Hands
from tests.simulation.invariants import audit_chain_verifies
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.net import Net
from tests.simulation.ours import OurAccount, Ours, Violation
from tests.simulation.plan import QUIET_SECONDS, Plan
from tests.simulation.process import DaemonClock, DecisionWorker, Disk, Mortal, MortalTransport, MortalWorker, Process, leave_as_killed
from tests.simulation.setting import BALANCES, INSTRUMENTS, KEY, SECRET, configured
from tests.simulation.trouble import Trouble, Wire
from tests.simulation.watch import Limits, Watch

from gmobot.clock import NS_PER_SECOND
from gmobot.config import Config, Environment
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, NewOrder, account
from gmobot.emulator.engine.records import Account, Execution, Order
from gmobot.emulator.market import SyntheticMarket, SyntheticShape
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.live.daemon import Daemon, Links
from gmobot.live.intake import private_channels
from gmobot.live.store import Store
from gmobot.ops.audit import AuditLog
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret
from gmobot.strategies.program import Program
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.limits import RateLimiter
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PrivateStream, PublicStream
from gmobot.venue.transport import Timeouts

LAST_LOOK_SECONDS = 20.0
AUDIT_SECONDS = 5.0
"""The exchange audits itself so often: it adds up everything that ever happened."""
MERGED_SECONDS = 3.0
"""What was kept beside the database while it could not be written is in it again this long after."""
TOKEN_SECONDS = 120.0
"""Tokens live no hour here, so that they are extended, and are lost, within a seed."""
LATE_FILL_NS = 1_000_000_000
"""What fills within the daemon's last second may come too late for it."""


@dataclass
class Result:
    """What a seed showed."""

    seed: int
    orders: int
    executions: int
    kills: int
    struck: dict[str, int]
    steps: int
    open_seconds: dict[Trouble, float]
    exit_seconds: dict[Trouble, float]
    audit: bytes = field(repr=False, default=b"")


class World:
    """Everything of one seed."""

    def __init__(self, plan: Plan, program: Program, loop: VirtualLoop) -> None:
        self.plan = plan
        self.symbol = plan.symbol
        self.loop = loop
        self.program = program
        self.draw = random.Random(f"world:{plan.seed}")
        self._folder = Folder(plan.seed)
        self.var = self._folder.path
        self._configure(configured(plan, self.var))
        self.clock = DaemonClock(loop)
        self.disk = Disk(random.Random(f"disk:{plan.seed}"))
        traded = {symbol: INSTRUMENTS[symbol] for symbol in plan.symbols}
        self.account: Account = account(KEY, SECRET, BALANCES, traded)
        self.credentials = Credentials(Secret(KEY), Secret(SECRET))
        shape = SyntheticShape(trades_per_second=2.0, volatility_per_day=0.3, history_seconds=120)
        self.exchange = Exchange(
            VirtualClock(loop),
            {symbol: (instrument, SyntheticMarket(instrument, seed=plan.seed, shape=shape)) for symbol, instrument in traded.items()},
            {KEY: self.account},
            assumptions=msgspec.convert({"stream_levels": 12, **plan.assumptions}, Assumptions, strict=False),
        )
        self.began_ns = self.exchange.clock.now_ns()
        self.api = ExchangeApi(self.exchange, seed=plan.seed, token_seconds=TOKEN_SECONDS)
        self.wire = Wire(self.api, self.account, loop.time)
        self.net = Net(self.wire, self.api.hub, random.Random(f"net:{plan.seed}"))
        self.our_account = OurAccount(self.exchange, self.account, plan.symbols, self.wire.tells)
        self.hands = Hands(self.exchange, self.account, self.our_account, random.Random(f"hands:{plan.seed}"))
        self.evidence = Evidence(self.var / "state" / "gmobot.db", close_on_abort=self.config.risk.close_on_abort)
        self.watch = Watch(self.our_account, self.evidence, Limits.of(self.config))
        self.exchange.listeners.append(self._on_news)
        self.exchange.place = self._place  # type: ignore[method-assign]
        self.exchange.close = self._close  # type: ignore[method-assign]
        self.exchange.change = self._change  # type: ignore[method-assign]
        self.exchange.cancel = self._cancel  # type: ignore[method-assign]
        self.process: Process | None = None
        self.kills = self.lives = 0
        self.failure: Violation | None = None
        self.alone = True
        """Whether a clean stop is judged by what it leaves: not where a script lets another hand sell what is ours."""
        self.acknowledging = True
        self.acknowledged = ""
        self._left_unresolved = False
        self._unrecorded_at = float("-inf")
        self._audited_at = 0.0

    @property
    def ours(self) -> Ours:
        """What is ours of the first symbol."""
        return self.our_account.by_symbol[self.symbol]

    def _configure(self, config: Config) -> None:
        """Take a configuration; its hash is asked for at every order and look, so it is kept."""
        self.config, self.config_hash = config, config.hash()

    # --- invariants -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Look at what must hold at every step. Keeps the first that does not."""
        self.wire.look()
        self._held(lambda: self.watch.step(self.loop.time(), self))

    def trouble(self) -> Trouble:
        """Return what may keep the daemon from protecting its position now."""
        process = self.process
        if process is None or process.life.dead or process.task.done():
            return Trouble.PROCESS_DEAD
        if not self._armed():
            return Trouble.NOT_SENDING
        return self.wire.trouble()

    def _armed(self) -> bool:
        """Return whether the daemon may send orders, as its configuration and its file have it."""
        config = self.config
        if not config.execute_orders:
            return False
        return config.environment is not Environment.PRODUCTION or self.evidence.latches().get("armed") == self.config_hash

    def _sends(self) -> bool:
        """Return whether orders may leave: an acknowledgement counts from when it is given, whenever the file has it."""
        return self._armed() or (self.config.execute_orders and self.acknowledged == self.config_hash)

    def recording(self) -> bool:
        """Return whether the file of a living daemon takes what it decides; what it keeps elsewhere is there again soon after."""
        if self.process is None or self.process.life.dead:
            return False
        if self.disk.takes_nothing:
            self._unrecorded_at = self.loop.time()
        return self.loop.time() - self._unrecorded_at > MERGED_SECONDS

    def hears(self, symbol: str) -> bool:
        """Return whether the tape of a symbol reaches the daemon."""
        return any(not socket.silent for socket in self.api.hub._listeners("trades", symbol))

    def _on_news(self, *news: Any) -> None:
        order = news[1] if news[0] == "order" else None
        if order is not None and order.cancel_type == "EXPIRED_SELFTRADE":
            foreign = self.our_account.foreign_orders
            met = (other for other in self.account.active(order.symbol) if other.order_id in foreign and other.side != order.side)
            if order.order_id not in foreign and any(met):
                self.wire.met()

    def _held(self, look: Callable[[], object]) -> None:
        if self.failure is None:
            try:
                look()
            except Violation as violation:
                self.failure = violation

    def _written(self) -> None:
        self._held(self.watch.written)

    def _place(self, account: Account, new: NewOrder) -> Order:
        self._held(lambda: self.watch.order(new, self, sends=self._sends(), closing=False))
        return self.hands.place(account, new)

    def _close(self, account: Account, new: NewOrder, position_id: int | None = None) -> Order:
        self._held(lambda: self.watch.order(new, self, sends=self._sends(), closing=True, position_id=position_id))
        return self.hands.close(account, new, position_id)

    def _change(self, account: Account, order_id: int, price: Decimal, losscut: Decimal | None) -> None:
        self._held(lambda: self.watch.change(order_id, account.orders.get(order_id), price, sends=self._sends()))
        self.wire.changed()
        self.hands.change(account, order_id, price, losscut)

    def _cancel(self, account: Account, order_id: int) -> None:
        self._held(lambda: self.watch.cancel(order_id, account.orders.get(order_id), sends=self._sends()))
        self.hands.cancel(account, order_id)

    # --- the seed -------------------------------------------------------------------------------------

    async def run(self) -> Result:
        """Live through the plan, mend everything, and compare the books."""
        self.exchange.start()
        running = asyncio.create_task(self.api.run())
        self.loop.on_step = self.check
        self._start()
        for at, act in Acts(self).schedule():
            await self._sleep_until(at)
            await act()
        await self._sleep_until(self.plan.seconds)
        self._give_up()
        await self._mend()
        await self._sleep_until(self.loop.time() + QUIET_SECONDS)
        self._give_up()
        await self._stop()
        self.loop.on_step = None
        self._check_booked(self.exchange.clock.now_ns() - LATE_FILL_NS)
        await self._look_again()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        self._give_up()
        check_end(self.exchange, self.account, self.our_account, self.var, began_ns=self.began_ns)
        log = (self.var / "logs" / "audit_events.jsonl").read_bytes()
        orders, executions = len(self.account.orders), len(self.account.executions)
        return Result(
            self.plan.seed,
            orders,
            executions,
            self.kills,
            dict(self.api.faults.struck),
            self.loop.steps,
            self.watch.open_seconds,
            self.watch.exit_seconds,
            log,
        )

    def life(self) -> Mortal:
        """Return the life of the process that runs; of none, one that nobody lives."""
        return self.process.life if self.process is not None else Mortal()

    def _give_up(self) -> None:
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Remove this seed's files."""
        if self.process is not None and self.process.task.done() and not self.process.task.cancelled():
            # The first violation is what is told; what the daemon died of after it is not to be told by the garbage collector.
            self.process.task.exception()
        self.evidence.forget_connection()
        self.disk.unlock()
        self._folder.remove()

    async def _sleep_until(self, at: float) -> None:
        while self.loop.time() < at and self.failure is None:
            await asyncio.sleep(min(1.0, at - self.loop.time()))
            if self.loop.time() >= self._audited_at + AUDIT_SECONDS:
                self._audited_at = self.loop.time()
                self.exchange.check()
            await self.bury()
            if self.acknowledging and self.config.environment is Environment.PRODUCTION:
                await self._acknowledge()

    async def _acknowledge(self) -> None:
        """The operator reads what the daemon waits for, and allows it."""
        process = self.process
        if process is not None and process.daemon.commands is not None and self.config.execute_orders and not self._armed():
            await Acts(self).command("resume")

    async def restart(self, config: Config, *, cleanly: bool) -> None:
        """Start the daemon anew under another configuration, after it has ended or died."""
        await self.bury()
        process = self.process
        if process is None:
            return
        if not cleanly or self.disk.takes_nothing:
            process.life.die()
        else:
            # Until it has ended, the old one goes on as it may.
            process.daemon.stop()
            await asyncio.wait({process.task})
            self._check_stopped(process)
        self._configure(config)
        if process.life.dead:
            await self.bury()
            return
        process.task.result()
        await process.transport.close()
        self.evidence.forget_connection()
        self.process = None
        self._start()

    async def bury(self) -> None:
        """A process that has died is buried, and after a while another one is started; one that ended by itself is a fault."""
        process = self.process
        if process is None or not (process.life.dead or process.task.done()):
            return
        if not process.life.dead:
            self._give_up()
            process.task.result()
            raise Violation("the daemon ended by itself")
        process.task.cancel()
        await asyncio.gather(process.task, return_exceptions=True)
        await process.transport.close()
        self._left_unresolved = self.evidence.unresolved()
        self.evidence.forget_connection()
        self._held(lambda: audit_chain_verifies(self.var / "logs"))
        leave_as_killed(process.store, self.var, self.draw)
        self.kills += 1
        self.process = None
        await asyncio.sleep(self.draw.uniform(0.0, 8.0))
        self._start()

    async def _mend(self) -> None:
        """Everything is well again: what follows must come to rest by itself."""
        self.api.faults.disarm()
        self.api.maintenance.cancel()
        self.net.mend()
        self.disk.full = False
        self.disk.unlock()
        if self.process is not None:
            self.process.life.doom.writes, self.process.life.doom.request = 0, None
            if self.process.decider.hangs:
                self.process.life.die()
        await self.bury()
        await asyncio.sleep(1.0)
        await Acts(self).command("resume")

    async def _stop(self) -> None:
        process = self.process
        if process is not None:
            process.daemon.stop()
            await process.task
            self._check_stopped(process)
            await process.transport.close()

    def _check_stopped(self, process: Process) -> None:
        """Look at what a daemon left behind that ended because it was asked to: nobody will add a STOP or cancel an entry now."""
        if self.alone and not process.life.dead and self._armed():
            self._held(lambda: self.watch.stopped(self.wire.trouble()))

    def _check_booked(self, until_ns: int) -> None:
        """Only what filled as the daemon ended may be left for its next start."""
        with closing(sqlite3.connect(self.var / "state" / "gmobot.db")) as db:
            booked = {row[0] for row in db.execute("SELECT execution_id FROM fills")}
        by_hand = self.our_account.foreign_orders
        own = [e for e in self.account.executions if e.order.order_id not in by_hand and self.our_account.includes(e, set())]
        missing = [e.execution_id for e in own if _told_ns(e) <= until_ns and e.execution_id not in booked]
        if missing and self.failure is None:
            self.failure = Violation(f"executions {missing} are not booked at the end")

    async def _look_again(self) -> None:
        """Start once more on a market that stands still: what filled while the daemon ended is found now."""
        self.exchange.status = "PREOPEN"
        self._start()
        await self._sleep_until(self.loop.time() + LAST_LOOK_SECONDS)
        await self._stop()

    def _start(self) -> None:
        self.lives += 1
        self.watch.began()
        self.wire.began(unresolved=self._left_unresolved)
        run_id = f"sim-{self.plan.seed}-{self.lives}"
        life = Mortal()
        worker, decider, transport, clock = (
            MortalWorker(life, self._written, seconds=self.plan.write_seconds),
            DecisionWorker(life),
            MortalTransport(self.api, life, self.wire, self.net, self.watch.leaves),
            self.clock,
        )
        audit = AuditLog(self.config.paths.logs, max_bytes=self.config.audit.max_bytes, retention=7)
        store = Store(
            self.config.paths.state / "gmobot.db", audit=audit, run_id=run_id, clock=clock, worker=worker, connect=self.disk.connect
        )
        rest = GmoRest(
            transport,
            clock,
            credentials=self.credentials,
            limiter=RateLimiter(clock),
            timeouts=Timeouts(connect=2.0, reply=2.5),
        )
        draw, pacer, backoff = random.Random(f"{self.plan.seed}:{self.lives}"), CommandPacer(clock), Backoff(0.2, 2.0)
        public = PublicStream(transport, clock, pacer, symbols=list(self.plan.symbols), seed=draw, backoff=backoff, silence_seconds=15.0)
        private = PrivateStream(
            transport,
            rest,
            clock,
            pacer,
            seed=draw,
            backoff=backoff,
            channels=private_channels(self.config),
            token_seconds=TOKEN_SECONDS,
        )
        daemon = Daemon(
            self.config,
            Links(rest, public, rest, private),
            dict.fromkeys(self.plan.symbols, self.program),
            store=store,
            telemetry=Telemetry(version="sim", config_hash=self.config_hash),
            clock=clock,
            decision_worker=decider,
            run_id=run_id,
            preflight=[],
        )
        self.process = Process(daemon, transport, decider, life, store, asyncio.create_task(daemon.run()))
        # It may be killed before it takes a step, and was alive all the same.
        self.check()


def _told_ns(execution: Execution) -> int:
    """Return when a fill can be told: at once, but whose order the exchange made itself must be asked for, once questions show it."""
    order = execution.order
    return max(execution.at_ns, order.visible_ns) if order.order_type == "LOSSCUT" else execution.at_ns


def run_plan(plan: Plan, program: Program) -> Result:
    """Play a plan on a fresh virtual loop.

    Raises:
        Violation: An invariant does not hold; the text names it.
    """
    loop = VirtualLoop(plan.seed)
    loop.epoch_ns += round(plan.start * NS_PER_SECOND)
    try:
        asyncio.set_event_loop(loop)
        world = World(plan, program, loop)
        try:
            return loop.run_until_complete(world.run())
        finally:
            loop.on_step = None
            world.close()
    finally:
        asyncio.set_event_loop(None)
        loop.close()

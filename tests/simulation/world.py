"""One seed: an exchange, a daemon that dies and comes back, faults, and invariants after every step."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from tests.simulation.loop import VirtualClock, VirtualLoop

from gmobot.config import Config
from gmobot.core.instrument import Instrument, Product
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, NewOrder, account
from gmobot.emulator.engine.records import Account, Order
from gmobot.emulator.faults import Fault
from gmobot.emulator.market import SyntheticMarket, SyntheticShape
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.errors import NotSent, StoreError
from gmobot.live.daemon import Daemon, Links
from gmobot.live.store import Store
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_read import verify
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret
from gmobot.strategies.program import Program
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.limits import RateLimiter
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PrivateStream, PublicStream
from gmobot.venue.transport import Reply, Request, Socket, Timeouts

T = TypeVar("T")
SECONDS = 600.0
QUIET_SECONDS = 100.0
LAST_LOOK_SECONDS = 15.0
LATE_FILL_NS = 1_000_000_000
"""What fills within the daemon's last second may come too late for it."""
KEY, SECRET = "sim-key", "sim-secret"
FOREIGN_LOTS = 50_000
UNPROTECTED_SECONDS = 5.0
"""Longest that own coins may lie open by our own doing: every outcome known, and no reply about an order awaited."""
UNKNOWN_SECONDS = 45.0
"""Longest with slow replies and unknown outcomes: several in a row, each looked for past the visibility delay, twice."""
ORDER_PATHS = ("/private/v1/order", "/private/v1/cancelOrder", "/private/v1/orders", "/private/v1/executions")
STRATEGY = "gmobot.strategies.ema_momentum:EmaMomentum"
PARAMS = {"fast": 2, "slow": 5, "rsi_period": 3, "rsi_overbought": 100.0, "atr_period": 5, "stop_atr": 1.5, "take_profit_atr": 3.0}


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Plan:
    """What a seed does to the daemon."""

    lost_after: float
    slow: float
    silent: float
    duplicated: float
    visibility_seconds: float
    kills: tuple[float, ...]

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Draw a plan."""
        draw = random.Random(f"plan:{seed}")
        kills = tuple(sorted(draw.uniform(5.0, SECONDS) for _ in range(draw.choice((0, 0, 1, 2, 4)))))
        return cls(
            lost_after=draw.choice((0.0, 0.1, 0.3)),
            slow=draw.choice((0.0, 0.1, 0.4)),
            silent=draw.choice((0.0, 0.0005, 0.003)),
            duplicated=draw.choice((0.0, 0.2, 0.5)),
            visibility_seconds=draw.choice((0.0, 0.0, 0.5, 2.0)),
            kills=kills,
        )


class MortalWorker:
    """Runs calls inline until its process is dead."""

    def __init__(self) -> None:
        self.dead = False

    async def run(self, call: Callable[[], T]) -> T:
        if self.dead:
            raise StoreError("the process is dead")
        return call()

    def close(self) -> None:
        return


class MortalTransport:
    """The in-memory transport of a process that can be killed.

    Attributes:
        awaited: Requests about orders that have no reply yet.
    """

    def __init__(self, api: ExchangeApi) -> None:
        self._inner = MemoryTransport(api)
        self.dead = False
        self.awaited = 0

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        if self.dead:
            raise NotSent("the process is dead")
        about_orders = request.path.partition("?")[0] in ORDER_PATHS
        self.awaited += about_orders
        try:
            return await self._inner.request(request, timeouts)
        finally:
            self.awaited -= about_orders

    async def connect(self, path: str, *, timeout: float) -> Socket:
        if self.dead:
            raise NotSent("the process is dead")
        return await self._inner.connect(path, timeout=timeout)

    async def close(self) -> None:
        await self._inner.close()


@dataclass
class Process:
    """One life of the daemon."""

    daemon: Daemon
    transport: MortalTransport
    worker: MortalWorker
    store: Store
    task: asyncio.Task[None]


@dataclass
class Result:
    """What a seed showed."""

    seed: int
    orders: int
    executions: int
    kills: int
    struck: dict[str, int]
    steps: int
    audit: bytes = field(repr=False, default=b"")


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, program: Program, loop: VirtualLoop) -> None:
        self.seed = seed
        self.plan = Plan.of(seed)
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.program = program
        shared_memory = Path("/dev/shm")
        self.var = Path(tempfile.mkdtemp(prefix="gmobot-sim-", dir=shared_memory if shared_memory.is_dir() else None))
        self.config = _config(self.var)
        instrument = Instrument(
            "BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005")
        )
        self.account: Account = account(KEY, SECRET, {"JPY": Decimal(10_000_000), "BTC": Decimal("0.5")}, {"BTC": instrument})
        shape = SyntheticShape(trades_per_second=2.0, volatility_per_day=0.3, history_seconds=120)
        assumptions = Assumptions(visibility_seconds=self.plan.visibility_seconds, private_per_second=50)
        self.exchange = Exchange(
            self.clock,
            {"BTC": (instrument, SyntheticMarket(instrument, seed=seed, shape=shape))},
            {KEY: self.account},
            assumptions=assumptions,
        )
        self.api = ExchangeApi(self.exchange, seed=seed)
        self.process: Process | None = None
        self.kills = 0
        self.lives = 0
        self._sent: set[int] = set()
        self._looked_at = self._open_seconds = self._plain_seconds = 0.0
        self._place = self.exchange.place
        self.exchange.place = self._checked_place  # type: ignore[method-assign,assignment]
        self.failure: Violation | None = None

    # --- invariants -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Run the invariants that must hold at every step. Raises once, at the first that does not."""
        if self.failure is not None:
            return
        try:
            self._check_exposure()
            self._check_protection()
        except Violation as violation:
            self.failure = violation

    def _check_exposure(self) -> None:
        ours = self.account.coins["BTC"] - FOREIGN_LOTS
        if ours < 0:
            raise Violation(f"sold {-ours} lots that are not ours")
        limit = self.exchange.instruments["BTC"].lots(self.config.risk.max_position_size)
        if ours > limit:
            raise Violation(f"holds {ours} lots, the limit is {limit}")

    def _check_protection(self) -> None:
        ours = self.account.coins["BTC"] - FOREIGN_LOTS
        covered = self.account.held_lots.get("BTC", 0)
        now, last = self.loop.time(), self._looked_at
        self._looked_at = now
        if ours <= covered or self.process is None or self.process.task.done():
            self._open_seconds = self._plain_seconds = 0.0
            return
        books = self.process.daemon.books
        self._open_seconds += now - last
        if books is not None and not books.unresolved() and not self.process.transport.awaited:
            self._plain_seconds += now - last
        if self._plain_seconds > UNPROTECTED_SECONDS or self._open_seconds > UNKNOWN_SECONDS:
            raise Violation(f"{ours - covered} lots unprotected for {self._open_seconds:.1f} s, {self._plain_seconds:.1f} s with all known")

    def _checked_place(self, who: Account, new: NewOrder, **more: float) -> Order:
        """No order without an intent on disk, none of them sent twice, and no entry that no decision asked for."""
        instrument = self.exchange.instruments[new.symbol]
        db = sqlite3.connect(f"file:{self.var}/state/gmobot.db?mode=ro", uri=True)
        rows = db.execute(
            "SELECT intent_id, decision_id FROM intents "
            "WHERE state = 'intent' AND symbol = ? AND side = ? AND type = ? AND lots = ? AND price = ?",
            (new.symbol, new.side, new.execution_type, instrument.lots(new.size), instrument.ticks(new.price or Decimal(0))),
        ).fetchall()
        asked = db.execute(
            "SELECT COUNT(*) FROM journal WHERE seq > (SELECT MAX(seq) - 40 FROM journal) AND kind = 'bar' "
            "AND json_extract(payload, '$.bar.open_time') = ? AND json_extract(payload, '$.desired.action') = 1",
            (rows[-1][1] if rows else 0,),
        ).fetchone()[0]
        db.close()
        fresh = [row[0] for row in rows if row[0] not in self._sent]
        problem = None
        if not rows:
            problem = f"an order without an intent: {new}"
        elif not fresh:
            problem = f"intent {rows[-1][0]} was sent twice: {new}"
        elif new.side == "BUY" and not asked:
            problem = f"an entry that no decision asked for: {new}"
        if problem is not None:
            self.failure = self.failure or Violation(problem)
        self._sent.update(fresh[-1:])
        return self._place(who, new, **more)

    def check_end(self) -> None:
        """After a quiet time, a clean stop and a last look, our books must be the exchange's, to the unit."""
        self.exchange.check()
        with sqlite3.connect(self.var / "state" / "gmobot.db") as db:
            fills = {row[0]: row[1:] for row in db.execute("SELECT execution_id, order_id, lots, ticks, fee_uyen FROM fills")}
            unresolved = db.execute("SELECT intent_id, state FROM intents WHERE state IN ('intent', 'unknown')").fetchall()
            live = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE state IN ('acknowledged', 'working')")}
            known = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL")}
            foreign = db.execute("SELECT order_id FROM foreign_orders").fetchall()
            record = db.execute(
                "SELECT json_extract(record, '$.position'), json_extract(record, '$.cash_uyen') FROM ledgers"
            ).fetchone() or (0, 0)
            base = db.execute("SELECT value FROM account WHERE key = 'base_cash'").fetchone()
            halted = db.execute("SELECT reason FROM latches WHERE name = 'halt'").fetchone()
        db.close()
        executed = {e.execution_id: (e.order.order_id, e.lots, e.ticks, e.fee_uyen) for e in self.account.executions}
        problems = {
            "fills differ from executions": fills != executed,
            f"unresolved intents {unresolved}": bool(unresolved),
            f"orders without an owner {set(self.account.orders) - known}": set(self.account.orders) != known,
            "open orders differ": {order.order_id for order in self.account.active()} != live,
            f"foreign orders {foreign}": bool(foreign),
            f"halted {halted}": halted is not None,
            "position differs": record[0] != self.account.coins["BTC"] - FOREIGN_LOTS,
            "cash differs": base is None or base[0] + record[1] != self.account.jpy_uyen,
        }
        verdict = verify(self.var / "logs")
        problems[f"audit: {verdict.problem}"] = not verdict.ok
        for problem, holds in problems.items():
            if holds:
                raise Violation(problem)

    # --- lives ----------------------------------------------------------------------------------------

    async def run(self) -> Result:
        """Live through the plan."""
        self.exchange.start()
        running = asyncio.create_task(self.api.run())
        self._arm()
        self.loop.on_step = self.check
        await self._live()
        self.api.faults.disarm()
        await self._revive()
        await self._sleep_until(self.loop.time() + QUIET_SECONDS)
        await self._stop()
        self.loop.on_step = None
        self._check_booked(self.clock.now_ns() - LATE_FILL_NS)
        await self._look_again()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if self.failure is not None:
            raise self.failure
        self.check_end()
        log = self.var / "logs" / "audit_events.jsonl"
        return Result(
            self.seed,
            len(self.account.orders),
            len(self.account.executions),
            self.kills,
            dict(self.api.faults.struck),
            self.loop.steps,
            log.read_bytes(),
        )

    def _check_booked(self, until_ns: int) -> None:
        """Only what filled as the daemon ended may be left for its next start."""
        with closing(sqlite3.connect(self.var / "state" / "gmobot.db")) as db:
            booked = {row[0] for row in db.execute("SELECT execution_id FROM fills")}
        missing = [e.execution_id for e in self.account.executions if e.at_ns <= until_ns and e.execution_id not in booked]
        if missing and self.failure is None:
            self.failure = Violation(f"executions {missing} are not booked at the end")

    async def _look_again(self) -> None:
        """Start once more on a market that stands still: what filled while the daemon ended is found now."""
        self.exchange.status = "PREOPEN"
        self._start()
        await self._sleep_until(self.loop.time() + LAST_LOOK_SECONDS)
        await self._stop()

    def close(self) -> None:
        """Remove this seed's files."""
        shutil.rmtree(self.var, ignore_errors=True)

    def _arm(self) -> None:
        plan, faults = self.plan, self.api.faults
        for fault, where, probability in (
            (Fault.REPLY_LOST_AFTER, "/v1/order", plan.lost_after),
            (Fault.REPLY_LOST_AFTER, "/v1/cancelOrder", plan.lost_after),
            (Fault.REPLY_SLOW, "/v1/*", plan.slow),
            (Fault.EVENT_DUPLICATED, "*Events", plan.duplicated),
            (Fault.SOCKET_SILENT, "*", plan.silent),
        ):
            if probability:
                faults.arm(fault, where=where, times=None, probability=probability)

    async def _live(self) -> None:
        self._start()
        for at in self.plan.kills:
            await self._sleep_until(at)
            await self._kill()
            await self._sleep_until(self.loop.time() + random.Random(f"{self.seed}:{self.kills}").uniform(0.0, 8.0))
            self._start()
        await self._sleep_until(SECONDS)

    async def _revive(self) -> None:
        if self.process is None or self.process.task.done():
            self._raise_if_failed()
            self._start()

    async def _sleep_until(self, at: float) -> None:
        while self.loop.time() < at and self.failure is None:
            await asyncio.sleep(min(5.0, at - self.loop.time()))
            self.exchange.check()
            self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self.process is not None and self.process.task.done() and not self.process.worker.dead:
            self.process.task.result()
            raise Violation("the daemon ended by itself")

    async def _kill(self) -> None:
        """Die as by SIGKILL at whatever await the tasks are: nothing more leaves, nothing more is written."""
        process = self.process
        if process is None:
            return
        process.transport.dead = process.worker.dead = True
        process.task.cancel()
        await asyncio.gather(process.task, return_exceptions=True)
        await process.transport.close()
        process.store.abandon()
        self.kills += 1

    async def _stop(self) -> None:
        process = self.process
        if process is not None:
            process.daemon.stop()
            await process.task
            await process.transport.close()

    def _start(self) -> None:
        self.lives += 1
        run_id = f"sim-{self.seed}-{self.lives}"
        worker, transport, clock = MortalWorker(), MortalTransport(self.api), self.clock
        audit = AuditLog(self.config.paths.logs, max_bytes=self.config.audit.max_bytes, retention=7)
        store = Store(self.config.paths.state / "gmobot.db", audit=audit, run_id=run_id, clock=clock, worker=worker)
        rest = GmoRest(
            transport,
            clock,
            credentials=Credentials(Secret(KEY), Secret(SECRET)),
            limiter=RateLimiter(clock, private_per_second=40.0),
            timeouts=Timeouts(connect=2.0, reply=2.5),
        )
        draw, pacer, backoff = random.Random(f"{self.seed}:{self.lives}"), CommandPacer(clock), Backoff(0.2, 2.0)
        public = PublicStream(transport, clock, pacer, symbols=["BTC"], seed=draw, backoff=backoff, silence_seconds=15.0)
        private = PrivateStream(transport, rest, clock, pacer, seed=draw, backoff=backoff)
        daemon = Daemon(
            self.config,
            Links(rest, public, rest, private),
            {"BTC": self.program},
            store=store,
            telemetry=Telemetry(version="sim", config_hash=self.config.hash()),
            clock=clock,
            decision_worker=worker,
            run_id=run_id,
            preflight=[],
        )
        self.process = Process(daemon, transport, worker, store, asyncio.create_task(daemon.run()))


def _config(var: Path) -> Config:
    for folder in ("artifacts", "logs", "state"):
        (var / folder).mkdir()
    return Config.model_validate(
        {
            "mode": "live",
            "execute_orders": True,
            "environment": "emulator",
            "instruments": [
                {"symbol": "BTC", "bar_seconds": 1, "strategy": STRATEGY, "params": PARAMS, "sizing": {"method": "fixed", "size": "0.01"}}
            ],
            "risk": {
                "max_drawdown": 0,
                "daily_loss_limit": 0,
                "max_trade_loss": 0,
                "max_position_size": "0.01",
                "max_orders_per_minute": 600,
            },
            "runtime": {"reconcile_seconds": 20, "warmup_bars": 20},
            "venue": {"visibility_delay_seconds": 3.0, "reply_timeout_seconds": 2.5},
            "paths": {"var": str(var)},
        }
    )


def run_seed(seed: int, program: Program) -> Result:
    """Run one seed on a fresh virtual loop.

    Raises:
        Violation: An invariant does not hold; the text names it.
    """
    loop = VirtualLoop(seed)
    try:
        asyncio.set_event_loop(loop)
        world = World(seed, program, loop)
        try:
            return loop.run_until_complete(world.run())
        finally:
            loop.on_step = None
            world.close()
            pending = asyncio.all_tasks(loop)
            for task in pending:
                task.cancel()
            if pending:
                loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    finally:
        asyncio.set_event_loop(None)
        loop.close()

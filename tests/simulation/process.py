"""A process that can die at any await, before and after any write, and leave torn files behind."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, TypeVar

from tests.simulation.loop import VirtualLoop
from tests.simulation.net import CONNECT, Net
from tests.simulation.trouble import Wire

from gmobot.clock import NS_PER_SECOND
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.errors import NotSent, StoreError
from gmobot.live import emergency
from gmobot.live.daemon import Daemon
from gmobot.live.store import Store
from gmobot.venue.transport import Reply, ReplyLost, Request, Socket, Timeouts

T = TypeVar("T")


class DaemonClock:
    """The clock of the daemon's machine: monotonic time is the loop's, the wall can be set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset_seconds = 0.0

    def now_ns(self) -> int:
        return self._loop.epoch_ns + round((self._loop.time() + self.offset_seconds) * NS_PER_SECOND)

    def monotonic(self) -> float:
        return self._loop.time()


@dataclass
class Doom:
    """When a process is to die, if not at a moment.

    Attributes:
        writes: Calls of the database until it dies, 0 for never.
        after_write: Whether the last of them is still carried out.
        request: Part of a path at whose request it dies, with the stage: before it leaves, accepted by the exchange and the
            reply not read, or with the reply in hand.
    """

    writes: int = 0
    after_write: bool = False
    request: tuple[str, str] | None = None
    die: Callable[[], None] = field(default=lambda: None)


class Mortal:
    """What all parts of one life share: whether it is over."""

    def __init__(self) -> None:
        self.dead = False
        self.doom = Doom()

    def die(self) -> None:
        """From now on nothing leaves and nothing is written."""
        self.dead = True
        self.doom.die()


class MortalWorker:
    """Runs calls of the database one after another until its process is dead: inline, or where writing takes time, that much later."""

    def __init__(self, life: Mortal, written: Callable[[], None], *, seconds: float = 0.0) -> None:
        self._life = life
        self._written = written
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def run(self, call: Callable[[], T]) -> T:
        if not self._seconds:
            return self._run(call)
        # As on a thread, who stops waiting does not stop the call.
        later = asyncio.ensure_future(self._later(call))
        later.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(later)

    async def _later(self, call: Callable[[], T]) -> T:
        async with self._turn:
            await asyncio.sleep(self._seconds)
            return self._run(call)

    def _run(self, call: Callable[[], T]) -> T:
        life, doom = self._life, self._life.doom
        if life.dead:
            raise StoreError("the process is dead")
        if doom.writes:
            doom.writes -= 1
            if doom.writes == 0:
                if doom.after_write:
                    call()
                    self._written()
                life.die()
                raise StoreError("the process is dead")
        result = call()
        self._written()
        return result

    def close(self) -> None:
        return


class DecisionWorker:
    """Runs decisions inline, until the strategy hangs."""

    def __init__(self, life: Mortal) -> None:
        self._life = life
        self.hangs = False

    async def run(self, call: Callable[[], T]) -> T:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return call()

    def close(self) -> None:
        return


class MortalTransport:
    """The in-memory transport of a process that can be killed, and the wire that is watched."""

    def __init__(self, api: ExchangeApi, life: Mortal, wire: Wire, net: Net, leaves: Callable[[Request], None]) -> None:
        self._inner = MemoryTransport(api)
        self._net = net
        self._leaves = leaves
        self._life = life
        self._wire = wire

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        if self._life.dead:
            raise NotSent("the process is dead")
        stage = self._stage(request.path)
        if stage == "before":
            self._life.die()
            raise NotSent("the process is dead")
        self._net.pass_out(request.path.removeprefix("/private").removeprefix("/public"))
        self._leaves(request)
        reply = await self._watched(request, timeouts)
        if stage == "accepted":
            self._life.die()
            raise ReplyLost("the process is dead")
        if stage == "after":
            asyncio.get_running_loop().call_soon(self._life.die)
        return reply

    async def _watched(self, request: Request, timeouts: Timeouts) -> Reply:
        number, reply = self._wire.asks(request.path), None
        try:
            answer = await self._inner.request(request, timeouts)
            if self._net.down:
                raise ReplyLost("the network is down")
            reply = answer
        finally:
            self._wire.answered(number, reply, dead=self._life.dead)
        return answer

    async def connect(self, path: str, *, timeout: float) -> Socket:
        if self._life.dead:
            raise NotSent("the process is dead")
        self._net.pass_out(CONNECT)
        return await self._inner.connect(path, timeout=timeout)

    async def close(self) -> None:
        await self._inner.close()

    def _stage(self, path: str) -> str:
        doomed = self._life.doom.request
        if doomed is None or not path.endswith(doomed[0]):
            return ""
        self._life.doom.request = None
        return doomed[1]


class Disk:
    """The disk of the daemon's machine, as its database sees it.

    Attributes:
        full: Whether it takes no more.
        draw: Chooses where in a transaction that is found out.
    """

    def __init__(self, draw: random.Random) -> None:
        self.full = False
        self.draw = draw
        self._locker: sqlite3.Connection | None = None

    @property
    def takes_nothing(self) -> bool:
        """Whether the database cannot be written now."""
        return self.full or self._locker is not None

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open the database as the daemon does, without waiting for locks: time stands still meanwhile."""
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.0, factory=_OnDisk)
        db.disk = self
        return db

    def lock(self, path: Path) -> None:
        """Somebody else begins to write and does not end."""
        if self._locker is not None:
            return
        self._locker = sqlite3.connect(path, isolation_level=None, timeout=0.0)
        try:
            self._locker.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self.unlock()

    def unlock(self) -> None:
        """They let go."""
        if self._locker is not None:
            self._locker.close()
            self._locker = None


class _OnDisk(sqlite3.Connection):
    """A connection that finds its disk full: as a transaction begins, at one of its statements, or as it is committed.

    A commit whose last sync fails is reported as failed and is in the file all the same.
    """

    disk: Disk
    _strikes_at = ""
    _statements = 0

    def execute(self, sql: str, /, *more: Any) -> sqlite3.Cursor:
        if self.disk.full and not sql.lstrip().startswith(("SELECT", "PRAGMA")):
            self._find_out(sql)
        return super().execute(sql, *more)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> Literal[False]:
        if self.disk.full and kind is None and self.in_transaction:
            if self._strikes_at != "sync":
                self._refuse()
            self.commit()
            raise sqlite3.OperationalError("disk I/O error")
        return super().__exit__(kind, error, trace)

    def _find_out(self, sql: str) -> None:
        if sql.startswith("BEGIN"):
            self._strikes_at = self.disk.draw.choice(("begin", "statement", "commit", "sync"))
            self._statements = self.disk.draw.randrange(1, 4)
        elif not self.in_transaction:
            self._refuse()
        self._statements -= 1
        if self._strikes_at == "begin" or (self._strikes_at == "statement" and not self._statements):
            self._refuse()

    def _refuse(self) -> NoReturn:
        if self.in_transaction:
            self.rollback()
        raise sqlite3.OperationalError("database or disk is full")


@dataclass
class Process:
    """One life of the daemon."""

    daemon: Daemon
    transport: MortalTransport
    decider: DecisionWorker
    life: Mortal
    store: Store
    task: asyncio.Task[None]


def leave_as_killed(store: Store, var: Path, draw: random.Random) -> None:
    """Let go of the database as a killed process does, and leave what was not synced torn.

    The write-ahead log ends with whatever the kernel had of the transaction that was being written, and so does the
    emergency journal; the audit log, which is only a copy, may have lost its end.
    """
    state = var / "state"
    kept = {path: path.read_bytes() for path in state.glob("gmobot.db*") if not path.name.endswith("-shm")}
    store.abandon()
    for path in state.glob("gmobot.db*"):
        path.unlink()
    for path, content in kept.items():
        torn = draw.randbytes(draw.randrange(0, 5_000)) if path.name.endswith("-wal") and draw.random() < 0.5 else b""
        path.write_bytes(content + torn)
    log = var / "logs" / "audit_events.jsonl"
    if log.exists() and draw.random() < 0.5:
        content = log.read_bytes()
        log.write_bytes(content[: len(content) - draw.randrange(0, min(400, len(content)) + 1)])
    if draw.random() < 0.5:
        _tear_record(state / emergency.NAME, draw)
    if draw.random() < 0.2:
        (var / "artifacts" / "run_progress.json.tmp").write_bytes(b'{"torn":')


def _tear_record(path: Path, draw: random.Random) -> None:
    """Leave half a record behind the last whole one."""
    if path.exists():
        end = emergency.scan(path)[1]
        with path.open("r+b") as file:
            file.seek(end)
            file.write(draw.randbytes(draw.randrange(1, 200)))

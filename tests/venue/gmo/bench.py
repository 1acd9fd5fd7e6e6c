"""A stream on a bench: scripted sockets, a token office, a virtual clock."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gmobot.secrets import Secret
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PrivateStream, PublicStream, Stream
from gmobot.venue.models import StreamEvent, StreamNotice
from gmobot.venue.transport import Reply, Request, SocketClosed, Timeouts

from ..virtual import VirtualClock, run_virtually


class FakeSocket:
    """A socket whose other end is the test."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._frames: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.commands: list[tuple[float, dict[str, str]]] = []
        self.heard = clock.monotonic()
        self.closed = False
        self.on_command: Callable[[dict[str, str]], None] = lambda command: None

    def say(self, frame: object) -> None:
        self._frames.put_nowait(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def tear(self) -> None:
        self._frames.put_nowait(None)

    async def send(self, text: str) -> None:
        command = json.loads(text)
        self.commands.append((self._clock.monotonic(), command))
        self.on_command(command)

    async def receive(self) -> str | bytes:
        frame = await self._frames.get()
        if frame is None:
            raise SocketClosed(1006)
        self.heard = self._clock.monotonic()
        return frame

    def last_heard(self) -> float:
        return self.heard

    async def close(self) -> None:
        self.closed = True


class Sockets:
    """A transport that opens sockets, or fails to."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.opened: list[FakeSocket] = []
        self.paths: list[str] = []
        self.refusals: list[Exception] = []
        self.on_open: Callable[[FakeSocket], None] = lambda socket: None

    async def connect(self, path: str, *, timeout: float) -> FakeSocket:
        self.paths.append(path)
        if self.refusals:
            raise self.refusals.pop(0)
        socket = FakeSocket(self._clock)
        self.opened.append(socket)
        self.on_open(socket)
        return socket

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Tokens(GmoRest):
    """A REST client that only knows tokens."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.log: list[tuple[str, str, float]] = []
        self.trouble: list[Exception | None] = []
        self.create_trouble: list[Exception] = []
        self._count = 0

    async def create_token(self) -> Secret:
        if self.create_trouble:
            raise self.create_trouble.pop(0)
        self._count += 1
        self._log("create", Secret(f"token-{self._count}"))
        return Secret(f"token-{self._count}")

    async def extend_token(self, token: Secret) -> None:
        self._log("extend", token)
        error = self.trouble.pop(0) if self.trouble else None
        if error is not None:
            raise error

    async def revoke_token(self, token: Secret) -> None:
        self._log("revoke", token)

    def _log(self, what: str, token: Secret) -> None:
        self.log.append((what, token.reveal().decode(), self._clock.monotonic()))

    def did(self) -> list[tuple[str, str]]:
        return [(what, token) for what, token, _ in self.log]


class Bench:
    """One stream under test and all it touches."""

    def __init__(
        self,
        *,
        symbols: tuple[str, ...] = ("BTC",),
        seed: int = 1,
        public: Mapping[str, Any] | None = None,
        private: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.sockets = Sockets(self.clock)
        self.rest = Tokens(self.clock)
        self.pacer = CommandPacer(self.clock)
        self.seen: list[StreamEvent] = []
        common: dict[str, Any] = {"seed": random.Random(seed), "backoff": Backoff(1.0, 8.0)}
        watched: dict[str, Any] = {"symbols": symbols, "silence_seconds": 15.0} | dict(public or {})
        self.public = PublicStream(self.sockets, self.clock, self.pacer, **common, **watched)
        common["seed"] = random.Random(seed)
        self.private = PrivateStream(self.sockets, self.rest, self.clock, self.pacer, **common, **(private or {}))

    @property
    def socket(self) -> FakeSocket:
        return self.sockets.opened[-1]

    def notices(self, state: str | None = None) -> list[tuple[str, str]]:
        found = [event for event in self.seen if isinstance(event, StreamNotice) and state in (None, event.state)]
        return [(event.state, event.detail) for event in found]


def on_bench(kind: str, script: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        bench = Bench(**options)
        stream: Stream = bench.public if kind == "public" else bench.private
        running = asyncio.create_task(stream.run(bench.seen.append))
        try:
            await script(bench)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert all(socket.closed for socket in bench.sockets.opened)

    run_virtually(main())


def book(symbol: str = "BTC") -> dict[str, object]:
    return {
        "channel": "orderbooks",
        "asks": [{"price": "2", "size": "1"}],
        "bids": [{"price": "1", "size": "1"}],
        "symbol": symbol,
        "timestamp": "2026-01-01T00:00:00.000Z",
    }


def trade(symbol: str = "BTC") -> dict[str, object]:
    return {"channel": "trades", "price": "1", "side": "BUY", "size": "1", "symbol": symbol, "timestamp": "2026-01-01T00:00:00.000Z"}


def answering(command: dict[str, str], socket: FakeSocket) -> None:
    """What a healthy exchange does with a subscription to books."""
    if command["channel"] == "orderbooks":
        socket.say(book(command["symbol"]))


def healthy(socket: FakeSocket) -> None:
    socket.on_command = lambda command: answering(command, socket)


async def keep_talking(bench: Bench, seconds: int, symbols: tuple[str, ...] = ("BTC",)) -> None:
    for _ in range(seconds):
        await asyncio.sleep(1)
        for symbol in symbols:
            bench.socket.say(book(symbol))


async def ping_for(bench: Bench, seconds: float) -> None:
    for _ in range(int(seconds / 10)):
        await asyncio.sleep(10)
        bench.socket.heard = bench.clock.monotonic()

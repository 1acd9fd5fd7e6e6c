"""What the cases speak to: an emulator of their own, or the real exchange, which they may only read."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from tests.conformance.customer import Customer
from tests.conformance.speech import PATIENCE_SECONDS, Answer, Stream
from tests.conformance.stage import MAIN, OTHER, SECRET, Stage

PRODUCTION = "api.coin.z.com"
COMMAND_SECONDS = 1.1
"""Between two commands of one address (§3.3), with a little to spare."""
_POLITE_SECONDS = 0.4
"""Between two requests to the real exchange (§3.2)."""


class NotReadOnlyError(AssertionError):
    """A case wanted to change something where nothing may be changed."""


class Target:
    """Somebody who speaks GMO Coin's protocol.

    Attributes:
        customer: The main account's owner.
        other: Another customer of the same emulator.
        codes: Error codes that were met.
        spoken: Endpoints and channels that were spoken to, like ``POST /private/v1/order`` and ``orderEvents``.
    """

    def __init__(self, session: aiohttp.ClientSession, host: str, *, stage: Stage | None, read_only: bool, keys: tuple[str, str]) -> None:
        self._session = session
        self._secure = "s" if stage is None else ""
        self._host = host
        self._stage = stage
        self._read_only = read_only
        self._commanded = False
        self.customer = Customer(self, *keys)
        self.other = Customer(self, OTHER, SECRET)
        self.codes: set[str] = set()
        self.spoken: set[str] = set()
        self.streams: list[Stream] = []

    @property
    def stage(self) -> Stage:
        """The emulator.

        Raises:
            NotReadOnlyError: Here is none, or it stands for the real exchange.
        """
        if self._stage is None or self._read_only:
            raise NotReadOnlyError("the real exchange has no stage")
        return self._stage

    @property
    def patience(self) -> float:
        """Seconds within which a live market has something new to say."""
        return PATIENCE_SECONDS if self._stage is not None else 60.0

    def customer_of(self, key: str, secret: str = SECRET) -> Customer:
        """Return the owner of another key."""
        return Customer(self, key, secret)

    def now_ms(self) -> int:
        """Return the time by which requests are signed."""
        return self._stage.clock.now_ns() // 1_000_000 if self._stage is not None else int(time.time() * 1_000)

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        if self._stage is not None:
            await self._stage.skip(seconds)
        else:
            await asyncio.sleep(seconds)

    async def get(self, path: str, **query: object) -> Answer:
        """Read a public endpoint."""
        return await self.send("GET", f"/public/v1/{path}", query)

    async def send(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request.

        Raises:
            NotReadOnlyError: It might change something where nothing may be changed.
        """
        if self._read_only and method != "GET":
            raise NotReadOnlyError(f"{method} {path}")
        if self._stage is None:
            await asyncio.sleep(_POLITE_SECONDS)
        target = f"http{self._secure}://{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        async with self._session.request(method, target, data=body.encode() or None, headers=headers) as reply:
            answer = Answer(reply.status, await reply.text(), reply.headers)
        self.spoken.add(f"{method} {path}")
        if answer.text.startswith("{") and (code := answer.code) is not None:
            self.codes.add(code)
        return answer

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        """Ask for what only the emulator has."""
        text = "" if body is None else json.dumps(body)
        async with self._session.request(method, f"http://{self.stage.address}/emulator/v1{path}", data=text) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def connect(self, path: str = "/ws/public/v1", **options: Any) -> Stream:
        """Open a WebSocket.

        Raises:
            NotReadOnlyError: A private one: its token would have to be made first.
        """
        if self._read_only and path.startswith("/ws/private"):
            raise NotReadOnlyError(path)
        socket = await self._session.ws_connect(f"ws{self._secure}://{self._host}{path}", autoping=False, compress=15, **options)
        self.streams.append(Stream(socket))
        return self.streams[-1]

    async def command(self, stream: Stream, **command: str) -> None:
        """Send a command as soon as the limit of an address allows it."""
        self.spoken.update({command.get("channel", "")} - {""})
        await self.say(stream, json.dumps(command))

    async def say(self, stream: Stream, text: str) -> None:
        """Send any text as soon as the limit allows it; an emulator has then dealt with it."""
        # The real exchange remembers the case before this one.
        if self._commanded or self._stage is None:
            await self.pause(COMMAND_SECONDS)
        self._commanded = True
        await stream.send(text)
        if self._stage is not None:
            await stream.ping()
            await self._answered(stream)

    async def subscribe(self, stream: Stream, channel: str, symbol: str | None = None, option: str | None = None) -> None:
        """Subscribe; nothing acknowledges it."""
        named = {"channel": channel, "symbol": symbol, "option": option}
        await self.command(stream, command="subscribe", **{name: value for name, value in named.items() if value is not None})

    async def opened(self, channel: str, symbol: str | None = None, option: str | None = None) -> Stream:
        """Open the public stream and subscribe to one channel."""
        stream = await self.connect()
        await self.subscribe(stream, channel, symbol, option)
        return stream

    @staticmethod
    async def _answered(stream: Stream) -> None:
        """Wait for the pong of the ping behind a command: the command was carried out."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not stream.pongs and not stream.closed:
                await asyncio.sleep(0.001)
        stream.pongs = 0


@asynccontextmanager
async def emulator(*, read_only: bool = False, **stage: Any) -> AsyncIterator[Target]:
    """Yield an emulator of one's own; read-only as the real exchange is."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        played = Stage(**stage)
        await played.start()
        stack.push_async_callback(played.close)
        target = Target(session, played.address, stage=played, read_only=read_only, keys=(MAIN, SECRET))
        stack.push_async_callback(_hang_up, target)
        yield target


@asynccontextmanager
async def production(
    keys: tuple[str, str], host: str = PRODUCTION, *, connector: aiohttp.BaseConnector | None = None
) -> AsyncIterator[Target]:
    """Yield the real exchange, or whoever is at another address or behind a connector, treated like it."""
    async with aiohttp.ClientSession(connector=connector) as session:
        target = Target(session, host, stage=None, read_only=True, keys=keys)
        try:
            yield target
        finally:
            await _hang_up(target)


async def _hang_up(target: Target) -> None:
    for stream in target.streams:
        await stream.close()

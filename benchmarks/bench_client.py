"""The client's own cost: frames to models, and a request over what bare aiohttp needs for the same."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import aiohttp
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import median_seconds, row
from gmobot.clock import SystemClock
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.limits import RateLimiter
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import CommandPacer, PrivateStream, PublicStream, Stream
from gmobot.venue.http import HttpTransport
from gmobot.venue.models import StreamEvent, StreamNotice

TRADE = '{"channel":"trades","price":"13659677","side":"BUY","size":"0.003","symbol":"BTC_JPY","timestamp":"2026-09-23T03:25:49.286Z"}'
EXECUTION = (
    '{"channel":"executionEvents","orderId":1201641525,"executionId":278209163,"symbol":"BTC_JPY","settleType":"OPEN",'
    '"executionType":"LIMIT","side":"SELL","executionPrice":"5292138","executionSize":"0.01","positionId":86266824,'
    '"orderTimestamp":"2021-03-06T07:10:10.795Z","executionTimestamp":"2021-03-06T07:10:32.004Z","lossGain":"0","fee":"0",'
    '"orderPrice":"5292138","orderSize":"0.01","orderExecutedSize":"0.01","timeInForce":"FAS","msgType":"ER"}'
)
REPLY = b'{"status":0,"responsetime":"2026-09-23T03:25:49.286Z"}'
HTTP_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(REPLY), REPLY)
FRAMES, REQUESTS = 2_000, 3_000


def book() -> tuple[str, str]:
    """Return a frame with thirty levels a side, and where it comes from."""
    folder = os.environ.get("GMOBOT_DATA")
    if folder:
        return (Path(folder) / "gmo/ws_samples/orderbooks_BTC_JPY_20250430_full.json").read_text(encoding="utf-8"), "recorded"
    draw = random.Random(1)
    asks = [{"price": str(13_660_704 + 97 * level), "size": f"0.{draw.randrange(1, 999):03d}"} for level in range(30)]
    bids = [{"price": str(13_658_802 - 97 * level), "size": f"0.{draw.randrange(1, 999):03d}"} for level in range(30)]
    whole = {"channel": "orderbooks", "asks": asks, "bids": bids, "symbol": "BTC_JPY", "timestamp": "2026-09-23T03:25:35.843Z"}
    return json.dumps(whole | {"grouping": "1"}, separators=(",", ":")), "made up; GMOBOT_DATA is not set"


def decoding(stream: Stream, frame: str) -> float:
    """Return microseconds from a frame's text to its event in the sink, through the stream's own code."""
    latest: list[StreamEvent | None] = [None]

    def sink(event: StreamEvent) -> None:
        latest[0] = event

    def run() -> None:
        for _ in range(FRAMES):
            stream._on_frame(frame, sink)  # noqa: SLF001  # what the receive loop calls, without a socket

    seconds = median_seconds(run)
    assert not isinstance(latest[0], StreamNotice | None)
    return seconds / FRAMES * 1e6


class _Answers(asyncio.Protocol):
    """A server that says yes to every whole request, as cheaply as can be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._text = b""

    def data_received(self, data: bytes) -> None:
        self._text += data
        head, separator, body = self._text.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        if separator and len(body) >= length:
            self._text = b""
            self._transport.write(HTTP_REPLY)


def serve(told: Connection) -> None:
    """Serve for ever on a free port, in a process of its own."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def overhead(port: int) -> tuple[float, float, float]:
    """Return median microseconds of a bare request, of the client's, and of the difference of neighbours."""
    url, body = f"http://127.0.0.1:{port}/private/v1/cancelOrder", b'{"orderId":1}'
    headers = {"API-KEY": "k" * 32, "API-TIMESTAMP": "1735689600000", "API-SIGN": "0" * 64, "Content-Type": "application/json"}
    transport, clock = HttpTransport(f"http://127.0.0.1:{port}"), SystemClock()
    credentials = Credentials(Secret("k" * 32), Secret("s" * 32))
    rest = GmoRest(transport, clock, credentials=credentials, limiter=RateLimiter(clock, private_per_second=1e9))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def bare() -> None:
            async with session.post(url, data=body, headers=headers) as reply:
                assert await reply.read() == REPLY

        async def client() -> None:
            await rest.cancel_order(1)

        for _ in range(200):
            await bare()
            await client()
        pairs = [(await _timed(bare), await _timed(client)) for _ in range(REQUESTS)]
    await transport.close()
    return (
        statistics.median(first for first, _ in pairs) * 1e6,
        statistics.median(second for _, second in pairs) * 1e6,
        statistics.median(second - first for first, second in pairs) * 1e6,
    )


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


def requests() -> None:
    """Print what a request costs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            bare, client, more = runner.run(overhead(ours.recv()))
    finally:
        server.terminate()
        server.join()
    row("POST over loopback, bare aiohttp, median", bare, "us")
    row("the same through the client: limit, sign, send, conclude", client, "us")
    row("the client's own share, median of neighbours", more, "us", "goal <= 60")


def main() -> None:
    """Print every figure."""
    transport, clock, seed = HttpTransport("http://127.0.0.1:1"), SystemClock(), random.Random(1)
    pacer = CommandPacer(clock)
    public = PublicStream(transport, clock, pacer, symbols=["BTC_JPY"], seed=seed)
    private = PrivateStream(transport, GmoRest(transport, clock), clock, pacer, seed=seed)
    levels, source = book()
    row("a trade frame to its model", decoding(public, TRADE), "us", "goal <= 5")
    row(f"a book of 2 x 30 levels to its model ({source})", decoding(public, levels), "us", "goal <= 40")
    row("an execution event to its model", decoding(private, EXECUTION), "us")
    requests()


if __name__ == "__main__":
    main()

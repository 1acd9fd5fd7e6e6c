"""Speed of the emulator: orders in process, orders over HTTP, frames to many sockets; server and load on a core each."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import row
from gmobot.cli.rules import recorded_instrument
from gmobot.clock import SystemClock
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.market import SyntheticMarket
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.venue.transport import Request

KEY, SECRET = "bench-key", "bench-secret"
ORDERS = 20_000
CONNECTIONS = 16
SOCKETS = 100
SECONDS = 5.0
UNLIMITED = Assumptions(private_per_second=10**9, most_active_orders=10**9, reply_seconds=0.0, timestamp_window_seconds=3_600.0)
"""What the figures must not be of: allowances, and the delay of an honest reply."""


def signed(number: int) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a LIMIT order that rests."""
    body = f'{{"symbol":"BTC","side":"BUY","executionType":"LIMIT","price":"{9_000_000 + number % 500}","size":"0.001"}}'.encode()
    stamp = str(time.time_ns() // 1_000_000)
    sign = hmac.digest(SECRET.encode(), f"{stamp}POST/v1/order".encode() + body, hashlib.sha256).hex()
    return body, {"API-KEY": KEY, "API-TIMESTAMP": stamp, "API-SIGN": sign}


async def in_process() -> float:
    """Return signed orders a second through the exchange's API, without a network."""
    instrument = recorded_instrument("BTC")
    customer = account(KEY, SECRET, {"JPY": Decimal(10**12)}, {"BTC": instrument})
    exchange = Exchange(SystemClock(), {"BTC": (instrument, SyntheticMarket(instrument, seed=1))}, {KEY: customer}, assumptions=UNLIMITED)
    exchange.start()
    api = ExchangeApi(exchange)
    requests = [Request("POST", "/private/v1/order", "", headers, body) for body, headers in map(signed, range(ORDERS))]
    started = time.perf_counter()
    for request in requests:
        await api.handle(request)
    spent = time.perf_counter() - started
    if len(customer.open_orders) != ORDERS:
        raise SystemExit(f"only {len(customer.open_orders)} of {ORDERS} orders were taken")
    return ORDERS / spent


@contextmanager
def server(core: int, *options: str) -> Iterator[tuple[int, int]]:
    """Run ``gmobot exchange`` on one core and yield its port and process id."""
    names = ("private_per_second", "most_active_orders", "reply_seconds", "timestamp_window_seconds")
    assume = [part for name in names for part in ("--assume", f"{name}={getattr(UNLIMITED, name)}")]
    command = [sys.executable, "-u", "-m", "gmobot", "exchange", "--port", "0", "--account", f"{KEY}:{SECRET}:JPY=1000000000000"]
    with subprocess.Popen([*command, *assume, *options], stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[4].rpartition(":")[2]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def core_seconds(pid: int) -> float:
    """Return how long a process has had a core: what a busy machine leaves out of the wall clock's figures."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def over_http(port: int) -> float:
    """Return signed orders a second over keep-alive connections."""

    async def connection(share: range) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in share:
            body, headers = signed(number)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"POST /private/v1/order HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if json.loads(await reader.readexactly(size))["status"] != 0:
                raise SystemExit("an order was refused")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection(range(n, ORDERS, CONNECTIONS)) for n in range(CONNECTIONS)))
    return ORDERS / (time.perf_counter() - started)


class Counter(asyncio.Protocol):
    """A subscriber that counts frames by their headers."""

    def __init__(self) -> None:
        self.frames = 0
        self._upgraded = False
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        transport.write(
            b"GET /ws/public/v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
        command = b'{"command":"subscribe","channel":"trades","symbol":"BTC"}'
        transport.write(bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command)  # masked with zeros

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        if not self._upgraded:
            at = self._buffer.find(b"\r\n\r\n") + 4
            if at < 4:
                return
            self._upgraded = True
        buffer, end = self._buffer, len(self._buffer)
        while at + 4 <= end:
            size, head = buffer[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(buffer[at + 2 : at + 4]), 4
            if at + head + size > end:
                break
            at += head + size
            self.frames += 1
        self._buffer = buffer[at:]


async def fan_out(port: int) -> float:
    """Return frames a second that arrive at many sockets, each from an address of its own."""
    loop = asyncio.get_running_loop()
    counters = []
    for number in range(SOCKETS):
        _, counter = await loop.create_connection(Counter, "127.0.0.1", port, local_addr=(f"127.0.1.{number + 1}", 0))
        counters.append(counter)
    await asyncio.sleep(1.0)
    before, started = sum(counter.frames for counter in counters), time.perf_counter()
    await asyncio.sleep(SECONDS)
    return (sum(counter.frames for counter in counters) - before) / (time.perf_counter() - started)


def main() -> None:
    """Print every figure."""
    import uvloop

    cores = sorted(os.sched_getaffinity(0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        row("orders in process", runner.run(in_process()), "orders/s", "goal >= 5,000")
        os.sched_setaffinity(0, {cores[-1]})
        with server(cores[0]) as (port, pid):
            before = core_seconds(pid)
            row(f"orders over HTTP, {CONNECTIONS} connections", runner.run(over_http(port)), "orders/s", "goal >= 1,500")
            row("orders over HTTP, by the server's own core time", ORDERS / (core_seconds(pid) - before), "orders/s")
        for speed in (100, 400):
            with server(cores[0], "--symbols", "BTC", "--speed", str(speed)) as (port, _):
                offered = 2 * speed * 2 * SOCKETS
                row(f"frames to {SOCKETS} sockets, about {offered:,} offered", runner.run(fan_out(port)), "frames/s", "goal >= 20,000")


if __name__ == "__main__":
    main()

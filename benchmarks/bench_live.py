"""The live path: decoding a frame into a bar, and a real bot against the real emulator over loopback."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import median_seconds, row
from gmobot.cli.rules import recorded_instrument
from gmobot.core.bars import BarBuilder
from gmobot.live.market import Market
from gmobot.venue.gmo import wire

FRAME = b'{"channel":"trades","price":"13659677","side":"BUY","size":"0.003","symbol":"BTC","timestamp":"2026-09-23T03:25:49.286Z"}'
FRAMES = 20_000
SECONDS = 45.0
EXCHANGE_PORT, HEALTH_PORT = 19_755, 19_754
FAST = '{"fast": 2, "slow": 4, "rsi_period": 3, "rsi_overbought": 100.0, "atr_period": 4, "stop_atr": 1.0, "take_profit_atr": 2.0}'


def decode_and_update() -> float:
    """Return microseconds from a frame's bytes to an updated bar and market."""
    instrument = recorded_instrument("BTC")
    market, builder = Market(instrument), BarBuilder(60)

    def run() -> None:
        for number in range(FRAMES):
            frame = msgspec.json.decode(FRAME, type=wire.Frame)
            assert frame.channel == "trades"
            print_ = msgspec.json.decode(FRAME, type=wire.TradeData).model("BTC")
            market.on_print(print_, number)
            builder.add(print_.at_ns, market.last, instrument.lots(print_.size))

    return median_seconds(run, runs=5) / FRAMES * 1e6


def help_seconds() -> float:
    """Return the median time of ``gmobot --help``."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "gmobot", "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def live() -> None:
    """Run both processes and print what the bot's own metrics say."""
    with tempfile.TemporaryDirectory() as var:
        env = os.environ | {
            "GMO_API_KEY": "emulator-key",
            "GMO_API_SECRET": "emulator-secret",
            "HEALTH_PORT": str(HEALTH_PORT),
            "GMOBOT__PATHS__VAR": var,
            "GMOBOT__VENUE__REST_URL": f"http://127.0.0.1:{EXCHANGE_PORT}",
            "GMOBOT__VENUE__WS_URL": f"ws://127.0.0.1:{EXCHANGE_PORT}",
            "GMOBOT__INSTRUMENTS__0__PARAMS": FAST,
        }
        exchange = subprocess.Popen(
            [sys.executable, "-m", "gmobot", "exchange", "--port", str(EXCHANGE_PORT)], stdout=subprocess.DEVNULL, env=env
        )
        bot = None
        try:
            _wait(f"http://127.0.0.1:{EXCHANGE_PORT}/emulator/v1")
            started = time.perf_counter()
            command = [sys.executable, "-m", "gmobot", "run", "--config", "configs/demo.yaml"]
            bot = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=env)
            _wait(f"http://127.0.0.1:{HEALTH_PORT}/healthz")
            row("start to first healthy, warm cache", time.perf_counter() - started, "s")
            _wait(f"http://127.0.0.1:{HEALTH_PORT}/readyz")
            row("start to ready to trade (streams, reconciled)", time.perf_counter() - started, "s")
            time.sleep(SECONDS)
            _figures(bot.pid)
            started = time.perf_counter()
            bot.send_signal(signal.SIGTERM)
            code = bot.wait(20)
            row(f"SIGTERM to exit (code {code})", time.perf_counter() - started, "s")
        finally:
            for process in (bot, exchange):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()


def _figures(pid: int) -> None:
    text = urllib.request.urlopen(f"http://127.0.0.1:{HEALTH_PORT}/metrics", timeout=5).read().decode()
    orders = _value(text, "gmobot_tick_to_order_seconds_count")
    row("entry orders seen", orders, "")
    if orders:
        row("tick to order: bar due to request leaving, mean", _value(text, "gmobot_tick_to_order_seconds_sum") / orders * 1e3, "ms")
    trips = _value(text, "gmobot_order_roundtrip_seconds_count")
    if trips:
        row("order round trip (emulator answers after 10 ms), mean", _value(text, "gmobot_order_roundtrip_seconds_sum") / trips * 1e3, "ms")
    resident = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    row("daemon RSS", int(resident.split()[1]) / 1024, "MB", "goal <= 280")


def _value(text: str, name: str) -> float:
    found = re.search(rf"^{name}(?:{{}})? ([0-9.e+-]+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def _wait(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.02)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    row("a trade frame into market and bar", decode_and_update(), "us")
    row("gmobot --help", help_seconds(), "s", "goal <= 0.3")
    live()

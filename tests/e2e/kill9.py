"""``python -m tests.e2e.kill9 --times 200``: the real daemon is killed at random moments, among lost and slow replies.

Real processes, real sockets, real files. Half of the moments are anywhere in a life, its start included; the other half
lie within a few milliseconds of an order's request. After the last restart everything is level: every execution is
booked once, no order is without an intent, the position is protected, the audit log is whole.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.e2e.processes import Bot, Emulator, differences, position_at, until

from gmobot.cli.rules import recorded_instrument
from gmobot.core.instrument import Instrument
from gmobot.ops.audit_read import verify

SYMBOLS = ("BTC", "BTC_JPY")
LONGEST_LIFE_SECONDS = 8.0
LONGEST_WAIT_SECONDS = 60.0
CALM_SECONDS = 14.0
"""After the faults have ended: both delays, and a comparison with the exchange."""
RISK = {"max_drawdown": 0, "daily_loss_limit": 0, "max_trade_loss": 0, "max_position_size": "0.05", "max_orders_per_minute": 600}
RUNTIME = {"reconcile_seconds": 3, "warmup_bars": 6, "bar_grace_ms": 100}
WRITES = ("/v1/order", "/v1/closeOrder", "/v1/closeBulkOrder", "/v1/cancelOrder")
FAULTS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("reply_lost_before", WRITES, 0.05),
    ("reply_lost_after", WRITES, 0.1),
    ("server_error", WRITES, 0.05),
    ("reply_slow", ("/v1/*",), 0.05),
    ("event_before_reply", WRITES, 0.3),
    ("hidden", WRITES[:3], 0.2),
    ("event_lost", ("*Events",), 0.1),
    ("event_duplicated", ("*Events",), 0.2),
)


@dataclass
class Tally:
    """What a session of kills saw.

    Attributes:
        trouble: What should not have been; nothing when all is well.
        moments: How long each life lasted, in seconds.
    """

    symbol: str
    seed: int
    trouble: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    orders: int = 0
    executions: int = 0
    struck: int = 0


class Session:
    """One emulator and one bot on one ``var``, killed again and again."""

    def __init__(self, symbol: str, seed: int) -> None:
        self.tally = Tally(symbol, seed)
        self.instrument = recorded_instrument(symbol)
        self._draw = random.Random(f"kill9:{symbol}:{seed}")
        self._var = Path(tempfile.mkdtemp(prefix="gk9-"))
        self._emulator = Emulator("--symbols", symbol, "--speed", "5", "--seed", str(seed))
        self._bot = Bot(self._var, self._emulator.url, instruments=[_instrument(self.instrument)], risk=RISK, runtime=RUNTIME)

    def run(self, times: int, tell: Callable[[str], None]) -> Tally:
        """Kill it so often, let it live once more, and compare."""
        try:
            for fault, places, probability in FAULTS:
                for place in places:
                    self._emulator.ask("/faults", {"fault": fault, "where": place, "times": None, "probability": probability})
            for number in range(1, times + 1):
                self._live_and_die(number)
                if number % 10 == 0:
                    tell(f"{self.tally.symbol}: {number} of {times} kills, {len(self._emulator.ledger()['orders'])} orders\n")
            self._compare()
        except AssertionError as error:
            self.tally.trouble.append(f"{error}")
        finally:
            self.close()
        return self.tally

    def close(self) -> None:
        """End both processes and remove the files; those of a session that went wrong are kept."""
        self._bot.kill()
        self._emulator.close()
        if not self.tally.trouble:
            shutil.rmtree(self._var, ignore_errors=True)
        else:
            self.tally.trouble.append(f"see {self._var}")

    def _live_and_die(self, number: int) -> None:
        began = time.monotonic()
        intents = self._intents()
        self._bot.start()
        if number % 2:
            time.sleep(self._draw.uniform(0.05, LONGEST_LIFE_SECONDS))
        else:
            give_up = began + LONGEST_WAIT_SECONDS
            while self._intents() <= intents and time.monotonic() < give_up:
                time.sleep(0.005)
            time.sleep(self._draw.uniform(0.0, 0.03))
        assert self._bot.alive, f"it ended by itself in life {number}: {self._bot.console()}"
        self._bot.kill()
        self.tally.moments.append(time.monotonic() - began)

    def _intents(self) -> int:
        with suppress(Exception):  # there is no table before the first start, and a lock is no news
            return int(self._bot.rows("SELECT COALESCE(MAX(intent_id), 0) FROM intents")[0][0])
        return 0

    def _compare(self) -> None:
        faults = self._emulator.ask("/faults")
        self.tally.struck = sum(faults["struck"].values())
        for fault, *_ in FAULTS:
            self._emulator.disarm(fault)
        run = self._bot.begin()
        assert run["previous_run"] == "crashed", run["previous_run"]
        time.sleep(CALM_SECONDS)
        assert self._bot.call("pause").returncode == 0
        until(self._is_at_rest, "protected, and nothing unknown", seconds=60)
        self._emulator.stand_still()
        time.sleep(5.0)
        assert self._bot.stop() == 0, self._bot.console()
        theirs = self._emulator.ledger()
        self.tally.orders, self.tally.executions = len(theirs["orders"]), len(theirs["executions"])
        self.tally.trouble += differences(self._bot, self._emulator, self.instrument, lossy=True)
        self.tally.trouble += [what for what, holds in self._invariants(theirs).items() if holds]

    def _is_at_rest(self) -> bool:
        """Whether nothing is unknown, and the exchange itself holds orders that would close all that is held."""
        run = self._bot.artifact("run_progress.json")
        if run["status"] != "paused" or run["instruments"][0]["unknown_orders"]:
            return False
        theirs = self._emulator.ledger()
        held, covered = position_at(theirs, self.instrument), Decimal(0)
        for row in theirs["orders"]:
            if row["status"] in ("WAITING", "ORDERED") and row["side"] == ("SELL" if held > 0 else "BUY"):
                covered += Decimal(row["size"]) - Decimal(row["executedSize"])
        return self.instrument.lots(covered) >= abs(held)

    def _invariants(self, theirs: dict[str, Any]) -> dict[str, bool]:
        intents = self._bot.rows("SELECT COUNT(*), COUNT(order_id), COUNT(DISTINCT order_id) FROM intents")[0]
        verdict = verify(self._var / "logs")
        return {
            f"{len(theirs['orders'])} orders of {intents[0]} intents": len(theirs["orders"]) > intents[0],
            f"{intents[1]} intents share {intents[2]} orders": intents[1] != intents[2],
            f"audit: {verdict.problem}": not verdict.ok,
            "halted": bool(self._bot.rows("SELECT 1 FROM latches WHERE name = 'halt'")),
            "runs that were killed count as ended": self._bot.rows("SELECT COUNT(*) FROM runs WHERE ended_ns IS NOT NULL") != [(1,)],
        }


def _instrument(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "product": instrument.product.value,
        "bar_seconds": 1,
        "strategy": "tests.simulation.swing:Swing",
        "params": {"period": 2, "stop_atr": 2.0},
        "sizing": {"method": "fixed", "size": "0.05"},
    }


def main() -> int:
    """Kill spot and leverage bots side by side; exit code 1 when something is wrong afterwards."""
    parser = argparse.ArgumentParser(prog="tests.e2e.kill9")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    shares = (options.times - options.times // 2, options.times // 2)
    sessions = [Session(symbol, options.seed) for symbol in SYMBOLS]
    with ThreadPoolExecutor(len(sessions)) as pool:
        tallies = list(pool.map(lambda session, times: session.run(times, tell), sessions, shares))
    for tally in tallies:
        tell(_line(tally))
    tell(f"{sum(len(tally.moments) for tally in tallies)} kills in {time.monotonic() - started:.0f} s\n")
    return 1 if any(tally.trouble for tally in tallies) else 0


def _line(tally: Tally) -> str:
    lives = sorted(tally.moments) or [0.0]
    verdict = "; ".join(tally.trouble) or "level to the unit, protected, audit log whole"
    return (
        f"{tally.symbol} seed {tally.seed}: {len(tally.moments)} kills, lives of {lives[0]:.2f} to {lives[-1]:.1f} s (median "
        f"{lives[len(lives) // 2]:.1f}), {tally.orders} orders, {tally.executions} executions, {tally.struck} faults: {verdict}\n"
    )


if __name__ == "__main__":
    sys.exit(main())

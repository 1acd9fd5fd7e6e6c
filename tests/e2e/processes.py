"""The emulator and the bot as real processes on real sockets, and the comparison of their books."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from tests.ports import free_port

from gmobot.cli.rules import recorded_instrument
from gmobot.core.instrument import Instrument, Product, to_uyen

BTC = recorded_instrument("BTC")
FOREIGN_COINS = Decimal("0.5")
FOREIGN_LOTS = BTC.lots(FOREIGN_COINS)
"""Coins of the default account that were there before the bot."""
DAY = Path("gmo/trades/BTC/2024/07/20240705_BTC.csv.gz")
PARAMS = {"fast": 2, "slow": 5, "rsi_period": 3, "rsi_overbought": 100.0, "atr_period": 5, "stop_atr": 1.5, "take_profit_atr": 3.0}


def until(holds: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait until something in another process holds.

    Raises:
        AssertionError: It does not, in time.
    """
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"{what}: not within {seconds} s"
        time.sleep(0.1)


class Emulator:
    """``gmobot exchange`` in a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-u", "-m", "gmobot", "exchange", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("GMO Coin emulator on http://"), line + self.process.stdout.read()
        self.url = line.split()[4]

    def ask(self, path: str, body: dict[str, object] | None = None) -> Any:
        """Ask what only the emulator has."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/emulator/v1{path}", data), timeout=10) as reply:
            return json.loads(reply.read())

    def disarm(self, fault: str) -> None:
        """Take back a kind of fault."""
        request = urllib.request.Request(f"{self.url}/emulator/v1/faults?fault={fault}", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()

    def stand_still(self) -> None:
        """Let the tape stop and nothing new be ordered; queries, cancels and events go on."""
        self.ask("/status", {"status": "PREOPEN"})

    def go_on(self) -> None:
        """Trade again."""
        self.ask("/status", {"status": "OPEN"})

    def ledger(self) -> dict[str, Any]:
        """Return the default account's books; the emulator checks its own identities first."""
        books: dict[str, Any] = self.ask("/ledger")["emulator-key"]
        return books

    def order_requests(self) -> int:
        """Return how many orders the default account asked for, refused ones included."""
        access = self.ask("/access?key=emulator-key")["access"]
        return sum(row["method"] == "POST" and row["path"].endswith("/v1/order") for row in access)

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Bot:
    """``gmobot run`` in a process of its own, again and again on one ``var``."""

    def __init__(self, var: Path, url: str, **sections: Any) -> None:
        self.var = var
        self.config = var / "config.yaml"
        self.log = var / "console.log"
        self.port = free_port()
        self.config.write_text(yaml.safe_dump(_config(var, url, self.port) | sections))
        secrets = {"GMO_API_KEY": "emulator-key", "GMO_API_SECRET": "emulator-secret"}
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("GMOBOT__")} | secrets
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start a run."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(self._command("run", *options), stdout=out, stderr=out, env=self.environ)

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same config."""
        return subprocess.run(self._command(*command), capture_output=True, text=True, env=self.environ, timeout=60, check=False)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that comes too late is lost."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask for a clean end; return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def console(self) -> str:
        """Return what it printed, for a failing test."""
        return self.log.read_text(errors="replace")[-3_000:]

    def artifact(self, name: str) -> dict[str, Any]:
        """Return an artifact as it stands, empty before the first."""
        path = self.var / "artifacts" / name
        if not path.exists():
            return {}
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content

    def progress(self, *, started_after: str = "") -> dict[str, Any]:
        """Return ``run_progress.json`` of the run that started after a moment, empty before it is there."""
        content = self.artifact("run_progress.json")
        return content if content.get("started_at", "") > started_after else {}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database."""
        with closing(sqlite3.connect(f"file:{self.var}/state/gmobot.db?mode=ro", uri=True, timeout=5)) as db:
            return db.execute(query).fetchall()

    def begin(self, status: str = "running") -> dict[str, Any]:
        """Start a run and wait until it says where it stands, connected and level with the exchange."""
        before = self.artifact("run_progress.json").get("started_at", "")
        self.start()

        def settled() -> bool:
            assert self.alive, self.console()
            run = self.progress(started_after=before)
            return run.get("status") == status and run.get("monitor_status") == "active" and run.get("equity_jpy") is not None

        until(settled, f"the bot is {status}", seconds=60)
        return self.progress()

    def _command(self, *command: str) -> list[str]:
        return [sys.executable, "-m", "gmobot", *command, "--config", str(self.config)]


def differences(bot: Bot, emulator: Emulator, instrument: Instrument = BTC, *, lossy: bool = False) -> list[str]:
    """Return how a stopped bot's books differ from the exchange's; nothing when they are equal to the unit.

    Args:
        bot: Stopped.
        emulator: Its market at rest.
        instrument: The only one that was traded.
        lossy: Whether replies were lost: an order that ended without a fill before anybody could see it cannot then be told
            from one that never arrived.
    """
    theirs = emulator.ledger()
    fills = bot.rows("SELECT execution_id, order_id, side, lots, ticks, fee_uyen FROM fills")
    executed = sorted(_execution(row, instrument) for row in theirs["executions"])
    known = {row[0] for row in bot.rows("SELECT order_id FROM intents WHERE order_id IS NOT NULL")}
    live = {row[0] for row in bot.rows("SELECT order_id FROM intents WHERE state IN ('acknowledged', 'working')")}
    resting = {int(row["orderId"]) for row in theirs["orders"] if row["status"] in ("WAITING", "ORDERED")}
    came_to_nothing = {int(row["orderId"]) for row in theirs["orders"] if not Decimal(row["executedSize"])} - resting if lossy else set()
    strangers = {int(row["orderId"]) for row in theirs["orders"]} ^ known
    (record,) = bot.rows(f"SELECT json_extract(record, '$.position'), json_extract(record, '$.{_money(instrument)}') FROM ledgers") or [
        (0, 0)
    ]
    (base,) = bot.rows("SELECT value FROM account WHERE key = 'base_cash'")
    yen, held = to_uyen(Decimal(theirs["balances"]["JPY"])), position_at(theirs, instrument)
    found = {
        f"fills {sorted(set(fills) ^ set(executed))}": sorted(fills) != executed,
        f"orders without an intent {strangers - came_to_nothing}": bool(strangers - came_to_nothing),
        f"open orders {live ^ resting}": live != resting,
        f"position {record[0]}, exchange {held}": record[0] != held,
        f"cash {base[0] + record[1]}, exchange {yen}": base[0] + record[1] != yen,
        "unresolved intents": bot.rows("SELECT 1 FROM intents WHERE state IN ('intent', 'unknown')") != [],
        "foreign orders": bot.rows("SELECT 1 FROM foreign_orders") != [],
    }
    return [what for what, differs in found.items() if differs]


def position_at(theirs: dict[str, Any], instrument: Instrument) -> int:
    """Return the bot's position as the exchange's books have it, signed lots."""
    if instrument.product is Product.SPOT:
        return instrument.lots(Decimal(theirs["balances"][instrument.symbol])) - instrument.lots(FOREIGN_COINS)
    sizes = [(instrument.lots(Decimal(row["size"])), row["side"]) for row in theirs["positions"]]
    return sum(lots if side == "BUY" else -lots for lots, side in sizes)


def _money(instrument: Instrument) -> str:
    return "cash_uyen" if instrument.product is Product.SPOT else "reported_uyen"


def _execution(row: dict[str, Any], instrument: Instrument) -> tuple[int, int, str, int, int, int]:
    lots, ticks, fee = instrument.lots(Decimal(row["size"])), instrument.ticks(Decimal(row["price"])), to_uyen(Decimal(row["fee"]))
    return int(row["executionId"]), int(row["orderId"]), row["side"], lots, ticks, fee


def _config(var: Path, url: str, port: int) -> dict[str, Any]:
    sizing = {"method": "fixed", "size": "0.01"}
    strategy = "gmobot.strategies.ema_momentum:EmaMomentum"
    return {
        "mode": "live",
        "execute_orders": True,
        "environment": "emulator",
        "venue": {"rest_url": url, "ws_url": url.replace("http", "ws")},
        "instruments": [{"symbol": "BTC", "bar_seconds": 1, "strategy": strategy, "params": PARAMS, "sizing": sizing}],
        "risk": {"max_drawdown": 0, "daily_loss_limit": 0, "max_trade_loss": 0, "max_position_size": "0.05", "max_orders_per_minute": 600},
        "runtime": {"reconcile_seconds": 5, "warmup_bars": 20},
        "health": {"port": port},
        "paths": {"var": str(var)},
    }

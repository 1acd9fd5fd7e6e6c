"""No order leaves before its intent is on disk: seen from the kernel, on the real daemon, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.processes import Bot, Emulator, until
from tests.e2e.syscalls import OPTIONS, calls, premature

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: system calls cannot be seen"),
]
PATHS = {"order", "closeOrder", "closeBulkOrder", "changeOrder"}
ORDERS = 12
INSTRUMENT: dict[str, Any] = {
    "symbol": "BTC_JPY",
    "product": "leverage",
    "bar_seconds": 1,
    "strategy": "tests.simulation.swing:Swing",
    "params": {"period": 4, "stop_atr": 3.0},
    "sizing": {"method": "fixed", "size": "0.1"},
}
RISK = {"max_drawdown": 0, "daily_loss_limit": 0, "max_trade_loss": 0, "max_position_size": "0.1", "max_orders_per_minute": 600}

NO_SYNC = """
from gmobot.live.database import Database

sound = Database._configured

def configured(self):
    db = sound(self)
    db.execute("PRAGMA synchronous = OFF")
    return db

Database._configured = configured
"""
SENT_FIRST = """
import msgspec
from gmobot.live.store import Store

add, update = Store.add_intent, Store.update_intent

async def add_intent(self, *meant, **more):
    self.put_off = (meant, more)
    draft, *_ = meant
    return msgspec.structs.replace(draft, intent_id=self._next_intent)

async def update_intent(self, *standing):
    put_off, self.put_off = getattr(self, "put_off", None), None
    if put_off is not None:
        await add(self, *put_off[0], **put_off[1])
    await update(self, *standing)

Store.add_intent, Store.update_intent = add_intent, update_intent
"""


class TracedBot(Bot):
    """A bot whose system calls are recorded."""

    @property
    def record(self) -> Path:
        """Where they are."""
        return self.var / "strace"

    def plant(self, fault: str) -> None:
        """Run with a fault: Python imports ``sitecustomize`` before anything else."""
        folder = self.var / "planted"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(fault)
        self.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{self.environ.get('PYTHONPATH', '')}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the daemon itself to end; strace ends with it."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        if self._process.poll() is None:
            for child in children.read_text().split():
                os.kill(int(child), number)
            self._process.wait(30)

    def kill(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def intents(self) -> list[str]:
        """Return what the audit outbox says of every order that was meant to leave, in their order."""
        rows = self.rows("SELECT fields FROM audit WHERE event = 'order_intent' ORDER BY seq")
        return ["order_intent" + fields for (fields,) in rows if json.loads(fields).get("sent", True)]

    def _command(self, *command: str) -> list[str]:
        return ["strace", *OPTIONS, "-o", str(self.record), *super()._command(*command)]


@pytest.fixture
def market() -> Iterator[Emulator]:
    """A made-up market of BTC_JPY, fast."""
    exchange = Emulator("--symbols", "BTC_JPY", "--speed", "60")
    yield exchange
    exchange.close()


@pytest.fixture
def traced(market: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracedBot]:
    bot = TracedBot(
        tmp_path_factory.mktemp("t"), market.url, instruments=[INSTRUMENT], risk=RISK, runtime={"reconcile_seconds": 2, "warmup_bars": 6}
    )
    yield bot
    bot.kill()


def asked(market: Emulator) -> list[str]:
    """Return the order requests that came in, by path."""
    rows = market.ask("/access?key=emulator-key")["access"]
    return [row["path"].rpartition("/")[2] for row in rows if row["method"] == "POST" and row["path"].rpartition("/")[2] in PATHS]


def move_stop(market: Emulator, by: int) -> None:
    """Move the bot's STOP by hand, if one rests: the bot will move it back."""
    active = signed(market, "GET", "/v1/activeOrders", "?symbol=BTC_JPY")["data"].get("list", [])
    for row in active:
        if row["executionType"] == "STOP" and row["status"] == "WAITING":
            away = -by if row["side"] == "SELL" else by
            signed(market, "POST", "/v1/changeOrder", body={"orderId": row["orderId"], "price": str(int(row["price"]) + away)})


def buy_by_hand(market: Emulator) -> None:
    """Open a position beside the bot's: from now on it has to close its own long ones by their numbers."""
    body = {"symbol": "BTC_JPY", "side": "BUY", "executionType": "MARKET", "size": "0.01"}
    reply = signed(market, "POST", "/v1/order", body=body)
    assert reply["status"] == 0, reply


def signed(market: Emulator, method: str, path: str, query: str = "", body: dict[str, Any] | None = None) -> Any:
    stamp, data = str(time.time_ns() // 1_000_000), b"" if body is None else json.dumps(body).encode()
    sign = hmac.new(b"emulator-secret", f"{stamp}{method}{path}".encode() + data, hashlib.sha256).hexdigest()
    headers = {"API-KEY": "emulator-key", "API-TIMESTAMP": stamp, "API-SIGN": sign, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{market.url}/private{path}{query}", data or None, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())


def test_every_order_follows_the_fsync_of_its_intent(traced: TracedBot, market: Emulator) -> None:
    traced.start()
    hand, bought = 0, False

    def enough() -> bool:
        nonlocal hand, bought
        assert traced.alive, traced.console()
        hand += 1
        if hand % 15 == 0:
            move_stop(market, 1_000 + hand)
        paths = asked(market)
        if "closeBulkOrder" in paths and not bought:
            buy_by_hand(market)
            bought = True
        return set(paths) == PATHS and len(paths) >= ORDERS + hand // 15

    until(enough, "orders of every kind", seconds=180)
    traced.end()
    record = calls(traced.record.read_text(errors="replace").splitlines())
    assert {call.posts for call in record} == {*PATHS, None}
    assert premature(record, traced.intents()) == []


@pytest.mark.parametrize(
    ("fault", "told"), [(NO_SYNC, "left before its intent was on disk"), (SENT_FIRST, "left before its intent was written")]
)
def test_an_order_that_leaves_too_early_is_seen(traced: TracedBot, market: Emulator, fault: str, told: str) -> None:
    traced.plant(fault)
    traced.start()
    until(lambda: len(asked(market)) >= 1, "an order", seconds=120)
    time.sleep(1.0)
    traced.end(signal.SIGKILL)
    record = calls(traced.record.read_text(errors="replace").splitlines())
    assert any(told in problem for problem in premature(record, traced.intents()))

"""API keys change under a trading bot: two processes, real sockets, real signals, and the exchange's own record of who signed."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.holder import HOLDER
from tests.e2e.processes import Bot, Emulator, differences, until

from gmobot.ops.audit_read import events, verify

pytestmark = pytest.mark.slow
OLD, NEW = ("emulator-key", "emulator-secret"), ("the-second-key", "the-second-secret")


class Keys:
    """The files a bot's secrets come from."""

    def __init__(self, folder: Path, bot: Bot) -> None:
        self.folder, self.bot = folder, bot
        for name in ("GMO_API_KEY", "GMO_API_SECRET", "GMOBOT_CONTROL_TOKEN"):
            bot.environ.pop(name, None)
            bot.environ[f"{name}_FILE"] = str(folder / name)

    def write(self, key: str, secret: str, token: str = "") -> None:
        for name, value in (("GMO_API_KEY", key), ("GMO_API_SECRET", secret), ("GMOBOT_CONTROL_TOKEN", token)):
            (self.folder / name).write_text(value)
            (self.folder / name).chmod(0o600)

    def rotate(self, key: str, secret: str, token: str = "") -> None:
        self.write(key, secret, token)
        self.bot.signal(signal.SIGHUP)


@pytest.fixture
def exchange() -> Iterator[Emulator]:
    emulator = Emulator("--speed", "60", "--symbols", "BTC")
    yield emulator
    emulator.close()


@pytest.fixture
def bot(exchange: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    trader = Bot(tmp_path_factory.mktemp("r"), exchange.url)
    yield trader
    trader.kill()


@pytest.fixture
def keys(bot: Bot, tmp_path: Path) -> Keys:
    found = Keys(tmp_path, bot)
    found.write(*OLD)
    return found


def told(bot: Bot, event: str) -> list[dict[str, Any]]:
    return [found for found in events(bot.var / "logs") if found["event"] == event]


def switched(bot: Bot, times: int) -> None:
    until(lambda: len(told(bot, "secret_loaded")) >= 2 + 2 * times, "the new pair is in use", seconds=20)


def protection(bot: Bot, exchange: Emulator) -> list[dict[str, Any]]:
    """The resting STOPs that cover an open position, one for each part in which it filled; none while it is not covered."""
    instrument = bot.progress()["instruments"][0]
    stops = [row for row in exchange.ledger()["orders"] if row["executionType"] == "STOP" and row["status"] in ("WAITING", "ORDERED")]
    covered = sum(Decimal(row["size"]) for row in stops)
    return stops if instrument["protected"] and Decimal(instrument["position"]) == covered == Decimal("0.01") else []


def test_a_position_stays_protected_while_its_key_changes(exchange: Emulator, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("k")
    (folder / "holder.py").write_text(HOLDER)
    instrument = {
        "symbol": "BTC",
        "bar_seconds": 1,
        "strategy": f"{folder}/holder.py:Holder",
        "sizing": {"method": "fixed", "size": "0.01"},
    }
    bot = Bot(tmp_path_factory.mktemp("r"), exchange.url, instruments=[instrument])
    keys = Keys(folder, bot)
    keys.write(*OLD)
    try:
        bot.begin()
        until(lambda: protection(bot, exchange) != [], "a position with its STOP", seconds=60)
        stops, before = protection(bot, exchange), unprotected_seconds(bot)

        exchange.ask("/keys", {"key": NEW[0], "secret": NEW[1]})
        keys.rotate(*NEW)
        switched(bot, 1)
        at = max(row["ts"] for row in told(bot, "secret_loaded"))
        until(lambda: bot.progress()["monitor_status"] == "active" and reconnected(bot), "the private stream is up again", seconds=30)
        time.sleep(6.0)  # a reconciliation by the clock
        assert protection(bot, exchange) == stops, "the STOPs are those that they were"
        assert unprotected_seconds(bot) == before
        assert [row for row in told(bot, "protection_changed") if row["ts"] > at] == []

        assert bot.call("flatten").returncode == 0
        until(lambda: len(exchange.ledger()["executions"]) >= 2, "what the new key orders is done", seconds=20)
        exchange.stand_still()
        time.sleep(2.0)
        assert bot.stop() == 0, bot.console()
    finally:
        bot.kill()
    access = exchange.ask("/access")["access"]
    tokens = [number for number, row in enumerate(access) if (row["method"], row["path"]) == ("POST", "/v1/ws-auth")]
    assert [access[number]["key"] for number in tokens] == [OLD[0], NEW[0]], "the private stream got a token under the new key"
    late = access[tokens[1] :]
    assert {row["key"] for row in late} == {NEW[0]}, "after the switch only the new key signs"
    assert {row["method"] for row in access[: tokens[1]] if row["key"] == NEW[0]} <= {"GET", "DELETE"}, "tried by reading alone"
    assert {("POST", "/v1/order"), ("POST", "/v1/cancelOrder")} <= {(row["method"], row["path"]) for row in late}
    assert [row for row in access if row["error"]] == []
    assert differences(bot, exchange) == []
    assert verify(bot.var / "logs").ok


def reconnected(bot: Bot) -> bool:
    rows = [row for row in told(bot, "reconnect") if row["stream"] == "private"]
    return any(row["detail"] == "a new API key" for row in rows) and rows[0]["state"] == "up"


def unprotected_seconds(bot: Bot) -> float:
    """Counted by the bot itself, by cause."""
    with urllib.request.urlopen(f"http://127.0.0.1:{bot.port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("gmobot_position_unprotected_seconds_total{"))


def test_a_key_that_does_not_work_leaves_the_old_one_in_use(bot: Bot, exchange: Emulator, keys: Keys) -> None:
    bot.begin()
    keys.rotate("an-unknown-key", "some-secret")
    until(lambda: len(failures(bot)) == 1, "the failure is told", seconds=20)
    assert failures(bot)[0]["reason"] == "auth_error"
    keys.rotate(NEW[0], "")
    until(lambda: len(failures(bot)) == 2, "half a pair is told", seconds=20)
    assert "GMO_API_SECRET is not there any more" in failures(bot)[0]["detail"]
    until(lambda: "GMO_API_SECRET" in str(bot.progress()["last_error"]), "an operator sees it", seconds=10)
    assert bot.progress()["monitor_status"] == "active"
    time.sleep(3.0)
    record = exchange.ask("/access")["access"]
    assert {row["key"] for row in record if not row["error"]} == {OLD[0]}
    assert {(row["key"], row["method"]) for row in record if row["error"]} == {("an-unknown-key", "GET")}, "tried by a harmless read"
    assert not [row for row in told(bot, "reconnect") if row["state"] == "down"], "nothing was interrupted"
    assert len(told(bot, "secret_loaded")) == 2, "those of the start"
    assert bot.stop() == 0


def failures(bot: Bot) -> list[dict[str, Any]]:
    return [row for row in told(bot, "error") if row.get("reason") in ("auth_error", "missing_credentials")]


def test_the_control_token_changes_with_the_same_signal_and_modes_are_warned_about(bot: Bot, keys: Keys) -> None:
    keys.write(*OLD, token="first-control-token")
    bot.begin()
    assert command(bot, "first-control-token") == 200
    keys.write(*OLD, token="second-control-token")
    (keys.folder / "GMO_API_KEY").chmod(0o644)
    bot.signal(signal.SIGHUP)
    until(lambda: command(bot, "second-control-token") == 200, "the new token is in use", seconds=10)
    assert command(bot, "first-control-token") == 401
    until(lambda: "can be read by every user" in str(bot.progress()["preflight"]), "the mode is warned about", seconds=10)
    assert told(bot, "secret_loaded")[0]["name"] == "GMOBOT_CONTROL_TOKEN"
    assert bot.stop() == 0


def command(bot: Bot, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{bot.port}/api/v1/control/resume", b"{}", headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_signals_during_start_and_shutdown_are_harmless(bot: Bot, exchange: Emulator, keys: Keys) -> None:
    exchange.ask("/keys", {"key": NEW[0], "secret": NEW[1]})
    bot.start()
    until(lambda: (Path("/proc") / str(bot.pid) / "comm").exists() and b"gmobot" in cmdline(bot), "the process is there", seconds=10)
    until(lambda: holds_back(bot), "the interpreter has begun to run the command", seconds=10)
    while bot.progress().get("status") != "running":
        assert bot.alive, bot.console()
        bot.signal(signal.SIGHUP)
        time.sleep(0.02)
    keys.rotate(*NEW)
    switched(bot, 1)
    bot.signal(signal.SIGTERM)
    while bot.alive:
        bot.signal(signal.SIGHUP)
        time.sleep(0.005)
    assert bot.stop() == 0, bot.console()
    assert bot.artifact("run_complete.json")["final"] is True
    assert exchange.ask("/access")["access"][-1]["key"] == NEW[0]


def cmdline(bot: Bot) -> bytes:
    return (Path("/proc") / str(bot.pid) / "cmdline").read_bytes()


def holds_back(bot: Bot) -> bool:
    """Whether SIGHUP is blocked or handled: before that Python itself is still starting."""
    masks = {}
    for line in (Path("/proc") / str(bot.pid) / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("SigBlk", "SigCgt"):
            masks[name] = int(value, 16)
    return any(mask & (1 << (signal.SIGHUP - 1)) for mask in masks.values())


def test_paper_has_nothing_to_rotate_and_says_so(exchange: Emulator, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    bot = Bot(tmp_path_factory.mktemp("r"), exchange.url, mode="paper", execute_orders=False)
    bot.environ["GMOBOT_LOG"] = "json"
    keys = Keys(tmp_path, bot)
    keys.write(*OLD)
    try:
        bot.begin()
        keys.rotate(*NEW)
        until(lambda: "there is none to rotate" in bot.log.read_text(), "it says so", seconds=10)
        assert bot.stop() == 0
    finally:
        bot.kill()
    assert exchange.ask("/access")["access"] == []
    assert len(told(bot, "secret_loaded")) == 2

"""A real daemon that tells people, seen from outside: what they read, and that trading does not care whether they can."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.contract.test_running_daemon import API_SECRET, DEMO, World, process, until
from tests.ops.webhooks import TOKEN, WebhookServer

pytestmark = pytest.mark.slow
EXCHANGE = ("exchange", "--account", f"test-key:{API_SECRET}:JPY=10000000")


def fills(world: World) -> float:
    return sum(value for name, value in world.samples().items() if name.startswith("gmobot_fills_total"))


def turns(world: World) -> tuple[float, float]:
    samples = world.samples()
    return samples["run_loop_total"], samples.get("run_loop_failures_total", 0.0)


def test_people_are_told_and_trading_goes_on_whatever_becomes_of_it(tmp_path: Path) -> None:
    server, world = WebhookServer(), World(tmp_path / "d")
    world.environ |= {"DISCORD_WEBHOOK_URL": server.url, "GMOBOT_HEARTBEAT_URL": f"{server.base}/beat/{TOKEN}"}
    # A strategy that trades all the time.
    params = {"fast": 2, "slow": 5, "rsi_period": 3, "rsi_overbought": 100.0, "atr_period": 5, "stop_atr": 1.5, "take_profit_atr": 3.0}
    world.environ |= {f"GMOBOT__INSTRUMENTS__0__PARAMS__{name.upper()}": str(value) for name, value in params.items()}
    world.environ |= {"GMOBOT__INSTRUMENTS__0__FILTERS__COOLDOWN_BARS": "0", "GMOBOT__HEARTBEAT__INTERVAL_SECONDS": "1"}
    server.silent = True
    (tmp_path / "d").mkdir()
    run = ("run", "--config", str(DEMO))
    with process(world, tmp_path / "x.log", *EXCHANGE, "--port", str(world.exchange_port)):
        with process(world, tmp_path / "run.log", *run):
            until(lambda: world.get("/healthz")[0] == 200 and world.samples().get("gmobot_notifications_total/failed"))
            first, began = turns(world), time.monotonic()
            until(lambda: fills(world) >= 3)
            time.sleep(max(0.0, began + 10 - time.monotonic()))
            last, took = turns(world), time.monotonic() - began
            assert (last[0] - first[0]) / took == pytest.approx(1.0, abs=0.15), "the run loop turns as ever"
            assert last[1] == first[1]
            notified = world.artifact("run_complete")["notifications"]["discord"]
            assert notified in ({"status": "failed", "reason": "timeout"}, {"status": "failed", "reason": "pending"})
        # It was killed with everything untold; the next one tells it.
        server.close()
        server = WebhookServer()
        world.environ["DISCORD_WEBHOOK_URL"] = server.url
        world.environ["GMOBOT_HEARTBEAT_URL"] = f"{server.base}/beat/{TOKEN}"
        with process(world, tmp_path / "run.log", *run) as daemon:
            until(lambda: world.samples().get("gmobot_notifications_total/sent"))
            until(lambda: any("previous_run_crashed" in text for text in server.texts))
            until(lambda: world.samples().get("gmobot_heartbeats_total/sent"))
            assert world.cli("halt").returncode == 0
            until(lambda: any("取引を停止（halt）しました" in text for text in server.texts))
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
    server.close()
    told = "\n".join(server.texts)
    assert told.count("起動しました（live / emulator）") == 1, "that of the killed run; one so soon after it waits for its turn"
    assert "約定: BTC" in told, "what the killed run did, too"
    assert "停止しました: 正常停止" in told
    assert world.artifact("run_complete")["notifications"]["discord"] == {"status": "sent", "reason": None}
    assert world.cli("audit", "search", "--event", "notification_result", "--json").stdout.count('"outcome": "sent"') >= 2
    assert world.cli("audit", "verify").returncode == 0
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert TOKEN.encode() not in written

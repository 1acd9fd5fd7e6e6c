"""Bot and exchange as two processes over real sockets, on a real day's tape."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jsonschema
import pytest
from tests.e2e.processes import BTC, Bot, Emulator, differences, until

from gmobot.ops.audit_read import verify

pytestmark = pytest.mark.e2e
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def stop_level(bot: Bot, emulator: Emulator) -> None:
    """Stop the tape, give the last events time to arrive, stop the bot cleanly, compare to the unit."""
    emulator.stand_still()
    time.sleep(2.0)
    assert bot.stop() == 0, bot.console()
    assert differences(bot, emulator) == []


def validate(bot: Bot) -> None:
    for name in ("run_progress", "run_complete"):
        jsonschema.validate(bot.artifact(f"{name}.json"), json.loads((SCHEMAS / f"{name}.schema.json").read_bytes()))


def position(bot: Bot) -> int:
    rows = bot.rows("SELECT json_extract(record, '$.position') FROM ledgers")
    return int(rows[0][0]) if rows else 0


def test_forty_seconds_of_trading_are_booked_to_the_unit(bot: Bot, emulator: Emulator) -> None:
    bot.begin()
    time.sleep(40.0)
    validate(bot)
    stop_level(bot, emulator)
    validate(bot)
    done, orders = bot.artifact("run_complete.json"), emulator.ledger()["orders"]
    assert (done["final"], done["status"], done["stop_reason"]) == (True, "stopped", "graceful_shutdown")
    assert done["run_id"] == bot.artifact("run_progress.json")["run_id"]
    assert len(orders) >= 4, "too quiet a run proves nothing"
    assert done["pipeline_summary"]["orders"] == emulator.order_requests(), "a STOP that would fire at once is asked for and refused"
    assert done["pipeline_summary"]["fills"] == len(emulator.ledger()["executions"]) >= 2
    assert verify(bot.var / "logs").ok
    # Nothing that could raise exposure is left behind.
    assert {row["executionType"] for row in orders if row["status"] in ("WAITING", "ORDERED")} <= {"STOP"}

    held = position(bot)
    emulator.go_on()
    emulator.stand_still()
    run = bot.begin()
    assert run["previous_run"] is None
    assert run["instruments"][0]["position"] == str(BTC.size(held))
    stop_level(bot, emulator)


def test_an_operator_s_commands_reach_the_daemon_and_outlive_it(bot: Bot, emulator: Emulator) -> None:
    bot.begin()
    until(lambda: position(bot) > 0, "a position", seconds=60)

    second = bot.call("run")
    assert second.returncode == 2
    assert "another gmobot runs on this state directory" in second.stderr
    assert bot.alive

    assert bot.call("pause").returncode == 0
    until(lambda: bot.artifact("run_progress.json")["status"] == "paused", "paused", seconds=10)
    assert bot.call("resume").returncode == 0
    until(lambda: bot.artifact("run_progress.json")["status"] == "running", "running again", seconds=10)

    assert bot.call("flatten").returncode == 0
    until(lambda: position(bot) == 0, "everything is closed", seconds=20)
    assert bot.call("halt").returncode == 0
    refused = bot.call("resume")
    assert (refused.returncode, "acknowledge" in refused.stderr) == (9, True)
    orders = len(emulator.ledger()["orders"])
    stop_level(bot, emulator)
    assert bot.artifact("run_complete.json")["status"] == "halted"

    emulator.go_on()
    bot.begin("halted")
    time.sleep(8.0)
    assert len(emulator.ledger()["orders"]) == orders, "a halt outlives a restart"
    assert bot.call("resume", "--acknowledge").returncode == 0
    until(lambda: len(emulator.ledger()["orders"]) > orders, "trading again", seconds=60)
    stop_level(bot, emulator)
    assert bot.call("status").returncode == 7

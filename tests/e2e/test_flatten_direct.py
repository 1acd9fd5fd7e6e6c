"""The daemon is dead with a position open: ``flatten --direct`` over real sockets, against what really stands at the exchange."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from tests.e2e.processes import BTC, FOREIGN_COINS, Bot, Emulator, until

pytestmark = pytest.mark.e2e

FOREIGN_LOTS = BTC.lots(FOREIGN_COINS)


def position(bot: Bot) -> int:
    rows = bot.rows("SELECT json_extract(record, '$.position') FROM ledgers")
    return int(rows[0][0]) if rows else 0


def coins(emulator: Emulator) -> int:
    return BTC.lots(Decimal(emulator.ledger()["balances"]["BTC"]))


def resting(emulator: Emulator) -> list[str]:
    return [row["orderId"] for row in emulator.ledger()["orders"] if row["status"] in ("WAITING", "ORDERED")]


def test_what_a_killed_daemon_left_is_closed_and_stays_closed(bot: Bot, emulator: Emulator) -> None:
    nothing = bot.call("flatten", "--direct")
    assert (nothing.returncode, "missing" in nothing.stderr) == (9, True)

    bot.begin()
    while True:
        until(lambda: coins(emulator) > FOREIGN_LOTS and bool(resting(emulator)), "a position under its stop", seconds=60)
        emulator.stand_still()
        if coins(emulator) > FOREIGN_LOTS and resting(emulator):
            break
        emulator.go_on()
    alive = bot.call("flatten", "--direct")
    assert (alive.returncode, "a daemon runs" in alive.stderr) == (9, True)
    bot.kill()

    closed = bot.call("flatten", "--direct", "--seconds", "2")
    assert closed.returncode != 0, closed.stdout
    assert "NOT flat" in closed.stderr
    emulator.go_on()

    done = bot.call("flatten", "--direct")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("flat\n")
    assert coins(emulator) == FOREIGN_LOTS, "what was there before the bot is untouched"
    assert resting(emulator) == []
    assert position(bot) == 0
    again = bot.call("flatten", "--direct")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "flat")

    orders = len(emulator.ledger()["orders"])
    bot.begin("halted")
    time.sleep(6.0)
    assert len(emulator.ledger()["orders"]) == orders, "halted until somebody acknowledges"
    assert bot.stop() == 0

    emulator.close()
    unreachable = bot.call("flatten", "--direct", "--seconds", "2")
    assert unreachable.returncode == 7
    assert "does not answer" in unreachable.stderr

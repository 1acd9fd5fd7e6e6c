"""``kill -9`` at twenty random moments: no order without an intent, nothing booked twice, and life goes on."""

from __future__ import annotations

import random
import time

import pytest
from tests.e2e.processes import Bot, Emulator, differences, until

from gmobot.ops.audit_read import verify

pytestmark = pytest.mark.e2e
SEED = 9
KILLS = 20
ORDERS = 10


def test_twenty_kills_lose_and_double_nothing(bot: Bot, emulator: Emulator) -> None:
    draw = random.Random(SEED)
    for _ in range(KILLS):
        bot.start()
        # Some die while they start, most while they trade.
        time.sleep(draw.choice((draw.uniform(0.3, 3.0), draw.uniform(3.0, 9.0), draw.uniform(3.0, 9.0))))
        assert bot.alive, f"seed {SEED}: {bot.console()}"
        bot.kill()

    run = bot.begin()
    assert run["previous_run"] == "crashed"
    time.sleep(12.0)
    until(lambda: len(emulator.ledger()["orders"]) >= ORDERS, "too quiet a run proves nothing", seconds=90)
    emulator.stand_still()
    time.sleep(6.0)
    assert bot.stop() == 0, bot.console()

    assert differences(bot, emulator) == [], f"seed {SEED}"
    requests = emulator.order_requests()
    intents = bot.rows("SELECT COUNT(*) FROM intents")[0][0]
    assert len(emulator.ledger()["orders"]) <= requests <= intents, "every request had its intent first"
    assert bot.rows("SELECT COUNT(*) FROM runs WHERE ended_ns IS NOT NULL") == [(1,)]
    assert verify(bot.var / "logs").ok

"""What GMO Coin does not document, in the whole daemon: whichever way it is, nothing is done twice and nothing stands still."""

from __future__ import annotations

import asyncio

import pytest
from tests.live.rehearsal import calm, commands, in_position, ours, rehearse, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.emulator.faults import Fault
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


@pytest.mark.parametrize("word", ["OPEN", "CLOSE"])
def test_a_spot_exit_whose_reply_is_lost_goes_once_whatever_a_sale_settles(program: Program, word: str) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.api.faults.arm(Fault.REPLY_LOST_AFTER, where="/v1/order", times=1)
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=10.0)
        await asyncio.sleep(15.0)
        sales = [order for order in world.account.orders.values() if order.side == "SELL" and order.execution_type == "MARKET"]
        assert [order.executed for order in sales] == [1_000]
        await commands(world).resume("test", acknowledge=True)

    rehearse(calm(2, assumptions={"spot_sell_settle": word}), program, script)

"""What an order manager does first after a restart: it hears of its orders before it acts on what its books say of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, START_NS, STOP, Bench, fill, order
from tests.live.desk import TROUBLE, Desk, stop_there
from tests.live.rehearsal import commands, daemon, guards, in_position, in_world, ours, position, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.errors import VenueError
from gmobot.live.backups import backup
from gmobot.live.guards import Guards
from gmobot.live.intents import IntentState, Purpose
from gmobot.live.restoring import put_back
from gmobot.strategies.loader import load
from gmobot.venue.models import OrderStatus, OrderType, Side

FOREIGN = 500
HOUR = 3_600.0


@pytest.fixture
def bench(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def restored(bench: Bench) -> None:
    """Start on a backup from before a trade: the audit log knows its orders' numbers, nothing here their fills."""
    await bench.open()
    entry, stop = await bench.intend(), await bench.intend(**STOP)
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.books.acknowledge(entry, 1)
    await bench.books.acknowledge(stop, 2)
    await bench.close()
    assert put_back(bench.directory / "state", bench.directory / "logs", kept, now_ns=1).orders == 2
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(FOREIGN)})


async def test_a_trade_that_ended_after_the_backup_costs_the_owner_no_coin(bench: Desk) -> None:
    await restored(bench)
    bench.rest.orders_there = {
        1: order(1, executed=100, status=OrderStatus.FILLED),
        2: stop_there(2, executed_size=BTC.size(100), status=OrderStatus.FILLED),
    }
    bench.rest.fills = [fill(12, 2, side=Side.SELL), fill(11, 1)]
    bench.want(0)
    for _ in range(3):
        await bench.trader.turn()
        bench.clock.advance(1.0)
    assert (bench.rest.placed, bench.rest.cancelled, bench.alarms) == ([], [], [])
    assert (bench.books.position("BTC"), bench.books.open_intents("BTC")) == (0, ())
    assert bench.account.state.base_coins == {"BTC": BTC.size(FOREIGN)}
    await bench.close()


async def test_the_stop_of_an_entry_that_is_not_booked_yet_stays(bench: Desk) -> None:
    await restored(bench)
    bench.rest.orders_there = {1: order(1, executed=100, status=OrderStatus.FILLED), 2: stop_there(2)}
    bench.rest.fills = [fill(11, 1)]
    bench.want(100, stop=PRICE - 100)
    bench.rest.trouble = TROUBLE
    with pytest.raises(VenueError):
        await bench.trader.turn()
    assert bench.rest.cancelled == [], "what it protects is not known yet"
    bench.rest.trouble = None
    await bench.trader.turn()
    assert (bench.rest.placed, bench.rest.cancelled, bench.books.position("BTC")) == ([], [], 100)
    await bench.close()


async def test_a_stop_of_nothing_goes_once_it_was_asked_about(bench: Desk) -> None:
    await bench.open()
    await bench.acknowledged(order_id=2, **STOP)
    await bench.reopen()
    bench.rest.orders_there = {2: stop_there(2)}
    await bench.trader.turn()
    assert bench.rest.cancelled == [2]
    await bench.close()


async def test_fills_are_taken_in_the_order_in_which_they_were_made(bench: Desk) -> None:
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(FOREIGN)})
    await bench.acknowledged(order_id=1)
    await bench.acknowledged(order_id=2, **STOP)
    bench.rest.fills = [fill(12, 2, side=Side.SELL), fill(11, 1)]
    await bench.tracker.sweep_recent()
    assert (bench.alarms, bench.books.position("BTC")) == ([], 0)
    assert bench.account.state.base_coins == {"BTC": BTC.size(FOREIGN)}
    await bench.close()


async def lost(bench: Bench, hours: float, **changes: object) -> None:
    """Lose the reply to an order, and stand still for hours."""
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(FOREIGN)})
    if changes.get("side") is Side.SELL:
        await bench.owning(100)
    await bench.books.unknown(await bench.intend(server_ns=START_NS, **changes), "lost")
    bench.clock.advance(hours * HOUR)
    await bench.reopen()
    bench.account.start(0, {"BTC": BTC.size(FOREIGN)})
    bench.rest.balances = {"BTC": BTC.size(FOREIGN + bench.books.position(bench.symbol))}


async def looked_in_vain(bench: Bench) -> None:
    for _ in range(4):
        await bench.tracker.resolve()
        bench.clock.advance(3.001)


def outcome(bench: Bench) -> str:
    return str(bench.sql("SELECT state FROM intents WHERE detail LIKE 'absent%'")[0][0])


@pytest.mark.parametrize(("hours", "told"), [(22.9, False), (23.0, True), (48.0, True)])
async def test_absence_is_no_proof_once_the_exchange_has_forgotten(bench: Desk, hours: float, told: bool) -> None:
    await lost(bench, hours)
    await looked_in_vain(bench)
    assert outcome(bench) == IntentState.REJECTED
    assert bench.books.unresolved() == []
    assert [reason for reason, _ in bench.alarms] == ["order_outcome_unknown"] * told
    await bench.close()


async def test_how_long_ago_it_was_is_told_by_the_exchange_s_clock(bench: Desk) -> None:
    await lost(bench, 1.0)
    bench.rest.server_now = lambda: START_NS + 48 * 3_600 * 1_000_000_000
    await looked_in_vain(bench)
    [(_, text)] = bench.alarms
    assert "48 hours ago" in text
    await bench.close()


@pytest.mark.parametrize("purpose", [Purpose.EXIT, Purpose.PROTECT])
async def test_what_a_forgotten_order_sold_is_not_sold_again(bench: Desk, purpose: Purpose) -> None:
    await lost(bench, 48.0, **(STOP | {"purpose": purpose}))
    bench.rest.balances = {"BTC": BTC.size(FOREIGN)}
    await looked_in_vain(bench)
    assert (outcome(bench), bench.books.position("BTC")) == (IntentState.REJECTED, 0)
    assert [reason for reason, _ in bench.alarms] == ["exchange_error", "order_outcome_unknown"]
    await bench.close()


async def test_a_forgotten_order_that_sold_nothing_leaves_what_is_held(bench: Desk) -> None:
    await lost(bench, 48.0, **STOP)
    await looked_in_vain(bench)
    assert (outcome(bench), bench.books.position("BTC")) == (IntentState.REJECTED, 100)
    assert [reason for reason, _ in bench.alarms] == ["order_outcome_unknown"]
    await bench.close()


async def test_on_leverage_a_person_is_told_to_look(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await lost(bench, 48.0, type=OrderType.MARKET)
    await looked_in_vain(bench)
    assert [reason for reason, _ in bench.alarms] == ["order_outcome_unknown"]
    await bench.close()


def test_a_trade_that_nobody_judged_before_the_end_of_the_last_run_is_judged_now(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unjudged(*_: object) -> None:
        """The run ends before it comes to that."""

    async def script(world: World) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Guards, "assess", unjudged)
            await in_position(world)
            await commands(world).flatten("test")
            await until(lambda: ours(world) == 0 and position(world) == 0)
            await commands(world).resume("test", acknowledge=True)
            await world._stop()
        world._start()
        await until(lambda: world.process is not None and daemon(world).guards is not None and guards(world).halted, seconds=60.0)
        books = daemon(world).books
        assert books is not None
        assert (guards(world).halt_reason, books.ledger("BTC").closed_trades) == ("max_trade_loss_exceeded", 1)

    in_world(load(EMA, PARAMS[EMA]), script, max_trade_loss="0.000001")

"""What comes and goes other than by our trading: once each, on record, and nothing is ever sold that is not there."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, START_NS, fill
from tests.live.historian import CAPITAL, YEN, Historian

from gmobot.core.instrument import Instrument
from gmobot.live.cash import CashBook
from gmobot.live.flows import Flow
from gmobot.venue.models import Execution, Side

UNIT = BTC.unit_uyen


async def desk(directory: Path, instrument: Instrument = BTC) -> Historian:
    made = Historian(directory, instrument)
    await made.begin()
    return made


def flow(yen: int = 0, *, kind: str = "deposit", **changes: Any) -> Flow:
    values: dict[str, Any] = {
        "key": "one",
        "kind": kind,
        "asset": "JPY",
        "amount": Decimal(yen),
        "yen_uyen": yen * YEN,
        "at_ns": START_NS + 1,
        "evidence": "the exchange's history",
    }
    return Flow(**(values | changes))


def coins(amount: str, *, price: int | None = None, **changes: Any) -> Flow:
    values: dict[str, Any] = {"kind": "withdrawal", "asset": "BTC", "amount": Decimal(amount), "symbol": "BTC"}
    return flow(**(values | {"price": None if price is None else Decimal(price)} | changes))


# --- yen --------------------------------------------------------------------------------------------------


async def test_a_flow_is_booked_once_also_after_a_restart(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    assert not bench.cash.knows("one")
    assert await bench.cash.take(flow(500)) is True
    assert await bench.cash.take(flow(500)) is False
    assert bench.cash.knows("one")
    await bench.reopen()
    assert bench.cash.knows("one")
    assert await bench.cash.take(flow(500)) is False
    assert bench.account.state.base_cash == CAPITAL + 500 * YEN
    await bench.close()


async def test_before_there_is_a_capital_nothing_can_come_or_go(tmp_path: Path) -> None:
    bench = Historian(tmp_path)
    await bench.open()
    assert not await bench.cash.take(flow(500))
    assert not bench.cash.knows("one")
    bench.account.start(0, {})
    assert await bench.cash.take(flow(500)), "no yen at all are a capital too"
    await bench.close()


async def test_what_comes_moves_base_peak_and_day_and_is_on_record(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.account.state.peak = 2 * CAPITAL
    await bench.cash.take(flow(1_000_000))
    state = bench.account.state
    assert (state.base_cash, state.peak, state.day_start) == (2 * CAPITAL, 4 * CAPITAL, 2 * CAPITAL)
    told = bench.events()[-1]
    assert told["event"] == "cash_flow"
    assert (told["kind"], told["asset"], told["amount"], told["yen"], told["reason"]) == (
        "deposit",
        "JPY",
        "1000000",
        "1000000",
        "external_cash_flow",
    )
    assert told["at"].startswith("2026-01-01T00:00:00")
    await bench.reopen()
    assert bench.account.state == state
    assert bench.alarms == []
    await bench.close()


async def test_a_leverage_fee_is_the_ledger_s_and_no_drawdown(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC_JPY)
    await bench.cash.take(flow(-30, kind="leverage_fee", symbol="BTC_JPY"))
    state = bench.account.state
    assert bench.books.ledger("BTC_JPY").yen_uyen == -30 * YEN
    assert (state.base_cash, state.peak, state.day_start) == (CAPITAL, CAPITAL - 30 * YEN, CAPITAL - 30 * YEN)
    assert bench.account.equity_uyen == CAPITAL - 30 * YEN
    await bench.reopen()
    assert bench.books.ledger("BTC_JPY").yen_uyen == -30 * YEN
    await bench.close()


@pytest.mark.parametrize(("kind", "symbol"), [("leverage_fee", ""), ("exchange_fee", "BTC_JPY")])
async def test_any_other_fee_is_the_base_s(tmp_path: Path, kind: str, symbol: str) -> None:
    bench = await desk(tmp_path, BTC_JPY)
    await bench.cash.take(flow(-30, kind=kind, symbol=symbol))
    assert bench.account.state.base_cash == CAPITAL - 30 * YEN
    assert bench.books.ledger("BTC_JPY").yen_uyen == 0
    await bench.close()


# --- coins ------------------------------------------------------------------------------------------------


async def test_coins_that_come_are_not_ours(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.cash.take(coins("0.5"))
    assert bench.account.state.base_coins == {"BTC": Decimal("0.5")}
    assert bench.account.state.base_cash == CAPITAL
    assert bench.books.position("BTC") == 0
    await bench.close()


async def test_coins_of_a_symbol_that_has_no_base_yet_are_left_alone(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.account.state.base_coins = {}
    assert await bench.cash.take(coins("0.5"))
    assert await bench.cash.take(coins("0.5", asset="ETH", key="two"))
    assert bench.account.state.base_coins == {}
    await bench.close()


@pytest.mark.parametrize(("base", "amount"), [("0.5", "-0.5"), ("0.5", "-0.2")])
async def test_coins_that_were_not_ours_may_go(tmp_path: Path, base: str, amount: str) -> None:
    bench = await desk(tmp_path)
    await bench.owning(100)
    bench.account.state.base_coins = {"BTC": Decimal(base)}
    await bench.cash.take(coins(amount))
    assert bench.account.state.base_coins == {"BTC": Decimal(base) + Decimal(amount)}
    assert bench.books.position("BTC") == 100
    assert bench.alarms == []
    await bench.close()


async def test_coins_that_were_ours_are_written_off_and_a_person_must_look(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.owning(100)
    bench.account.state.base_coins = {"BTC": Decimal("0.0001")}
    cash = bench.account.cash_uyen
    await bench.cash.take(coins("-0.0004", price=PRICE + 7, kind="foreign_trade"))
    assert bench.books.position("BTC") == 70
    assert bench.account.state.base_coins == {"BTC": Decimal(0)}
    assert bench.account.cash_uyen == cash, "no yen came"
    assert bench.account.state.base_cash == CAPITAL - 30 * (PRICE + 7) * UNIT
    assert bench.alarms == [("foreign_order", "foreign_trade took 30 lots of BTC that were ours: written off")]
    assert bench.events()[-1]["reason"] == "foreign_trade"
    assert bench.events()[-1]["position"] == "0.00070"
    (written,) = bench.sql("SELECT side, lots, ticks, fee_uyen, execution_id FROM fills WHERE execution_id < 0")
    assert tuple(written)[:4] == ("SELL", 30, PRICE + 7, 0)
    (order,) = bench.sql("SELECT purpose, state, executed_lots, detail FROM intents WHERE purpose = 'forced'")
    assert tuple(order) == ("forced", "filled", 30, "foreign_trade")
    await bench.reopen()
    assert bench.books.position("BTC") == 70
    assert bench.books.counts.fills == 2
    await bench.close()


async def test_a_part_of_a_lot_that_is_missing_takes_a_whole_one(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.owning(100)
    await bench.cash.take(coins("-0.0000101"))
    assert bench.books.position("BTC") == 98
    assert bench.account.state.base_coins == {"BTC": Decimal("0.0000099")}
    await bench.close()


async def test_no_more_is_written_off_than_we_hold(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.owning(10)
    await bench.cash.take(coins("-0.0005"))
    assert bench.books.position("BTC") == 0
    assert bench.account.state.base_coins == {"BTC": Decimal("-0.0004")}
    await bench.cash.take(coins("-0.0001", key="two"))
    assert bench.account.state.base_coins == {"BTC": Decimal("-0.0005")}
    assert len(bench.alarms) == 1
    await bench.close()


@pytest.mark.parametrize(
    ("price", "last", "ticks"),
    [(PRICE + 7, PRICE + 3, PRICE + 7), (None, PRICE + 3, PRICE + 3), (None, 0, PRICE)],
)
async def test_what_is_gone_went_for_the_flow_s_price_the_market_s_or_what_we_paid(
    tmp_path: Path, price: int | None, last: int, ticks: int
) -> None:
    bench = await desk(tmp_path)
    await bench.owning(100)
    bench.market.last, bench.market.book = last, None
    await bench.cash.take(coins("-0.0003", price=price))
    assert bench.sql("SELECT ticks FROM fills WHERE execution_id < 0")[0][0] == ticks
    await bench.close()


async def test_a_write_off_is_no_drawdown(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.owning(100)
    before = bench.account.equity_uyen
    bench.account.observe()
    drawdown = bench.account.drawdown
    await bench.cash.take(coins("-0.0005"))
    assert bench.account.equity_uyen == before - 50 * PRICE * UNIT
    assert bench.account.drawdown == pytest.approx(drawdown, abs=1e-9)
    await bench.close()


# --- what somebody else traded ------------------------------------------------------------------------------


def executed(side: Side, *, symbol: str = "BTC", **changes: Any) -> Execution:
    made = msgspec.structs.replace(fill(51, 5, side=side, fee=7), symbol=symbol, at_ns=START_NS + 1)
    return msgspec.structs.replace(made, **({"size": Decimal("0.001")} | changes))


@pytest.mark.parametrize(
    ("side", "symbol", "realized", "asset", "amount", "yen"),
    [
        (Side.BUY, "BTC", 0, "BTC", "0.001", -10_000 - 7),
        (Side.SELL, "BTC", 0, "BTC", "-0.001", 10_000 - 7),
        (Side.SELL, "BTC_JPY", 300, "JPY", "0", 300 - 7),
        (Side.BUY, "BTC_JPY", -300, "JPY", "0", -300 - 7),
    ],
)
def test_what_another_s_execution_did_to_yen_and_coins(side: Side, symbol: str, realized: int, asset: str, amount: str, yen: int) -> None:
    made = CashBook.flow_of(executed(side, symbol=symbol, realized_pnl_jpy=Decimal(realized)))
    assert (made.asset, made.amount, made.yen_uyen) == (asset, Decimal(amount), yen * YEN)
    assert (made.key, made.kind, made.symbol, made.at_ns) == ("execution:51", "foreign_trade", symbol, START_NS + 1)
    assert made.price == Decimal(PRICE)
    assert "order 5" in made.evidence


async def test_another_s_trade_before_our_beginning_is_in_the_base_already(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.cash.foreign_fill(executed(Side.BUY, at_ns=START_NS))
    assert bench.flows() == []
    await bench.cash.foreign_fill(executed(Side.BUY))
    await bench.cash.foreign_fill(executed(Side.BUY))
    assert bench.flows() == [("foreign_trade", "BTC", -10_007 * YEN)]
    await bench.close()


async def test_what_was_ours_after_all_is_taken_back_once(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    execution = executed(Side.BUY)
    await bench.cash.ours_after_all(execution)
    assert bench.flows() == [], "nothing was taken"
    await bench.cash.foreign_fill(execution)
    await bench.cash.ours_after_all(execution)
    await bench.cash.ours_after_all(execution)
    assert bench.flows() == [("foreign_trade", "BTC", -10_007 * YEN), ("foreign_trade", "BTC", 10_007 * YEN)]
    assert bench.account.state.base_cash == CAPITAL
    assert bench.account.state.base_coins == {"BTC": Decimal(0)}
    await bench.close()


# --- a leverage position that is gone -------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "closing"), [(Side.BUY, "SELL"), (Side.SELL, "BUY")])
async def test_a_position_that_is_gone_is_written_off_at_the_market(tmp_path: Path, side: Side, closing: str) -> None:
    bench = await desk(tmp_path, BTC_JPY)
    await bench.acknowledged(order_id=900, side=side)
    opened = msgspec.structs.replace(fill(9_000, 900, side=side, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70)
    await bench.books.book(opened)
    bench.market.last = PRICE - 100
    bench.account.observe()
    day_start = bench.account.state.day_start
    gain = bench.account.equity_uyen - CAPITAL
    await bench.cash.position_gone("BTC_JPY", 70, 60)
    assert abs(bench.books.position("BTC_JPY")) == 40
    assert [(piece.position_id, piece.lots) for piece in bench.books.pieces("BTC_JPY").ours] == [(70, 40)]
    assert bench.books.ledger("BTC_JPY").yen_uyen == 0, "what its end brought shows as a difference of yen"
    assert bench.account.state.day_start == day_start + bench.account.equity_uyen - (CAPITAL + gain)
    (reason, text) = bench.alarms[0]
    assert (reason, "60 lots of our position 70" in text) == ("exchange_error", True)
    (written,) = bench.sql("SELECT side, lots, ticks, position_id FROM fills WHERE execution_id < 0")
    assert tuple(written) == (closing, 60, PRICE - 100, 70)
    (intent,) = bench.sql("SELECT settle, position_id, detail FROM intents WHERE purpose = 'forced'")
    assert tuple(intent) == ("CLOSE", 70, "position_gone")
    bench.clock.advance(1.0)
    await bench.cash.position_gone("BTC_JPY", 70, 40)
    assert bench.books.position("BTC_JPY") == 0
    assert bench.flows() == [("position_gone", "JPY", 0)] * 2
    await bench.reopen()
    assert not bench.books.pieces("BTC_JPY").ours
    await bench.close()

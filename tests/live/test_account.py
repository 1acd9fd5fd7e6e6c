"""The account as a whole: what is kept, what moves peak and day's start, and what the core is shown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, START_NS, STOP, Bench, HandClock, fill, intent

from gmobot.clock import trading_day
from gmobot.live.account import Account, AccountState, kept
from gmobot.live.books import Books
from gmobot.live.intents import Purpose
from gmobot.live.market import Market
from gmobot.venue.models import Side

YEN = 1_000_000
CAPITAL = 1_000_000 * YEN
LOTS = 10_000
"""A tenth of a coin on spot: a million yen at the opening price."""


async def owner(bench: Bench, lots: int = LOTS) -> Account:
    """Have bought coins for all the capital, without a fee."""
    await bench.open()
    bench.account.start(CAPITAL, {})
    await bench.acknowledged(order_id=900, lots=lots)
    await bench.books.book(fill(9_000, 900, lots, fee=0))
    return bench.account


# --- what is kept -----------------------------------------------------------------------------------------


def test_what_is_kept_comes_back_as_it_was() -> None:
    state = AccountState(1, 2, 3, 4, {"BTC": Decimal("0.1234567891"), "ETH": Decimal(0)}, 5, 6, 7)
    assert AccountState.restore(state.to_dict()) == state


def test_a_state_of_an_earlier_release_knows_no_flows() -> None:
    assert AccountState.restore({"base_cash": 1, "peak": 2, "day": 3, "day_start": 4}) == AccountState(1, 2, 3, 4)


def test_before_it_has_asked_nothing_is_known() -> None:
    assert AccountState.restore({}) == AccountState()
    assert AccountState().to_dict() == {}
    assert AccountState(0).to_dict() != {}, "no yen at all are known too"


@pytest.mark.parametrize(("coins", "as_kept"), [("0.12345678919", "0.1234567891"), ("-0.00000000001", "-0.0000000001"), ("2", "2")])
def test_coins_are_kept_to_ten_digits_and_never_rounded_up(coins: str, as_kept: str) -> None:
    assert kept(Decimal(coins)) == Decimal(as_kept)


async def test_a_start_sets_everything_by_the_exchange_s_clock(bench: Bench) -> None:
    await bench.open()
    coins = {"BTC": Decimal(1)}
    then = START_NS - 86_400 * 1_000_000_000
    bench.account.start(5, coins, at_ns=then)
    assert bench.account.state == AccountState(5, 5, trading_day(then), 5, {"BTC": Decimal(1)}, then, then)
    coins["BTC"] = Decimal(9)
    assert bench.account.state.base_coins == {"BTC": Decimal(1)}
    bench.account.start(5, {})
    assert (bench.account.state.flows_from_ns, bench.account.state.level_ns) == (START_NS, START_NS)
    bench.account.start(5, {}, at_ns=0)
    assert bench.account.state.flows_from_ns == 0
    bench.account.start(5, {})
    assert bench.account.state.day == trading_day(START_NS)
    await bench.close()


# --- what it is worth --------------------------------------------------------------------------------------


async def test_cash_and_worth_at_the_market(bench: Bench) -> None:
    account = await owner(bench)
    assert (account.cash_uyen, account.equity_uyen) == (0, CAPITAL)
    bench.market.last = PRICE + 500_000
    assert account.equity_uyen == 1_050_000 * YEN
    assert account.gross_uyen("BTC") == account.worth_uyen("BTC") == 1_050_000 * YEN
    assert account.daily_pnl_uyen == 50_000 * YEN
    assert account.leverage == 1.0
    bench.market.last, bench.market.book = 0, None
    assert account.equity_uyen == CAPITAL, "at cost while there is no price"
    await bench.close()


async def test_what_retired_symbols_did_to_the_yen_is_ours(bench: Bench) -> None:
    account = await owner(bench)
    bench.books.retired_uyen = 7
    assert (account.cash_uyen, account.equity_uyen) == (7, CAPITAL + 7)
    await bench.close()


async def test_before_a_start_there_is_no_capital(bench: Bench) -> None:
    await bench.open()
    assert (bench.account.cash_uyen, bench.account.equity_uyen, bench.account.drawdown, bench.account.leverage) == (0, 0, 0.0, 0.0)
    assert not bench.account.observe()
    assert bench.account.state == AccountState()
    await bench.close()


@pytest.mark.parametrize(("price", "drawdown"), [(PRICE, 0.0), (PRICE + 1_000_000, 0.0), (PRICE // 2, 0.5), (PRICE * 3 // 4, 0.25)])
async def test_drawdown_is_the_lost_share_of_the_peak(bench: Bench, price: int, drawdown: float) -> None:
    account = await owner(bench)
    bench.market.last = price
    assert account.drawdown == drawdown
    await bench.close()


async def test_a_short_on_leverage_is_worth_what_it_gained(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    bench.account.start(CAPITAL, {})
    await bench.acknowledged(order_id=900, side=Side.SELL)
    sold = msgspec.structs.replace(fill(9_000, 900, side=Side.SELL, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=7)
    await bench.books.book(sold)
    account = bench.account
    bench.market.last = PRICE - 1_000_000
    assert account.gross_uyen("BTC_JPY") == -900_000 * YEN
    assert account.worth_uyen("BTC_JPY") == 100_000 * YEN
    assert account.equity_uyen == 1_100_000 * YEN
    assert account.leverage == pytest.approx(900_000 / 1_100_000)
    await bench.close()


# --- peak and day -------------------------------------------------------------------------------------------


async def test_a_new_peak_and_a_new_day_are_noted_and_nothing_else_is_news(bench: Bench) -> None:
    account = await owner(bench)
    assert not account.observe()
    bench.market.last = PRICE + 10
    assert account.observe()
    assert account.state.peak == CAPITAL + LOTS * 10 * BTC.unit_uyen
    bench.market.last = PRICE - 10
    assert not account.observe()
    bench.clock.advance(21 * 3_600)
    assert account.observe()
    assert account.state.day == trading_day(START_NS) + 1
    assert account.state.day_start == account.equity_uyen
    bench.clock.set_wall(-86_400)
    bench.market.last = PRICE - 20
    assert not account.observe(), "a clock that is set back begins no day"
    await bench.close()


async def test_what_has_no_price_yet_makes_no_peak_and_begins_no_day(bench: Bench) -> None:
    account = await owner(bench)
    bench.market.last, bench.market.book = 0, None
    account.state.peak = 0
    bench.clock.advance(21 * 3_600)
    assert not account.observe(), "at cost it would be a figure of no day"
    bench.market.last = PRICE + 10
    assert account.observe()
    assert (account.state.peak, account.state.day_start) == (account.equity_uyen, account.equity_uyen)
    assert account.state.day == trading_day(START_NS) + 1
    await bench.close()


async def test_what_is_not_held_needs_no_price(bench: Bench) -> None:
    await bench.open()
    bench.account.start(CAPITAL, {})
    bench.market.last, bench.market.book = 0, None
    bench.clock.advance(21 * 3_600)
    assert bench.account.observe()
    assert bench.account.state.day == trading_day(START_NS) + 1
    await bench.close()


async def test_the_day_turns_by_the_exchange_s_clock_once_it_is_known(bench: Bench) -> None:
    await bench.open()
    now = [0]
    account = Account(bench.books, {"BTC": bench.market}, bench.clock, AccountState(), exchange_now_ns=lambda: now[0])
    account.start(CAPITAL, {}, at_ns=START_NS)
    bench.clock.advance(30 * 86_400)
    assert not account.observe(), "nobody has told what time it is"
    now[0] = START_NS
    assert not account.observe(), "ours is a month ahead"
    now[0] = START_NS + 86_400 * 1_000_000_000
    assert account.observe()
    assert account.state.day == trading_day(START_NS) + 1
    await bench.close()


async def test_the_largest_drawdown_of_the_run_is_kept(bench: Bench) -> None:
    account = await owner(bench)
    bench.market.last = PRICE // 2
    account.observe()
    worst = account.drawdown
    bench.market.last = PRICE * 2
    account.observe()
    assert (account.drawdown, account.max_drawdown) == (0.0, worst)
    assert worst > 0.0
    await bench.close()


@pytest.mark.parametrize(
    ("peak", "day_start", "flow", "new_peak", "new_day_start"),
    [
        (CAPITAL, CAPITAL, 500_000 * YEN, 1_500_000 * YEN, 1_500_000 * YEN),
        (2 * CAPITAL, 3 * CAPITAL, CAPITAL, 4 * CAPITAL, 4 * CAPITAL),
        (2 * CAPITAL, CAPITAL, -CAPITAL // 2, CAPITAL, CAPITAL // 2),
        (2 * CAPITAL, CAPITAL, -CAPITAL, 0, 0),
        (0, CAPITAL, CAPITAL, 2 * CAPITAL, 2 * CAPITAL),
        (2 * CAPITAL, CAPITAL, -3 * CAPITAL, -CAPITAL, -2 * CAPITAL),
    ],
)
async def test_what_comes_and_goes_keeps_the_drawdown_and_the_day_s_gain(
    bench: Bench, peak: int, day_start: int, flow: int, new_peak: int, new_day_start: int
) -> None:
    await bench.open()
    account = bench.account
    account.start(CAPITAL, {})
    account.state.peak, account.state.day_start = peak, day_start
    account.state.base_cash = CAPITAL + flow
    account.adjust(CAPITAL)
    assert (account.state.peak, account.state.day_start) == (new_peak, new_day_start)
    await bench.close()


@pytest.mark.parametrize(("before", "peak", "new_peak"), [(-YEN, 5 * YEN, 11 * YEN), (0, 0, 5 * YEN), (0, -9 * YEN, 5 * YEN)])
async def test_from_nothing_the_peak_moves_by_as_many_yen(bench: Bench, before: int, peak: int, new_peak: int) -> None:
    await bench.open()
    account = bench.account
    account.start(before + 6 * YEN if before else 5 * YEN, {})
    account.state.peak = peak
    account.adjust(before)
    assert account.state.peak == new_peak
    await bench.close()


async def test_a_leverage_fee_is_no_loss_of_the_day_and_no_drawdown(bench: Bench) -> None:
    account = await owner(bench)
    account.pay_leverage_fee(30)
    assert (account.state.peak, account.state.day_start) == (CAPITAL - 30, CAPITAL - 30)
    await bench.close()


async def test_an_accepted_loss_is_the_new_peak(bench: Bench) -> None:
    account = await owner(bench)
    bench.market.last = PRICE // 2
    account.accept_loss()
    assert account.state.peak == CAPITAL // 2
    await bench.close()


async def test_a_loss_accepted_before_there_is_a_price_is_measured_from_the_first_one(bench: Bench) -> None:
    account = await owner(bench)
    book, bench.market.last, bench.market.book = bench.market.book, 0, None
    account.state.peak, account.state.moved = 5 * CAPITAL, 7
    account.accept_loss()
    assert (account.state.peak, account.state.moved) == (0, 0)
    bench.market.last, bench.market.book = PRICE // 2, book
    bench.market.last_at_ns = bench.market.book_at_ns
    account.observe()
    assert (account.state.peak, account.drawdown) == (CAPITAL // 2, 0.0)
    await bench.close()


# --- what the core is shown ------------------------------------------------------------------------------


def shown(account: Account, *, halted: bool = False, symbol: str = "BTC") -> dict[str, int]:
    row: Any = account.record(symbol, halted=halted)[0]
    return {name: int(row[name]) for name in row.dtype.names}


async def test_the_core_is_shown_the_account(bench: Bench) -> None:
    account = await owner(bench)
    account.state.peak, account.state.day_start = 2 * CAPITAL, 3 * CAPITAL
    account.wallet_drift_uyen = -5
    row = shown(account)
    assert (row["position"], row["cost_uyen"], row["cash_uyen"], row["equity_uyen"]) == (LOTS, CAPITAL, 0, CAPITAL)
    assert (row["peak_equity_uyen"], row["day_start_equity_uyen"], row["wallet_drift_uyen"]) == (2 * CAPITAL, 3 * CAPITAL, -5)
    assert (row["other_positions"], row["other_gross_uyen"], row["pending"], row["halted"]) == (0, 0, 0, 0)
    assert shown(account, halted=True)["halted"] == 1
    account.state.peak = 0
    assert shown(account)["peak_equity_uyen"] == CAPITAL, "a peak of this moment counts"
    await bench.close()


async def test_while_what_is_held_has_no_price_the_core_is_shown_no_loss(bench: Bench) -> None:
    account = await owner(bench)
    account.state.peak, account.state.day_start = 2 * CAPITAL, 3 * CAPITAL
    bench.market.last, bench.market.book = 0, None
    row, known = shown(account), [account.is_known]
    assert (row["equity_uyen"], row["peak_equity_uyen"], row["day_start_equity_uyen"]) == (CAPITAL, CAPITAL, CAPITAL)
    bench.market.last = PRICE
    row = shown(account)
    assert (row["peak_equity_uyen"], row["day_start_equity_uyen"]) == (2 * CAPITAL, 3 * CAPITAL)
    assert [*known, account.is_known] == [False, True]
    await bench.close()


async def test_only_entries_are_pending(bench: Bench) -> None:
    account = await owner(bench)
    await bench.acknowledged(order_id=5, **STOP)
    assert shown(account)["pending"] == 0
    await bench.acknowledged(order_id=6, lots=30)
    await bench.intend(lots=5)
    assert shown(account)["pending"] == 35
    await bench.close()


@pytest.mark.parametrize(("left", "seen"), [(2, 2), (1, 0)])
async def test_dust_is_the_end_of_a_trade(tmp_path: Path, left: int, seen: int) -> None:
    bench = Bench(tmp_path, replace(BTC, min_size=Decimal("0.00002")))
    account = await owner(bench, 100)
    await bench.acknowledged(order_id=901, lots=100 - left, side=Side.SELL, purpose=Purpose.EXIT)
    await bench.books.book(fill(9_001, 901, 100 - left, side=Side.SELL, fee=0))
    assert shown(account)["position"] == seen
    assert bool(shown(account)["cost_uyen"]) == bool(seen)
    await bench.acknowledged(order_id=902, lots=5)
    assert shown(account)["position"] == left, "an entry under way makes it more"
    await bench.close()


async def test_other_symbols_are_counted_at_what_they_are_worth(bench: Bench) -> None:
    await bench.open()
    saved = await bench.store.load()
    books = Books({"BTC": BTC, "BTC_JPY": BTC_JPY}, bench.store, bench.clock, saved)
    markets = {"BTC": Market(BTC, last=PRICE), "BTC_JPY": Market(BTC_JPY, last=PRICE)}
    account = Account(books, markets, HandClock(), AccountState())
    account.start(CAPITAL, {})
    assert shown(account)["other_positions"] == 0
    await books.acknowledge(await books.add(intent(symbol="BTC_JPY", side=Side.SELL)), 900)
    sold = msgspec.structs.replace(fill(9_000, 900, side=Side.SELL, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=7)
    await books.book(sold)
    row = shown(account)
    assert (row["other_positions"], row["other_gross_uyen"]) == (1, 1_000_000 * YEN)
    row = shown(account, symbol="BTC_JPY")
    assert (row["other_positions"], row["other_gross_uyen"], row["position"]) == (0, 0, -100)
    await bench.close()

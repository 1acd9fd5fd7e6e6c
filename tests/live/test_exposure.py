"""What all symbols may come to together is looked at before each entry, with everything that may still fill."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, Bench, fill, intent

from gmobot.live.account import Account, AccountState
from gmobot.live.books import Books
from gmobot.live.exposure import AccountLimits
from gmobot.live.intents import Purpose
from gmobot.live.market import Market
from gmobot.live.plan import Place
from gmobot.venue.models import OrderType, Side

YEN = 1_000_000


class Pair:
    """An account of two symbols with two million yen; a lot of BTC_JPY is 10,000 yen, one of BTC 100."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def open(self, **changes: Any) -> Pair:
        bench = self.bench
        await bench.open()
        self.books = Books({"BTC": BTC, "BTC_JPY": BTC_JPY}, bench.store, bench.clock, bench.saved)
        markets = {"BTC": Market(BTC, last=PRICE), "BTC_JPY": Market(BTC_JPY, last=PRICE)}
        self.account = Account(self.books, markets, bench.clock, AccountState())
        self.account.start(2_000_000 * YEN, {})
        values: dict[str, Any] = {
            "max_leverage": Decimal(1),
            "slack": Decimal("0.02"),
            "max_positions": {"BTC": 2, "BTC_JPY": 1},
        }
        self.limits = AccountLimits(self.account, **(values | changes))
        return self

    async def resting(self, lots: int, side: Side = Side.SELL, **changes: Any) -> int:
        number = 900 + self.books.counts.orders
        await self.books.acknowledge(await self.books.add(intent(symbol="BTC_JPY", side=side, lots=lots, **changes)), number)
        return number

    async def filled(self, lots: int) -> None:
        number = await self.resting(lots)
        row = fill(number * 10, number, side=Side.SELL, fee=0)
        await self.books.book(msgspec.structs.replace(row, symbol="BTC_JPY", size=BTC_JPY.size(lots), position_id=number))

    def denial(self, lots: int, symbol: str = "BTC", price: int = 0) -> str | None:
        return self.limits.denial(symbol, Place(Purpose.ENTRY, Side.BUY, OrderType.MARKET, lots, price))


async def test_an_entry_alone_goes_as_far_as_leverage_lets_it_and_prices_may_move(bench: Bench) -> None:
    pair = await Pair(bench).open()
    assert [pair.denial(20_400), pair.denial(20_401)] == [None, "max_leverage_exceeded"]
    assert pair.denial(20_400, price=PRICE + 1) == "max_leverage_exceeded", "a LIMIT counts at its own price"
    await bench.close()


@pytest.mark.parametrize("held", [False, True])
async def test_what_another_symbol_holds_or_may_still_open_counts(bench: Bench, held: bool) -> None:
    pair = await Pair(bench).open()
    await (pair.filled(100) if held else pair.resting(100))
    assert [pair.denial(10_400), pair.denial(10_401)] == [None, "max_leverage_exceeded"]
    await bench.close()


async def test_what_an_own_entry_may_still_add_counts(bench: Bench) -> None:
    pair = await Pair(bench).open(max_positions={"BTC": 1, "BTC_JPY": 1})
    await pair.filled(50)
    await pair.resting(50)
    assert [pair.denial(104, "BTC_JPY"), pair.denial(105, "BTC_JPY")] == [None, "max_leverage_exceeded"]
    await bench.close()


async def test_a_close_under_way_adds_nothing(bench: Bench) -> None:
    pair = await Pair(bench).open()
    await pair.filled(100)
    await pair.resting(100, Side.BUY, purpose=Purpose.EXIT)
    assert pair.denial(10_400) is None
    await bench.close()


@pytest.mark.parametrize("held", [False, True])
async def test_so_many_symbols_and_no_more(bench: Bench, held: bool) -> None:
    pair = await Pair(bench).open(max_positions={"BTC": 1, "BTC_JPY": 1})
    assert pair.denial(1) is None
    await (pair.filled(1) if held else pair.resting(1))
    assert pair.denial(1) == "max_positions_reached"
    assert pair.denial(1, "BTC_JPY") is None, "it is the one that is open"
    await bench.close()


async def test_without_limits_everything_passes(bench: Bench) -> None:
    pair = await Pair(bench).open(max_leverage=Decimal(0), max_positions={"BTC": 100, "BTC_JPY": 100})
    await pair.filled(1_000)
    assert pair.denial(1_000_000) is None
    await bench.close()


async def test_the_core_is_shown_what_another_symbol_may_still_open(bench: Bench) -> None:
    pair = await Pair(bench).open()
    await pair.resting(30)
    shown = pair.account.shown("BTC", halted=False)
    assert (shown.other_positions, shown.other_gross_uyen) == (1, 300_000 * YEN)
    await bench.close()

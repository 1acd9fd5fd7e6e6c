"""The ledger against exact fractions, and its identities after every event, up to the bounds that instruments allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.support import YEN

from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.instrument import MAX_PRICE_YEN, Instrument, Product
from gmobot.core.ledger import LEDGER, apply_buy, apply_leverage_fee, apply_sell, show
from gmobot.core.records import ACCOUNT

BTC = Instrument("BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005"))
UNIT = BTC.unit_uyen
_BUY, _SELL, _SHOW = uncompiled(apply_buy), uncompiled(apply_sell), uncompiled(show)


@dataclass
class Event:
    """A wish: buy these lots, or sell this share (in thousandths) of what is owned."""

    buy: bool
    ticks: int
    lots: int
    fee: int


PRICES = st.one_of(st.integers(1, MAX_PRICE_YEN), st.sampled_from([1, MAX_PRICE_YEN - 1, MAX_PRICE_YEN]))
LOTS = st.one_of(st.integers(1, BTC.max_lots), st.sampled_from([1, 2, 3, BTC.max_lots]))
FEES = st.integers(-(10**6) * YEN, 10**7 * YEN)
EVENTS = st.lists(st.builds(Event, st.booleans(), PRICES, LOTS, FEES), min_size=1, max_size=60)


@dataclass
class Books:
    """What an accountant with fractions and unlimited paper would write."""

    bought: int = 0
    sold: int = 0
    fees: int = 0
    removed: int = 0
    trade_cash: int = 0
    closed: list[int] = field(default_factory=list)


class Pair:
    """The compiled ledger and the plain one, fed alike."""

    def __init__(self) -> None:
        self.compiled, self.plain = np.zeros(1, LEDGER), np.zeros(1, LEDGER)
        self.row: Any = PlainRecord(self.plain[0])

    def buy(self, event: Event, lots: int) -> int:
        result = _BUY(self.row, UNIT, event.ticks, lots, event.fee)
        assert apply_buy(self.compiled[0], UNIT, event.ticks, lots, event.fee) == result
        return int(result)

    def sell(self, event: Event, lots: int) -> int:
        result = _SELL(self.row, UNIT, event.ticks, lots, event.fee)
        assert apply_sell(self.compiled[0], UNIT, event.ticks, lots, event.fee) == result
        return int(result)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_every_event_keeps_the_identities_and_the_exact_average(events: list[Event]) -> None:
    pair, books = Pair(), Books()
    row = pair.row
    for event in events:
        before_cost, before_position = row.cost_uyen, row.position
        if event.buy or row.position == 0:
            pair.buy(event, event.lots)
            books.bought += event.ticks * event.lots * UNIT
            books.trade_cash -= event.ticks * event.lots * UNIT + event.fee
            assert row.cost_uyen == before_cost + event.ticks * event.lots * UNIT
        else:
            lots = min(event.lots, row.position)
            pnl = pair.sell(event, lots)
            books.sold += event.ticks * lots * UNIT
            books.trade_cash += event.ticks * lots * UNIT - event.fee
            taken = before_cost - row.cost_uyen
            books.removed += taken
            exact = Fraction(before_cost * lots, before_position)
            assert 0 <= exact - taken < 1, "the share of the cost, rounded toward keeping"
            if row.position == 0:
                assert pnl == books.trade_cash == row.last_trade_pnl_uyen
                books.closed.append(pnl)
                books.trade_cash = 0
            else:
                assert pnl == 0
        books.fees += event.fee
        assert row.cash_uyen == books.sold - books.bought - books.fees
        assert row.cash_uyen + row.cost_uyen == row.realized_uyen - row.fees_uyen
        assert row.realized_uyen == books.sold - books.removed
        assert books.removed + row.cost_uyen == books.bought
        assert row.fees_uyen == books.fees
        assert (row.cost_uyen == 0) == (row.position == 0)
        assert row.closed_trades == len(books.closed)
        assert pair.compiled.tobytes() == pair.plain.tobytes()


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_closed_trades_add_up_to_the_cash_that_moved(events: list[Event]) -> None:
    pair, total = Pair(), 0
    for event in events:
        if event.buy or pair.row.position == 0:
            pair.buy(event, event.lots)
        else:
            total += pair.sell(event, min(event.lots, pair.row.position))
    if pair.row.position:
        total += pair.sell(Event(buy=False, ticks=1, lots=0, fee=0), pair.row.position)
    assert total == pair.row.cash_uyen


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_the_account_is_shown_the_open_trade_after_its_fees(events: list[Event]) -> None:
    pair, account, cash = Pair(), np.zeros(1, ACCOUNT), 0
    seen: Any = PlainRecord(account[0])
    for event in events:
        if event.buy or pair.row.position == 0:
            pair.buy(event, event.lots)
        else:
            pair.sell(event, min(event.lots, pair.row.position))
        if pair.row.position == 0:
            cash = pair.row.cash_uyen
        _SHOW(pair.row, seen)
        assert (seen.position, seen.cost_uyen, seen.closed_trades) == (pair.row.position, pair.row.cost_uyen, pair.row.closed_trades)
        assert seen.last_trade_pnl_uyen == pair.row.last_trade_pnl_uyen
        assert seen.trade_realized_uyen - seen.cost_uyen == pair.row.cash_uyen - cash, "what the open trade did to cash"


def test_a_round_trip_by_hand() -> None:
    row: Any = PlainRecord(np.zeros(1, LEDGER)[0])
    _BUY(row, UNIT, 10_000_000, 1_000, 50 * YEN)
    _BUY(row, UNIT, 11_000_000, 500, 28 * YEN)
    assert (row.position, row.cost_uyen, row.cash_uyen) == (1_500, 155_000 * YEN, -155_078 * YEN)
    assert _SELL(row, UNIT, 12_000_000, 600, 36 * YEN) == 0
    assert (row.cost_uyen, row.realized_uyen) == (93_000 * YEN, 10_000 * YEN)
    assert _SELL(row, UNIT, 9_000_000, 900, -8 * YEN) == (10_000 - 12_000 - 50 - 28 - 36 + 8) * YEN
    assert (row.position, row.cost_uyen, row.fees_uyen, row.closed_trades) == (0, 0, 106 * YEN, 1)


def test_the_last_lot_takes_the_rest_of_the_cost() -> None:
    row: Any = PlainRecord(np.zeros(1, LEDGER)[0])
    _BUY(row, 1, 1, 1, 0)
    _BUY(row, 1, 3, 2, 0)
    costs = []
    for _ in range(3):
        _SELL(row, 1, 1, 1, 0)
        costs.append(row.cost_uyen)
    assert costs == [5, 3, 0]


def test_largest_holding_at_the_highest_price_stays_exact() -> None:
    pair = Pair()
    largest = Event(buy=True, ticks=MAX_PRICE_YEN, lots=BTC.max_lots, fee=0)
    for _ in range(100):
        pair.buy(largest, BTC.max_lots)
    assert pair.row.cost_uyen == 100 * MAX_PRICE_YEN * BTC.max_lots * UNIT == int(pair.compiled["cost_uyen"][0])
    pair.sell(largest, 100 * BTC.max_lots - 1)
    assert pair.row.cost_uyen == MAX_PRICE_YEN * UNIT
    assert pair.compiled.tobytes() == pair.plain.tobytes()


@pytest.mark.parametrize("ticks", [1, MAX_PRICE_YEN])
def test_a_fee_in_the_traders_favour_raises_cash(ticks: int) -> None:
    pair = Pair()
    pair.buy(Event(buy=True, ticks=ticks, lots=1, fee=-7 * YEN), 1)
    assert pair.row.cash_uyen == 7 * YEN - ticks * UNIT
    assert pair.row.fees_uyen == -7 * YEN


# --- either sign --------------------------------------------------------------------------------------------------


@dataclass
class Exact:
    """The same with fractions: an average that is never rounded, and what each trade did to the yen balance."""

    position: int = 0
    average: Fraction = Fraction(0)
    balance: Fraction = Fraction(0)
    trade: Fraction = Fraction(0)

    def fill(self, ticks: int, lots: int, fee: int) -> None:
        """Book signed lots that do not cross zero."""
        if self.position * lots >= 0:
            self.average = (self.average * self.position + ticks * lots) / (self.position + lots)
        else:
            gain = (ticks - self.average) * -lots * UNIT
            self.balance += gain
            self.trade += gain
        self.position += lots
        self.balance -= fee
        self.trade -= fee


@dataclass
class Either:
    """A wish: go long or short, or close up to so many lots; or pay for a night."""

    kind: str
    ticks: int
    lots: int
    fee: int


EITHER = st.lists(
    st.builds(Either, st.sampled_from(["buy", "sell", "buy", "sell", "night"]), PRICES, LOTS, FEES),
    min_size=1,
    max_size=60,
)
_NIGHT = uncompiled(apply_leverage_fee)


@settings(max_examples=300, deadline=None)
@given(EITHER)
def test_longs_and_shorts_keep_the_identities_against_exact_fractions(events: list[Either]) -> None:
    pair, exact = Pair(), Exact()
    row = pair.row
    closes, trades = 0, 0
    for event in events:
        before = row.position
        if event.kind == "night":
            apply_leverage_fee(pair.compiled[0], event.fee)
            _NIGHT(row, event.fee)
            exact.balance -= event.fee
            exact.trade -= event.fee
        else:
            side = 1 if event.kind == "buy" else -1
            against = before * side < 0
            lots = min(event.lots, abs(before)) if against else event.lots
            apply = pair.buy if side > 0 else pair.sell
            pnl = apply(Event(side > 0, event.ticks, lots, event.fee), lots)
            exact.fill(event.ticks, side * lots, event.fee)
            closes += against
            if row.position == 0:
                # A partial close rounds its share by less than a micro-yen; the last lot takes the rest: none is lost.
                assert pnl == row.last_trade_pnl_uyen == exact.trade
                assert row.cash_uyen == exact.balance
                exact.trade, closes, trades = Fraction(0), 0, trades + 1
            elif against:
                assert pnl == 0
        assert row.position == exact.position
        assert row.cost_uyen * row.position >= 0
        assert (row.cost_uyen == 0) == (row.position == 0)
        assert row.cash_uyen + row.cost_uyen == row.realized_uyen - row.fees_uyen
        assert abs(row.cash_uyen + row.cost_uyen - exact.balance) <= closes, "the yen balance, a micro-yen a partial close apart"
        assert row.closed_trades == trades
        assert pair.compiled.tobytes() == pair.plain.tobytes()


def test_a_short_round_trip_by_hand() -> None:
    row: Any = PlainRecord(np.zeros(1, LEDGER)[0])
    assert _SELL(row, UNIT, 10_000_000, 1_000, 50 * YEN) == 0
    assert (row.position, row.cost_uyen, row.cash_uyen) == (-1_000, -100_000 * YEN, 99_950 * YEN)
    assert _BUY(row, UNIT, 9_000_000, 400, 0) == 0
    assert (row.position, row.cost_uyen, row.realized_uyen) == (-600, -60_000 * YEN, 4_000 * YEN)
    _NIGHT(row, 24 * YEN)
    assert _BUY(row, UNIT, 11_000_000, 600, 0) == (4_000 - 6_000 - 50 - 24) * YEN
    assert (row.position, row.cost_uyen, row.fees_uyen, row.leverage_fees_uyen, row.closed_trades) == (0, 0, 74 * YEN, 24 * YEN, 1)


def test_a_short_is_worth_less_as_the_price_rises() -> None:
    row: Any = PlainRecord(np.zeros(1, LEDGER)[0])
    _SELL(row, UNIT, 10_000_000, 1_000, 0)
    assert [row.cash_uyen + row.position * price * UNIT for price in (9_000_000, 10_000_000, 12_000_000)] == [
        10_000 * YEN,
        0,
        -20_000 * YEN,
    ]

"""From tape to bars: a hole is mended before trading goes on, told when it cannot be, and nothing counts twice."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from tests.live.bench import BTC, PRICE, SECOND, START_NS, HandClock, ScriptedRest

from gmobot.core.records import BAR_GAP_BEFORE, BAR_LATE
from gmobot.errors import Category, Unavailable
from gmobot.live.feed import SymbolFeed
from gmobot.venue.models import Kline, Print, Side

Row = tuple[int, int, int, int]


def trade(seconds: float, *, price: int = PRICE, lots: int = 1, side: Side = Side.BUY) -> Print:
    return Print(symbol="BTC", side=side, size=BTC.size(lots), price=Decimal(price), at_ns=START_NS + round(seconds * SECOND))


def pairs(*rows: Print) -> list[Print]:
    """REST's tape: newest first, each match once per side."""
    newest = sorted(rows, key=lambda row: -row.at_ns)
    return [Print(symbol=r.symbol, side=side, size=r.size, price=r.price, at_ns=r.at_ns) for r in newest for side in (Side.SELL, Side.BUY)]


class Feed:
    """A feed of one-second bars and what it delivered.

    Args:
        answered: Whether the exchange has told its time.
    """

    def __init__(self, *, bar_seconds: int = 1, warmup: int = 5, answered: bool = False) -> None:
        self.bar_seconds = bar_seconds
        self.clock = HandClock()
        self.rest = ScriptedRest()
        if answered:
            self.rest.server_now = lambda: self.clock.at_ns
        self.bars: list[np.void] = []
        self.feed = SymbolFeed(BTC, bar_seconds, self.rest, self.clock, grace_ms=300, warmup_bars=warmup, deliver=self.bars.extend)

    async def live(self) -> None:
        """Go live with an empty past."""
        self.feed.continue_from(START_NS - self.bar_seconds * SECOND)
        await self.feed.repair()
        assert self.feed.live

    def rows(self) -> list[Row]:
        """Second of the bar, close, volume, flags."""
        return [((int(b["open_time"]) - START_NS) // SECOND, int(b["close"]) - PRICE, int(b["volume"]), int(b["flags"])) for b in self.bars]

    def at(self, seconds: float, *rows: Print) -> None:
        """Let time come to a moment, hear prints and close what is due."""
        self.clock.at_ns = START_NS + round(seconds * SECOND)
        for row in rows:
            self.feed.on_print(row)
        self.feed.close_due()


async def test_bars_close_after_their_grace_and_come_in_time() -> None:
    feed = Feed()
    await feed.live()
    feed.at(0.5, trade(0.1, price=PRICE + 1), trade(0.5, price=PRICE + 2, lots=3))
    feed.at(1.29)
    assert feed.rows() == []
    feed.at(1.3)
    assert feed.rows() == [(0, 2, 4, 0)]


async def test_a_straggler_within_the_grace_belongs_to_its_bar() -> None:
    feed = Feed()
    await feed.live()
    feed.at(1.2, trade(1.1, lots=5), trade(0.9, price=PRICE + 7))
    feed.at(2.5)
    assert feed.rows() == [(0, 7, 1, 0), (1, 0, 5, 0)]


async def test_no_trade_no_bar() -> None:
    feed = Feed()
    await feed.live()
    feed.at(0.5, trade(0.5))
    feed.at(5.0, trade(4.5))
    feed.at(10.0)
    assert [row[0] for row in feed.rows()] == [0, 4]


async def test_the_next_bar_is_closed_at_its_end_and_its_grace() -> None:
    feed = Feed()
    for at, expected in ((0.0, 0.3), (0.3, 1.3), (0.31, 1.3), (1.2999, 1.3)):
        feed.clock.at_ns = START_NS + round(at * SECOND)
        assert at + feed.feed.seconds_to_close() == pytest.approx(expected), at


async def test_a_hole_is_mended_from_pairs_and_its_bars_are_late() -> None:
    feed = Feed()
    await feed.live()
    feed.at(1.5, trade(0.5), trade(1.4, lots=2))
    feed.feed.interrupt()
    feed.at(4.5)
    assert [row[0] for row in feed.rows()] == [0], "nothing closes over a hole"
    # What the stream had told already (1.4), what it missed (2.5, 3.5), and what it tells again (4.2 on).
    feed.rest.tape = pairs(trade(0.5), trade(1.4, lots=2), trade(2.5, lots=3), trade(3.5, lots=4), trade(4.2, lots=5))
    feed.feed.on_print(trade(4.2, lots=5))
    feed.feed.on_print(trade(4.4, lots=6))
    await feed.feed.repair()
    assert feed.rows()[1:] == [(1, 0, 2, BAR_LATE), (2, 0, 3, BAR_LATE), (3, 0, 4, BAR_LATE)]
    feed.at(5.4)
    assert feed.rows()[-1] == (4, 0, 11, 0), "the bar of now is whole, in time, and counts nothing twice"


async def test_equal_trades_of_one_moment_are_several() -> None:
    feed = Feed()
    feed.feed.continue_from(START_NS - SECOND)
    feed.clock.advance(3.0)
    feed.rest.tape = pairs(trade(1.5), trade(1.5), trade(1.5))
    await feed.feed.repair()
    assert feed.rows() == [(1, 0, 3, BAR_LATE)]


async def test_a_trade_that_shifts_the_pages_is_not_counted_twice() -> None:
    feed = Feed()
    feed.feed.continue_from(START_NS - SECOND)
    feed.clock.advance(200.0)
    rows = pairs(*(trade(number + 0.5) for number in range(180)))
    feed.rest.tape = rows

    def one_more() -> None:
        if feed.rest.trade_pages == 1:
            feed.rest.tape = pairs(trade(190.5)) + rows

    feed.rest.meanwhile = one_more
    await feed.feed.repair()
    assert [row[2] for row in feed.rows()] == [1] * 180
    assert not feed.feed.gap


async def test_a_hole_too_deep_to_fetch_is_told() -> None:
    feed = Feed()
    feed.feed.continue_from(START_NS - SECOND)
    feed.clock.advance(1_900.0)
    feed.rest.tape = pairs(*(trade(number + 0.5) for number in range(1_800)))
    await feed.feed.repair()
    assert feed.feed.gap
    assert len(feed.bars) == 1_500, "thirty pages of fifty pairs"
    assert feed.rows()[0][3] == BAR_LATE | BAR_GAP_BEFORE
    assert {row[3] for row in feed.rows()[1:]} == {BAR_LATE}


async def test_a_second_hole_before_the_first_is_mended_is_no_less_a_hole() -> None:
    feed = Feed()
    await feed.live()
    feed.feed.interrupt()
    feed.at(1.5, trade(1.2))
    feed.feed.interrupt()
    feed.at(3.5, trade(3.2))
    feed.rest.tape = pairs(trade(1.2), trade(2.5, lots=9), trade(3.2))
    await feed.feed.repair()
    feed.at(4.5)
    assert [row[:3] for row in feed.rows()] == [(1, 0, 1), (2, 0, 9), (3, 0, 1)]


async def test_a_stream_that_falls_during_the_repair_leaves_it_undone() -> None:
    feed = Feed()
    await feed.live()
    feed.feed.interrupt()
    feed.clock.advance(2.5)
    feed.rest.meanwhile = feed.feed.interrupt
    feed.rest.tape = pairs(trade(0.5))
    await feed.feed.repair()
    assert not feed.feed.live
    feed.rest.meanwhile = lambda: None
    feed.clock.advance(2.0)
    feed.rest.tape = pairs(trade(0.5), trade(3.5, lots=2))
    await feed.feed.repair()
    assert [row[:3] for row in feed.rows()] == [(0, 0, 1), (3, 0, 2)]


async def test_no_answer_leaves_the_hole_and_what_was_heard() -> None:
    feed = Feed()
    await feed.live()
    feed.feed.interrupt()
    feed.at(1.5, trade(1.4, lots=2))
    feed.rest.trouble = Unavailable("no answer", category=Category.NETWORK)
    with pytest.raises(Unavailable):
        await feed.feed.repair()
    assert not feed.feed.live
    feed.rest.trouble = None
    feed.clock.advance(1.0)
    await feed.feed.repair()
    assert [row[:3] for row in feed.rows()] == [(1, 0, 2)]


async def test_a_restart_goes_on_after_the_last_bar_it_decided_on() -> None:
    feed = Feed()
    feed.feed.continue_from(START_NS + SECOND)
    feed.clock.advance(4.5)
    feed.rest.tape = pairs(trade(0.5), trade(1.5), trade(2.5), trade(3.5))
    await feed.feed.repair()
    assert [row[0] for row in feed.rows()] == [2, 3]
    await feed.feed.repair()
    assert [row[0] for row in feed.rows()] == [2, 3], "once is enough"


async def test_a_first_start_warms_up_on_as_many_bars_as_asked() -> None:
    feed = Feed(warmup=5)
    feed.clock.advance(20.5)
    feed.rest.tape = pairs(*(trade(number + 0.5) for number in range(20)))
    await feed.feed.repair()
    assert [row[0] for row in feed.rows()] == [15, 16, 17, 18, 19]
    assert {row[3] & BAR_LATE for row in feed.rows()} == {BAR_LATE}


async def test_minutes_warm_up_on_klines_and_build_the_newest_from_prints() -> None:
    feed = Feed(bar_seconds=60, warmup=3)
    feed.clock.advance(600.0 + 10.0)
    kline: Callable[[int], Kline] = lambda minute: Kline(  # noqa: E731
        open_time_ns=START_NS + minute * 60 * SECOND,
        open=Decimal(PRICE),
        high=Decimal(PRICE + 5),
        low=Decimal(PRICE),
        close=Decimal(PRICE + minute),
        volume=BTC.size(20),
    )
    feed.rest.day_klines = {"20260101": [kline(minute) for minute in range(10)]}
    feed.rest.tape = pairs(trade(545.0, lots=7), trade(605.0, lots=1))
    await feed.feed.repair()
    assert [((int(b["open_time"]) - START_NS) // (60 * SECOND), int(b["volume"]), int(b["flags"])) for b in feed.bars] == [
        (6, 10, BAR_LATE),
        (7, 10, BAR_LATE),
        (8, 10, BAR_LATE),
        (9, 7, BAR_LATE),
    ]


@pytest.mark.parametrize("hours", [9, -9])
async def test_bars_go_on_by_the_exchanges_time_whatever_our_clock_says(hours: int) -> None:
    feed = Feed(bar_seconds=60, answered=True)
    await feed.live()
    feed.clock.set_wall(hours * 3_600)
    for second in range(300):
        feed.at(second + 0.5, trade(second + 0.4))
    assert [(row[0], row[2:]) for row in feed.rows()] == [(minute * 60, (60, 0)) for minute in range(4)]


async def test_bars_closed_before_their_time_are_read_again_and_none_comes_twice() -> None:
    feed = Feed(bar_seconds=60)
    await feed.live()
    tape = [trade(second + 0.4) for second in range(600)]
    for second in range(150):
        feed.at(second + 0.5, tape[second])
    feed.clock.set_wall(9 * 3_600)
    for second in range(150, 160):
        feed.at(second + 0.5, tape[second])
    feed.clock.set_wall(-9 * 3_600)
    feed.at(160.5, tape[160])
    assert not feed.feed.live, "there is a hole since the last bar that was delivered"
    feed.clock.at_ns = START_NS + 400 * SECOND
    feed.rest.tape = pairs(*tape[:400])
    await feed.feed.repair()
    for second in range(400, 600):
        feed.at(second + 0.5, tape[second])
    minutes = [row[0] // 60 for row in feed.rows()]
    assert minutes == sorted(set(minutes)) == list(range(9))
    # The third one was closed too early, hours after its end as it seemed: what was decided on never changes.
    assert [(row[2], row[3]) for row in feed.rows()] == [*[(60, 0)] * 2, (31, BAR_LATE), *[(60, BAR_LATE)] * 3, *[(60, 0)] * 3]


async def test_a_repair_under_a_clock_that_ran_ahead_asks_from_the_last_bar_that_was_delivered() -> None:
    feed = Feed(bar_seconds=60)
    await feed.live()
    feed.at(30.0, trade(10.0))
    feed.clock.set_wall(9 * 3_600)
    feed.at(31.0)
    feed.feed.interrupt()
    feed.clock.set_wall(-9 * 3_600)
    feed.clock.at_ns = START_NS + 200 * SECOND
    feed.rest.tape = pairs(trade(10.0), trade(50.0, lots=9), trade(70.0, lots=2), trade(130.0, lots=3))
    await feed.feed.repair()
    assert [(row[0], row[2], row[3]) for row in feed.rows()] == [(0, 1, BAR_LATE), (60, 2, BAR_LATE), (120, 3, BAR_LATE)]


async def test_what_comes_long_after_its_end_is_late_whatever_the_reason() -> None:
    feed = Feed(bar_seconds=60)
    await feed.live()
    feed.feed.on_print(trade(10.0))
    feed.feed.on_print(trade(190.0))
    feed.feed.on_print(trade(250.0))
    feed.at(301.0)
    assert [(row[0], row[3]) for row in feed.rows()] == [(0, BAR_LATE), (180, 0), (240, 0)]


async def test_prints_off_our_grid_are_told_and_make_bars_all_the_same() -> None:
    feed = Feed()
    await feed.live()
    off = Print(symbol="BTC", side=Side.BUY, size=Decimal("0.000011"), price=PRICE + Decimal("2.6"), at_ns=START_NS + SECOND // 2)
    assert feed.feed.on_print(trade(0.1))
    assert not feed.feed.on_print(off)
    assert not feed.feed.on_print(msgspec.structs.replace(off, price=Decimal("1e30")))
    feed.at(1.5)
    assert feed.rows() == [(0, 3, 3, 0)]

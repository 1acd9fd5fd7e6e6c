from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.core.support import real_bars

from gmobot.core.bars import NS_PER_SECOND, BarBuilder, bars_from_trades
from gmobot.core.records import BAR_GAP_BEFORE, BAR_LATE

S = NS_PER_SECOND


def rows(bars: Any) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in bars.tolist()]


def build(trades: list[tuple[int, int, int]], seconds: int, until: int) -> list[tuple[int, ...]]:
    builder = BarBuilder(seconds)
    for trade in trades:
        builder.add(*trade)
    return rows(builder.close_until(until))


def batch(tape: list[tuple[int, int, int]], seconds: int) -> Any:
    at_ns, ticks, lots = (np.array(column) for column in zip(*tape, strict=True))
    return bars_from_trades(at_ns, ticks, lots, seconds)


def test_a_bar_holds_first_highest_lowest_last_and_volume() -> None:
    assert build([(0, 5, 1), (1, 9, 2), (2, 3, 3), (3, 4, 4)], 1, S) == [(0, 5, 9, 3, 4, 10, 0)]


def test_a_trade_on_the_boundary_belongs_to_the_next_bar() -> None:
    assert build([(S - 1, 5, 1), (S, 6, 1)], 1, 2 * S) == [(0, 5, 5, 5, 5, 1, 0), (S, 6, 6, 6, 6, 1, 0)]


def test_an_interval_without_a_trade_has_no_bar() -> None:
    assert [row[0] for row in build([(0, 5, 1), (7 * S, 6, 1)], 2, 100 * S)] == [0, 6 * S]


def test_only_bars_that_are_over_are_handed_out_and_each_once() -> None:
    builder = BarBuilder(1)
    builder.add(0, 5, 1)
    builder.add(S, 6, 1)
    assert len(builder.close_until(S - 1)) == 0
    assert rows(builder.close_until(S + 1)) == [(0, 5, 5, 5, 5, 1, 0)]
    builder.add(S + 2, 7, 1)
    assert rows(builder.close_until(2 * S)) == [(S, 6, 7, 6, 7, 2, 0)]
    assert len(builder.close_until(9 * S)) == 0


def test_a_straggler_still_finds_its_bar_before_that_is_handed_out() -> None:
    builder = BarBuilder(1)
    for trade in [(10, 5, 1), (30, 6, 1), (S + 5, 8, 1), (20, 1, 1), (5, 4, 1), (40, 7, 1)]:
        builder.add(*trade)
    assert rows(builder.close_until(S)) == [(0, 4, 7, 1, 7, 5, 0)]
    assert builder.late_trades == 0


def test_a_straggler_may_make_a_bar_that_was_not_there() -> None:
    builder = BarBuilder(1)
    for trade in [(3 * S, 5, 1), (S, 6, 2), (3 * S + 1, 4, 1)]:
        builder.add(*trade)
    assert rows(builder.close_until(9 * S)) == [(S, 6, 6, 6, 6, 2, 0), (3 * S, 5, 5, 4, 4, 2, 0)]


def test_a_trade_of_a_bar_that_was_handed_out_is_counted_and_dropped() -> None:
    builder = BarBuilder(1)
    builder.add(10, 5, 1)
    builder.close_until(S)
    builder.add(20, 9, 1)
    assert builder.late_trades == 1
    assert len(builder.close_until(2 * S)) == 0


def test_an_empty_interval_that_is_over_takes_no_trade_either() -> None:
    builder = BarBuilder(1)
    builder.close_until(5 * S)
    builder.add(4 * S, 9, 1)
    assert builder.late_trades == 1


def test_gap_and_late_are_marked() -> None:
    builder = BarBuilder(1)
    builder.mark_gap()
    assert len(builder.close_until(S)) == 0
    builder.add(S, 5, 1)
    builder.add(2 * S, 5, 1)
    assert [row[-1] for row in rows(builder.close_until(3 * S, late=True))] == [BAR_GAP_BEFORE | BAR_LATE, BAR_LATE]
    builder.add(3 * S, 5, 1)
    assert [row[-1] for row in rows(builder.close_until(4 * S))] == [0]


@pytest.mark.parametrize("seed", range(20))
def test_stragglers_within_the_grace_give_the_bars_of_the_sorted_tape(seed: int) -> None:
    rng = random.Random(seed)
    times = sorted(rng.sample(range(0, 60 * S, 1_000), 400))
    tape = [(at, rng.randint(90, 110), rng.randint(1, 9)) for at in times]
    shuffled = sorted(tape, key=lambda trade: trade[0] + rng.randrange(2 * S))
    builder, found = BarBuilder(1), []
    for trade in shuffled:
        builder.add(*trade)
        found += rows(builder.close_until(trade[0] - 2 * S))
    found += rows(builder.close_until(100 * S))
    assert builder.late_trades == 0
    assert found == rows(batch(tape, 1))


def test_a_real_day_gives_the_recorded_minutes_live_and_in_one_batch(market_data: Path) -> None:
    path = market_data / "gmo/trades/BTC_JPY/2024/12/20241206_BTC_JPY.csv.gz"
    table = pl.read_csv(path, schema_overrides={"price": pl.Float64, "size": pl.Float64})
    at_ns = table["timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S%.3f", time_unit="ns").dt.epoch("ns").to_numpy()
    ticks = np.rint(table["price"].to_numpy()).astype(np.int64)
    lots = np.rint(table["size"].to_numpy() * 10_000).astype(np.int64)

    at_once = bars_from_trades(at_ns, ticks, lots, 60)
    recorded = real_bars(market_data)
    first, last = int(at_once["open_time"][0]), int(at_once["open_time"][-1])
    recorded = recorded[(recorded["open_time"] >= first) & (recorded["open_time"] <= last)]
    assert len(at_once) > 1_300
    assert at_once.tobytes() == recorded.tobytes()

    builder, live = BarBuilder(60), []
    for trade in zip(at_ns.tolist(), ticks.tolist(), lots.tolist(), strict=True):
        builder.add(*trade)
        live += rows(builder.close_until(trade[0]))
    live += rows(builder.close_until(last + 60 * S))
    assert live == rows(at_once)


@pytest.mark.parametrize("seconds", [1, 7, 300, 86_400])
def test_batch_and_live_agree_for_any_length(seconds: int) -> None:
    rng = random.Random(seconds)
    times = sorted(rng.randrange(1_700_000_000 * S, 1_700_100_000 * S) for _ in range(3_000))
    tape = [(at, rng.randint(1, 50), rng.randint(1, 9)) for at in times]
    assert rows(batch(tape, seconds)) == build(tape, seconds, 1_800_000_000 * S)


def test_nothing_gives_no_bars_and_disorder_is_refused() -> None:
    empty = np.zeros(0, np.int64)
    assert len(bars_from_trades(empty, empty, empty, 60)) == 0
    with pytest.raises(ValueError, match="order of their times"):
        bars_from_trades(np.array([2, 1]), np.array([1, 1]), np.array([1, 1]), 1)
    with pytest.raises(ValueError, match="at least one second"):
        bars_from_trades(np.array([1]), np.array([1]), np.array([1]), 0)
    with pytest.raises(ValueError, match="at least one second"):
        BarBuilder(0)

"""What the run loop does for the state at each turn."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.live.bench import PRICE, Bench

from gmobot.live import database, emergency
from gmobot.live.account import Account
from gmobot.live.housekeeping import Housekeeping


class Rising(Account):
    """An account whose peak moves at every look."""

    def observe(self) -> bool:
        self.state.peak += 1
        return True


def rising(bench: Bench) -> Account:
    account = Rising(bench.books, {bench.symbol: bench.market}, bench.clock, bench.account.state)
    account.start(10**13, {})
    return account


async def test_a_moving_peak_is_kept_at_each_turn_and_in_an_emergency_once_a_minute(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    await bench.open()
    account, house = rising(bench), Housekeeping(bench.store, bench.clock, journal_days=30.0)
    for turn in range(1, 4):
        await house.keep(account, bench.books)
        assert bench.sql("SELECT value FROM account WHERE key = 'peak'") == [(10**13 + turn,)]
        bench.clock.advance(1.0)
    with closing(sqlite3.connect(bench.directory / "state" / "gmobot.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await bench.store.emit([])
        for _ in range(180):
            bench.clock.advance(1.0)
            await house.keep(account, bench.books)
    assert len(emergency.read(bench.directory / "state" / emergency.NAME)) == 3
    bench.clock.advance(1.0)
    await bench.store.emit([])
    await house.keep(account, bench.books)
    assert bench.sql("SELECT value FROM account WHERE key = 'peak'") == [(account.state.peak,)]
    await bench.close()


async def test_a_day_is_closed_at_what_its_positions_are_worth(bench: Bench) -> None:
    await bench.open()
    bench.account.start(10**13, {})
    await bench.owning(10_000)
    house = Housekeeping(bench.store, bench.clock, journal_days=30.0)
    bench.market.last, bench.market.book = 0, None
    bench.clock.advance(86_400.0)
    await house.keep(bench.account, bench.books)
    assert bench.sql("SELECT equity_uyen FROM days WHERE equity_uyen > 0") == [], "after a start there is no price for a moment"
    bench.market.last = PRICE * 2
    await house.keep(bench.account, bench.books)
    assert bench.sql("SELECT equity_uyen FROM days WHERE equity_uyen > 0") == [(bench.account.equity_uyen,)]
    await bench.close()


async def test_that_the_database_cannot_be_written_is_told_once_and_so_is_that_it_can(bench: Bench) -> None:
    await bench.open()
    house = Housekeeping(bench.store, bench.clock, journal_days=30.0)
    assert house.news() is None
    bench.store.trouble = "database is locked"
    news = house.news()
    assert news is not None
    assert news.fields == {"reason": "state_unwritable", "detail": "database is locked"}
    assert house.news() is None
    bench.store.trouble = None
    news = house.news()
    assert news is not None
    assert "can be written again" in news.fields["detail"]
    await bench.close()


async def test_what_is_old_goes_at_each_turn_and_then_an_hour_is_waited(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.open()
    await bench.owning(100)
    never = await bench.acknowledged(order_id=5)
    await bench.books.reject(never, "")
    house = Housekeeping(bench.store, bench.clock, journal_days=30.0)
    await house.prune()
    bench.clock.advance(86_400.0 * 31)
    for _ in range(5):
        await house.prune()
    assert bench.sql("SELECT order_id FROM intents") == [(900,)]
    looked: list[float] = []

    async def prune(*, journal_days: float) -> int:
        looked.append(journal_days)
        return 0

    monkeypatch.setattr(bench.store, "prune", prune)
    for _ in range(3):
        bench.clock.advance(3_599.0 / 3)
        await house.prune()
    assert looked == []
    bench.clock.advance(2.0)
    await house.prune()
    assert looked == [30.0]
    await bench.close()

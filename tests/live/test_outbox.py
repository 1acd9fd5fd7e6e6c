"""What is read for people: events with words, and days whose figures are the ledgers'."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from tests.live.bench import PRICE, Bench, fill

from gmobot.clock import trading_day
from gmobot.core.instrument import to_uyen
from gmobot.live import emergency, pruning, schema
from gmobot.live.housekeeping import Housekeeping
from gmobot.live.intents import Purpose
from gmobot.live.outbox import Outbox
from gmobot.live.records import ClosedDay, Event
from gmobot.live.statements import forget_notified, write_notified
from gmobot.ops.digest import TellerState
from gmobot.venue.models import Side

DAY = 86_400.0
YEN = 1_000_000


def outbox(bench: Bench) -> Outbox:
    return Outbox(bench.directory / "state" / "gmobot.db", "run-1")


def state(**changes: int) -> TellerState:
    return msgspec.structs.replace(TellerState(seq=0, held_seq=0, day=0), **changes)


async def test_a_channel_that_is_new_begins_before_the_first_event_of_this_run(bench: Bench) -> None:
    await bench.open()
    box = outbox(bench)
    assert box.state("discord") is None
    await bench.store.begin_run("hash", [Event("run_started", {})])
    begin = box.state("discord")
    assert begin == TellerState(seq=0, held_seq=0, day=0)
    kept = state(seq=5, held_seq=3, day=7)
    await bench.store.keep_notified([write_notified("discord", 3, msgspec.json.encode(kept).decode())])
    assert box.state("discord") == kept
    await bench.store.keep_notified([forget_notified(["slack"])])
    assert box.state("discord") == begin
    await bench.close()


async def test_only_what_has_words_is_read_and_the_cursor_passes_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.open()
    for number in range(3):
        await bench.store.emit([Event("decision", {}), Event("error", {"reason": f"r{number}"}), Event("config_loaded", {})])
    pile = outbox(bench).pile(state())
    assert [item.notice.text.en for item in pile.news] == ["r0", "r1", "r2"]
    assert (pile.seq, pile.held, pile.days) == (9, [], [])
    held = outbox(bench).pile(state(seq=9, held_seq=4))
    assert [item.notice.text.en for item in held.held] == ["r1", "r2"]
    assert held.news == []
    monkeypatch.setattr("gmobot.live.outbox._AT_ONCE", 2)
    assert outbox(bench).pile(state()).seq == 3, "the rest comes in the next round"
    await bench.close()


def uyen(yen: str) -> int:
    return to_uyen(Decimal(yen))


async def close_day(bench: Bench) -> None:
    """Let the trading day turn, as the run loop does."""
    house = Housekeeping(bench.store, bench.clock, journal_days=30.0)
    await house.keep(bench.account, bench.books)
    bench.clock.advance(DAY)
    await house.keep(bench.account, bench.books)


async def test_the_figures_of_days_are_the_ledgers_to_the_unit(bench: Bench) -> None:
    await bench.open()
    bench.account.start(1_000_000 * YEN, {})
    first, ledger = trading_day(bench.clock.now_ns()), bench.books.ledger("BTC")
    await bench.owning(100)
    bench.market.last += 1_234
    equity, profit = bench.account.equity_uyen, bench.account.daily_pnl_uyen
    await close_day(bench)
    (told,) = outbox(bench).pile(state()).days
    assert told.day == first
    assert [uyen(told.equity_jpy), uyen(told.profit_jpy)] == [equity, profit]
    assert [uyen(told.realized_jpy), uyen(told.fees_jpy)] == [ledger.realized_uyen, ledger.fees_uyen] == [0, 5 * YEN]
    assert (told.fills, told.trades, told.positions) == (1, 0, {"BTC": "0.00100"})
    await bench.acknowledged(order_id=901, side=Side.SELL, purpose=Purpose.EXIT)
    await bench.tracker.on_execution(fill(9_001, 901, side=Side.SELL, price=PRICE + 5_000))
    await close_day(bench)
    today = outbox(bench).pile(state(day=first)).days[-1]
    assert ledger.realized_uyen == 5 * YEN
    assert uyen(today.realized_jpy) == ledger.realized_uyen
    assert uyen(told.fees_jpy) + uyen(today.fees_jpy) == ledger.fees_uyen == 10 * YEN
    assert (today.fills, today.trades, today.positions) == (1, 1, {})
    assert bench.account.state.day == today.day + 1
    await bench.close()


async def test_a_day_is_that_of_every_symbol_also_of_one_that_is_traded_no_more(bench: Bench) -> None:
    await bench.open()
    with closing(sqlite3.connect(bench.directory / "state" / "gmobot.db", isolation_level=None)) as db:
        for number, symbol in enumerate(("BTC", "ETH"), start=1):
            ledger = json.dumps({"realized_uyen": 5 * number * YEN, "fees_uyen": number * YEN, "closed_trades": 10 * number})
            db.execute("INSERT INTO ledgers VALUES (?, ?)", (symbol, ledger))
    await bench.store.close_day(ClosedDay(day=7, closed_ns=1, equity_uyen=5, profit_uyen=2, drawdown=0.1, positions={}), {})
    (told,) = outbox(bench).pile(state()).days
    assert (told.realized_jpy, told.fees_jpy, told.trades) == ("15", "3", 30)
    await bench.close()


async def test_before_the_account_has_begun_no_day_ends(bench: Bench) -> None:
    await bench.open()
    await close_day(bench)
    assert outbox(bench).pile(state()).days == []
    await bench.close()


def test_a_database_of_before_begins_with_what_its_ledgers_came_to(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as db:
        for step in schema.STEPS[:4]:
            db.executescript(step.sql)
        db.execute("""INSERT INTO ledgers VALUES ('BTC', '{"realized_uyen": 5, "fees_uyen": 2, "closed_trades": 3}')""")
        db.execute("""INSERT INTO ledgers VALUES ('ETH', '{"realized_uyen": -1, "fees_uyen": 1, "closed_trades": 4}')""")
        db.executescript(schema.STEPS[4].sql)
        assert db.execute("SELECT realized_uyen, fees_uyen, trades, fills FROM days").fetchall() == [(4, 3, 7, 0)]


async def test_a_day_that_ends_while_the_database_is_locked_is_kept_in_the_emergency_journal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmobot.live.database.BUSY_SECONDS", 0.0)
    await bench.open()
    day = ClosedDay(day=7, closed_ns=1, equity_uyen=5, profit_uyen=2, drawdown=0.1, positions={})
    with closing(sqlite3.connect(bench.directory / "state" / "gmobot.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await bench.store.close_day(day, {"day": 8})
    assert len(emergency.read(bench.directory / "state" / emergency.NAME)) == 1
    bench.clock.advance(2.0)
    await bench.store.close_day(msgspec.structs.replace(day, equity_uyen=9), {"day": 8})
    assert bench.sql("SELECT day, equity_uyen FROM days ORDER BY day") == [(0, 0), (7, 5)], "a day ends once"
    assert bench.sql("SELECT value FROM account WHERE key = 'day'") == [(8,)]
    await bench.close()


async def test_what_nobody_was_told_of_yet_is_not_let_go_for_a_week(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "OUTBOX_KEPT", 0)
    await bench.open()

    async def left() -> list[str]:
        while await bench.store.prune(journal_days=30.0):
            pass
        return [row[0] for row in bench.sql("SELECT json_extract(fields, '$.reason') FROM audit ORDER BY seq")]

    async def emit(*names: str) -> None:
        for name in names:
            await bench.store.emit([Event("error", {"reason": name}), Event("decision", {"reason": "silent"})])

    await emit("told", "untold", "held")
    await bench.store.keep_notified([write_notified("discord", 2, "{}"), write_notified("slack", 4, "{}")])
    assert await left() == ["untold", "held"]
    bench.clock.advance(6 * DAY)
    await emit("new")
    assert await left() == ["untold", "held", "new"]
    bench.clock.advance(2 * DAY)
    await emit("newest")
    assert await left() == ["new", "newest"]
    await bench.store.keep_notified([forget_notified([])])
    assert await left() == []
    await bench.close()

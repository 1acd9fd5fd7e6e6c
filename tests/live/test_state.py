"""The database over its life: steps, refusals, checks, backups, and what is let go."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.live.bench import Bench, HandClock, fill, open_store

from gmobot.errors import StoreError
from gmobot.live import saved, schema
from gmobot.live.backups import KEPT, backup, backups, newest_for
from gmobot.live.integrity import check
from gmobot.live.intents import IntentState
from gmobot.live.pruning import AT_ONCE
from gmobot.live.recent import Recent
from gmobot.live.records import EngineRow, Event, JournalRow


def decided() -> tuple[EngineRow, list[JournalRow], list[Event]]:
    """Return what one bar leaves behind."""
    engine = EngineRow(symbol="BTC", program="x", bar_open_ns=1, state=b"", desired="{}")
    return engine, [JournalRow(kind="bar", symbol="BTC", payload="{}")], []


def database(directory: Path) -> Path:
    return directory / "state" / "gmobot.db"


def first_version(directory: Path) -> None:
    """Leave what the first version of the schema left: a position, its STOP and the fills behind it."""
    (directory / "state").mkdir(parents=True)
    with closing(sqlite3.connect(database(directory), isolation_level=None)) as db:
        db.executescript(f"BEGIN;{schema.STEPS[0].sql}PRAGMA user_version = 1;COMMIT;")
        db.execute(
            "INSERT INTO intents (symbol, purpose, side, type, time_in_force, lots, price, decision_id, created_ns, updated_ns, state, "
            "order_id, executed_lots) VALUES ('BTC', 'entry', 'BUY', 'MARKET', 'IOC', 100, 0, 1, 1, 1, 'filled', 1, 100)"
        )
        db.execute(
            "INSERT INTO intents (symbol, purpose, side, type, time_in_force, lots, price, decision_id, created_ns, updated_ns, state, "
            "order_id) VALUES ('BTC', 'protect', 'SELL', 'STOP', 'IOC', 100, 9000000, 1, 1, 1, 'working', 2)"
        )
        db.execute("INSERT INTO fills VALUES (11, 1, 1, 'BTC', 'BUY', 100, 10000000, 5000000, 1, 1)")
        ledger = '{"position": 100, "cost_uyen": 10000000000, "cash_uyen": -10005000000, "fees_uyen": 5000000}'
        db.execute("INSERT INTO ledgers VALUES ('BTC', ?)", (ledger,))
        db.executemany("INSERT INTO account VALUES (?, ?)", [("base_cash", 10**13), ("peak", 10**13), ("day", 1), ("day_start", 10**13)])


async def test_an_upgrade_keeps_an_open_position_and_its_stop_and_leaves_a_backup(tmp_path: Path) -> None:
    first_version(tmp_path)
    bench = Bench(tmp_path)
    await bench.open()
    assert bench.books.position("BTC") == 100
    (stop,) = bench.books.open_intents("BTC")
    assert (stop.order_id, stop.price, stop.settle.value, stop.amending_to) == (2, 9_000_000, "OPEN", 0)
    await bench.close()
    (kept,) = backups(database(tmp_path))
    assert kept.name.startswith("gmobot-schema1-")
    assert kept.name.endswith(f"-before-schema-{schema.VERSION}.db")
    with closing(sqlite3.connect(kept)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT position FROM (SELECT json_extract(record, '$.position') AS position FROM ledgers)").fetchone() == (100,)


async def test_a_step_that_is_cut_off_leaves_the_version_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_version(tmp_path)
    broken = (*schema.STEPS[:-1], schema.Step(schema.VERSION, "broken", "CREATE TABLE half (a INTEGER); SELECT nonsense;"))
    monkeypatch.setattr(schema, "STEPS", broken)
    with pytest.raises(StoreError):
        await open_store(tmp_path, HandClock()).open()
    with closing(sqlite3.connect(database(tmp_path))) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION - 1,)
        assert db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    monkeypatch.undo()
    bench = Bench(tmp_path)
    await bench.open()
    assert bench.books.position("BTC") == 100
    await bench.close()


async def test_a_newer_file_is_refused_with_the_way_back(bench: Bench) -> None:
    await bench.open()
    await bench.close()
    kept = backup(database(bench.directory), reason="by-hand")
    with closing(sqlite3.connect(database(bench.directory))) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(StoreError, match=f"newer gmobot .*gmobot state restore {kept}"):
        await bench.open()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE ledgers SET record = json_set(record, '$.position', 99)", "holds 99 lots and its fills add up to 100"),
        ("UPDATE intents SET executed_lots = 60 WHERE executed_lots > 0", "has 60 lots executed and 100 booked"),
        ("UPDATE intents SET executed_lots = 100 WHERE executed_lots = 0", "has 100 lots executed and 0 booked"),
        ("UPDATE fills SET ticks = ticks + 1", "micro-yen and its fills add up to"),
        ("UPDATE fills SET fee_uyen = fee_uyen + 1", "micro-yen and its fills add up to"),
        ("DELETE FROM ledgers", "has 1 fills and no ledger"),
        ("UPDATE fills SET intent_id = 77", "a row of fills points nowhere"),
    ],
)
async def test_a_database_that_does_not_hold_together_is_refused_and_not_touched(bench: Bench, damage: str, told: str) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=5)
    start = json.dumps({"tick_size": str(bench.instrument.tick_size), "size_step": str(bench.instrument.size_step)})
    await bench.store.save_decisions(decided()[0], [JournalRow(kind="start", symbol="BTC", payload=start)], [])
    await bench.close()
    with closing(sqlite3.connect(database(bench.directory))) as db:
        assert check(db) is None
        db.execute(damage)
        db.commit()
        assert told in str(check(db))
    with pytest.raises(StoreError, match=f"{told}.*; nothing was changed. There is no backup"):
        await bench.open()
    assert bench.sql("SELECT COUNT(*) FROM fills") == [(1,)]


async def test_a_file_with_garbage_in_it_is_refused(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    for number in range(300):
        await bench.store.save_account({f"filler {number}": number})
    await bench.close()
    path = database(bench.directory)
    content = bytearray(path.read_bytes())
    content[5_000:60_000] = b"\xff" * 55_000
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|malformed|file is not a database"):
        await bench.open()


async def test_a_backup_is_made_while_the_daemon_writes_and_old_ones_go(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    for _ in range(KEPT + 2):
        kept = backup(database(bench.directory), reason="by-hand")
    assert len(backups(database(bench.directory))) == KEPT
    assert newest_for(database(bench.directory), schema.VERSION) == kept
    assert newest_for(database(bench.directory), schema.VERSION - 1) is None
    with closing(sqlite3.connect(kept)) as db:
        assert check(db) is None
        assert db.execute("SELECT lots FROM fills").fetchall() == [(100,)]
    elsewhere = backup(database(bench.directory), reason="x", to=bench.directory / "far" / "copy.db")
    assert elsewhere.exists()
    await bench.close()
    with pytest.raises(StoreError, match="cannot be backed up"):
        backup(bench.directory / "no.db", reason="x")


DAY = 86_400.0


async def prune_all(bench: Bench) -> list[int]:
    looked: list[int] = []
    while looked[-1:] != [0]:
        looked.append(await bench.store.prune(journal_days=30.0))
    return looked


async def test_the_journal_is_let_go_in_small_pieces_and_fills_are_kept_with_what_explains_them(bench: Bench) -> None:
    await bench.open()
    await bench.store.begin_run("hash", [])
    await bench.owning(100)
    never = await bench.acknowledged(order_id=5)
    await bench.books.end(never, IntentState.CANCELLED, "")
    await bench.books.note_foreign(77, "BTC", "seen")
    for number in range(450):
        engine, _, _ = decided()
        explains = JournalRow(kind="bar", symbol="BTC", payload="{}", ref=1 if number == 200 else 1_000 + number)
        await bench.store.save_decisions(engine, [explains], [])
    await bench.store.save_decisions(engine, [JournalRow(kind="start", symbol="BTC", payload="{}")], [])
    bench.clock.advance(DAY * 30 + 1)
    await bench.store.save_decisions(*decided())
    looked = await prune_all(bench)
    assert max(looked) <= 4 * AT_ONCE
    assert bench.sql("SELECT kind, ref FROM journal WHERE kind IN ('bar', 'start') ORDER BY seq") == [("bar", 1), ("start", 0), ("bar", 0)]
    assert bench.sql("SELECT DISTINCT ref FROM journal WHERE kind IN ('order', 'fill')") == [(1,)]
    assert bench.sql("SELECT order_id FROM intents") == [(900,)]
    assert bench.sql("SELECT COUNT(*) FROM fills") == [(1,)]
    assert bench.sql("SELECT COUNT(*) FROM foreign_orders") == [(0,)]
    assert bench.sql("SELECT run_id FROM runs") == [("run-1",)]
    await bench.reopen()
    assert bench.saved.counts == {"orders": 2, "fills": 1}
    assert (await bench.intend()).intent_id == 3
    await bench.close()


async def test_orders_that_may_still_fill_are_never_let_go(bench: Bench) -> None:
    await bench.open()
    await bench.intend()
    await bench.acknowledged(order_id=5)
    bench.clock.advance(DAY * 3_000)
    await prune_all(bench)
    assert bench.sql("SELECT state FROM intents") == [("intent",), ("acknowledged",)]
    await bench.close()


async def test_what_is_kept_is_not_looked_at_again(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    bench.clock.advance(DAY * 31)
    assert sum(await prune_all(bench)) > 0
    bench.clock.advance(DAY)
    assert await prune_all(bench) == [0]
    await bench.close()


async def test_runs_of_which_nothing_is_left_go_but_never_the_last(bench: Bench) -> None:
    await bench.open()
    await bench.store.begin_run("hash", [])
    bench.clock.advance(1.0)
    await bench.reopen()
    await bench.store.begin_run("hash", [])
    bench.clock.advance(DAY * 31)
    await prune_all(bench)
    assert bench.sql("SELECT run_id FROM runs") == [("run-2",)]
    await bench.close()


async def test_a_lock_on_the_database_is_no_reason_to_end(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    bench.clock.advance(DAY * 31)
    with closing(sqlite3.connect(database(bench.directory), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert await bench.store.prune(journal_days=30.0) == 0
        other.execute("ROLLBACK")
    assert sum(await prune_all(bench)) > 0
    await bench.close()


def test_what_was_seen_is_bounded_and_the_latest_kept() -> None:
    seen = Recent([1, 2, 3, 4], most=3)
    assert [number in seen for number in (1, 2, 3, 4)] == [False, True, True, True]
    seen.add(3)
    seen.add(5)
    assert (len(seen), 2 in seen, 5 in seen) == (3, False, True)
    seen.discard(5)
    assert 5 not in seen


async def test_memory_of_orders_and_fills_is_read_back_latest_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MOST", 2)
    await bench.open()
    for number in (30, 10, 20):
        await bench.acknowledged(order_id=number)
        await bench.books.book(fill(number + 1, number, 1))
        bench.clock.advance(1.0)
    await bench.reopen()
    assert (bench.saved.known_orders, bench.saved.known_executions) == ([10, 20], [11, 21])
    await bench.close()

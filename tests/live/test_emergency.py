"""While the database cannot be written, what reduces risk goes on, is on disk, and comes back in order, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import PRICE, STOP, Bench, fill, intent
from tests.live.disk import small_disk, stuff

from gmobot.errors import StoreError
from gmobot.live import emergency, store
from gmobot.live.database import Database, UnwritableError
from gmobot.live.emergency import EmergencyJournal
from gmobot.live.intents import Latch, Purpose
from gmobot.live.records import EngineRow, JournalRow
from gmobot.venue.models import Side

EXIT: dict[str, Any] = {"purpose": Purpose.EXIT, "side": Side.SELL}


class Lock:
    """Another process that holds the database."""

    def __init__(self, bench: Bench) -> None:
        self._db = sqlite3.connect(bench.directory / "state" / "gmobot.db", isolation_level=None)
        self._db.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._db.close()


def trouble(bench: Bench) -> bool:
    return bench.store.trouble is not None


def recorded(bench: Bench) -> list[str]:
    """Return the SQL that the emergency journal holds, without events and journal rows."""
    batches = [batch for _, batch in emergency.read(bench.directory / "state" / emergency.NAME)]
    return [sql.split(" (")[0].split(" SET")[0] for batch in batches for sql, _ in batch if "audit" not in sql and "journal" not in sql]


async def test_an_exit_is_written_down_and_merged_in_order_once(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    lock = Lock(bench)
    made = await bench.intend(**EXIT)
    await bench.books.acknowledge(made, 7)
    await bench.tracker.on_execution(fill(70, 7, side=Side.SELL))
    assert trouble(bench)
    assert recorded(bench) == [
        "INSERT INTO intents",
        "UPDATE intents",
        "INSERT INTO fills",
        "UPDATE intents",
        "INSERT OR REPLACE INTO ledgers VALUES",
    ]
    assert bench.sql("SELECT COUNT(*) FROM fills") == [(1,)]
    lock.release()
    bench.clock.advance(1.0)
    await bench.store.emit([])
    assert not trouble(bench)
    assert bench.sql("SELECT state, order_id FROM intents ORDER BY intent_id") == [("filled", 900), ("filled", 7)]
    assert recorded(bench) == []
    assert [event["event"] for event in bench.events()][-4:] == ["order_submitted", "order_acknowledged", "fill", "position_changed"]
    await bench.close()


async def test_a_crash_in_between_loses_nothing_and_doubles_nothing(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    lock = Lock(bench)
    made = await bench.intend(**EXIT)
    await bench.books.acknowledge(made, 7)
    await bench.tracker.on_execution(fill(70, 7, side=Side.SELL))
    await bench.store.latch(Latch.HALT, "operator_halt", [])
    lock.release()
    journal = (bench.directory / "state" / emergency.NAME).read_bytes()
    await bench.reopen()
    assert (bench.books.position("BTC"), bench.saved.latches) == (0, {Latch.HALT: "operator_halt"})
    # The machine dies again right after the merge, before the file was cleared.
    bench.store.abandon()
    (bench.directory / "state" / emergency.NAME).write_bytes(journal)
    await bench.open()
    assert bench.sql("SELECT COUNT(*) FROM fills") == [(2,)]
    again = await bench.intend(**EXIT)
    assert again.intent_id == made.intent_id + 1
    await bench.close()


async def test_nothing_that_raises_exposure_is_sent(bench: Bench) -> None:
    await bench.open()
    lock = Lock(bench)

    async def never(_: object) -> int:
        raise AssertionError("an entry left without a record")

    bench.rest.answer = never
    bench.want(100)
    await bench.trader.turn()
    with pytest.raises(UnwritableError):
        await bench.intend()
    assert recorded(bench) == []
    lock.release()
    await bench.close()


async def test_an_exit_leaves_while_the_database_is_locked_and_quickly(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    lock, sent = Lock(bench), []

    async def take(request: Any) -> int:
        sent.append(recorded(bench))
        return 5

    bench.rest.answer = take
    bench.want(0)
    await bench.trader.turn()
    assert sent == [["INSERT INTO intents"]], "on disk before it leaves"
    lock.release()
    await bench.close()
    assert bench.sql("SELECT state FROM intents ORDER BY intent_id DESC LIMIT 1") == [("acknowledged",)]


async def test_the_database_is_tried_again_once_a_second(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.open()
    lock = Lock(bench)
    tried: list[int] = []
    reopen = Database.reopen

    def counted(self: Database) -> None:
        tried.append(1)
        reopen(self)

    monkeypatch.setattr(Database, "reopen", counted)
    for _ in range(5):
        await bench.store.emit([])
        bench.clock.advance(0.25)
    assert len(tried) == 1
    lock.release()
    await bench.close()


def test_a_torn_record_and_what_is_left_of_another_time_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / emergency.NAME
    journal = EmergencyJournal(path, size=1 << 16)
    assert journal.open() == []
    for number in (1, 2, 3):
        journal.append(number, [("X", (number,))])
    assert emergency.read(path) == [(n, [("X", (n,))]) for n in (1, 2, 3)]
    journal.clear()
    assert emergency.read(path) == []
    journal.append(4, [("Y", (4,))])
    assert emergency.read(path) == [(4, [("Y", (4,))])]
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    assert emergency.read(path) == []
    journal.close()


def test_a_full_journal_says_so_and_one_that_is_not_there_is_empty(tmp_path: Path) -> None:
    journal = EmergencyJournal(tmp_path / emergency.NAME, size=200)
    journal.open()
    with pytest.raises(StoreError, match="is full"):
        journal.append(1, [("X" * 200, ())])
    journal.close()
    assert emergency.read(tmp_path / "no") == []


async def test_on_a_disk_that_is_really_full_a_position_is_still_closed(tmp_path: Path) -> None:
    with small_disk(tmp_path, 8):
        await _close_on_a_full_disk(tmp_path)


async def _close_on_a_full_disk(disk: Path) -> None:
    bench = Bench(disk)
    await bench.open()
    await bench.owning(100)
    stuffing = stuff(disk)
    sent = []

    async def take(request: Any) -> int:
        sent.append(request.side)
        return 5

    bench.rest.answer = take
    # A few pages may still fit into the log that is there.
    for _ in range(2_000):
        if bench.store.trouble is not None:
            break
        await bench.store.emit([])
        await bench.store.save_account({f"filler {_}": _})
    assert bench.store.trouble is not None
    bench.want(0)
    await bench.trader.turn()
    assert sent == [Side.SELL]
    await bench.tracker.on_execution(fill(71, 5, side=Side.SELL))
    await bench.store.latch(Latch.HALT, "operator_halt", [])
    stuffing.unlink()
    await bench.reopen()
    assert (bench.books.position("BTC"), bench.saved.latches) == (0, {Latch.HALT: "operator_halt"})
    with closing(sqlite3.connect(disk / "state" / "gmobot.db")) as db:
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
    await bench.close()


async def test_an_entry_s_wording_is_not_what_an_emergency_takes(bench: Bench) -> None:
    """What protects is taken, with all that a restart needs to know of it."""
    await bench.open()
    await bench.owning(100)
    lock = Lock(bench)
    stop = await bench.intend(**(STOP | {"price": PRICE - 500}))
    await bench.books.acknowledge(stop, 8)
    lock.release()
    await bench.reopen()
    (known,) = bench.books.open_intents("BTC")
    assert (known.order_id, known.price, known.purpose) == (8, PRICE - 500, Purpose.PROTECT)
    assert intent().opens
    await bench.close()


async def test_a_journal_that_cannot_be_cleared_is_merged_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.open()
    await bench.owning(100)
    lock = Lock(bench)
    await bench.intend(**EXIT)
    lock.release()
    bench.clock.advance(1.0)

    def broken(_: EmergencyJournal) -> None:
        raise StoreError("Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(EmergencyJournal, "clear", broken)
        await bench.store.emit([])
    assert not trouble(bench)
    assert bench.sql("SELECT COUNT(*) FROM intents") == [(2,)]
    lock = Lock(bench)
    await bench.intend(**EXIT)
    lock.release()
    await bench.reopen()
    assert bench.sql("SELECT COUNT(*) FROM intents") == [(3,)]
    await bench.close()


async def test_only_what_is_on_disk_waits_without_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_MOST_WAITING", 3)
    await bench.open()
    await bench.owning(100)
    lock = Lock(bench)
    await bench.intend(**EXIT)
    for symbol in ("one", "two", "three"):
        decided = EngineRow(symbol=symbol, program="x", bar_open_ns=1, state=b"", desired="{}")
        await bench.store.save_decisions(decided, [JournalRow(kind="bar", symbol=symbol, payload="{}")], [])
    await bench.intend(**EXIT)
    lock.release()
    bench.clock.advance(1.0)
    await bench.store.emit([])
    assert bench.sql("SELECT COUNT(*) FROM intents") == [(3,)], "nothing that an exit left behind is let go"
    assert bench.sql("SELECT symbol FROM journal WHERE kind = 'bar'") == [("three",)], "the oldest decisions are"
    await bench.close()


async def test_at_the_end_it_is_tried_once_more_and_what_matters_is_kept(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    lock = Lock(bench)
    await bench.intend(**EXIT)
    await bench.close()
    assert recorded(bench) == ["INSERT INTO intents"]
    lock.release()
    await bench.open()
    assert bench.sql("SELECT COUNT(*) FROM intents") == [(2,)]
    assert recorded(bench) == []
    await bench.close()

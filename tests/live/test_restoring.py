"""The restore drill on the whole daemon: a backup from before is put back, and everything since is found again."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.live.bench import BTC, STOP, Bench
from tests.live.rehearsal import commands, daemon, guards, in_position, in_world, ours, position, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.live import emergency
from gmobot.live.backups import backup
from gmobot.live.records import EngineRow, JournalRow
from gmobot.live.restoring import PutBack, put_back
from gmobot.ops.audit_read import search
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


async def restore(world: World, kept: Path) -> int:
    """Stop, put the backup back, start. Returns how many orders were taken from the audit log."""
    await world._stop()
    world.evidence.forget_connection()
    done = put_back(world.config.paths.state, world.config.paths.logs, kept, now_ns=world.clock.now_ns())
    assert done.unreadable == 0
    # The file knows of fewer fills now, and that is no loss that the daemon caused.
    world.watch._fills = 0
    world._start()
    await until(lambda: daemon(world).status == "halted")
    return done.orders


@pytest.mark.parametrize("when", ["before the position", "in the position"])
def test_what_was_traded_since_the_backup_is_ours_again(program: Program, when: str) -> None:
    async def script(world: World) -> None:
        if when == "before the position":
            await until(lambda: "BTC" in daemon(world).desks and daemon(world).desks["BTC"].decisions.bars > 3)
        else:
            await in_position(world)
        kept = backup(world.config.paths.state / "gmobot.db", reason="drill")
        if when == "in the position":
            await until(lambda: ours(world) == 0)
        await in_position(world)
        assert await restore(world, kept) > 0
        await until(lambda: position(world) == ours(world), seconds=30.0)
        # What the core of then plans is held; what it does not know of is closed.
        assert position(world) > 0 or when == "before the position"
        assert guards(world).halt_reason == "state_restored"
        told = search(world.config.paths.logs, "state_restored", event="error")
        assert [event["source"] for event in told] == [str(kept)]
        await asyncio.sleep(30.0)
        account = daemon(world).account
        assert account is not None
        assert account.wallet_drift_uyen == 0
        assert world.account.held_lots.get("BTC", 0) == ours(world), "protected again"
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)


async def test_an_order_whose_reply_came_after_the_backup_is_given_its_id(bench: Bench) -> None:
    await bench.open()
    made = await bench.intend(**STOP)
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.books.acknowledge(made, 77)
    never = await bench.intend()
    await bench.books.reject(never, "ERR-201")
    await bench.close()
    done = put_back(bench.directory / "state", bench.directory / "logs", kept, now_ns=1)
    assert (done.orders, done.unreadable) == (1, 0)
    await bench.open()
    assert [(i.intent_id, i.order_id) for i in bench.saved.open_intents] == [(made.intent_id, 77)]
    await bench.close()


async def test_an_order_in_a_symbol_the_backup_knows_nothing_of_is_counted(bench: Bench) -> None:
    await bench.open()
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.acknowledged(order_id=5)
    await bench.close()
    done = put_back(bench.directory / "state", bench.directory / "logs", kept, now_ns=1)
    assert (done.orders, done.unreadable) == (0, 1)


def restored(bench: Bench, source: Path) -> PutBack:
    return put_back(bench.directory / "state", bench.directory / "logs", source, now_ns=1)


async def decided(bench: Bench) -> None:
    """Leave what the first decision of a run does: with it tick and lot are known."""
    start = {"strategy": "", "program": "", "params": {}, "reasons": [], "settings": {}, "core": "", "versions": {}, "machine": ""}
    row = json.dumps(start | {"tick_size": str(BTC.tick_size), "size_step": str(BTC.size_step)})
    engine = EngineRow(symbol="BTC", program="", bar_open_ns=1, state=b"", desired="{}")
    await bench.store.save_decisions(engine, [JournalRow(kind="start", symbol="BTC", payload=row)], [])


async def in_trouble(bench: Bench) -> Path:
    """Make a backup while 100 lots are owned, lose the database, and send a STOP all the same. Returns the backup.

    The reply of an earlier one comes when it cannot be written any more.
    """
    await bench.open()
    await bench.owning(100)
    await decided(bench)
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    earlier = await bench.intend(**STOP | {"lots": 40})
    with closing(sqlite3.connect(bench.directory / "state" / "gmobot.db", isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        await bench.books.acknowledge(earlier, 76)
        await bench.acknowledged(order_id=77, **STOP | {"lots": 60})
        assert bench.store.trouble is not None
        bench.store.abandon()
    return kept


def stops(bench: Bench) -> list[tuple[int | None, int, int]]:
    return sorted((made.order_id, made.lots, made.price) for made in bench.books.open_intents("BTC"))


STOPS = [(76, 40, STOP["price"]), (77, 60, STOP["price"])]


async def test_what_was_sent_while_the_database_could_not_be_written_is_ours_after_a_restore(bench: Bench) -> None:
    kept = await in_trouble(bench)
    (bench.directory / "state" / "gmobot.db").write_bytes(b"what is left after an accident")
    done = restored(bench, kept)
    assert (done.orders, done.noted, done.unreadable, done.troubles) == (0, 2, 0, ())
    await bench.open()
    assert stops(bench) == STOPS
    assert bench.books.position("BTC") == 100
    assert {detail for (detail,) in bench.sql("SELECT detail FROM intents WHERE purpose = 'protect'")} == {
        "taken from the emergency journal after a restore"
    }
    assert (await bench.intend()).intent_id == 4, "no number is given twice"
    await bench.close()


async def test_what_the_emergency_journal_tells_is_taken_over_once_however_often_it_is_told(bench: Bench) -> None:
    before = await in_trouble(bench)
    journal = (bench.directory / "state" / emergency.NAME).read_bytes()
    await bench.open()
    await bench.close()
    after = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    for source, noted in ((after, 0), (before, 2)):
        # As one that could not be cleared when it was merged: the database and the audit log know all of it.
        (bench.directory / "state" / emergency.NAME).write_bytes(journal)
        assert restored(bench, source).noted == noted
        await bench.open()
        assert stops(bench) == STOPS
        await bench.close()


async def test_a_replaced_database_that_is_put_back_has_its_emergency_journal(bench: Bench) -> None:
    kept = await in_trouble(bench)
    (bench.directory / "state" / emergency.NAME).rename(bench.directory / "journal")
    aside = restored(bench, kept).aside
    assert aside is not None
    (bench.directory / "journal").rename(aside / emergency.NAME)
    done = restored(bench, aside / "gmobot.db")
    assert (done.orders, done.noted, done.troubles) == (0, 2, ())
    await bench.open()
    assert stops(bench) == STOPS
    await bench.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("gmobot.db*")}


def torn(path: Path) -> None:
    """Spoil the last byte of the last record: of what was written about order 77."""
    _, end = emergency.scan(path)
    content = bytearray(path.read_bytes())
    content[end - 1] ^= 1
    path.write_bytes(content)


def no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another_format(path: Path) -> None:
    payload = b"nonsense"
    path.write_bytes(struct.pack("<IIQ", len(payload), zlib.crc32(payload, 7), 7) + payload + bytes(64))


@pytest.mark.parametrize(
    ("spoil", "noted", "told"),
    [(torn, 2, "ends in a torn record"), (no_file, 0, "cannot be read: "), (of_another_format, 0, "cannot be read: ")],
)
async def test_an_emergency_journal_that_cannot_be_read_to_its_end_is_told_and_stops_no_restore(
    bench: Bench, spoil: Callable[[Path], None], noted: int, told: str
) -> None:
    kept = await in_trouble(bench)
    journal = bench.directory / "state" / emergency.NAME
    spoil(journal)
    done = restored(bench, kept)
    (trouble,) = done.troubles
    assert trouble.startswith(f"{journal} {told}")
    assert done.noted == noted
    assert done.aside is not None
    assert (done.aside / emergency.NAME).exists()
    await bench.open()
    assert bench.books.position("BTC") == 100
    await bench.close()


async def test_what_a_database_has_only_in_its_write_ahead_log_is_restored_too(bench: Bench) -> None:
    await bench.open()
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.owning(100)
    killed = Path(shutil.copytree(bench.directory / "state", bench.directory / "killed"))
    await bench.close()
    assert (killed / "gmobot.db-wal").stat().st_size > 0
    restored(bench, kept)
    before = contents(killed)
    restored(bench, killed / "gmobot.db")
    assert contents(killed) == before, "what is put back is only read"
    assert not list((bench.directory / "state").glob("*restoring*"))
    await bench.open()
    assert bench.books.position("BTC") == 100
    await bench.close()


async def test_what_a_killed_restore_left_is_no_part_of_the_next_one(bench: Bench) -> None:
    await bench.open()
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.owning(100)
    for suffix in ("", "-wal", "-shm"):
        shutil.copyfile(bench.directory / "state" / f"gmobot.db{suffix}", bench.directory / "state" / f".restoring.db{suffix}")
    await bench.close()
    restored(bench, kept)
    await bench.open()
    assert bench.books.position("BTC") == 0
    await bench.close()

"""Replay and explain, over what whole daemons recorded on a virtual clock."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.live.bench import SECOND, Bench
from tests.live.rehearsal import daemon, in_position, in_world, ours, restart, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.core.reasons import MAX_HOLDING_REACHED
from gmobot.core.records import BAR_PAST
from gmobot.errors import UserError
from gmobot.live.desire import Desire
from gmobot.live.explain import explain, lines
from gmobot.live.replay import replay
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


@pytest.fixture(scope="module")
def recorded(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state database of a daemon that traded, was restarted and traded on."""
    kept = tmp_path_factory.mktemp("recorded") / "gmobot.db"

    async def script(world: World) -> None:
        await in_position(world)
        await restart(world)
        await until(lambda: ours(world) == 0)
        await in_position(world)
        await asyncio.sleep(30.0)
        with closing(sqlite3.connect(kept)) as copy, closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db:
            db.backup(copy)
        assert daemon(world).desks["BTC"].decisions.bars > 20

    in_world(program, script)
    return kept


@pytest.fixture
def database(recorded: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copy(recorded, tmp_path / "gmobot.db"))


class Loader:
    """Hands out a program, whatever is asked for; keeps what was."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.asked: list[tuple[str, dict[str, float]]] = []

    def __call__(self, ref: str, params: Mapping[str, float]) -> Program:
        self.asked.append((ref, dict(params)))
        return self.program.bind(params)


def spoil(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database)) as db:
        assert db.execute(sql).rowcount > 0
        db.commit()


def runs(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as db:
        return [row[0] for row in db.execute("SELECT run_id FROM runs ORDER BY started_ns")]


def orders(database: Path, purpose: str) -> list[tuple[int, int]]:
    query = "SELECT intent_id, order_id FROM intents WHERE purpose = ? AND executed_lots > 0 ORDER BY intent_id"
    with closing(sqlite3.connect(database)) as db:
        return [tuple(row) for row in db.execute(query, (purpose,))]


def test_every_run_is_decided_again_byte_for_byte_with_what_was_recorded_alone(database: Path, program: Program) -> None:
    loader = Loader(program)
    for run in runs(database):
        result = replay(database, run, loader)
        assert result.difference is None
        assert result.bars >= 20
        assert (result.skipped, result.notes) == (0, [])
    assert [(ref, {name: params[name] for name in PARAMS[EMA]}) for ref, params in loader.asked] == [(EMA, PARAMS[EMA])] * 2
    assert replay(database, "last", loader).run_id == runs(database)[-1]


def test_without_compiling_it_is_the_same(database: Path) -> None:
    result = replay(database, "last", Loader(load(EMA, PARAMS[EMA], jit=False)))
    assert result.difference is None


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [("$.desired.stop", "17", "stop"), ("$.desired.confidence", "'0x1.5p+0'", "confidence"), ("$.core", "'00'", "what the core remembers")],
)
def test_the_first_difference_is_named(database: Path, program: Program, path: str, value: str, field: str) -> None:
    bar = "SELECT seq FROM journal WHERE kind = 'bar' AND json_extract(payload, '$.desired.stop') > 0 ORDER BY seq DESC LIMIT 1 OFFSET 3"
    spoil(database, f"UPDATE journal SET payload = json_set(payload, '{path}', {value}) WHERE seq = ({bar})")
    result = replay(database, "last", Loader(program))
    assert result.difference is not None
    assert (result.difference.symbol, result.difference.field) == ("BTC", field)
    assert str(result.difference.recorded) in (value.strip("'"), "17")


def test_another_account_decides_otherwise(database: Path, program: Program) -> None:
    """The account is an input: without it a position would not be known to the core."""
    spoil(database, "UPDATE journal SET payload = json_set(payload, '$.account.position', 0) WHERE kind = 'bar'")
    assert any(replay(database, run, Loader(program)).difference is not None for run in runs(database))


@pytest.mark.parametrize(("path", "value"), [("$.bar.close", 9_000_000), ("$.account.halted", 7)])
def test_other_inputs_decide_otherwise(database: Path, program: Program, path: str, value: int) -> None:
    bar = "SELECT MIN(seq) FROM journal WHERE kind = 'bar' AND json_extract(payload, '$.desired.target') > 0"
    spoil(database, f"UPDATE journal SET payload = json_set(payload, '{path}', {value}) WHERE seq = ({bar})")
    assert replay(database, runs(database)[0], Loader(program)).difference is not None


def test_another_processor_is_told_and_no_difference(database: Path, program: Program) -> None:
    spoil(database, "UPDATE journal SET payload = json_set(payload, '$.machine', 'abacus') WHERE kind = 'start'")
    result = replay(database, "last", Loader(program))
    assert result.difference is None
    assert result.notes == ["recorded on another processor: abacus"]


def test_an_order_whose_decision_is_no_longer_kept_is_still_explained(database: Path) -> None:
    spoil(database, "DELETE FROM journal WHERE kind = 'bar'")
    story = explain(database, orders(database, "entry")[0][1])
    assert (story.decision, story.indicators) == (None, {})
    assert story.fills
    assert "not in the journal any more" in story.missing[0]


def test_a_changed_strategy_is_refused_and_forced(database: Path, program: Program) -> None:
    spoil(database, "UPDATE journal SET payload = json_set(payload, '$.program', 'other') WHERE kind = 'start'")
    with pytest.raises(UserError, match="not the code that decided then"):
        replay(database, "last", Loader(program))
    result = replay(database, "last", Loader(program), force=True)
    assert result.difference is None
    assert result.notes == ["BTC: the strategy has changed since"]


def test_a_run_whose_beginning_is_gone_is_replayed_from_the_next_one_kept(database: Path, program: Program) -> None:
    last = runs(database)[-1]
    spoil(database, f"DELETE FROM journal WHERE run_id = '{last}' AND kind = 'start'")
    with pytest.raises(UserError, match="no bar of it is in the journal with its beginning"):
        replay(database, last, Loader(program))


def test_an_unknown_run_is_told_with_those_there_are(database: Path, program: Program) -> None:
    with pytest.raises(UserError, match=f"no run 'nope'; the newest are: {runs(database)[-1]}"):
        replay(database, "nope", Loader(program))


def test_an_entry_is_explained_from_its_bar_to_its_fills(database: Path) -> None:
    intent_id, order_id = orders(database, "entry")[0]
    story = explain(database, order_id)
    assert story == explain(database, intent_id)
    assert story.missing == []
    assert story.run_id == runs(database)[0]
    assert story.decision is not None
    assert story.decision["action"] == "buy"
    assert "ema_momentum_long" in story.decision["reason_codes"]
    assert {"fast.value", "slow.value"} <= set(story.indicators)
    assert story.desired is not None
    assert story.desired["target"] == story.order["size"]
    assert [word.kind for word in story.words][:4] == ["request", "order", "reply", "order"]
    assert story.words[-1].said["state"] == "filled"
    assert story.words[0].said["side"] == "BUY"
    assert story.words[2].said == {"order_id": order_id}
    assert sum(float(fill["size"]) for fill in story.fills) == float(story.order["executed_size"])
    assert msgspec.json.decode(msgspec.json.encode(story))["order"]["order_id"] == order_id
    text = "\n".join(lines(story))
    for word in ("bar", "indicators", "ema_momentum_long", "request", "reply", "fill", "outcome"):
        assert word in text


def test_a_stop_that_was_moved_or_cancelled_tells_what_was_asked_and_answered(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        asked = db.execute("SELECT ref FROM journal WHERE kind = 'request' AND payload LIKE '%\"cancel\"%' ORDER BY seq LIMIT 1").fetchone()
    story = explain(database, asked[0])
    assert story.order["purpose"] == "protect"
    said = [(word.kind, word.said) for word in story.words if word.kind != "order"]
    assert ("request", {"cancel": story.order["order_id"]}) in said
    assert said[said.index(("request", {"cancel": story.order["order_id"]})) + 1][0] == "reply"


def test_no_secret_is_in_the_journal(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        everything = json.dumps(db.execute("SELECT payload FROM journal").fetchall())
    assert "sim-secret" not in everything
    assert "sim-key" not in everything


def test_an_order_that_is_not_ours_is_told(database: Path) -> None:
    with pytest.raises(UserError, match="no order of ours has the number 4711000"):
        explain(database, 4_711_000)


async def test_what_is_no_longer_kept_is_said(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(order_id=5)
    await bench.close()
    story = explain(bench.directory / "state" / "gmobot.db", 5)
    assert len(story.missing) == 3


def test_no_database_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gmobot\.db: no state database there"):
        explain(tmp_path / "gmobot.db", 1)


def other_code(world: World) -> None:
    world.program = world.program.bind(PARAMS[EMA] | {"max_holding": 15})


def other_params(world: World) -> None:
    world.program = world.program.bind(PARAMS[EMA] | {"max_holding": 15, "slow": 9})


def other_bars(world: World) -> None:
    (traded,) = world.config.instruments
    world.config = world.config.model_copy(update={"instruments": (traded.model_copy(update={"bar_seconds": 2}),)})


def another_version(world: World) -> None:
    """An earlier gmobot kept the fingerprint of the code alone."""
    with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db, db:
        db.execute("UPDATE engines SET program = ?", (world.program.source_hash,))


@pytest.mark.parametrize("change", [other_code, other_params, other_bars, another_version])
def test_what_is_remembered_under_other_conditions_warms_up_on_the_past_without_counting_it_and_is_replayed_alike(
    change: Callable[[World], None],
) -> None:
    """The position is a few bars old, the warm-up longer than it may be held."""

    async def script(world: World) -> None:
        await in_position(world)
        await asyncio.sleep(2.0)
        database = world.var / "state" / "gmobot.db"
        await world._stop()
        entry = orders(database, "entry")[-1][1]
        wanted, story = desire(database), explain(database, entry)
        change(world)
        assert ours(world) > 0
        world._start()
        await asyncio.sleep(5.0)
        run = runs(database)[-1]
        with closing(sqlite3.connect(database)) as db:
            rows = [json.loads(row) for (row,) in db.execute("SELECT payload FROM journal WHERE run_id = ? AND kind = 'bar'", (run,))]
        past = [row for row in rows if row["bar"]["flags"] & BAR_PAST]
        assert len(past) > 10
        length = world.config.instruments[0].bar_seconds
        assert past == [row for row in rows if row["bar"]["open_time"] + length * SECOND <= wanted.closed_ns], "a begun bar is news"
        assert {row["desired"]["max_holding_bars"] for row in rows} == {math.ceil(15 / length)}, "as long as it was"
        assert {(row["desired"]["target"] > 0, row["desired"]["risk_status"]) for row in past} == {(True, 0)}
        assert not any(row["desired"]["reasons"] & MAX_HOLDING_REACHED for row in rows)
        assert {(row["desired"]["stop"], row["desired"]["take_profit"]) for row in rows} == {(wanted.stop, wanted.take_profit)}
        assert ours(world) > 0, "held on"
        assert world.account.held_lots.get("BTC", 0) == ours(world), "protected"
        result = replay(database, run, Loader(world.program))
        assert (result.difference, result.bars) == (None, len(rows))
        told = explain(database, entry)
        assert (told.run_id, told.decision) == (story.run_id, story.decision), "of the bar it was decided on, not of the warm-up"
        await until(lambda: ours(world) == 0, seconds=30.0)

    program = load(EMA, PARAMS[EMA] | {"max_holding": 15})
    in_world(replace(program, source_hash="former") if change is other_code else program, script, seed=5)


def desire(database: Path) -> Desire:
    """Return what the last decision wanted."""
    with closing(sqlite3.connect(database)) as db:
        return msgspec.json.decode(db.execute("SELECT desired FROM engines").fetchone()[0], type=Desire)


def test_a_restart_under_the_same_conditions_goes_on_without_warming_up(database: Path) -> None:
    query = "SELECT DISTINCT json_extract(payload, '$.bar.flags') FROM journal WHERE run_id = ? AND kind = 'bar'"
    with closing(sqlite3.connect(database)) as db:
        flags = [row[0] for row in db.execute(query, runs(database)[-1:])]
    assert flags
    assert not any(value & BAR_PAST for value in flags)

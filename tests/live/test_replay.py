"""A recorded run decided again, and the story of an order: from the journal alone, while nothing else is at hand."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.live.test_daemon import commands, in_position, in_world, restart
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.errors import DataError
from gmobot.live.explain import explain
from gmobot.live.replay import Difference, find_run, replay
from gmobot.strategies.loader import load


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a daemon that traded, was restarted in a position, and was halted at the end."""
    kept = tmp_path_factory.mktemp("recorded") / "gmobot.db"

    async def script(world: World) -> None:
        await in_position(world)
        await restart(world)
        await asyncio.sleep(60.0)
        await commands(world).halt("test")
        await asyncio.sleep(5.0)
        with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as source, closing(sqlite3.connect(kept)) as copy:
            source.backup(copy)
        await commands(world).resume("test", acknowledge=True)

    in_world(load(EMA, PARAMS[EMA]), script)
    return kept


@pytest.fixture
def database(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(recorded, tmp_path / "gmobot.db"))


def change(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.execute(sql)
        db.commit()


def test_every_run_decides_the_same_again(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        runs = [row[0] for row in db.execute("SELECT run_id FROM runs ORDER BY started_ns")]
        bars = dict(db.execute("SELECT run_id, COUNT(*) FROM journal WHERE kind = 'bar' GROUP BY run_id"))
    assert len(runs) == 2
    for run in runs:
        result = replay(database, run, load)
        assert (result.difference, result.bars, result.notes) == (None, bars[run], [])
        assert result.bars > 10
    assert find_run(database, "last") == runs[-1]


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.desired.target", 1), ("$.bar.close", 9_000_000), ("$.account.halted", 7)],
    ids=["a decision", "a bar", "an account"],
)
def test_a_run_that_was_tampered_with_differs_and_the_first_difference_is_named(database: Path, path: str, value: int) -> None:
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT seq, payload FROM journal WHERE kind = 'bar' AND run_id = (SELECT run_id FROM runs LIMIT 1)").fetchall()
    seq, payload = next((seq, payload) for seq, payload in rows if json.loads(payload)["desired"]["target"] > 1)
    change(database, f"UPDATE journal SET payload = json_set(payload, '{path}', {value}) WHERE seq = {seq}")
    with closing(sqlite3.connect(database)) as db:
        run = db.execute("SELECT run_id FROM journal WHERE seq = ?", (seq,)).fetchone()[0]
    found = replay(database, run, load).difference
    assert isinstance(found, Difference)
    assert found.symbol == "BTC"
    if path.startswith("$.desired"):
        assert (found.bar_open_ns, found.field, found.recorded) == (json.loads(payload)["bar"]["open_time"], "target", value)


def test_another_strategy_is_refused_unless_it_is_wanted(database: Path) -> None:
    change(database, "UPDATE journal SET payload = json_set(payload, '$.program', 'other') WHERE kind = 'run'")
    with pytest.raises(DataError, match="has changed since that run was recorded"):
        replay(database, find_run(database, "last"), load)
    assert replay(database, find_run(database, "last"), load, force=True).bars >= 1


def test_another_machine_is_said(database: Path) -> None:
    change(database, "UPDATE journal SET payload = json_set(payload, '$.machine.cpu', 'abacus') WHERE kind = 'run'")
    (note,) = replay(database, find_run(database, "last"), load).notes
    assert "abacus" in note


def test_what_is_not_there_is_one_line(database: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run nope; the newest are: sim-"):
        find_run(database, "nope")
    with pytest.raises(DataError, match="no state database there"):
        find_run(tmp_path / "no.db", "last")
    change(database, "DELETE FROM journal")
    with pytest.raises(DataError, match="no record of how it began"):
        replay(database, find_run(database, "last"), load)
    with pytest.raises(DataError, match="is neither an order nor an intent of ours"):
        explain(database, 999_999, load)
    with pytest.raises(DataError, match="no state database there"):
        explain(tmp_path / "no.db", 1, load)


def entry_of(database: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(database)) as db:
        db.row_factory = sqlite3.Row
        return dict(db.execute("SELECT * FROM intents WHERE purpose = 'entry' AND executed_lots > 0").fetchone())


@pytest.mark.parametrize("number", ["order_id", "intent_id"])
def test_an_order_s_story_goes_from_its_bar_to_its_fills(database: Path, number: str) -> None:
    entry = entry_of(database)
    story = explain(database, entry[number], load)
    decision = story["decision"]
    assert story["order"]["intent_id"] == entry["intent_id"]
    assert decision["bar"]["open_time"] == entry["decision_id"]
    assert decision["desired"]["target"] == entry["lots"]
    assert {"fast", "slow", "heat", "range", "last_fast"} == set(decision["indicators"])
    assert decision["indicators"]["last_fast"] > 0.0
    kinds = [step["kind"] for step in story["steps"]]
    assert kinds[:4] == ["request", "order", "reply", "order"]
    states = [step["says"]["state"] for step in story["steps"] if step["kind"] == "order"]
    assert (states[:2], states[-1]) == (["intent", "acknowledged"], "filled")
    assert story["steps"][2]["says"] == {"order_id": entry["order_id"]}
    assert sum(row["lots"] for row in story["fills"]) == entry["executed_lots"]


def test_an_order_whose_decision_is_past_its_time_is_still_explained(database: Path) -> None:
    entry = entry_of(database)
    change(database, "DELETE FROM journal WHERE kind = 'bar'")
    story = explain(database, entry["order_id"], load)
    assert (story["decision"], len(story["fills"]) > 0) == (None, True)
    change(database, "UPDATE journal SET payload = json_set(payload, '$.program', 'other') WHERE kind = 'run'")
    assert explain(database, entry["order_id"], load)["decision"] is None


def test_without_the_recorded_strategy_only_the_indicators_are_missing(database: Path) -> None:
    change(database, "UPDATE journal SET payload = json_set(payload, '$.program', 'other') WHERE kind = 'run'")
    story = explain(database, entry_of(database)["order_id"], load)
    assert story["decision"]["indicators"] is None
    assert story["decision"]["desired"]["target"] > 0

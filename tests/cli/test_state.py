"""``gmobot state``, ``replay`` and ``explain``: the restore drill as an operator would do it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.run_cli import REPO, Cli
from tests.live.rehearsal import in_position, in_world
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.cli.run import instance_lock
from gmobot.config import State
from gmobot.live import emergency, schema
from gmobot.live.emergency import EmergencyJournal
from gmobot.live.pruning import OUTBOX_KEPT
from gmobot.live.recent import MOST
from gmobot.live.records import Event
from gmobot.live.statements import insert_events
from gmobot.strategies.loader import load


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a daemon that holds a position has below ``var``."""
    kept = tmp_path_factory.mktemp("traded") / "var"

    async def script(world: World) -> None:
        await in_position(world)
        await asyncio.sleep(5.0)
        await world._stop()
        shutil.copytree(world.var, kept)
        world._start()
        await asyncio.sleep(10.0)

    in_world(load(EMA, PARAMS[EMA]), script)
    return kept


@pytest.fixture
def var(traded: Path, cli: Cli) -> Path:
    shutil.copytree(traded, cli.var)
    return cli.var


def ask(var: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(var / "state" / "gmobot.db")) as db:
        return db.execute(query).fetchall()


def test_the_restore_drill(cli: Cli, var: Path) -> None:
    before = ask(var, "SELECT symbol, record FROM ledgers")
    made = cli("state", "backup")
    assert made.code == 0
    backup = Path(made.out.strip())
    assert backup.parent == var / "state" / "backups"
    (var / "state" / "gmobot.db").write_bytes(b"what is left after an accident")
    assert cli("state", "verify").code == 5
    restored = cli("state", "restore", str(backup))
    assert (restored.code, "the next start is halted" in restored.out) == (0, True)
    assert ask(var, "SELECT symbol, record FROM ledgers") == before
    assert ask(var, "SELECT name, reason FROM latches") == [("halt", "state_restored")]
    assert ask(var, "SELECT source FROM restored") == [(str(backup),)]
    verified = cli("state", "verify")
    assert verified.code == 0, verified.err
    (aside,) = (var / "state").glob("replaced-*")
    assert (aside / "gmobot.db").read_bytes() == b"what is left after an accident"


def test_a_restore_tells_what_the_emergency_journal_knew(cli: Cli, var: Path) -> None:
    backup = Path(cli("state", "backup").out.strip())
    fields = {"intent_id": 900, "symbol": "BTC", "purpose": "protect", "side": "SELL", "type": "STOP", "size": "0.001", "price": "9000000"}
    event = Event("order_acknowledged", fields | {"state": "acknowledged", "decision_id": 1, "order_id": 77})
    journal = EmergencyJournal(var / "state" / emergency.NAME)
    assert journal.open() == []
    journal.append(1 << 40, insert_events([event], "run", 1_767_225_600 * 10**9))
    journal.append((1 << 40) + 1, insert_events([event], "run", 1_767_225_600 * 10**9))
    journal.close()
    content = bytearray((var / "state" / emergency.NAME).read_bytes())
    _, end = emergency.scan(var / "state" / emergency.NAME)
    content[end - 1] ^= 1
    (var / "state" / emergency.NAME).write_bytes(content)
    restored = cli("state", "restore", str(backup))
    assert restored.code == 0
    assert "1 orders sent while the database could not be written were taken from the emergency journal" in restored.out
    assert "ends in a torn record" in restored.err
    assert restored.err.count("\n") == 1
    assert ask(var, "SELECT order_id FROM intents WHERE intent_id = 900") == [(77,)]


def test_a_restore_is_refused_while_a_daemon_runs(cli: Cli, var: Path) -> None:
    backup = Path(cli("state", "backup").out.strip())
    with instance_lock(var / "state"):
        refused = cli("state", "restore", str(backup))
    assert (refused.code, "another gmobot runs" in refused.err) == (2, True)


@pytest.mark.parametrize("what", ["missing", "garbage", "newer", "torn"])
def test_a_file_that_is_no_backup_changes_nothing(cli: Cli, var: Path, tmp_path: Path, what: str) -> None:
    source = tmp_path / "file.db"
    if what == "garbage":
        source.write_bytes(b"no database at all, but long enough to look like a file of one" * 100)
    elif what in ("newer", "torn"):
        assert cli("state", "backup", "--to", str(source)).code == 0
        with closing(sqlite3.connect(source)) as db:
            db.execute("PRAGMA user_version = 999" if what == "newer" else "DELETE FROM ledgers")
            db.commit()
    before = (var / "state" / "gmobot.db").read_bytes()
    refused = cli("state", "restore", str(source))
    assert refused.code == 2
    assert "nothing was changed" in refused.err
    assert refused.err.count("\n") == 1
    assert (var / "state" / "gmobot.db").read_bytes() == before
    assert not list((var / "state").glob("*restoring*"))


def test_verify_tells_what_is_broken(cli: Cli, var: Path) -> None:
    good = json.loads(cli("state", "verify", "--json").out)
    assert (good["ok"], good["database"], good["audit"]) == (True, None, None)
    assert good["audit_events"] > 0
    with closing(sqlite3.connect(var / "state" / "gmobot.db")) as db:
        db.execute("DELETE FROM ledgers")
        db.commit()
    broken = cli("state", "verify")
    assert (broken.code, "has no ledger" in broken.err or "no ledger" in broken.err) == (5, True)


def test_a_broken_audit_chain_is_found_too(cli: Cli, var: Path) -> None:
    log = var / "logs" / "audit_events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2] + lines[3:]))
    broken = cli("state", "verify")
    assert (broken.code, "audit log" in broken.err) == (5, True)


def test_without_a_database_there_is_one_line(cli: Cli) -> None:
    for command in (("state", "backup"), ("state", "verify"), ("replay",), ("explain", "1")):
        outcome = cli(*command)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1), command
        assert "no state database there" in outcome.err


def test_replay_and_explain_in_words_and_as_json(cli: Cli, var: Path) -> None:
    outcome = cli("replay")
    assert (outcome.code, outcome.out.startswith("identical: ")) == (0, True)
    assert json.loads(cli("replay", "last", "--json").out)["identical"] is True
    ((order,),) = ask(var, "SELECT order_id FROM intents WHERE purpose = 'entry' AND executed_lots > 0 LIMIT 1")
    told = cli("explain", str(order))
    assert told.code == 0
    for word in (f"order {order}", "bar ", "indicators ", "action=buy", "request", "acknowledged", "fill ", "outcome "):
        assert word in told.out, told.out
    assert json.loads(cli("explain", str(order), "--json").out)["order"]["order_id"] == order
    with closing(sqlite3.connect(var / "state" / "gmobot.db")) as db:
        db.execute("UPDATE journal SET payload = json_set(payload, '$.desired.target', 77) WHERE kind = 'bar'")
        db.commit()
    differs = cli("replay")
    assert differs.code == 5
    assert "target: recorded 77" in differs.out
    assert json.loads(cli("replay", "--json").out)["difference"]["recorded"] == 77


def test_the_commands_of_the_document_run_and_what_it_names_is_there(cli: Cli, var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(var.parent)
    text = (REPO / "docs" / "state.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert [command[:2] for command in commands] == [
        ["state", "backup"],
        ["state", "verify"],
        ["state", "restore"],
        ["replay", "last"],
        ["explain", "123456"],
    ]
    ((order,),) = ask(var, "SELECT order_id FROM intents WHERE purpose = 'entry' AND executed_lots > 0 LIMIT 1")
    for command in commands:
        given = [
            str(next((var / "state" / "backups").glob("*.db"))) if word.endswith(".db") else str(order) if word == "123456" else word
            for word in command
        ]
        outcome = cli(*given)
        assert outcome.code == 0, (given, outcome.err)
    assert f"gmobot-schema{schema.VERSION}-" in text
    assert f"{emergency.SIZE >> 20} MiB" in text
    assert f"({int(State().journal_days)})" in text
    assert f"{OUTBOX_KEPT:,} events" in text
    assert f"{MOST:,} order" in text
    for name in (emergency.NAME, "replaced-", "backups/"):
        assert name in text

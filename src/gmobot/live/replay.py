"""A recorded run, decided again: the same inputs must give the same decisions, byte for byte.

The journal holds, per run and symbol, what shapes decisions (program, parameters, settings, the core's state at the
start, the machine) and then every bar with the account as the core saw it and what it decided. Nothing else goes in.
"""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gmobot import __version__
from gmobot.core.records import ACCOUNT, BAR, SETTINGS
from gmobot.errors import DataError
from gmobot.live.records import JournalRow
from gmobot.strategies.program import DecisionCore, Program

LoadProgram = Callable[[str, Mapping[str, float]], Program]
_BEGINNING = "run"


def beginning(symbol: str, strategy: str, params: Mapping[str, float], core: DecisionCore) -> JournalRow:
    """Return the journal's first row of a run: all that shapes a symbol's decisions besides their inputs."""
    record = core.settings_record
    settings = {name: record[name][0].item() for name in SETTINGS.names or ()}
    payload = {
        "strategy": strategy,
        "params": dict(params),
        "program": core.program.source_hash,
        "settings": settings,
        "state": core.dump().hex(),
        "machine": machine(),
    }
    return JournalRow(kind=_BEGINNING, symbol=symbol, payload=json.dumps(payload))


def machine() -> dict[str, str]:
    """Return what byte-identical decisions are promised for."""
    import llvmlite.binding
    import numba

    return {
        "gmobot": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "cpu": str(llvmlite.binding.get_host_cpu_name()),
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """The first decision that came out otherwise."""

    symbol: str
    bar_open_ns: int
    field: str
    recorded: object
    now: object


@dataclass(slots=True)
class Replayed:
    """What came of a replay.

    Attributes:
        bars: Decided again.
        difference: The first one that differs, ``None`` when all are identical.
        notes: What a reader should know: another machine, nothing recorded.
    """

    run_id: str
    bars: int = 0
    difference: Difference | None = None
    notes: list[str] = field(default_factory=list)


def find_run(database: Path, wanted: str) -> str:
    """Return the id of a run, ``last`` for the newest one.

    Raises:
        DataError: There is no such run, or no database.
    """
    with _opened(database) as db:
        query = "SELECT run_id FROM runs WHERE run_id = ? OR ? = 'last' ORDER BY started_ns DESC LIMIT 1"
        row = db.execute(query, (wanted, wanted)).fetchone()
        if row is None:
            known = [str(known[0]) for known in db.execute("SELECT run_id FROM runs ORDER BY started_ns DESC LIMIT 5")]
            raise DataError(f"{database}: no run {wanted}; the newest are: {', '.join(known) or 'none'}")
    return str(row[0])


def replay(database: Path, run_id: str, load: LoadProgram, *, force: bool = False) -> Replayed:
    """Feed a run's inputs to the decision core again.

    Args:
        database: The state database; a daemon may be using it.
        run_id: Which run.
        load: Loads a strategy by reference and parameters.
        force: Decide with today's strategy even where it is not the recorded one.

    Raises:
        DataError: The run is not recorded whole, or its strategy has changed since.
    """
    result = Replayed(run_id)
    with _opened(database) as db:
        for symbol, begin in _beginnings(db, run_id):
            core = core_of(begin, load, force=force)
            if begin["machine"] != machine():
                result.notes.append(f"{symbol}: recorded on {begin['machine']}, replayed on {machine()}")
            for bar, account, desired in _bars(db, run_id, symbol):
                now = core.step(bar, account).to_dict()
                result.bars += 1
                different = next((name for name in now if now[name] != desired.get(name)), None)
                if different is not None:
                    open_ns = int(bar["open_time"][0])
                    result.difference = Difference(symbol, open_ns, different, desired.get(different), now[different])
                    return result
    if not result.bars:
        result.notes.append("no bar was recorded")
    return result


def state_at(database: Path, run_id: str, symbol: str, bar_open_ns: int, load: LoadProgram) -> dict[str, Any] | None:
    """Return the strategy's own state after a bar, by name, or ``None`` where the recorded strategy cannot be had."""
    with _opened(database) as db:
        for named, begin in _beginnings(db, run_id):
            if named != symbol:
                continue
            try:
                core = core_of(begin, load, force=False)
            except DataError:
                return None
            for bar, account, _ in _bars(db, run_id, symbol):
                core.step(bar, account)
                if int(bar["open_time"][0]) == bar_open_ns:
                    return core.state_by_name()
    return None


def core_of(begin: Mapping[str, Any], load: LoadProgram, *, force: bool) -> DecisionCore:
    """Return a core as it was when a run began.

    Raises:
        DataError: The strategy is not the recorded one.
    """
    program = load(begin["strategy"], begin["params"])
    changed = program.source_hash != begin["program"]
    if changed and not force:
        raise DataError(f"{begin['strategy']} has changed since that run was recorded; replay with that version, or with --force")
    settings = np.zeros(1, SETTINGS)
    for name, value in begin["settings"].items():
        settings[name] = value
    core = DecisionCore(program, settings)
    if not changed:
        core.load(bytes.fromhex(begin["state"]))
    return core


def _beginnings(db: sqlite3.Connection, run_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = db.execute("SELECT symbol, payload FROM journal WHERE run_id = ? AND kind = ? ORDER BY seq", (run_id, _BEGINNING)).fetchall()
    if not rows:
        raise DataError(f"run {run_id} has no record of how it began: it never traded, or its journal is past its time")
    for symbol, payload in rows:
        yield str(symbol), json.loads(payload)


def _bars(db: sqlite3.Connection, run_id: str, symbol: str) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    query = "SELECT payload FROM journal WHERE run_id = ? AND symbol = ? AND kind = 'bar' ORDER BY seq"
    for (payload,) in db.execute(query, (run_id, symbol)):
        row = json.loads(payload)
        yield _record(row["bar"], BAR), _record(row["account"], ACCOUNT), row["desired"]


def _record(values: Mapping[str, int], layout: np.dtype[Any]) -> np.ndarray:
    record = np.zeros(1, layout)
    for name, value in values.items():
        record[name] = value
    return record


def _opened(database: Path) -> closing[sqlite3.Connection]:
    if not database.exists():
        raise DataError(f"{database}: no state database there; run the daemon first, or pass its --config")
    return closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True))

"""A recorded run fed to the decision core again: bar by bar, with the account of then, the same decisions must come out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np

from gmobot.clock import iso_utc
from gmobot.core.records import ACCOUNT, BAR, SETTINGS
from gmobot.errors import UserError
from gmobot.live.reading import reading
from gmobot.live.recording import Bar, Start, machine, record_of
from gmobot.strategies.program import LAYOUT_BYTES, DecisionCore, Program, StateMismatchError

LAST = "last"
_ROWS = "SELECT kind, symbol, payload FROM journal WHERE run_id = ? AND kind IN ('start', 'bar') ORDER BY seq"
Load = Callable[[str, Mapping[str, float]], Program]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that came out otherwise."""

    symbol: str
    bar_at: str
    field: str
    recorded: int | str | None
    now: int | str | None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay showed.

    Attributes:
        bars: Bars that were decided on again.
        skipped: Bars whose beginning is not in the journal any more.
        notes: What was otherwise than when it was recorded, without being a difference.
    """

    run_id: str
    bars: int
    skipped: int
    difference: Difference | None
    notes: list[str]


def replay(database: Path, run: str, load: Load, *, force: bool = False) -> Replayed:
    """Feed a run to the core again.

    Args:
        database: The state database; a daemon may be running on it.
        run: A run's id, or ``last``.
        load: Makes a program from a reference and parameters.
        force: Go on although the strategy is not the one that decided then.

    Raises:
        UserError: There is no such run, nothing of it is kept, or the strategy has changed.
    """
    with closing(reading(database)) as db:
        run_id = _run_id(db, run)
        again = _Again(run_id, load, force=force)
        for kind, symbol, payload in db.execute(_ROWS, (run_id,)):
            found = again.start(symbol, payload) if kind == "start" else again.bar(symbol, payload)
            if found is not None:
                return again.result(found)
        if not again.bars:
            raise UserError(f"run {run_id}: no bar of it is in the journal with its beginning; it decided nothing, or is too long ago")
        return again.result(None)


class _Again:
    """The cores of one run, by symbol."""

    def __init__(self, run_id: str, load: Load, *, force: bool) -> None:
        self._run_id = run_id
        self._load = load
        self._force = force
        self._cores: dict[str, DecisionCore] = {}
        self._at: dict[str, int] = {}
        self._notes: dict[str, None] = {}
        self.bars = 0
        self._skipped = 0

    def start(self, symbol: str, payload: str) -> Difference | None:
        start = msgspec.json.decode(payload, type=Start)
        core = self._cores.get(symbol)
        if core is None:
            self._cores[symbol] = self._begin(symbol, start)
        elif core.dump() != start.remembered():
            return self._differs(symbol, "what the core remembers", "as of the day's start", "otherwise")
        return None

    def bar(self, symbol: str, payload: str) -> Difference | None:
        core, row = self._cores.get(symbol), msgspec.json.decode(payload, type=Bar)
        if core is None:
            self._skipped += 1
            return None
        self._at[symbol] = row.bar["open_time"]
        desired = core.step(self._record(symbol, row.bar, BAR), self._record(symbol, row.account, ACCOUNT)).to_dict()
        self.bars += 1
        for field in [*row.desired, *(name for name in desired if name not in row.desired)]:
            recorded, now = row.desired.get(field), desired.get(field)
            if recorded != now:
                return self._differs(symbol, field, recorded, now)
        if core.digest() != row.core:
            return self._differs(symbol, "what the core remembers", row.core, core.digest())
        return None

    def result(self, difference: Difference | None) -> Replayed:
        return Replayed(run_id=self._run_id, bars=self.bars, skipped=self._skipped, difference=difference, notes=[*self._notes])

    def _begin(self, symbol: str, start: Start) -> DecisionCore:
        program = self._load(start.strategy, start.params)
        if program.source_hash != start.program:
            if not self._force:
                raise UserError(
                    f"run {self._run_id}: {start.strategy} is not the code that decided then ({start.program}, now {program.source_hash}); "
                    "check out that version, or add --force to see what differs"
                )
            self._notes[f"{symbol}: the strategy has changed since"] = None
        if start.machine != machine():
            self._notes[f"recorded on another processor: {start.machine}"] = None
        core = DecisionCore(program, self._record(symbol, start.settings, SETTINGS))
        stored, fresh = start.remembered(), core.dump()
        if self._force and len(stored) == len(fresh):
            stored = fresh[:LAYOUT_BYTES] + stored[LAYOUT_BYTES:]
        try:
            core.load(stored)
        except StateMismatchError as error:
            if not self._force:
                raise UserError(f"run {self._run_id}, {symbol}: {error}; add --force to begin with an empty state") from None
            self._notes[f"{symbol}: begun with an empty state"] = None
        return core

    def _record(self, symbol: str, numbers: Mapping[str, float], layout: np.dtype[np.void]) -> np.ndarray:
        try:
            return record_of(dict(numbers), layout)
        except ValueError as error:
            raise UserError(f"run {self._run_id}, {symbol}: it was recorded by another version: {error}") from None

    def _differs(self, symbol: str, field: str, recorded: int | str | None, now: int | str | None) -> Difference:
        return Difference(symbol=symbol, bar_at=iso_utc(self._at.get(symbol, 0)), field=field, recorded=recorded, now=now)


def _run_id(db: sqlite3.Connection, run: str) -> str:
    query, values = (
        ("SELECT run_id FROM runs ORDER BY started_ns DESC LIMIT 1", ())
        if run == LAST
        else ("SELECT run_id FROM runs WHERE run_id = ?", (run,))
    )
    found = db.execute(query, values).fetchone()
    if found is None:
        newest = ", ".join(row[0] for row in db.execute("SELECT run_id FROM runs ORDER BY started_ns DESC LIMIT 3"))
        raise UserError(f"there is no run {run!r}; the newest are: {newest or 'none'}")
    return str(found[0])

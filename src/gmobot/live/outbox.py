"""The audit outbox as whoever tells people reads it: over a connection of its own, so that no exit waits for it.

Every method blocks and belongs to the channel's own thread. SQLite's readers hold up no writer.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from gmobot.core.instrument import to_yen
from gmobot.ops.day_summary import DayFigures
from gmobot.ops.digest import News, TellerState
from gmobot.ops.notices import TABLE, notice

_AT_ONCE: Final = 500
_BUSY_SECONDS: Final = 1.0
_EVENTS: Final = ", ".join(f"'{name}'" for name in TABLE)
_NEWS = f"SELECT seq, ts_ns, event, fields FROM audit WHERE seq > ? AND seq <= ? AND event IN ({_EVENTS}) ORDER BY seq LIMIT ?"  # noqa: S608
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'"
_DAYS = """
SELECT d.day, d.equity_uyen, d.profit_uyen, d.drawdown, d.positions, d.realized_uyen - b.realized_uyen, d.fees_uyen - b.fees_uyen,
    d.trades - b.trades, d.fills - b.fills
FROM days AS d JOIN days AS b ON b.day = (SELECT MAX(day) FROM days WHERE day < d.day) WHERE d.day > ? ORDER BY d.day
"""


@dataclass(frozen=True, slots=True)
class Pile:
    """What one channel has not been told of.

    Attributes:
        seq: Number of the last audit event that was looked at.
        news: What happened after the channel's ``seq``.
        held: What waited for the end of quiet hours.
        days: Days that ended since.
    """

    seq: int
    news: list[News]
    held: list[News]
    days: list[DayFigures]


class Outbox:
    """The database of one run, for reading.

    Raises:
        sqlite3.Error: From every method, when it cannot be read now.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        self._run_id = run_id

    def state(self, target: str) -> TellerState | None:
        """Return how far a channel was told. One that is new hears of this run and not of what was before.

        ``None`` while there is nothing to begin with.
        """
        with closing(self._open()) as db:
            row = db.execute("SELECT state FROM notified WHERE target = ?", (target,)).fetchone()
            if row is not None:
                return msgspec.json.decode(row[0], type=TellerState)
            first = db.execute("SELECT MIN(seq) FROM audit WHERE run_id = ?", (self._run_id,)).fetchone()[0]
            day = db.execute("SELECT MAX(day) FROM days").fetchone()[0]
        return None if first is None else TellerState(seq=first - 1, held_seq=first - 1, day=day)

    def pile(self, state: TellerState) -> Pile:
        """Return what a channel has not been told of, up to a number of events."""
        with closing(self._open()) as db:
            last = max(state.seq, (db.execute(_LAST).fetchone() or (0,))[0])
            rows = db.execute(_NEWS, (state.seq, last, _AT_ONCE)).fetchall()
            if len(rows) == _AT_ONCE:
                last = rows[-1][0]
            held = db.execute(_NEWS, (state.held_seq, state.seq, -1)).fetchall() if state.held_seq < state.seq else []
            days = [_figures(row) for row in db.execute(_DAYS, (state.day,))]
        return Pile(last, _worded(rows), _worded(held), days)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)


def _worded(rows: list[tuple[int, int, str, str]]) -> list[News]:
    found = ((ts_ns, notice(event, json.loads(fields))) for _, ts_ns, event, fields in rows)
    return [News(ts_ns, said) for ts_ns, said in found if said is not None]


def _figures(row: tuple[int, int, int, float, str, int, int, int, int]) -> DayFigures:
    day, equity, profit, drawdown, positions, realized, fees, trades, fills = row
    return DayFigures(
        day=day,
        equity_jpy=str(to_yen(equity)),
        profit_jpy=str(to_yen(profit)),
        realized_jpy=str(to_yen(realized)),
        fees_jpy=str(to_yen(fees)),
        drawdown=drawdown,
        fills=fills,
        trades=trades,
        positions=json.loads(positions),
    )

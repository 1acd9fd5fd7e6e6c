"""GMO's trade archive, played at real time or faster.

Source: reference/gmo-coin-api.md §4.7.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.emulator.market.playback import Playback
from gmobot.emulator.market.tape import Trade
from gmobot.errors import DataError

_HEADER = ["symbol", "side", "size", "price", "timestamp"]


class ArchiveMarket:
    """The trades of one symbol; books are made up around them."""

    def __init__(
        self,
        instrument: Instrument,
        path: Path,
        *,
        speed: float = 1.0,
        history_seconds: float = 0.0,
        playback: Playback | None = None,
    ) -> None:
        """Make a market of one file, or of a folder's files in order of their names.

        Args:
            instrument: Whose trades.
            path: A ``.csv.gz`` or ``.csv`` file, a folder with such files, or a pattern of file names.
            speed: How many times faster than recorded the tape plays, without ``playback``; stamps are of now.
            history_seconds: How much of the tape's beginning, in its own time, counts as already played when it
                starts. The first trade always does, so that there is a price from the first moment.
            playback: Shared by the symbols of one exchange; its own without.

        Raises:
            DataError: There is no file for this symbol.
            ConfigError: The speed is not a positive number.
        """
        self._instrument = instrument
        self._playback = playback or Playback(speed)
        self._history_seconds = history_seconds
        self._files = archive_files(path, instrument.symbol)
        self._rows = self._read()
        self._pending: Trade | None = None
        self._begun = False

    @property
    def speed(self) -> float:
        return self._playback.speed

    def history(self, before_ns: int) -> list[Trade]:
        first = next(self._rows, None)
        if first is None:
            return []
        now_on_tape = first.at_ns + int(self._history_seconds * NS_PER_SECOND)
        self._begin(before_ns, now_on_tape)
        now_on_tape = self._playback.tape_ns(before_ns)
        past, self._pending = [first], next(self._rows, None)
        while self._pending is not None and self._pending.at_ns <= now_on_tape:
            past.append(self._pending)
            self._pending = next(self._rows, None)
        return [Trade(min(self._playback.wall_ns(row.at_ns), before_ns) - 1, row.side, row.ticks, row.lots) for row in past]

    def next(self, after_ns: int) -> Trade | None:
        row = self._pending or next(self._rows, None)
        self._pending = None
        if row is None:
            return None
        self._begin(after_ns, row.at_ns)
        return Trade(max(self._playback.wall_ns(row.at_ns), after_ns), row.side, row.ticks, row.lots)

    def set_speed(self, speed: float, now_ns: int) -> None:
        self._playback.set_speed(speed, now_ns)

    def _begin(self, wall_ns: int, tape_ns: int) -> None:
        if not self._begun:
            self._begun = True
            self._playback.begin(wall_ns, tape_ns, self._instrument.symbol)

    def _read(self) -> Iterator[Trade]:
        for file in self._files:
            yield from read_archive(file, self._instrument)


def archive_files(path: Path, symbol: str) -> list[Path]:
    """Return the archive files of a symbol below a path, in order.

    Raises:
        DataError: There is none.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [*path.rglob(f"*_{symbol}.csv.gz"), *path.rglob(f"*_{symbol}.csv")]
    else:
        found = [file for file in path.parent.glob(path.name) if file.is_file()]
    if not found:
        raise DataError(f"{path}: no trade archive of {symbol} there; expected files like 20240701_{symbol}.csv.gz")
    return sorted(found, key=lambda file: file.name)


def read_archive(path: Path, instrument: Instrument) -> Iterator[Trade]:
    """Yield the rows of one archive file.

    Raises:
        DataError: Names file, row and what is wrong with it.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    number, last_ns = 0, 0
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            for number, line in enumerate(file, start=1):
                row = line.rstrip("\r\n").split(",")
                if number == 1:
                    _check_header(row)
                    continue
                trade = _parse(row, instrument, last_ns)
                last_ns = trade.at_ns
                yield trade
    except UnicodeDecodeError:
        raise DataError(f"{path}: row {number + 1}: not text") from None
    except (ValueError, InvalidOperation, InstrumentError) as error:
        raise DataError(f"{path}: row {number}: {error or 'not a number'}") from None
    except (EOFError, OSError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be read after row {number} ({error}); download it again") from None


def _check_header(row: list[str]) -> None:
    if row != _HEADER:
        raise ValueError(f"expected the columns {','.join(_HEADER)}, found {','.join(row)[:80]!r}")


def _parse(row: list[str], instrument: Instrument, earliest_ns: int) -> Trade:
    if len(row) != len(_HEADER):
        raise ValueError(f"{len(row)} columns instead of {len(_HEADER)}")
    symbol, side, size, price, at = row
    if symbol != instrument.symbol:
        raise ValueError(f"symbol {symbol!r} instead of {instrument.symbol!r}")
    if side not in ("BUY", "SELL"):
        raise ValueError(f"side {side!r}")
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is not None:
        raise ValueError(f"timestamp {at!r} carries a zone; the archive's carry none")
    moment = moment.replace(tzinfo=UTC)
    at_ns = int(moment.timestamp()) * NS_PER_SECOND + moment.microsecond * 1_000
    if at_ns < earliest_ns:
        raise ValueError("earlier than the row before it; the file must be sorted by time")
    ticks, lots = instrument.ticks(Decimal(price)), instrument.lots(Decimal(size))
    if ticks < 1 or lots < 1:
        raise ValueError(f"price {price!r} and size {size!r} must be above zero")
    return Trade(at_ns, side, ticks, lots)

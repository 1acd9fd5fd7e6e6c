"""Bars from files into BAR records: Parquet, CSV, GMO's trade archive; strict, with one clear line per mistake.

Files carry ``timestamp, open, high, low, close, volume`` with the bar's open time in UTC. Prices are
scaled, put on the instrument's tick, volumes on its lot; how many had to be rounded is told, not hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmobot.core.bars import bars_from_trades
from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR, BAR_GAP_BEFORE
from gmobot.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
_PRICES = ("open", "high", "low", "close")
_TOLERANCE = 1e-6
_LONG_GAP_NS = 600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class BarData:
    """Bars and what was noticed while reading them.

    Attributes:
        rounded_prices: Bars with a price that was off the tick.
        rounded_volumes: Bars with a volume that was off the lot.
        gaps: Places where ten minutes or more have no bar.
    """

    bars: NDArray[Any]
    rounded_prices: int
    rounded_volumes: int
    gaps: int


def read_bars(path: Path, instrument: Instrument, *, price_scale: Decimal = Decimal(1), bar_seconds: int = 60) -> BarData:
    """Read a file, or a folder of archive files, of one symbol.

    Args:
        path: ``.parquet``, ``.csv``, ``.csv.gz``; a folder or ``*_SYMBOL.csv.gz`` is a trade archive.
        instrument: Whose grid prices and volumes are put on.
        price_scale: Multiplies prices.
        bar_seconds: Bar length for trade archives.

    Raises:
        DataError: File, row, column and what is wrong.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir() or path.name.endswith((f"_{instrument.symbol}.csv.gz", f"_{instrument.symbol}.csv")):
        return _noticed(path, _from_archive(path, instrument, bar_seconds), 0, 0)
    frame = _read_table(path)
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing; it needs: {', '.join(_COLUMNS)}; found: {', '.join(frame.columns)}")
    return _from_frame(path, frame, instrument, price_scale)


def _read_table(path: Path) -> pl.DataFrame:
    try:
        import polars as pl
    except ImportError:
        raise DataError(f"{path}: reading bar files needs the research extra; run: pip install 'gmobot[research]'") from None
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.name.endswith((".csv", ".csv.gz")):
            return pl.read_csv(path, try_parse_dates=True)
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())[:160]}); is it complete?") from None
    raise DataError(f"{path}: not a format this reads; use .parquet, .csv or .csv.gz")


def _from_frame(path: Path, frame: pl.DataFrame, instrument: Instrument, scale: Decimal) -> BarData:
    if frame.height == 0:
        raise DataError(f"{path}: no rows")
    bars = np.zeros(frame.height, BAR)
    bars["open_time"] = _times(path, frame)
    _check_order(path, bars["open_time"])
    off_grid = np.zeros(frame.height, np.bool_)
    ticks_per_unit = float(scale / instrument.tick_size)
    for name in _PRICES:
        values = _numbers(path, frame, name)
        wrong = (values <= 0) | (values * float(scale) > float(instrument.max_price))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(f"{path}: row {row + 1}: {name} is {values[row]:g}, which cannot be a price")
        bars[name], off = _on_grid(values * ticks_per_unit)
        off_grid |= off
    volumes = _numbers(path, frame, "volume")
    if (volumes < 0).any():
        raise DataError(f"{path}: row {int(np.flatnonzero(volumes < 0)[0]) + 1}: volume is negative")
    bars["volume"], off_lot = _on_grid(volumes * float(1 / instrument.size_step))
    _check_shape(path, bars)
    return _noticed(path, bars, int(off_grid.sum()), int(off_lot.sum()))


def _times(path: Path, frame: pl.DataFrame) -> NDArray[np.int64]:
    import polars as pl

    column = frame["timestamp"]
    if column.null_count():
        raise DataError(f"{path}: row {_first_null(column)}: timestamp is empty")
    if column.dtype == pl.Datetime:
        return column.cast(pl.Datetime("ns")).cast(pl.Int64).to_numpy()
    raise DataError(f"{path}: timestamp is {column.dtype}, not a time; write 2024-01-31T23:59:00Z")


def _numbers(path: Path, frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    import polars as pl

    column = frame[name]
    if not column.dtype.is_numeric():
        raise DataError(f"{path}: column {name!r} is {column.dtype}, not numbers")
    if column.null_count():
        raise DataError(f"{path}: row {_first_null(column)}: {name} is empty")
    values = column.cast(pl.Float64).to_numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{path}: row {row + 1}: {name} is {values[row]}, not a number")
    return values


def _first_null(column: pl.Series) -> int:
    return int(column.is_null().arg_max() or 0) + 1


def _on_grid(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    whole = np.rint(values)
    return whole.astype(np.int64), np.abs(values - whole) > _TOLERANCE * np.maximum(1.0, np.abs(values))


def _check_order(path: Path, times: NDArray[np.int64]) -> None:
    steps = np.diff(times)
    if (steps <= 0).any():
        row = int(np.flatnonzero(steps <= 0)[0]) + 2
        what = "the same time as" if steps[row - 2] == 0 else "earlier than"
        raise DataError(f"{path}: row {row}: {what} the row before it; sort the file and remove duplicates")


def _check_shape(path: Path, bars: NDArray[Any]) -> None:
    low, high = bars["low"], bars["high"]
    wrong = (low > high) | (bars["open"] < low) | (bars["open"] > high) | (bars["close"] < low) | (bars["close"] > high)
    if wrong.any():
        raise DataError(f"{path}: row {int(np.flatnonzero(wrong)[0]) + 1}: open and close must lie between low and high")


def _noticed(path: Path, bars: NDArray[Any], rounded_prices: int, rounded_volumes: int) -> BarData:
    if len(bars) == 0:
        raise DataError(f"{path}: no rows")
    long = np.flatnonzero(np.diff(bars["open_time"]) >= _LONG_GAP_NS) + 1
    bars["flags"][long] |= BAR_GAP_BEFORE
    return BarData(bars, rounded_prices, rounded_volumes, len(long))


def _from_archive(path: Path, instrument: Instrument, bar_seconds: int) -> NDArray[Any]:
    from gmobot.history.archive import archive_files, read_archive

    parts: Sequence[tuple[NDArray[np.int64], ...]] = [read_archive(file, instrument) for file in archive_files(path, instrument.symbol)]
    at_ns, ticks, lots = (np.concatenate([part[column] for part in parts]) for column in range(3))
    _check_sorted(path, at_ns)
    return bars_from_trades(at_ns, ticks, lots, bar_seconds)


def _check_sorted(path: Path, times: NDArray[np.int64]) -> None:
    if (np.diff(times) < 0).any():
        raise DataError(f"{path}: trades are not in order of time")

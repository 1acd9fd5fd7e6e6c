"""GMO Coin's trade archive as columns: one row per match, taker's side, UTC without a zone mark."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmobot.core.instrument import Instrument
from gmobot.errors import DataError

_HEADER = "symbol,side,size,price,timestamp"
_TOLERANCE = 1e-6


def archive_files(path: Path, symbol: str) -> list[Path]:
    """Return the archive files of a symbol below a path, in order.

    Raises:
        DataError: There is none.
    """
    files = [path] if path.is_file() else sorted([*path.rglob(f"*_{symbol}.csv.gz"), *path.rglob(f"*_{symbol}.csv")], key=lambda p: p.name)
    if not files:
        raise DataError(f"{path}: no trade archive of {symbol} there; expected files like 20240701_{symbol}.csv.gz")
    return files


def read_archive(path: Path, instrument: Instrument) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return times (ns), prices (ticks) and sizes (lots) of one file.

    Raises:
        DataError: Names file, row and what is wrong with it.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}); download it again") from None
    header, _, body = data.decode("utf-8", errors="replace").partition("\n")
    if header.strip() != _HEADER:
        raise DataError(f"{path}: row 1: expected the columns {_HEADER}, found {header.strip()[:80]}")
    if not body.strip():
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    rows = _rows(path, body)
    if (rows["symbol"] != instrument.symbol).any():
        row = int(np.flatnonzero(rows["symbol"] != instrument.symbol)[0])
        raise DataError(f"{path}: row {row + 2}: symbol {str(rows['symbol'][row])!r} instead of {instrument.symbol!r}")
    at_ns = rows["at"].astype("datetime64[ns]").astype(np.int64)
    if (np.diff(at_ns) < 0).any():
        row = int(np.flatnonzero(np.diff(at_ns) < 0)[0])
        raise DataError(f"{path}: row {row + 3}: earlier than the row before it")
    ticks = _grid(path, rows["price"] / float(instrument.tick_size), "price")
    return at_ns, ticks, _grid(path, rows["size"] / float(instrument.size_step), "size")


def _rows(path: Path, body: str) -> NDArray[Any]:
    kinds = [("symbol", "U12"), ("side", "U4"), ("size", "f8"), ("price", "f8"), ("at", "datetime64[ms]")]
    try:
        return np.atleast_1d(np.loadtxt(io.StringIO(body), dtype=kinds, delimiter=",", comments=None, ndmin=1))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _grid(path: Path, values: NDArray[np.float64], what: str) -> NDArray[np.int64]:
    whole = np.rint(values)
    wrong = ~(np.abs(values - whole) <= _TOLERANCE * np.maximum(1.0, np.abs(values))) | (whole <= 0)
    if wrong.any():
        raise DataError(f"{path}: row {int(np.flatnonzero(wrong)[0]) + 2}: {what} is not on the instrument's grid")
    return whole.astype(np.int64)

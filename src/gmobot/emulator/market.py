"""Where prices come from: a seeded synthetic market, GMO's trade archive, or somebody else's stream.

A market says when its next trade happens and what it is; the exchange stamps it with the wall clock.
"""

from __future__ import annotations

import csv
import gzip
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from gmobot.clock import JST, NS_PER_SECOND
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.errors import DataError

_HEADER = ["symbol", "side", "size", "price", "timestamp"]


@dataclass(frozen=True, slots=True)
class Trade:
    """One match of the tape. ``side`` is the taker's."""

    at_ns: int
    side: str
    ticks: int
    lots: int


class Market(Protocol):
    """A source of trades of one symbol."""

    def history(self, before_ns: int) -> list[Trade]:
        """Return trades of the recent past, oldest first, ending before a moment."""
        ...

    def next(self, after_ns: int) -> Trade | None:
        """Return the next trade, at or after a moment, or ``None`` when there are no more."""
        ...


class QuietMarket:
    """No trades of its own: prices are fed from outside, or a test moves them."""

    def history(self, before_ns: int) -> list[Trade]:  # noqa: ARG002  # the shape of every market
        return []

    def next(self, after_ns: int) -> Trade | None:  # noqa: ARG002  # the shape of every market
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticShape:
    """What a synthetic market looks like.

    Attributes:
        price_yen: Where it starts.
        trades_per_second: Mean rate; the day's rhythm and thin hours vary it.
        volatility_per_day: Of the price, in the calm state of the clustering.
        jumps_per_day: Sudden moves.
        spread_ppm: Between best bid and ask.
        history_seconds: How much past is made up at the start.
    """

    price_yen: int = 10_000_000
    trades_per_second: float = 2.0
    volatility_per_day: float = 0.04
    jumps_per_day: float = 20.0
    spread_ppm: int = 200
    history_seconds: int = 7_200


class SyntheticMarket:
    """A seeded market: clustered volatility, jumps, a rhythm of the day, thin hours."""

    def __init__(self, instrument: Instrument, *, seed: int, shape: SyntheticShape | None = None) -> None:
        self._instrument = instrument
        self._shape = shape or SyntheticShape()
        self._random = random.Random(f"{seed}:{instrument.symbol}")
        self._price = float(self._shape.price_yen / instrument.tick_size)
        self._heat = 0.0
        self._per_second = self._shape.volatility_per_day / math.sqrt(86_400)

    def history(self, before_ns: int) -> list[Trade]:
        trades: list[Trade] = []
        at_ns = before_ns - self._shape.history_seconds * NS_PER_SECOND
        while True:
            trade = self.next(at_ns)
            if trade.at_ns >= before_ns:
                return trades
            trades.append(trade)
            at_ns = trade.at_ns

    def next(self, after_ns: int) -> Trade:
        draw = self._random
        gap = draw.expovariate(self._shape.trades_per_second * self._activity(after_ns))
        # Volatility clusters: a slow random walk of its logarithm, pulled back to calm.
        self._heat += -self._heat * min(1.0, gap / 600.0) + draw.gauss(0.0, 1.0) * math.sqrt(min(gap, 600.0) / 600.0) * 0.8
        step = draw.gauss(0.0, 1.0) * self._per_second * math.sqrt(gap) * math.exp(max(-2.0, min(2.0, self._heat)))
        if draw.random() < self._shape.jumps_per_day * gap / 86_400:
            step += draw.choice((-1, 1)) * draw.uniform(0.002, 0.01)
            self._heat += 1.0
        self._price *= math.exp(max(-0.05, min(0.05, step)))
        side = "BUY" if draw.random() < 0.5 else "SELL"
        half = self._price * self._shape.spread_ppm / 2_000_000
        ticks = max(1, round(self._price + (half if side == "BUY" else -half)))
        lots = max(self._instrument.min_lots, int(math.exp(draw.gauss(6.5, 1.2))))
        return Trade(after_ns + int(gap * NS_PER_SECOND), side, ticks, min(lots, self._instrument.max_lots))

    @staticmethod
    def _activity(at_ns: int) -> float:
        """Return how lively the hour is: an evening peak in Japan, thin before dawn."""
        hour = datetime.fromtimestamp(at_ns / NS_PER_SECOND, JST)
        return 1.0 + 0.6 * math.sin((hour.hour + hour.minute / 60 - 15) / 24 * 2 * math.pi)


class ArchiveMarket:
    """GMO's trade archive, played at real time or faster."""

    def __init__(self, instrument: Instrument, path: Path, *, speed: float = 1.0) -> None:
        """Make a market of one file, or of a folder's files in order of their names.

        Args:
            instrument: Whose trades.
            path: A ``.csv.gz`` or ``.csv`` file, or a folder with such files.
            speed: How many times faster than recorded the tape plays; stamps are of now.

        Raises:
            DataError: There is no file for this symbol.
        """
        self._instrument = instrument
        self._speed = speed
        self._files = archive_files(path, instrument.symbol)
        self._rows = self._read()
        self._started_ns = 0
        self._first_ns = 0
        self._tape_ns = 0

    def set_speed(self, speed: float, now_ns: int) -> None:
        """Change the speed from now on."""
        self._started_ns, self._first_ns, self._speed = now_ns, self._tape_ns, speed

    def history(self, before_ns: int) -> list[Trade]:  # noqa: ARG002  # the tape begins where it begins
        return []

    def next(self, after_ns: int) -> Trade | None:
        row = next(self._rows, None)
        if row is None:
            return None
        if not self._started_ns:
            self._started_ns, self._first_ns = after_ns, row.at_ns
        self._tape_ns = row.at_ns
        at_ns = self._started_ns + int((row.at_ns - self._first_ns) / self._speed)
        return Trade(max(at_ns, after_ns), row.side, row.ticks, row.lots)

    def _read(self) -> Iterator[Trade]:
        for file in self._files:
            yield from read_archive(file, self._instrument)


def archive_files(path: Path, symbol: str) -> list[Path]:
    """Return the archive files of a symbol below a path, in order.

    Raises:
        DataError: There is none.
    """
    files = [path] if path.is_file() else sorted([*path.rglob(f"*_{symbol}.csv.gz"), *path.rglob(f"*_{symbol}.csv")], key=lambda p: p.name)
    if not files:
        raise DataError(f"{path}: no trade archive of {symbol} there; expected files like 20240701_{symbol}.csv.gz")
    return files


def read_archive(path: Path, instrument: Instrument) -> Iterator[Trade]:
    """Yield the rows of one archive file.

    Raises:
        DataError: Names file, row and what is wrong with it.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    number, last_ns = 0, 0
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, None)
            if header is None:
                return
            if header != _HEADER:
                raise DataError(f"{path}: row 1: expected the columns {','.join(_HEADER)}, found {','.join(header)}")
            for number, row in enumerate(rows, start=2):
                trade = _parse(row, instrument)
                if trade.at_ns < last_ns:
                    raise DataError(f"{path}: row {number}: earlier than the row before it; the file must be sorted by time")
                last_ns = trade.at_ns
                yield trade
    except (ValueError, InvalidOperation, InstrumentError) as error:
        raise DataError(f"{path}: row {number or 1}: {error}") from None
    except (EOFError, OSError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be read after row {number or 1} ({error}); download it again") from None


def _parse(row: list[str], instrument: Instrument) -> Trade:
    if len(row) != len(_HEADER):
        raise ValueError(f"{len(row)} columns instead of {len(_HEADER)}")
    symbol, side, size, price, at = row
    if symbol != instrument.symbol:
        raise ValueError(f"symbol {symbol!r} instead of {instrument.symbol!r}")
    if side not in ("BUY", "SELL"):
        raise ValueError(f"side {side!r}")
    moment = datetime.strptime(at, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    at_ns = int(moment.timestamp()) * NS_PER_SECOND + moment.microsecond * 1_000
    return Trade(at_ns, side, instrument.ticks(Decimal(price)), instrument.lots(Decimal(size)))

"""Where prices come from: a seeded synthetic market, GMO's trade archive, or somebody else's stream.

A market says when its next trade happens and what it is; the exchange stamps it with the wall clock. A
faster market only plays its tape faster: one second then holds a minute of trades, and no clock is bent.
"""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.emulator.tape import Trade
from gmobot.errors import ConfigError, DataError

_HEADER = ["symbol", "side", "size", "price", "timestamp"]
_MOST_PAST_TRADES = 20_000
_CLUSTER_SECONDS = 600.0
_CLUSTER_STRENGTH = 0.8


class Market(Protocol):
    """A source of trades of one symbol."""

    def history(self, before_ns: int) -> list[Trade]:
        """Return trades of the recent past, oldest first, ending before a moment. Asked once, first."""
        ...

    def next(self, after_ns: int) -> Trade | None:
        """Return the next trade, at or after a moment, or ``None`` when there are no more."""
        ...

    def set_speed(self, speed: float, now_ns: int) -> None:
        """Play faster or slower from now on.

        Raises:
            ConfigError: The speed is not a positive number.
        """
        ...


class QuietMarket:
    """No trades of its own: prices are fed from outside, or a test moves them."""

    def history(self, before_ns: int) -> list[Trade]:  # noqa: ARG002  # the shape of every market
        return []

    def next(self, after_ns: int) -> Trade | None:  # noqa: ARG002  # the shape of every market
        return None

    def set_speed(self, speed: float, now_ns: int) -> None:  # noqa: ARG002  # the shape of every market
        raise ConfigError("this market has no tape of its own whose speed could be set")


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

    def __init__(self, instrument: Instrument, *, seed: int, shape: SyntheticShape | None = None, speed: float = 1.0) -> None:
        self._instrument = instrument
        self._shape = shape or SyntheticShape()
        self._random = random.Random(f"{seed}:{instrument.symbol}")  # seeded: a run can be repeated
        self._price = float(self._shape.price_yen / instrument.tick_size)
        self._heat = 0.0
        self._per_second = self._shape.volatility_per_day / math.sqrt(86_400)
        self._speed = _checked_speed(speed)
        self._market_seconds = 0.0

    def history(self, before_ns: int) -> list[Trade]:
        rate = self._shape.trades_per_second * self._speed
        span = min(float(self._shape.history_seconds), _MOST_PAST_TRADES / rate)
        at_ns = before_ns - int(span * NS_PER_SECOND)
        trades: list[Trade] = []
        while True:
            trade = self.next(at_ns)
            if trade.at_ns >= before_ns:
                return trades
            trades.append(trade)
            at_ns = trade.at_ns

    def next(self, after_ns: int) -> Trade:
        if not self._market_seconds:
            self._market_seconds = after_ns / NS_PER_SECOND
        draw = self._random
        gap = draw.expovariate(self._shape.trades_per_second * self._activity())
        self._market_seconds += gap
        self._move(gap)
        side = "BUY" if draw.random() < 0.5 else "SELL"
        half = self._price * self._shape.spread_ppm / 2_000_000
        ticks = max(1, round(self._price + (half if side == "BUY" else -half)))
        # Sizes are lognormal: most are a few thousand yen, a few are large.
        coins = math.exp(draw.gauss(0.0, 1.2)) * 60_000 / (ticks * float(self._instrument.tick_size))
        lots = min(max(self._instrument.min_lots, int(coins / float(self._instrument.size_step))), self._instrument.max_lots)
        return Trade(after_ns + int(gap / self._speed * NS_PER_SECOND), side, ticks, lots)

    def set_speed(self, speed: float, now_ns: int) -> None:  # noqa: ARG002  # the next gap is already the faster one
        self._speed = _checked_speed(speed)

    def _move(self, gap: float) -> None:
        draw, share = self._random, min(gap, _CLUSTER_SECONDS) / _CLUSTER_SECONDS
        # Volatility clusters: a slow random walk of its logarithm, pulled back to calm.
        self._heat += -self._heat * share + draw.gauss(0.0, 1.0) * math.sqrt(share) * _CLUSTER_STRENGTH
        step = draw.gauss(0.0, 1.0) * self._per_second * math.sqrt(gap) * math.exp(max(-2.0, min(2.0, self._heat)))
        if draw.random() < self._shape.jumps_per_day * gap / 86_400:
            step += draw.choice((-1, 1)) * draw.uniform(0.002, 0.01)
            self._heat += 1.0
        self._price *= math.exp(max(-0.05, min(0.05, step)))

    def _activity(self) -> float:
        """Return how lively the hour is: the evening in Japan is, the hour before dawn is not."""
        hour_in_japan = (self._market_seconds / 3_600 + 9) % 24
        return 1.0 + 0.6 * math.sin((hour_in_japan - 12) / 24 * 2 * math.pi)


class ArchiveMarket:
    """GMO's trade archive, played at real time or faster."""

    def __init__(self, instrument: Instrument, path: Path, *, speed: float = 1.0, history_seconds: float = 0.0) -> None:
        """Make a market of one file, or of a folder's files in order of their names.

        Args:
            instrument: Whose trades.
            path: A ``.csv.gz`` or ``.csv`` file, a folder with such files, or a pattern of file names.
            speed: How many times faster than recorded the tape plays; stamps are of now.
            history_seconds: How much of the tape's beginning, in its own time, counts as already played when it
                starts. The first trade always does, so that there is a price from the first moment.

        Raises:
            DataError: There is no file for this symbol.
            ConfigError: The speed is not a positive number.
        """
        self._instrument = instrument
        self._speed = _checked_speed(speed)
        self._history_seconds = history_seconds
        self._files = archive_files(path, instrument.symbol)
        self._rows = self._read()
        self._pending: Trade | None = None
        self._anchor_ns = 0
        self._anchor_tape_ns = 0
        self._tape_ns = 0

    def history(self, before_ns: int) -> list[Trade]:
        first = next(self._rows, None)
        if first is None:
            return []
        now_on_tape = first.at_ns + int(self._history_seconds * NS_PER_SECOND)
        past, self._pending = [first], next(self._rows, None)
        while self._pending is not None and self._pending.at_ns <= now_on_tape:
            past.append(self._pending)
            self._pending = next(self._rows, None)
        self._anchor_ns, self._anchor_tape_ns = before_ns, now_on_tape
        return [Trade(self._wall_ns(row) - 1, row.side, row.ticks, row.lots) for row in past]

    def next(self, after_ns: int) -> Trade | None:
        row = self._pending or next(self._rows, None)
        self._pending = None
        if row is None:
            return None
        if not self._anchor_ns:
            self._anchor_ns, self._anchor_tape_ns = after_ns, row.at_ns
        self._tape_ns = row.at_ns
        return Trade(max(self._wall_ns(row), after_ns), row.side, row.ticks, row.lots)

    def set_speed(self, speed: float, now_ns: int) -> None:
        self._speed = _checked_speed(speed)
        self._anchor_ns, self._anchor_tape_ns = now_ns, self._tape_ns

    def _wall_ns(self, row: Trade) -> int:
        return self._anchor_ns + int((row.at_ns - self._anchor_tape_ns) / self._speed)

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


def _checked_speed(speed: float) -> float:
    if not (math.isfinite(speed) and speed > 0):
        raise ConfigError(f"speed {speed}: must be a number above zero")
    return speed

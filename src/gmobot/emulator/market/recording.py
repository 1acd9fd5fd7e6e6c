"""Recorded frames of the public stream, played again: real books, real trades.

A recording is a file of JSON lines (``.jsonl``, or ``.jsonl.gz``). A line is a frame as the exchange sent it,
which then is played by its own ``timestamp``, or ``{"at": "2026-09-23T03:25:35.901Z", "frame": {…}}`` with the
moment it was received. ``orderbooks`` and ``trades`` are played; other channels and error frames are passed
over. Both prints of a match become one trade again. A hole longer than a minute is played as a minute.

Source: reference/gmo-coin-api.md §7.3, §7.4; docs/emulator.md.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

import msgspec

from gmobot.clock import NS_PER_SECOND, parse_iso_utc
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.emulator.market.playback import Playback
from gmobot.emulator.market.tape import Snapshot, Trade
from gmobot.errors import DataError

LONGEST_HOLE_NS = 60 * NS_PER_SECOND
SUFFIXES = (".jsonl", ".jsonl.gz")


class _Level(msgspec.Struct):
    price: str
    size: str


class _Book(msgspec.Struct):
    symbol: str
    asks: list[_Level]
    bids: list[_Level]


class _Print(msgspec.Struct):
    symbol: str
    side: Literal["BUY", "SELL"]
    price: str
    size: str
    timestamp: str


class _Frame(msgspec.Struct):
    """What every line is looked at for first."""

    channel: str = ""
    symbol: str = ""
    timestamp: str = ""
    at: str = ""
    frame: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of one symbol, at its moment of the tape without holes."""

    at_ns: int
    said: Snapshot | Trade
    stamp: str = ""


class RecordedMarket:
    """The frames of one symbol."""

    def __init__(self, instrument: Instrument, path: Path, *, speed: float = 1.0, playback: Playback | None = None) -> None:
        """Make a market of one file.

        Args:
            instrument: Whose frames; those of other symbols are passed over.
            path: The recording.
            speed: How many times faster than recorded it plays, without ``playback``; stamps are of now.
            playback: Shared by the symbols of one exchange; its own without.

        Raises:
            DataError: There is no such file.
            ConfigError: The speed is not a positive number.
        """
        if not path.is_file():
            raise DataError(f"{path}: there is no such recording")
        self._instrument = instrument
        self._playback = playback or Playback(speed)
        self._events = read_recording(path, instrument)
        self._begun = False

    @property
    def speed(self) -> float:
        return self._playback.speed

    def history(self, before_ns: int) -> list[Trade]:  # noqa: ARG002  # a recording starts with its first frame
        return []

    def next(self, after_ns: int) -> Trade | Snapshot | None:
        event = next(self._events, None)
        if event is None:
            return None
        if not self._begun:
            self._begun = True
            self._playback.begin(after_ns, event.at_ns, self._instrument.symbol)
        return replace(event, at_ns=max(self._playback.wall_ns(event.at_ns), after_ns))

    def set_speed(self, speed: float, now_ns: int) -> None:
        self._playback.set_speed(speed, now_ns)


def recorded_symbols(path: Path) -> list[str]:
    """Return the symbols that a recording has books or trades of, in order of appearance.

    Raises:
        DataError: A line is not what it should be.
    """
    return list(dict.fromkeys(frame.symbol for _, _, frame, _ in _frames(path) if frame.channel in ("orderbooks", "trades")))


def read_recording(path: Path, instrument: Instrument) -> Iterator[Trade | Snapshot]:
    """Yield one symbol's books and trades in order; their times are the tape's, without holes.

    Raises:
        DataError: Names file, line and what is wrong with it.
    """
    prints: list[_Row] = []
    best = (0, 0)
    for row in _rows(path, instrument):
        if prints and row.stamp != prints[-1].stamp:
            yield from _matches(prints, best)
            prints = []
        if isinstance(row.said, Snapshot):
            best = (row.said.asks[0][0] if row.said.asks else 0, row.said.bids[0][0] if row.said.bids else 0)
            yield row.said
        else:
            prints.append(row)
    yield from _matches(prints, best)


def _matches(prints: list[_Row], best: tuple[int, int]) -> Iterator[Trade]:
    """Yield the trades behind the prints of one millisecond: two of them, one of each side, are one match."""
    single: list[tuple[Trade, bool]] = []
    for trade in (row.said for row in prints):
        if not isinstance(trade, Trade):
            continue
        for at, (other, paired) in enumerate(single):
            if not paired and other.side != trade.side and (other.ticks, other.lots) == (trade.ticks, trade.lots):
                single[at] = (replace(other, side=_taker(other, best)), True)
                break
        else:
            single.append((trade, False))
    yield from (trade for trade, _ in single)


def _taker(trade: Trade, best: tuple[int, int]) -> str:
    """Return the likely taker's side of a match whose both sides were printed: whose quote it hit."""
    ask, bid = best
    if not ask or not bid:
        return trade.side
    return "BUY" if 2 * trade.ticks >= ask + bid else "SELL"


def _rows(path: Path, instrument: Instrument) -> Iterator[_Row]:
    kinds = {"orderbooks": _book, "trades": _print}
    for number, at_ns, frame, text in _frames(path):
        if frame.symbol != instrument.symbol or frame.channel not in kinds:
            continue
        try:
            row = kinds[frame.channel](at_ns, text, instrument)
        except (msgspec.DecodeError, InvalidOperation, InstrumentError) as error:
            reason = "not a number" if isinstance(error, InvalidOperation) else error
            raise DataError(f"{path}: line {number}: {reason}") from None
        yield row


def _book(at_ns: int, text: bytes, instrument: Instrument) -> _Row:
    book = msgspec.json.decode(text, type=_Book)

    def side(levels: list[_Level]) -> list[tuple[int, int]]:
        return [(instrument.ticks(Decimal(level.price)), instrument.lots(Decimal(level.size))) for level in levels]

    return _Row(at_ns, Snapshot(at_ns, side(book.asks), side(book.bids)))


def _print(at_ns: int, text: bytes, instrument: Instrument) -> _Row:
    row = msgspec.json.decode(text, type=_Print)
    trade = Trade(at_ns, row.side, instrument.ticks(Decimal(row.price)), instrument.lots(Decimal(row.size)))
    return _Row(at_ns, trade, row.timestamp)


def _frames(path: Path) -> Iterator[tuple[int, int, _Frame, bytes]]:
    """Yield every frame with a channel: its line, its moment on the tape, its opening fields, its text."""
    opener = gzip.open if path.suffix == ".gz" else open
    number, newest, cut = 0, 0, 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                frame, text = msgspec.json.decode(line, type=_Frame), line
                received = frame.at
                if bytes(frame.frame):
                    text = bytes(frame.frame)
                    frame = msgspec.json.decode(text, type=_Frame)
                if not frame.channel:
                    continue
                at_ns = max(parse_iso_utc(received or frame.timestamp) - cut, newest)
                if newest and at_ns - newest > LONGEST_HOLE_NS:
                    cut += at_ns - newest - LONGEST_HOLE_NS
                    at_ns = newest + LONGEST_HOLE_NS
                newest = at_ns
                yield number, at_ns, frame, text
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(f'{path}: line {number}: {error}; a line is a frame, or {{"at": …, "frame": {{…}}}}') from None
    except (EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read after line {number} ({error})") from None

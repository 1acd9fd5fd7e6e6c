"""The leverage positions of one symbol at the exchange: which are ours, and whether others stand beside them.

Every fill opens a position of its own and nothing nets, so what the ledger calls one position is several
pieces there. What a fill says of itself makes a piece ours; what the exchange lists and is not ours is somebody
else's and is left alone.

How a close of several pieces is told is not documented (reference/gmo-coin-api.md §8.4): perhaps with one fill that
names the first of them, or none. What a close took beyond the piece it names is then guessed to be of the oldest
others, so that pieces always add up to what the ledger holds; the exchange's list corrects which they were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from gmobot.venue.models import Position, Side

_REMEMBERED = 1_000
"""Of so many closed pieces it is known that they were ours: far more than one close can take."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One position of ours.

    Attributes:
        lots: What is open of it; nothing where a close is only guessed to have taken the last of it.
        losscut: Where the exchange was asked to close it by force, in ticks, 0 for its own default.
        guessed: Whether a close that did not name it is booked as having taken some of it.
    """

    symbol: str
    position_id: int
    side: Side
    lots: int
    losscut: int
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A position as the exchange tells it; ``told_ns``: when an event told of it, on the monotonic clock."""

    side: Side
    lots: int
    told_ns: int = field(default=0, compare=False)


class Pieces:
    """Our pieces, and what else was seen."""

    def __init__(self, symbol: str, ours: Iterable[Piece] = ()) -> None:
        self._symbol = symbol
        self._ours = {piece.position_id: piece for piece in ours}
        self._former: deque[int] = deque(maxlen=_REMEMBERED)
        self._seen: dict[int, Seen] = {}
        self.looked = False
        """Whether the exchange's whole list has been seen in this run: before, somebody else's may stand unseen beside ours."""

    @property
    def ours(self) -> tuple[Piece, ...]:
        """Our open pieces, oldest first."""
        return tuple(piece for piece in self._ours.values() if piece.lots)

    @property
    def known(self) -> tuple[Piece, ...]:
        """Our open pieces, and those that are only guessed to be closed."""
        return tuple(self._ours.values())

    def owns(self, position_id: int | None) -> bool:
        """Return whether this is one of our pieces: open, or not certain to be closed."""
        return position_id in self._ours

    def owned(self, position_id: int | None) -> bool:
        """Return whether this is or was one of our pieces: fills of one close may be told in any order."""
        return self.owns(position_id) or position_id in self._former

    def opened(self, position_id: int | None, side: Side, lots: int, losscut: int) -> None:
        """An entry of ours filled."""
        if position_id is not None:
            before = self._ours.get(position_id)
            lots += before.lots if before is not None else 0
            self._ours[position_id] = Piece(symbol=self._symbol, position_id=position_id, side=side, lots=lots, losscut=losscut)

    def closed(self, position_id: int | None, lots: int) -> None:
        """A close filled: it took of the piece it names, and what is more than that of the oldest others."""
        named = self._ours.get(position_id or 0)
        if named is not None and lots < named.lots:
            self._resize(named, -lots)
            return
        if named is not None:
            self.drop(named.position_id)
            lots -= named.lots
        for piece in self.ours:
            part = min(lots, piece.lots)
            lots -= part
            if part:
                self._resize(msgspec.structs.replace(piece, guessed=True), -part)

    @property
    def guessed(self) -> bool:
        """Whether it is not certain which of our pieces is how large."""
        return any(piece.guessed for piece in self._ours.values())

    def reaches_others(self, position_id: int | None, side: Side, lots: int) -> bool:
        """Return whether a close by another hand may be of others' positions too: it is more than the piece it names.

        Args:
            position_id: The piece.
            side: Of the closing trade.
            lots: What it closed.
        """
        named = self._ours.get(position_id or 0)
        more = named is None or lots > named.lots
        return more and (not self.looked or bool(self.foreign(Side.BUY if side is Side.SELL else Side.SELL)))

    def apart(self, listed: Mapping[int, int]) -> dict[int, int]:
        """Return by how many lots pieces are larger here than the exchange lists them, or below zero smaller, by number.

        A smaller one counts only where a guess made it so: otherwise a fill is on its way.
        """
        found = {number: piece.lots - listed.get(number, 0) for number, piece in self._ours.items()}
        return {number: lots for number, lots in found.items() if lots > 0 or (lots < 0 and self._ours[number].guessed)}

    def level(self, apart: Mapping[int, int]) -> dict[int, int]:
        """Where one piece is larger than the exchange lists it and another smaller, the guess was wrong: put it right.

        Args:
            apart: From :meth:`apart`, of now.

        Returns:
            What no wrong guess explains, in the same way.
        """
        left = dict(apart)
        for small in [number for number, lots in apart.items() if lots < 0]:
            for large in [number for number, lots in apart.items() if lots > 0]:
                lots = min(left[large], -left[small])
                for number, change in ((large, -lots), (small, lots)):
                    left[number] += change
                    self._resize(self._ours[number], change)
        return left

    def let_go(self, position_id: int) -> None:
        """Guess no more about a piece: it is as large as it is booked, and ours no more where nothing of it is."""
        piece = self._ours.get(position_id)
        if piece is not None and piece.lots:
            self._ours[position_id] = msgspec.structs.replace(piece, guessed=False)
        else:
            self.drop(position_id)

    def drop(self, position_id: int) -> None:
        """It is ours no more: nothing of it is booked."""
        if self._ours.pop(position_id, None) is not None:
            self._former.append(position_id)

    def losscut_lots(self, stop: int) -> int:
        """Return lots the exchange would close by force not far beyond ``stop``: those whose entry said where."""
        return sum(piece.lots for piece in self._ours.values() if piece.losscut) if stop else 0

    def look(self, listed: Iterable[tuple[Position, int]], *, as_of_ns: int) -> None:
        """Take the exchange's whole list, each position with its lots.

        Args:
            listed: As questions show it.
            as_of_ns: What events told later than this, the list may not show yet.
        """
        self.looked, shown = True, {position.position_id: Seen(position.side, lots) for position, lots in listed if lots > 0}
        for number in [number for number, piece in self._ours.items() if not piece.lots and number not in shown]:
            self.drop(number)
        told = {number: seen for number, seen in self._seen.items() if seen.told_ns > as_of_ns}
        self._seen = told | shown

    def observe(self, position: Position, lots: int, now_ns: int) -> None:
        """Take one position's news; no lots: it is gone."""
        if lots > 0:
            self._seen[position.position_id] = Seen(position.side, lots, now_ns)
        else:
            self._seen.pop(position.position_id, None)

    def meet(self, position_id: int, side: Side, lots: int, now_ns: int) -> None:
        """A fill tells of one that nobody here knows: until somebody looks, it may be as large as that, or larger."""
        self._seen[position_id] = Seen(side, lots, now_ns)

    def foreign(self, side: Side | None = None) -> dict[int, Seen]:
        """Return positions, of one side or both, that are not ours."""
        return {key: seen for key, seen in self._seen.items() if key not in self._ours and side in (None, seen.side)}

    def _resize(self, piece: Piece, change: int) -> None:
        self._ours[piece.position_id] = msgspec.structs.replace(piece, lots=piece.lots + change)

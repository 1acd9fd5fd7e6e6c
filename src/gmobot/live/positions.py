"""The leverage positions of one symbol at the exchange: which are ours, and whether others stand beside them.

Every fill opens a position of its own and nothing nets, so what the ledger calls one position is several
pieces there. What a fill says of itself makes a piece ours; what the exchange lists and is not ours is somebody
else's and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from gmobot.venue.models import Position, Side


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One position of ours.

    Attributes:
        lots: What is open of it.
        losscut: Where the exchange was asked to close it by force, in ticks, 0 for its own default.
    """

    symbol: str
    position_id: int
    side: Side
    lots: int
    losscut: int


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
        self._seen: dict[int, Seen] = {}
        self.looked = False
        """Whether the exchange's whole list has been seen in this run: before, somebody else's may stand unseen beside ours."""

    @property
    def ours(self) -> tuple[Piece, ...]:
        """Our open pieces, oldest first."""
        return tuple(self._ours.values())

    def owns(self, position_id: int | None) -> bool:
        """Return whether this is one of our open pieces."""
        return position_id in self._ours

    def opened(self, position_id: int | None, side: Side, lots: int, losscut: int) -> None:
        """An entry of ours filled."""
        if position_id is not None:
            before = self._ours.get(position_id)
            lots += before.lots if before is not None else 0
            self._ours[position_id] = Piece(symbol=self._symbol, position_id=position_id, side=side, lots=lots, losscut=losscut)

    def closed(self, position_id: int | None, lots: int) -> None:
        """A close filled."""
        piece = self._ours.get(position_id) if position_id is not None else None
        if piece is None:
            return
        if lots < piece.lots:
            self._ours[piece.position_id] = msgspec.structs.replace(piece, lots=piece.lots - lots)
        else:
            del self._ours[piece.position_id]

    def losscut_lots(self, stop: int) -> int:
        """Return lots the exchange would close by force not far beyond ``stop``: those whose entry said where."""
        return sum(piece.lots for piece in self._ours.values() if piece.losscut) if stop else 0

    def look(self, listed: Iterable[tuple[Position, int]], *, as_of_ns: int) -> None:
        """Take the exchange's whole list, each position with its lots.

        Args:
            listed: As questions show it.
            as_of_ns: What events told later than this, the list may not show yet.
        """
        self.looked = True
        told = {number: seen for number, seen in self._seen.items() if seen.told_ns > as_of_ns}
        self._seen = told | {position.position_id: Seen(position.side, lots) for position, lots in listed if lots > 0}

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

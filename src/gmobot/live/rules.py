"""The exchange's trading rules change while we run: sizes and fees now and then, the grid seldom, a listing once.

New limits of size, and fees, count for the next order. What prices and sizes are multiples of (the grid) is what
our integers mean, so a run keeps the grid that it began with: when the exchange's differs, or the symbol is no
longer listed, nothing is opened any more, a person is told, and exits go on, on bars at the nearest ticks of ours: a
multiple of a coarser grid is one of a finer grid too. The next start takes the new grid once nothing is held under the old one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from gmobot.config import InstrumentConfig
from gmobot.core.instrument import Instrument
from gmobot.errors import ConfigError
from gmobot.live.books import Books
from gmobot.live.desk import instrument_of
from gmobot.live.market import Market
from gmobot.live.records import Event
from gmobot.live.saved import Saved
from gmobot.live.store import Store
from gmobot.venue.models import SymbolRules

REASON = "rules_changed"
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Grid:
    """What prices and sizes are multiples of."""

    tick: Decimal
    step: Decimal

    @classmethod
    def of(cls, rules: SymbolRules | Instrument) -> Grid:
        """Return the grid of a symbol."""
        return cls(rules.tick_size, rules.size_step)

    @classmethod
    def kept(cls, account: Mapping[str, int], symbol: str) -> Grid | None:
        """Return the grid that a symbol's ledger is kept in, ``None`` when none is on record."""
        if f"tick:{symbol}" not in account:
            return None
        return cls(*(Decimal(account[f"{name}:{symbol}"]).scaleb(-_DIGITS) for name in ("tick", "step")))

    def numbers(self, symbol: str) -> dict[str, int]:
        """Return the grid as it is kept."""
        return {f"tick:{symbol}": int(self.tick.scaleb(_DIGITS)), f"step:{symbol}": int(self.step.scaleb(_DIGITS))}


def begin_with(rules: SymbolRules, saved: Saved) -> tuple[SymbolRules, bool]:
    """Return the rules to run under, and whether what was learned of the symbol still means anything.

    While something is held or ordered under another grid than today's, that grid is kept.
    """
    symbol, kept = rules.symbol, Grid.kept(saved.account, rules.symbol)
    if kept is None or kept == Grid.of(rules):
        return rules, True
    holds = bool(saved.ledgers.get(symbol, {}).get("position")) or any(intent.symbol == symbol for intent in saved.open_intents)
    return (_on_grid(rules, kept), True) if holds else (rules, False)


class RulesWatch:
    """Compares the rules of a run with the exchange's, now and then."""

    def __init__(
        self,
        instruments: Iterable[InstrumentConfig],
        books: Books,
        markets: Mapping[str, Market],
        store: Store,
        *,
        fee_rounding: str,
        tell: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Make a watch.

        Args:
            instruments: What is traded.
            books: Use the limits of the next order.
            markets: Are told what bars new exposure.
            store: For the audit log.
            fee_rounding: As configured.
            tell: Called with a reason code and a text when a person should look.
        """
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._books = books
        self._markets = markets
        self._store = store
        self._fee_rounding = fee_rounding
        self._tell = tell

    async def look(self, rules: Iterable[SymbolRules]) -> None:
        """Take the exchange's rules of now."""
        listed = {row.symbol: row for row in rules}
        for symbol in self._instruments:
            row = listed.get(symbol)
            trouble = self._trouble(symbol, row)
            if trouble is None and row is not None:
                await self._take_limits(symbol, row)
            market = self._markets[symbol]
            if trouble is not None and market.barred != REASON:
                await self._tell(REASON, f"{symbol}: {trouble}; nothing is opened any more, exits go on")
            if trouble is not None:
                market.barred = REASON
            elif market.barred == REASON:
                market.barred = None

    def _trouble(self, symbol: str, row: SymbolRules | None) -> str | None:
        if row is None:
            return "the exchange no longer lists it"
        ours, theirs = Grid.of(self._books.instrument(symbol)), Grid.of(row)
        if ours == theirs:
            return None
        was, now = f"tick {ours.tick} and step {ours.step}", f"tick {theirs.tick} and step {theirs.step}"
        return f"{was} became {now}; restart once nothing is held"

    async def _take_limits(self, symbol: str, row: SymbolRules) -> None:
        before = self._books.instrument(symbol)
        try:
            now = instrument_of(self._instruments[symbol], row, self._fee_rounding)
        except ConfigError as error:
            await self._tell(REASON, f"{symbol}: the new limits cannot be held exactly, the old ones stay: {error}")
            return
        if now != before:
            self._books.change_limits(symbol, now)
            self._markets[symbol].instrument = now
            await self._store.emit([Event("config_loaded", {"reason": REASON, "symbol": symbol, **_changes(before, now)})])


def _on_grid(rules: SymbolRules, grid: Grid) -> SymbolRules:
    """Return rules in a former grid: limits as far as they are multiples of it."""
    least, most = (-(-rules.min_order_size // grid.step) * grid.step, rules.max_order_size // grid.step * grid.step)
    return msgspec.structs.replace(rules, tick_size=grid.tick, size_step=grid.step, min_order_size=least, max_order_size=most)


def _changes(before: Instrument, now: Instrument) -> dict[str, str]:
    names = ("min_size", "max_size", "maker_fee", "taker_fee")
    return {name: f"{getattr(before, name)} -> {getattr(now, name)}" for name in names if getattr(before, name) != getattr(now, name)}

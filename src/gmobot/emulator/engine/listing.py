"""One listed symbol: its rules, its book, its tape, its matcher, and where its prices come from."""

from __future__ import annotations

from dataclasses import dataclass, field

from gmobot.core.instrument import Instrument, Product
from gmobot.emulator.engine.book import OrderBook
from gmobot.emulator.engine.matching import Matcher
from gmobot.emulator.market import Market
from gmobot.emulator.market.tape import Tape


@dataclass(slots=True)
class SymbolMarket:
    """A symbol and everything that trades it.

    Attributes:
        due_ns: When what the source said last happens.
    """

    instrument: Instrument
    book: OrderBook
    matcher: Matcher
    source: Market
    tape: Tape = field(default_factory=Tape)
    due_ns: int = 0

    @property
    def leverage(self) -> bool:
        """Whether it is traded on margin."""
        return self.instrument.product is Product.LEVERAGE

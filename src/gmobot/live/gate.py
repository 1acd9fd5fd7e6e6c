"""The last look before an order leaves: may this one go, now?

Exits and protection pass wherever they can: only orders that could raise exposure meet every check.
Each refusal is a reason code, so that an operator sees why nothing happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.config import Config
from gmobot.live.exposure import AccountLimits
from gmobot.live.intents import Purpose
from gmobot.live.market import Market
from gmobot.live.plan import Place
from gmobot.venue.models import OrderType, Side

_MINUTE_NS = 60 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Limits of single orders, from the risk section of the configuration."""

    price_collar: Decimal
    max_orders_per_minute: int
    max_consecutive_rejects: int
    max_book_age_seconds: float

    @classmethod
    def of(cls, config: Config) -> GateLimits:
        """Return them as configured."""
        risk = config.risk
        return cls(risk.price_collar, risk.max_orders_per_minute, risk.max_consecutive_rejects, config.feed.silence_seconds)


class OrderGate:
    """Checks every order of the account before it is written down."""

    def __init__(
        self,
        limits: GateLimits,
        clock: Clock,
        *,
        entry_bar: Callable[[], str | None],
        account: AccountLimits | None = None,
        freed: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a gate.

        Args:
            limits: Of single orders.
            clock: For rates and ages.
            entry_bar: Returns the reason code that forbids new exposure now, or ``None``: halts, guards,
                streams, clock, disk.
            account: What all symbols together may come to; ``None`` where nothing is ever opened.
            freed: Called when an entry is on its way no more, and another symbol's may go.
        """
        self._limits = limits
        self._clock = clock
        self._entry_bar = entry_bar
        self._account = account
        self._freed = freed
        self._entering = False
        self._sent_ns: deque[int] = deque()
        self._rejects = 0

    @property
    def circuit_open(self) -> bool:
        """Whether too many orders in a row were refused."""
        return self._rejects >= self._limits.max_consecutive_rejects

    def denial(self, place: Place, market: Market, *, exposure: int = 0, max_lots: int = 0) -> str | None:
        """Return why this order must not leave, or ``None``.

        Args:
            place: The order.
            market: Its symbol's prices.
            exposure: Lots we would hold if this and every other order that opens filled.
            max_lots: Most that may be held, 0 for any.
        """
        if place.purpose is Purpose.ENTRY:
            reason = self._entry_denial() or market.barred
            if reason is not None:
                return reason
            if 0 < max_lots < exposure:
                return "max_position_size_exceeded"
            if place.type is OrderType.LIMIT and not self.limit_within_collar(place, market):
                return "price_collar"
            if self._account is not None and (reason := self._account.denial(market.instrument.symbol, place)) is not None:
                return reason
        if place.type is OrderType.MARKET and not self.within_collar(place, market):
            return "price_collar"
        return None

    @contextmanager
    def entering(self) -> Iterator[bool]:
        """Let one entry of the account at a time be on its way, so that each is judged by all there is.

        Yields:
            Whether this one may go; otherwise another symbol's is on its way, and ``freed`` tells when it is not any more.
        """
        if self._entering:
            yield False
            return
        self._entering = True
        try:
            yield True
        finally:
            self._entering = False
            self._freed()

    def last_word(self, place: Place, market: Market) -> str | None:
        """Return why an entry that nothing forbade a while ago does not suit the market any more, or ``None``."""
        within = self.limit_within_collar if place.type is OrderType.LIMIT else self.within_collar
        return market.barred or (None if within(place, market) else "price_collar")

    def limit_within_collar(self, place: Place, market: Market) -> bool:
        """Return whether a limit price lies close to the middle of a fresh book."""
        middle = market.middle()
        if middle is None or not self.is_fresh(market):
            return False
        return abs(place.price * market.instrument.tick_size - middle) <= middle * self._limits.price_collar

    def within_collar(self, place: Place, market: Market) -> bool:
        """Return whether a fresh book would fill a market order close to its middle."""
        middle, worst = market.middle(), market.worst_price(place.side, place.lots)
        if middle is None or worst is None or not self.is_fresh(market):
            return False
        return abs(worst - middle) <= middle * self._limits.price_collar

    def collar_price(self, market: Market, side: Side) -> int:
        """Return the worst price in ticks that an exit may ask for as a limit, 0 while there is no price.

        Seen from the middle of a fresh book; from the last trade, however old, where there is none.
        """
        middle, collar = market.middle() if self.is_fresh(market) else None, self._limits.price_collar
        price = middle / market.instrument.tick_size if middle is not None else market.mark()
        return int(price * (1 - collar if side is Side.SELL else 1 + collar))

    def sent(self) -> None:
        """Count an order that is about to leave."""
        self._sent_ns.append(elapsed_ns(self._clock))

    def accepted(self) -> None:
        """An order was accepted: the run of refusals is over."""
        self._rejects = 0

    def refused(self) -> None:
        """An order was refused by the exchange."""
        self._rejects += 1

    def reset(self) -> None:
        """An operator resumed: close the circuit again."""
        self._rejects = 0

    def is_fresh(self, market: Market) -> bool:
        """Return whether the book is one of now."""
        age_ns = elapsed_ns(self._clock) - market.book_at_ns
        return market.book is not None and age_ns <= self._limits.max_book_age_seconds * NS_PER_SECOND

    def _entry_denial(self) -> str | None:
        reason = self._entry_bar()
        if reason is not None:
            return reason
        if self.circuit_open:
            return "reject_circuit_open"
        horizon = elapsed_ns(self._clock) - _MINUTE_NS
        while self._sent_ns and self._sent_ns[0] <= horizon:
            self._sent_ns.popleft()
        if len(self._sent_ns) >= self._limits.max_orders_per_minute:
            return "order_rate_limit"
        return None

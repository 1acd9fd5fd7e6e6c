"""Why a close may leave, and when one has to: what the decisions want, and what the tape did to their prices."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tests.simulation.evidence import Prices
from tests.simulation.ours import Violation

LASTS_SECONDS = 10.0
"""A close that was decided on may reach the exchange so much later, whatever was decided since."""
LATE_SECONDS = 6.0
"""A print may reach the daemon so much later."""
APART_SECONDS = 1.0
"""A fill is booked so long after it, where nothing is in the way; and a line that was alive so long ago was not about to break."""


class Reasons:
    """Why a position may be closed, from when it is opened until the next one is.

    A decision, or what everything is closed for, is a reason while it stands and a little longer. Once the tape has traded
    one of the prices of the decision, or a STOP came too late for the market, the daemon closes until nothing is left: that
    reason stays. So does that nobody could read what was decided.

    Attributes:
        due: Whether the tape has traded the take-profit where the daemon must have seen it.
    """

    def __init__(self) -> None:
        self._side = 0
        self._is_open = False
        self._opened_at = self._lowered_at = float("-inf")
        self._stays = ""
        self._beyond_at: float | None = None
        self._tape: deque[tuple[float, int]] = deque()
        self.due = False

    def began(self) -> None:
        """A daemon begins: it does not know what another one has seen."""
        self._beyond_at, self.due = None, False

    def stays(self, why: str) -> None:
        """Take note of a reason that stays until the position is gone."""
        self._stays = self._stays or why

    def held(self, now: float, lots: int) -> None:
        """Take note of what is held, signed: another side is another position.

        What was held last counts until something is held again: the daemon may close what it does not know to be gone, and
        what was a reason as it went is one until then.
        """
        side = (lots > 0) - (lots < 0)
        if not side:
            if self._is_open and now - self._lowered_at <= LASTS_SECONDS:
                self.stays("it was to go as it went")
            self._is_open, self._beyond_at, self.due = False, None, False
        elif not self._is_open or side != self._side:
            self._is_open, self._side, self._beyond_at, self.due = True, side, None, False
            self._opened_at, self._lowered_at, self._stays = now, float("-inf"), ""

    def lowered(self, now: float) -> None:
        """Less is wanted than what is held."""
        self._lowered_at = now

    def look(self, now: float, prints: Iterable[int], prices: Prices | None) -> bool:
        """Compare the tape with what is wanted. Returns whether the take-profit has just been traded."""
        fresh = list(prints)
        while self._tape and self._tape[0][0] < now - LATE_SECONDS:
            self._tape.popleft()
        self._tape.extend((now, price) for price in fresh)
        if prices is None or prices.target * self._side <= 0:
            return False
        side, stop, target = self._side, prices.stop * self._side, prices.take_profit * self._side
        if any((stop and price * side <= stop) or (target and price * side >= target) for _, price in self._tape):
            self.stays("its price was traded")
        return self._is_open and bool(target) and any(price * side >= target for price in fresh)

    def beyond(self, now: float, *, seen: bool) -> None:
        """The take-profit was traded.

        Args:
            now: Seconds.
            seen: Whether nothing keeps the daemon from seeing that. Twice, and it was not about to be kept from it either.
        """
        if not seen or now - self._opened_at < APART_SECONDS:
            self._beyond_at = None
        elif self._beyond_at is None:
            self._beyond_at = now
        elif now - self._beyond_at >= APART_SECONDS:
            self.due = True

    def close(self, now: float, what: object) -> None:
        """Look at a close that is no STOP as it reaches the exchange.

        Raises:
            Violation: Nothing asks for it.
        """
        if not self._stays and now - self._lowered_at > LASTS_SECONDS:
            raise Violation(f"a close needs a reason: {what}")

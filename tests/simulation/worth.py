"""Drawdown and the day's loss, as the exchange's executions, its tape and the booked capital tell of them, in micro-yen.

The daemon values what it owns at the prices it knows and looks about once a second; here every print counts. So the highest
equity lies between what held for a while and what was there for a moment, and is kept as both: a halt is due when the loss
is clearly beyond its limit from the lower one, and not allowed when it never was from the higher one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tests.simulation.invariants import Patience, State
from tests.simulation.ours import OurAccount, Violation
from tests.simulation.trouble import Trouble

from gmobot.core.instrument import UYEN_PER_YEN

SLACK_UYEN = 300 * UYEN_PER_YEN
"""What prices and fills that the daemon does not know yet make of equity, where nothing is in the way; some three moves of a second."""
LASTING_UYEN = 100 * UYEN_PER_YEN
"""What is left of that where a loss lasts: the daemon may value by the book."""
HELD_SECONDS = 3.0
"""Who looks once a second has seen what was there for so long."""
REMEMBERED_SECONDS = 120.0
"""The price that the daemon judges by is no older than this."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What the configuration allows the account to lose, 0 for anything.

    Attributes:
        drawdown: Share of the highest equity.
        day: Yen of a trading day.
    """

    drawdown: Decimal
    day: Decimal


class Drawdown(Patience):
    """A loss beyond its limit is followed by a halt, or bars entries; one within it is not."""

    def __init__(self, limits: Losses) -> None:
        super().__init__()
        self._limits = limits
        self._capital = 0
        self._least = self._most = 0
        self._calm_since = float("inf")
        self._floor = 0
        self._resuming = False
        self._recent: deque[tuple[float, int]] = deque()
        self._day: int | None = None
        self._day_start: int | None = None
        self._day_beyond_at: float | None = None

    def began(self) -> None:
        """A daemon begins: the last one accepts nothing any more, and the new one knows no price yet."""
        self._resuming, self._calm_since = False, float("inf")

    def resumes(self) -> None:
        """An operator resumes: from some moment on the drawdown is measured anew."""
        self._resuming = True

    def resumed(self, ours: OurAccount, *, halted: bool) -> None:
        """It was done. Where a halt was taken back, the drawdown is measured from now on."""
        self._resuming = False
        if self._capital:
            equity = ours.equity_uyen(self._capital)
            self._least = min(self._least, equity)
            self._most = equity if halted else self._most
        self._calm_since = float("inf")

    def look(self, now: float, ours: OurAccount, account: Mapping[str, int], latched: Mapping[str, str], state: State) -> None:
        """Value what is ours.

        Args:
            now: Seconds.
            ours: What is ours at the exchange.
            account: The account-wide numbers in the file.
            latched: What is latched, and why.
            state: Tells the cause.
        """
        if "base_cash" not in account:
            return
        equity = self._valued(now, ours, account["base_cash"])
        calm = state.trouble() is Trouble.NONE and state.recording() and all(state.hears(symbol) for symbol in ours.by_symbol)
        self._hold(now, equity, calm=calm)
        self._turn(now, account["day"], calm=calm)
        limit = int(self._least * self._limits.drawdown)
        beyond = limit > 0 and self._least - equity > limit + LASTING_UYEN and calm and "halt" not in latched
        self.bear(now, state, f"a guard halts: {(self._least - equity) // UYEN_PER_YEN} yen below the peak" if beyond else "")
        lost = self._day_start - equity if self._day_start is not None else 0
        if not self._limits.day or not calm or lost <= int(self._limits.day * UYEN_PER_YEN) + LASTING_UYEN:
            self._day_beyond_at = None
        elif self._day_beyond_at is None:
            self._day_beyond_at = now

    def entry(self, now: float) -> None:
        """Look at an entry that reaches the exchange.

        Raises:
            Violation: The day has lost more than it may for a while.
        """
        if self._day_beyond_at is not None and now - self._day_beyond_at > HELD_SECONDS:
            raise Violation("a guard bars entries: the day has lost more than it may")

    def halted(self, reason: str) -> None:
        """Look at why a halt was latched.

        Raises:
            Violation: For a drawdown that never was.
        """
        if reason == "max_drawdown_exceeded" and self._recent:
            limit = self._most - int(self._most * self._limits.drawdown)
            if not self._limits.drawdown or min(equity for _, equity in self._recent) > limit + SLACK_UYEN:
                raise Violation(f"no guard halts for nothing: {reason}")

    def _valued(self, now: float, ours: OurAccount, capital: int) -> int:
        before, equity = ours.equity_uyen(self._capital), ours.equity_uyen(capital)
        if not self._capital:
            self._least = self._most = equity
        elif capital != self._capital:
            # What came or went keeps the drawdown's share, and the day's yen.
            self._least, self._most = self._least * equity // before, self._most * equity // before
            self._day_start = self._day_start + equity - before if self._day_start is not None else None
            self._recent = deque((at, value * equity // before) for at, value in self._recent)
            self._calm_since = float("inf")
        self._capital = capital
        self._recent.append((now, equity))
        while self._recent[0][0] < now - REMEMBERED_SECONDS:
            self._recent.popleft()
        self._most = max(self._most, equity)
        if self._resuming:
            self._least = min(self._least, equity)
        return equity

    def _hold(self, now: float, equity: int, *, calm: bool) -> None:
        """What was there for a while, the daemon has seen."""
        if not calm or self._calm_since == float("inf"):
            self._calm_since, self._floor = now if calm else float("inf"), equity
            return
        self._floor = min(self._floor, equity)
        if now - self._calm_since >= HELD_SECONDS:
            self._least = max(self._least, self._floor)
            self._calm_since, self._floor = now, equity

    def _turn(self, now: float, day: int, *, calm: bool) -> None:
        """A day begins with what was there as it turned, or a moment before."""
        if day == self._day:
            return
        lately = [equity for at, equity in self._recent if at >= now - HELD_SECONDS]
        self._day_start = min(lately) if calm or self._day is None else None
        self._day = day

"""From the tape to closed bars, for one symbol: gaps are mended before trading goes on, and told if not.

While the stream is down, or its past has not been fetched yet, prints are held back; then the missing
stretch is read from REST, joined with what was held, and every bar that ended in the meantime comes out
late: it updates the strategy's state and never opens a position.

Bars are closed by the exchange's time as its replies tell it, by ours only before the first one: whatever is done
to our clock, the prints carry the exchange's. Should more have been closed than can have been, the stretch since
the last bar that was delivered is a hole like any other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, Clock
from gmobot.core.bars import BarBuilder
from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR, BAR_GAP_BEFORE, BAR_LATE
from gmobot.live.history import Match, match_of, recent_klines, recent_matches
from gmobot.venue.gmo.klines import BY_DAY
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Print

_MOST_PAGES = 30
_MOST_HELD = 200_000
_FULL_REPAIR_BARS = 2_000
"""A gap longer than this is not mended bar by bar: the strategy warms up again."""
_OLD_NS = 60 * NS_PER_SECOND
"""A bar that is handed on so long after its end is late, for whatever reason: the time was wrong, or the machine slept."""
_OVERDUE_NS = 10 * NS_PER_SECOND
"""A bar that was traded in and is not there so long after its end and grace fails to come."""


class SymbolFeed:
    """Builds one symbol's bars.

    Attributes:
        gap: Whether the last repair could not reach back far enough.
        in_time: How often a bar was delivered that was not late, and that the stream told of: whether they still come.
    """

    def __init__(
        self,
        instrument: Instrument,
        bar_seconds: int,
        rest: GmoRest,
        clock: Clock,
        *,
        grace_ms: int,
        warmup_bars: int,
        deliver: Callable[[np.ndarray], None],
    ) -> None:
        """Make a feed.

        Args:
            instrument: The symbol's arithmetic.
            bar_seconds: Length of a bar.
            rest: For history.
            clock: Wall time, for as long as no reply has told the exchange's.
            grace_ms: How long after its end a bar waits for late prints.
            warmup_bars: Bars to fetch before the first live one.
            deliver: Takes closed bars, oldest first.
        """
        self._instrument = instrument
        self._bar_ns = bar_seconds * NS_PER_SECOND
        self._bar_seconds = bar_seconds
        self._rest = rest
        self._clock = clock
        self._grace_ns = grace_ms * NS_PER_MS
        self._warmup_bars = warmup_bars
        self._deliver = deliver
        self._builder = BarBuilder(bar_seconds)
        self._held: list[Match] = []
        self._live = False
        self._holes = 0
        self._closed_until_ns = 0
        self._delivered_until_ns = 0
        self._heard_ns: int | None = None
        self._told_ns = 0
        self.in_time = 0
        self.gap = False

    @property
    def overdue(self) -> bool:
        """Whether somebody traded in a bar that has not been delivered long after its end: nothing the market does looks like that."""
        if self._heard_ns is None or self._heard_ns < self._delivered_until_ns:
            return False
        return self._heard_ns // self._bar_ns * self._bar_ns + self._bar_ns + self._grace_ns + _OVERDUE_NS < self._now_ns()

    @property
    def live(self) -> bool:
        """Whether bars come from the stream, without a hole behind them."""
        return self._live

    def continue_from(self, bar_open_ns: int) -> None:
        """Take up after the last bar an earlier run decided on."""
        self._closed_until_ns = self._delivered_until_ns = bar_open_ns + self._bar_ns

    def on_print(self, row: Print) -> bool:
        """Take a trade of the stream. Returns whether it lies on our grid; bars go on all the same."""
        match, exact = match_of(row, self._instrument)
        if match is None:
            return exact
        self._told_ns = max(self._told_ns, row.at_ns)
        if not self._live or row.at_ns >= self._closed_until_ns:
            # A straggler makes no bar any more: none is to be expected.
            self._hear(row.at_ns)
        if self._live:
            self._builder.add(match.at_ns, match.ticks, match.lots)
        elif len(self._held) < _MOST_HELD:
            self._held.append(match)
        return exact

    async def listen(self) -> None:
        """Ask REST for the newest trade: the stream may tell of none because there was none, or because it fails to.

        Raises:
            VenueError: No answer.
        """
        for row in (await self._rest.trades(self._instrument.symbol, count=1))[:1]:
            if row.at_ns > self._told_ns and match_of(row, self._instrument)[0] is not None:
                self._hear(row.at_ns)

    def interrupt(self) -> None:
        """The stream is down: from here on there is a hole until :meth:`repair`."""
        self._live = False
        # What was held lies before this hole; REST has it, and the hole too.
        self._held = []
        self._holes += 1

    def start_over(self) -> None:
        """Distrust what was heard since the last bar: it is to be read again."""
        self._closed_until_ns = self._delivered_until_ns
        self.interrupt()

    def seconds_to_close(self) -> float:
        """Return for how long no bar is to be closed."""
        now = self._now_ns()
        return ((now - self._grace_ns) // self._bar_ns * self._bar_ns + self._bar_ns + self._grace_ns - now) / NS_PER_SECOND

    def close_due(self) -> None:
        """Deliver the bars whose time is over."""
        if not self._live:
            return
        now = self._now_ns()
        if self._is_ahead(now):
            self.interrupt()
            return
        self._emit((now - self._grace_ns) // self._bar_ns * self._bar_ns, flags=0)

    async def repair(self) -> None:
        """Fetch what is missing and go live, unless the stream went down meanwhile: then it is to be called again.

        Raises:
            VenueError: No answer; call again.
        """
        holes, now = self._holes, self._now_ns()
        if self._is_ahead(now):
            self._closed_until_ns = self._delivered_until_ns
        current = now // self._bar_ns * self._bar_ns
        missing = (current - self._closed_until_ns) // self._bar_ns
        if missing > max(_FULL_REPAIR_BARS, self._warmup_bars):
            await self._warm_up(current)
        matches, complete = await recent_matches(self._rest, self._instrument, since_ns=self._closed_until_ns, most_pages=_MOST_PAGES)
        if holes != self._holes:
            return
        self._join(matches)
        flags = BAR_LATE if complete else BAR_LATE | BAR_GAP_BEFORE
        self.gap = not complete
        self._emit(self._now_ns() // self._bar_ns * self._bar_ns, flags=flags)
        self._live = True

    async def _warm_up(self, current: int) -> None:
        """Start over from recent history."""
        start = current - self._bar_ns * max(1, self._warmup_bars)
        if self._bar_seconds in BY_DAY and self._warmup_bars > 0:
            # The newest kline may still miss its last trades: that one is built from prints.
            before = current - self._bar_ns
            bars = await recent_klines(
                self._rest, self._instrument, bar_seconds=self._bar_seconds, count=self._warmup_bars, before_ns=before
            )
            if len(bars):
                self._hand_on(bars)
                start = before
        self._closed_until_ns = start
        self._builder = BarBuilder(self._bar_seconds)

    def _join(self, matches: list[Match]) -> None:
        """Put fetched and held trades together; where both tell of the same stretch, the stream wins."""
        self._builder = BarBuilder(self._bar_seconds)
        first_held = min((match.at_ns for match in self._held), default=None)
        fetched = [match for match in matches if first_held is None or match.at_ns < first_held]
        held = [match for match in self._held if match.at_ns >= self._closed_until_ns]
        self._held = []
        for match in sorted(fetched + held, key=lambda match: match.at_ns):
            self._builder.add(match.at_ns, match.ticks, match.lots)

    def _emit(self, until_ns: int, *, flags: int) -> None:
        if until_ns <= self._closed_until_ns:
            return
        bars = self._builder.close_until(until_ns)
        self._closed_until_ns = until_ns
        if not len(bars):
            return
        bars["flags"][0] |= flags & BAR_GAP_BEFORE
        bars["flags"] |= flags & BAR_LATE
        bars["flags"][bars["open_time"] + self._bar_ns < until_ns - max(self._bar_ns, _OLD_NS)] |= BAR_LATE
        self._hand_on(bars.astype(BAR, copy=False))

    def _hand_on(self, bars: np.ndarray) -> None:
        """Deliver bars in their order, each one once."""
        news = bars[bars["open_time"] >= self._delivered_until_ns]
        if len(news):
            self._delivered_until_ns = int(news["open_time"][-1]) + self._bar_ns
            if not int(news["flags"][-1]) & BAR_LATE and self._told_ns >= int(news["open_time"][-1]):
                self.in_time += 1
            self._deliver(news)

    def _hear(self, at_ns: int) -> None:
        """Take note of the earliest trade whose bar was not delivered yet."""
        if at_ns >= self._delivered_until_ns and (self._heard_ns is None or self._heard_ns < self._delivered_until_ns):
            self._heard_ns = at_ns

    def _now_ns(self) -> int:
        return self._rest.server_now_ns or self._clock.now_ns()

    def _is_ahead(self, now_ns: int) -> bool:
        """Whether more was closed than can be over: the time was wrong, and what has come since then was dropped."""
        return self._closed_until_ns > now_ns + self._bar_ns

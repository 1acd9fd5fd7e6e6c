"""A seeded market that nobody recorded: clustered volatility, jumps, a rhythm of the day, thin hours.

The symbols of one asset share a :class:`PricePath`, so that spot and leverage move together.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import Instrument
from gmobot.emulator.engine.book import SHAPES
from gmobot.emulator.market.playback import Playback
from gmobot.emulator.market.tape import Trade

_MOST_PAST_TRADES = 20_000
_CLUSTER_SECONDS = 600.0
_CLUSTER_STRENGTH = 0.8
_BASIS_SECONDS = 300.0
_BASIS = 0.0001
_STEPS_KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticShape:
    """What a synthetic market looks like.

    Attributes:
        price_yen: Where it starts.
        trades_per_second: Mean rate; the day's rhythm and thin hours vary it.
        volatility_per_day: Of the price, in the calm state of the clustering.
        jumps_per_day: Sudden moves.
        history_seconds: How much past is made up at the start.
    """

    price_yen: float = 10_000_000
    trades_per_second: float = 2.0
    volatility_per_day: float = 0.04
    jumps_per_day: float = 20.0
    history_seconds: int = 7_200


class PricePath:
    """One asset's price over the tape's time, as a multiple of where it started, second by second."""

    def __init__(self, shape: SyntheticShape, *, seed: int, asset: str) -> None:
        self._random = random.Random(f"{seed}:{asset}")  # seeded: a run can be repeated
        self._per_step = shape.volatility_per_day / math.sqrt(86_400)
        self._jumps = shape.jumps_per_day / 86_400
        self._heat = 0.0
        self._first = 0
        self._steps = [1.0]

    def at(self, tape_ns: int) -> float:
        """Return the price at a moment; the first one asked for is the start, and what is long past is forgotten."""
        second, rest = divmod(tape_ns, NS_PER_SECOND)
        if not self._first:
            self._first = second
        index = max(0, second - self._first)
        while len(self._steps) < index + 2:
            self._steps.append(self._steps[-1] * math.exp(self._move()))
        if len(self._steps) > 2 * _STEPS_KEPT:
            dropped = len(self._steps) - _STEPS_KEPT
            del self._steps[:dropped]
            self._first, index = self._first + dropped, max(0, index - dropped)
        before, after = self._steps[index], self._steps[index + 1]
        return before + (after - before) * rest / NS_PER_SECOND

    def _move(self) -> float:
        draw, share = self._random, 1.0 / _CLUSTER_SECONDS
        # Volatility clusters: a slow random walk of its logarithm, pulled back to calm.
        self._heat += -self._heat * share + draw.gauss(0.0, 1.0) * math.sqrt(share) * _CLUSTER_STRENGTH
        step = draw.gauss(0.0, 1.0) * self._per_step * math.exp(max(-2.0, min(2.0, self._heat)))
        if draw.random() < self._jumps:
            step += draw.choice((-1, 1)) * draw.uniform(0.002, 0.01)
            self._heat += 1.0
        return max(-0.05, min(0.05, step))


class SyntheticMarket:
    """Trades of one symbol along a path."""

    def __init__(
        self,
        instrument: Instrument,
        *,
        seed: int,
        shape: SyntheticShape | None = None,
        speed: float = 1.0,
        path: PricePath | None = None,
        playback: Playback | None = None,
    ) -> None:
        """Make a market.

        Args:
            instrument: Whose trades.
            seed: The same seed gives the same market.
            shape: What it looks like.
            speed: How fast the tape plays, without ``playback``.
            path: Shared by the symbols of one asset; its own without.
            playback: Shared by the symbols of one exchange; its own without.

        Raises:
            ConfigError: The speed is not a positive number.
        """
        self._instrument = instrument
        self._shape = shape or SyntheticShape()
        self._path = path or PricePath(self._shape, seed=seed, asset=instrument.base)
        self._playback = playback or Playback(speed)
        self._random = random.Random(f"{seed}:{instrument.symbol}")  # seeded: a run can be repeated
        self._start = float(self._shape.price_yen) / float(instrument.tick_size)
        self._half_spread = SHAPES[instrument.product].spread_ppm / 2_000_000
        self._basis = 0.0
        self._tape_ns = 0

    @property
    def speed(self) -> float:
        return self._playback.speed

    def history(self, before_ns: int) -> list[Trade]:
        self._playback.begin(before_ns, before_ns, self._instrument.symbol)
        rate = self._shape.trades_per_second * self.speed
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
        if not self._tape_ns:
            self._playback.begin(after_ns, after_ns, self._instrument.symbol)
            self._tape_ns = self._playback.tape_ns(after_ns)
        draw = self._random
        gap = draw.expovariate(self._shape.trades_per_second * self._activity())
        self._tape_ns += int(gap * NS_PER_SECOND)
        share = min(1.0, gap / _BASIS_SECONDS)
        self._basis += -self._basis * share + draw.gauss(0.0, 1.0) * math.sqrt(2 * share) * _BASIS
        price = self._start * self._path.at(self._tape_ns) * (1.0 + self._basis)
        side = "BUY" if draw.random() < 0.5 else "SELL"
        ticks = max(1, round(price * (1.0 + (self._half_spread if side == "BUY" else -self._half_spread))))
        return Trade(max(after_ns, self._playback.wall_ns(self._tape_ns)), side, ticks, self._lots(ticks))

    def set_speed(self, speed: float, now_ns: int) -> None:
        self._playback.set_speed(speed, now_ns)

    def _lots(self, ticks: int) -> int:
        """Return a lognormal size: most are a few ten thousand yen, a few are large."""
        coins = math.exp(self._random.gauss(0.0, 1.2)) * 60_000 / (ticks * float(self._instrument.tick_size))
        return min(max(self._instrument.min_lots, int(coins / float(self._instrument.size_step))), self._instrument.max_lots)

    def _activity(self) -> float:
        """Return how lively the hour is: the evening in Japan is, the hour before dawn is not."""
        hour_in_japan = (self._tape_ns / NS_PER_SECOND / 3_600 + 9) % 24
        return 1.0 + 0.6 * math.sin((hour_in_japan - 12) / 24 * 2 * math.pi)

"""An instrument in integers: prices in ticks, sizes in lots, money in micro-yen.

Every amount that money depends on is an int64. That is exact only while nothing overflows and while
one tick times one lot is a whole number of micro-yen; both are proved here, once, when an instrument
is made, so that no ledger has to check them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction

UYEN_PER_YEN = 1_000_000
PPM = 1_000_000
MAX_PRICE_YEN = 1_000_000_000
"""Highest price any instrument may have: about sixty times bitcoin's best."""
_FEWEST_TICKS = 10_000
"""An instrument whose proven prices end below this many ticks is no use."""
_SAFE = 2**62
"""Half of int64's range: the sum of two proven amounts still fits."""


class InstrumentError(ValueError):
    """Rules that this arithmetic cannot represent exactly, or a price or size that is off its grid."""


class Product(StrEnum):
    """What is traded."""

    SPOT = "spot"
    LEVERAGE = "leverage"


class FeeRounding(IntEnum):
    """How a fee becomes whole yen. The exchange's own rule is not published: a configurable assumption."""

    HALF_UP = 0
    """To the nearest yen, halves away from zero."""
    FLOOR = 1
    """Toward minus infinity: a rebate grows."""
    CEIL = 2
    """Toward plus infinity: a rebate shrinks."""
    NONE = 3
    """To the nearest micro-yen, halves away from zero."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol's arithmetic and limits.

    Raises:
        InstrumentError: On creation, when a rule cannot be held exactly in int64.
    """

    symbol: str
    product: Product
    tick_size: Decimal
    size_step: Decimal
    min_size: Decimal
    max_size: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    fee_rounding: FeeRounding = FeeRounding.HALF_UP
    leverage: int = 2
    """Leverage symbols only: notional over margin. 2 for individuals."""
    leverage_fee: Decimal = Decimal("0.0004")
    """Leverage symbols only: share of the valuation, for each 06:00 JST that a position is held over."""
    losscut_fee: Decimal = Decimal("0.005")
    """Leverage symbols only: share of open price x size that a losscut costs."""
    unit_uyen: int = field(init=False, repr=False)
    """Micro-yen that one lot is worth at a price of one tick."""
    min_lots: int = field(init=False, repr=False)
    """Smallest order, in lots."""
    max_lots: int = field(init=False, repr=False)
    """Largest order, in lots."""
    maker_fee_ppm: int = field(init=False, repr=False)
    """Maker fee in millionths of the notional; negative is a rebate."""
    taker_fee_ppm: int = field(init=False, repr=False)
    """Taker fee in millionths of the notional."""
    leverage_fee_ppm: int = field(init=False, repr=False)
    """Leverage fee in millionths of the valuation; 0 on spot."""
    losscut_fee_ppm: int = field(init=False, repr=False)
    """Losscut fee in millionths of open price x size; 0 on spot."""
    max_price: Decimal = field(init=False, repr=False)
    """Highest price at which the largest order's worth, times its fee rate, is proven to fit 63 bits."""

    def __post_init__(self) -> None:
        for name in ("tick_size", "size_step", "min_size", "max_size"):
            value: Decimal = getattr(self, name)
            if not value.is_finite() or value <= 0:
                raise InstrumentError(f"{self.symbol}: {name} must be a positive number, not {value}")
        unit = Fraction(self.tick_size) * Fraction(self.size_step) * UYEN_PER_YEN
        if unit.denominator != 1:
            raise InstrumentError(
                f"{self.symbol}: tick {self.tick_size} x step {self.size_step} is {float(unit):g} micro-yen, "
                "not a whole number of them; money in this instrument cannot be exact"
            )
        for name in ("min_size", "max_size"):
            if (Fraction(getattr(self, name)) / Fraction(self.size_step)).denominator != 1:
                raise InstrumentError(f"{self.symbol}: {name} {getattr(self, name)} is not a multiple of the step {self.size_step}")
        if self.leverage < 1:
            raise InstrumentError(f"{self.symbol}: leverage must be 1 or more, not {self.leverage}")
        for name in ("leverage_fee", "losscut_fee"):
            if getattr(self, name) < 0:
                raise InstrumentError(f"{self.symbol}: {name} must not be negative")
        for name in ("maker_fee", "taker_fee", "leverage_fee", "losscut_fee"):
            if (Fraction(getattr(self, name)) * PPM).denominator != 1:
                raise InstrumentError(f"{self.symbol}: {name} {getattr(self, name)} is finer than one millionth")
        self._derive(
            unit_uyen=int(unit),
            min_lots=int(self.min_size / self.size_step),
            max_lots=int(self.max_size / self.size_step),
            maker_fee_ppm=int(self.maker_fee * PPM),
            taker_fee_ppm=int(self.taker_fee * PPM),
            leverage_fee_ppm=int(self.leverage_fee * PPM) if self.product is Product.LEVERAGE else 0,
            losscut_fee_ppm=int(self.losscut_fee * PPM) if self.product is Product.LEVERAGE else 0,
        )
        self._derive(max_price=self._proven_price())

    def _derive(self, **values: int | Decimal) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _proven_price(self) -> Decimal:
        """Return the highest price that is safe.

        Raises:
            InstrumentError: It is so low that the instrument is no use.
        """
        rate = max(abs(self.maker_fee_ppm), abs(self.taker_fee_ppm), self.leverage_fee_ppm, self.losscut_fee_ppm, 1)
        ticks = (_SAFE - UYEN_PER_YEN * PPM) // rate // (self.max_lots * self.unit_uyen)
        if ticks < _FEWEST_TICKS:
            raise InstrumentError(
                f"{self.symbol}: with orders of {self.max_size} and a fee of {rate} ppm money fits 63 bits "
                f"only up to {ticks * self.tick_size} yen; lower max_size"
            )
        return min(Decimal(MAX_PRICE_YEN), ticks * self.tick_size)

    @property
    def base(self) -> str:
        """The coin: ``BTC`` of both ``BTC`` and ``BTC_JPY``."""
        return self.symbol.removesuffix("_JPY")

    def ticks(self, price: Decimal) -> int:
        """Return a price in ticks.

        Raises:
            InstrumentError: It is not a whole number of ticks or out of range.
        """
        return self._whole(price, self.tick_size, "price", self.max_price)

    def lots(self, size: Decimal) -> int:
        """Return a size in lots.

        Raises:
            InstrumentError: It is not a whole number of steps.
        """
        return self._whole(size, self.size_step, "size", None)

    def whole_lots(self, size: Decimal) -> int:
        """Return the whole lots in a size that need not lie on our grid, as with :meth:`lots_at_least`.

        Raises:
            InstrumentError: It is not a number.
        """
        if not size.is_finite():
            raise InstrumentError(f"{self.symbol}: size {size} is out of range")
        return int(size // self.size_step)

    def lots_at_least(self, size: Decimal) -> int:
        """Return the lots that hold a size which need not lie on our grid: another hand's, or under rules that changed."""
        return int((size / self.size_step).to_integral_value(ROUND_CEILING))

    def nearest_ticks(self, price: Decimal) -> int:
        """Return the ticks closest to a price which need not lie on our grid, as with :meth:`lots_at_least`."""
        return int((price / self.tick_size).to_integral_value(ROUND_HALF_EVEN))

    def price(self, ticks: int) -> Decimal:
        """Return ticks as a price in yen."""
        return ticks * self.tick_size

    def size(self, lots: int) -> Decimal:
        """Return lots as a size in coins."""
        return lots * self.size_step

    def notional_uyen(self, ticks: int, lots: int) -> int:
        """Return what ``lots`` are worth at ``ticks``."""
        return ticks * lots * self.unit_uyen

    def fee_uyen(self, notional_uyen: int, *, maker: bool) -> int:
        """Return our own computation of a fee; what the exchange reports is what gets booked."""
        return round_fee(notional_uyen, self.maker_fee_ppm if maker else self.taker_fee_ppm, int(self.fee_rounding))

    def _whole(self, value: Decimal, grid: Decimal, what: str, limit: Decimal | None) -> int:
        if not value.is_finite() or (limit is not None and not 0 <= value <= limit):
            raise InstrumentError(f"{self.symbol}: {what} {value} is out of range")
        count, rest = divmod(value, grid)
        if rest:
            raise InstrumentError(f"{self.symbol}: {what} {value} is not a multiple of {grid}")
        return int(count)


def round_fee(notional_uyen: int, rate_ppm: int, rounding: int) -> int:
    """Return a signed fee in micro-yen. Plain integer arithmetic: compiles and agrees bit for bit.

    Args:
        notional_uyen: Never negative.
        rounding: A :class:`FeeRounding` value.
    """
    raw = notional_uyen * rate_ppm
    unit = PPM if rounding == 3 else PPM * UYEN_PER_YEN
    if rounding == 1:
        whole = raw // unit
    elif rounding == 2:
        whole = -((-raw) // unit)
    elif raw >= 0:
        whole = (raw + unit // 2) // unit
    else:
        whole = -((-raw + unit // 2) // unit)
    return whole if rounding == 3 else whole * UYEN_PER_YEN


def to_uyen(yen: Decimal) -> int:
    """Return yen as micro-yen.

    Raises:
        InstrumentError: It is finer than a micro-yen, not finite, or beyond int64.
    """
    if not yen.is_finite():
        raise InstrumentError(f"{yen} is not an amount of money")
    amount = Fraction(yen) * UYEN_PER_YEN
    if amount.denominator != 1 or abs(amount) > _SAFE:
        raise InstrumentError(f"{yen} yen cannot be held exactly in micro-yen")
    return int(amount)


def to_nearest_uyen(yen: Decimal) -> Decimal:
    """Return yen rounded to whole micro-yen, halves to even."""
    return yen.quantize(Decimal(1) / UYEN_PER_YEN)


def to_yen(uyen: int) -> Decimal:
    """Return micro-yen as yen, without trailing zeros."""
    yen = Decimal(uyen).scaleb(-6)
    return yen.quantize(Decimal(1)) if yen == yen.to_integral_value() else yen.normalize()

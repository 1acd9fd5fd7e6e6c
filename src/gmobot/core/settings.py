"""From an instrument and the operator's numbers to the SETTINGS record of the compiled engine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmobot.core.instrument import PPM, Instrument, InstrumentError, Product, to_uyen
from gmobot.core.records import SETTINGS

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the engine is told once. Money in yen, sizes in coins, shares as fractions; 0 is off.

    Raises:
        InstrumentError: From :meth:`record`, when a size is off the instrument's grid or a number makes no sense.
    """

    instrument: Instrument
    warmup_bars: int = 0
    min_confidence: float = 0.0
    cooldown_bars: int = 0
    max_positions: int = 1
    volatility_spike_ratio: float = 0.0
    thin_volume_ratio: float = 0.0
    fixed_size: Decimal | None = None
    risk_fraction: Decimal | None = None
    max_drawdown: Decimal = ZERO
    daily_loss_limit: Decimal = ZERO
    max_position_size: Decimal = ZERO
    max_trade_loss: Decimal = ZERO
    max_leverage: Decimal = ZERO
    max_wallet_drift: Decimal = ZERO
    close_on_abort: bool = True

    def record(self) -> NDArray[Any]:
        """Return the one-element SETTINGS array."""
        if (self.fixed_size is None) == (self.risk_fraction is None):
            raise InstrumentError("sizing needs either a fixed size or a risk fraction")
        for name, limit in (("min_confidence", 1), ("risk_fraction", 1), ("max_drawdown", 1)):
            if (getattr(self, name) or 0) > limit:
                raise InstrumentError(f"{name} is a share, at most {limit}, not {getattr(self, name)}")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value is not None and not value >= 0:
                raise InstrumentError(f"{field.name} must not be negative; 0 turns it off")
        instrument = self.instrument
        tick, step = Fraction(instrument.tick_size), Fraction(instrument.size_step)
        values: dict[str, int | float] = {
            "price_numerator": tick.numerator,
            "price_denominator": tick.denominator,
            "size_numerator": step.numerator,
            "size_denominator": step.denominator,
            "unit_uyen": instrument.unit_uyen,
            "min_lots": instrument.min_lots,
            "max_lots": instrument.max_lots,
            "taker_fee_ppm": instrument.taker_fee_ppm,
            "maker_fee_ppm": instrument.maker_fee_ppm,
            "fee_rounding": int(instrument.fee_rounding),
            "leverage": instrument.leverage if instrument.product is Product.LEVERAGE else 0,
            "leverage_fee_ppm": instrument.leverage_fee_ppm,
            "losscut_fee_ppm": instrument.losscut_fee_ppm,
            "warmup_bars": self.warmup_bars,
            "min_confidence": self.min_confidence,
            "cooldown_bars": self.cooldown_bars,
            "max_positions": self.max_positions,
            "volatility_spike_ratio": self.volatility_spike_ratio,
            "thin_volume_ratio": self.thin_volume_ratio,
            "sizing": 0 if self.risk_fraction is None else 1,
            "fixed_lots": instrument.lots(self.fixed_size) if self.fixed_size is not None else 0,
            "risk_fraction_ppm": _ppm(self.risk_fraction or ZERO),
            "max_drawdown_ppm": _ppm(self.max_drawdown),
            "daily_loss_limit_uyen": to_uyen(self.daily_loss_limit),
            "max_position_lots": instrument.lots(self.max_position_size),
            "max_trade_loss_uyen": to_uyen(self.max_trade_loss),
            "max_leverage_ppm": _ppm(self.max_leverage),
            "max_wallet_drift_uyen": to_uyen(self.max_wallet_drift),
            "close_on_abort": int(self.close_on_abort),
        }
        record = np.zeros(1, SETTINGS)
        for name, value in values.items():
            record[name] = value
        return record


def _ppm(share: Decimal) -> int:
    millionths = share * PPM
    if millionths != int(millionths):
        raise InstrumentError(f"{share} is finer than one millionth")
    return int(millionths)

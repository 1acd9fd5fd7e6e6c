"""Trading rules recorded from the exchange, for when it is not asked: backtests and the emulator.

Source: reference/gmo-coin-api.md §4.6 (read February 2026). A live or paper daemon always asks.
"""

from __future__ import annotations

from decimal import Decimal

from gmobot.core.instrument import FeeRounding, Instrument, Product
from gmobot.errors import ConfigError

_SPOT: dict[str, tuple[str, str, str, str, str, str]] = {
    # symbol: min, max, step, tick, taker, maker
    "BTC": ("0.00001", "5", "0.00001", "1", "0.0005", "-0.0001"),
    "ETH": ("0.001", "100", "0.0001", "1", "0.0005", "-0.0001"),
    "BCH": ("0.01", "100", "0.001", "1", "0.0009", "-0.0003"),
    "LTC": ("0.1", "500", "0.01", "1", "0.0009", "-0.0003"),
    "SOL": ("0.01", "500", "0.01", "1", "0.0009", "-0.0003"),
}


def recorded_instrument(symbol: str, fee_rounding: str = "half_up") -> Instrument:
    """Return a symbol's arithmetic under its recorded rules.

    Raises:
        ConfigError: No rules are recorded for it.
    """
    if symbol not in _SPOT:
        raise ConfigError(f"no rules are recorded for {symbol}; recorded are: {', '.join(_SPOT)}")
    smallest, largest, step, tick, taker, maker = (Decimal(text) for text in _SPOT[symbol])
    rounding = FeeRounding[fee_rounding.upper()]
    return Instrument(symbol, Product.SPOT, tick, step, smallest, largest, maker, taker, rounding)

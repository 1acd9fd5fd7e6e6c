"""Trading rules recorded from the exchange, for when it is not asked: backtests and the emulator.

Source: reference/gmo-coin-api.md §4.6 (read February 2026). A live or paper daemon always asks.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from gmobot.core.instrument import FeeRounding, Instrument, InstrumentError, Product
from gmobot.errors import ConfigError

_TABLE: Final = """
symbol    min      max      step     tick   taker   maker
BTC       0.00001  5        0.00001  1      0.0005  -0.0001
ETH       0.001    100      0.0001   1      0.0005  -0.0001
BCH       0.01     100      0.001    1      0.0009  -0.0003
LTC       0.1      500      0.01     1      0.0009  -0.0003
XRP       1        100000   1        0.001  0.0005  -0.0001
XLM       1        50000    1        0.001  0.0009  -0.0003
DOT       0.1      5000     0.1      1      0.0009  -0.0003
ATOM      0.01     2000     0.01     1      0.0009  -0.0003
FCR       10       2000000  1        0.001  0.0009  -0.0003
ADA       1        50000    1        0.001  0.0009  -0.0003
LINK      0.1      2000     0.1      1      0.0009  -0.0003
DOGE      10       200000   1        0.001  0.0009  -0.0003
SOL       0.01     500      0.01     1      0.0009  -0.0003
ASTR      10       50000    1        0.001  0.0009  -0.0003
NAC       0.1      1000     0.1      0.001  0.0009  -0.0003
SUI       0.1      5000     0.1      0.001  0.0009  -0.0003
BTC_JPY   0.001    5        0.001    1      0       0
ETH_JPY   0.01     100      0.01     1      0       0
BCH_JPY   0.1      100      0.1      1      0       0
LTC_JPY   1        500      1        1      0       0
XRP_JPY   10       100000   10       0.001  0       0
DOT_JPY   1        5000     1        1      0.0003  0
ATOM_JPY  1        2000     1        1      0.0003  0
ADA_JPY   10       50000    10       0.001  0.0003  0
LINK_JPY  1        2000     1        1      0.0003  0
DOGE_JPY  10       200000   10       0.001  0.0003  0
SOL_JPY   0.1      500      0.1      1      0.0003  0
SUI_JPY   1        5000     1        0.001  0.0003  0
"""
_RULES: Final = {fields[0]: tuple(Decimal(text) for text in fields[1:]) for fields in map(str.split, _TABLE.strip().splitlines()[1:])}
SYMBOLS: Final = tuple(_RULES)
"""Every symbol whose rules are recorded."""


def recorded_instrument(symbol: str, fee_rounding: str = "half_up") -> Instrument:
    """Return a symbol's arithmetic under its recorded rules.

    Raises:
        ConfigError: No rules are recorded for it, or its money cannot be held exactly.
    """
    if symbol not in _RULES:
        raise ConfigError(f"instruments: no rules are recorded for {symbol}; recorded are: {', '.join(SYMBOLS)}")
    smallest, largest, step, tick, taker, maker = _RULES[symbol]
    product = Product.LEVERAGE if symbol.endswith("_JPY") else Product.SPOT
    try:
        return Instrument(symbol, product, tick, step, smallest, largest, maker, taker, FeeRounding[fee_rounding.upper()])
    except InstrumentError as error:
        raise ConfigError(f"instruments: {error}") from None

"""Trading rules recorded from the exchange, for when it is not asked: backtests and the emulator.

Source: reference/gmo-coin-api.md §4.6 (read February 2026). A live or paper daemon always asks. The last column
is a rough price in yen, which nobody published: where a synthetic market starts.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from gmobot.core.instrument import FeeRounding, Instrument, InstrumentError, Product
from gmobot.errors import ConfigError

_TABLE: Final = """
symbol    min      max      step     tick   taker   maker   price
BTC       0.00001  5        0.00001  1      0.0005  -0.0001 10000000
ETH       0.001    100      0.0001   1      0.0005  -0.0001 320000
BCH       0.01     100      0.001    1      0.0009  -0.0003 80000
LTC       0.1      500      0.01     1      0.0009  -0.0003 9000
XRP       1        100000   1        0.001  0.0005  -0.0001 220
XLM       1        50000    1        0.001  0.0009  -0.0003 25
DOT       0.1      5000     0.1      1      0.0009  -0.0003 220
ATOM      0.01     2000     0.01     1      0.0009  -0.0003 340
FCR       10       2000000  1        0.001  0.0009  -0.0003 3
ADA       1        50000    1        0.001  0.0009  -0.0003 45
LINK      0.1      2000     0.1      1      0.0009  -0.0003 1400
DOGE      10       200000   1        0.001  0.0009  -0.0003 16
SOL       0.01     500      0.01     1      0.0009  -0.0003 14000
ASTR      10       50000    1        0.001  0.0009  -0.0003 1.5
NAC       0.1      1000     0.1      0.001  0.0009  -0.0003 2
SUI       0.1      5000     0.1      0.001  0.0009  -0.0003 150
BTC_JPY   0.001    5        0.001    1      0       0       10000000
ETH_JPY   0.01     100      0.01     1      0       0       320000
BCH_JPY   0.1      100      0.1      1      0       0       80000
LTC_JPY   1        500      1        1      0       0       9000
XRP_JPY   10       100000   10       0.001  0       0       220
DOT_JPY   1        5000     1        1      0.0003  0       220
ATOM_JPY  1        2000     1        1      0.0003  0       340
ADA_JPY   10       50000    10       0.001  0.0003  0       45
LINK_JPY  1        2000     1        1      0.0003  0       1400
DOGE_JPY  10       200000   10       0.001  0.0003  0       16
SOL_JPY   0.1      500      0.1      1      0.0003  0       14000
SUI_JPY   1        5000     1        0.001  0.0003  0       150
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
    smallest, largest, step, tick, taker, maker, _ = _RULES[symbol]
    product = Product.LEVERAGE if symbol.endswith("_JPY") else Product.SPOT
    try:
        return Instrument(symbol, product, tick, step, smallest, largest, maker, taker, FeeRounding[fee_rounding.upper()])
    except InstrumentError as error:
        raise ConfigError(f"instruments: {error}") from None


def start_price(symbol: str) -> Decimal:
    """Return a sensible price in yen for a synthetic market of a recorded symbol."""
    return _RULES[symbol][-1]

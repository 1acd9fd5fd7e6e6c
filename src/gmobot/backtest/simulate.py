"""Backtests: the compiled core over an array of bars, with the ledger in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gmobot.backtest.loop import source
from gmobot.core.ledger import LEDGER
from gmobot.core.records import ACCOUNT, DESIRED, ENGINE, PRICE_BAR
from gmobot.core.settings import Settings
from gmobot.strategies.program import Program

FILL: Final = np.dtype([("bar", "i8"), ("kind", "i8"), ("ticks", "i8"), ("lots", "i8"), ("trade", "i8"), ("cash_uyen", "i8")], align=True)
"""A fill: index of its bar, why (see :mod:`gmobot.backtest.fills`), price, signed lots, trades closed and the ledger's cash after it."""
RUN: Final = np.dtype(
    [
        ("initial_uyen", "i8"),
        ("slippage_ticks", "i8"),
        ("day", "i8"),  # the trading day of the last bar
        ("losscut", "i8"),  # of the open leverage position, in ticks
        ("exposed_bars", "i8"),
        ("degraded_bars", "i8"),
        ("losscuts", "i8"),
    ],
    align=True,
)
"""What the loop is told of a run, and counts in it."""
_FILLS_PER_BAR = 3
_NO_DAY = -(2**62)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Everything a run left behind; money in micro-yen.

    Attributes:
        equity: Account worth at each bar's close.
        fills: FILL records.
        ledger: The one-element LEDGER record at the end.
        exposed_bars: Bars with a position.
        degraded_bars: Bars on which a guard forbade new exposure.
        losscuts: Positions that the exchange cut (leverage).
        halted: Whether a guard aborted.
        desired: The one-element DESIRED record after the last bar: what would be done next.
    """

    bars: NDArray[Any]
    equity: NDArray[np.int64]
    fills: NDArray[Any]
    ledger: NDArray[Any]
    initial_uyen: int
    exposed_bars: int
    degraded_bars: int
    losscuts: int
    halted: bool
    desired: NDArray[Any]


def simulate(program: Program, settings: Settings, bars: NDArray[Any], *, initial_uyen: int, slippage_ticks: int = 0) -> Simulation:
    """Run a program over bars.

    Args:
        program: Strategy and parameters; an uncompiled one runs as plain Python.
        settings: Instrument, filters, sizing, limits.
        bars: BAR records, ascending.
        initial_uyen: Cash at the start.
        slippage_ticks: Adverse ticks of every market fill.
    """
    call = program.compile_loop("simulate", source(settings.instrument.product))
    equity = np.zeros(len(bars), np.int64)
    account, run, ledger = np.zeros(1, ACCOUNT), np.zeros(1, RUN), np.zeros(1, LEDGER)
    for name in ("cash_uyen", "equity_uyen", "peak_equity_uyen", "day_start_equity_uyen"):
        account[name] = initial_uyen
    run["initial_uyen"], run["slippage_ticks"], run["day"] = initial_uyen, slippage_ticks, _NO_DAY
    # A bar fills at most three times: a flip at its open, and once inside. The pages of zeros that stay untouched cost nothing.
    fills = np.zeros(_FILLS_PER_BAR * len(bars), FILL)
    scratch = (np.zeros(1, PRICE_BAR), np.zeros(1, DESIRED))
    count = call(
        bars,
        np.zeros(1, ENGINE),
        program.new_state(),
        account,
        program.params,
        program.settings_record(settings),
        *scratch,
        ledger,
        run,
        equity,
        fills,
    )
    return Simulation(
        bars=bars,
        equity=equity,
        fills=fills[:count].copy(),
        ledger=ledger,
        initial_uyen=initial_uyen,
        exposed_bars=int(run["exposed_bars"][0]),
        degraded_bars=int(run["degraded_bars"][0]),
        losscuts=int(run["losscuts"][0]),
        halted=bool(account["halted"][0]),
        desired=scratch[1],
    )

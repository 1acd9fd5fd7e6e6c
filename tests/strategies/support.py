"""What the strategies' tests share: strategies as text, child processes, and a toy simulator as a generated loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.core.support import account, settings

from gmobot.core.records import ACCOUNT, DESIRED, ENGINE, PRICE_BAR
from gmobot.strategies.program import Program

CROSS = '''"""A strategy of a test."""

from gmobot.core.compiled import compiled
from gmobot.core.decision import buy, hold, sell
from gmobot.core.indicators import Ema, RollingMax, ema, rolling_max
from gmobot.core.reasons import user_bit
from gmobot.strategies.declaration import Strategy, param

MINE = user_bit(0)


class Cross(Strategy):
    """Price above its mean."""

    reasons = ("my_reason",)

    class Params:
        period: int = param(5, low=2, high=100)
        confidence: float = param(0.5, low=0.0, high=1.0)

    class State:
        mean: Ema
        bars: int

    @staticmethod
    def decide(state, bar, params, position):
        mean = ema(state.mean, bar.close, params.period)
        state.bars += 1
        if bar.close > mean:
            return buy(params.confidence, MINE)
        return sell(params.confidence, MINE)
'''

SIMULATE = """

@njit(cache=True, nogil=True)
def simulate(engine, state, bars, account, params, settings, shown, desired, accounts, decisions):
    own, told, wanted = account[0], settings[0], desired[0]
    for i in range(len(bars)):
        traded = (wanted.target - own.position) * told.unit_uyen * bars[i].open
        if own.position == 0 and wanted.target > 0:
            own.cost_uyen = traded
        elif own.position > 0 and wanted.target == 0:
            own.closed_trades += 1
            own.last_trade_pnl_uyen = -traded - own.cost_uyen
            own.cost_uyen = 0
        own.position = wanted.target
        own.cash_uyen -= traded
        own.equity_uyen = own.cash_uyen + own.position * told.unit_uyen * bars[i].close
        own.peak_equity_uyen = max(own.peak_equity_uyen, own.equity_uyen)
        observe(engine[0], bars[i], told, shown[0])
        position = own.position * told.size_numerator / told.size_denominator
        conclude(engine[0], bars[i], own, told, decide(state[0], shown[0], params[0], position), wanted)
        keep(accounts[i], decisions[i], own, wanted)


@njit
def keep(kept, decided, own, wanted):
    kept.position = own.position
    kept.cost_uyen = own.cost_uyen
    kept.cash_uyen = own.cash_uyen
    kept.equity_uyen = own.equity_uyen
    kept.peak_equity_uyen = own.peak_equity_uyen
    kept.day_start_equity_uyen = own.day_start_equity_uyen
    kept.last_trade_pnl_uyen = own.last_trade_pnl_uyen
    kept.closed_trades = own.closed_trades
    decided.target = wanted.target
    decided.stop = wanted.stop
    decided.take_profit = wanted.take_profit
    decided.max_holding_bars = wanted.max_holding_bars
    decided.action = wanted.action
    decided.confidence = wanted.confidence
    decided.reasons = wanted.reasons
    decided.risk_status = wanted.risk_status
"""
"""Targets fill at the next open, without fees: enough of a market to lead the core through all it can do."""

SETTINGS = settings(cooldown_bars=3, min_confidence=0.2, volatility_spike_ratio=2.0, thin_volume_ratio=0.05)


def simulated(program: Program, bars: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], bytes]:
    """Run a program over bars. Returns the accounts and decisions bar by bar, and all memory at the end."""
    accounts, decisions = np.zeros(len(bars), ACCOUNT), np.zeros(len(bars), DESIRED)
    engine, state, told = np.zeros(1, ENGINE), program.new_state(), program.settings_record(SETTINGS)
    simulate = program.compile_loop("simulate", SIMULATE)
    last = (np.zeros(1, PRICE_BAR), np.zeros(1, DESIRED), accounts, decisions)
    simulate(engine, state, bars, account(), program.params, told, *last)
    return accounts, decisions, engine.tobytes() + state.tobytes()


def write(folder: Path, text: str = CROSS, name: str = "cross.py") -> str:
    """Write a strategy and return its reference."""
    (folder / name).write_text(text, encoding="utf-8")
    return f"{folder / name}:Cross"


CHILD = """
import json, sys
import numpy as np
from pathlib import Path
from gmobot.strategies.loader import load
from gmobot.strategies.program import DecisionCore
from tests.core.support import account, bar, settings

program = load(sys.argv[1], cache_dir=Path(sys.argv[2]))
desired = DecisionCore(program, settings()).step(bar(), account())
loop = program.compile_loop("count", "\\n@njit(cache=True, nogil=True)\\ndef count(bars):\\n    return len(bars)\\n")
loop(bar())
stats = [function.stats for function in (program.step, loop)]
hits, misses = (sum(sum(getattr(one, kind).values()) for one in stats) for kind in ("cache_hits", "cache_misses"))
print(json.dumps({"confidence": desired.confidence, "hits": hits, "misses": misses, "hash": program.source_hash}))
"""


def start_child(ref: str, cache: Path, **environment: str) -> subprocess.Popen[str]:
    """Load a strategy and decide once in a process of its own."""
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), environment.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", CHILD, ref, str(cache)]
    environ = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"} | environment
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=root)


def finish(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def in_child(ref: str, cache: Path, **environment: str) -> dict[str, Any]:
    return finish(start_child(ref, cache, **environment))

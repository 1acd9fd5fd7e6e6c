"""Every mistake of an author is told in one line, with the author's own file and line and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.strategies.support import CROSS, write

from gmobot.errors import StrategyError
from gmobot.strategies.loader import load

BODY = "        state.bars += 1\n"
TOP = "MINE = user_bit(0)\n"


def told(tmp_path: Path, text: str, params: dict[str, Any] | None = None) -> tuple[int, str]:
    """Load a strategy that is wrong. Returns the line that the error names, and its text."""
    ref = write(tmp_path, text)
    with pytest.raises(StrategyError) as caught:
        load(ref, params, cache_dir=tmp_path / "cache")
    found = re.match(rf"{re.escape(str(tmp_path / 'cross.py'))}:(\d+): (.*)", str(caught.value))
    assert found, str(caught.value)
    assert "\n" not in found[2]
    return int(found[1]), found[2]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


# what is written in decide, and what the answer speaks of
FORBIDDEN = [
    ("x = bar.close ** 2", "x * x"),
    ("x = bar.close\n        x **= 2", "x * x"),
    ("print(bar.close)", "reason code"),
    ("x = sum((1.0, 2.0))", "write a loop"),
    ("x = pow(2.0, 3.0)", "x * x"),
    ("x = open('numbers')", "pass numbers as parameters"),
    ("x = sorted((1.0, 2.0))", "of Python's own functions there are abs"),
    ("x = round(bar.close, 2)", "math.floor"),
    ("import math", "import at the top"),
    ("from math import sqrt", "import at the top"),
    ("global MINE", "State"),
    ("x = [1.0, 2.0]", "a list is not for strategies"),
    ("x = {1.0: 2.0}", "a dict is not for strategies"),
    ("x = {1.0, 2.0}", "a set is not for strategies"),
    ("x = max(y for y in (1.0, 2.0))", "use plain variables"),
    ("x = [y for y in (1.0, 2.0)]", "use plain variables"),
    ("x = f'{bar.close}'", "an f-string is not for strategies"),
    ("x = lambda y: y", "marked @compiled"),
    ("def x(y):\n            return y", "marked @compiled"),
    ("try:\n            x = 1.0\n        finally:\n            pass", "test the condition first"),
    ("raise ValueError", "return hold()"),
    ("assert bar.close", "return hold()"),
    ("params.period = 3", "params is read-only"),
    ("bar.close += 1.0", "bar is read-only"),
]


@pytest.mark.parametrize(("written", "answer"), FORBIDDEN, ids=[written.split("\n")[0] for written, _ in FORBIDDEN])
def test_what_decide_may_not_contain(tmp_path: Path, written: str, answer: str) -> None:
    text = CROSS.replace(BODY, BODY + f"        {written}\n")
    line, said = told(tmp_path, text)
    last = written.split("\n")[-1].strip() if "**=" in written else written.split("\n")[0]
    assert line == line_of(text, f"        {last}\n")
    assert answer in said


# what is written at the top of the file, its use in decide, and what the answer speaks of
IMPORTED = [
    ("import random", "random.random()", "counter in State"),
    ("import random as dice", "dice.random()", "counter in State"),
    ("from random import random", "random()", "counter in State"),
    ("import time", "time.time()", "bar.time"),
    ("from time import time", "time()", "bar.time"),
    ("from datetime import datetime", "datetime.now()", "bar.time"),
    ("import os", "os.getpid()", "nothing outside its bar"),
    ("import numpy as np", "np.sqrt(2.0)", "scalar arithmetic"),
    ("import numpy as array_of", "array_of.sum(bar.close)", "scalar arithmetic"),
    ("from numpy import median", "median(bar.close)", "scalar arithmetic"),
    ("import math", "math.sin(bar.close)", "exact when compiled"),
    ("from math import tanh", "tanh(bar.close)", "exact when compiled"),
    ("SEEN = [1.0]", "SEEN[0]", "a list can change under compiled code"),
    ("SEEN = {}", "len(SEEN)", "a dict can change under compiled code"),
    ("def twice(x):\n    return 2.0 * x", "twice(bar.close)", "mark twice with @compiled"),
    ("import numba\n\n\n@numba.njit(fastmath=True)\ndef twice(x):\n    return 2.0 * x", "twice(bar.close)", "fastmath"),
    ("import numba\n\n\n@numba.njit(cache=True)\ndef twice(x):\n    return 2.0 * x", "twice(bar.close)", "cache=True"),
]


@pytest.mark.parametrize(("top", "use", "answer"), IMPORTED, ids=[f"{top.splitlines()[-1].strip()}: {use}" for top, use, _ in IMPORTED])
def test_names_are_judged_by_what_they_stand_for(tmp_path: Path, top: str, use: str, answer: str) -> None:
    text = CROSS.replace(TOP, f"{TOP}{top}\n").replace(BODY, BODY + f"        x = {use}\n")
    line, said = told(tmp_path, text)
    assert line == line_of(text, f"        x = {use}\n")
    assert answer in said


def test_functions_that_decide_calls_are_judged_too(tmp_path: Path) -> None:
    text = CROSS.replace(TOP, f"{TOP}\n\n@compiled\ndef twice(x):\n    return x ** 2\n").replace(BODY, BODY + "        x = twice(2.0)\n")
    line, said = told(tmp_path, text)
    assert line == line_of(text, "    return x ** 2")
    assert "x * x" in said


END = "        return sell(params.confidence, MINE)\n"


@pytest.mark.parametrize(
    ("old", "new", "at", "answer"),
    [
        (
            "def decide(state, bar, params, position)",
            "def decide(self, state, bar, params, position)",
            "def decide",
            "write decide(state, bar,",
        ),
        ("    def decide(", "    def choose(", "class Cross(Strategy)", "has no decide"),
        (END, "", "        if bar.close", "run past its end"),
        (END, "        return\n", "        return\n", "decides nothing"),
        (END, "        return None\n", "        return None\n", "decides nothing"),
        (END, "        return bar.close\n", "    @staticmethod", "decide returned 100.0"),
        ("state.bars += 1", "state.missing += 1", "state.missing", "state has no 'missing'; it has: mean, bars"),
        ("params.period)", "params.missing)", "params.missing", "params has no 'missing'; it has: period, confidence"),
        ("state.bars += 1", "x = 1.0 / position", "x = 1.0 / position", "ZeroDivisionError"),
        ("mean: Ema", "mean: RollingMax", "class Cross(Strategy)", "State.mean must be"),
        ("mean: Ema", "mean: str", "class Cross(Strategy)", "State.mean must be"),
        ("mean: Ema", "mean = Ema", "class Cross(Strategy)", "declared by its type"),
        ("mean: Ema", "mean = RollingMax", "class Cross(Strategy)", "RollingMax.of(200)"),
        ("mean: Ema", "mean: RollingMax.of(9)", "class Cross(Strategy)", "windows are `mean = Sma.of(200)`"),
        ("bars: int", "bars: int = 7", "class Cross(Strategy)", "starts at 0"),
        ("period: int = param(5, low=2, high=100)", "period: int", "class Cross(Strategy)", "needs a default and bounds"),
        ("param(5, low=2, high=100)", "param(1, low=2, high=100)", "class Cross(Strategy)", "smallest allowed is 2"),
        ('("my_reason",)', '("no_setup",)', "class Cross(Strategy)", "exists already"),
        ('("my_reason",)', '("my_reason", "my_reason")', "class Cross(Strategy)", "exists already"),
        ('("my_reason",)', '"my_reason"', "class Cross(Strategy)", "is a tuple"),
        ('("my_reason",)', "tuple('abcdefghijklmnopq')", "class Cross(Strategy)", "at most 16"),
        (TOP, "MINE = user_bit(99)\n", "MINE = user_bit(99)", "16 reasons of its own"),
        (TOP, "import no_such_module\n", "import no_such_module", "on the Python path"),
        (TOP, "MINE = \n", "MINE = ", "invalid syntax"),
        (TOP, "MINE = 1 / 0\n", "MINE = 1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_is_declared_wrong(tmp_path: Path, old: str, new: str, at: str, answer: str) -> None:
    text = CROSS.replace(old, new)
    line, said = told(tmp_path, text)
    assert line == line_of(text, at)
    assert answer in said


WARMUP = "    @staticmethod\n    def warmup(params):\n        return {}\n\n"


@pytest.mark.parametrize(
    ("value", "answer"), [("-1", "whole number of bars"), ("2.5", "whole number of bars"), ("1 // 0", "ZeroDivisionError")]
)
def test_a_warm_up_is_a_number_of_bars(tmp_path: Path, value: str, answer: str) -> None:
    text = CROSS.replace("    @staticmethod\n", WARMUP.format(value) + "    @staticmethod\n")
    line, said = told(tmp_path, text)
    assert line in {line_of(text, "    @staticmethod"), line_of(text, "        return 1 //") if "//" in value else 0}
    assert answer in said


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({"perod": 5}, "no parameter 'perod'; it has: period, confidence"),
        ({"period": 1}, "period is 1; the smallest allowed is 2"),
        ({"period": 101}, "period is 101; the largest allowed is 100"),
        ({"period": 5.5}, "must be a whole number, not 5.5"),
        ({"period": True}, "must be a whole number, not True"),
        ({"confidence": "high"}, "must be a number, not 'high'"),
        ({"confidence": float("nan")}, "must be a number, not nan"),
    ],
)
def test_parameters_out_of_line(tmp_path: Path, params: dict[str, Any], answer: str) -> None:
    line, said = told(tmp_path, CROSS, params)
    assert line == line_of(CROSS, "class Cross")
    assert answer in said


def test_a_period_longer_than_its_window_is_told_before_anything_runs(tmp_path: Path) -> None:
    text = CROSS.replace("mean: Ema", "top = RollingMax.of(50)").replace("ema(state.mean, bar.close,", "rolling_max(state.top, bar.close,")
    line, said = told(tmp_path, text, {"period": 51})
    assert line == line_of(text, "mean = rolling_max")
    assert "longer than the window" in said


# Mistakes that only the compiler sees: on a path that the trial run does not take, or of types.
COMPILER = [
    ("if bar.close < 0.0:\n            return hold('abc')", "return hold('abc')"),
    ("if bar.close < 0.0:\n            state.bars = bar", "state.bars = bar"),
    ("x = 'abc' if bar.close < 0.0 else 1.0", "x = 'abc'"),
    ("if bar.close < 0.0:\n            x = bar.close.hex()", "x = bar.close.hex()"),
]


@pytest.mark.parametrize(("written", "at"), COMPILER, ids=[at for _, at in COMPILER])
def test_what_only_the_compiler_sees_names_the_line_too(tmp_path: Path, written: str, at: str) -> None:
    text = CROSS.replace(BODY, BODY + f"        {written}\n")
    line, said = told(tmp_path, text)
    assert line == line_of(text, at)
    assert "cannot be compiled" in said


def test_a_field_that_a_nested_record_lacks_is_told(tmp_path: Path) -> None:
    text = CROSS.replace(BODY, BODY + "        if bar.close < 0.0:\n            state.mean.missing = 1.0\n")
    line, said = told(tmp_path, text)
    assert line == line_of(text, "    @staticmethod")
    assert "field 'missing'" in said


@pytest.mark.parametrize(
    ("ref", "answer"),
    [
        ("nonsense", "write module.path:Class or path/to/file.py:Class"),
        (":Cross", "write module.path:Class"),
        ("no/such/file.py:Cross", "no/such/file.py: no such file"),
        ("no.such.module:Cross", "on the Python path"),
        ("gmobot.strategies.ema_momentum:Nobody", "it has: EmaMomentum"),
        ("gmobot.strategies.ema_momentum:Ema", "it has: EmaMomentum"),
    ],
)
def test_references_that_lead_nowhere(ref: str, answer: str, tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=re.escape(answer)):
        load(ref, cache_dir=tmp_path)


# What an author may well write, and no rule may refuse.
FINE = [
    "x = math.sqrt(bar.close) + math.exp(-1.0) + math.log(bar.close)",
    "for i in range(3):\n            state.bars += i",
    "x, y = min(bar.open, bar.close), max(bar.open, bar.close)",
    "state.bars = int(bar.volume) % 7 if LIMITS[0] > bar.close >= LIMITS[1] else 0",
    "x = twice(bar.close)",
    "x = indicators.ema(state.mean, bar.close, 5)",
]


@pytest.mark.parametrize("written", FINE)
def test_plain_arithmetic_constants_helpers_and_modules_are_welcome(tmp_path: Path, written: str, cache: Path) -> None:
    top = "import math\nfrom gmobot.core import indicators\nLIMITS = (9.0, 1.0)\n\n\n@compiled\ndef twice(x):\n    return 2.0 * x\n"
    text = CROSS.replace(TOP, TOP + top).replace(BODY, BODY + f"        {written}\n")
    assert load(write(tmp_path, text), cache_dir=cache).name == "Cross"

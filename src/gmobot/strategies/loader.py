"""From a reference in a config file to a :class:`Program`, with errors that name the author's own line.

A reference is ``package.module:Class`` or ``path/to/file.py:Class``.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from gmobot.core.compiled import PlainRecord, compiled, plain_call, uncompiled
from gmobot.core.records import ACCOUNT, BAR, DESIRED, ENGINE, PRICE_BAR, SETTINGS
from gmobot.errors import StrategyError
from gmobot.strategies.cache import load_generated, source_hash
from gmobot.strategies.check import check_source
from gmobot.strategies.declaration import Strategy, params_record, state_dtype
from gmobot.strategies.program import Program

_HEADER = '''"""Generated for one strategy: the decision core as one unit of machine code. Do not edit."""

from numba import njit

from gmobot.core.engine import conclude, observe
from gmobot.strategies.loader import compiled_decide

decide = compiled_decide({ref!r})
'''
_STEP = """

@njit(cache=True, nogil=True)
def step(engine, state, bar, account, params, settings, shown, desired):
    observe(engine[0], bar[0], settings[0], shown[0])
    position = account[0].position * settings[0].size_numerator / settings[0].size_denominator
    decision = decide(state[0], shown[0], params[0], position)
    conclude(engine[0], bar[0], account[0], settings[0], decision, desired[0])
"""


def load(ref: str, params: Mapping[str, float] | None = None, *, jit: bool = True, cache_dir: Path | None = None) -> Program:
    """Load a strategy, check it, bind its parameters, compile it.

    Args:
        ref: Where it is.
        params: Values that differ from the defaults.
        jit: ``False`` runs the same source uncompiled.
        cache_dir: Where machine code is kept; see :mod:`gmobot.strategies.cache`.

    Raises:
        StrategyError: It cannot be found, declares something wrong, or does not compile.
    """
    strategy, file = find(ref)
    record = params_record(strategy, dict(params or {}), str(file))
    layout = state_dtype(strategy, str(file))
    check_source(strategy.decide)
    _try_plain(strategy, record, layout, file)
    fingerprint = source_hash([file.read_bytes(), ref.encode(), _HEADER.encode(), _STEP.encode()])

    def build(name: str, body: str, sources: tuple[Path, ...]) -> ModuleType:
        text = _HEADER.format(ref=ref) + body
        key = source_hash([file.read_bytes(), text.encode(), *(path.read_bytes() for path in sources)])
        return load_generated(name, text, key, cache_dir)

    step = build("step", _STEP, ()).step
    program = Program(
        ref=ref,
        name=strategy.__name__,
        params=record,
        user_reasons=strategy.reasons,
        warmup_bars=int(strategy.warmup(PlainRecord(record[0]))),
        source_hash=fingerprint,
        state_dtype=layout,
        step=step if jit else plain_call(step),
        decide=strategy.decide,
        compiled=jit,
        build=build,
    )
    _warm(program, file)
    return program


def find(ref: str) -> tuple[type[Strategy], Path]:
    """Import a strategy class and tell its file.

    Raises:
        StrategyError: There is no such file or class, or the file cannot be imported.
    """
    place, _, name = ref.rpartition(":")
    if not place or not name:
        raise StrategyError(f"strategy {ref!r}: write module.path:Class or path/to/file.py:Class")
    module = _import(place)
    strategy = getattr(module, name, None)
    if not (isinstance(strategy, type) and issubclass(strategy, Strategy)):
        found = [
            key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
        ]
        raise StrategyError(f"{module.__file__}: no strategy {name!r} in it; it has: {', '.join(found) or 'none'}")
    if "decide" not in vars(strategy):
        raise StrategyError(f"{module.__file__}: {name} has no decide(state, bar, params, position); write one, marked @staticmethod")
    return strategy, Path(str(module.__file__))


def compiled_decide(ref: str) -> Callable[..., Any]:
    """Return a strategy's decide, marked for compilation. Called by generated modules."""
    strategy, _ = find(ref)
    return compiled(strategy.decide)


def _import(place: str) -> ModuleType:
    try:
        if place.endswith(".py"):
            return _import_file(Path(place))
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise StrategyError(f"strategy {place}: {error}; is the folder on the Python path?") from None
    except SyntaxError as error:
        raise StrategyError(f"{error.filename}:{error.lineno}: {error.msg}") from None
    except StrategyError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever an author's file raises while it is imported is the author's to see
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise StrategyError(f"{line.filename}:{line.lineno}: {type(error).__name__}: {error}") from None


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise StrategyError(f"{path}: no such file")
    name = f"gmobot_user_{source_hash([path.read_bytes(), str(path.resolve()).encode()])}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StrategyError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _try_plain(strategy: type[Strategy], params: np.ndarray, layout: np.dtype[Any], file: Path) -> None:
    """Run decide once uncompiled: mistakes show with the author's own line."""
    state = PlainRecord(np.zeros(1, layout)[0])
    bar = PlainRecord(np.array([(0, 100.0, 101.0, 99.0, 100.0, 1.0)], PRICE_BAR)[0])
    try:
        decision = uncompiled(strategy.decide)(state, bar, PlainRecord(params[0]), 0.0)
    except Exception as error:  # noqa: BLE001  # whatever decide raises is the author's to see
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = lines[-1].lineno if lines else strategy.decide.__code__.co_firstlineno
        raise StrategyError(f"{file}:{line}: decide raised {type(error).__name__}: {error}") from None
    if not (isinstance(decision, tuple) and len(decision) == 6):
        line = strategy.decide.__code__.co_firstlineno
        raise StrategyError(f"{file}:{line}: decide returned {decision!r}; return buy(...), sell(...) or hold()")


def _warm(program: Program, file: Path) -> None:
    """Compile (or find in the cache) by deciding once on empty records."""
    empty = (np.zeros(1, ENGINE), program.new_state(), np.zeros(1, BAR), np.zeros(1, ACCOUNT))
    settings = np.zeros(1, SETTINGS)
    for name in ("price_numerator", "price_denominator", "size_numerator", "size_denominator", "unit_uyen"):
        settings[name] = 1
    try:
        program.step(*empty, program.params, settings, np.zeros(1, PRICE_BAR), np.zeros(1, DESIRED))
    except NumbaError as error:
        raise StrategyError(_explain(error, file)) from None


def _explain(error: NumbaError, file: Path) -> str:
    """Say a compiler error in one line with the author's line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = re.findall(rf'File "{re.escape(file.name)}|{re.escape(str(file))}[^,]*", line (\d+)', text)
    line = next((number for number in reversed(lines) if number), "1")
    cause = next((row.strip() for row in text.splitlines() if row.strip() and not row.startswith(("Failed", "During"))), "unsupported")
    return f"{file}:{line}: this cannot be compiled: {cause}; keep to numbers, if, for, and the functions of gmobot.core"

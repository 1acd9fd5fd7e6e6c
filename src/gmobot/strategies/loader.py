"""From a reference in a config file to a :class:`Program`, with errors that name the author's own line.

A reference is ``package.module:Class`` or ``path/to/file.py:Class``.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from gmobot.core.compiled import PlainRecord, compiled, plain_call, uncompiled
from gmobot.core.records import ACCOUNT, BAR, DESIRED, ENGINE, PRICE_BAR, SETTINGS
from gmobot.errors import StrategyError
from gmobot.strategies.cache import import_file, load_generated
from gmobot.strategies.check import check_source
from gmobot.strategies.declaration import Strategy, check_reasons, params_record, state_dtype
from gmobot.strategies.program import Program
from gmobot.strategies.sources import files_imported, fingerprint, is_authors, own_files, plain_function

_HEADER = '''"""Generated for one strategy: the decision core as one unit of machine code. Do not edit."""

from numba import njit

from gmobot.core.engine import conclude, observe
from gmobot.strategies.loader import compiled_decide

decide = compiled_decide({ref!r})
'''
_SPOT_TRIALS = 3
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
    where = _class_line(strategy, file)
    check_reasons(strategy, where)
    layout, declared = state_dtype(strategy, where), params_record(strategy, {}, where).dtype
    check_source(strategy.decide, [layout.names or (), PRICE_BAR.names or (), declared.names or ()])
    decide = plain_function(strategy.decide)
    assert decide is not None, "check_source has seen it"

    @functools.cache
    def build(name: str, body: str, sources: tuple[Path, ...]) -> ModuleType:
        text = _HEADER.format(ref=ref) + body
        paths = sorted({*sources, *(own for path in files_imported(text) for own in own_files(path))})
        key = fingerprint(decide, file, [text, *(path.read_text(encoding="utf-8") for path in paths)])
        return load_generated(name, text, key, cache_dir)

    step = build("step", _STEP, ()).step

    def bind(values: Mapping[str, float]) -> Program:
        record = params_record(strategy, values, where)
        return Program(
            ref=ref,
            name=strategy.__name__,
            params=record,
            user_reasons=tuple(strategy.reasons),
            warmup_bars=_warmup(strategy, record, file),
            source_hash=fingerprint(decide, file, [ref, _HEADER, _STEP]),
            state_dtype=layout,
            step=step if jit else plain_call(step),
            decide=strategy.decide,
            compiled=jit,
            build=build,
            bind=bind,
        )

    program = bind(params or {})
    _try_plain(program, file)
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
        raise StrategyError(f"{module.__file__}:1: no strategy {name!r} in it; it has: {', '.join(found) or 'none'}")
    file = Path(str(module.__file__))
    if strategy.decide is Strategy.decide:
        where = _class_line(strategy, file)
        raise StrategyError(f"{where}: {name} has no decide(state, bar, params, position); write one, marked @staticmethod")
    return strategy, file


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
        raise StrategyError(f"{_authors_line(error)}strategy {place}: {error}; is its folder on the Python path?") from None
    except SyntaxError as error:
        raise StrategyError(f"{error.filename}:{error.lineno}: {error.msg}") from None
    except StrategyError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever an author's file raises while it is imported is the author's to see
        raise StrategyError(f"{_authors_line(error)}{type(error).__name__}: {error}") from None


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise StrategyError(f"{path}: no such file")
    name = f"gmobot_user_{sha256(path.read_bytes() + str(path.resolve()).encode()).hexdigest()[:24]}"
    return sys.modules.get(name) or import_file(name, path)


def _authors_line(error: BaseException) -> str:
    """Return ``file:line: `` of the innermost frame in a file of the author's, or nothing."""
    machinery = {__file__, import_file.__code__.co_filename}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if frame.filename not in machinery and is_authors(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def _class_line(strategy: type[Strategy], file: Path) -> str:
    """Return ``file:line`` of the class statement."""
    found = re.search(rf"^\s*class {strategy.__name__}\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    line = file.read_text(encoding="utf-8").count("\n", 0, found.end()) + 1 if found else 1
    return f"{file}:{line}"


def _line_in(error: BaseException, file: Path, otherwise: int) -> int:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file) and frame.lineno]
    return lines[-1] if lines else otherwise


def _warmup(strategy: type[Strategy], params: np.ndarray, file: Path) -> int:
    line = strategy.warmup.__code__.co_firstlineno
    try:
        bars = strategy.warmup(PlainRecord(params[0]))
    except Exception as error:  # noqa: BLE001  # whatever warmup raises is the author's to see
        raise StrategyError(f"{file}:{_line_in(error, file, line)}: warmup raised {type(error).__name__}: {error}") from None
    if isinstance(bars, bool) or not isinstance(bars, int) or bars < 0:
        raise StrategyError(f"{file}:{line}: warmup returned {bars!r}; return a whole number of bars, 0 or more")
    return bars


def _try_plain(program: Program, file: Path) -> None:
    """Run decide a few times uncompiled, flat, long and short: mistakes show with the author's own line."""
    decide, state = uncompiled(program.decide), PlainRecord(program.new_state()[0])
    first = program.decide.__code__.co_firstlineno
    for number, position in enumerate((0.0, 0.0, 1.0, 0.0, -1.0, 0.0)):
        can_short = int(number > _SPOT_TRIALS)
        bar = PlainRecord(np.array([(number, 100.0, 101.0, 99.0, 100.0 + number, 1.0, can_short)], PRICE_BAR)[0])
        try:
            decision = decide(state, bar, PlainRecord(program.params[0]), position)
        except Exception as error:  # noqa: BLE001  # whatever decide raises is the author's to see
            raise StrategyError(f"{file}:{_line_in(error, file, first)}: decide raised {type(error).__name__}: {error}") from None
        if not (isinstance(decision, tuple) and len(decision) == 6):
            raise StrategyError(f"{file}:{first}: decide returned {decision!r}; return buy(...), sell(...) or hold()")


def _warm(program: Program, file: Path) -> None:
    """Compile (or find in the cache) by deciding once on empty records."""
    empty = (np.zeros(1, ENGINE), program.new_state(), np.zeros(1, BAR), np.zeros(1, ACCOUNT))
    settings = np.zeros(1, SETTINGS)
    first = program.decide.__code__.co_firstlineno
    for name in ("price_numerator", "price_denominator", "size_numerator", "size_denominator", "unit_uyen"):
        settings[name] = 1
    # A bar of zeros is no market: that a strategy divides by its price is not its fault.
    with suppress(ArithmeticError):
        try:
            program.step(*empty, program.params, settings, np.zeros(1, PRICE_BAR), np.zeros(1, DESIRED))
        except NumbaError as error:
            raise StrategyError(_explain(error, file, first)) from None
        except KeyError as error:
            # How Numba's typing takes a field that a nested record does not have.
            raise StrategyError(f"{file}:{first}: decide uses a field {error} that a record in it does not have") from None


def _explain(error: NumbaError, file: Path, first: int) -> str:
    """Say a compiler error in one line with the author's line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    place = re.search(rf'(?:File "[^"]*{re.escape(file.name)}", line | at \S*{re.escape(file.name)} \()(\d+)', text)
    text = re.sub(r"Record\([^)]*\)", "a record", text)
    skipped = ("Failed", "During", "File", "-", "^", "<source")
    causes = [row.strip() for row in text.splitlines() if row.strip() and not row.strip().startswith(skipped)]
    cause = " ".join(causes[: 2 if causes[0].endswith(":") else 1]).split(": %")[0] if causes else text
    line = place[1] if place else first
    return f"{file}:{line}: this cannot be compiled: {cause}; keep to numbers, if, for, and the functions of gmobot.core"

"""How an author declares a strategy: parameters with bounds, a state of indicators, one function.

::

    class Breakout(Strategy):
        class Params:
            period: int = param(20, low=2, high=200)

        class State:
            high = RollingMax.of(200)
            bars: int

        @staticmethod
        def decide(state, bar, params, position):
            ...
            return buy(0.8, BREAKOUT_LONG, stop=bar.low)

``decide`` sees one closed bar, its own state, its parameters and the position in coins: never an array
with a future in it. It is compiled; the same text runs uncompiled under a debugger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from gmobot.core.decision import Decision
from gmobot.core.indicators import Indicator, Windowed
from gmobot.core.reasons import BIT, MAX_USER_REASONS
from gmobot.core.records import Record
from gmobot.errors import StrategyError

_SCALARS = {int: "i8", float: "f8", bool: "i8"}


class Strategy:
    """Base of all strategies."""

    reasons: ClassVar[tuple[str, ...]] = ()
    """Reason codes of its own; ``core.reasons.user_bit(0)`` is the first."""

    class Params:
        """Parameters, each declared with :func:`param`."""

    class State:
        """What is remembered between bars."""

    @staticmethod
    def decide(state: Record, bar: Record, params: Record, position: float) -> Decision:
        """Decide on one closed bar; return ``buy(...)``, ``sell(...)`` or ``hold()``."""
        raise NotImplementedError

    @staticmethod
    def warmup(params: Record) -> int:
        """Return how many bars must pass before a position may open."""
        del params
        return 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter's default and bounds."""

    default: float
    low: float | None
    high: float | None


def param(default: float, *, low: float | None = None, high: float | None = None) -> Any:  # noqa: ANN401
    """Declare a parameter; values outside ``low`` to ``high`` are refused."""
    return Parameter(default, low, high)


def state_dtype(strategy: type[Strategy], where: str) -> np.dtype[Any]:
    """Return the record layout of a strategy's state.

    Raises:
        StrategyError: A field is neither a number nor an indicator.
    """
    fields: dict[str, Any] = {}
    for name, hint in _hints(strategy.State, where).items():
        if isinstance(hint, type) and issubclass(hint, Indicator):
            fields[name] = hint.dtype
        elif hint in _SCALARS:
            fields[name] = _SCALARS[hint]
        else:
            raise StrategyError(
                f"{where}: State.{name} must be int, float, bool or an indicator such as Ema; windows are `{name} = Sma.of(200)`"
            )
    for name, value in _members(strategy.State):
        if isinstance(value, Windowed):
            fields[name] = value.dtype
        elif name in fields:
            raise StrategyError(f"{where}: State.{name} starts at 0 and takes no other value; test for the first bar in decide")
        elif isinstance(value, type) and issubclass(value, Windowed):
            raise StrategyError(f"{where}: State.{name} needs its longest window: `{name} = {value.__name__}.of(200)`")
        elif isinstance(value, int | float) or (isinstance(value, type) and issubclass(value, Indicator)):
            raise StrategyError(f"{where}: State.{name} is declared by its type: `{name}: Ema` or `{name}: float`")
    return np.dtype(list(fields.items()) or [("unused", "i8")], align=True)


def params_record(strategy: type[Strategy], given: Mapping[str, float], where: str) -> NDArray[Any]:
    """Return the one-element parameter record.

    Raises:
        StrategyError: An unknown name, a wrong type, or a value out of bounds.
    """
    hints = _hints(strategy.Params, where)
    declared = {name: value for name, value in _members(strategy.Params) if isinstance(value, Parameter)}
    forgotten = sorted(set(hints) - set(declared))
    if forgotten:
        raise StrategyError(
            f"{where}: Params.{forgotten[0]} needs a default and bounds: `{forgotten[0]}: int = param(20, low=2, high=200)`"
        )
    unknown = sorted(set(given) - set(declared))
    if unknown:
        known = ", ".join(declared) or "none"
        raise StrategyError(f"{where}: {strategy.__name__} has no parameter {unknown[0]!r}; it has: {known}")
    values = {name: given.get(name, parameter.default) for name, parameter in declared.items()}
    for name, parameter in declared.items():
        _check(f"{where}: {strategy.__name__}.{name}", values[name], parameter, hints.get(name, float))
    layout = [(name, _SCALARS.get(hints.get(name, float), "f8")) for name in declared] or [("unused", "i8")]
    record = np.zeros(1, np.dtype(layout, align=True))
    for name, value in values.items():
        record[name] = value
    return record


def check_reasons(strategy: type[Strategy], where: str) -> None:
    """Refuse reason codes that cannot be told apart.

    Raises:
        StrategyError: There are too many, or one is taken.
    """
    own: object = strategy.reasons
    if not isinstance(own, tuple) or len(own) > MAX_USER_REASONS:
        raise StrategyError(
            f'{where}: {strategy.__name__}.reasons is a tuple of at most {MAX_USER_REASONS} names: reasons = ("my_reason",)'
        )
    for name in own:
        if name in BIT or own.count(name) > 1:
            raise StrategyError(f"{where}: the reason {name!r} exists already; choose another name")


def _members(declared: type) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a class and its bases, the bases' first."""
    found: dict[str, Any] = {}
    for level in reversed(declared.__mro__[:-1]):
        found.update({name: value for name, value in vars(level).items() if not name.startswith("__")})
    yield from found.items()


def _hints(declared: type, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(declared)
    except (NameError, TypeError) as error:
        example = "windows are `name = Sma.of(200)`, everything else is `name: Ema`, imported from gmobot.core.indicators"
        raise StrategyError(f"{where}: {declared.__qualname__} cannot be read ({error}); {example}") from None


def _check(where: str, value: object, parameter: Parameter, kind: type) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise StrategyError(f"{where} must be a number, not {value!r}")
    if kind is int and (isinstance(value, bool) or int(value) != value):
        raise StrategyError(f"{where} must be a whole number, not {value!r}")
    if kind is bool and value not in {0, 1}:
        raise StrategyError(f"{where} must be true or false, not {value!r}")
    if parameter.low is not None and value < parameter.low:
        raise StrategyError(f"{where} is {value!r}; the smallest allowed is {parameter.low}")
    if parameter.high is not None and value > parameter.high:
        raise StrategyError(f"{where} is {value!r}; the largest allowed is {parameter.high}")

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

from dataclasses import dataclass
from typing import Any, ClassVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from gmobot.core.indicators import Indicator, Windowed
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
    def decide(state: Any, bar: Any, params: Any, position: float) -> Any:  # noqa: ANN401
        """Decide on one closed bar; return ``buy(...)``, ``sell(...)`` or ``hold()``."""
        raise NotImplementedError

    @staticmethod
    def warmup(params: Any) -> int:  # noqa: ANN401
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
    fields: list[tuple[str, Any]] = []
    for name, hint in get_type_hints(strategy.State).items():
        if isinstance(hint, type) and issubclass(hint, Indicator):
            fields.append((name, hint.dtype))
        elif hint in _SCALARS:
            fields.append((name, _SCALARS[hint]))
        else:
            raise StrategyError(
                f"{where}: State.{name} must be int, float, bool or an indicator such as Ema; windows are `{name} = Sma.of(200)`"
            )
    for name, value in vars(strategy.State).items():
        if isinstance(value, Windowed):
            fields.append((name, value.dtype))
    return np.dtype(fields or [("unused", "i8")], align=True)


def params_record(strategy: type[Strategy], given: dict[str, float], where: str) -> NDArray[Any]:
    """Return the one-element parameter record.

    Raises:
        StrategyError: An unknown name, a wrong type, or a value out of bounds.
    """
    declared = {name: value for name, value in vars(strategy.Params).items() if isinstance(value, Parameter)}
    hints = get_type_hints(strategy.Params)
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


def _check(where: str, value: float, parameter: Parameter, kind: type) -> None:
    if kind is int and (isinstance(value, bool) or int(value) != value):
        raise StrategyError(f"{where} must be a whole number, not {value!r}")
    if parameter.low is not None and value < parameter.low:
        raise StrategyError(f"{where} is {value!r}; the smallest allowed is {parameter.low}")
    if parameter.high is not None and value > parameter.high:
        raise StrategyError(f"{where} is {value!r}; the largest allowed is {parameter.high}")

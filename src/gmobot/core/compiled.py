"""Compiled and uncompiled, from one source.

:func:`compiled` marks a function for Numba. It is compiled as part of whoever calls it from a generated
module, which is where the cache lives; here nothing is cached, because Numba's cache does not notice
when a function that a cached one calls has changed in another file.

:func:`uncompiled` gives the same function, and everything it calls, as plain Python: for breakpoints, for
coverage, for the parity tests, and for the daemon's rare calls that are not worth a compilation. Both
forms live in one process, because neither is chosen by a switch at import time.

They agree bit for bit on + - x / // %, comparisons, ``min``, ``max``, ``abs``, and ``math.sqrt/exp/log/floor/ceil`` of
finite arguments in their domain. Outside it (the root of a negative number, ``int`` of an infinite one)
Python raises where machine code goes on with a NaN or garbage: the core tests before it converts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

# ruff: noqa: ANN401

F = TypeVar("F", bound=Callable[..., Any])
_plain: dict[FunctionType, FunctionType] = {}


def compiled(function: F) -> F:
    """Mark a function as part of the compiled core."""
    return cast("F", njit(nogil=True, forceinline=True)(function))


def global_names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function and what is nested in it look up outside itself."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from global_names(constant)


def uncompiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the plain Python form of a function, with all compiled functions it calls made plain too."""
    source = function.py_func if isinstance(function, Dispatcher) else function
    if not isinstance(source, FunctionType):
        return function
    if source not in _plain:
        namespace = dict(source.__globals__)
        plain = FunctionType(source.__code__, namespace, source.__name__, source.__defaults__, source.__closure__)
        plain.__kwdefaults__ = source.__kwdefaults__
        _plain[source] = plain
        names = set(global_names(source.__code__))
        for name in names:
            value = namespace.get(name)
            if isinstance(value, Dispatcher):
                namespace[name] = uncompiled(value)
            elif isinstance(value, ModuleType):
                namespace[name] = _plain_module(value, names)
    return _plain[source]


def _plain_module(module: ModuleType, names: set[str]) -> Any:
    """Return a module whose compiled functions among ``names`` are plain."""
    found = {name: uncompiled(getattr(module, name)) for name in names if isinstance(getattr(module, name, None), Dispatcher)}
    return SimpleNamespace(**(vars(module) | found)) if found else module


class PlainRecord:
    """A record as compiled code sees it: fields by attribute, whatever they are called.

    NumPy's own ``recarray`` hides fields named like its attributes (``size``, ``flags``, ``mean``). Numbers
    come out as Python's own: NumPy's scalars warn and go on where compiled code raises, on a division by zero.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: np.void) -> None:
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str) -> Any:
        try:
            value = self._fields[name]
        except ValueError:
            raise AttributeError(name) from None
        if isinstance(value, np.void):
            return PlainRecord(value)
        return value.data if isinstance(value, np.ndarray) else value.item()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in (self._fields.dtype.names or ()):
            raise AttributeError(name)
        self._fields[name] = value


@cache
def _numbers_class(names: tuple[str, ...]) -> type[Any]:
    return type("Numbers", (), {"__slots__": names})


def numbers(record: np.void) -> Any:
    """Return a copy of a flat record as Python's own numbers: several times as quick to work on as the record itself."""
    names = record.dtype.names or ()
    copy = _numbers_class(names)()
    for name, value in zip(names, record.item(), strict=True):
        setattr(copy, name, value)
    return copy


class PlainRecords:
    """A structured array as compiled code sees it."""

    __slots__ = ("_records",)

    def __init__(self, records: NDArray[Any]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, position: int) -> PlainRecord:
        return PlainRecord(self._records[position])


def plain_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the plain form of a function of structured arrays."""
    plain = uncompiled(function)

    def call(*arguments: Any) -> Any:
        return plain(*(PlainRecords(a) if isinstance(a, np.ndarray) and a.dtype.names else a for a in arguments))

    return call

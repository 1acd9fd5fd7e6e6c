"""Compiled and uncompiled, from one source.

:func:`compiled` marks a function for Numba. It is compiled as part of whoever calls it from a generated
module, which is where the cache lives; here nothing is cached, because Numba's cache does not notice
when a function that a cached one calls has changed in another file.

:func:`uncompiled` gives the same function, and everything it calls, as plain Python: for breakpoints, for
coverage, for the parity tests, and for the daemon's rare calls that are not worth a compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

# ruff: noqa: ANN401

F = TypeVar("F", bound=Callable[..., Any])
_plain: dict[FunctionType, FunctionType] = {}


def compiled(function: F) -> F:
    """Mark a function as part of the compiled core."""
    return njit(nogil=True)(function)  # type: ignore[no-any-return]


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
        for name in source.__code__.co_names:
            value = namespace.get(name)
            if isinstance(value, Dispatcher):
                namespace[name] = uncompiled(value)
    return _plain[source]


class PlainRecord:
    """A record as compiled code sees it: fields by attribute, whatever they are called.

    NumPy's own ``recarray`` hides fields named like its attributes (``size``, ``flags``, ``mean``).
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: np.void) -> None:
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str) -> Any:
        try:
            value = self._fields[name]
        except ValueError:
            raise AttributeError(name) from None
        return PlainRecord(value) if isinstance(value, np.void) else value

    def __setattr__(self, name: str, value: Any) -> None:
        self._fields[name] = value


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

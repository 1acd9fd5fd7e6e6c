"""A loaded strategy, ready to run: its records, its compiled step, and one symbol's running core."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gmobot.core.compiled import plain_call
from gmobot.core.reasons import names
from gmobot.core.records import DESIRED, ENGINE, PRICE_BAR
from gmobot.core.settings import Settings

Record = NDArray[Any]
"""A one-element structured array."""
LAYOUT_BYTES = 64
"""What stands before the records in :meth:`DecisionCore.dump`: fingerprints of their layouts."""
_PLAN = (
    "closed_trades",
    "cooldown",
    "target",
    "stop",
    "take_profit",
    "max_holding_bars",
    "held_bars",
    "leaving",
    "flipping",
    "former_stop",
)
_IN_BARS = ("cooldown", "max_holding_bars", "held_bars")
"""What of the plan counts bars."""
_MOST_BARS = 2**62


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A DESIRED record for Python: lots, ticks, names."""

    target: int
    stop: int
    take_profit: int
    max_holding_bars: int
    action: int
    confidence: float
    reasons: int
    reason_names: tuple[str, ...]
    risk_status: int

    def to_dict(self) -> dict[str, Any]:
        """Return it for the journal; the float survives as its exact hexadecimal form."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__ if name != "reason_names"}
        return plain | {"confidence": float(self.confidence).hex()}


@dataclass(frozen=True, slots=True)
class Program:
    """A strategy bound to its parameters.

    Attributes:
        ref: Where it was loaded from.
        source_hash: Fingerprint of every source that shapes a decision.
        warmup_bars: Bars that must pass before a position may open.
        step: ``step(engine, state, bar, account, params, settings, shown, desired)`` over one-element arrays.
        compiled: Whether ``step`` is machine code.
        build: What :meth:`compile_loop` uses: file name, text and further source files to a module.
        bind: Makes the same program with other parameters, without compiling anything.
    """

    ref: str
    name: str
    params: Record
    user_reasons: tuple[str, ...]
    warmup_bars: int
    source_hash: str
    state_dtype: np.dtype[Any]
    step: Callable[..., None]
    decide: Callable[..., Any]
    compiled: bool
    build: Callable[[str, str, tuple[Path, ...]], ModuleType] = field(repr=False)
    bind: Callable[[Mapping[str, float]], Program] = field(repr=False)

    def new_state(self) -> Record:
        """Return an empty strategy state."""
        return np.zeros(1, self.state_dtype)

    def state_key(self, bar_seconds: int) -> str:
        """Return a fingerprint of everything that gives remembered numbers their meaning: code, parameters, length of a bar in seconds.

        What other parameters have summed up is no mean of these, and may never become one.
        """
        text = f"{self.source_hash} {bar_seconds} ".encode()
        return hashlib.sha256(text + self.params.tobytes()).hexdigest()

    def settings_record(self, settings: Settings) -> Record:
        """Return the SETTINGS record for this program: the strategy's warm-up holds even where nobody set it."""
        record = settings.record()
        record["warmup_bars"] = max(settings.warmup_bars, self.warmup_bars)
        return record

    def compile_loop(self, name: str, source: str, extra_sources: tuple[Path, ...] = ()) -> Callable[..., Any]:
        """Return a compiled function that has this strategy inside, cached like :attr:`step` and as safe from going stale.

        ``source`` is the text of a module that defines the function ``name``. It starts below these names::

            njit      numba's; decorate with @njit(cache=True, nogil=True)
            observe   observe(engine, bar, settings, shown)
            decide    decide(state, shown, params, position) -> decision
            conclude  conclude(engine, bar, account, settings, decision, desired)

        all of single records, to be called in this order once per bar, ``position`` being
        ``account.position * settings.size_numerator / settings.size_denominator``. Whatever else it needs it
        imports at its top, functions of ours marked :func:`gmobot.core.compiled.compiled`. What those imports
        reach is part of the cache's fingerprint. A program loaded with ``jit=False`` gets the function uncompiled.

        Args:
            name: Of the function, and of the generated file.
            source: Module text.
            extra_sources: Files that shape the function without being imported by it.
        """
        function: Callable[..., Any] = getattr(self.build(name, source, extra_sources), name)
        return function if self.compiled else plain_call(function)


class StateMismatchError(ValueError):
    """Stored state that was made by other code or another layout."""


class DecisionCore:
    """One symbol's running core: the program and everything it remembers."""

    def __init__(self, program: Program, settings: Settings | Record) -> None:
        """Make a core that remembers nothing.

        Args:
            program: What decides.
            settings: What the engine is told once; a one-element SETTINGS array is taken as it is.
        """
        self.program = program
        self.settings_record = program.settings_record(settings) if isinstance(settings, Settings) else settings
        self._engine = np.zeros(1, ENGINE)
        self._state = program.new_state()
        self._shown = np.zeros(1, PRICE_BAR)
        self._desired = np.zeros(1, DESIRED)
        # Spelling out a layout takes longer than a decision, and it does not change.
        text = f"{program.source_hash} {program.state_dtype}"
        self._layout = hashlib.sha256(text.encode()).digest() + _engine_layout()

    def step(self, bar: Record, account: Record) -> Desired:
        """Decide on one closed bar.

        Args:
            bar: A one-element BAR array.
            account: A one-element ACCOUNT array.
        """
        program = self.program
        program.step(self._engine, self._state, bar, account, program.params, self.settings_record, self._shown, self._desired)
        target, stop, take_profit, holding, action, confidence, reasons, status = self._desired[0].item()
        return Desired(
            target=target,
            stop=stop,
            take_profit=take_profit,
            max_holding_bars=holding,
            action=action,
            confidence=confidence,
            reasons=reasons,
            reason_names=_names(reasons, program.user_reasons),
            risk_status=status,
        )

    def dump(self) -> bytes:
        """Return everything remembered, for the database."""
        return self._layout + self._engine.tobytes() + self._state.tobytes()

    def digest(self) -> str:
        """Return a fingerprint of everything remembered, 16 hex digits."""
        return hashlib.blake2b(self._engine.tobytes() + self._state.tobytes(), digest_size=8).hexdigest()

    def settings(self) -> dict[str, Any]:
        """Return what the engine was told once, by field."""
        return plain(self.settings_record)

    def remembered(self) -> dict[str, Any]:
        """Return what the strategy remembers, by field: indicators by their own fields, long windows left out."""
        return plain(self._state)

    def load(self, stored: bytes) -> None:
        """Continue from :meth:`dump`.

        Raises:
            StateMismatchError: It was written by other code; see :meth:`load_plan`.
        """
        engine_end = LAYOUT_BYTES + ENGINE.itemsize
        if stored[:LAYOUT_BYTES] != self._layout or len(stored) != engine_end + self.program.state_dtype.itemsize:
            raise StateMismatchError(f"the stored state does not belong to this version of {self.program.name}")
        self._engine = np.frombuffer(stored[LAYOUT_BYTES:engine_end], ENGINE).copy()
        self._state = np.frombuffer(stored[engine_end:], self.program.state_dtype).copy()

    def load_plan(self, stored: bytes, *, former_bar: Fraction = Fraction(1)) -> None:
        """Take over the plan of an open position from :meth:`dump`, when the strategy, its parameters or its bars have changed.

        Stop, target, holding time and cool-down go on; the strategy's own state starts anew and warms up, on bars that
        carry ``BAR_PAST`` as far as the plan has seen them.

        Args:
            stored: What :meth:`dump` gave.
            former_bar: Length of a bar of then in bars of now: holding time and cool-down stay as long as they were, begun bars whole.

        Raises:
            StateMismatchError: The engine itself remembers other things now.
        """
        engine_end = LAYOUT_BYTES + ENGINE.itemsize
        if stored[32:LAYOUT_BYTES] != _engine_layout() or len(stored) < engine_end:
            raise StateMismatchError("the stored plan was written by another version of the engine")
        former = np.frombuffer(stored[LAYOUT_BYTES:engine_end], ENGINE)
        for name in _PLAN:
            self._engine[name] = former[name]
        for name in _IN_BARS:
            self._engine[name] = min(math.ceil(int(former[name][0]) * former_bar), _MOST_BARS)


def plain(record: Record) -> dict[str, Any]:
    """Return a one-element array as numbers by name, nested fields joined by dots; JSON gives them back exactly."""
    found: dict[str, Any] = {}
    for name in record.dtype.names or ():
        value = record[name]
        if value.dtype.names:
            found |= {f"{name}.{inner}": number for inner, number in plain(value).items()}
        elif value.ndim == 1:
            found[name] = value[0].item()
    return found


@lru_cache(maxsize=1)
def _engine_layout() -> bytes:
    return hashlib.sha256(str(ENGINE.descr).encode()).digest()


@lru_cache(maxsize=4096)
def _names(reasons: int, user: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(names(reasons, user))

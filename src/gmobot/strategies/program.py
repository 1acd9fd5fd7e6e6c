"""A loaded strategy, ready to run: its records, its compiled step, and one symbol's running core."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gmobot.core.reasons import names
from gmobot.core.records import DESIRED, ENGINE, PRICE_BAR
from gmobot.core.settings import Settings

Record = NDArray[Any]


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
        step: ``step(engine, state, bar, account, params, settings, shown, desired)`` over one-element arrays.
        compiled: Whether ``step`` is machine code.
        build: Makes a further generated module with ``step``'s parts in scope, cached like it.
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

    def new_state(self) -> Record:
        """Return an empty strategy state."""
        return np.zeros(1, self.state_dtype)


class StateMismatchError(ValueError):
    """Stored state that was made by other code or another layout."""


class DecisionCore:
    """One symbol's running core: the program and everything it remembers."""

    def __init__(self, program: Program, settings: Settings) -> None:
        self.program = program
        self._settings = settings.record()
        self._engine = np.zeros(1, ENGINE)
        self._state = program.new_state()
        self._shown = np.zeros(1, PRICE_BAR)
        self._desired = np.zeros(1, DESIRED)

    def step(self, bar: Record, account: Record) -> Desired:
        """Decide on one closed bar.

        Args:
            bar: A one-element BAR array.
            account: A one-element ACCOUNT array.
        """
        program = self.program
        program.step(self._engine, self._state, bar, account, program.params, self._settings, self._shown, self._desired)
        target, stop, take_profit, holding, action, confidence, reasons, status = self._desired[0].item()
        return Desired(
            target=target,
            stop=stop,
            take_profit=take_profit,
            max_holding_bars=holding,
            action=action,
            confidence=confidence,
            reasons=reasons,
            reason_names=tuple(names(reasons, program.user_reasons)),
            risk_status=status,
        )

    def dump(self) -> bytes:
        """Return everything remembered, for the database."""
        body = self._engine.tobytes() + self._state.tobytes()
        return self._layout() + body

    def load(self, stored: bytes) -> None:
        """Continue from :meth:`dump`.

        Raises:
            StateMismatchError: It was written by other code.
        """
        layout, engine_end = self._layout(), 32 + ENGINE.itemsize
        if stored[:32] != layout or len(stored) != engine_end + self.program.state_dtype.itemsize:
            raise StateMismatchError(f"the stored state does not belong to this version of {self.program.name}")
        self._engine = np.frombuffer(stored[32:engine_end], ENGINE).copy()
        self._state = np.frombuffer(stored[engine_end:], self.program.state_dtype).copy()

    def _layout(self) -> bytes:
        text = f"{self.program.source_hash} {ENGINE.descr} {self.program.state_dtype}"
        return hashlib.sha256(text.encode()).digest()

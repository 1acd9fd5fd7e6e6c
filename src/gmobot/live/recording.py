"""What the journal keeps of a symbol's decision core: enough to feed it the same bars again, and to see whether it is the same.

A ``start`` row before the first bar of a run and of each day, then a ``bar`` row per bar. Numbers are plain JSON:
Python writes a float so that it reads back the same.
"""

from __future__ import annotations

import base64
import json
import platform
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gmobot import __version__
from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR_LATE
from gmobot.strategies.cache import target
from gmobot.strategies.program import DecisionCore, Desired, plain

Record = NDArray[Any]


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shapes decisions besides bars and account, and where the core stood.

    Attributes:
        strategy: Where the program was loaded from.
        program: Fingerprint of its sources.
        params: The strategy's own numbers.
        reasons: Reason codes of its own.
        settings: What the engine is told once.
        core: Everything it remembered, as :meth:`DecisionCore.dump` gives it, base64.
        tick_size: Of the symbol, in yen.
        size_step: Of the symbol, in coins.
        versions: Of gmobot and of what compiles and computes.
        machine: The processor that machine code was made for.
    """

    strategy: str
    program: str
    params: dict[str, float]
    reasons: tuple[str, ...]
    settings: dict[str, float]
    core: str
    tick_size: str
    size_step: str
    versions: dict[str, str]
    machine: str

    def remembered(self) -> bytes:
        """Return where the core stood."""
        return base64.b64decode(self.core)


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One bar, the account at its close, and what was decided.

    Attributes:
        core: Fingerprint of what the core remembered afterwards.
        state: What the strategy remembered then, by field; while nothing is held or wanted it is not kept.
    """

    bar: dict[str, int]
    account: dict[str, int]
    desired: dict[str, int | str]
    core: str
    state: dict[str, float] = {}


def start(core: DecisionCore, instrument: Instrument) -> str:
    """Return the ``start`` row of a core as it stands."""
    program = core.program
    row = Start(
        strategy=program.ref,
        program=program.source_hash,
        params=plain(program.params),
        reasons=program.user_reasons,
        settings=core.settings(),
        core=base64.b64encode(core.dump()).decode(),
        tick_size=str(instrument.tick_size),
        size_step=str(instrument.size_step),
        versions=_versions(),
        machine=machine(),
    )
    return json.dumps(msgspec.to_builtins(row))


def bar(core: DecisionCore, bar: Record, account: Record, desired: Desired) -> str:
    """Return the ``bar`` row of a decision that has just been made."""
    row: dict[str, Any] = {"bar": plain(bar), "account": plain(account), "desired": desired.to_dict(), "core": core.digest()}
    matters = desired.target or desired.action or int(account["position"][0])
    if matters and not int(bar["flags"][0]) & BAR_LATE:
        row["state"] = core.remembered()
    return json.dumps(row)


def record_of(numbers: dict[str, Any], layout: np.dtype[Any]) -> Record:
    """Return a one-element array from numbers by name.

    Raises:
        ValueError: They belong to another layout.
    """
    if set(numbers) != set(layout.names or ()):
        raise ValueError(f"its fields differ: {', '.join(sorted(set(numbers) ^ set(layout.names or ())))}")
    record = np.zeros(1, layout)
    for name, number in numbers.items():
        record[name] = number
    return record


@lru_cache(maxsize=1)
def machine() -> str:
    """Name the processor that machine code is made for."""
    return f"{platform.machine()} {target()}"


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("numpy", "numba", "llvmlite")}
    return {"gmobot": __version__, "python": platform.python_version(), **found}

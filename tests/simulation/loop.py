"""An event loop whose time is virtual: it never waits, it jumps; and a seeded order of what is ready."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from typing import Any

from gmobot.clock import NS_PER_SECOND

EPOCH_NS = 1_767_225_600 * NS_PER_SECOND
"""Where simulated time begins: 2026-01-01T00:00:00Z."""


class DeadlockError(RuntimeError):
    """Nothing is scheduled any more."""


class _JumpSelector(selectors.SelectSelector):
    """Never waits: hands the wanted time-out to the loop's own clock."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("nothing is scheduled")
        if timeout > 0:
            self._advance(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time. With a seed, callbacks that are ready together run in a shuffled order."""

    def __init__(self, seed: int | None = None) -> None:
        self._virtual = 0.0
        self._shuffle = random.Random(seed) if seed is not None else None
        self.steps = 0
        self.on_step: Callable[[], None] | None = None
        super().__init__(_JumpSelector(self._advance))

    def time(self) -> float:
        return self._virtual

    def _advance(self, seconds: float) -> None:
        self._virtual += seconds

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if self._shuffle is not None and len(ready) > 1:
            # Tasks that become ready in the same moment may run in any order in production, too.
            mixed = list(ready)
            self._shuffle.shuffle(mixed)
            ready.clear()
            ready.extend(mixed)
        self.steps += 1
        super()._run_once()  # type: ignore[misc]
        if self.on_step is not None:
            self.on_step()


class VirtualClock:
    """The clock that reads a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return EPOCH_NS + round(self._loop.time() * NS_PER_SECOND)

    def monotonic(self) -> float:
        return self._loop.time()

"""An event loop whose time is virtual: it never waits, it jumps; and a seeded order of what is ready."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any

from gmobot.clock import NS_PER_SECOND

EPOCH_NS = 1_767_225_600 * NS_PER_SECOND
"""Where simulated time begins, if a plan does not say otherwise: 2026-01-01T00:00:00Z."""


class DeadlockError(RuntimeError):
    """Nothing is scheduled any more."""


class _NoSelector(selectors.SelectSelector):
    """Nothing outside is ever waited for."""

    def select(self, timeout: float | None = None) -> list[Any]:
        return []


class _NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set is its number's, and not its address': a group cancels its tasks in the order of a set."""

    def __init__(self, number: int, coroutine: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time. With a seed, callbacks that are ready together run in a shuffled order.

    Attributes:
        epoch_ns: What the clocks of the world read when the loop's time is zero.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._virtual = 0.0
        self.epoch_ns = EPOCH_NS
        self._shuffle = random.Random(seed).shuffle if seed is not None else None
        self.steps = 0
        self.on_step: Callable[[], None] | None = None
        super().__init__(_NoSelector())
        numbers = itertools.count()
        self.set_task_factory(lambda loop, coroutine: _NumberedTask(next(numbers), coroutine, loop))

    def time(self) -> float:
        return self._virtual

    def close(self) -> None:
        """End what still runs, then close: a task that is left behind is told of by the garbage collector, in whatever runs then."""
        if not self.is_closed():
            self.on_step = None
            pending = asyncio.all_tasks(self)
            for task in pending:
                task.cancel()
            if pending:
                self.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        super().close()

    def _run_once(self) -> None:
        """Do what the library's loop does in one turn, except that time jumps to what is due next."""
        ready = self._ready  # type: ignore[attr-defined]
        self._take_due(ready)
        if self._shuffle is not None and len(ready) > 1:
            # Tasks that become ready in the same moment may run in any order in production, too.
            mixed = list(ready)
            self._shuffle(mixed)
            ready.clear()
            ready.extend(mixed)
        self.steps += 1
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        if self.on_step is not None:
            self.on_step()

    def _take_due(self, ready: deque[asyncio.Handle]) -> None:
        """Move timers that are due to what is ready; if nothing is, time jumps to the next of them."""
        timers = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0]._cancelled:
            self._forget(timers)
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise DeadlockError("nothing is scheduled")
            self._virtual = max(self._virtual, timers[0]._when)
        while timers and timers[0]._when <= self._virtual:
            timer = self._forget(timers)
            if not timer._cancelled:
                ready.append(timer)

    def _forget(self, timers: list[Any]) -> asyncio.TimerHandle:
        timer: asyncio.TimerHandle = heapq.heappop(timers)
        timer._scheduled = False  # type: ignore[attr-defined]
        if timer._cancelled:
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        return timer


class VirtualClock:
    """The clock that reads a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return self._loop.epoch_ns + round(self._loop.time() * NS_PER_SECOND)

    def monotonic(self) -> float:
        return self._loop.time()

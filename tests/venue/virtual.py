"""A loop whose time jumps to the next thing due, and a clock that reads it: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gmobot.clock import NS_PER_SECOND

T = TypeVar("T")
_MOST_TURNS = 3_000
START_NS = 1_767_225_600 * NS_PER_SECOND


class _Selector(selectors.DefaultSelector):
    """Waits by moving the loop's time instead."""

    loop: VirtualLoop

    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and nothing will ever happen")
        self.turns = 0 if timeout > 0 else self.turns + 1
        if self.turns > _MOST_TURNS:
            raise RuntimeError("somebody runs in circles: time does not move")
        self.loop.seconds += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.seconds = 1_000.0
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds


class VirtualClock:
    """The clock of the running virtual loop; ``skew_ns`` sets it wrong."""

    def __init__(self, skew_ns: int = 0) -> None:
        self.skew_ns = skew_ns

    def now_ns(self) -> int:
        return START_NS + self.skew_ns + round((self.monotonic() - 1_000.0) * NS_PER_SECOND)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop, in debug mode but for slow callbacks: there a jump would count as slow."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


async def until(condition: Callable[[], bool], *, every: float = 0.05) -> None:
    """Wait until something holds."""
    while not condition():  # what is waited for has no event of its own
        await asyncio.sleep(every)

"""Where blocking work runs: a thread with a queue in production, inline under a virtual clock.

The house has exactly two such threads, one that writes the database and one that decides, and one more for each
channel to people. None may be a pool: the database has one writer, and a strategy's state belongs to one thread.
Threads are daemonic because what hangs on one must not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Worker(Protocol):
    """Runs calls one after another, in the order they were handed in."""

    async def run(self, call: Callable[[], T]) -> T:
        """Run ``call`` and return or raise what it does. Cancelling the wait does not stop the call."""
        ...

    def close(self) -> None:
        """Let the calls already handed in finish, take no more."""
        ...


class InlineWorker:
    """Runs calls on the spot: deterministic, for simulation."""

    async def run(self, call: Callable[[], T]) -> T:
        return call()

    def close(self) -> None:
        return


class ThreadWorker:
    """Runs calls on one daemonic thread."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # handed over to the awaiting task, not swallowed
                _hand_over(loop, future, error=error)
            else:
                _hand_over(loop, future, result=result)

        self._calls.put(work)
        return await future

    def close(self, *, wait_seconds: float = 5.0) -> None:
        self._calls.put(None)
        self._thread.join(timeout=wait_seconds)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[T],
    *,
    result: T | None = None,
    error: BaseException | None = None,
) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only when T is None

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)

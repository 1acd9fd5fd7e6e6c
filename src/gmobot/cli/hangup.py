"""SIGHUP ends a process that does not handle it: here it never does, and one that comes early is not lost.

The handler is Python's own and not the loop's: the loop's would be gone, and SIGHUP deadly again, from the
moment the loop is closed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

_waiting: list[int] = []


def put_off() -> None:
    """Keep SIGHUP waiting: the start has just begun."""
    signal.signal(signal.SIGHUP, lambda number, _: _waiting.append(number))


def hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[], None]) -> None:
    """Call ``take`` on the loop at every SIGHUP from now on, and once for those that waited."""
    signal.signal(signal.SIGHUP, lambda _, __: loop.call_soon_threadsafe(take))
    if _waiting:
        _waiting.clear()
        take()


def ignore() -> None:
    """The run is over: nobody takes SIGHUP any more."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

"""Numbers that were seen, as many of the latest as anybody may still ask for.

The exchange tells of a day at most; a hundred thousand orders or fills a day are beyond its rate limits. So what
is forgotten cannot come up again, and a daemon that runs for years does not grow. Should it come up all the same, the
database's own keys refuse to book it twice.
"""

from __future__ import annotations

from collections.abc import Iterable

MOST = 200_000


class Recent:
    """A set of numbers that lets go of the one added first when it is full."""

    def __init__(self, numbers: Iterable[int] = (), *, most: int = MOST) -> None:
        self._numbers = dict.fromkeys(numbers)
        self._most = most
        self._fit()

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int) -> None:
        """Take note of a number."""
        self._numbers[number] = None
        self._fit()

    def discard(self, number: int) -> None:
        """Forget a number."""
        self._numbers.pop(number, None)

    def _fit(self) -> None:
        while len(self._numbers) > self._most:
            del self._numbers[next(iter(self._numbers))]

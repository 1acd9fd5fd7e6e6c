"""Tokens of the private stream: sixty minutes each if not told otherwise, five an account, the oldest goes first.

Source: reference/gmo-coin-api.md §8.1.
"""

from __future__ import annotations

import random

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.emulator.engine.exchange import Refusal
from gmobot.emulator.engine.records import Account

SECONDS = 3_600.0
"""How long a token lives."""
_MOST = 5


class Tokens:
    """Who may open which private stream."""

    def __init__(self, clock: Clock, *, seed: int, seconds: float = SECONDS) -> None:
        self._clock = clock
        self._life_ns = int(seconds * NS_PER_SECOND)
        self._random = random.Random(f"tokens:{seed}")  # seeded: a run can be repeated
        self._valid: dict[str, tuple[Account, int]] = {}

    def create(self, account: Account) -> str:
        """Issue a token."""
        mine = sorted((until, token) for token, (owner, until) in self._valid.items() if owner is account)
        for _, token in mine[: max(0, len(mine) - _MOST + 1)]:
            del self._valid[token]
        token = f"{self._random.getrandbits(120):030x}"
        self._valid[token] = (account, self._clock.now_ns() + self._life_ns)
        return token

    def extend(self, account: Account, token: str) -> None:
        """Let a token live from now on as long as a new one.

        Raises:
            Refusal: It is unknown or expired.
        """
        self._check(account, token)
        self._valid[token] = (account, self._clock.now_ns() + self._life_ns)

    def revoke(self, account: Account, token: str) -> None:
        """Take a token back.

        Raises:
            Refusal: It is unknown or expired.
        """
        self._check(account, token)
        del self._valid[token]

    def owner(self, token: str) -> Account | None:
        """Return whose token this is, ``None`` for one that is not valid."""
        owner, until = self._valid.get(token, (None, 0))
        return owner if until > self._clock.now_ns() else None

    def drop(self, account: Account) -> None:
        """Drop an account's tokens, as the exchange may do at any time."""
        self._valid = {token: (owner, until) for token, (owner, until) in self._valid.items() if owner is not account}

    def clear(self) -> None:
        """Drop all of them, as maintenance does."""
        self._valid.clear()

    def _check(self, account: Account, token: str) -> None:
        if self.owner(token) is not account:
            raise Refusal("ERR-5106", "Invalid request parameter. token")

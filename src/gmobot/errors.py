"""Every error gmobot raises, in one tree, sorted by what the caller may do about it.

::

    GmobotError
    ├── UserError                 explain to the operator and stop with exit code 2
    │   ├── ConfigError           a config file, an override or an environment variable
    │   │   └── InUseError        another gmobot runs on the state
    │   ├── MissingSecretError    a credential that the chosen mode needs
    │   ├── DataError             a market data file
    │   └── StrategyError         a strategy file: the author's own file and line
    ├── VenueError                the exchange or the way to it
    │   ├── Refused               definitive: the exchange said no, nothing happened
    │   ├── NotSent               definitive: the request never left, sending again is safe
    │   ├── OutcomeUnknown        a write may or may not have happened: resolve it, never repeat it
    │   └── Unavailable           a read failed: try again later
    ├── StoreError                state could not be written: only exposure-reducing work may go on
    └── FatalError                halt: continuing could lose money

Catch the four venue leaves separately. ``except VenueError`` is right only for reads, where all
four mean "no answer"; around a write it would turn *unknown* into *failed*.
"""

from __future__ import annotations

from enum import StrEnum


class GmobotError(Exception):
    """Root of everything raised on purpose."""


class UserError(GmobotError):
    """Something the operator can mend. The text says what, where, and what to do."""


class ConfigError(UserError):
    """A bad config file, override or environment variable."""


class InUseError(ConfigError):
    """Another gmobot runs on this state; what it leaves there is its own."""


class MissingSecretError(UserError):
    """A credential that the chosen mode needs was found nowhere."""


class DataError(UserError):
    """A market data file that cannot be used as it is."""


class StrategyError(UserError):
    """A strategy that cannot be loaded or compiled; names the author's own file and line."""


class Category(StrEnum):
    """What kind of trouble a venue error is, as shown to operators and in metrics."""

    AUTH = "auth"
    NETWORK = "network"
    RATE_LIMIT = "rate_limit"
    EXCHANGE = "exchange"
    VALIDATION = "validation"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NOT_FOUND = "not_found"
    MAINTENANCE = "maintenance"


class VenueError(GmobotError):
    """The exchange, or the way to it, did not do what was asked.

    Attributes:
        category: Kind of trouble.
        code: The exchange's message code (``ERR-201``), or ``None`` for transport trouble.
        retryable: Whether the same request may succeed later without any change by us.
    """

    def __init__(self, message: str, *, category: Category, code: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.category = category
        self.code = code
        self.retryable = retryable


class Refused(VenueError):
    """The exchange answered and said no. Nothing was placed, changed or cancelled."""


class NotSent(VenueError):
    """The request did not leave this machine (no connection, local rate limit, closed pool)."""

    def __init__(self, message: str, *, category: Category = Category.NETWORK) -> None:
        super().__init__(message, category=category, retryable=True)


class Withheld(NotSent):
    """Whoever asked for the request did not want it any more when it was about to leave."""

    def __init__(self, message: str) -> None:
        super().__init__(message, category=Category.VALIDATION)


class OutcomeUnknown(VenueError):
    """A write left this machine and no trustworthy answer came back."""

    def __init__(self, message: str, *, category: Category = Category.NETWORK) -> None:
        super().__init__(message, category=category, retryable=False)


class Unavailable(VenueError):
    """A read got no trustworthy answer. Reading again is always safe."""

    def __init__(self, message: str, *, category: Category = Category.NETWORK, code: str | None = None) -> None:
        super().__init__(message, category=category, code=code, retryable=True)


class StoreError(GmobotError):
    """The state database or a log could not be written."""


class FatalError(GmobotError):
    """Continuing could lose money: halt and say why."""

"""The numbered cases, and which of them may be run against what."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tests.conformance import cases

if TYPE_CHECKING:
    from tests.conformance.target import Target

Run = Callable[["Target"], Awaitable[None]]

ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    "§4.1": ("GET /public/v1/status",),
    "§4.2": ("GET /public/v1/ticker",),
    "§4.3": ("GET /public/v1/orderbooks",),
    "§4.4": ("GET /public/v1/trades",),
    "§4.5": ("GET /public/v1/klines",),
    "§4.6": ("GET /public/v1/symbols",),
    "§5.1": ("GET /private/v1/account/margin",),
    "§5.2": ("GET /private/v1/account/assets",),
    "§5.3": ("GET /private/v1/account/tradingVolume",),
    "§5.4": (
        "GET /private/v1/account/fiatDeposit/history",
        "GET /private/v1/account/fiatWithdrawal/history",
        "GET /private/v1/account/deposit/history",
        "GET /private/v1/account/withdrawal/history",
    ),
    "§5.5": ("GET /private/v1/account/exchangeFee/history",),
    "§5.6": ("POST /private/v1/account/transfer",),
    "§5.7": ("GET /private/v1/orders",),
    "§5.8": ("GET /private/v1/activeOrders",),
    "§5.9": ("GET /private/v1/executions",),
    "§5.10": ("GET /private/v1/latestExecutions",),
    "§5.11": ("GET /private/v1/openPositions",),
    "§5.12": ("GET /private/v1/positionSummary",),
    "§5.13": ("POST /private/v1/order",),
    "§5.14": ("POST /private/v1/changeOrder",),
    "§5.15": ("POST /private/v1/cancelOrder",),
    "§5.16": ("POST /private/v1/cancelOrders",),
    "§5.17": ("POST /private/v1/cancelBulkOrder",),
    "§5.18": ("POST /private/v1/closeOrder",),
    "§5.19": ("POST /private/v1/closeBulkOrder",),
    "§5.20": ("POST /private/v1/changeLosscutPrice",),
    "§5.21": ("POST /private/v1/ws-auth", "PUT /private/v1/ws-auth", "DELETE /private/v1/ws-auth"),
    "§7.2": ("ticker",),
    "§7.3": ("orderbooks",),
    "§7.4": ("trades",),
    "§8.4": ("executionEvents",),
    "§8.5": ("orderEvents",),
    "§8.6": ("positionEvents",),
    "§8.7": ("positionSummaryEvents",),
}
"""What a case of a section of the reference must have spoken to: endpoints, channels."""


class Production(StrEnum):
    """Whether a case may be run against the real exchange."""

    NEVER = "never"
    PUBLIC = "public"
    """It reads what everybody may."""
    KEYS = "keys"
    """It reads an account, and changes nothing."""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        section: Of reference/gmo-coin-api.md.
        title: What holds.
        codes: Error codes that must be met in it.
        production: Where it may be run.
        stage: What is different about the emulator it needs.
    """

    number: int
    section: str
    title: str
    run: Run
    codes: frozenset[str]
    production: Production
    stage: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its number as people write it."""
        return f"C-{self.number:03d}"


_CASES: dict[int, Case] = {}


def case(
    number: int, section: str, title: str, *, codes: str = "", production: Production = Production.NEVER, **stage: Any
) -> Callable[[Run], Run]:
    """Enter a case into the suite.

    Args:
        number: Never given twice, and never given again.
        section: Of the reference, like ``§5.13``.
        title: What holds, in a sentence without a full stop.
        codes: Error codes that must be met in it, separated by spaces.
        production: Whether it may be run against the real exchange.
        **stage: What the emulator is to be made with, see :class:`tests.conformance.stage.Stage`.
    """

    def enter(run: Run) -> Run:
        if number in _CASES and _CASES[number].run.__module__ + _CASES[number].run.__qualname__ != run.__module__ + run.__qualname__:
            raise ValueError(f"case {number} is there twice")
        _CASES[number] = Case(number, section, title, run, frozenset(codes.split()), production, stage)
        return run

    return enter


def all_cases() -> list[Case]:
    """Return every case in the order of the numbers."""
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    return [_CASES[number] for number in sorted(_CASES)]


def chosen(found: list[Case], *, production: bool, keys: bool) -> list[Case]:
    """Return the cases that may be run.

    Args:
        found: To choose from.
        production: Against the real exchange, where nothing may change.
        keys: Whether there are keys to read an account with.
    """
    if not production:
        return found
    allowed = {Production.PUBLIC, Production.KEYS} if keys else {Production.PUBLIC}
    return [one for one in found if one.production in allowed]

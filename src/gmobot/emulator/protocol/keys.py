"""What a key may do: permissions by function, and the addresses it may come from.

A key without a permission gets ERR-5012 from REST. On the private stream the subscription is answered by an
error frame, and the socket stays open and silent. How the exchange groups its permissions is an assumption;
that opening and closing are two is known.

Source: reference/gmo-coin-api.md §2, §8.3.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache

from gmobot.emulator.engine.records import Account
from gmobot.errors import ConfigError


class Permission(StrEnum):
    """One box that a customer ticks when a key is made."""

    ASSETS = "assets"
    """Balances, margin, volume."""
    HISTORY = "history"
    """Deposits, withdrawals, fees."""
    TRANSFER = "transfer"
    ORDERS = "orders"
    """Read orders; orderEvents."""
    EXECUTIONS = "executions"
    """Read fills; executionEvents."""
    POSITIONS = "positions"
    """Read positions; positionEvents, positionSummaryEvents."""
    ORDER = "order"
    """New orders, spot and leverage openings."""
    CHANGE = "change"
    CANCEL = "cancel"
    CLOSE = "close"
    """Close positions; a key may be able to open and not to close."""
    LOSSCUT = "losscut"
    """Change losscut prices."""


_NEEDED = (
    ("/v1/account/transfer", Permission.TRANSFER),
    ("/v1/account/*/history", Permission.HISTORY),
    ("/v1/account/*", Permission.ASSETS),
    ("/v1/orders", Permission.ORDERS),
    ("/v1/activeOrders", Permission.ORDERS),
    ("orderEvents", Permission.ORDERS),
    ("/v1/executions", Permission.EXECUTIONS),
    ("/v1/latestExecutions", Permission.EXECUTIONS),
    ("executionEvents", Permission.EXECUTIONS),
    ("/v1/openPositions", Permission.POSITIONS),
    ("/v1/positionSummary", Permission.POSITIONS),
    ("position*Events", Permission.POSITIONS),
    ("/v1/order", Permission.ORDER),
    ("/v1/changeOrder", Permission.CHANGE),
    ("/v1/cancel*", Permission.CANCEL),
    ("/v1/close*", Permission.CLOSE),
    ("/v1/changeLosscutPrice", Permission.LOSSCUT),
)


@lru_cache(maxsize=256)
def needed(place: str) -> Permission | None:
    """Return the permission that a path or channel asks for; ``ws-auth`` asks for none."""
    return next((permission for pattern, permission in _NEEDED if fnmatchcase(place, pattern)), None)


@dataclass(frozen=True, slots=True)
class KeyRules:
    """The rules of one key.

    Attributes:
        permissions: What it may do.
        addresses: Networks it may come from, none for anywhere.
    """

    permissions: frozenset[Permission] = frozenset(Permission)
    addresses: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, permissions: str | None = None, addresses: str | None = None) -> KeyRules:
        """Read rules as a command line gives them: names and networks joined by ``+``.

        Raises:
            ConfigError: There is no such permission, or it is no address.
        """
        try:
            may = frozenset(Permission) if permissions is None else frozenset(map(Permission, filter(None, permissions.split("+"))))
        except ValueError as error:
            raise ConfigError(f"{error}; permissions are: {', '.join(Permission)}") from None
        try:
            networks = tuple(ipaddress.ip_network(text, strict=False) for text in addresses.split("+")) if addresses else ()
        except ValueError as error:
            raise ConfigError(f"{error}; write addresses like 127.0.0.1+10.0.0.0/8") from None
        return cls(may, networks)

    def allow(self, place: str) -> bool:
        """Return whether the key may use a path or channel."""
        permission = needed(place)
        return permission is None or permission in self.permissions

    def admit(self, client: str) -> bool:
        """Return whether the key may come from an address."""
        if not self.addresses:
            return True
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self.addresses)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of an account, with what signs for it."""

    account: Account
    secret: bytes
    rules: KeyRules

    def __repr__(self) -> str:
        return f"ApiKey({self.account.name})"

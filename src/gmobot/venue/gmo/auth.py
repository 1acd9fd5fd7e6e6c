"""Signing of private requests, as GMO Coin defines it.

The text ``timestamp + METHOD + path + body`` is signed. Two traps, both answered with ERR-5010: the query
string is never part of the path, and PUT/DELETE bodies are sent but not signed.

Source: reference/gmo-coin-api.md §2.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from gmobot.errors import ConfigError
from gmobot.secrets import Secret

_PRINTABLE: Final = range(0x21, 0x7F)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key and its secret. Neither ever appears in a repr.

    Raises:
        ConfigError: One of them holds what no key does: a file that was saved as something else than plain text.
    """

    key: Secret
    secret: Secret

    def __post_init__(self) -> None:
        for name, secret in (("API key", self.key), ("API secret", self.secret)):
            if not secret.reveal() or any(byte not in _PRINTABLE for byte in secret.reveal()):
                raise ConfigError(f"the {name} is empty, or holds blanks or characters no key has; save it as plain text in one line")


class KeysInUse:
    """The credentials that sign, shared by all views of a client: all of them change over in one moment.

    Attributes:
        current: What signs from now on; ``None`` signs nothing.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self.current = credentials
        self._known: list[Credentials] = [] if credentials is None else [credentials]

    def replace(self, credentials: Credentials) -> None:
        """Sign with other credentials from now on."""
        self.current = credentials
        self._known.append(credentials)

    def secrets(self) -> list[Secret]:
        """Return everything secret so far: a reply that was under way may still repeat what signed its request."""
        return [secret for credentials in self._known for secret in (credentials.key, credentials.secret)]


def signature(credentials: Credentials, *, timestamp_ms: int, method: str, path: str, body: bytes = b"") -> str:
    """Return the value of the ``API-SIGN`` header: 64 lower-case hex digits.

    Args:
        credentials: The key's secret signs.
        timestamp_ms: Unix time in milliseconds, as sent in ``API-TIMESTAMP``.
        method: Upper-case HTTP method.
        path: From ``/v1`` on: without ``/private``, without the query string.
        body: The exact bytes that are sent; only those of a POST are signed.
    """
    signed_body = body if method == "POST" else b""
    text = f"{timestamp_ms}{method}{path}".encode() + signed_body
    return hmac.digest(credentials.secret.reveal(), text, "sha256").hex()


def signed_headers(credentials: Credentials, *, timestamp_ms: int, method: str, path: str, body: bytes = b"") -> dict[str, str]:
    """Return the three headers of a private request."""
    return {
        "API-KEY": credentials.key.reveal().decode(),
        "API-TIMESTAMP": str(timestamp_ms),
        "API-SIGN": signature(credentials, timestamp_ms=timestamp_ms, method=method, path=path, body=body),
    }

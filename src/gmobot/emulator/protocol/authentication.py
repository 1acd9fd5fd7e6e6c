"""Who sent a private request: key, clock, address, permission, signature, in this order.

Source: reference/gmo-coin-api.md §2. The texts of ERR-5007, ERR-5009, ERR-5011 and ERR-5012 are assumptions.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from gmobot.clock import NS_PER_MS, NS_PER_SECOND
from gmobot.emulator.engine.exchange import Exchange, Refusal
from gmobot.emulator.engine.records import Account
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.protocol.keys import ApiKey, KeyRules
from gmobot.errors import ConfigError
from gmobot.venue.transport import Request

_TEXTS = {
    "ERR-5007": "Timestamp for this request is invalid.",
    "ERR-5008": "Timestamp for this request is too late.",
    "ERR-5009": "Timestamp for this request is too early.",
    "ERR-5010": "Signature for this request is not valid.",
    "ERR-5011": "API key is required.",
    "ERR-5012": "Authentication failed.",
}
ANYTHING = KeyRules()


class NotAuthenticated(Refusal):
    """A request whose sender is not believed, or may not do this."""

    def __init__(self, code: str) -> None:
        super().__init__(code, _TEXTS[code])


class Authenticator:
    """Checks the three headers of a private request."""

    def __init__(self, exchange: Exchange, keys: Mapping[str, KeyRules], faults: Faults) -> None:
        """Make one.

        Args:
            exchange: Its accounts and its timestamp window.
            keys: Rules by key; a key without any may do everything from anywhere.
            faults: May refuse what the rules allow.
        """
        self._exchange = exchange
        self._keys = {name: ApiKey(one, one.secret, keys.get(name, ANYTHING)) for name, one in exchange.accounts.items()}
        self._faults = faults

    def issue(self, name: str, key: ApiKey) -> None:
        """Give an account one more key.

        Raises:
            ConfigError: There is such a key already.
        """
        if name in self._keys:
            raise ConfigError(f"key {name}: there is one of that name; DELETE it first")
        self._keys[name] = key

    def withdraw(self, name: str) -> None:
        """Delete a key; requests that it signs are refused from now on.

        Raises:
            ConfigError: There is no such key.
        """
        if self._keys.pop(name, None) is None:
            raise ConfigError(f"key {name}: there is {', '.join(self._keys)}")

    def names(self) -> dict[str, str]:
        """Return the name of each key's account."""
        return {name: key.account.name for name, key in self._keys.items()}

    def allows(self, account: Account, channel: str) -> bool:
        """Return whether an account may listen to a channel: a token is the account's, so what any of its keys may."""
        return any(key.account is account and key.rules.allow(channel) for key in self._keys.values()) and not self._refused(channel)

    def account(self, request: Request, path: str, headers: Mapping[str, str], client: str, now_ns: int) -> Account:
        """Return whose request this is.

        Args:
            request: As it came.
            path: From ``/v1`` on.
            headers: The request's, names in upper case.
            client: Address it came from.
            now_ns: The server's time.

        Raises:
            NotAuthenticated: With the code of the first check that failed.
        """
        key, stamp = headers.get("API-KEY"), headers.get("API-TIMESTAMP", "")
        if not key:
            raise NotAuthenticated("ERR-5011")
        if not stamp.isascii() or not stamp.isdigit():
            raise NotAuthenticated("ERR-5007")
        ahead_ns = int(stamp) * NS_PER_MS - now_ns
        if abs(ahead_ns) > self._exchange.assumptions.timestamp_window_seconds * NS_PER_SECOND:
            raise NotAuthenticated("ERR-5008" if ahead_ns > 0 else "ERR-5009")
        issued = self._keys.get(key)
        if issued is None or not issued.rules.admit(client) or not issued.rules.allow(path) or self._refused(path):
            raise NotAuthenticated("ERR-5012")
        body = request.body if request.method == "POST" else b""
        text = f"{stamp}{request.method}{path}".encode() + body
        expected = hmac.digest(issued.secret, text, hashlib.sha256).hex()
        if not hmac.compare_digest(expected.encode(), headers.get("API-SIGN", "").encode()):
            raise NotAuthenticated("ERR-5010")
        return issued.account

    def _refused(self, place: str) -> bool:
        return self._faults.strikes(Fault.PERMISSION_REFUSED, place)

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
from gmobot.emulator.protocol.keys import KeyRules
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
        self._keys = keys
        self._faults = faults

    def allows(self, account: Account, place: str) -> bool:
        """Return whether an account's key may use a path or channel."""
        return self._keys.get(account.name, ANYTHING).allow(place) and not self._faults.strikes(Fault.PERMISSION_REFUSED, place)

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
        account = self._exchange.accounts.get(key)
        if account is None or not self._keys.get(key, ANYTHING).admit(client) or not self.allows(account, path):
            raise NotAuthenticated("ERR-5012")
        body = request.body if request.method == "POST" else b""
        text = f"{stamp}{request.method}{path}".encode() + body
        expected = hmac.digest(account.secret, text, hashlib.sha256).hex()
        if not hmac.compare_digest(expected.encode(), headers.get("API-SIGN", "").encode()):
            raise NotAuthenticated("ERR-5010")
        return account

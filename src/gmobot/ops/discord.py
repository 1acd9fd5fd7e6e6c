"""A Discord webhook: dressed by Apprise, sent by us.

Apprise repeats a message that met 429 at once, whatever ``Retry-After`` says, tells only yes or no, and knows one host.
So the request itself is made here, and what the server said of it is kept.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import requests
from apprise import AppriseAsset
from apprise.plugins.discord import NotifyDiscord

from gmobot.ops.delivery import Delivery

_URL: Final = re.compile(r"^(https?://[^/\s?#@]+/(?:[^\s?#]*/)?webhooks)/([\w-]+)/([\w.-]+)/?(?:\?\S*)?$")
_CONNECT_SECONDS: Final = 4.0
_REPLY_SECONDS: Final = 6.0
_LONGEST_WAIT: Final = 3_600.0
_OK: Final = 300
_REASONS: Final = {401: "webhook_refused", 403: "webhook_refused", 404: "webhook_not_found", 429: "rate_limited"}
_FOR_GOOD: Final = frozenset({401, 403, 404})
_UNFIT: Final = frozenset({400, 413})
"""It is the message that the server does not take."""


class Webhook(NotifyDiscord):  # type: ignore[no-untyped-call]
    """One webhook.

    Attributes:
        delivery: What became of the last message.
    """

    def __init__(self, base: str, webhook_id: str, token: str, thread: str | None) -> None:
        super().__init__(webhook_id, token, avatar=False, thread=thread, asset=AppriseAsset(app_id="gmobot", secure_logging=True))
        self.notify_url = base
        self.delivery = Delivery(reason="not_accepted")

    def _send(
        self,
        payload: dict[str, Any],
        attach: list[Any] | None = None,  # noqa: ARG002  # Apprise's own signature
        params: dict[str, str] | None = None,
        rate_limit: int = 1,  # noqa: ARG002  # as above
        **_: Any,  # noqa: ANN401
    ) -> bool:
        # What an exchange says in a detail must wake nobody.
        body = {**payload, "allowed_mentions": {"parse": []}}
        url = f"{self.notify_url}/{self.webhook_id}/{self.webhook_token}"
        try:
            # Streamed: only status and headers are waited for, a body is never read.
            with requests.post(
                url, json=body, params=params, timeout=(_CONNECT_SECONDS, _REPLY_SECONDS), allow_redirects=False, stream=True
            ) as reply:
                self.delivery = delivery_of(reply.status_code, reply.headers)
        except requests.Timeout:
            self.delivery = Delivery(reason="timeout")
        except (requests.RequestException, OSError):
            # Their texts hold the URL.
            self.delivery = Delivery(reason="network_error")
        return self.delivery.ok


def webhook(url: str) -> Webhook | None:
    """Return the webhook of a URL, whoever's host it is on; ``None`` when it is not one."""
    found = _URL.match(url)
    if found is None:
        return None
    thread = parse_qs(urlsplit(url).query).get("thread_id", [None])[0]
    return Webhook(found[1], found[2], found[3], thread)


def delivery_of(status: int, headers: Any) -> Delivery:  # noqa: ANN401
    """Return what a reply means."""
    if status < _OK:
        spent = headers.get("X-RateLimit-Remaining") == "0"
        return Delivery(wait_seconds=_seconds(headers.get("X-RateLimit-Reset-After")) if spent else None)
    return Delivery(
        reason=_REASONS.get(status, f"http_{status}"),
        wait_seconds=_seconds(headers.get("Retry-After")),
        for_good=status in _FOR_GOOD,
        unfit=status in _UNFIT,
    )


def _seconds(text: str | None) -> float | None:
    """Read ``Retry-After``: seconds or a date. What is no time is ``None``."""
    if text is None:
        return None
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(wait, 0.0), _LONGEST_WAIT) if wait == wait else None

"""Ways to people: a Discord webhook first, whatever else Apprise knows behind it. Sending blocks: never on the loop.

Nothing that is returned, logged or raised here holds a URL.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from gmobot.ops.notices import Severity
from gmobot.secrets import FoundSecret, SecretName

DISCORD: Final = "discord"
MOST_CHANNELS: Final = 8
"""Each has a thread."""
_APPRISE_TYPES: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
_TALKATIVE: Final = ("apprise", "urllib3", "requests", "requests_oauthlib")
"""Loggers that may show a URL."""
log = structlog.get_logger("gmobot.notify")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message.

    Attributes:
        reason: Why it did not arrive, a code; ``None`` when it did.
        wait_seconds: How long the other side wants no further message.
        for_good: Whether it will be refused until somebody changes the settings.
        unfit: Whether it is this message that is not taken: the next one may be.
    """

    reason: str | None = None
    wait_seconds: float | None = None
    for_good: bool = False
    unfit: bool = False

    @property
    def ok(self) -> bool:
        """Whether it arrived."""
        return self.reason is None


class Channel(Protocol):
    """A way to somebody."""

    @property
    def name(self) -> str:
        """What it is called where people look: never a secret."""

    def send(self, text: str, severity: Severity) -> Delivery:
        """Send one message. It blocks, for some seconds at most, and raises nothing for what the other side does."""


class DiscordChannel:
    """A Discord webhook."""

    name = DISCORD

    def __init__(self, url: str) -> None:
        self._webhook = _made(lambda: _webhook(url))

    def use(self, url: str) -> None:
        """Send to another webhook from the next message on."""
        self._webhook = _made(lambda: _webhook(url))

    def send(self, text: str, severity: Severity) -> Delivery:
        webhook = self._webhook
        if webhook is None:
            return Delivery(reason="invalid_url", for_good=True)
        webhook.delivery = Delivery(reason="not_accepted")
        webhook.notify(body=text, notify_type=_type(severity))
        found: Delivery = webhook.delivery
        return found


class AppriseChannel:
    """Anything else that Apprise knows."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._service = _made(lambda: _service(url))

    def send(self, text: str, severity: Severity) -> Delivery:
        if self._service is None:
            return Delivery(reason="invalid_url", for_good=True)
        try:
            sent = self._service.notify(body=text, notify_type=_type(severity))
        except Exception as error:  # noqa: BLE001  # any of a hundred services' code: none of it may end anything of ours
            return Delivery(reason=type(error).__name__)
        return Delivery() if sent else Delivery(reason="not_accepted")


def _made(make: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Make a service now: to load Apprise later would hold up the loop for a moment while there is something to trade."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001  # as above; its text may hold the address
        log.error("a channel cannot be used", error=type(error).__name__)
        return None


def _webhook(url: str) -> Any:  # noqa: ANN401
    from gmobot.ops.discord import webhook

    return webhook(url)


def _service(url: str) -> Any:  # noqa: ANN401
    from apprise import Apprise

    return Apprise.instantiate(url, suppress_exceptions=True)


def channels(secrets: Mapping[SecretName, FoundSecret]) -> list[Channel]:
    """Return the ways to people that the secrets name, Discord first; none when there is none."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    found: list[Channel] = []
    if (webhook := secrets.get(SecretName.DISCORD_WEBHOOK_URL)) is not None:
        found.append(DiscordChannel(webhook.value.reveal().decode(errors="replace")))
    if (more := secrets.get(SecretName.NOTIFY_URLS)) is not None:
        found += _apprise(more.value.reveal().decode(errors="replace").splitlines())
    return found[:MOST_CHANNELS]


def send_all(to: Sequence[Channel], text: str, severity: Severity, *, seconds: float) -> dict[str, Delivery]:
    """Send one message everywhere, from outside of any loop. What has not answered in time counts as lost."""
    results: queue.SimpleQueue[tuple[str, Delivery]] = queue.SimpleQueue()

    def send(channel: Channel) -> None:
        results.put((channel.name, channel.send(text, severity)))

    for channel in to:
        threading.Thread(target=send, args=(channel,), daemon=True).start()
    found = {channel.name: Delivery(reason="timeout") for channel in to}
    give_up = time.monotonic() + seconds
    for _ in to:
        try:
            name, delivery = results.get(timeout=max(0.0, give_up - time.monotonic()))
        except queue.Empty:
            break
        found[name] = delivery
    return found


def _apprise(lines: Sequence[str]) -> list[AppriseChannel]:
    """Return a channel a line, each called by its service."""
    counted: Counter[str] = Counter()
    found = []
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        scheme = line.partition("://")[0].lower()
        # What has no scheme may be anything, also a bare token.
        name = scheme if "://" in line and scheme.isalnum() else "unnamed"
        # Discord's own name is taken by the webhook.
        counted[name] += 1
        found.append(AppriseChannel(f"{name}-{counted[name]}" if counted[name] > 1 or name == DISCORD else name, line))
    return found


def _type(severity: Severity) -> Any:  # noqa: ANN401
    from apprise import NotifyType

    return NotifyType(_APPRISE_TYPES[severity])

"""Telling people: the parts for a run, the test message, and a start that failed.

A failed start has no run and no outbox. It is told straight away, and a file in ``var/state`` remembers it: whatever
starts the container over and over, the same reason is told once an hour, and not more than a few reasons.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
import typer

from gmobot.clock import JST, Clock
from gmobot.config import Config, load
from gmobot.errors import ConfigError
from gmobot.live.notifier import Notifier
from gmobot.live.outbox import Outbox
from gmobot.live.store import Store
from gmobot.ops.atomic import write_atomic
from gmobot.ops.delivery import Delivery, channels, send_all
from gmobot.ops.digest import Manner, QuietHours
from gmobot.ops.heartbeat import Heartbeat
from gmobot.ops.logs import Masker
from gmobot.ops.notices import Severity
from gmobot.ops.telemetry import Telemetry
from gmobot.ops.words import Said
from gmobot.secrets import FoundSecret, Secret, SecretName, find_secret, searched_places

EXIT_FAILED = 6
MARKER: Final = "failed_start.json"
_HOUR: Final = 3_600.0
_MOST_REASONS: Final = 5
"""That are told in one hour."""
_SECONDS: Final = 12.0
_MOST_CHARACTERS: Final = 1_500
_FAILED_START: Final = Said("起動に失敗しました", "the start failed")
_CRASHED: Final = Said("異常終了しました", "the run crashed")
_TEST: Final = Said("通知のテストです。この文が読めれば設定は正しいです。", "a test: if you can read this, the settings are right.")
log = structlog.get_logger("gmobot.notify")


def manner_of(config: Config) -> Manner:
    """Return how people want to be told."""
    notify = config.notify
    return Manner(
        language=notify.language,
        least=Severity.named(notify.min_severity),
        quiet=QuietHours.parse(notify.quiet_hours),
        fills=notify.fills,
        daily_summary=notify.daily_summary,
        label=_label(config),
    )


def notifier_of(
    config: Config, secrets: Mapping[SecretName, FoundSecret], store: Store, clock: Clock, telemetry: Telemetry, run_id: str
) -> Notifier:
    """Return what tells people of a run."""
    outbox = Outbox(config.paths.database, run_id)
    return Notifier(channels(secrets), outbox, store, clock, telemetry, manner_of(config))


def heartbeat_of(
    config: Config, secrets: Mapping[SecretName, FoundSecret], checks: Callable[[], Mapping[str, bool]], telemetry: Telemetry
) -> Heartbeat | None:
    """Return the sign of life of a run, ``None`` where nobody waits for one.

    Raises:
        ConfigError: Its URL is none.
    """
    found = secrets.get(SecretName.HEARTBEAT_URL)
    url = found.value.reveal().decode(errors="replace") if found else config.heartbeat.url.get_secret_value()
    if not url:
        return None
    return Heartbeat(
        url,
        interval_seconds=config.heartbeat.interval_seconds,
        fail_url_suffix=config.heartbeat.fail_url_suffix,
        checks=checks,
        telemetry=telemetry,
    )


def send_test(path: Path, *, as_json: bool) -> int:
    """Send one message to each configured target, say what became of each, and return the exit code."""
    config = load(path).config
    secrets = {name: found for name in (SecretName.DISCORD_WEBHOOK_URL, SecretName.NOTIFY_URLS) if (found := find_secret(name))}
    text = f"{_label(config)}🟢 gmobot: {_TEST.in_(config.notify.language)}"
    results = send_all(channels(secrets), text, Severity.INFO, seconds=_SECONDS)
    ok = bool(results) and all(delivery.ok for delivery in results.values())
    if as_json:
        targets = [{"target": name, "status": _status(delivery), "reason": delivery.reason} for name, delivery in results.items()]
        typer.echo(json.dumps({"ok": ok, "targets": targets}))
    elif not results:
        typer.echo(f"no target: nothing was sent; looked in {searched_places(SecretName.DISCORD_WEBHOOK_URL)}", err=True)
    else:
        for name, delivery in results.items():
            typer.echo(f"{name:<16} {_status(delivery)}{f'  {delivery.reason}' if delivery.reason else ''}")
    return 0 if ok else EXIT_FAILED


def tell_failure(config: Config | None, why: str, *, crashed: bool = False, clock: Callable[[], float] = time.time) -> None:
    """Tell that there is no run, as far as possible: it never raises, and takes some seconds at most.

    Args:
        config: What was loaded; ``None`` when that is what failed.
        why: One line.
        crashed: Whether there was a run before.
        clock: Seconds since the epoch.
    """
    try:
        _tell_failure(config or _without_file(), why, crashed=crashed, clock=clock)
    except Exception as error:  # noqa: BLE001  # the failure itself is what must be reported, not this
        log.warning("the failure could not be told", error=type(error).__name__)


def _tell_failure(config: Config, why: str, *, crashed: bool, clock: Callable[[], float]) -> None:
    secrets = _readable_secrets()
    to = channels(secrets)
    if not to:
        return
    masker = Masker([*(found.value for found in secrets.values()), Secret(config.heartbeat.url.get_secret_value())])
    reason = str(masker.mask(" ".join(why.split())))[:_MOST_CHARACTERS]
    marker = config.paths.state / MARKER
    digest = hashlib.sha256(re.sub(r"\d+", "", reason).encode()).hexdigest()[:16]
    told = {key: at for key, at in _read(marker).items() if 0 <= clock() - at < _HOUR}
    if digest in told or len(told) >= _MOST_REASONS:
        return
    # Remembered first: what cannot be remembered would be told at every start, so it is not told at all.
    marker.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(marker, json.dumps(told | {digest: clock()}).encode())
    what = (_CRASHED if crashed else _FAILED_START).in_(config.notify.language)
    when = f"{datetime.fromtimestamp(clock(), JST):%m/%d %H:%M:%S}"
    found = send_all(to, f"{_label(config)}🔴 {when} {what}: {reason}", Severity.CRITICAL, seconds=_SECONDS)
    log.info("the failure was told", **{name: delivery.reason or "sent" for name, delivery in found.items()})
    if all(delivery.reason in ("network_error", "timeout") for delivery in found.values()):
        write_atomic(marker, json.dumps(told).encode())


def _without_file() -> Config:
    """Return what can be known of a configuration whose file is no good."""
    with contextlib.suppress(ConfigError):
        return load(None).config
    return Config()


def _readable_secrets() -> dict[SecretName, FoundSecret]:
    secrets = {}
    for name in SecretName:
        with contextlib.suppress(OSError):
            if (found := find_secret(name)) is not None:
                secrets[name] = found
    return secrets


def _read(marker: Path) -> dict[str, float]:
    try:
        found = json.loads(marker.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(key): float(at) for key, at in found.items()} if isinstance(found, dict) else {}


def _label(config: Config) -> str:
    """Return what stands before a message: nothing for the real thing, so that practice is never taken for it."""
    if config.mode.value == "live" and config.environment.value == "production" and config.execute_orders:
        return ""
    return f"[{config.mode.value}/{config.environment.value}{'' if config.execute_orders else '/no orders'}] "


def _status(delivery: Delivery) -> str:
    return "sent" if delivery.ok else "failed"

"""``gmobot flatten --direct``: the daemon is dead; close what it owns, straight at the exchange."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from gmobot.cli.run import addresses, instance_lock
from gmobot.clock import SystemClock
from gmobot.config import Config, Mode, load
from gmobot.errors import ConfigError, FatalError, InUseError, MissingSecretError, StoreError, VenueError
from gmobot.live.direct import DirectClose, Left
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.secrets import SecretName, find_secret, searched_places
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.http import HttpTransport
from gmobot.venue.transport import Timeouts

_FLAT = 0
_UNREACHABLE = 7
_REFUSED = 9


class _Told(AuditLog):
    """An audit log that also says in plain words what it records."""

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        news = seq > self.last_seq
        super().append(seq, ts_ns, run_id, event, fields)
        words = _words(event, fields) if news else ""
        if words:
            typer.echo(words)


def flatten_direct(path: Path, *, seconds: float) -> int:
    """Close everything that is ours; return the exit code."""
    config = load(path).config
    if config.mode is Mode.PAPER:
        return _refuse("mode is paper: nothing of it is at an exchange; start the daemon and use `gmobot flatten`")
    if not config.paths.database.exists():
        return _refuse(
            f"{config.paths.database} is missing, so nobody knows what is the bot's and what is yours: "
            "`gmobot state restore`, or close by hand at the exchange"
        )
    try:
        credentials = _credentials()
        with _alone(config.paths.state):
            return asyncio.run(_flatten(config, credentials, seconds))
    except (ConfigError, MissingSecretError, StoreError, FatalError) as error:
        return _refuse(str(error))
    except VenueError as error:
        typer.echo(f"the exchange does not answer: {error}; nothing was sent", err=True)
        return _UNREACHABLE


async def _flatten(config: Config, credentials: Credentials, seconds: float) -> int:
    clock, transport = SystemClock(), HttpTransport(*addresses(config))
    audit = _Told(config.paths.logs, max_bytes=config.audit.max_bytes, retention=config.audit.retention)
    run_id = f"flatten-{clock.now_ns() // 10**9}-{uuid.uuid4().hex[:8]}"
    store = Store(config.paths.database, audit=audit, run_id=run_id, clock=clock, worker=InlineWorker())
    timeouts = Timeouts(config.venue.connect_timeout_seconds, config.venue.reply_timeout_seconds)
    rest = GmoRest(transport, clock, credentials=credentials, timeouts=timeouts)
    try:
        await store.open()
        direct = DirectClose(config, rest, store, clock, say=typer.echo)
        left = await direct.run(seconds=seconds)
    finally:
        await store.close()
        await transport.close()
    return _conclude(left, direct.trouble)


def _conclude(left: list[Left], trouble: VenueError | None) -> int:
    for row in left:
        dust = " (too small to order)" if row.dust else ""
        orders = f", {row.orders} orders of ours open or unknown" if row.orders else ""
        typer.echo(f"left: {row.symbol} {row.size}{dust}{orders}")
    if all(row.flat for row in left) and trouble is None:
        typer.echo("flat")
        return _FLAT
    why = f"the exchange does not answer: {trouble}" if trouble is not None else "time is up"
    typer.echo(f"NOT flat: {why}; run it again, or close by hand at the exchange", err=True)
    return _UNREACHABLE if trouble is not None else _REFUSED


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the state directory, or say what to do instead."""
    try:
        with instance_lock(state):
            yield
    except InUseError:
        raise InUseError("a daemon runs on this state; use `gmobot flatten` without --direct, or end it first") from None


def _credentials() -> Credentials:
    found = []
    for name in (SecretName.API_KEY, SecretName.API_SECRET):
        secret = find_secret(name)
        if secret is None:
            raise MissingSecretError(f"{name.value} is needed to close; looked in {searched_places(name)}")
        found.append(secret.value)
    return Credentials(*found)


def _refuse(why: str) -> int:
    typer.echo(f"refused: {why}", err=True)
    return _REFUSED


def _words(event: str, fields: Mapping[str, Any]) -> str:
    what = " ".join(str(fields[name]) for name in ("symbol", "side", "type", "size", "price") if fields.get(name) is not None)
    number = f"order {fields['order_id']}" if fields.get("order_id") is not None else "an order"
    return {
        "order_intent": f"sending {what}",
        "order_acknowledged": f"{number} was accepted",
        "order_rejected": f"refused: {what} ({fields.get('detail', '')})",
        "order_outcome_unknown": f"no reply about {what}: looking for it",
        "order_resolved": f"{number} is resolved: {fields.get('state', '')} {fields.get('detail', '')}",
        "order_cancelled": f"{number} has ended: {what} {fields.get('state', '')}",
        "fill": f"filled: {what} of {number}",
        "position_changed": f"position of {fields.get('symbol')} is now {fields.get('position')}",
    }.get(event, "")

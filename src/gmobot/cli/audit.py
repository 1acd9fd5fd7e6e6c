"""``gmobot audit``: check and read the audit log. It works beside a running daemon and without one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from gmobot.config import load
from gmobot.errors import ConfigError
from gmobot.ops.audit import RESERVED, AuditEvent
from gmobot.ops.audit_read import after, search, tail, verify

_BROKEN = 5
_FOLLOW_SECONDS = 0.5


def verify_log(config: Path, *, as_json: bool) -> int:
    """Check the chain; return the exit code."""
    result = verify(_logs(config))
    if as_json:
        typer.echo(json.dumps({"ok": result.ok, "lines": result.lines, "problem": result.problem or None, "torn": result.torn}))
    elif result.ok:
        torn = "; the last line is cut off, the next start of the daemon writes it again" if result.torn else ""
        typer.echo(f"ok: {result.lines} events, chain whole{torn}")
    else:
        typer.echo(f"broken: {result.problem}", err=True)
    return 0 if result.ok else _BROKEN


def show_tail(config: Path, count: int, *, as_json: bool, follow: bool = False) -> None:
    """Print the newest events, and then, if wanted, every further one until interrupted."""
    logs = _logs(config)
    shown = tail(logs, count)
    _print(shown, as_json=as_json)
    with suppress(KeyboardInterrupt):
        while follow:
            time.sleep(_FOLLOW_SECONDS)
            fresh = after(logs, int(shown[-1]["seq"]) if shown else 0)
            _print(fresh, as_json=as_json)
            shown = fresh or shown


def show_search(config: Path, text: str, event: str | None, count: int, *, as_json: bool) -> None:
    """Print the newest events that match.

    Raises:
        ConfigError: There is no such event.
    """
    if event is not None and event not in set(AuditEvent):
        raise ConfigError(f"--event {event}: there is no such event; there are: {', '.join(AuditEvent)}")
    _print(search(_logs(config), text, event=event, count=count), as_json=as_json)


def _logs(config: Path) -> Path:
    return load(config).config.paths.logs


def _print(events: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    for event in events:
        typer.echo(json.dumps(event, ensure_ascii=False) if as_json else _line(event))


def _line(event: Mapping[str, Any]) -> str:
    details = (f"{key}={_short(value)}" for key, value in event.items() if key not in RESERVED)
    return "  ".join((f"{event.get('seq')}", f"{event.get('ts')}", f"{event.get('event')}", *details))


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

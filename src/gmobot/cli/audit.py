"""``gmobot audit``: check and read the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from gmobot.config import load
from gmobot.ops.audit_read import tail, verify

_BROKEN = 5


def verify_log(config: Path) -> int:
    """Check the chain; return the exit code."""
    result = verify(load(config).config.paths.logs)
    if result.ok:
        typer.echo(f"ok: {result.lines} events, chain whole")
        return 0
    typer.echo(f"broken: {result.problem}", err=True)
    return _BROKEN


def show_tail(config: Path, count: int) -> None:
    """Print the newest events."""
    for event in tail(load(config).config.paths.logs, count):
        typer.echo(json.dumps(event, ensure_ascii=False))

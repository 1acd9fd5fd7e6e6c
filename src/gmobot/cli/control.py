"""``gmobot status | pause | resume | halt | flatten``: talk to the running daemon over its unix socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import typer

from gmobot.config import load

SOCKET = "control.sock"
_UNREACHABLE = 7
_REFUSED = 9
_SECONDS = 10.0


def show_status(config: Path, *, as_json: bool) -> int:
    """Print where the daemon stands; return the exit code."""
    status, run = _talk(config, "GET", "/api/v1/progress", None)
    if status == 0:
        return _unreachable(config)
    if as_json:
        typer.echo(json.dumps(run, indent=2))
        return 0
    typer.echo(f"{run['status']}  {run['mode']}/{run['environment']}  monitor {run['monitor_status']}  equity {run['equity_jpy']} JPY")
    for row in run["instruments"]:
        decision = row["last_decision"] or {"action": "-", "reason_codes": []}
        typer.echo(f"{row['symbol']}  position {row['position']}  {decision['action']} {','.join(decision['reason_codes'])}")
    return 0


def send_command(config: Path, command: str, *, acknowledge: bool) -> int:
    """Send a command; return the exit code."""
    status, answer = _talk(config, "POST", f"/api/v1/control/{command}", {"acknowledge": acknowledge})
    if status == 0:
        return _unreachable(config)
    if not answer.get("accepted"):
        typer.echo(f"refused: {answer.get('message') or answer.get('error')}", err=True)
        return _REFUSED
    typer.echo(f"{command}: done")
    return 0


def _unreachable(config: Path) -> int:
    path = load(config).config.paths.state / SOCKET
    typer.echo(f"no daemon answers at {path}; is it running, with this --config?", err=True)
    return _UNREACHABLE


def _talk(config: Path, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
    socket = load(config).config.paths.state / SOCKET

    async def talk() -> tuple[int, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=timeout) as session,
            session.request(method, f"http://localhost{path}", json=body) as reply,
        ):
            return reply.status, await reply.json()

    try:
        return asyncio.run(talk())
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, {}

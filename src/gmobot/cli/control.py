"""``gmobot status | pause | resume | halt | flatten``: talk to the running daemon over its unix socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import typer

from gmobot.config import load

SOCKET = "control.sock"
_UNREACHABLE = 7
_REFUSED = 9
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back. ``trouble`` says why nothing did."""

    status: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""


def show_status(config: Path, *, as_json: bool) -> int:
    """Print where the daemon stands; return the exit code."""
    answer = _talk(config, "GET", "/api/v1/progress", None)
    if answer.trouble or answer.status != 200:
        return _unreachable(answer)
    run = answer.body
    if as_json:
        typer.echo(json.dumps(run, indent=2, ensure_ascii=False))
        return 0
    where = f"{run['mode']}/{run['environment']} ({_sends(run)})"
    typer.echo(f"{run['status']}  {where}  monitor {run['monitor_status']}  equity {run['equity_jpy']} JPY")
    for row in run["instruments"]:
        decision = row["last_decision"] or {"action": "-", "reason_codes": []}
        unknown = f"  {row['unknown_orders']} orders unknown" if row["unknown_orders"] else ""
        held = f"position {row['position']}{'' if row['protected'] else ' UNPROTECTED'}{unknown}"
        typer.echo(f"{row['symbol']}  {held}  {decision['action']} {','.join(decision['reason_codes'])}")
    if run["last_error"]:
        typer.echo(f"last error: {run['last_error']}")
    return 0


def _sends(run: dict[str, Any]) -> str:
    """Say whether orders leave, and if not, what an operator would have to do."""
    if run["armed"]:
        return "sends orders"
    missing = "not armed: gmobot resume --acknowledge" if run["execute_orders"] else "execute_orders is false"
    return f"sends no orders: {missing}"


def send_command(config: Path, command: str, *, acknowledge: bool) -> int:
    """Send a command; return the exit code."""
    answer = _talk(config, "POST", f"/api/v1/control/{command}", {"acknowledge": acknowledge})
    if answer.trouble:
        return _unreachable(answer)
    if answer.status != 200 or not answer.body.get("accepted"):
        typer.echo(f"refused: {answer.body.get('message') or answer.body.get('error')}", err=True)
        return _REFUSED
    typer.echo(f"{command}: done")
    return 0


def _unreachable(answer: _Answer) -> int:
    typer.echo(answer.trouble or f"the daemon answered {answer.status}; see its log", err=True)
    return _UNREACHABLE


def _talk(config: Path, method: str, path: str, body: dict[str, Any] | None) -> _Answer:
    socket = load(config).config.paths.state / SOCKET

    async def talk() -> _Answer:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=timeout) as session,
            session.request(method, f"http://localhost{path}", json=body) as reply,
        ):
            return _Answer(reply.status, await reply.json())

    try:
        return asyncio.run(talk())
    except aiohttp.ClientConnectorError:
        return _Answer(trouble=f"no daemon answers at {socket}; is it running, with this --config?")
    except (aiohttp.ClientError, OSError, TimeoutError):
        # The daemon was there: nobody may believe now that nothing happened.
        done = "; the command may have been carried out, look with `gmobot status`" if body is not None else ""
        return _Answer(trouble=f"the daemon at {socket} gave no whole answer within {_SECONDS:g} s{done}")

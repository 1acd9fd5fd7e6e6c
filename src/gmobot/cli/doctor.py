"""``gmobot doctor``: may this machine trade with this configuration? It looks, and never orders."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import typer

from gmobot.cli.preflight import ADVICE, Finding, Preflight, has_failed
from gmobot.cli.run import addresses
from gmobot.clock import SystemClock
from gmobot.config import Config, Mode, load
from gmobot.errors import ConfigError
from gmobot.secrets import FoundSecret, SecretName, find_secret, searched_places
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.http import HttpTransport

EXIT_FAILED = 6


def doctor(path: Path, *, as_json: bool) -> int:
    """Make every check, print a line for each, and return the exit code."""
    try:
        config = load(path).config
    except ConfigError as error:
        findings = [Finding("config", "failed", " ".join(str(error).split()), "config", ADVICE["config"])]
    else:
        summary = f"{path}: mode {config.mode.value}, environment {config.environment.value}, execute_orders {config.execute_orders}"
        secrets, credentials = check_secrets(config)
        findings = [Finding("config", "ok", summary), secrets, *asyncio.run(_examine(config, credentials))]
    _print(findings, as_json=as_json)
    return EXIT_FAILED if has_failed(findings) else 0


def check_secrets(config: Config) -> tuple[Finding, Credentials | None]:
    """Return what is to be said about the API key's files, and the key where there is one."""
    try:
        key, secret = find_secret(SecretName.API_KEY), find_secret(SecretName.API_SECRET)
    except OSError as error:
        advice = "make it readable for the user this runs as"
        return Finding("secrets", "failed", f"{error.filename}: {error.strerror}", "config", advice), None
    if key is None or secret is None:
        return _missing(config, SecretName.API_KEY if key is None else SecretName.API_SECRET), None
    try:
        credentials = Credentials(key.value, secret.value)
    except ConfigError as error:
        advice = f"look at {key.source} and {secret.source}"
        return Finding("secrets", "failed", str(error), "config", advice), None
    open_to_all = [found for found in (key, secret) if found.warning and not _is_environment(found)]
    if open_to_all:
        detail = "; ".join(found.warning or "" for found in open_to_all)
        advice = "chmod o-r " + " ".join(found.source for found in open_to_all)
        return Finding("secrets", "failed", detail, "config", advice), credentials
    warnings = "".join(f"; {found.warning}" for found in (key, secret) if found.warning)
    return Finding("secrets", "ok", f"from {key.source} and {secret.source}{warnings}"), credentials


def _missing(config: Config, name: SecretName) -> Finding:
    where = f"{name.value} was not found; looked in {searched_places(name)}"
    if config.execute_orders:
        return Finding("secrets", "failed", where, "config", f"put it into one of these places, {name.file_name} with mode 0600")
    why = "mode paper needs none" if config.mode is Mode.PAPER else "needed only to send orders"
    return Finding("secrets", "ok", f"{where}; {why}")


def _is_environment(found: FoundSecret) -> bool:
    return found.source == found.name.value


async def _examine(config: Config, credentials: Credentials | None) -> list[Finding]:
    transport = HttpTransport(*addresses(config))
    try:
        return await Preflight(config, transport, SystemClock(), credentials).run()
    finally:
        await transport.close()


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"ok": not has_failed(findings), "checks": findings}).decode())
        return
    for finding in findings:
        line = f"{finding.state:<8} {finding.check:<17} {finding.detail}"
        if finding.category is not None:
            line = f"{finding.state:<8} {finding.check:<17} [{finding.category}] {finding.detail}. To do: {finding.advice}"
        typer.echo(line)

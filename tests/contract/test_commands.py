"""The command line answers to the names of the contract, and each reading command to ``--json``."""

from __future__ import annotations

import typer
from typer.main import get_command

from gmobot.cli.app import app

WANTED = {
    "run",
    "backtest",
    "exchange",
    "status",
    "pause",
    "resume",
    "halt",
    "flatten",
    "config check",
    "config show",
    "config schema",
    "audit verify",
    "audit tail",
    "audit search",
}
READING = {"backtest", "status", "config check", "config show", "audit verify", "audit tail", "audit search"}


def commands(group: typer.core.TyperGroup, prefix: str = "") -> dict[str, set[str]]:
    """Return every command with its options."""
    found: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = {option for parameter in command.params for option in parameter.opts}
    return found


def every() -> dict[str, set[str]]:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return commands(group)


def test_every_command_is_there() -> None:
    assert set(every()) >= WANTED


def test_every_reading_command_speaks_json() -> None:
    assert not {name for name in READING if "--json" not in every()[name]}


def test_every_command_that_reads_a_configuration_takes_it_the_same_way() -> None:
    without = {name for name, options in every().items() if name in WANTED and "--config" not in options}
    assert without == {"exchange", "config schema"}


def test_resume_can_acknowledge() -> None:
    assert "--acknowledge" in every()["resume"]

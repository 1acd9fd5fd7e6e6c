"""``gmobot replay`` and ``gmobot explain``: what happened and why, from the state database."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer

from gmobot.config import load

_DIFFERS = 5


def replay_run(config: Path, run: str, *, force: bool, as_json: bool) -> int:
    """Feed a run to the decision core again; return the exit code.

    Raises:
        UserError: There is no such run, or its strategy has changed.
    """
    from gmobot.live.replay import replay
    from gmobot.strategies.loader import load as load_strategy

    result = replay(_database(config), run, load_strategy, force=force)
    found = result.difference
    if as_json:
        typer.echo(msgspec.json.encode(msgspec.to_builtins(result) | {"identical": found is None}).decode())
        return 0 if found is None else _DIFFERS
    for note in result.notes:
        typer.echo(note)
    left = f", {result.skipped} whose beginning is not kept were left out" if result.skipped else ""
    if found is None:
        typer.echo(f"identical: run {result.run_id}, {result.bars} bars{left}")
        return 0
    typer.echo(
        f"differs: run {result.run_id}, {found.symbol}, bar {found.bar_at} (the {result.bars}th), {found.field}: "
        f"recorded {found.recorded}, now {found.now}"
    )
    return _DIFFERS


def explain_order(config: Path, number: int, *, as_json: bool) -> int:
    """Print the story of an order; return the exit code.

    Raises:
        UserError: No order of ours has this number.
    """
    from gmobot.live.explain import explain, lines

    story = explain(_database(config), number)
    typer.echo(msgspec.json.encode(story).decode() if as_json else "\n".join(lines(story)))
    return 0


def _database(config: Path) -> Path:
    return load(config).config.paths.database

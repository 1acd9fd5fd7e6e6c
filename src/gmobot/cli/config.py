"""``gmobot config``: validate, show with origins, print the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from gmobot.config import Config, load


def check(path: Path) -> None:
    """Validate a configuration and load its strategies.

    Raises:
        UserError: The first thing that is wrong.
    """
    from gmobot.strategies.loader import load as load_strategy

    loaded = load(path)
    for instrument in loaded.config.instruments:
        load_strategy(instrument.strategy, instrument.params)
    typer.echo(f"{path}: ok ({loaded.config.mode.value}, {loaded.config.environment.value}, hash {loaded.config.hash()})")


def show(path: Path, *, as_json: bool) -> None:
    """Print every effective value with its origin."""
    loaded = load(path)
    values = loaded.config.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps({"config": values, "origins": loaded.origins}, indent=2))
        return
    for key, origin in loaded.origins.items():
        typer.echo(f"{key} = {json.dumps(_at(values, key), ensure_ascii=False)}  [{origin}]")


def schema() -> None:
    """Print the JSON Schema."""
    typer.echo(json.dumps(Config.model_json_schema(), indent=2))


def _at(values: Any, key: str) -> Any:  # noqa: ANN401
    for part in key.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values

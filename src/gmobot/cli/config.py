"""``gmobot config``: validate, show with origins, print the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from gmobot.config import Config, load
from gmobot.secrets import SecretName, find_secret, searched_places


def check(path: Path, *, as_json: bool) -> None:
    """Validate a configuration and load its strategies.

    Raises:
        UserError: The first thing that is wrong.
    """
    from gmobot.strategies.loader import load as load_strategy

    config = load(path).config
    for instrument in config.instruments:
        load_strategy(instrument.strategy, instrument.params)
    if as_json:
        found = {"ok": True, "mode": config.mode.value, "environment": config.environment.value, "config_hash": config.hash()}
        typer.echo(json.dumps({"config": str(path)} | found))
    else:
        typer.echo(f"{path}: ok ({config.mode.value}, {config.environment.value}, hash {config.hash()})")


def show(path: Path, *, as_json: bool) -> None:
    """Print every effective value with its origin; of secrets only whether they are there, and from where."""
    loaded = load(path)
    values = loaded.config.model_dump(mode="json")
    secrets = {name: find_secret(name) for name in SecretName}
    if as_json:
        sources = {name.value: found.source if found else None for name, found in secrets.items()}
        typer.echo(json.dumps({"config": values, "origins": loaded.origins, "secrets": sources}, indent=2, ensure_ascii=False))
        return
    for key, origin in loaded.origins.items():
        typer.echo(f"{key} = {json.dumps(_at(values, key), ensure_ascii=False)}  [{origin}]")
    for name, found in secrets.items():
        typer.echo(f"{name.value} = ***  [{found.source}]" if found else f"{name.value} is not set  [{searched_places(name)}]")
        if found and found.warning:
            typer.echo(f"warning: {found.warning}", err=True)


def schema() -> None:
    """Print the JSON Schema."""
    typer.echo(json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False))


def _at(values: Any, key: str) -> Any:  # noqa: ANN401
    for part in key.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values

"""``gmobot replay`` and ``gmobot explain``: a recorded run decided again, and the story of one order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from gmobot.config import load
from gmobot.live import explain as story
from gmobot.live import replay as again
from gmobot.strategies.loader import load as load_strategy

_DIFFERS = 5
_ACTIONS = {1: "buy", -1: "sell", 0: "hold"}


def replay_run(config: Path, run: str, *, force: bool, as_json: bool) -> int:
    """Decide a run again; return the exit code.

    Raises:
        DataError: It is not recorded, or its strategy has changed.
    """
    database = _database(config)
    result = again.replay(database, again.find_run(database, run), load_strategy, force=force)
    found = result.difference
    if as_json:
        shown = None if found is None else {name: getattr(found, name) for name in found.__slots__}
        typer.echo(
            json.dumps(
                {"run_id": result.run_id, "bars": result.bars, "identical": found is None, "difference": shown, "notes": result.notes}
            )
        )
        return 0 if found is None else _DIFFERS
    for note in result.notes:
        typer.echo(note, err=True)
    if found is None:
        typer.echo(f"identical: {result.bars} decisions of run {result.run_id}")
        return 0
    where = f"differs after {result.bars} decisions: {found.symbol}, bar {found.bar_open_ns}"
    typer.echo(f"{where}: {found.field} was {found.recorded}, is {found.now}")
    return _DIFFERS


def explain_order(config: Path, number: int, *, as_json: bool) -> int:
    """Print an order's story; return the exit code.

    Raises:
        DataError: There is no such order.
    """
    told = story.explain(_database(config), number, load_strategy)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    order = told["order"]
    typer.echo(
        f"order {order['order_id'] or '-'} (intent {order['intent_id']}): {_words(order, 'purpose side type lots price state detail')}"
    )
    _print_decision(told["decision"])
    for step in told["steps"]:
        says = step["says"]
        typer.echo(f"{step['at']}  {step['kind']:8} {_words(says, ' '.join(says)) if isinstance(says, dict) else says}")
    for fill in told["fills"]:
        typer.echo(f"{fill['at']}  fill     {_words(fill, 'execution_id side lots ticks fee_uyen realized_uyen position_id')}")
    return 0


def _print_decision(decision: Mapping[str, Any] | None) -> None:
    if decision is None:
        typer.echo("decision: none is on record (it was not decided, or the journal is past its time)")
        return
    desired = decision["desired"]
    typer.echo(f"bar      {_words(decision['bar'], 'open_time open high low close volume flags')}")
    typer.echo(f"account  {_words(decision['account'], 'position pending cash_uyen equity_uyen wallet_drift_uyen halted')}")
    indicators = decision["indicators"]
    typer.echo(f"state    {json.dumps(indicators) if indicators is not None else 'the recorded strategy is not at hand'}")
    wanted = _words(desired, "target stop take_profit max_holding_bars confidence reasons risk_status")
    typer.echo(f"decided  {_ACTIONS[desired['action']]} {wanted}")


def _words(row: Mapping[str, Any], names: str) -> str:
    return "  ".join(f"{name}={row[name]}" for name in names.split() if row.get(name) not in (None, "", 0))


def _database(config: Path) -> Path:
    return load(config).config.paths.state / "gmobot.db"

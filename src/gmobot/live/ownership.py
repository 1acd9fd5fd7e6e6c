"""Whose books these are: those of a paper account, of an emulator, or of real money. One must never be taken for another."""

from __future__ import annotations

from gmobot.config import Config, Environment, Mode
from gmobot.errors import ConfigError
from gmobot.live.saved import Saved

KEY = "owner"
_NAMES = {1: "paper", 2: "live, environment emulator", 3: "live, environment production"}


def owner_of(config: Config) -> int:
    """Return the number of the kind of account that a configuration trades on."""
    if config.mode is Mode.PAPER:
        return 1
    return 2 if config.environment is Environment.EMULATOR else 3


def claim(config: Config, saved: Saved) -> None:
    """Make sure that the state is of the account we trade on; with nothing open it begins anew on another one.

    Raises:
        ConfigError: Something is held or ordered on another kind of account.
    """
    owner, ours = saved.account.get(KEY), owner_of(config)
    if owner in (None, ours):
        return
    held = [symbol for symbol, ledger in saved.ledgers.items() if ledger["position"]]
    if held or saved.open_intents:
        what = ", ".join(held) or f"{len(saved.open_intents)} open orders"
        raise ConfigError(
            f"paths.var: the state in {config.paths.state} is of mode {_NAMES[owner or 1]} and holds {what}; "
            f"this configuration is {_NAMES[ours]}: set paths.var to another folder"
        )
    saved.account.clear()

"""Whose books these are: of a paper account, of an emulator, or of real money, and of which account there. None is taken for another.

The kind is known from the configuration. The account is known by its API key, of which a fingerprint is kept. Keys of one
account are replaced, so another key proves nothing: the exchange is asked about orders of ours, which only our own account shows.

Source: reference/gmo-coin-api.md §5.7, §5.9 (an unknown id is an empty answer; what a stranger's id gets is not documented).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import TypeVar

from gmobot.config import Config, Environment, Mode
from gmobot.errors import Category, ConfigError, Refused
from gmobot.live.saved import Saved
from gmobot.secrets import SecretName
from gmobot.venue.gmo.orders import MOST_IDS
from gmobot.venue.gmo.rest import GmoRest

T = TypeVar("T")
KEY = "owner"
FINGERPRINT = "api_key"
_NAMES = {1: "paper", 2: "live, environment emulator", 3: "live, environment production"}
_NOT_OURS = frozenset({Category.NOT_FOUND, Category.VALIDATION})
"""What a refusal may be that speaks of the ids and not of the key or the exchange."""


def owner_of(config: Config) -> int:
    """Return the number of the kind of account that a configuration trades on."""
    if config.mode is Mode.PAPER:
        return 1
    return 2 if config.environment is Environment.EMULATOR else 3


def fingerprint(rest: GmoRest | None) -> int | None:
    """Return 63 bits of the SHA-256 of the API key in use, from which no key can be found; ``None`` where none signs."""
    key = rest.key if rest is not None else None
    return None if key is None else int.from_bytes(hashlib.sha256(key.reveal()).digest()[:8]) >> 1


def marks(config: Config, rest: GmoRest | None) -> dict[str, int]:
    """Return the numbers by which the next start knows whose books these are; without a key that of the last one stays."""
    mark = fingerprint(rest)
    return {KEY: owner_of(config)} | ({} if mark is None else {FINGERPRINT: mark})


def claim(config: Config, saved: Saved) -> bool:
    """Make sure that the state is of the kind of account we trade on; with nothing open it begins anew on another one.

    Returns:
        Whether it begins anew: what is kept of the account is another one's.

    Raises:
        ConfigError: Something is held or ordered on another kind of account.
    """
    owner, ours = saved.account.get(KEY), owner_of(config)
    if owner in (None, ours):
        return False
    if what := _at_stake(saved):
        raise ConfigError(
            f"paths.var: the state in {config.paths.state} is of mode {_NAMES[owner or 1]} and holds {what}; "
            f"this configuration is {_NAMES[ours]}: set paths.var to another folder"
        )
    saved.account.clear()
    return True


async def recognise(config: Config, saved: Saved, rest: GmoRest) -> None:
    """Make sure that a new API key is of the account on which something is held or ordered; to be asked before anything is sent.

    Raises:
        ConfigError: The exchange answers, and shows nothing of ours.
        VenueError: No answer; nothing was concluded.
    """
    what = _at_stake(saved)
    if saved.account.get(FINGERPRINT) in (None, fingerprint(rest)) or not what:
        return
    # An order without a number, before any other, cannot be asked for; it is looked for by what it is like, as ever.
    if not saved.known_orders or await _shows_ours(saved, rest):
        return
    # What was accepted just before the last run ended may not be shown yet.
    await asyncio.sleep(config.venue.visibility_delay_seconds)
    if not await _shows_ours(saved, rest):
        raise ConfigError(
            f"{SecretName.API_KEY.value}: the state in {config.paths.state} holds {what}, and the account of this new key shows "
            "none of its orders: give a key of the account that the state is of, or set paths.var to another folder"
        )


def _at_stake(saved: Saved) -> str:
    """Return in words what is held or ordered; nothing when nothing is."""
    held = [symbol for symbol, ledger in saved.ledgers.items() if ledger["position"]]
    return ", ".join(held) or (f"{len(saved.open_intents)} open orders" if saved.open_intents else "")


async def _shows_ours(saved: Saved, rest: GmoRest) -> bool:
    """Return whether the exchange knows an order, a fill or a position of ours: how long finished ones are told is not documented."""
    open_orders = [intent.order_id for intent in saved.open_intents if intent.order_id is not None]
    orders = list(dict.fromkeys([*reversed(open_orders), *reversed(saved.known_orders)]))[:MOST_IDS]
    if any(row.order_id in orders for row in await _told(rest.orders(orders))):
        return True
    # Below zero are those that only our books have: what was written off.
    fills = [number for number in saved.known_executions[-MOST_IDS:] if number > 0]
    if any(row.execution_id in fills for row in await _told(rest.executions_by_id(fills))):
        return True
    for symbol in sorted({piece.symbol for piece in saved.pieces}):
        ours = {piece.position_id for piece in saved.pieces if piece.symbol == symbol}
        if any(row.position_id in ours for row in await _told(rest.open_positions(symbol))):
            return True
    return False


async def _told(question: Awaitable[list[T]]) -> list[T]:
    """Return the answer to a question about ids of ours: a refusal that speaks of them shows nothing.

    Raises:
        VenueError: No answer: the key may not ask, or the exchange is closed or out of order.
    """
    try:
        return await question
    except Refused as error:
        if error.category in _NOT_OURS:
            return []
        raise

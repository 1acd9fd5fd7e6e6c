"""Which positions a close order closes, and the losscut price of a position.

Source: reference/gmo-coin-api.md §5.18, §5.19, §5.20, §9.
"""

from __future__ import annotations

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.checks import Refusal
from gmobot.emulator.engine.records import Account, Position, Settle


def chosen_position(account: Account, symbol: str, side: str, position_id: int) -> Position:
    """Return the position that closeOrder names.

    Args:
        account: Whose.
        symbol: As the order names it.
        side: Of the closing trade.
        position_id: Its number.

    Raises:
        Refusal: It is not there (ERR-254), or the side does not close it (ERR-70).
    """
    position = account.positions.get(position_id)
    if position is None or position.symbol != symbol:
        raise Refusal("ERR-254", "Not found position.")
    if position.side == side:
        raise Refusal("ERR-70", "The side does not close the position.")
    return position


def settle_one(position: Position, lots: int) -> list[Settle]:
    """Return the claim of closeOrder.

    Raises:
        Refusal: More than the position (ERR-189), or than other close orders leave of it (ERR-200).
    """
    if lots > position.lots:
        raise Refusal("ERR-189", "Exceeds the closable size.")
    if lots > position.free_lots:
        raise Refusal("ERR-200", "Active close orders reserve the size.")
    return [Settle(position, lots)]


def closable(account: Account, symbol: str, side: str) -> list[Position]:
    """Return the positions a closing trade of this side closes, oldest first.

    Raises:
        Refusal: ERR-422, there is none.
    """
    positions = account.positions_of(symbol, "SELL" if side == "BUY" else "BUY")
    if not positions:
        raise Refusal("ERR-422", "There are no open positions that can be settled.")
    return positions


def settle_many(positions: list[Position], lots: int, assumptions: Assumptions) -> list[Settle]:
    """Return the claims of closeBulkOrder, position after position as assumed.

    Raises:
        Refusal: More than all of them (ERR-423), or than other close orders leave of them (ERR-200).
    """
    if lots > sum(position.lots for position in positions):
        raise Refusal("ERR-423", "Exceeds the total size that can be settled.")
    if lots > sum(position.free_lots for position in positions):
        raise Refusal("ERR-200", "Active close orders reserve the size.")
    settles: list[Settle] = []
    for position in positions if assumptions.bulk_close_first == "oldest" else reversed(positions):
        part = min(lots, position.free_lots)
        lots -= part
        if part:
            settles.append(Settle(position, part))
    return settles

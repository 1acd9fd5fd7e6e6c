"""What our books say the exchange should have: what an exchange that forgets, paper's, is told when a run begins."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gmobot.core.instrument import to_yen
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.venue.models import Side


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A leverage position of ours, at the average price of all that are held."""

    symbol: str
    position_id: int
    side: Side
    size: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Holdings:
    """An account as we know it."""

    jpy: Decimal
    coins: dict[str, Decimal]
    positions: tuple[HeldPosition, ...]


def holdings_of(books: Books, account: Account) -> Holdings:
    """Return what should be there."""
    coins, positions = {}, []
    for symbol in books.symbols:
        ledger, instrument = books.ledger(symbol), books.instrument(symbol)
        if not ledger.on_leverage:
            coins[symbol] = account.state.base_coins.get(symbol, Decimal(0)) + instrument.size(ledger.position)
            continue
        for piece in books.pieces(symbol).ours:
            average = abs(ledger.cost_uyen) // max(1, instrument.notional_uyen(1, abs(ledger.position)))
            price = instrument.price(average)
            positions.append(HeldPosition(symbol, piece.position_id, piece.side, instrument.size(piece.lots), price))
    return Holdings(to_yen(account.cash_uyen), coins, tuple(positions))

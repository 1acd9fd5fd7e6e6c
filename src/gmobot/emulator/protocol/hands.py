"""What the owner of an account does beside its bot: money in and out, and orders by hand. For drills."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec

from gmobot.core.instrument import InstrumentError, to_uyen, to_yen
from gmobot.emulator.engine.checks import NewOrder, Refusal
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account
from gmobot.emulator.protocol import wire
from gmobot.errors import ConfigError

DEFAULT_ACCOUNT = "emulator-key"


class CashMove(msgspec.Struct, forbid_unknown_fields=True):
    """Money or coins that come or go.

    Attributes:
        move: ``transfer_out`` and ``transfer_in`` are those to and from the FX account: no history tells of them.
        asset: ``JPY`` or a spot symbol; transfers move yen only.
    """

    move: Literal["deposit", "withdrawal", "transfer_out", "transfer_in"]
    amount: Decimal
    asset: str = "JPY"
    account: str = DEFAULT_ACCOUNT


class HandOrder(msgspec.Struct, forbid_unknown_fields=True):
    """An order by hand; with ``position_id`` it closes that leverage position."""

    symbol: str
    side: Literal["BUY", "SELL"]
    size: Decimal
    type: Literal["MARKET", "LIMIT", "STOP"] = "MARKET"
    price: Decimal | None = None
    position_id: int | None = None
    account: str = DEFAULT_ACCOUNT


class Hands:
    """Carries it out, under the exchange's own rules."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def move(self, wish: CashMove) -> dict[str, Any]:
        """Move money or coins; return the balance of the asset.

        Raises:
            ConfigError: It cannot be done.
        """
        account, exchange = self.account(wish.account), self._exchange
        if wish.amount <= 0:
            raise ConfigError(f"amount {wish.amount}: a number above zero")
        if wish.asset != "JPY" and (wish.asset not in account.coins or wish.move.startswith("transfer")):
            raise ConfigError(f"asset {wish.asset}: JPY or, for deposits and withdrawals, one of {', '.join(account.coins)}")
        try:
            amount = to_uyen(wish.amount) if wish.asset == "JPY" else exchange.instruments[wish.asset].lots(wish.amount)
            if wish.move == "deposit":
                exchange.cash.deposit(account, wish.asset, amount)
            elif wish.move == "withdrawal":
                exchange.cash.withdraw(account, wish.asset, amount)
            else:
                leaves = wish.move == "transfer_out"
                word = "WITHDRAWAL" if leaves == exchange.assumptions.transfer_withdrawal_leaves else "DEPOSIT"
                exchange.cash.transfer(account, word, amount)
        except (Refusal, InstrumentError) as error:
            raise ConfigError(str(error)) from None
        balance = to_yen(account.jpy_uyen) if wish.asset == "JPY" else exchange.instruments[wish.asset].size(account.coins[wish.asset])
        return {"asset": wish.asset, "balance": wire.number(balance)}

    def order(self, wish: HandOrder) -> dict[str, Any]:
        """Place an order; return it as the exchange lists it.

        Raises:
            ConfigError: It was refused.
        """
        account, exchange = self.account(wish.account), self._exchange
        tif = "FAS" if wish.type == "LIMIT" else "FAK"
        new = NewOrder(wish.symbol, wish.side, wish.type, tif, wish.size, wish.price)
        try:
            order = exchange.place(account, new) if wish.position_id is None else exchange.close(account, new, wish.position_id)
        except (Refusal, InstrumentError) as error:
            raise ConfigError(str(error)) from None
        return wire.order_row(order, exchange.instruments[order.symbol], with_cancel_type=True)

    def account(self, name: str) -> Account:
        """Return an account by its name, which is that of its first key.

        Raises:
            ConfigError: There is none.
        """
        account = self._exchange.accounts.get(name)
        if account is None:
            raise ConfigError(f"account {name}: there is {', '.join(self._exchange.accounts)}")
        return account

"""Comparing our books with the exchange: at start, after every reconnect, and on a timer.

Orders and fills are brought level; what is not ours is told and left alone; and our money must be the
exchange's money, to the micro-yen, whenever nothing is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal

from gmobot.core.instrument import to_uyen, to_yen
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.live.desk import Desk
from gmobot.live.store import Event, Store
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Balance, OrderType


class Reconciler:
    """Brings books and exchange level."""

    def __init__(self, rest: GmoRest, books: Books, account: Account, store: Store, desks: Mapping[str, Desk]) -> None:
        self._rest = rest
        self._books = books
        self._account = account
        self._store = store
        self._desks = desks
        self._suspected_drift = 0

    async def run(self) -> None:
        """Do one full comparison.

        Raises:
            VenueError: No answer; nothing was concluded.
        """
        await asyncio.gather(*(desk.trader.reconcile() for desk in self._desks.values()))
        await self._balances()

    async def _balances(self) -> None:
        fills = self._books.counts.fills
        if self._anything_moving():
            return
        balances = {balance.asset: balance for balance in await self._rest.assets()}
        if self._anything_moving() or self._books.counts.fills != fills:
            return
        if self._account.state.base_cash is None:
            await self._begin(balances)
            return
        await self._compare(balances)

    async def _begin(self, balances: Mapping[str, Balance]) -> None:
        """Take what is there now as the start: the yen to work with, the coins that are not ours."""
        coins = {
            symbol: self._books.instrument(symbol).lots(self._amount(balances, self._books.instrument(symbol).base))
            - self._books.position(symbol)
            for symbol in self._books.symbols
        }
        self._account.start(to_uyen(self._amount(balances, "JPY")), coins)
        fields = {"capital_jpy": str(to_yen(self._account.state.base_cash or 0)), "foreign_coins": coins}
        await self._store.save_account(self._account.state.to_dict(), [Event("reconciled", fields)])

    async def _compare(self, balances: Mapping[str, Balance]) -> None:
        drift = to_uyen(self._amount(balances, "JPY")) - self._account.cash_uyen
        for symbol in self._books.symbols:
            instrument = self._books.instrument(symbol)
            ours = self._account.state.base_coins.get(symbol, 0) + self._books.position(symbol)
            lots = instrument.lots(self._amount(balances, instrument.base)) - ours
            drift += instrument.notional_uyen(self._desks[symbol].market.mark(), lots)
        # A balance can be read between a fill and its booking: only a drift that is seen twice is one.
        confirmed = drift if drift == self._suspected_drift else 0
        self._suspected_drift = drift
        if confirmed != self._account.wallet_drift_uyen:
            self._account.wallet_drift_uyen = confirmed
            await self._store.emit([Event("reconciled", {"wallet_drift_jpy": str(to_yen(confirmed))})])

    def _anything_moving(self) -> bool:
        """Whether an order could fill at any moment: resting stops do so rarely, all others are on their way."""
        return any(
            intent.state.is_unresolved or intent.type is not OrderType.STOP
            for symbol in self._books.symbols
            for intent in self._books.open_intents(symbol)
        )

    @staticmethod
    def _amount(balances: Mapping[str, Balance], asset: str) -> Decimal:
        balance = balances.get(asset)
        return balance.amount if balance is not None else Decimal(0)

"""Comparing our books with the exchange: at start, after every reconnect, and on a timer.

Orders and fills are brought level by each symbol's trader; then leverage positions, each by its number; then
yen and coins, to the micro-yen. A difference is searched for (``live/search.py``); what is found is booked as a
flow. What is left counts as drift once two looks, further apart than anything may stay invisible, agree on it:
it stops new exposure, is told, and waits for an operator, who can take it over with ``resume --acknowledge``. A run
that has only just begun knows of no drift that the last one confirmed: nothing is opened until it has made up its mind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.core.instrument import to_uyen, to_yen
from gmobot.errors import Category, Unavailable
from gmobot.live.account import Account, kept
from gmobot.live.books import Books
from gmobot.live.cash import YEN, CashBook, FlowKind
from gmobot.live.desk import Desk
from gmobot.live.difference import Difference
from gmobot.live.flows import Flow
from gmobot.live.records import Event
from gmobot.live.search import Search
from gmobot.live.store import Store
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Balance, OrderType

_SEARCH_AGAIN_NS = 1_800 * NS_PER_SECOND
_SAVE_LEVEL_NS = 300 * NS_PER_SECOND
_STRANGERS_SECONDS = 2.0
"""What it takes, beyond the visibility delay, until an order counts as somebody else's."""


class Reconciler:
    """Brings books and exchange level."""

    def __init__(
        self,
        rest: GmoRest,
        books: Books,
        account: Account,
        store: Store,
        desks: Mapping[str, Desk],
        clock: Clock,
        *,
        cash: CashBook,
        search: Search,
        visibility_seconds: float,
        max_drift_uyen: int,
        alarm: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Make a reconciler.

        Args:
            rest: The account.
            books: Ours.
            account: Whose base and drift are kept true.
            store: For the audit log.
            desks: By symbol.
            clock: For what lasts.
            cash: Books what is found.
            search: Finds it.
            visibility_seconds: Longest time anything may stay invisible to queries.
            max_drift_uyen: From what drift on a person is told.
            alarm: Called with a reason code and a text when a drift begins that a person must look at.
        """
        self._rest = rest
        self._books = books
        self._account = account
        self._store = store
        self._desks = desks
        self._clock = clock
        self._cash = cash
        self._search = search
        self._max_drift = max_drift_uyen
        self._alarm = alarm
        self._visibility_ns = int(visibility_seconds * NS_PER_SECOND)
        self.confirm_seconds = 2 * visibility_seconds + 2 * _STRANGERS_SECONDS + 1.0
        """How far apart two looks must be that agree."""
        self._suspected = Difference()
        self._suspected_ns = 0
        self._confirmed = Difference()
        self._concluded = False
        self._searched = Difference()
        self._searched_ns = 0
        self._saved_level_ns = 0
        self._gone: dict[tuple[str, int], tuple[int, int]] = {}
        self._told: set[int] = set()

    @property
    def impatient(self) -> bool:
        """Whether something waits to be seen a second time."""
        return bool(self._gone) or (bool(self._suspected) and self._suspected != self._confirmed)

    @property
    def unexplained(self) -> Difference:
        """What two looks agreed on and nothing explains."""
        return self._confirmed

    async def run(self) -> str | None:
        """Do one full comparison. Returns what it could not make out, ``None`` when nothing stands against opening anything.

        Raises:
            VenueError: No answer; nothing was concluded from it.
        """
        await asyncio.gather(*(desk.trader.reconcile() for desk in self._desks.values()))
        for symbol in self._books.symbols:
            await self._cash.let_go(symbol)
            if self._books.ledger(symbol).on_leverage:
                await self._positions(symbol)
        await self._balances()
        return self._open_question

    @property
    def _open_question(self) -> str | None:
        if not self._concluded:
            return f"a difference of {self._suspected} is neither explained nor confirmed" if self._suspected else "an order is on its way"
        return None if self._account.is_known else "what we hold has no price"

    async def acknowledge(self) -> None:
        """An operator has looked: what nothing explains is taken over as it is, on record.

        Raises:
            StoreError: It could not be written.
        """
        rest, now = self._confirmed, self._search.now_ns()
        if not rest:
            return
        self._confirmed = self._suspected = Difference()
        self._account.wallet_drift_uyen = 0
        # What the exchange's histories tell of later was in this difference.
        self._account.state.flows_from_ns = self._account.state.level_ns = now
        if rest.yen_uyen:
            await self._take_over(now, YEN, to_yen(rest.yen_uyen), rest.yen_uyen)
        for symbol, amount in rest.coins.items():
            await self._take_over(now, symbol, amount, 0)

    async def _take_over(self, now: int, asset: str, amount: Decimal, yen_uyen: int) -> None:
        flow = Flow(
            key=f"acknowledged:{asset}:{now}",
            kind=FlowKind.ACKNOWLEDGED,
            asset=asset,
            amount=amount,
            yen_uyen=yen_uyen,
            at_ns=now,
            evidence="an operator acknowledged it",
            symbol="" if asset == YEN else asset,
        )
        await self._cash.take(flow)

    # --- leverage positions ---------------------------------------------------------------------------

    async def _positions(self, symbol: str) -> None:
        """See which positions are ours, which are not, and which of ours are gone."""
        pieces, instrument = self._books.pieces(symbol), self._books.instrument(symbol)
        as_of_ns = elapsed_ns(self._clock) - self._visibility_ns
        fills = self._books.counts.fills
        listed = {position.position_id: position for position in await self._rest.open_positions(symbol)}
        sizes = {number: instrument.lots_at_least(position.size) for number, position in listed.items()}
        # Whatever moves meanwhile: that a stranger's position stands beside ours must be known before the next close.
        pieces.look(((position, sizes[number]) for number, position in listed.items()), as_of_ns=as_of_ns)
        if self._books.counts.fills != fills or self._moving(symbol) or self._desks[symbol].tracker.closes_unclaimed:
            return
        await self._differ(symbol, pieces.apart(sizes))
        strangers = [number for number in pieces.foreign() if number in listed and number not in self._told]
        if strangers:
            self._told.update(strangers)
            fields = {"reason": "foreign_order", "symbol": symbol, "positions": strangers, "evidence": "positions that are not ours"}
            await self._store.emit([Event("error", fields)])

    async def _differ(self, symbol: str, apart: Mapping[int, int]) -> None:
        """Conclude from what two looks, far enough apart, found missing or more: a fill may have been on its way."""
        now, lasting = elapsed_ns(self._clock), []
        for key in [key for key in self._gone if key[0] == symbol and apart.get(key[1]) != self._gone[key][0]]:
            del self._gone[key]
        for number, lots in apart.items():
            _, since_ns = self._gone.setdefault((symbol, number), (lots, now))
            if now - since_ns >= self.confirm_seconds * NS_PER_SECOND:
                del self._gone[symbol, number]
                lasting.append(number)
        left = self._books.pieces(symbol).level(apart) if lasting else {}
        for number in lasting:
            if left[number] > 0:
                await self._write_off(symbol, number, left[number])
            elif left[number] < 0:
                await self._more_than_booked(symbol, number, -left[number])
            self._desks[symbol].trader.wake()

    async def _write_off(self, symbol: str, number: int, lots: int) -> None:
        """Let lots of a piece go, as far as more is booked than our other pieces: a fill may have come meanwhile."""
        pieces = self._books.pieces(symbol)
        others = sum(piece.lots for piece in pieces.ours if piece.position_id != number)
        booked = min(lots, abs(self._books.position(symbol)) - others)
        if booked > 0:
            await self._cash.position_gone(symbol, number, booked)
        else:
            pieces.drop(number)

    async def _more_than_booked(self, symbol: str, number: int, lots: int) -> None:
        """A close whose fill did not tell took another's position in place of ours: a person must look."""
        self._books.pieces(symbol).let_go(number)
        text = f"position {number} of {symbol} is ours and {lots} lots larger than booked: a close took somebody else's in its place"
        await self._alarm("exchange_error", text)

    # --- yen and coins --------------------------------------------------------------------------------

    async def _balances(self) -> None:
        fills = self._books.counts.fills
        if self._anything_moving():
            return
        balances = {balance.asset: balance for balance in await self._rest.assets()}
        at_ns = self._rest.server_stamped_ns or self._clock.now_ns()
        if self._anything_moving() or self._books.counts.fills != fills:
            return
        if self._account.state.base_cash is None:
            await self._begin(balances, at_ns)
            return
        await self._meet_new_symbols(balances)
        await self._judge(self._difference(balances))

    async def _begin(self, balances: Mapping[str, Balance], at_ns: int) -> None:
        """Take what is there now as the start: the yen to work with, the coins that are not ours."""
        yen = to_uyen(self._amount(balances, YEN)) - self._account.cash_uyen
        self._account.start(yen, {symbol: self._not_ours(balances, symbol) for symbol in self._spot}, at_ns=at_ns)
        self._concluded = True
        coins = {symbol: str(amount) for symbol, amount in self._account.state.base_coins.items()}
        fields = {"capital_jpy": str(to_yen(yen)), "foreign_coins": coins}
        await self._store.save_account(self._account.state.to_dict(), [Event("reconciled", fields)])

    async def _meet_new_symbols(self, balances: Mapping[str, Balance]) -> None:
        """A symbol that was not traded before: what is there of it now is not ours."""
        state = self._account.state
        new = {symbol: self._not_ours(balances, symbol) for symbol in self._spot if symbol not in state.base_coins}
        if new:
            state.base_coins.update(new)
            coins = {symbol: str(amount) for symbol, amount in new.items()}
            await self._store.save_account(state.to_dict(), [Event("reconciled", {"foreign_coins": coins})])

    def _difference(self, balances: Mapping[str, Balance]) -> Difference:
        coins = {symbol: self._not_ours(balances, symbol) - self._account.state.base_coins[symbol] for symbol in self._spot}
        yen = to_uyen(self._amount(balances, YEN)) - self._account.cash_uyen
        return Difference(yen, {symbol: amount for symbol, amount in coins.items() if amount})

    async def _judge(self, found: Difference) -> None:
        if found:
            lasting = found == self._suspected and self._old(self._suspected_ns, self.confirm_seconds * NS_PER_SECOND)
            everywhere = lasting and (found != self._searched or self._old(self._searched_ns, _SEARCH_AGAIN_NS))
            rest = await self._search.explain(found, lasting=lasting, everywhere=everywhere)
            if everywhere:
                self._searched, self._searched_ns = rest, elapsed_ns(self._clock)
        else:
            rest, lasting = found, False
        if rest != self._suspected:
            self._suspected, self._suspected_ns = rest, elapsed_ns(self._clock)
        # What is confirmed only now is for the guards to judge first: the next look concludes.
        self._concluded |= rest == self._confirmed
        if not rest:
            await self._level()
        elif lasting and rest == found and rest != self._confirmed:
            await self._confirm(rest)
        elif self._confirmed:
            # It is worth another sum at another price.
            self._account.wallet_drift_uyen = self._worth(self._confirmed)

    async def _level(self) -> None:
        self._confirmed = Difference()
        state = self._account.state
        state.level_ns = max(state.level_ns, self._search.now_ns())
        events = []
        if self._account.wallet_drift_uyen:
            self._account.wallet_drift_uyen = 0
            events.append(Event("reconciled", {"wallet_drift_jpy": "0"}))
        if events or state.level_ns - self._saved_level_ns >= _SAVE_LEVEL_NS:
            self._saved_level_ns = state.level_ns
            await self._store.save_account(state.to_dict(), events)

    async def _confirm(self, rest: Difference) -> None:
        self._confirmed = rest
        drift = self._account.wallet_drift_uyen = self._worth(rest)
        fields = {"wallet_drift_jpy": str(to_yen(drift)), "difference": str(rest)}
        await self._store.emit([Event("reconciled", fields)])
        if self._max_drift and abs(drift) > self._max_drift:
            text = f"the exchange has {rest} beside what our books say and nothing explains it; look, then resume --acknowledge"
            await self._alarm("wallet_drift_exceeded", text)

    def _worth(self, rest: Difference) -> int:
        """Return a difference in micro-yen. Yen and coins do not make up for each other: each has its own reason."""
        parts = [rest.yen_uyen]
        for symbol, amount in rest.coins.items():
            instrument = self._books.instrument(symbol)
            parts.append(int(amount / instrument.size_step * instrument.notional_uyen(self._desks[symbol].market.mark(), 1)))
        total = sum(parts)
        size = sum(abs(part) for part in parts)
        return -size if total < 0 else size

    @property
    def _spot(self) -> list[str]:
        return [symbol for symbol in self._books.symbols if not self._books.ledger(symbol).on_leverage]

    def _not_ours(self, balances: Mapping[str, Balance], symbol: str) -> Decimal:
        instrument = self._books.instrument(symbol)
        ours = instrument.size(self._books.position(symbol)) + self._books.beside(symbol)
        return kept(self._amount(balances, instrument.base)) - ours

    def _old(self, since_ns: int, age_ns: float) -> bool:
        return elapsed_ns(self._clock) - since_ns >= age_ns

    def _anything_moving(self) -> bool:
        return any(self._moving(symbol) for symbol in self._books.symbols)

    def _moving(self, symbol: str) -> bool:
        """Whether a fill is to be expected at any moment: resting orders bring one rarely."""
        return any(i.state.is_unresolved or i.type is OrderType.MARKET for i in self._books.open_intents(symbol))

    @staticmethod
    def _amount(balances: Mapping[str, Balance], asset: str) -> Decimal:
        balance = balances.get(asset)
        if balance is None:
            # All are listed, empty ones too: a list without it is no list, and proves nothing.
            raise Unavailable(f"GET /v1/account/assets: no row for {asset}", category=Category.EXCHANGE)
        return balance.amount

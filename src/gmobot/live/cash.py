"""What comes and goes other than by our trading: booked once each, on record, and no gain or loss of ours.

Deposits, withdrawals, what somebody else traded with the account, what an operator acknowledged: they move the
base (the yen and coins that no trade of ours brought), and peak and day's start with it. A leverage fee for a
position of ours is booked into that symbol's ledger.

If somebody takes coins that were ours, what is missing is written off our position at the price it went for, and
a person must look: nothing is ever sold that is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from gmobot.clock import Clock, iso_utc
from gmobot.core.instrument import to_yen
from gmobot.live.account import Account, kept
from gmobot.live.books import Books, WriteOff
from gmobot.live.flows import Flow
from gmobot.live.market import Market
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.venue.models import Execution, Side

YEN = "JPY"
_UYEN = 1_000_000


class FlowKind(StrEnum):
    """Why something came or went."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    WITHDRAWAL_FEE = "withdrawal_fee"
    FOREIGN_TRADE = "foreign_trade"
    """Somebody else traded with this account."""
    LEVERAGE_FEE = "leverage_fee"
    EXCHANGE_FEE = "exchange_fee"
    """Any other row of the exchange's fee history, where it explains exactly what is missing."""
    ACKNOWLEDGED = "acknowledged"
    """Nothing explains it; an operator took it over."""
    POSITION_GONE = "position_gone"
    """What we held and the exchange no longer has, and no execution tells why: a leverage position, or coins."""
    FRACTION = "fraction"
    """What an order of ours filled beyond whole lots, when it ended: our books hold whole ones."""


class CashBook:
    """Books flows. Memory changes at once, synchronously, and its commit follows: as in :class:`Books`."""

    def __init__(
        self,
        books: Books,
        account: Account,
        markets: Mapping[str, Market],
        store: Store,
        clock: Clock,
        *,
        known: set[str],
        alarm: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Make a cash book.

        Args:
            books: Ledgers and positions.
            account: Whose base moves.
            markets: Prices for what is written off.
            store: Where flows are kept.
            clock: Wall time.
            known: Keys of flows that are booked already.
            alarm: Called with a reason code and a text when a person must look; latches a halt.
        """
        self._books = books
        self._account = account
        self._markets = markets
        self._store = store
        self._clock = clock
        self._known = set(known)
        self._alarm = alarm

    def knows(self, key: str) -> bool:
        """Return whether this flow is booked."""
        return key in self._known

    async def take(self, flow: Flow) -> bool:
        """Book a flow. Returns whether it is news.

        Raises:
            StoreError: It could not be written.
        """
        account = self._account
        if flow.key in self._known or account.state.base_cash is None:
            return False
        self._known.add(flow.key)
        before, missing = account.equity_uyen, None
        if flow.kind == FlowKind.LEVERAGE_FEE and flow.symbol:
            self._books.book_leverage_fee(flow.symbol, -flow.yen_uyen)
            account.pay_leverage_fee(-flow.yen_uyen)
        else:
            missing = self._move_base(flow)
            account.adjust(before)
        await self._commit(flow, missing)
        if missing is not None:
            await self._alarm("foreign_order", f"{flow.kind} took {missing.fill.lots} lots of {flow.asset} that were ours: written off")
        return True

    async def foreign_fill(self, execution: Execution) -> None:
        """Somebody else traded: their yen and coins are not ours.

        Raises:
            StoreError: It could not be written.
        """
        if execution.at_ns > self._account.state.flows_from_ns:
            await self.take(self.flow_of(execution))

    async def ours_after_all(self, execution: Execution) -> None:
        """An execution that was taken for somebody else's is booked as ours: take its flow back.

        Raises:
            StoreError: It could not be written.
        """
        flow = self.flow_of(execution)
        if self.knows(flow.key):
            back = {"key": f"{flow.key}:ours", "amount": -flow.amount, "yen_uyen": -flow.yen_uyen, "evidence": "it was ours after all"}
            await self.take(Flow(**({name: getattr(flow, name) for name in flow.__struct_fields__} | back)))

    def not_ours(self, symbol: str) -> Decimal:
        """Return the coins of a spot symbol that are not ours, as far as that is known."""
        return self._account.state.base_coins.get(symbol, Decimal(0))

    async def position_gone(self, symbol: str, position_id: int | None, lots: int) -> None:
        """Write off what we held and is no longer there; what its end brought shows as a difference of yen.

        Args:
            symbol: Whose.
            position_id: The leverage position; ``None`` on spot.
            lots: At most what we hold.

        Raises:
            StoreError: It could not be written.
        """
        now = self._clock.now_ns()
        flow = Flow(
            key=f"position_gone:{symbol if position_id is None else position_id}:{now}",
            kind=FlowKind.POSITION_GONE,
            asset=YEN,
            amount=Decimal(0),
            yen_uyen=0,
            symbol=symbol,
            at_ns=now,
            evidence="the exchange no longer lists it",
        )
        self._known.add(flow.key)
        before = self._account.equity_uyen
        write_off = self._books.write_off(symbol, lots, self._ticks(symbol), position_id=position_id, detail=flow.kind)
        self._account.adjust(before)
        await self._commit(flow, write_off)
        what = "position" if position_id is None else f"position {position_id}"
        text = f"{lots} lots of our {what} of {symbol} are gone and no execution tells how: written off"
        await self._alarm("exchange_error", text)

    async def let_go(self, symbol: str) -> None:
        """Give away what orders that have ended filled beyond whole lots: the exchange's grid became finer than ours.

        On spot the coins that are not ours gain it, or pay it; where they cannot, a lot of ours does. On leverage the rest of
        a lot whose other part was closed cannot be ordered in our grid: it is another hand's to close.

        Raises:
            StoreError: It could not be written.
        """
        for rest in self._books.let_go(symbol):
            text = f"{symbol}: order {rest.order_id} ended with {rest.coins} beyond whole lots, which are not ours from here on"
            await self._alarm("rules_changed", text)
            piece = next((piece for piece in self._books.pieces(symbol).ours if piece.position_id == rest.position_id), None)
            if piece is not None and piece.lots and (piece.side is Side.BUY) == (rest.coins < 0):
                await self.position_gone(symbol, piece.position_id, 1)
                continue
            now = self._clock.now_ns()
            flow = Flow(
                key=f"fraction:{rest.order_id}:{now}",
                kind=FlowKind.FRACTION,
                asset=symbol,
                amount=rest.coins,
                yen_uyen=0,
                symbol=symbol,
                at_ns=now,
                evidence=text,
            )
            await self.take(flow)

    @staticmethod
    def flow_of(execution: Execution) -> Flow:
        """Return what an execution of somebody else's order did to yen and coins."""
        symbol, leverage = execution.symbol, execution.symbol.endswith("_JPY")
        notional, buys = execution.price * execution.size, execution.side is Side.BUY
        yen = (execution.realized_pnl_jpy or Decimal(0)) if leverage else -notional if buys else notional
        return Flow(
            key=f"execution:{execution.execution_id}",
            kind=FlowKind.FOREIGN_TRADE,
            asset=YEN if leverage else symbol,
            amount=Decimal(0) if leverage else execution.size if buys else -execution.size,
            yen_uyen=int(((yen - execution.fee_jpy) * _UYEN).to_integral_value()),
            symbol=symbol,
            at_ns=execution.at_ns,
            evidence=f"order {execution.order_id}, which we did not send",
            price=execution.price,
        )

    def _move_base(self, flow: Flow) -> WriteOff | None:
        state = self._account.state
        state.base_cash = (state.base_cash or 0) + flow.yen_uyen
        symbol = next((s for s in self._books.symbols if s == flow.asset and not self._books.ledger(s).on_leverage), None)
        if symbol is None or symbol not in state.base_coins:
            return None
        instrument = self._books.instrument(symbol)
        base = kept(state.base_coins[symbol] + flow.amount)
        lots = min(self._books.position(symbol), int((-base / instrument.size_step).to_integral_value(ROUND_CEILING)))
        if base >= 0 or lots <= 0:
            state.base_coins[symbol] = base
            return None
        ticks = self._ticks(symbol, flow.price)
        state.base_coins[symbol] = base + instrument.size(lots)
        # The ledger is paid for them, so the base pays: no yen came that the flow does not tell of.
        state.base_cash -= instrument.notional_uyen(ticks, lots)
        return self._books.write_off(symbol, lots, ticks, detail=flow.kind)

    def _ticks(self, symbol: str, price: Decimal | None = None) -> int:
        """Return a price on the grid: the flow's, the market's, or what we paid."""
        instrument, ledger = self._books.instrument(symbol), self._books.ledger(symbol)
        if price is not None:
            return int(price / instrument.tick_size)
        paid = abs(ledger.cost_uyen) // max(1, instrument.notional_uyen(1, abs(ledger.position)))
        return self._markets[symbol].mark() or max(1, paid)

    async def _commit(self, flow: Flow, write_off: WriteOff | None) -> None:
        fields = {
            "kind": flow.kind,
            "asset": flow.asset,
            "amount": str(flow.amount),
            "yen": str(to_yen(flow.yen_uyen)),
            "symbol": flow.symbol,
            "at": iso_utc(flow.at_ns),
            "evidence": flow.evidence,
            "reason": "external_cash_flow",
        }
        events = [Event("cash_flow", fields)]
        ledgers = {flow.symbol: self._books.ledger(flow.symbol).to_dict()} if flow.symbol in self._books.symbols else {}
        if write_off is not None:
            events.append(self._books.position_event(write_off.fill.symbol, reason=flow.kind))
        await self._store.take_flow(flow, self._account.state.to_dict(), ledgers, write_off, events)

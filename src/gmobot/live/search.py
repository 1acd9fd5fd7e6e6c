"""Looking for what explains a difference: the exchange's own records first, then what can only be inferred.

Nothing is asked while balances agree. What is found is booked by its key, so asking twice, or being killed in
between, changes nothing. In this order: the fee history, deposits and withdrawals (half an hour a question,
newest first, until the difference is gone), trades of symbols we do not trade. The shape of the fee history is
not known for certain; when it tells nothing, a loss of just about the fee of the positions that were held over
06:00 JST is taken for that fee, and said to be so.

Transfers to and from the FX account are in no history: they stay unexplained until an operator acknowledges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

import structlog

from gmobot.clock import NS_PER_SECOND, Clock, trading_day, trading_day_start_ns
from gmobot.core.instrument import PPM, to_uyen
from gmobot.errors import Refused, VenueError
from gmobot.live.account import Account, kept
from gmobot.live.books import Books
from gmobot.live.cash import YEN, CashBook, FlowKind
from gmobot.live.difference import Difference
from gmobot.live.flows import Flow
from gmobot.live.market import Market
from gmobot.live.store import Store
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import CashFlow, FeeEntry

WINDOW_NS = 1_800 * NS_PER_SECOND
"""What one question about deposits covers."""
_NEWEST = 2
"""Windows that are always asked for."""
_LATE_NS = 72 * 3_600 * NS_PER_SECOND
"""How long before everything agreed for the last time a flow may be dated: a withdrawal is, at its request."""
_FEE_HOURS_NS = 3 * 3_600 * NS_PER_SECOND
_FEE_TOLERANCE = Decimal("0.2")
"""How far a leverage fee may lie from our estimate, whose price is not that of 06:00."""
_EXECUTED = "EXECUTED"
_LEVERAGE_FEE = "LEVERAGE_FEE"
log = structlog.get_logger("gmobot.search")


class Search:
    """Explains differences."""

    def __init__(
        self,
        rest: GmoRest,
        public_rest: GmoRest,
        books: Books,
        account: Account,
        cash: CashBook,
        store: Store,
        markets: Mapping[str, Market],
        clock: Clock,
    ) -> None:
        self._rest = rest
        self._public = public_rest
        self._books = books
        self._account = account
        self._cash = cash
        self._store = store
        self._markets = markets
        self._clock = clock

    def now_ns(self) -> int:
        """Return the exchange's time; our own before it has told."""
        return self._rest.server_floor_ns or self._clock.now_ns()

    async def explain(self, rest: Difference, *, lasting: bool, everywhere: bool) -> Difference:
        """Book what is found; return what is left to explain.

        Args:
            rest: What is to be explained.
            lasting: Whether it was there at an earlier look too: only then may anything be inferred.
            everywhere: Whether to look far back, and at other markets.

        Raises:
            VenueError: No answer; what was found before is booked.
        """
        if rest.yen_uyen < 0:
            rest = await self._fees(rest)
        if rest:
            rest = await self._histories(rest, everywhere=everywhere)
        if rest.yen_uyen and everywhere:
            rest = await self._other_markets(rest)
        if rest.yen_uyen < 0 and not rest.coins and lasting:
            rest = await self._expected_fee(rest)
        return rest

    async def _book(self, rest: Difference, flow: Flow) -> Difference:
        return rest.without(flow) if await self._cash.take(flow) else rest

    # --- the fee history ------------------------------------------------------------------------------

    @property
    def _leveraged(self) -> list[str]:
        return [symbol for symbol in self._books.symbols if self._books.ledger(symbol).on_leverage]

    async def _fees(self, rest: Difference) -> Difference:
        state = self._account.state
        first = max(trading_day(state.flows_from_ns), trading_day(state.level_ns) - 1)
        try:
            entries = await self._rest.exchange_fees(_date(first), _date(trading_day(self.now_ns())))
        except VenueError as error:
            # Permission, shape or network: the difference itself says what is missing.
            log.warning("the fee history tells nothing", error=str(error))
            return rest
        own = await self._store.own_positions() if entries else {}
        twins, others = Counter[str](), list[Flow]()
        paid_is_negative = _paid_is_negative(entries)
        for entry in entries:
            key = _fee_key(entry)
            twins[key] += 1
            flow = self._fee_flow(entry, f"{key}#{twins[key]}", own, paid_is_negative=paid_is_negative)
            if flow is None or not self._is_plausible(flow, entry):
                continue
            if flow.kind == FlowKind.EXCHANGE_FEE:
                others.append(flow)
            elif entry.at_ns is not None or rest.yen_uyen == flow.yen_uyen:
                # Undated, it may be of any day: only if it is just what is missing.
                rest = await self._book(rest, flow)
        return await self._other_fees(rest, others)

    async def _other_fees(self, rest: Difference, fees: Iterable[Flow]) -> Difference:
        """Book a fee of another kind, or all of them, if that is exactly what is missing: fees of trades are in our fills already."""
        new = [flow for flow in fees if rest.yen_uyen and not self._cash.knows(flow.key)]
        alone = [flow for flow in new if flow.yen_uyen == rest.yen_uyen]
        together = new if sum(flow.yen_uyen for flow in new) == rest.yen_uyen else []
        for flow in alone[:1] or together:
            rest = await self._book(rest, flow)
        return rest

    def _fee_flow(self, entry: FeeEntry, key: str, own: Mapping[int, str], *, paid_is_negative: bool) -> Flow | None:
        if entry.amount_jpy is None or not entry.amount_jpy:
            return None
        leverage = entry.kind == _LEVERAGE_FEE
        # A leverage fee is always paid, whichever sign the wire gives it; any other may be a rebate.
        amount = -abs(entry.amount_jpy) if leverage else entry.amount_jpy if paid_is_negative else -entry.amount_jpy
        return Flow(
            key=key,
            kind=FlowKind.LEVERAGE_FEE if leverage else FlowKind.EXCHANGE_FEE,
            asset=YEN,
            amount=amount,
            yen_uyen=to_uyen(amount),
            at_ns=entry.at_ns if entry.at_ns is not None else self.now_ns(),
            evidence="exchangeFee/history",
            symbol=self._fee_symbol(entry, own) if leverage else "",
        )

    def _fee_symbol(self, entry: FeeEntry, own: Mapping[int, str]) -> str:
        """Return whose ledger a fee belongs to, or nothing when it was for a position that is not ours."""
        number = entry.fields.get("positionId", "")
        if number.isdecimal():
            symbol = own.get(int(number), "")
            return symbol if symbol in self._books.symbols else ""
        candidates = [entry.symbol.replace("/", "_")] if entry.symbol else self._leveraged
        sole = candidates[0] if len(candidates) == 1 and candidates[0] in self._leveraged else ""
        return sole if sole in own.values() and not self._books.pieces(sole).foreign() else ""

    def _is_plausible(self, flow: Flow, entry: FeeEntry) -> bool:
        if self._cash.knows(_inferred_key(trading_day(flow.at_ns))):
            return False
        return entry.at_ns is None or entry.at_ns > self._account.state.flows_from_ns

    async def _expected_fee(self, rest: Difference) -> Difference:
        """Take a loss of about what holding our positions over 06:00 costs for that fee."""
        now = self.now_ns()
        day = trading_day(now)
        turn_ns = trading_day_start_ns(day)
        late = now - turn_ns > _FEE_HOURS_NS or turn_ns <= self._account.state.flows_from_ns
        foreign = any(self._books.pieces(symbol).foreign() for symbol in self._leveraged)
        if late or foreign or self._cash.knows(_inferred_key(day)):
            return rest
        held = await self._store.positions_at(turn_ns)
        expected = {symbol: fee for symbol in self._leveraged if (fee := self._overnight_uyen(symbol, held.get(symbol, 0)))}
        total, lost = sum(expected.values()), -rest.yen_uyen
        if not total or abs(lost - total) > total * _FEE_TOLERANCE:
            return rest
        left = lost
        for number, (symbol, fee) in enumerate(expected.items(), start=1):
            part = left if number == len(expected) else lost * fee // total
            left -= part
            flow = Flow(
                key=_inferred_key(day) if number == 1 else f"{_inferred_key(day)}:{symbol}",
                kind=FlowKind.LEVERAGE_FEE,
                asset=YEN,
                amount=Decimal(-part) / 1_000_000,
                yen_uyen=-part,
                at_ns=now,
                evidence="inferred from the balance: about the fee of what was held over 06:00 JST",
                symbol=symbol,
            )
            rest = await self._book(rest, flow)
        return rest

    def _overnight_uyen(self, symbol: str, lots: int) -> int:
        instrument, mark = self._books.instrument(symbol), self._markets[symbol].mark()
        return instrument.notional_uyen(mark, abs(lots)) * instrument.leverage_fee_ppm // PPM

    # --- deposits and withdrawals ---------------------------------------------------------------------

    async def _histories(self, rest: Difference, *, everywhere: bool) -> Difference:
        state, end = self._account.state, self.now_ns()
        oldest = max(state.flows_from_ns, state.level_ns - _LATE_NS if everywhere else end - _NEWEST * WINDOW_NS)
        fees: list[Flow] = []
        while rest and end > oldest:
            start = max(end - WINDOW_NS, oldest)
            for flow, fee in await self._window(rest, start, end):
                before = rest
                rest = await self._book(rest, flow)
                if rest is not before and fee is not None:
                    fees.append(fee)
            end = start
        return await self._withdrawal_fees(rest, fees)

    async def _window(self, rest: Difference, start_ns: int, end_ns: int) -> list[tuple[Flow, Flow | None]]:
        questions: list[tuple[FlowKind, str, Callable[[], Awaitable[list[CashFlow]]]]] = []
        if rest.yen_uyen:
            questions.append((FlowKind.DEPOSIT, YEN, lambda: self._rest.fiat_deposits(start_ns, end_ns)))
            questions.append((FlowKind.WITHDRAWAL, YEN, lambda: self._rest.fiat_withdrawals(start_ns, end_ns)))
        for coin in rest.coins:
            questions.append((FlowKind.DEPOSIT, coin, lambda coin=coin: self._rest.deposits(coin, start_ns, end_ns)))  # type: ignore[misc]
            questions.append((FlowKind.WITHDRAWAL, coin, lambda coin=coin: self._rest.withdrawals(coin, start_ns, end_ns)))  # type: ignore[misc]
        found: list[tuple[Flow, Flow | None]] = []
        for kind, asset, ask in questions:
            try:
                rows = await ask()
            except Refused as error:
                log.warning("a history tells nothing", kind=kind.value, asset=asset, error=str(error))
                continue
            found += self._flows(kind, asset, rows)
        return found

    def _flows(self, kind: FlowKind, asset: str, rows: Iterable[CashFlow]) -> list[tuple[Flow, Flow | None]]:
        """Return each executed row as a flow, and the fee it may have cost on top."""
        twins, found = Counter[str](), []
        for row in rows:
            if row.status != _EXECUTED or row.at_ns <= self._account.state.flows_from_ns:
                continue
            key = f"{kind.value}:{asset}:{row.at_ns}:{row.amount}:{row.transaction or ''}"
            twins[key] += 1
            flow = _cash_flow(kind, asset, row.amount if kind is FlowKind.DEPOSIT else -row.amount, row.at_ns, f"{key}#{twins[key]}")
            fee = _cash_flow(FlowKind.WITHDRAWAL_FEE, asset, -row.fee, row.at_ns, f"{flow.key}:fee") if row.fee else None
            found.append((flow, fee if kind is FlowKind.WITHDRAWAL else None))
        return found

    async def _withdrawal_fees(self, rest: Difference, fees: list[Flow]) -> Difference:
        """Whether a withdrawal's fee is part of its amount or comes on top is not documented: the balance tells."""
        without = rest
        for fee in fees:
            without = without.without(fee)
        if fees and rest and not without:
            for fee in fees:
                rest = await self._book(rest, fee)
        return rest

    # --- other markets --------------------------------------------------------------------------------

    async def _other_markets(self, rest: Difference) -> Difference:
        """Somebody may have traded what we do not: their coins are no business of ours, but the yen are the account's."""
        for rules in await self._public.symbols():
            if rules.symbol in self._books.symbols or not rest.yen_uyen:
                continue
            try:
                executions = await self._rest.latest_executions(rules.symbol)
            except Refused as error:
                log.warning("executions of another market are not told", symbol=rules.symbol, error=str(error))
                continue
            for execution in executions:
                if execution.at_ns > self._account.state.flows_from_ns:
                    # Its coins are in no difference: we do not compare them.
                    rest = Difference((await self._book(rest, self._cash.flow_of(execution))).yen_uyen, rest.coins)
        return rest


def _cash_flow(kind: FlowKind, asset: str, amount: Decimal, at_ns: int, key: str) -> Flow:
    yen = asset == YEN
    return Flow(
        key=key,
        kind=kind,
        asset=asset,
        amount=amount if yen else kept(amount),
        yen_uyen=to_uyen(amount) if yen else 0,
        at_ns=at_ns,
        evidence="the exchange's history",
        symbol="" if yen else asset,
    )


def _fee_key(entry: FeeEntry) -> str:
    if entry.at_ns is None:
        return "fee:" + ",".join(f"{name}={value}" for name, value in sorted(entry.fields.items()))
    return f"fee:{entry.kind}:{entry.at_ns}:{entry.symbol or ''}:{entry.fields.get('positionId', '')}:{entry.amount_jpy}"


def _paid_is_negative(entries: Iterable[FeeEntry]) -> bool:
    """Return whether the history writes payments below zero: leverage fees are payments. Elsewhere a fee above zero is paid (§5.9)."""
    amounts = [entry.amount_jpy for entry in entries if entry.kind == _LEVERAGE_FEE and entry.amount_jpy]
    return bool(amounts) and all(amount < 0 for amount in amounts)


def _inferred_key(day: int) -> str:
    return f"leverage_fee:inferred:{day}"


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)

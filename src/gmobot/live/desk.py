"""One symbol's desk: its market, feed, decisions, tracker and trader, wired together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.config import Config, InstrumentConfig
from gmobot.core.compiled import numbers
from gmobot.core.instrument import FeeRounding, Instrument, InstrumentError, Product
from gmobot.core.settings import Settings
from gmobot.errors import ConfigError
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.decisions import SymbolDecisions
from gmobot.live.entry import EntryStyle
from gmobot.live.feed import SymbolFeed
from gmobot.live.gate import OrderGate
from gmobot.live.market import Market
from gmobot.live.protection import Cause, Cover, ProtectionMeter, cause_of
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.tracker import OrderTracker
from gmobot.live.trader import Manner, Standing, SymbolTrader
from gmobot.live.workers import Worker
from gmobot.ops.telemetry import Telemetry
from gmobot.strategies.program import DecisionCore, Program
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import SymbolRules

log = structlog.get_logger("gmobot.desk")
_SHORTEST_ENTRY_WINDOW = 2.0
_LONGEST_ENTRY_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every desk of a daemon shares."""

    config: Config
    books: Books
    account: Account
    cash: CashBook
    store: Store
    gate: OrderGate
    public_rest: GmoRest
    trade_rest: GmoRest
    clock: Clock
    telemetry: Telemetry
    decision_worker: Worker
    standing: Callable[[], Standing]
    settled: Callable[[], bool]
    halted: Callable[[], bool]
    alarm: Callable[[str, str], Awaitable[None]]
    found_closed: Callable[[], None]
    doubts_rules: Callable[[], None]


class Desk:
    """Everything of one symbol."""

    def __init__(self, config: InstrumentConfig, program: Program, market: Market, around: Surroundings) -> None:
        symbol, clock = config.symbol, around.clock
        self.config = config
        self.program = program
        self.market = market
        self.settings = engine_settings(config, around.config, market.instrument, program)
        self.limits: Any = numbers(self.settings.record()[0])
        self.protection = ProtectionMeter(grace_seconds=around.config.runtime.protect_grace_seconds)
        self._clock, self._telemetry = clock, around.telemetry
        self.tracker = OrderTracker(
            symbol,
            around.books,
            around.trade_rest,
            clock,
            telemetry=around.telemetry,
            visibility_delay_seconds=around.config.venue.visibility_delay_seconds,
            fill_visibility_seconds=around.config.venue.fill_visibility_seconds,
            changed=lambda: self.trader.wake(),  # noqa: PLW0108  # the trader is made after the tracker
            cash=around.cash,
            alarm=around.alarm,
        )
        self.trader = SymbolTrader(
            symbol,
            books=around.books,
            tracker=self.tracker,
            market=market,
            gate=around.gate,
            rest=around.trade_rest,
            store=around.store,
            clock=clock,
            telemetry=around.telemetry,
            standing=around.standing,
            found_closed=around.found_closed,
            doubts_rules=around.doubts_rules,
            manner=manner_of(config, around.config, market.instrument),
        )
        self.decisions = SymbolDecisions(
            market.instrument,
            DecisionCore(program, self.settings),
            bar_seconds=config.bar_seconds,
            account=around.account,
            store=around.store,
            worker=around.decision_worker,
            clock=clock,
            telemetry=around.telemetry,
            deadline_seconds=around.config.runtime.decision_deadline_seconds,
            settled=around.settled,
            halted=around.halted,
            decided=lambda desire, _: self.trader.desire(desire),
        )
        self.feed = SymbolFeed(
            market.instrument,
            config.bar_seconds,
            around.public_rest,
            clock,
            grace_ms=around.config.runtime.bar_grace_ms,
            warmup_bars=around.config.runtime.warmup_bars or program.warmup_bars + 1,
            deliver=self.decisions.put,
        )

    def measure_protection(self, books: Books, *, exchange_open: bool) -> list[Event]:
        """Take note of whether, and why, a part of the position lies open now. Returns what is news of it."""
        symbol, now = self.config.symbol, elapsed_ns(self._clock)
        cause = cause_of(
            Cover(
                uncovered=self.trader.uncovered_lots(),
                stop=self.trader.stop,
                losscut=books.pieces(symbol).losscut_lots(self.trader.stop),
                held=abs(books.position(symbol)),
                min_lots=self.market.instrument.min_lots,
                exchange_open=exchange_open,
                closing=self.trader.closing,
                reserved=self.trader.reserved,
                open_intents=books.open_intents(symbol),
            )
        )
        counted = self.protection.cause
        seconds = self.protection.observe(cause, now)
        if counted is not None:
            self._telemetry.unprotected(counted.value, seconds)
        return self._protection_news(counted, cause, now)

    def _protection_news(self, former: Cause | None, cause: Cause | None, now: int) -> list[Event]:
        symbol, news = self.config.symbol, []
        if cause is not former:
            fields = {"symbol": symbol, "protected": cause is None, "cause": cause.value if cause is not None else None}
            news.append(Event("protection_changed", fields))
        if self.protection.alarm_is_due(now) and cause is not None:
            seconds = round((now - self.protection.since_ns) / NS_PER_SECOND, 1)
            log.error("a position lies open", symbol=symbol, cause=cause.value, seconds=seconds)
            fields = {"reason": "position_unprotected", "symbol": symbol, "cause": cause.value, "seconds": seconds}
            news.append(Event("error", fields))
        return news


def instrument_of(config: InstrumentConfig, rules: SymbolRules, fee_rounding: str) -> Instrument:
    """Return a symbol's arithmetic under the exchange's rules of today.

    Raises:
        ConfigError: Money in this symbol cannot be held exactly.
    """
    try:
        return Instrument(
            symbol=config.symbol,
            product=Product(config.product),
            tick_size=rules.tick_size,
            size_step=rules.size_step,
            min_size=rules.min_order_size,
            max_size=rules.max_order_size,
            maker_fee=rules.maker_fee,
            taker_fee=rules.taker_fee,
            fee_rounding=FeeRounding[fee_rounding.upper()],
        )
    except InstrumentError as error:
        raise ConfigError(f"instruments: {error}") from None


def manner_of(config: InstrumentConfig, whole: Config, instrument: Instrument) -> Manner:
    """Return how a symbol is traded."""
    entry, bar_seconds = config.entry, float(config.bar_seconds)
    style = EntryStyle(
        limit=entry.method != "market",
        passive=entry.method == "passive_limit",
        offset_ticks=entry.offset_ticks,
        post_only=entry.post_only,
        losscut_margin=entry.losscut_margin,
        distinguish=entry.distinguish,
    )
    window = min(max(bar_seconds, _SHORTEST_ENTRY_WINDOW), _LONGEST_ENTRY_WINDOW)
    return Manner(
        style=style,
        entry_window_seconds=max(window, entry.rest_seconds or bar_seconds) if style.limit else window,
        max_lots=instrument.lots(whole.risk.max_position_size),
    )


def engine_settings(config: InstrumentConfig, whole: Config, instrument: Instrument, program: Program) -> Settings:
    """Return what the compiled engine is told of this symbol."""
    fixed, risk = config.sizing.method == "fixed", whole.risk
    return Settings(
        instrument=instrument,
        warmup_bars=program.warmup_bars,
        min_confidence=config.filters.min_confidence,
        cooldown_bars=config.filters.cooldown_bars,
        max_positions=config.filters.max_positions,
        volatility_spike_ratio=config.filters.volatility_spike_ratio,
        thin_volume_ratio=config.filters.thin_volume_ratio,
        fixed_size=config.sizing.size if fixed else None,
        risk_fraction=None if fixed else config.sizing.risk_fraction,
        max_drawdown=risk.max_drawdown,
        daily_loss_limit=risk.daily_loss_limit,
        max_position_size=risk.max_position_size,
        max_trade_loss=risk.max_trade_loss,
        max_leverage=risk.max_leverage,
        max_wallet_drift=risk.max_wallet_drift,
        close_on_abort=risk.close_on_abort,
    )

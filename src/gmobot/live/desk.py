"""One symbol's desk: its market, feed, decisions, tracker and trader, wired together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gmobot.clock import Clock
from gmobot.config import Config, InstrumentConfig
from gmobot.core.instrument import FeeRounding, Instrument, InstrumentError, Product
from gmobot.core.settings import Settings
from gmobot.errors import ConfigError
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.live.decisions import SymbolDecisions
from gmobot.live.feed import SymbolFeed
from gmobot.live.gate import OrderGate
from gmobot.live.market import Market
from gmobot.live.protection import ProtectionMeter, cause_of
from gmobot.live.store import Store
from gmobot.live.tracker import OrderTracker
from gmobot.live.trader import Standing, SymbolTrader
from gmobot.live.workers import Worker
from gmobot.ops.telemetry import Telemetry
from gmobot.strategies.program import DecisionCore, Program
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import SymbolRules

_SHORTEST_ENTRY_WINDOW = 2.0
_LONGEST_ENTRY_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every desk of a daemon shares."""

    config: Config
    books: Books
    account: Account
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


class Desk:
    """Everything of one symbol."""

    def __init__(self, config: InstrumentConfig, program: Program, market: Market, around: Surroundings) -> None:
        symbol, clock = config.symbol, around.clock
        self.config = config
        self.program = program
        self.market = market
        self.settings = engine_settings(config, around.config, market.instrument, program)
        self.protection = ProtectionMeter()
        self._clock, self._telemetry = clock, around.telemetry
        self.tracker = OrderTracker(
            symbol,
            around.books,
            around.trade_rest,
            clock,
            telemetry=around.telemetry,
            visibility_delay_seconds=around.config.venue.visibility_delay_seconds,
            changed=lambda: self.trader.wake(),  # noqa: PLW0108  # the trader is made after the tracker
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
            entry_window_seconds=min(max(float(config.bar_seconds), _SHORTEST_ENTRY_WINDOW), _LONGEST_ENTRY_WINDOW),
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

    def measure_protection(self, books: Books, *, exchange_open: bool) -> None:
        """Take note of whether, and why, a part of the position lies open now."""
        cause = cause_of(
            uncovered=self.trader.uncovered_lots(),
            stop=self.trader.stop,
            min_lots=self.market.instrument.min_lots,
            exchange_open=exchange_open,
            closing=self.trader.closing,
            open_intents=books.open_intents(self.config.symbol),
        )
        counted = self.protection.cause
        seconds = self.protection.observe(cause, self._clock.now_ns())
        if counted is not None:
            self._telemetry.unprotected(counted.value, seconds)


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


def require_spot(config: Config) -> None:
    """Refuse what this daemon cannot trade yet.

    Raises:
        ConfigError: An instrument is a leverage product.
    """
    for instrument in config.instruments:
        if Product(instrument.product) is not Product.SPOT:
            raise ConfigError(
                f"instruments: {instrument.symbol} is a leverage symbol; this version's daemon trades spot only, `gmobot backtest` both"
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

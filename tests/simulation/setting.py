"""What all seeds share: the account, what is traded under which rules, and the daemon's configuration."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.simulation.plan import Plan

from gmobot.config import Config
from gmobot.core.instrument import Instrument, Product

KEY, SECRET = "sim-key", "sim-secret"
BALANCES = {"JPY": Decimal(10_000_000), "BTC": Decimal("0.5"), "ETH": Decimal(5)}
FOREIGN_LOTS = 50_000
"""Of each coin, there from the beginning."""
VISIBILITY_SECONDS = 3.0
"""The daemon's visibility delay."""
EMA, SWING = "gmobot.strategies.ema_momentum:EmaMomentum", "tests.simulation.swing:Swing"
PARAMS: dict[str, dict[str, int | float | bool]] = {
    EMA: {"fast": 2, "slow": 5, "rsi_period": 3, "rsi_overbought": 100.0, "atr_period": 5, "stop_atr": 1.5, "take_profit_atr": 3.0},
    SWING: {},
}
INSTRUMENTS = {
    "BTC": Instrument(
        "BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005")
    ),
    "BTC_JPY": Instrument("BTC_JPY", Product.LEVERAGE, Decimal(1), Decimal("0.001"), Decimal("0.001"), Decimal(5), Decimal(0), Decimal(0)),
    "ETH": Instrument(
        "ETH", Product.SPOT, Decimal(1), Decimal("0.0001"), Decimal("0.0001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005")
    ),
    "ETH_JPY": Instrument(
        "ETH_JPY", Product.LEVERAGE, Decimal(1), Decimal("0.0005"), Decimal("0.0005"), Decimal(5), Decimal(0), Decimal(0)
    ),
}
"""A coin is as dear as another here, so that the account's limits can be met by either; their steps differ, as at the exchange."""


def strategy_of(plan: Plan) -> str:
    """Return which strategy a plan's daemon runs."""
    return (EMA, SWING)[plan.seed % 2]


def configured(plan: Plan, var: Path) -> Config:
    """Return the daemon's configuration, its folders made."""
    for folder in ("artifacts", "logs", "state"):
        (var / folder).mkdir()
    strategy = strategy_of(plan)
    return Config.model_validate(
        {
            "mode": "live",
            "execute_orders": True,
            "environment": plan.environment,
            "instruments": [
                {
                    "symbol": symbol,
                    "product": INSTRUMENTS[symbol].product.value,
                    "bar_seconds": 1,
                    "strategy": strategy,
                    "params": PARAMS[strategy],
                    "sizing": {"method": "fixed", "size": "0.01"},
                    "entry": plan.entry,
                    "filters": plan.filters,
                }
                for symbol in plan.symbols
            ],
            "risk": {
                "max_drawdown": 0,
                "daily_loss_limit": 0,
                "max_trade_loss": 0,
                "max_position_size": "0.01",
                "max_orders_per_minute": 600,
            }
            | plan.risk,
            "runtime": {"reconcile_seconds": 20, "warmup_bars": 20},
            "venue": {"visibility_delay_seconds": VISIBILITY_SECONDS, "reply_timeout_seconds": 2.5},
            "paths": {"var": str(var)},
        }
    )

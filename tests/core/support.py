"""What the core's tests share: one instrument, records by keyword, and the engine stepped with decisions of the test's choice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.decision import Decision, hold
from gmobot.core.engine import conclude, observe
from gmobot.core.instrument import Instrument, Product
from gmobot.core.reasons import names
from gmobot.core.records import ACCOUNT, BAR, DESIRED, ENGINE, PRICE_BAR
from gmobot.core.settings import Settings

BTC = Instrument(
    symbol="BTC",
    product=Product.SPOT,
    tick_size=Decimal(1),
    size_step=Decimal("0.0001"),
    min_size=Decimal("0.0001"),
    max_size=Decimal(5),
    maker_fee=Decimal("-0.0001"),
    taker_fee=Decimal("0.0005"),
)
BTC_JPY = replace(BTC, symbol="BTC_JPY", product=Product.LEVERAGE, maker_fee=Decimal(0), taker_fee=Decimal(0))
YEN = 1_000_000
PRICE = 10_000_000

HOLD: Decision = uncompiled(hold)()
_observe, _conclude = uncompiled(observe), uncompiled(conclude)


def settings(**changes: Any) -> Settings:
    plain: dict[str, Any] = {"instrument": BTC, "fixed_size": Decimal("0.01")}
    return Settings(**(plain | changes))


def account(**fields: int) -> NDArray[Any]:
    """A healthy account of ten million yen, changed as told."""
    record = np.zeros(1, ACCOUNT)
    ten_million = PRICE * YEN
    healthy = {"cash_uyen": ten_million, "equity_uyen": ten_million, "peak_equity_uyen": ten_million, "day_start_equity_uyen": ten_million}
    for name, value in (healthy | fields).items():
        record[name] = value
    return record


def bar(close: int = PRICE, *, width: int = 1_000, volume: int = 100, flags: int = 0, time: int = 0) -> NDArray[Any]:
    return np.array([(time, close, close + width, close - width, close, volume, flags)], BAR)


class Desk:
    """The engine of one symbol, uncompiled, told what the strategy decides."""

    def __init__(self, **changes: Any) -> None:
        self.settings = settings(**changes).record()
        self.engine = np.zeros(1, ENGINE)
        self.shown = np.zeros(1, PRICE_BAR)
        self._desired = np.zeros(1, DESIRED)

    def step(self, decision: Decision = HOLD, of: NDArray[Any] | None = None, *, at: NDArray[Any] | None = None) -> Any:
        """Decide on a bar ``at`` for the account ``of``; return the desired state."""
        now, owner = bar() if at is None else at, account() if of is None else of
        records = [PlainRecord(record[0]) for record in (self.engine, now, owner, self.settings, self.shown, self._desired)]
        engine, plain_bar, plain_account, plain_settings, shown, desired = records
        _observe(engine, plain_bar, plain_settings, shown)
        _conclude(engine, plain_bar, plain_account, plain_settings, decision, desired)
        return PlainRecord(self._desired.copy()[0])


def reasons(desired: Any) -> set[str]:
    return set(names(desired.reasons))


def real_bars(market_data: Path, name: str = "gmo_BTC_JPY_1m_20241205_20250109", count: int | None = None) -> NDArray[Any]:
    """Recorded one-minute bars in ticks and lots; dollar prices are taken for a hundred yen each."""
    table = pl.read_parquet(market_data / "ohlcv_1m" / f"{name}.parquet").head(count or 10_000_000)
    scale = 1 if name.startswith("gmo") else 100
    bars = np.zeros(len(table), BAR)
    bars["open_time"] = table["timestamp"].dt.epoch("ns").to_numpy()
    for field in ("open", "high", "low", "close"):
        bars[field] = np.rint(table[field].to_numpy() * scale)
    bars["volume"] = np.rint(table["volume"].to_numpy() * 10_000)
    return bars

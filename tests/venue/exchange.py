"""A small emulated exchange to talk to: a synthetic market in BTC, one account."""

from __future__ import annotations

from decimal import Decimal

from gmobot.clock import Clock
from gmobot.core.instrument import Instrument, Product
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.market import SyntheticMarket
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials

KEY, SECRET = "test-key", "test-secret"
CREDENTIALS = Credentials(Secret(KEY), Secret(SECRET))
BTC = Instrument(
    symbol="BTC",
    product=Product.SPOT,
    tick_size=Decimal(1),
    size_step=Decimal("0.00001"),
    min_size=Decimal("0.00001"),
    max_size=Decimal(5),
    maker_fee=Decimal("-0.0001"),
    taker_fee=Decimal("0.0005"),
)


def emulated(clock: Clock, *, seed: int = 7) -> ExchangeApi:
    """Return an exchange with a tape and a book; its ``run`` lets it live."""
    customer = account(KEY, SECRET, {"JPY": Decimal(10_000_000), "BTC": Decimal("0.5")}, {"BTC": BTC})
    exchange = Exchange(clock, {"BTC": (BTC, SyntheticMarket(BTC, seed=seed))}, {KEY: customer}, seed=seed)
    exchange.start()
    return ExchangeApi(exchange, seed=seed)

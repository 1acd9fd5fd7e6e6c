"""The emulator that a case is played on, made anew for each: loopback, real sockets, a market that stands still.

Its time can be skipped: the loop's clock is the exchange's clock, so that an hour costs nothing and every timer
of the exchange is due when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from gmobot.cli.rules import recorded_instrument
from gmobot.core.instrument import UYEN_PER_YEN
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.market import QuietMarket
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.protocol.keys import KeyRules, Permission
from gmobot.emulator.server import EmulatorServer
from gmobot.venue.models import Book, PriceLevel, Print, Side

MAIN, OTHER, READER, ELSEWHERE = "conformance-key", "other-key", "reader-key", "elsewhere-key"
SECRET = "conformance-secret"
LEVELS = 40
LEVEL_SIZE = "0.5"
MIDDLES = {"BTC": Decimal(10_000_000), "XRP": Decimal(220), "BTC_JPY": Decimal(10_000_000), "ETH_JPY": Decimal(320_000)}
"""The symbols that are listed, and the price each is at: asks stand at 1.0001 times it and above, bids at 0.9999 and below."""
_BALANCES = {"JPY": Decimal(10_000_000), "BTC": Decimal(1), "XRP": Decimal(1_000)}
_SIZES = {"BTC": LEVEL_SIZE, "XRP": "500", "BTC_JPY": LEVEL_SIZE, "ETH_JPY": "5"}
_STEP = Decimal("0.0001")
_START_NS = 1_781_060_400_000_000_000  # 2026-06-10T03:00:00Z, a Wednesday noon in Tokyo
_FAST: dict[str, Any] = {"reply_seconds": 0.0, "event_seconds": 0.0, "private_per_second": 10_000, "public_per_second": 10_000}


class SkippingLoop(asyncio.SelectorEventLoop):
    """A real event loop whose time can be skipped."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


class _LoopClock:
    """The clock of the loop that runs it, from a fixed moment on: no case depends on the hour at which it is played."""

    def __init__(self) -> None:
        self._begun = self.monotonic()

    def now_ns(self) -> int:
        return _START_NS + int((self.monotonic() - self._begun) * 1e9)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def ask(symbol: str, level: int = 0) -> str:
    """Return the price of an offer, the best one first."""
    return _price(symbol, level + 1)


def bid(symbol: str, level: int = 0) -> str:
    """Return the price of a bid, the best one first."""
    return _price(symbol, -level - 1)


def _price(symbol: str, steps: int) -> str:
    return f"{(MIDDLES[symbol] * (1 + steps * _STEP)).normalize():f}"


class Stage:
    """One emulator. Cases look at it only from outside; what only the market can do is done here."""

    def __init__(self, *, balances: dict[str, Decimal] | None = None, **guesses: Any) -> None:
        """Make one.

        Args:
            balances: Of the main account, instead of the usual ones.
            **guesses: What is assumed differently.
        """
        instruments = {symbol: recorded_instrument(symbol) for symbol in MIDDLES}
        accounts = {MAIN: account(MAIN, SECRET, balances or _BALANCES, instruments)}
        accounts |= {
            key: account(key, SECRET, {"JPY": Decimal(100_000_000), "BTC": Decimal(5)}, instruments) for key in (OTHER, READER, ELSEWHERE)
        }
        keys = {
            READER: KeyRules(frozenset({Permission.ASSETS, Permission.ORDERS})),
            ELSEWHERE: KeyRules(addresses=(ip_network("192.0.2.0/24"),)),
        }
        self.clock = _LoopClock()
        self._exchange = Exchange(
            self.clock,
            {symbol: (instrument, QuietMarket()) for symbol, instrument in instruments.items()},
            accounts,
            assumptions=Assumptions(**(_FAST | guesses)),
        )
        self.api = ExchangeApi(self._exchange, keys=keys)
        self._server = EmulatorServer(self.api)
        self._running: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.port}"

    async def start(self) -> None:
        """Open, with a trade and a book of every symbol."""
        self._exchange.start()
        for symbol, middle in MIDDLES.items():
            self.trade(symbol, "BUY", f"{middle:f}", _SIZES[symbol])
            self.book(symbol)
        await self._server.start("127.0.0.1", 0)
        self._running = asyncio.create_task(self.api.run())
        await self.skip(0.0)
        await self.skip(1.0)  # what those trades gave to tell is told before anybody listens

    async def close(self) -> None:
        """End, after a last look at its books."""
        await self._server.close()
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._exchange.check()

    async def skip(self, seconds: float) -> None:
        """Let time pass at once, and everything be done that was due meanwhile."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        loop.skipped += seconds
        for _ in range(5):
            await asyncio.sleep(0)

    def book(self, symbol: str, asks: Sequence[tuple[str, str]] | None = None, bids: Sequence[tuple[str, str]] | None = None) -> None:
        """Set what other participants offer and bid, best first; without any, the usual deep book."""
        size = _SIZES[symbol]
        asks = [(ask(symbol, level), size) for level in range(LEVELS)] if asks is None else asks
        bids = [(bid(symbol, level), size) for level in range(LEVELS)] if bids is None else bids
        levels = [tuple(PriceLevel(Decimal(price), Decimal(amount)) for price, amount in side) for side in (asks, bids)]
        self._exchange.feed_book(Book(symbol=symbol, asks=levels[0], bids=levels[1], at_ns=self.clock.now_ns()))

    def trade(self, symbol: str, side: str, price: str, size: str) -> None:
        """Let other participants trade; ``side`` is the taker's."""
        row = Print(symbol=symbol, side=Side(side), size=Decimal(size), price=Decimal(price), at_ns=self.clock.now_ns())
        self._exchange.feed_print(row)
        self._exchange.check()

    def move(self, symbol: str, price: str) -> None:
        """Bring the market to a price: a deep book just around it, and a trade."""
        at, size = Decimal(price), _SIZES[symbol]
        tick = recorded_instrument(symbol).tick_size
        self.book(symbol, [(f"{at + tick}", size)], [(f"{at - tick}", size)])
        self.trade(symbol, "SELL", price, f"{recorded_instrument(symbol).min_size:f}")

    def deposit(self, asset: str, amount: str) -> None:
        """Bring something in from outside."""
        self._exchange.cash.deposit(self._exchange.accounts[MAIN], asset, self._units(asset, amount))

    def withdraw(self, asset: str, amount: str) -> None:
        """Send something out."""
        self._exchange.cash.withdraw(self._exchange.accounts[MAIN], asset, self._units(asset, amount))

    @staticmethod
    def _units(asset: str, amount: str) -> int:
        return int(Decimal(amount) * UYEN_PER_YEN) if asset == "JPY" else recorded_instrument(asset).lots(Decimal(amount))

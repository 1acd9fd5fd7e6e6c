"""What the emulator's tests share: a loop whose time is virtual, a signing client, an exchange to trade on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from gmobot.core.instrument import Instrument, Product
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.engine.records import Account
from gmobot.emulator.faults import Faults
from gmobot.emulator.market import Market, QuietMarket
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.venue.models import Print, Side
from gmobot.venue.transport import Reply, Request, Socket, Timeouts

T = TypeVar("T")
START_NS = 1_735_689_600_000_000_000  # 2025-01-01T00:00:00Z
PRICE = 10_000_000
KEY, SECRET = "emulator-key", "emulator-secret"


class _Selector:
    """A selector that jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = self._real.select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for ever")
        if not ready and timeout:
            self.skipped += timeout
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._virtual.skipped


class LoopClock:
    """The clock of the loop that runs it."""

    def now_ns(self) -> int:
        return START_NS + int(self.monotonic() * 1e9)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class FixedClock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ns(self) -> int:
        return START_NS + int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds


def virtual(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a virtual clock, in debug mode."""
    with asyncio.Runner(debug=True, loop_factory=VirtualLoop) as runner:
        runner.get_loop().slow_callback_duration = 60.0
        return runner.run(test())


def btc(**changes: Any) -> Instrument:
    """Spot BTC, as GMO lists it."""
    rules: dict[str, Any] = {
        "symbol": "BTC",
        "product": Product.SPOT,
        "tick_size": Decimal(1),
        "size_step": Decimal("0.00001"),
        "min_size": Decimal("0.00001"),
        "max_size": Decimal(5),
        "maker_fee": Decimal("-0.0001"),
        "taker_fee": Decimal("0.0005"),
    }
    return Instrument(**(rules | changes))


def btc_jpy(**changes: Any) -> Instrument:
    """Leverage BTC_JPY, as GMO lists it."""
    rules: dict[str, Any] = {"symbol": "BTC_JPY", "product": Product.LEVERAGE, "size_step": Decimal("0.001"), "min_size": Decimal("0.001")}
    return btc(**(rules | {"maker_fee": Decimal(0), "taker_fee": Decimal(0)} | changes))


def customer(key: str = KEY, secret: str = SECRET, *, jpy: str = "10000000", coins: str = "0.5") -> Account:
    """An account with play money."""
    return account(key, secret, {"JPY": Decimal(jpy), "BTC": Decimal(coins)}, {"BTC": btc()})


class Desk:
    """A signing client in the exchange's own process, and the exchange it trades on."""

    def __init__(
        self,
        *,
        clock: LoopClock | FixedClock | None = None,
        market: Market | None = None,
        assumptions: Assumptions | None = None,
        accounts: Mapping[str, Account] | None = None,
        faults: Faults | None = None,
        listed: Sequence[Instrument] = (),
        seed: int = 0,
    ) -> None:
        self.clock = clock or LoopClock()
        self.faults = faults or Faults(seed)
        markets: dict[str, tuple[Instrument, Market]] = {"BTC": (btc(), market or QuietMarket())}
        markets |= {instrument.symbol: (instrument, QuietMarket()) for instrument in listed}
        self.exchange = Exchange(self.clock, markets, accounts or {KEY: customer()}, assumptions=assumptions, seed=seed)
        self.exchange.start()
        self.api = ExchangeApi(self.exchange, faults=self.faults, seed=seed)
        self.transport = MemoryTransport(self.api)
        if market is None:
            self.trade("SELL", PRICE, "0.1")
        for instrument in listed:
            self.trade("SELL", PRICE, "0.1", instrument.symbol)

    @property
    def account(self) -> Account:
        return self.exchange.accounts[KEY]

    @property
    def book(self) -> Any:
        return self.exchange.symbols["BTC"].book

    def trade(self, side: str, price: int, size: str, symbol: str = "BTC") -> None:
        """Let other participants trade."""
        row = Print(symbol=symbol, side=Side(side), size=Decimal(size), price=Decimal(price), at_ns=self.clock.now_ns())
        self.exchange.feed_print(row)
        self.exchange.check()

    def signed(
        self, method: str, path: str, body: bytes = b"", *, key: str = KEY, secret: str = SECRET, at_ms: int | None = None
    ) -> dict[str, str]:
        """The three headers, made with nothing but the standard library."""
        stamp = str(self.clock.now_ns() // 1_000_000 if at_ms is None else at_ms)
        text = stamp.encode() + method.encode() + path.encode() + (body if method == "POST" else b"")
        return {"API-KEY": key, "API-TIMESTAMP": stamp, "API-SIGN": hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}

    async def reply(self, method: str, path: str, query: str = "", body: Any = None, **signing: Any) -> Reply:
        """Send a private request and return its raw reply."""
        content = b"" if body is None else json.dumps(body).encode()
        request = Request(method, f"/private{path}", query, self.signed(method, path, content, **signing), content)
        return await self.transport.request(request, Timeouts())

    async def private(self, method: str, path: str, query: str = "", body: Any = None, **signing: Any) -> Any:
        """Send a private request and return its body."""
        return json.loads((await self.reply(method, path, query, body, **signing)).body)

    async def public(self, path: str, query: str = "") -> Any:
        """Send a public request and return its body."""
        return json.loads((await self.transport.request(Request("GET", f"/public{path}", query), Timeouts())).body)

    async def order(
        self, kind: str, side: str, size: str, price: int | None = None, tif: str | None = None, symbol: str = "BTC", **signing: Any
    ) -> Any:
        """Place an order and return the whole answer."""
        body = {"symbol": symbol, "side": side, "executionType": kind, "size": size}
        body |= {"price": str(price)} if price is not None else {}
        body |= {"timeInForce": tif} if tif is not None else {}
        answer = await self.private("POST", "/v1/order", body=body, **signing)
        self.exchange.check()
        return answer

    async def placed(self, kind: str, side: str, size: str, price: int | None = None, tif: str | None = None, **signing: Any) -> int:
        """Place an order that must be accepted and return its id."""
        answer = await self.order(kind, side, size, price, tif, **signing)
        assert answer["status"] == 0, answer
        assert isinstance(answer["data"], str)
        return int(answer["data"])

    async def shown(self, order_id: int) -> dict[str, Any]:
        """Return an order as REST shows it."""
        answer = await self.private("GET", "/v1/orders", f"orderId={order_id}")
        row: dict[str, Any] = answer["data"]["list"][0]
        return row

    async def private_socket(self, *channels: str) -> Socket:
        """Open the private stream and subscribe."""
        token = (await self.private("POST", "/v1/ws-auth", body={}))["data"]
        socket = await self.transport.connect(f"/ws/private/v1/{token}", timeout=1.0)
        for channel in channels or ("executionEvents", "orderEvents"):
            await asyncio.sleep(1.1)
            await socket.send(json.dumps({"command": "subscribe", "channel": channel}))
        return socket


async def frames(socket: Socket, seconds: float = 0.5) -> list[dict[str, Any]]:
    """Return what a socket delivers within a time."""
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                found.append(json.loads(await socket.receive()))
    except TimeoutError:
        return found


def code(answer: Mapping[str, Any]) -> str:
    """Return the message code of an error body."""
    assert answer["status"] != 0
    assert "data" not in answer
    found: str = answer["messages"][0]["message_code"]
    return found

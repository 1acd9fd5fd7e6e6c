"""Any sequence of requests, market moves, hours and maintenance: nothing raises, every reply is an envelope, the books add up."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.emulator.support import PRICE, Desk, LoopClock, VirtualLoop, btc_jpy, customer

from gmobot.core.instrument import UYEN_PER_YEN, FeeRounding
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.protocol.connection import ServerSocket
from gmobot.venue.models import Book, PriceLevel

NAMES = ("one", "two", "three")
SYMBOLS = ("BTC", "BTC_JPY")
CHANNELS = ("executionEvents", "orderEvents", "positionEvents", "positionSummaryEvents")
JUNK = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2))


TYPES = st.sampled_from(
    [
        ("MARKET", None),
        ("MARKET", None),
        ("STOP", None),
        ("LIMIT", None),
        ("LIMIT", "FAS"),
        ("LIMIT", "FAK"),
        ("LIMIT", "FOK"),
        ("LIMIT", "SOK"),
    ]
)
"""Order types with a legal time in force, ``None`` for the default."""
OFFSETS = st.integers(-9, 9) | st.integers(-9, 9).map(lambda step: step * 30_000)
"""From the last price, in yen."""


def _mostly(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What belongs there, and now and then what does not."""
    return st.integers(0, 24).flatmap(lambda draw: values if draw else JUNK)


PRICES = _mostly(st.integers(-40, 40).map(lambda step: str(PRICE + step * 50_000)) | st.integers(-20, 20).map(lambda n: str(PRICE + n)))
SIZES = _mostly(st.integers(1, 400).map(lambda lots: str(lots * Decimal("0.001"))))
ORDER = st.fixed_dictionaries(
    {
        "symbol": _mostly(st.sampled_from(SYMBOLS)),
        "side": _mostly(st.sampled_from(("BUY", "SELL"))),
        "executionType": _mostly(st.sampled_from(("LIMIT", "LIMIT", "MARKET", "STOP"))),
        "size": SIZES,
        "price": PRICES,
    },
    optional={"timeInForce": _mostly(st.sampled_from(("FAK", "FAS", "FOK", "SOK"))), "losscutPrice": PRICES, "cancelBefore": st.booleans()},
)
AMOUNTS = _mostly(st.integers(1, 500_000).map(str))
GETS = st.sampled_from(
    [
        ("/v1/account/margin", ""),
        ("/v1/account/assets", ""),
        ("/v1/account/tradingVolume", ""),
        ("/v1/account/fiatDeposit/history", "fromTimestamp=2025-01-01T00:00:00.000Z"),
        ("/v1/account/withdrawal/history", "symbol=BTC&fromTimestamp=2025-01-01T00:00:00.000Z&toTimestamp=x"),
        ("/v1/account/exchangeFee/history", "fromDate=20250102&toDate=20250103&count=3"),
        ("/v1/activeOrders", "symbol=BTC_JPY"),
        ("/v1/latestExecutions", "symbol=BTC_JPY&count=5"),
        ("/v1/openPositions", "symbol=BTC_JPY&page=1"),
        ("/v1/openPositions", "symbol=BTC"),
        ("/v1/positionSummary", ""),
        ("/v1/orders", "orderId=8800000001,8800000002"),
        ("/v1/executions", "orderId=8800000001"),
    ]
)


class Traffic(RuleBasedStateMachine):
    """Three customers, a spot and a leverage symbol, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.sockets: list[ServerSocket] = []

    @initialize(
        rounding=st.sampled_from(FeeRounding),
        gains=st.sampled_from(FeeRounding),
        delay=st.sampled_from((0.0, 1.5)),
        hedge=st.sampled_from(("sum", "max")),
        valuation=st.sampled_from(("last", "quote")),
        first=st.sampled_from(("oldest", "newest")),
        told=st.sampled_from(("each", "first")),
    )
    def found(self, rounding: FeeRounding, gains: FeeRounding, delay: float, hedge: Any, valuation: Any, first: Any, told: Any) -> None:
        assumptions = Assumptions(
            fee_rounding=rounding,
            loss_gain_rounding=gains,
            cancel_seconds=delay,
            change_seconds=delay,
            hedge_margin=hedge,
            valuation=valuation,
            bulk_close_first=first,
            bulk_close_fills=told,
            reply_seconds=0.0,
            private_per_second=10**6,
            most_changes=3,
            transfer_seconds=1.0,
        )
        self.runner.run(self._open(assumptions))

    async def _open(self, assumptions: Assumptions) -> None:
        purses = zip(NAMES, ("300000", "1000000", "20000000"), strict=True)
        accounts = {name: customer(name, name, jpy=yen) for name, yen in purses}
        listed = (btc_jpy(maker_fee=Decimal("-0.0001"), taker_fee=Decimal("0.0003")),)
        self.desk = Desk(clock=LoopClock(), accounts=accounts, assumptions=assumptions, listed=listed)
        self.running = asyncio.create_task(self.desk.exchange.run())
        for account in accounts.values():
            socket = self.desk.api.hub.open("local", account)
            socket.commanded = True
            for channel in CHANNELS:
                self.desk.api.hub.subscribe(socket, channel)
            self.sockets.append(socket)

    @rule(who=st.sampled_from(NAMES), path=st.sampled_from(("/v1/order", "/v1/closeOrder", "/v1/closeBulkOrder")), body=ORDER)
    def wild_order(self, who: str, path: str, body: dict[str, Any]) -> None:
        if body["executionType"] == "MARKET":
            del body["price"]
        self._ask(who, "POST", path, body)

    @rule(
        who=st.sampled_from(NAMES),
        symbol=st.sampled_from(("BTC", "BTC_JPY", "BTC_JPY")),
        side=st.sampled_from(("BUY", "SELL")),
        lots=st.integers(1, 100),
        kind=TYPES,
        offset=OFFSETS,
    )
    def order(self, who: str, symbol: str, side: str, lots: int, kind: tuple[str, str | None], offset: int) -> None:
        size = {"size": str(lots * Decimal("0.001"))}
        self._ask(who, "POST", "/v1/order", {"symbol": symbol, "side": side} | size | self._type(symbol, side, kind, offset))

    @rule(who=st.sampled_from(NAMES), which=st.integers(0, 5), share=st.integers(1, 3), kind=TYPES, offset=OFFSETS, bulk=st.booleans())
    def close(self, who: str, which: int, share: int, kind: tuple[str, str | None], offset: int, bulk: bool) -> None:
        positions = list(self.desk.exchange.accounts[who].positions.values())
        if not positions:
            return
        position = positions[which % len(positions)]
        size = str(max(1, position.lots // share) * Decimal("0.001"))
        side = "SELL" if position.side == "BUY" else "BUY"
        body = {"symbol": position.symbol, "side": side} | self._type(position.symbol, side, kind, offset)
        if bulk:
            self._ask(who, "POST", "/v1/closeBulkOrder", body | {"size": size})
        else:
            self._ask(who, "POST", "/v1/closeOrder", body | {"settlePosition": [{"positionId": position.position_id, "size": size}]})

    @rule(who=st.sampled_from(NAMES), which=st.integers(0, 9), offset=OFFSETS, losscut=st.none() | PRICES)
    def change(self, who: str, which: int, offset: int, losscut: Any) -> None:
        account = self.desk.exchange.accounts[who]
        number = self._order(who, which)
        last = self._last(account.orders[number].symbol) if number in account.orders else PRICE
        body = {"orderId": number, "price": str(last + offset)} | ({} if losscut is None else {"losscutPrice": losscut})
        self._ask(who, "POST", "/v1/changeOrder", body)

    @rule(who=st.sampled_from(NAMES), which=st.integers(0, 9), bulk=st.booleans(), settle=st.sampled_from((None, "OPEN", "CLOSE")))
    def cancel(self, who: str, which: int, bulk: bool, settle: str | None) -> None:
        if bulk:
            body: dict[str, Any] = {"symbols": list(SYMBOLS), "desc": which % 2 == 0}
            self._ask(who, "POST", "/v1/cancelBulkOrder", body | ({"settleType": settle} if settle else {}))
        else:
            self._ask(who, "POST", "/v1/cancelOrder", {"orderId": self._order(who, which)})
            self._ask(who, "POST", "/v1/cancelOrders", {"orderIds": [self._order(who, which + 1), 42]})

    @rule(who=st.sampled_from(NAMES), which=st.integers(0, 5), price=PRICES)
    def change_losscut(self, who: str, which: int, price: Any) -> None:
        positions = list(self.desk.exchange.accounts[who].positions) or [42]
        self._ask(who, "POST", "/v1/changeLosscutPrice", {"positionId": positions[which % len(positions)], "losscutPrice": price})

    @rule(
        who=st.sampled_from(NAMES),
        amount=AMOUNTS,
        kind=_mostly(st.sampled_from(("WITHDRAWAL", "DEPOSIT"))),
    )
    def transfer(self, who: str, amount: Any, kind: Any) -> None:
        self._ask(who, "POST", "/v1/account/transfer", {"amount": amount, "transferType": kind})

    @rule(who=st.sampled_from(NAMES), get=GETS)
    def look(self, who: str, get: tuple[str, str]) -> None:
        self._ask(who, "GET", get[0], None, get[1])

    @rule(who=st.sampled_from(NAMES), yen=st.integers(1, 200_000))
    def deposit(self, who: str, yen: int) -> None:
        async def deposit() -> None:
            self.desk.exchange.cash.deposit(self.desk.exchange.accounts[who], "JPY", yen * UYEN_PER_YEN)

        self.runner.run(deposit())

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        side=st.sampled_from(("BUY", "SELL")),
        step=st.integers(-20, 20) | st.integers(-80, 80),
        lots=st.integers(1, 500),
    )
    def trade(self, symbol: str, side: str, step: int, lots: int) -> None:
        async def trade() -> None:
            self.desk.trade(side, PRICE + step * 40_000, str(lots * Decimal("0.001")), symbol)

        self.runner.run(trade())

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        step=st.integers(-20, 20) | st.integers(-80, 80),
        asked=st.integers(0, 300),
        bid=st.integers(0, 300),
    )
    def book(self, symbol: str, step: int, asked: int, bid: int) -> None:
        async def book() -> None:
            at, unit = PRICE + step * 40_000, Decimal("0.001")
            asks = tuple(PriceLevel(Decimal(at + n), asked * unit) for n in (1, 20_000) if asked)
            bids = tuple(PriceLevel(Decimal(at - n), bid * unit) for n in (1, 20_000) if bid)
            self.desk.exchange.feed_book(Book(symbol=symbol, bids=bids, asks=asks, at_ns=self.desk.clock.now_ns()))

        self.runner.run(book())

    @rule(seconds=st.sampled_from((0.5, 2.0, 60.0, 3_600.0, 86_400.0, 200_000.0)))
    def wait(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule(status=st.sampled_from(("OPEN",) * 7 + ("PREOPEN",)))
    def turn_sign(self, status: str) -> None:
        self.desk.exchange.status = status

    @rule(who=st.sampled_from(NAMES), get=GETS)
    def maintain(self, who: str, get: tuple[str, str]) -> None:
        self.desk.exchange.status = "MAINTENANCE"
        answer = self._ask(who, "GET", get[0], None, get[1])
        assert (answer["status"], answer["messages"][0]["message_code"]) == (5, "ERR-5201")
        self.desk.exchange.status = "OPEN"

    @invariant()
    def the_books_add_up(self) -> None:
        if hasattr(self, "desk"):
            self.desk.exchange.check()
            self._check_books()
            self._check_frames()

    def teardown(self) -> None:
        if hasattr(self, "running"):
            assert not self.running.done(), "the exchange's clockwork has stopped"
            self.running.cancel()
        self.runner.close()

    def _check_books(self) -> None:
        accounts = self.desk.exchange.accounts.values()
        waiting = {order.order_id for account in accounts for order in account.open_orders.values()}
        books = [market.book for market in self.desk.exchange.symbols.values()]
        assert waiting == {o.order_id for book in books for o in (*book.stops, *book.resting("BUY"), *book.resting("SELL"))}
        for account in accounts:
            assert all(0 <= position.reserved <= position.lots for position in account.positions.values())
            assert not account.open_orders or account.held_uyen >= 0

    def _check_frames(self) -> None:
        for socket in self.sockets:
            for text in socket._frames:
                frame = json.loads(text)
                assert frame["channel"] in CHANNELS
                assert ("positionId" in frame) == (frame["channel"] == "positionEvents" or _leveraged_fill(frame))
            socket._frames.clear()

    def _order(self, who: str, which: int) -> int:
        account = self.desk.exchange.accounts[who]
        orders = list(account.open_orders) or list(account.orders)[-10:] or [42]
        return orders[which % len(orders)]

    def _last(self, symbol: str) -> int:
        return int(self.desk.exchange.symbols[symbol].book.last)

    def _type(self, symbol: str, side: str, kind: tuple[str, str | None], offset: int) -> dict[str, str]:
        """Return an order's type; a STOP's trigger lies where it waits."""
        waits = abs(offset) + 1 if side == "BUY" else -abs(offset) - 1
        price = {} if kind[0] == "MARKET" else {"price": str(self._last(symbol) + (waits if kind[0] == "STOP" else offset))}
        return {"executionType": kind[0]} | price | ({} if kind[1] is None else {"timeInForce": kind[1]})

    def _ask(self, who: str, method: str, path: str, body: Any, query: str = "") -> Any:
        reply = self.runner.run(self.desk.reply(method, path, query, body, key=who, secret=who))
        answer = json.loads(reply.body)
        assert reply.status == 200
        assert (answer["status"] == 0) == ("messages" not in answer)
        if answer["status"]:
            (message,) = answer["messages"]
            assert set(message) == {"message_code", "message_string"}
            assert message["message_code"].startswith("ERR-")
            assert "data" not in answer
        return answer


def _leveraged_fill(frame: dict[str, Any]) -> bool:
    return frame["channel"] == "executionEvents" and str(frame["symbol"]).endswith("_JPY")


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=40, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))

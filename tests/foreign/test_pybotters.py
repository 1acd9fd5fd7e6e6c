"""pybotters, as it is on the package index, believes that it trades on GMO Coin.

It signs, waits between commands by the exchange's clock, and keeps its own books from streams. In the end those
books are the emulator's. Nothing of pybotters is replaced: only its connector is one that leads to the emulator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pybotters
import pytest
from tests.foreign.disguise import HOST, Disguised

pytest.importorskip("cryptography")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:SSL connection is closed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),  # pybotters' own way to choose a signer
]

BOT, OTHER, SECRET = "pybotters-key", "other-key", "pybotters-secret"
SPOT, LEVER = "BTC", "BTC_JPY"
PRICE = 10_000_000
PATIENCE_SECONDS = 10.0


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disguised]:
    """One trade of the past and none to come: what happens is what the two customers do."""
    folder = tmp_path_factory.mktemp("exchange")
    for symbol in (SPOT, LEVER):
        rows = ["symbol,side,size,price,timestamp", f"{symbol},BUY,0.01,{PRICE},2026-01-05 00:00:00.000"]
        (folder / f"20260105_{symbol}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    accounts = [f"--account={key}:{SECRET}:JPY=50000000,BTC=2" for key in (BOT, OTHER)]
    disguised = Disguised(folder / "tls", "--market", str(folder), *accounts)
    try:
        yield disguised
    finally:
        disguised.close()


@asynccontextmanager
async def client(exchange: Disguised, key: str) -> AsyncIterator[pybotters.Client]:
    apis = {"gmocoin": [key, SECRET]}
    async with pybotters.Client(apis=apis, base_url=f"https://{HOST}", connector=exchange.connector()) as found:
        yield found


async def read(bot: pybotters.Client, path: str, **params: str) -> Any:
    return _checked((await bot.fetch("GET", path, params=params)).data)["data"]


async def post(bot: pybotters.Client, path: str, **body: Any) -> Any:
    return _checked((await bot.fetch("POST", f"/private/v1/{path}", data=body)).data).get("data")


async def until(holds: Callable[[], object], what: str) -> None:
    """Wait for what the streams tell."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s") from None


async def subscribe(bot: pybotters.Client, store: pybotters.GMOCoinDataStore, url: str, *commands: dict[str, str]) -> None:
    """Open a socket and subscribe, command after command, as fast as pybotters allows itself."""
    socket = await bot.ws_connect(url, hdlr_json=store.onmessage)
    assert socket.current_ws is not None
    for command in commands:
        await socket.current_ws.send_json({"command": "subscribe"} | command)


async def open_streams(bot: pybotters.Client, store: pybotters.GMOCoinDataStore) -> None:
    public = [{"channel": channel, "symbol": symbol} for channel, symbol in (("orderbooks", SPOT), ("trades", SPOT), ("ticker", SPOT))]
    await subscribe(bot, store, f"wss://{HOST}/ws/public/v1", *public)
    helper = pybotters.helpers.GMOCoinHelper(bot)
    token = await helper.create_access_token()
    await helper.extend_access_token(token)
    channels = ("executionEvents", "orderEvents", "positionEvents", "positionSummaryEvents")
    await subscribe(bot, store, f"wss://{HOST}/ws/private/v1/{token}", *({"channel": channel} for channel in channels))


async def trade_spot(bot: pybotters.Client, other: pybotters.Client, store: pybotters.GMOCoinDataStore) -> None:
    """Place, amend, fill a part, cancel; buy at the market; leave an order standing."""
    best = int(store.orderbooks.sorted({"symbol": SPOT})["bids"][0]["price"])
    limit = {"symbol": SPOT, "side": "BUY", "executionType": "LIMIT"}
    order = int(await post(bot, "order", **limit, price=str(best - 100), size="0.05"))
    await until(lambda: store.orders.get({"orderId": order}), "the order is known")
    await post(bot, "changeOrder", orderId=order, price=str(best + 100))
    await until(lambda: store.orders.find({"orderId": order, "orderPrice": str(best + 100)}), "its new price is known")
    await post(other, "order", **limit | {"side": "SELL"}, price=str(best + 100), size="0.02", timeInForce="FAK")
    await until(lambda: store.orders.find({"orderId": order, "orderExecutedSize": "0.02"}), "its fill is known")
    await post(bot, "cancelOrder", orderId=order)
    await until(lambda: not store.orders.get({"orderId": order}), "its end is known")
    bought = int(await post(bot, "order", symbol=SPOT, side="BUY", executionType="MARKET", size="0.03"))
    await until(lambda: _size(store.executions.find({"orderId": bought})) == Decimal("0.03"), "the purchase is known")
    left = int(await post(bot, "order", **limit, price=str(best - 1_000), size="0.04"))
    await until(lambda: store.orders.get({"orderId": left}), "the order that is left is known")


async def open_position(bot: pybotters.Client, other: pybotters.Client, side: str, size: str) -> None:
    """Open one position: the other customer is in the spread with all of it."""
    limit = {"symbol": LEVER, "executionType": "LIMIT", "price": str(PRICE - 500), "size": size}
    await post(other, "order", **limit, side="SELL" if side == "BUY" else "BUY")
    await post(bot, "order", symbol=LEVER, executionType="MARKET", side=side, size=size)


async def trade_leverage(bot: pybotters.Client, other: pybotters.Client, store: pybotters.GMOCoinDataStore) -> None:
    """Open three positions, one of them short; move a losscut price; close by one and by many; leave a close order."""
    for side, size in (("BUY", "0.5"), ("BUY", "0.4"), ("SELL", "0.3")):
        await open_position(bot, other, side, size)
    await until(lambda: len(store.positions) == 4, "the positions are known")
    (long,), (short,) = store.positions.find({"side": "BUY", "size": "0.4"}), store.positions.find({"side": "SELL"})
    losscut = str(PRICE * 9 // 10)
    await post(bot, "changeLosscutPrice", positionId=long["positionId"], losscutPrice=losscut)
    await until(lambda: store.positions.find({"positionId": long["positionId"], "losscutPrice": losscut}), "the losscut price is known")
    one = [{"positionId": long["positionId"], "size": "0.1"}]
    market = {"symbol": LEVER, "executionType": "MARKET"}
    await post(bot, "closeOrder", **market, side="SELL", settlePosition=one)
    await until(lambda: store.positions.find({"positionId": long["positionId"], "size": "0.3"}), "the closed part is known")
    resting = {"symbol": LEVER, "side": "SELL", "executionType": "LIMIT", "price": str(PRICE * 101 // 100)}
    await post(bot, "closeOrder", **resting, settlePosition=one)
    await until(lambda: store.positions.find({"positionId": long["positionId"], "orderdSize": "0.1"}), "the tied-up size is known")
    await post(bot, "closeBulkOrder", **market, side="BUY", size=short["size"])
    await until(lambda: not store.positions.find({"positionId": short["positionId"]}), "the short's end is known")
    await post(bot, "closeBulkOrder", **market, side="SELL", size="0.6")
    await until(lambda: _size(store.positions.find({"side": "BUY"})) == Decimal("0.4"), "what is left is known")


async def test_its_own_books_are_the_emulator_s(exchange: Disguised) -> None:
    async with client(exchange, BOT) as bot, client(exchange, OTHER) as other:
        assert await read(bot, "/public/v1/status") == {"status": "OPEN"}
        await open_position(bot, other, "BUY", "0.2")
        store = pybotters.GMOCoinDataStore()
        await open_streams(bot, store)
        await store.initialize(
            *(bot.get(f"/private/v1/{path}", params={"symbol": LEVER}) for path in ("latestExecutions", "activeOrders", "openPositions")),
            bot.get("/private/v1/positionSummary", params={"symbol": LEVER}),
        )
        await until(lambda: len(store.orderbooks) == 60, "the book is known")
        await trade_spot(bot, other, store)
        await trade_leverage(bot, other, store)
        await until(lambda: store.trades.find({"symbol": SPOT}) and store.ticker.find({"symbol": SPOT}), "the tape is known")
        await compare(store, exchange)


async def compare(store: pybotters.GMOCoinDataStore, exchange: Disguised) -> None:
    """Compare what pybotters knows with the emulator's ledger, once no news is under way."""
    books = (await exchange.ask(f"/ledger?account={BOT}"))[BOT]
    active = [row for row in books["orders"] if row["status"] in ("ORDERED", "WAITING")]
    assert len(active) == 2
    assert sorted(map(_order, store.orders.find())) == sorted(map(_order, active))
    assert len(books["executions"]) >= 9
    assert sorted(map(_execution, store.executions.find())) == sorted(map(_execution, books["executions"]))
    assert len(books["positions"]) == 2
    positions = [sorted(map(_position, rows), key=_number) for rows in (store.positions.find(), books["positions"])]
    assert positions[0] == positions[1]
    sums = {row["side"]: row for row in store.position_summary.find()}
    held, tied = (sum((Decimal(row[name]) for row in books["positions"]), Decimal(0)) for name in ("size", "orderdSize"))
    cost = sum((Decimal(row["size"]) * Decimal(row["price"]) for row in books["positions"]), Decimal(0))
    assert (Decimal(sums["BUY"]["sumPositionQuantity"]), Decimal(sums["BUY"]["sumOrderQuantity"])) == (held, tied)
    assert abs(Decimal(sums["BUY"]["averagePositionRate"]) - cost / held) < 1
    assert {sums["SELL"][name] for name in ("sumPositionQuantity", "sumOrderQuantity")} == {"0"}


def _checked(answer: object) -> dict[str, Any]:
    assert isinstance(answer, dict), answer
    assert answer["status"] == 0, answer
    return answer


def _size(rows: list[Any]) -> Decimal:
    return sum((Decimal(row.get("executionSize") or row["size"]) for row in rows), Decimal(0))


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what REST and stream both tell of an order, each in its own words."""
    same = tuple(row[name] for name in ("orderId", "symbol", "side", "executionType", "settleType", "losscutPrice", "timeInForce"))
    if "orderSize" in row:
        return *same, row["orderSize"], row["orderExecutedSize"], row["orderPrice"], row["orderStatus"], row["orderTimestamp"]
    return *same, row["size"], row["executedSize"], row["price"], row["status"], row["timestamp"]


def _execution(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what REST and stream both tell of a fill, each in its own words."""
    same = tuple(row[name] for name in ("executionId", "orderId", "symbol", "side", "settleType", "lossGain", "fee"))
    position = row.get("positionId", 0)
    if "executionPrice" in row:
        return *same, position, row["executionPrice"], row["executionSize"], row["executionTimestamp"]
    return *same, position, row["price"], row["size"], row["timestamp"]


def _position(row: dict[str, Any]) -> dict[str, Any]:
    """Return a position without its valuation, which the market changes at any time without news."""
    return {name: value for name, value in row.items() if name not in ("channel", "msgType", "lossGain")}


def _number(row: dict[str, Any]) -> int:
    found = row["positionId"]
    assert isinstance(found, int)
    return found

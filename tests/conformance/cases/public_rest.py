"""Public REST: the envelope, six endpoints, and what is not found (§1, §4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.conformance.registry import Production, case
from tests.conformance.shapes import KLINE, LEVEL, PAGINATION, RULES, TICKER, TRADE, fits
from tests.conformance.stage import LEVELS, ask, bid
from tests.conformance.target import Target

PUBLIC = Production.PUBLIC
_INTRADAY = ("1min", "5min", "10min", "15min", "30min", "1hour")
_LONG = ("4hour", "8hour", "12hour", "1day", "1week", "1month")


def trading_date(target: Target, days: int = 0) -> str:
    """Return the date of the running trading day, which turned at 21:00 UTC, or of one so many days away."""
    return f"{datetime.fromtimestamp(target.now_ms() / 1_000, UTC) + timedelta(hours=3, days=days):%Y%m%d}"


@case(1, "§4.1", "status says OPEN, PREOPEN or MAINTENANCE", production=PUBLIC)
async def status(t: Target) -> None:
    data = (await t.get("status")).data
    assert set(data) == {"status"}
    assert data["status"] in ("OPEN", "PREOPEN", "MAINTENANCE")


@case(2, "§1.2", "a success has status 0, data and responsetime, and comes as JSON with HTTP 200", production=PUBLIC)
async def envelope(t: Target) -> None:
    answer = await t.get("status")
    assert answer.data
    assert answer.headers["Content-Type"].startswith("application/json")


@case(3, "§1.2", "responsetime is the server's own time", production=PUBLIC)
async def response_time(t: Target) -> None:
    stamp = datetime.fromisoformat((await t.get("status")).body["responsetime"])
    assert abs(stamp.timestamp() * 1_000 - t.now_ms()) < 5_000


@case(4, "§4.2", "ticker of one symbol is still an array, of one row", production=PUBLIC)
async def ticker_of_one(t: Target) -> None:
    (row,) = (await t.get("ticker", symbol="BTC")).data
    fits(row, TICKER)
    assert row["symbol"] == "BTC"


@case(5, "§4.2", "ticker without a symbol has a row of every symbol, spot and leverage", production=PUBLIC)
async def ticker_of_all(t: Target) -> None:
    rows = (await t.get("ticker")).data
    for row in rows:
        fits(row, TICKER, maybe={})
    assert {"BTC", "BTC_JPY"} <= {row["symbol"] for row in rows}


@case(6, "§4.2", "ticker: ask is above bid, low <= last <= high, all of the day", production=PUBLIC)
async def ticker_order(t: Target) -> None:
    (row,) = (await t.get("ticker", symbol="BTC_JPY")).data
    assert Decimal(row["ask"]) > Decimal(row["bid"])
    assert Decimal(row["low"]) <= Decimal(row["last"]) <= Decimal(row["high"])


@case(7, "§4.2", "ticker follows trades: last, high, low, and volume counts each match once")
async def ticker_follows(t: Target) -> None:
    before = Decimal((await t.get("ticker", symbol="BTC")).data[0]["volume"])
    for price, size in (("10010000", "0.1"), ("9990000", "0.2"), ("10002000", "0.3")):
        t.stage.trade("BTC", "BUY", price, size)
    (row,) = (await t.get("ticker", symbol="BTC")).data
    assert (row["last"], row["high"], row["low"]) == ("10002000", "10010000", "9990000")
    assert Decimal(row["volume"]) - before == Decimal("0.6")


@case(8, "§4.2", "ticker of an unknown symbol is not found", codes="ERR-5207", production=PUBLIC)
async def ticker_unknown(t: Target) -> None:
    assert (await t.get("ticker", symbol="NOPE")).refused("ERR-5207", status=2, http=404) == "Not found"


@case(9, "§4.3", "orderbooks: asks ascend, bids descend, they do not cross, no timestamp is promised", production=PUBLIC)
async def order_book(t: Target) -> None:
    data = (await t.get("orderbooks", symbol="BTC")).data
    assert set(data) - {"timestamp"} == {"asks", "bids", "symbol"}
    assert data["symbol"] == "BTC"
    for level in data["asks"] + data["bids"]:
        fits(level, LEVEL)
    asks, bids = ([Decimal(level["price"]) for level in data[side]] for side in ("asks", "bids"))
    assert asks == sorted(set(asks))
    assert bids == sorted(set(bids), reverse=True)
    assert bids[0] < asks[0]


@case(10, "§4.3", "orderbooks has up to 500 levels a side", production=PUBLIC)
async def order_book_depth(t: Target) -> None:
    data = (await t.get("orderbooks", symbol="BTC_JPY")).data
    assert 30 <= len(data["asks"]) <= 500
    assert 30 <= len(data["bids"]) <= 500


@case(11, "§4.3", "orderbooks shows a customer's order in the level of its price")
async def order_book_shows_customers(t: Target) -> None:
    await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    data = (await t.get("orderbooks", symbol="BTC")).data
    assert (len(data["asks"]), len(data["bids"])) == (LEVELS, LEVELS)
    assert data["bids"][0] == {"price": bid("BTC"), "size": "0.51"}


@case(12, "§4.3", "orderbooks cuts at 500 levels a side")
async def order_book_cut(t: Target) -> None:
    t.stage.book("BTC", [(str(10_001_000 + n), "0.01") for n in range(600)], [(str(9_999_000 - n), "0.01") for n in range(600)])
    data = (await t.get("orderbooks", symbol="BTC")).data
    assert (len(data["asks"]), len(data["bids"])) == (500, 500)
    assert (data["asks"][-1]["price"], data["bids"][-1]["price"]) == ("10001499", "9998501")


@case(13, "§4.3", "orderbooks without a symbol, or of an unknown one, is not found", codes="ERR-5207", production=PUBLIC)
async def order_book_unknown(t: Target) -> None:
    (await t.get("orderbooks")).refused("ERR-5207", status=2, http=404)
    (await t.get("orderbooks", symbol="NOPE")).refused("ERR-5207", status=2, http=404)


@case(14, "§4.4", "trades: rows without an id, newest first, with pagination", production=PUBLIC)
async def trades(t: Target) -> None:
    data = (await t.get("trades", symbol="BTC")).data
    assert set(data) == {"pagination", "list"}
    fits(data["pagination"], PAGINATION)
    for row in data["list"]:
        fits(row, TRADE)
    stamps = [row["timestamp"] for row in data["list"]]
    assert stamps == sorted(stamps, reverse=True)


@case(15, "§4.4", "trades prints each match twice, once a side, alike in time, price and size")
async def trades_both_sides(t: Target) -> None:
    t.stage.trade("BTC", "SELL", "9999000", "0.012")
    first, second = (await t.get("trades", symbol="BTC", count=2)).rows
    assert {first.pop("side"), second.pop("side")} == {"BUY", "SELL"}
    assert first == second
    assert (first["price"], first["size"]) == ("9999000", "0.012")


@case(16, "§4.4", "trades: count limits the rows of a page, page goes on where the one before ended", production=PUBLIC)
async def trades_pages(t: Target) -> None:
    page = (await t.get("trades", symbol="BTC", page=1, count=1)).data
    assert page["pagination"]["currentPage"] == 1
    assert len(page["list"]) == 1


@case(17, "§1.6", "pages of one cut a list without a gap or a double, also in the middle of a pair")
async def pages_meet(t: Target) -> None:
    for n in range(5):
        await t.pause(1.0)
        t.stage.trade("BTC", "BUY", str(10_000_000 + n), "0.01")
    whole = (await t.get("trades", symbol="BTC", count=9)).rows
    pieces = [row for page in (1, 2, 3) for row in (await t.get("trades", symbol="BTC", page=page, count=3)).rows]
    assert pieces == whole


@case(18, "§1.6", "a page beyond the end is an empty object: no list, no pagination")
async def page_beyond(t: Target) -> None:
    assert (await t.get("trades", symbol="BTC", page=50)).data == {}


@case(19, "§4.4", "trades of an unknown symbol is not found", codes="ERR-5207", production=PUBLIC)
async def trades_unknown(t: Target) -> None:
    (await t.get("trades", symbol="NOPE")).refused("ERR-5207", status=2, http=404)


@case(20, "§4.5", "klines: rows ascend by openTime, in milliseconds as a string", production=PUBLIC)
async def klines(t: Target) -> None:
    rows = (await t.get("klines", symbol="BTC", interval="1min", date=trading_date(t))).data
    for row in rows:
        fits(row, KLINE)
        assert Decimal(row["low"]) <= min(Decimal(row["open"]), Decimal(row["close"]))
        assert Decimal(row["high"]) >= max(Decimal(row["open"]), Decimal(row["close"]))
        assert int(row["openTime"]) % 60_000 == 0
    stamps = [int(row["openTime"]) for row in rows]
    assert stamps == sorted(set(stamps))


@case(21, "§4.5", "klines: every documented interval is served", production=PUBLIC)
async def klines_intervals(t: Target) -> None:
    date = trading_date(t)
    for interval in _INTRADAY:
        assert isinstance((await t.get("klines", symbol="BTC", interval=interval, date=date)).data, list)
    for interval in _LONG:
        assert isinstance((await t.get("klines", symbol="BTC", interval=interval, date=date[:4])).data, list)


@case(22, "§4.5", "klines: a minute without a trade has no bar, and volume counts both printed rows")
async def klines_gap(t: Target) -> None:
    ms = 60_000
    await t.pause((ms - t.now_ms() % ms) / 1_000)
    first = t.now_ms() // ms * ms
    t.stage.trade("BTC", "BUY", "10001000", "0.01")
    t.stage.trade("BTC", "SELL", "9999000", "0.02")
    await t.pause(120.0)
    t.stage.trade("BTC", "BUY", "10002000", "0.03")
    rows = (await t.get("klines", symbol="BTC", interval="1min", date=trading_date(t))).data
    assert [int(row["openTime"]) for row in rows][-2:] == [first, first + 2 * ms]
    assert rows[-2] | {"openTime": ""} == {
        "openTime": "", "open": "10001000", "high": "10001000", "low": "9999000", "close": "9999000", "volume": "0.06",
    }  # fmt: skip


@case(23, "§4.5", "klines of a day are those from its 06:00 JST on; a daily bar opens there")
async def klines_day(t: Target) -> None:
    day_ms = 86_400_000
    opened = (t.now_ms() + 3 * 3_600_000) // day_ms * day_ms - 3 * 3_600_000
    await t.pause((opened + day_ms + 1_000 - t.now_ms()) / 1_000)
    t.stage.trade("BTC", "BUY", "10003000", "0.01")
    today = (await t.get("klines", symbol="BTC", interval="1hour", date=trading_date(t))).data
    assert [int(row["openTime"]) for row in today] == [opened + day_ms]
    daily = (await t.get("klines", symbol="BTC", interval="1day", date=trading_date(t)[:4])).data
    assert int(daily[-1]["openTime"]) == opened + day_ms


@case(24, "§4.5", "klines of a trading day that has not begun is not found", codes="ERR-5207", production=PUBLIC)
async def klines_future(t: Target) -> None:
    answer = await t.get("klines", symbol="BTC", interval="1hour", date=trading_date(t, 1))
    answer.refused("ERR-5207", status=2, http=404)


@case(25, "§4.5", "klines before 15 April 2021 is not found for intervals below four hours", codes="ERR-5207", production=PUBLIC)
async def klines_too_old(t: Target) -> None:
    (await t.get("klines", symbol="BTC", interval="1min", date="20210414")).refused("ERR-5207", status=2, http=404)


@case(26, "§4.5", "klines: an interval that nobody knows is not found", codes="ERR-5207", production=PUBLIC)
async def klines_bad_interval(t: Target) -> None:
    (await t.get("klines", symbol="BTC", interval="2min", date=trading_date(t))).refused("ERR-5207", status=2, http=404)


@case(27, "§4.5", "klines: a date of the wrong shape for its interval is not found", codes="ERR-5207", production=PUBLIC)
async def klines_bad_date(t: Target) -> None:
    (await t.get("klines", symbol="BTC", interval="1min", date="2026")).refused("ERR-5207", status=2, http=404)
    (await t.get("klines", symbol="BTC", interval="1day", date=trading_date(t))).refused("ERR-5207", status=2, http=404)


@case(28, "§4.6", "symbols: exactly seven keys, all strings", production=PUBLIC)
async def symbols(t: Target) -> None:
    for row in (await t.get("symbols")).data:
        fits(row, RULES)


@case(29, "§4.6", "symbols: the rules of BTC and BTC_JPY; a rebate is below zero", production=PUBLIC)
async def symbols_values(t: Target) -> None:
    rows = {row["symbol"]: row for row in (await t.get("symbols")).data}
    assert (rows["BTC"]["minOrderSize"], rows["BTC"]["sizeStep"], rows["BTC"]["tickSize"]) == ("0.00001", "0.00001", "1")
    assert Decimal(rows["BTC"]["makerFee"]) < 0 < Decimal(rows["BTC"]["takerFee"])
    assert (rows["BTC_JPY"]["minOrderSize"], rows["BTC_JPY"]["sizeStep"]) == ("0.001", "0.001")


@case(30, "§1.5", "prices below a yen are written without padding or exponent")
async def decimals(t: Target) -> None:
    t.stage.trade("XRP", "BUY", "219.500", "10")
    (row,) = (await t.get("ticker", symbol="XRP")).data
    assert (row["last"], row["ask"], row["bid"]) == ("219.5", ask("XRP"), bid("XRP"))
    fits(row, TICKER)


@case(31, "§4", "an unknown public path is not found", codes="ERR-5207", production=PUBLIC)
async def unknown_path(t: Target) -> None:
    assert (await t.get("nope")).refused("ERR-5207", status=2, http=404) == "Not found"


@case(32, "§1.1", "there is no version but v1", codes="ERR-5207", production=PUBLIC)
async def other_version(t: Target) -> None:
    (await t.send("GET", "/public/v2/ticker")).refused("ERR-5207", status=2, http=404)

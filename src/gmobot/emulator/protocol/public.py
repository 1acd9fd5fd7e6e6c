"""The public endpoints.

Source: reference/gmo-coin-api.md §4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from gmobot.clock import JST, NS_PER_MS, NS_PER_SECOND, iso_utc, trading_day, trading_day_start_ns
from gmobot.emulator.engine.book import REST_LEVELS
from gmobot.emulator.engine.exchange import Exchange, Refusal, SymbolMarket
from gmobot.emulator.market.tape import Trade
from gmobot.emulator.protocol import wire

_INTRADAY = {"1min": 60, "5min": 300, "10min": 600, "15min": 900, "30min": 1800, "1hour": 3600}
_LONG = {"4hour": 14_400, "8hour": 28_800, "12hour": 43_200, "1day": 86_400, "1week": 604_800, "1month": 0}
_FIRST_INTRADAY = "20210415"
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday


class NotFound(Refusal):
    """What public REST answers with HTTP 404."""

    def __init__(self) -> None:
        super().__init__("ERR-5207", "Not found")


class PublicApi:
    """Answers public requests with JSON-ready data."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._handlers: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "/v1/status": self._status,
            "/v1/ticker": self._ticker,
            "/v1/orderbooks": self._orderbooks,
            "/v1/trades": self._trades,
            "/v1/klines": self._klines,
            "/v1/symbols": self._symbols,
        }

    def knows(self, path: str) -> bool:
        """Return whether there is such an endpoint."""
        return path in self._handlers

    def answer(self, path: str, query: Mapping[str, str]) -> Any:  # noqa: ANN401
        """Return the data of a request.

        Raises:
            NotFound: Unknown symbol or bad argument.
        """
        return self._handlers[path](query)

    def _status(self, _: Mapping[str, str]) -> dict[str, str]:
        return {"status": self._exchange.status}

    def _symbols(self, _: Mapping[str, str]) -> list[dict[str, str]]:
        rows = []
        for symbol, instrument in self._exchange.instruments.items():
            values = {
                "minOrderSize": instrument.min_size,
                "maxOrderSize": instrument.max_size,
                "sizeStep": instrument.size_step,
                "tickSize": instrument.tick_size,
                "takerFee": instrument.taker_fee,
                "makerFee": instrument.maker_fee,
            }
            rows.append({"symbol": symbol} | {name: wire.number(value) for name, value in values.items()})
        return rows

    def _ticker(self, query: Mapping[str, str]) -> list[dict[str, str]]:
        chosen = [query["symbol"]] if "symbol" in query else list(self._exchange.symbols)
        traded = [market for market in map(self._market, chosen) if market.book.last]
        if not traded:
            raise NotFound
        return [ticker(market, self._exchange.clock.now_ns()) for market in traded]

    def _orderbooks(self, query: Mapping[str, str]) -> dict[str, Any]:
        return wire.book_levels(self._market(query.get("symbol")).book, REST_LEVELS)

    def _trades(self, query: Mapping[str, str]) -> dict[str, Any]:
        market = self._market(query.get("symbol"))
        page, count = page_of(query)
        # Every match is two rows, so a page of rows is half as many matches.
        first, last = (page - 1) * count, page * count
        matches = market.tape.newest(first // 2, (last + 1) // 2 - first // 2)
        rows = [wire.trade_row(trade, side, market.instrument) for trade in matches for side in ("SELL", "BUY")]
        return wire.paged(rows[first % 2 : first % 2 + count], page, count)

    def _klines(self, query: Mapping[str, str]) -> list[dict[str, str]]:
        market = self._market(query.get("symbol"))
        interval, date = query.get("interval", ""), query.get("date", "")
        start, end = self._span(interval, date)
        return klines(market.tape.between(start, end), interval, market)

    def _span(self, interval: str, date: str) -> tuple[int, int]:
        """Return the first nanosecond of a request and of what follows it.

        A year is cut at 06:00 JST of its first day like a day is: an assumption.
        """
        try:
            if interval in _INTRADAY and len(date) == len("YYYYMMDD") and date >= _FIRST_INTRADAY:
                first = datetime.strptime(date, "%Y%m%d")  # noqa: DTZ007  # the date of a trading day has no zone
                after = first + timedelta(days=1)
            elif interval in _LONG and len(date) == len("YYYY"):
                first, after = datetime(int(date), 1, 1), datetime(int(date) + 1, 1, 1)  # noqa: DTZ001  # as above
            else:
                raise NotFound
        except ValueError:
            raise NotFound from None
        start = _opening(first)
        if start > self._exchange.clock.now_ns():
            raise NotFound
        return start, _opening(after)

    def _market(self, symbol: str | None) -> SymbolMarket:
        market = self._exchange.symbols.get(symbol or "")
        if market is None:
            raise NotFound
        return market


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """Return ``page`` and ``count`` of a request.

    Raises:
        Refusal: They are not numbers in range.
    """
    try:
        page, count = int(query.get("page", "1")), int(query.get("count", "100"))
    except ValueError:
        raise Refusal("ERR-5106", "Invalid request parameter. page count") from None
    if page < 1 or not 1 <= count <= 100:
        raise Refusal("ERR-5106", "Invalid request parameter. page count")
    return page, count


def ticker(market: SymbolMarket, now_ns: int) -> dict[str, str]:
    """Return a ticker row: the day turns at 06:00 JST, volume is of 24 hours, an empty side is not there."""
    instrument, book = market.instrument, market.book
    high, low = market.tape.range_of_day(now_ns, book.last)
    prices = {"ask": book.best_ask, "bid": book.best_bid, "high": high, "last": book.last, "low": low}
    row = {name: wire.number(instrument.price(ticks)) for name, ticks in prices.items() if ticks}
    volume = wire.number(instrument.size(market.tape.volume_of_day(now_ns)))
    return row | {"symbol": instrument.symbol, "timestamp": iso_utc(now_ns), "volume": volume}


def klines(trades: list[Trade], interval: str, market: SymbolMarket) -> list[dict[str, str]]:
    """Return bars of trades, ascending; an interval without a trade has none, volume counts both sides."""
    bars: dict[int, list[Trade]] = {}
    for trade in trades:
        bars.setdefault(_bar_start(trade.at_ns, interval), []).append(trade)
    price, size = market.instrument.price, market.instrument.size
    return [
        {
            "openTime": str(at // NS_PER_MS),
            "open": wire.number(price(bar[0].ticks)),
            "high": wire.number(price(max(trade.ticks for trade in bar))),
            "low": wire.number(price(min(trade.ticks for trade in bar))),
            "close": wire.number(price(bar[-1].ticks)),
            "volume": wire.number(size(2 * sum(trade.lots for trade in bar))),
        }
        for at, bar in bars.items()
    ]


def _bar_start(at_ns: int, interval: str) -> int:
    """Return when the bar of a moment opens; all bars are cut from 06:00 JST on, weeks from Monday's."""
    day = trading_day(at_ns)
    start = trading_day_start_ns(day)
    if interval == "1month":
        return _opening(datetime.fromtimestamp(start / NS_PER_SECOND, JST).replace(day=1))
    if interval == "1week":
        return trading_day_start_ns(day - (day + _EPOCH_WEEKDAY) % 7)
    length_ns = (_INTRADAY.get(interval) or _LONG[interval]) * NS_PER_SECOND
    return start + (at_ns - start) // length_ns * length_ns


def _opening(date: datetime) -> int:
    """Return 06:00 JST of a date."""
    return int(datetime(date.year, date.month, date.day, 6, tzinfo=JST).timestamp()) * NS_PER_SECOND

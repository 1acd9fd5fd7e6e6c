"""The public endpoints.

Source: reference/gmo-coin-api.md §4.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from gmobot.clock import JST, NS_PER_MS, NS_PER_SECOND, iso_utc, trading_day, trading_day_start_ns
from gmobot.emulator import wire
from gmobot.emulator.exchange import Exchange, Refusal, SymbolMarket
from gmobot.emulator.market import Trade

_INTRADAY = {"1min": 60, "5min": 300, "10min": 600, "15min": 900, "30min": 1800, "1hour": 3600}
_LONG = {"4hour": 14_400, "8hour": 28_800, "12hour": 43_200, "1day": 86_400}
_DAY_NS = 86_400 * NS_PER_SECOND
_BOOK_DEPTH = 500


class NotFound(Refusal):
    """What public REST answers with HTTP 404."""

    def __init__(self) -> None:
        super().__init__("ERR-5207", "Not found")


class PublicApi:
    """Answers public requests with JSON-ready data."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answer(self, path: str, query: Mapping[str, str]) -> Any:  # noqa: ANN401
        """Return the data of a request.

        Raises:
            NotFound: Unknown path, symbol or argument.
        """
        handlers = {
            "/v1/status": self._status,
            "/v1/ticker": self._ticker,
            "/v1/orderbooks": self._orderbooks,
            "/v1/trades": self._trades,
            "/v1/klines": self._klines,
            "/v1/symbols": self._symbols,
        }
        handler = handlers.get(path)
        if handler is None:
            raise NotFound
        return handler(query)

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
        return [ticker(self._market(symbol), self._exchange.clock.now_ns()) for symbol in chosen]

    def _orderbooks(self, query: Mapping[str, str]) -> dict[str, Any]:
        return wire.book_levels(self._market(query.get("symbol")).book, _BOOK_DEPTH)

    def _trades(self, query: Mapping[str, str]) -> dict[str, Any]:
        market = self._market(query.get("symbol"))
        page, count = page_of(query)
        # Every match is two rows, so a page of rows is half as many matches.
        first, last = (page - 1) * count, page * count
        matches = islice(reversed(market.tape), first // 2, (last + 1) // 2)
        rows = [wire.trade_row(trade, side, market.instrument) for trade in matches for side in ("SELL", "BUY")]
        offset = first % 2
        chosen = rows[offset : offset + count]
        return {"pagination": {"currentPage": page, "count": count}, "list": chosen} if chosen else {}

    def _klines(self, query: Mapping[str, str]) -> list[dict[str, str]]:
        market = self._market(query.get("symbol"))
        interval, date = query.get("interval", ""), query.get("date", "")
        start, end = self._span(interval, date)
        seconds = _INTRADAY.get(interval) or _LONG[interval]
        return klines([trade for trade in market.tape if start <= trade.at_ns < end], seconds, market)

    def _span(self, interval: str, date: str) -> tuple[int, int]:
        now = self._exchange.clock.now_ns()
        try:
            if interval in _INTRADAY and len(date) == len("YYYYMMDD"):
                day = trading_day(int(datetime.strptime(date, "%Y%m%d").replace(hour=6, tzinfo=JST).timestamp()) * NS_PER_SECOND)
                start, end = trading_day_start_ns(day), trading_day_start_ns(day + 1)
            elif interval in _LONG and len(date) == len("YYYY"):
                start = int(datetime(int(date), 1, 1, tzinfo=UTC).timestamp()) * NS_PER_SECOND
                end = int(datetime(int(date) + 1, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_SECOND
            else:
                raise NotFound
        except ValueError:
            raise NotFound from None
        if start > now:
            raise NotFound
        return start, end

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
    """Return a ticker row: the day turns at 06:00 JST, volume is of 24 hours."""
    instrument, book = market.instrument, market.book
    day_start, last_day = trading_day_start_ns(trading_day(now_ns)), now_ns - _DAY_NS
    recent = [trade for trade in market.tape if trade.at_ns >= last_day]
    today = [trade.ticks for trade in recent if trade.at_ns >= day_start] or [book.last]
    prices = {"ask": book.best_ask, "bid": book.best_bid, "high": max(today), "last": book.last, "low": min(today)}
    row = {name: wire.number(instrument.price(ticks)) for name, ticks in prices.items()}
    volume = wire.number(instrument.size(sum(trade.lots for trade in recent)))
    return row | {"symbol": instrument.symbol, "timestamp": iso_utc(now_ns), "volume": volume}


def klines(trades: list[Trade], seconds: int, market: SymbolMarket) -> list[dict[str, str]]:
    """Return bars of trades, ascending; an interval without a trade has none, volume counts both sides."""
    bars: dict[int, list[Trade]] = {}
    for trade in trades:
        # Bars of four hours and more are cut from the trading day's start, 06:00 JST.
        start = trading_day_start_ns(trading_day(trade.at_ns))
        bars.setdefault(start + (trade.at_ns - start) // (seconds * NS_PER_SECOND) * seconds * NS_PER_SECOND, []).append(trade)
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
        for at, bar in sorted(bars.items())
    ]

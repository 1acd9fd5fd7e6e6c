"""Public endpoints: what the exchange tells anybody. Each is one question; no key is sent along.

Source: reference/gmo-coin-api.md §3.5, §4.
"""

from __future__ import annotations

from typing import Final

from gmobot.errors import Category, Refused, Unavailable
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.klines import kline_date
from gmobot.venue.gmo.requester import PAGE, Requester, one, rows
from gmobot.venue.models import Book, ExchangeStatus, Kline, Print, SymbolRules, Ticker

_MAINTENANCE_CODES: Final = frozenset({"ERR-5201", "ERR-5202"})


class PublicEndpoints(Requester):
    """Status, prices, books, the tape, bars, trading rules."""

    async def status(self) -> ExchangeStatus:
        """Return what the exchange says of itself; its maintenance refusals are an answer too."""
        try:
            return await self._public("/v1/status", one(wire.StatusData, lambda data: ExchangeStatus(data.status)))
        except Refused as error:
            if error.code in _MAINTENANCE_CODES:
                return ExchangeStatus.MAINTENANCE
            raise

    async def server_time_ns(self) -> int:
        """Return the latest stamp of the exchange's own clock, after asking it; 0 if it never told one."""
        await self.status()
        return self.server_stamped_ns

    async def ticker(self, symbol: str) -> Ticker:
        """Return last price and quotes of one symbol."""
        for row in await self._public("/v1/ticker", rows(wire.TickerData), symbol=symbol):
            if row.symbol == symbol:
                return row
        raise Unavailable(f"no ticker for {symbol}", category=Category.EXCHANGE)

    async def tickers(self) -> dict[str, Ticker]:
        """Return last price and quotes of every symbol."""
        return {row.symbol: row for row in await self._public("/v1/ticker", rows(wire.TickerData))}

    async def orderbook(self, symbol: str) -> Book:
        """Return the book, up to 500 levels a side."""
        return await self._public("/v1/orderbooks", one(wire.BookData, lambda data: data.model(self._clock.now_ns())), symbol=symbol)

    async def trades(self, symbol: str, page: int = 1, count: int = PAGE) -> list[Print]:
        """Return one page of the tape, newest first; each match appears once per side."""
        read = one(wire.TradeList, lambda data: list(data.models(symbol)))
        return await self._public("/v1/trades", read, symbol=symbol, page=page, count=count)

    async def klines(self, symbol: str, interval: str, date: str) -> list[Kline]:
        """Return the bars of one trading day (``YYYYMMDD``, from 06:00 JST) or year (``YYYY``), oldest first.

        Bars without a trade are missing, and volumes count one to two times what was matched. A day that has
        not begun, or lies before the first one, is refused with ERR-5207.

        Args:
            symbol: Any symbol.
            interval: ``1min`` … ``1hour`` with a day, ``4hour`` … ``1month`` with a year.
            date: Day or year; :func:`gmobot.venue.gmo.klines.kline_date` chooses it for a moment.
        """
        return await self._public("/v1/klines", rows(wire.KlineData), symbol=symbol, interval=interval, date=date)

    async def klines_around(self, symbol: str, interval: str, at_ns: int) -> list[Kline]:
        """Return the bars of the trading day or year that a moment lies in, oldest first."""
        return await self.klines(symbol, interval, kline_date(interval, at_ns))

    async def symbols(self) -> list[SymbolRules]:
        """Return the trading rules of every symbol."""
        return await self._public("/v1/symbols", rows(wire.SymbolData))

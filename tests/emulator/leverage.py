"""A desk that trades BTC_JPY on margin, with a book that a test sets to the tick."""

from __future__ import annotations

from typing import Any

from tests.emulator.support import KEY, PRICE, Desk, btc_jpy, customer

from gmobot.emulator.engine.records import Position

SYMBOL = "BTC_JPY"


class LeverageDesk(Desk):
    """A :class:`Desk` whose orders go to BTC_JPY; its book is one deep level on each side of the last price."""

    def __init__(self, *, jpy: str = "10000000", **options: Any) -> None:
        accounts = options.pop("accounts", None) or {KEY: customer(jpy=jpy)}
        super().__init__(accounts=accounts, listed=options.pop("listed", (btc_jpy(),)), **options)
        self.quote(PRICE)

    @property
    def positions(self) -> list[Position]:
        return list(self.account.positions.values())

    def quote(self, price: int, *, lots: int = 100_000) -> None:
        """Set the book around a price without a trade; asks stand at it, bids one below."""
        self.exchange.symbols[SYMBOL].book.replace([(price, lots)], [(price - 1, lots)])

    def move(self, price: int) -> None:
        """Let the market trade at a price, with a book around it."""
        self.quote(price)
        self.trade("SELL", price, "0.001", SYMBOL)

    async def lever(self, kind: str, side: str, size: str, price: int | None = None, tif: str | None = None, **more: Any) -> Any:
        """Send POST order for BTC_JPY and return the whole answer."""
        return await self._sent("/v1/order", {"side": side, "size": size}, kind, price, tif, more)

    async def opened(self, side: str, size: str) -> Position:
        """Open a position at the market and return it."""
        before = set(self.account.positions)
        answer = await self.lever("MARKET", side, size)
        assert answer["status"] == 0, answer
        (number,) = set(self.account.positions) - before
        return self.account.positions[number]

    async def close(
        self, position: Position, size: str, kind: str = "MARKET", price: int | None = None, tif: str | None = None, **more: Any
    ) -> Any:
        """Send closeOrder for a position and return the whole answer."""
        side = more.pop("side", "SELL" if position.side == "BUY" else "BUY")
        number = more.pop("positionId", position.position_id)
        body = {"side": side, "settlePosition": [{"positionId": number, "size": size}]}
        return await self._sent("/v1/closeOrder", body, kind, price, tif, more)

    async def close_bulk(self, side: str, size: str, kind: str = "MARKET", price: int | None = None, **more: Any) -> Any:
        """Send closeBulkOrder and return the whole answer."""
        return await self._sent("/v1/closeBulkOrder", {"side": side, "size": size}, kind, price, None, more)

    async def margin(self) -> dict[str, str]:
        """Return account/margin."""
        data: dict[str, str] = (await self.private("GET", "/v1/account/margin"))["data"]
        return data

    async def _sent(self, path: str, body: dict[str, Any], kind: str, price: int | None, tif: str | None, more: dict[str, Any]) -> Any:
        signing = {name: more.pop(name) for name in ("key", "secret") if name in more}
        body = {"symbol": SYMBOL, "executionType": kind} | body | more
        body |= {"price": str(price)} if price is not None else {}
        body |= {"timeInForce": tif} if tif is not None else {}
        answer = await self.private("POST", path, body=body, **signing)
        self.exchange.check()
        return answer

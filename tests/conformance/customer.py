"""A customer: signed requests, and the shortest way to say what customers say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.conformance.speech import Answer, Stream, signed_headers

if TYPE_CHECKING:
    from tests.conformance.target import Target


class Customer:
    """Somebody with an account."""

    def __init__(self, target: Target, key: str, secret: str) -> None:
        self._target = target
        self.key = key
        self.secret = secret

    async def read(self, path: str, **query: object) -> Answer:
        """Send a signed GET."""
        return await self.call("GET", path, query=query)

    async def post(self, path: str, body: object) -> Answer:
        """Send a signed POST."""
        return await self.call("POST", path, body=json.dumps(body))

    async def call(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: str = "", at_ms: int | None = None
    ) -> Answer:
        """Send any signed request."""
        stamp = self._target.now_ms() if at_ms is None else at_ms
        headers = signed_headers(self.key, self.secret, stamp, method, f"/v1/{path}", body)
        return await self._target.send(method, f"/private/v1/{path}", query, body, headers)

    async def order(
        self, kind: str, side: str, size: str, price: str | None = None, tif: str | None = None, *, symbol: str = "BTC", **more: object
    ) -> Answer:
        """Send an order."""
        return await self.post("order", _described(kind, price, tif) | {"symbol": symbol, "side": side, "size": size} | more)

    async def placed(
        self, kind: str, side: str, size: str, price: str | None = None, tif: str | None = None, *, symbol: str = "BTC", **more: object
    ) -> int:
        """Send an order that must be accepted and return its id."""
        return _id((await self.order(kind, side, size, price, tif, symbol=symbol, **more)).data)

    async def close(
        self, position: int, side: str, size: str, kind: str = "MARKET", price: str | None = None, tif: str | None = None, **more: object
    ) -> Answer:
        """Send a closeOrder of BTC_JPY."""
        settle = [{"positionId": position, "size": size}]
        body = _described(kind, price, tif) | {"symbol": "BTC_JPY", "side": side, "settlePosition": settle}
        return await self.post("closeOrder", body | more)

    async def close_bulk(self, side: str, size: str, kind: str = "MARKET", price: str | None = None, **more: object) -> Answer:
        """Send a closeBulkOrder of BTC_JPY."""
        return await self.post("closeBulkOrder", _described(kind, price, None) | {"symbol": "BTC_JPY", "side": side, "size": size} | more)

    async def opened(self, side: str, size: str, *, symbol: str = "BTC_JPY") -> int:
        """Open a position at the market and return its id."""
        order = await self.placed("MARKET", side, size, symbol=symbol)
        (fill,) = (await self.read("executions", orderId=order)).rows
        position = fill["positionId"]
        assert isinstance(position, int)
        return position

    async def shown(self, order: int) -> dict[str, Any]:
        """Return an order as REST shows it."""
        (row,) = (await self.read("orders", orderId=order)).rows
        return row

    async def position(self, position: int, *, symbol: str = "BTC_JPY") -> dict[str, Any]:
        """Return a position as REST shows it."""
        (row,) = [row for row in (await self.read("openPositions", symbol=symbol)).rows if row["positionId"] == position]
        return row

    async def margin(self) -> dict[str, str]:
        """Return the account's margin."""
        data: dict[str, str] = (await self.read("account/margin")).data
        return data

    async def balance(self, symbol: str) -> dict[str, str]:
        """Return the account's row of one asset."""
        (row,) = [row for row in (await self.read("account/assets")).data if row["symbol"] == symbol]
        found: dict[str, str] = row
        return found

    async def token(self) -> str:
        """Return a fresh token of the private stream."""
        token = (await self.post("ws-auth", {})).data
        assert isinstance(token, str)
        return token

    async def opened_stream(self, *channels: str, option: str | None = None) -> Stream:
        """Open the private stream and subscribe."""
        stream = await self._target.connect(f"/ws/private/v1/{await self.token()}")
        for channel in channels:
            await self._target.subscribe(stream, channel, option=option)
        return stream


def _described(kind: str, price: str | None, tif: str | None) -> dict[str, object]:
    named = {"executionType": kind, "price": price, "timeInForce": tif}
    return {name: value for name, value in named.items() if value is not None}


def _id(data: object) -> int:
    assert isinstance(data, str), data
    assert data.isdigit(), data
    return int(data)

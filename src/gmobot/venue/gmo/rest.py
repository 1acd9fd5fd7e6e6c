"""GMO Coin's REST API, typed. One method per endpoint; no method repeats a write.

What a caller may conclude is in the exception: :class:`Refused` and :class:`NotSent` are definitive,
:class:`OutcomeUnknown` is a write that must be resolved, :class:`Unavailable` a read to try again.

Source: reference/gmo-coin-api.md §1–§5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from gmobot.clock import NS_PER_MS, Clock, parse_iso_utc
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, Unavailable, VenueError
from gmobot.secrets import Secret
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.auth import Credentials, signed_headers
from gmobot.venue.gmo.errors import CLOCK_CODES, meaning, raise_for
from gmobot.venue.gmo.limits import Priority, RateLimiter
from gmobot.venue.models import (
    Balance,
    Book,
    ExchangeStatus,
    Execution,
    Kline,
    Order,
    OrderRequest,
    Print,
    SymbolRules,
    Ticker,
)
from gmobot.venue.transport import Reply, ReplyLost, Request, Timeouts, Transport

T = TypeVar("T")
_PAGE: Final = 100
_MOST_PAGES: Final = 50
_OFFSET_WEIGHT: Final = 0.2
_MAINTENANCE_CODES: Final = frozenset({"ERR-5201", "ERR-5202"})


class RequestRecord(msgspec.Struct, frozen=True):
    """What became of one request, for metrics. It carries nothing secret.

    Attributes:
        outcome: ``ok``, ``refused``, ``not_sent``, ``unknown`` or ``unavailable``.
    """

    endpoint: str
    outcome: str
    seconds: float
    category: Category | None = None


class GmoRest:
    """The REST half of the client.

    Attributes:
        server_offset_ns: The exchange's clock minus ours, smoothed; added to every request's timestamp.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        *,
        credentials: Credentials | None = None,
        limiter: RateLimiter | None = None,
        timeouts: Timeouts | None = None,
        observe: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._credentials = credentials
        self._limiter = limiter or RateLimiter(clock)
        self._timeouts = timeouts or Timeouts()
        self._observe = observe
        self._offset_known = False
        self.server_offset_ns = 0

    @property
    def limiter(self) -> RateLimiter:
        """The rate limiter, for metrics."""
        return self._limiter

    async def status(self) -> ExchangeStatus:
        """Return what the exchange says of itself; its maintenance refusals are an answer too."""
        try:
            data = await self._public("/v1/status", wire.StatusData)
        except Refused as error:
            if error.code in _MAINTENANCE_CODES:
                return ExchangeStatus.MAINTENANCE
            raise
        try:
            return ExchangeStatus(data.status)
        except ValueError:
            raise Unavailable(f"unknown exchange status {data.status!r}", category=Category.EXCHANGE) from None

    async def ticker(self, symbol: str) -> Ticker:
        """Return last price and quotes of one symbol."""
        rows = await self._public("/v1/ticker", tuple[wire.TickerData, ...], symbol=symbol)
        if not rows:
            raise Unavailable(f"no ticker for {symbol}", category=Category.EXCHANGE)
        return rows[0].model()

    async def orderbook(self, symbol: str) -> Book:
        """Return the book, up to 500 levels a side."""
        return (await self._public("/v1/orderbooks", wire.BookData, symbol=symbol)).model(self._clock.now_ns())

    async def trades(self, symbol: str, *, page: int = 1, count: int = _PAGE) -> list[Print]:
        """Return one page of the tape, newest first; each match appears once per side."""
        data = await self._public("/v1/trades", wire.TradeList, symbol=symbol, page=page, count=count)
        return [row.model(symbol) for row in data.list]

    async def klines(self, symbol: str, interval: str, date: str) -> list[Kline]:
        """Return the bars of one trading day (``YYYYMMDD``, from 06:00 JST), oldest first."""
        rows = await self._public("/v1/klines", tuple[wire.KlineData, ...], symbol=symbol, interval=interval, date=date)
        return [row.model() for row in rows]

    async def symbols(self) -> list[SymbolRules]:
        """Return the trading rules of every symbol."""
        return [row.model() for row in await self._public("/v1/symbols", tuple[wire.SymbolData, ...])]

    async def assets(self) -> list[Balance]:
        """Return all balances."""
        return [row.model() for row in await self._get("/v1/account/assets", tuple[wire.AssetData, ...])]

    async def orders(self, order_ids: Sequence[int]) -> list[Order]:
        """Return up to ten orders by id; ids the exchange does not know are missing from the answer."""
        if not order_ids:
            return []
        data = await self._get("/v1/orders", wire.OrderList, orderId=",".join(str(order_id) for order_id in order_ids))
        return [row.model() for row in data.list]

    async def active_orders(self, symbol: str) -> list[Order]:
        """Return all orders of a symbol that may still fill."""
        found: dict[int, Order] = {}
        for page in range(1, _MOST_PAGES + 1):
            data = await self._get("/v1/activeOrders", wire.OrderList, symbol=symbol, page=page, count=_PAGE)
            found |= {row.orderId: row.model() for row in data.list}
            if len(data.list) < _PAGE:
                break
        return list(found.values())

    async def executions(self, order_id: int) -> list[Execution]:
        """Return the fills of one order."""
        data = await self._get("/v1/executions", wire.ExecutionList, orderId=order_id)
        return [row.model() for row in data.list]

    async def latest_executions(self, symbol: str) -> list[Execution]:
        """Return the fills of the last day."""
        found: dict[int, Execution] = {}
        for page in range(1, _MOST_PAGES + 1):
            data = await self._get("/v1/latestExecutions", wire.ExecutionList, symbol=symbol, page=page, count=_PAGE)
            found |= {row.executionId: row.model() for row in data.list}
            if len(data.list) < _PAGE:
                break
        return list(found.values())

    async def place_order(self, order: OrderRequest) -> int:
        """Place an order and return its id, which says accepted: neither resting nor filled.

        Raises:
            Refused: Definitive.
            NotSent: Definitive.
            OutcomeUnknown: It may exist.
        """
        body = msgspec.json.encode(wire.OrderBody.of(order))
        return int(await self._write("POST", "/v1/order", body, str, Priority.ORDER))

    async def cancel_order(self, order_id: int) -> None:
        """Ask for an order to be cancelled; returning says accepted, not done."""
        await self._write("POST", "/v1/cancelOrder", msgspec.json.encode({"orderId": order_id}), None, Priority.CANCEL)

    async def create_token(self) -> Secret:
        """Create a token for the private stream, good for sixty minutes."""
        return Secret(await self._write("POST", "/v1/ws-auth", b"{}", str, Priority.ORDER))

    async def extend_token(self, token: Secret) -> None:
        """Give a token another sixty minutes."""
        await self._write("PUT", "/v1/ws-auth", msgspec.json.encode({"token": token.reveal().decode()}), None, Priority.ORDER)

    async def revoke_token(self, token: Secret) -> None:
        """Revoke a token."""
        await self._write("DELETE", "/v1/ws-auth", msgspec.json.encode({"token": token.reveal().decode()}), None, Priority.ORDER)

    async def _public(self, path: str, kind: type[T], **query: str | int) -> T:
        return await self._read("/public", path, kind, query, {})

    async def _get(self, path: str, kind: type[T], **query: str | int) -> T:
        return await self._read("/private", path, kind, query, None)

    async def _read(self, room: str, path: str, kind: type[T], query: dict[str, str | int], headers: dict[str, str] | None) -> T:
        await self._limiter.bucket("GET", private=room == "/private").take(Priority.READ)
        started = self._clock.monotonic()
        try:
            signed = self._sign("GET", path, b"") if headers is None else headers
            request = Request("GET", room + path, urlencode(query), signed)
            reply = await self._exchange(request)
            result = self._data(self._envelope(reply, is_write=False, room=room), kind)
        except ReplyLost as error:
            self._note(path, started, "unavailable", Category.NETWORK)
            raise Unavailable(f"GET {path}: {error}") from None
        except VenueError as error:
            self._note(path, started, _outcome(error), error.category)
            raise
        self._note(path, started, "ok", None)
        return result

    async def _write(self, method: str, path: str, body: bytes, kind: type[T] | None, priority: Priority) -> T:
        await self._limiter.bucket(method, private=True).take(priority)
        started = self._clock.monotonic()
        try:
            request = Request(method, f"/private{path}", "", self._sign(method, path, body), body)
            reply = await self._exchange(request)
            envelope = self._envelope(reply, is_write=True, room="/private")
            result = self._data(envelope, kind) if kind is not None else None
        except ReplyLost as error:
            self._note(path, started, "unknown", Category.NETWORK)
            raise OutcomeUnknown(f"{method} {path}: {error}") from None
        except Unavailable as error:
            self._note(path, started, "unknown", error.category)
            raise OutcomeUnknown(f"{method} {path}: {error}", category=error.category) from None
        except VenueError as error:
            self._note(path, started, _outcome(error), error.category)
            raise
        self._note(path, started, "ok", None)
        return result  # type: ignore[return-value]  # None exactly when no kind was asked for

    async def _exchange(self, request: Request) -> Reply:
        return await self._transport.request(request, self._timeouts)

    def _sign(self, method: str, path: str, body: bytes) -> dict[str, str]:
        if self._credentials is None:
            raise NotSent(f"{method} {path} needs an API key", category=Category.AUTH)
        timestamp = (self._clock.now_ns() + self.server_offset_ns) // NS_PER_MS
        headers = signed_headers(self._credentials, timestamp_ms=timestamp, method=method, path=path, body=body)
        return headers | {"Content-Type": "application/json"} if body else headers

    def _envelope(self, reply: Reply, *, is_write: bool, room: str) -> wire.Envelope:
        try:
            envelope = msgspec.json.decode(reply.body, type=wire.Envelope)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise Unavailable(f"HTTP {reply.status} with a body that is not GMO Coin's", category=Category.NETWORK) from None
        self._learn_offset(envelope)
        if envelope.status == 0 and reply.status == 200:
            return envelope
        message = envelope.messages[0] if envelope.messages else wire.Message("", f"status {envelope.status}, HTTP {reply.status}")
        if not message.message_code:
            raise Unavailable(message.message_string, category=Category.EXCHANGE)
        if meaning(message.message_code).category is Category.RATE_LIMIT:
            self._limiter.bucket("POST" if is_write else "GET", private=room == "/private").penalise()
        if message.message_code in CLOCK_CODES:
            self._offset_known = False
        raise_for(message.message_code, message.message_string, is_write=is_write)

    def _data(self, envelope: wire.Envelope, kind: type[T]) -> T:
        if not bytes(envelope.data):
            raise Unavailable("a reply without data", category=Category.EXCHANGE)
        try:
            return msgspec.json.decode(envelope.data, type=kind)
        except msgspec.ValidationError as error:
            raise Unavailable(f"a reply of unexpected shape: {error}", category=Category.EXCHANGE) from None

    def _learn_offset(self, envelope: wire.Envelope) -> None:
        if envelope.responsetime is None:
            return
        try:
            seen = parse_iso_utc(envelope.responsetime) - self._clock.now_ns()
        except ValueError:
            return
        if not self._offset_known:
            self.server_offset_ns, self._offset_known = seen, True
        else:
            self.server_offset_ns += int((seen - self.server_offset_ns) * _OFFSET_WEIGHT)

    def _note(self, path: str, started: float, outcome: str, category: Category | None) -> None:
        if self._observe is not None:
            self._observe(RequestRecord(path, outcome, self._clock.monotonic() - started, category))


def _outcome(error: VenueError) -> str:
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, NotSent):
        return "not_sent"
    return "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"

"""GMO Coin's REST API, typed. One method per endpoint; no method repeats a write.

What a caller may conclude is in the exception: :class:`Refused` and :class:`NotSent` are definitive,
:class:`OutcomeUnknown` is a write that must be resolved, :class:`Unavailable` a read to try again.

Source: reference/gmo-coin-api.md §1–§5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, Clock, parse_iso_utc
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, Unavailable, VenueError
from gmobot.secrets import Secret
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.auth import Credentials, signed_headers
from gmobot.venue.gmo.errors import meaning, raise_for
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
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
_PAGE: Final = 100
_MOST_PAGES: Final = 50
_MOST_OFFSET_NS: Final = 86_400 * NS_PER_SECOND
"""A server clock further away than a day is a garbled stamp, not a clock."""
_PUBLIC_STALE_NS: Final = 2 * NS_PER_SECOND
"""Public replies come from a cache: their stamp may be this old (§1.1: about 1.5 s)."""
_OK: Final = 200
_LONGEST_TEXT: Final = 200
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


class _Row(Protocol[M_co]):
    def model(self) -> M_co: ...


class _Call(NamedTuple):
    """One request before it is signed. ``path`` is from ``/v1`` on; ``room`` comes before it."""

    method: str
    room: str
    path: str
    query: str = ""
    body: bytes = b""
    priority: Priority = Priority.READ

    @property
    def is_private(self) -> bool:
        return self.room == "/private"

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    def unanswered(self, why: str, category: Category) -> OutcomeUnknown | Unavailable:
        """Return what it means that no trustworthy answer came."""
        text = f"{self.method} {self.path}: {why}"
        return OutcomeUnknown(text, category=category) if self.is_write else Unavailable(text, category=category)


class GmoRest:
    """The REST half of the client.

    Attributes:
        server_offset_ns: The exchange's clock minus ours, added to every request's timestamp. Every reply
            proves an interval that the true offset lies in; the estimate moves only as far as it must to
            lie there too, so that latency and cached replies do not make it wander.
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
        self.server_offset_ns = 0

    @property
    def limiter(self) -> RateLimiter:
        """The rate limiter, for metrics."""
        return self._limiter

    async def status(self) -> ExchangeStatus:
        """Return what the exchange says of itself; its maintenance refusals are an answer too."""
        try:
            return await self._public("/v1/status", wire.StatusData, lambda data: ExchangeStatus(data.status))
        except Refused as error:
            if error.code in _MAINTENANCE_CODES:
                return ExchangeStatus.MAINTENANCE
            raise

    async def ticker(self, symbol: str) -> Ticker:
        """Return last price and quotes of one symbol."""
        rows = await self._public("/v1/ticker", tuple[wire.TickerData, ...], _models, symbol=symbol)
        for row in rows:
            if row.symbol == symbol:
                return row
        raise Unavailable(f"no ticker for {symbol}", category=Category.EXCHANGE)

    async def orderbook(self, symbol: str) -> Book:
        """Return the book, up to 500 levels a side."""
        return await self._public("/v1/orderbooks", wire.BookData, lambda data: data.model(self._clock.now_ns()), symbol=symbol)

    async def trades(self, symbol: str, page: int = 1, count: int = _PAGE) -> list[Print]:
        """Return one page of the tape, newest first; each match appears once per side."""
        rows = await self._public("/v1/trades", wire.TradeList, lambda data: data.models(symbol), symbol=symbol, page=page, count=count)
        return list(rows)

    async def klines(self, symbol: str, interval: str, date: str) -> list[Kline]:
        """Return the bars of one trading day (``YYYYMMDD``, from 06:00 JST) or year (``YYYY``), oldest first.

        Args:
            symbol: Any symbol.
            interval: ``1min`` … ``1hour`` with a day, ``4hour`` … ``1month`` with a year.
            date: Day or year.
        """
        return await self._public("/v1/klines", tuple[wire.KlineData, ...], _models, symbol=symbol, interval=interval, date=date)

    async def symbols(self) -> list[SymbolRules]:
        """Return the trading rules of every symbol."""
        return await self._public("/v1/symbols", tuple[wire.SymbolData, ...], _models)

    async def assets(self) -> list[Balance]:
        """Return all balances."""
        return await self._private("/v1/account/assets", tuple[wire.AssetData, ...], _models)

    async def orders(self, order_ids: Sequence[int]) -> list[Order]:
        """Return up to ten orders by id; ids the exchange does not know are missing from the answer."""
        if not order_ids:
            return []
        joined = ",".join(str(order_id) for order_id in order_ids)
        return await self._private("/v1/orders", wire.OrderList, lambda data: _models(data.list), orderId=joined)

    async def active_orders(self, symbol: str) -> list[Order]:
        """Return all orders of a symbol that may still fill."""
        rows = await self._pages("/v1/activeOrders", wire.OrderList, lambda data: _models(data.list), symbol)
        return list({row.order_id: row for row in rows}.values())

    async def executions(self, order_id: int) -> list[Execution]:
        """Return the fills of one order."""
        return await self._private("/v1/executions", wire.ExecutionList, lambda data: _models(data.list), orderId=order_id)

    async def latest_executions(self, symbol: str) -> list[Execution]:
        """Return the fills of the last day."""
        rows = await self._pages("/v1/latestExecutions", wire.ExecutionList, lambda data: _models(data.list), symbol)
        return list({row.execution_id: row for row in rows}.values())

    async def place_order(self, order: OrderRequest) -> int:
        """Place an order and return its id, which says accepted: neither resting nor filled.

        Raises:
            Refused: Definitive.
            NotSent: Definitive.
            OutcomeUnknown: It may exist.
        """
        body = msgspec.json.encode(wire.OrderBody.of(order))
        return await self._write("POST", "/v1/order", body, Priority.ORDER, lambda envelope: wire.order_id(envelope.data))

    async def cancel_order(self, order_id: int) -> None:
        """Ask for an order to be cancelled; returning says accepted, not done."""
        await self._write("POST", "/v1/cancelOrder", msgspec.json.encode({"orderId": order_id}), Priority.CANCEL, _accepted)

    async def create_token(self) -> Secret:
        """Create a token for the private stream, good for sixty minutes."""
        return await self._write("POST", "/v1/ws-auth", b"{}", Priority.ORDER, lambda envelope: Secret(wire.token(envelope.data)))

    async def extend_token(self, token: Secret) -> None:
        """Give a token another sixty minutes."""
        await self._write("PUT", "/v1/ws-auth", _token_body(token), Priority.ORDER, _accepted)

    async def revoke_token(self, token: Secret) -> None:
        """Revoke a token."""
        await self._write("DELETE", "/v1/ws-auth", _token_body(token), Priority.ORDER, _accepted)

    async def _public(self, path: str, kind: type[T], convert: Callable[[T], M], **query: str | int) -> M:
        return await self._call(_Call("GET", "/public", path, urlencode(query)), lambda envelope: convert(_data(envelope, kind)))

    async def _private(self, path: str, kind: type[T], convert: Callable[[T], M], **query: str | int) -> M:
        return await self._call(_Call("GET", "/private", path, urlencode(query)), lambda envelope: convert(_data(envelope, kind)))

    async def _pages(self, path: str, kind: type[T], convert: Callable[[T], list[M]], symbol: str) -> list[M]:
        rows: list[M] = []
        for page in range(1, _MOST_PAGES + 1):
            found = await self._private(path, kind, convert, symbol=symbol, page=page, count=_PAGE)
            rows += found
            if len(found) < _PAGE:
                return rows
        # Half an answer would pass for a whole one.
        raise Unavailable(f"GET {path}: more than {_MOST_PAGES} pages", category=Category.EXCHANGE)

    async def _write(self, method: str, path: str, body: bytes, priority: Priority, read: Callable[[wire.Envelope], M]) -> M:
        return await self._call(_Call(method, "/private", path, "", body, priority), read)

    async def _call(self, call: _Call, read: Callable[[wire.Envelope], M]) -> M:
        """Wait for the limiter, ask once, and note what became of it."""
        await self._limiter.bucket(call.method, private=call.is_private).take(call.priority)
        started = self._clock.monotonic()
        try:
            result = await self._ask(call, read)
        except VenueError as error:
            self._note(call.path, started, _outcome(error), error.category)
            raise
        self._note(call.path, started, "ok", None)
        return result

    async def _ask(self, call: _Call, read: Callable[[wire.Envelope], M]) -> M:
        try:
            sent_ns = self._clock.now_ns()
            request = Request(call.method, call.room + call.path, call.query, self._headers(call, sent_ns), call.body)
            reply = await self._transport.request(request, self._timeouts)
            return read(self._envelope(call, reply, sent_ns))
        except NotSent as error:
            if call.is_write:
                raise
            raise call.unanswered(str(error), error.category) from None
        except ReplyLost as error:
            raise call.unanswered(str(error), Category.NETWORK) from None
        except wire.MALFORMED as error:
            raise call.unanswered(f"a reply of unexpected shape ({type(error).__name__})", Category.EXCHANGE) from None

    def _headers(self, call: _Call, now_ns: int) -> dict[str, str]:
        if not call.is_private:
            return {}
        if self._credentials is None:
            raise NotSent(f"{call.method} {call.path} needs an API key", category=Category.AUTH)
        timestamp = (now_ns + self.server_offset_ns) // NS_PER_MS
        headers = signed_headers(self._credentials, timestamp_ms=timestamp, method=call.method, path=call.path, body=call.body)
        return headers | {"Content-Type": "application/json"} if call.body else headers

    def _envelope(self, call: _Call, reply: Reply, sent_ns: int) -> wire.Envelope:
        """Return the reply's envelope if it says that all is well, raise what it says otherwise."""
        try:
            envelope = wire.decode(reply.body, wire.Envelope)
        except wire.MALFORMED:
            raise call.unanswered(f"HTTP {reply.status} with a body that is not GMO Coin's", Category.NETWORK) from None
        self._learn_offset(envelope.responsetime, sent_ns, _PUBLIC_STALE_NS if not call.is_private else 0)
        if envelope.status != 0 or reply.status != _OK:
            self._raise_error(call, envelope, reply.status)
        return envelope

    def _raise_error(self, call: _Call, envelope: wire.Envelope, http: int) -> NoReturn:
        message = envelope.messages[0] if envelope.messages else None
        if message is None or envelope.status == 0:
            raise call.unanswered(f"HTTP {http}, status {envelope.status}, no message", Category.EXCHANGE)
        if meaning(message.message_code).category is Category.RATE_LIMIT:
            self._limiter.bucket(call.method, private=call.is_private).penalise()
        text = message.message_string[:_LONGEST_TEXT]
        raise_for(message.message_code, text, path=call.path, is_write=call.is_write, http=http)

    def _learn_offset(self, responsetime: str | None, sent_ns: int, stale_ns: int) -> None:
        """Move the offset into the interval that a reply's stamp proves: it was made between asking and now."""
        if responsetime is None:
            return
        try:
            stamped_ns = parse_iso_utc(responsetime)
        except wire.MALFORMED:
            return
        earliest, latest = stamped_ns - self._clock.now_ns(), stamped_ns - sent_ns + NS_PER_MS + stale_ns
        if max(abs(earliest), abs(latest)) <= _MOST_OFFSET_NS:
            self.server_offset_ns = max(earliest, min(self.server_offset_ns, latest))

    def _note(self, path: str, started: float, outcome: str, category: Category | None) -> None:
        if self._observe is not None:
            self._observe(RequestRecord(path, outcome, self._clock.monotonic() - started, category))


def _data(envelope: wire.Envelope, kind: type[T]) -> T:
    """Return the data of a reply; a reply without any is malformed, never empty."""
    return wire.decode(envelope.data, kind)


def _models(rows: Sequence[_Row[M]]) -> list[M]:
    return [row.model() for row in rows]


def _accepted(_: wire.Envelope) -> None:
    """Return nothing: the reply says all by being there."""


def _token_body(token: Secret) -> bytes:
    return msgspec.json.encode({"token": token.reveal().decode()})


def _outcome(error: VenueError) -> str:
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, NotSent):
        return "not_sent"
    return "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"

"""One request from end to end: limit, sign, send, decode, conclude. The endpoints are methods on top of it.

What a caller may conclude is in the exception: :class:`Refused` and :class:`NotSent` are definitive,
:class:`OutcomeUnknown` is a write that must be resolved, :class:`Unavailable` a read to try again. A read
that never left is *unavailable* too: to a reader it is all the same.

A write is never repeated. A read is, if the caller wants it: signed anew, and only while little time has
passed, so that a connection cut at once costs a moment and a silent exchange is told after one timeout.

Source: reference/gmo-coin-api.md §1–§3.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn, Protocol, Self, TypeVar
from urllib.parse import urlencode

import msgspec

from gmobot.clock import NS_PER_MS, Clock
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, Unavailable, VenueError, Withheld
from gmobot.secrets import Secret
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.auth import Credentials, KeysInUse, signed_headers
from gmobot.venue.gmo.errors import meaning, raise_for
from gmobot.venue.gmo.limits import Priority, RateLimiter
from gmobot.venue.gmo.server_clock import Moment, ServerClock
from gmobot.venue.transport import Reply, ReplyLost, Request, Timeouts, Transport

T = TypeVar("T")
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
PAGE: Final = 100
"""Most rows the exchange gives at once."""
_MOST_PAGES: Final = 50
_OK: Final = 200
_LONGEST_TEXT: Final = 200


class RequestRecord(msgspec.Struct, frozen=True):
    """What became of one request, for metrics. It carries nothing secret.

    Attributes:
        outcome: ``ok``, ``refused``, ``not_sent``, ``unknown`` or ``unavailable``.
    """

    endpoint: str
    outcome: str
    seconds: float
    category: Category | None = None


class Repetition(NamedTuple):
    """How often a read is asked again.

    Attributes:
        attempts: All in all; 1 never asks again.
        within_seconds: No new attempt once so much time has passed since the first.
        pause_seconds: Before the second attempt; doubles with each.
    """

    attempts: int = 3
    within_seconds: float = 2.0
    pause_seconds: float = 0.1


ONCE: Final = Repetition(attempts=1)


class _Row(Protocol[M_co]):
    def model(self) -> M_co: ...


class Call(NamedTuple):
    """One request before it is signed. ``path`` is from ``/v1`` on; ``room`` comes before it.

    Attributes:
        token: A stream's token in the body, which no error text may show.
        last_word: Asked when nothing is left to wait for: why the request is not to leave after all, or ``None``.
    """

    method: str
    room: str
    path: str
    query: str = ""
    body: bytes = b""
    priority: Priority = Priority.READ
    token: Secret | None = None
    last_word: Callable[[], str | None] = lambda: None

    @property
    def is_private(self) -> bool:
        """Whether it is signed."""
        return self.room == "/private"

    @property
    def is_write(self) -> bool:
        """Whether it could change anything."""
        return self.method != "GET"

    def unanswered(self, why: str, category: Category) -> OutcomeUnknown | Unavailable:
        """Return what it means that no trustworthy answer came."""
        text = f"{self.method} {self.path}: {why}"
        return OutcomeUnknown(text, category=category) if self.is_write else Unavailable(text, category=category)


class Requester:
    """Sends requests to one account's exchange."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        *,
        credentials: Credentials | None = None,
        limiter: RateLimiter | None = None,
        timeouts: Timeouts | None = None,
        observe: Callable[[RequestRecord], None] | None = None,
        repeat: Repetition = ONCE,
    ) -> None:
        """Make a client; nothing is sent.

        Args:
            transport: The way to the exchange.
            clock: Time.
            credentials: Without them nothing private leaves.
            limiter: Shared by whoever uses the same account; ``None`` makes one.
            timeouts: Of each request.
            observe: Told of every request that ended.
            repeat: How often reads are asked again.
        """
        self._transport = transport
        self._clock = clock
        self._keys = KeysInUse(credentials)
        self._limiter = limiter or RateLimiter(clock)
        self._timeouts = timeouts or Timeouts()
        self._observe = observe
        self._repeat = repeat
        self._most_wait: float | None = None
        self._server_clock = ServerClock(clock)

    @property
    def limiter(self) -> RateLimiter:
        """The rate limiter, for metrics."""
        return self._limiter

    @property
    def key(self) -> Secret | None:
        """The API key that signs now; ``None`` where nothing private leaves."""
        return None if self._keys.current is None else self._keys.current.key

    @property
    def server_offset_ns(self) -> int:
        """The exchange's clock minus ours, as far as replies prove it; added to every request's timestamp."""
        return self._server_clock.offset_ns

    @property
    def server_stamped_ns(self) -> int:
        """The latest moment of the exchange's clock that a reply told, 0 before the first."""
        return self._server_clock.stamped_ns

    @property
    def server_floor_ns(self) -> int:
        """What the exchange's clock reads at least, whatever is done to ours; 0 before the first reply."""
        return self._server_clock.floor_ns

    @property
    def server_now_ns(self) -> int:
        """The exchange's time as far as replies tell it, whatever is done to our clock; 0 before the first reply."""
        return self._server_clock.now_ns

    def waiting_at_most(self, seconds: float) -> Self:
        """Return a view of this client that refuses to send rather than wait longer for the rate limit.

        A write is then :class:`NotSent`, a read :class:`Unavailable`, of category ``rate_limit``. All else is shared.
        """
        view = copy.copy(self)
        view._most_wait = seconds  # noqa: SLF001  # a view of this very object
        return view

    def trying(self, credentials: Credentials) -> Self:
        """Return a view of this client that signs with other credentials. All else is shared: limits, and the exchange's clock."""
        view = copy.copy(self)
        view._keys = KeysInUse(credentials)  # noqa: SLF001  # a view of this very object
        return view

    def sign_with(self, credentials: Credentials) -> None:
        """Sign every request from now on with other credentials, in all views too; what is under way ends as it began."""
        self._keys.replace(credentials)

    async def _public(self, path: str, read: Callable[[wire.Envelope], M], **query: str | int) -> M:
        return await self._call(Call("GET", "/public", path, urlencode(query)), read)

    async def _private(self, path: str, read: Callable[[wire.Envelope], M], **query: str | int) -> M:
        return await self._call(Call("GET", "/private", path, urlencode(query)), read)

    async def _pages(
        self,
        path: str,
        read: Callable[[wire.Envelope], list[M]],
        symbol: str,
        *,
        enough: Callable[[list[M]], bool] = lambda page: False,  # noqa: ARG005  # the usual caller wants them all
    ) -> list[M]:
        rows: list[M] = []
        for page in range(1, _MOST_PAGES + 1):
            found = await self._private(path, read, symbol=symbol, page=page, count=PAGE)
            rows += found
            if len(found) < PAGE or enough(found):
                return rows
        # Half an answer would pass for a whole one.
        raise Unavailable(f"GET {path}: more than {_MOST_PAGES} pages", category=Category.EXCHANGE)

    async def _post(
        self,
        path: str,
        body: object,
        priority: Priority,
        read: Callable[[wire.Envelope], M],
        last_word: Callable[[], str | None] = lambda: None,
    ) -> M:
        return await self._call(Call("POST", "/private", path, "", msgspec.json.encode(body), priority, last_word=last_word), read)

    async def _call(self, call: Call, read: Callable[[wire.Envelope], M]) -> M:
        """Ask once; ask a read again as far as :class:`Repetition` goes."""
        if call.is_write or self._repeat.attempts <= 1:
            return await self._once(call, read)
        started, pause = self._clock.monotonic(), self._repeat.pause_seconds
        for _ in range(self._repeat.attempts - 1):
            try:
                return await self._once(call, read)
            except (Unavailable, Refused) as error:
                if not _worth_repeating(error) or self._clock.monotonic() + pause - started > self._repeat.within_seconds:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        return await self._once(call, read)

    async def _once(self, call: Call, read: Callable[[wire.Envelope], M]) -> M:
        """Wait for the limiter, ask once, and note what became of it."""
        try:
            await self._wait_for_turn(call)
        except NotSent as error:
            self._note(call.path, 0.0, "not_sent", error.category)
            if call.is_write:
                raise
            raise call.unanswered(str(error), error.category) from None
        started = self._clock.monotonic()
        try:
            result = await self._ask(call, read)
        except VenueError as error:
            self._note(call.path, self._clock.monotonic() - started, _outcome(error), error.category)
            raise
        self._note(call.path, self._clock.monotonic() - started, "ok", None)
        return result

    async def _wait_for_turn(self, call: Call) -> None:
        await self._limiter.bucket(call.method, private=call.is_private).take(call.priority, self._most_wait)
        if (reason := call.last_word()) is not None:
            raise Withheld(reason)

    async def _ask(self, call: Call, read: Callable[[wire.Envelope], M]) -> M:
        try:
            sent = Moment.of(self._clock)
            request = Request(call.method, call.room + call.path, call.query, self._headers(call, sent.wall_ns), call.body)
            reply = await self._transport.request(request, self._timeouts)
            return read(self._envelope(call, reply, sent))
        except NotSent as error:
            if call.is_write:
                raise
            raise call.unanswered(str(error), error.category) from None
        except ReplyLost as error:
            raise call.unanswered(str(error), Category.NETWORK) from None
        except wire.MALFORMED as error:
            raise call.unanswered(f"a reply of unexpected shape ({wire.told(error)})", Category.EXCHANGE) from None

    def _headers(self, call: Call, now_ns: int) -> dict[str, str]:
        if not call.is_private:
            return {}
        credentials = self._keys.current
        if credentials is None:
            raise NotSent(f"{call.method} {call.path} needs an API key", category=Category.AUTH)
        timestamp = (now_ns + self._server_clock.offset_ns) // NS_PER_MS
        headers = signed_headers(credentials, timestamp_ms=timestamp, method=call.method, path=call.path, body=call.body)
        if call.body:
            headers["Content-Type"] = "application/json"
        return headers

    def _envelope(self, call: Call, reply: Reply, sent: Moment) -> wire.Envelope:
        """Return the reply's envelope if it says that all is well, raise what it says otherwise."""
        try:
            envelope = wire.decode(reply.body, wire.Envelope)
        except wire.MALFORMED:
            raise call.unanswered(f"HTTP {reply.status} with a body that is not GMO Coin's", Category.NETWORK) from None
        self._server_clock.learn(envelope.responsetime, reply.headers, sent=sent, cached=not call.is_private)
        if envelope.status != 0 or reply.status != _OK:
            self._raise_error(call, envelope, reply.status)
        return envelope

    def _raise_error(self, call: Call, envelope: wire.Envelope, http: int) -> NoReturn:
        message = envelope.messages[0] if envelope.messages else None
        if message is None or envelope.status == 0:
            raise call.unanswered(f"HTTP {http}, status {envelope.status}, no message", Category.EXCHANGE)
        if meaning(message.message_code).category is Category.RATE_LIMIT:
            self._limiter.bucket(call.method, private=call.is_private).penalise()
        code, text = (self._without_secrets(part, call)[:_LONGEST_TEXT] for part in (message.message_code, message.message_string))
        raise_for(code, text, path=call.path, is_write=call.is_write, http=http)

    def _without_secrets(self, text: str, call: Call) -> str:
        """Return a text of the exchange's without what we told it in confidence, should it repeat it to us."""
        for secret in (*self._keys.secrets(), call.token):
            if secret is not None and secret.reveal():
                text = text.replace(secret.reveal().decode(), "***")
        return text

    def _note(self, path: str, seconds: float, outcome: str, category: Category | None) -> None:
        if self._observe is not None:
            self._observe(RequestRecord(path, outcome, seconds, category))


def one(kind: type[T], convert: Callable[[T], M]) -> Callable[[wire.Envelope], M]:
    """Return what reads an object from a reply; a reply without data is malformed, never empty."""
    return lambda envelope: convert(wire.decode(envelope.data, kind))


def rows(kind: type[_Row[M]]) -> Callable[[wire.Envelope], list[M]]:
    """Return what reads a bare array from a reply."""
    return lambda envelope: models(wire.decode_rows(envelope.data, kind))


def models(found: Sequence[_Row[M]]) -> list[M]:
    """Return rows of the wire as models."""
    return [row.model() for row in found]


def accepted(_: wire.Envelope) -> None:
    """Return nothing: the reply says all by being there."""


def _worth_repeating(error: Unavailable | Refused) -> bool:
    if isinstance(error, Refused):
        # A timestamp out of the window: the reply has just taught the right one.
        return error.category is Category.AUTH and error.retryable
    return error.category in (Category.NETWORK, Category.EXCHANGE)


def _outcome(error: VenueError) -> str:
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, NotSent):
        return "not_sent"
    return "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"

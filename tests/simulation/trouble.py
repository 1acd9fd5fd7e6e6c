"""Why own lots may lie open for a while, and how long: by what really happened, not by what the daemon says of itself.

Each cause comes from the exchange (is it open, is a private socket alive), from the wire (which request has no reply
yet), from the faults that struck, from the database file, or from the operator (is there a process, may it send). A
daemon that is in doubt without a reason gets no more time for it than one that is not. One thing is taken from the
daemon's own behaviour: a start lasts until it has asked for the latest executions and been answered, since only it can
ask; that cause has a bound of its own. What a fault can disturb, and for how long, is one table here,
:data:`_STRIKES`; faults it does not name (a doubled frame, an old public reply, anything about prices) give no time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from tests.simulation.plan import ORDER_QUESTIONS, WRITES

from gmobot.emulator.engine.records import Account
from gmobot.emulator.faults import Fault
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.venue.transport import Reply


class Trouble(StrEnum):
    """Why own lots may lie open for a while."""

    PROCESS_DEAD = "process_dead"
    EXCHANGE_CLOSED = "exchange_closed"
    OUTAGE = "outage"
    """The daemon's machine is cut off from everything."""
    NOT_SENDING = "not_sending"
    """Nobody has allowed the daemon to send orders: what lies open is not its to protect."""
    REOPENED = "reopened"
    """The exchange has opened: the daemon has to ask for that."""
    STARTING = "starting"
    """A daemon that has not been told the latest executions yet."""
    UNANSWERED = "unanswered"
    """What became of a write, or what an event told, can only be asked for, and no question is answered."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """A reply to a write was lost a short while ago."""
    REPLY_AWAITED = "reply_awaited"
    """The exchange is slow to answer."""
    WRITE_REFUSED = "write_refused"
    """A fault refused a write, or the exchange cancels what it has accepted."""
    KEPT_OUT = "kept_out"
    """The key was refused for a write, which makes the daemon ask more seldom."""
    IN_THE_WAY = "in_the_way"
    """A hand's order rests where an exit would fill, and the exchange lets no order meet one of its own account."""
    STREAM_DOWN = "stream_down"
    """Faults took the private stream away."""
    EVENT_MISSING = "event_missing"
    """A private event was lost or comes late, so that a fill has to be asked for."""
    QUESTION_FAILED = "question_failed"
    """A question about orders got no answer, and nothing depends on it."""
    NONE = "none"
    """Nothing stands in the way."""


BOUNDS: Mapping[Trouble, float] = {
    Trouble.PROCESS_DEAD: 10.0,  # it is started again after up to eight
    Trouble.EXCHANGE_CLOSED: 330.0,  # three maintenances on end
    Trouble.OUTAGE: 65.0,  # three on end
    Trouble.NOT_SENDING: 130.0,  # two stretches on end
    Trouble.REOPENED: 10.0,
    Trouble.STARTING: 30.0,
    Trouble.UNANSWERED: 75.0,  # the longest stretch without answers, and both delays
    Trouble.OUTCOME_UNKNOWN: 45.0,  # several in a row, each looked for past both delays
    Trouble.REPLY_AWAITED: 30.0,
    Trouble.WRITE_REFUSED: 15.0,  # several in a row, each tried again after a second, after two where too many were sent
    Trouble.KEPT_OUT: 30.0,  # several in a row, up to five seconds apart
    Trouble.IN_THE_WAY: 50.0,  # until the market has left it behind, or taken it
    Trouble.STREAM_DOWN: 45.0,
    Trouble.EVENT_MISSING: 30.0,  # until the next comparison
    Trouble.QUESTION_FAILED: 5.0,
    Trouble.NONE: 5.0,
}
"""Longest that a stretch without protection may have lasted for each cause, in seconds."""
APART = frozenset({Trouble.PROCESS_DEAD, Trouble.EXCHANGE_CLOSED, Trouble.OUTAGE, Trouble.NOT_SENDING})
"""Nobody can do anything meanwhile: what was before begins anew afterwards."""

_SLOW_SECONDS = 0.5
"""A reply that takes longer than this is slow, whatever the exchange's usual time is in this plan."""
_SILENT_SECONDS = 120.0
"""Longest that a silent socket is taken for one on which nothing happens: pings come once a minute."""
_AFTER_STREAM_SECONDS = 8.0
"""What the private stream did not tell meanwhile is asked for when it is back."""
_ASKED_ABOUT_SECONDS = 6.0
"""An order that rests is asked about every five."""
_LASTS: Mapping[Trouble, float] = {
    Trouble.REOPENED: 5.0,  # asked every two seconds, and the answer may be an old one
    Trouble.STARTING: 30.0,
    Trouble.OUTCOME_UNKNOWN: 8.0,  # both delays, and the questions
    Trouble.WRITE_REFUSED: 3.0,
    Trouble.KEPT_OUT: 6.0,
    Trouble.IN_THE_WAY: 3.0,  # tried again after a second
    Trouble.STREAM_DOWN: 10.0,
    Trouble.EVENT_MISSING: 5.0,
    Trouble.QUESTION_FAILED: 3.0,
}
"""For how long what lies open after something happened is still its doing."""
_OK, _GOOD = 200, b'{"status":0'
_FIRST_QUESTION = "/v1/latestExecutions"
_FOR_GOOD_SECONDS = 2.0
"""A question that has not been answered for so long is not a matter of asking again."""

_NO_REPLY = (
    Fault.REPLY_LOST_BEFORE,
    Fault.REPLY_LOST_AFTER,
    Fault.SERVER_ERROR,
    Fault.SERVER_ERROR_BEFORE,
    Fault.SERVER_BUSY,
    Fault.SERVER_OVERLOADED,
)
_TOO_MANY_OR_LATE = (Fault.RATE_LIMITED, Fault.CLOCK_SKEW)
_REFUSED = (*_TOO_MANY_OR_LATE, Fault.PERMISSION_REFUSED)
_SOCKET = (Fault.SOCKET_SILENT, Fault.SOCKET_DROPPED)
_WRITE, _QUESTION, _TOKEN, _CONNECT, _PRIVATE = "write", "question", "token", "connect", "private"
_POSITIONS = "positionEvents"
"""It tells of other people's positions; what is ours, and filled, the other two tell."""
COMPARED_SECONDS = 28.0
"""What no event told of is found by the next comparison at the latest."""
_STRIKES: Mapping[tuple[Fault, str], tuple[Trouble, float]] = {
    (fault, place): (cause, _LASTS[cause] if seconds is None else seconds)
    for faults, place, cause, seconds in (
        (_NO_REPLY, _WRITE, Trouble.OUTCOME_UNKNOWN, None),
        ((*_TOO_MANY_OR_LATE, Fault.ACCEPTED_THEN_CANCELLED), _WRITE, Trouble.WRITE_REFUSED, None),
        ((Fault.PERMISSION_REFUSED,), _WRITE, Trouble.KEPT_OUT, None),
        (_NO_REPLY + _REFUSED, _QUESTION, Trouble.QUESTION_FAILED, None),
        ((*_NO_REPLY, *_REFUSED, Fault.TOKEN_INVALIDATED), _TOKEN, Trouble.STREAM_DOWN, None),
        ((Fault.HANDSHAKE_REFUSED, Fault.TOKEN_INVALIDATED), _CONNECT, Trouble.STREAM_DOWN, None),
        (_SOCKET, _PRIVATE, Trouble.STREAM_DOWN, _SILENT_SECONDS),
        (_SOCKET, _POSITIONS, Trouble.STREAM_DOWN, _SILENT_SECONDS),
        ((Fault.EVENT_LOST,), _PRIVATE, Trouble.EVENT_MISSING, COMPARED_SECONDS),
        ((Fault.EVENT_DELAYED, Fault.EVENT_REORDERED), _PRIVATE, Trouble.EVENT_MISSING, None),
    )
    for fault in faults
}
"""What a fault disturbs where it strikes, and for how many seconds.

REPLY_SLOW and EVENT_BEFORE_REPLY are seen as replies that are awaited. HIDDEN makes the search for a lost order longer,
not the loss. EVENT_DUPLICATED, STALE_PUBLIC and all that strikes public frames and paths take nothing from protection.
"""


_OWN_EVENTS = ("executionEvents", "orderEvents")


def _place(where: str) -> str:
    if where in WRITES:
        return _WRITE
    if where in ORDER_QUESTIONS:
        return _QUESTION
    if where == "/v1/ws-auth":
        return _TOKEN
    return _PRIVATE if where in _OWN_EVENTS else where


class Wire:
    """Watches what passes, and does not pass, between the daemon and the exchange.

    Attributes:
        awaited: Requests about orders that have no reply yet, by a number of their own: since when, and their path.
        cut: Whether nothing passes at all.
    """

    def __init__(self, api: ExchangeApi, account: Account, now: Callable[[], float]) -> None:
        self._api = api
        self._account = account
        self._now = now
        self._until: dict[Trouble, float] = {}
        self._failing: dict[str, float] = {}
        self._status = api.exchange.status
        self._unresolved = False
        self._heard = False
        self._changed_until = 0.0
        self._numbers = 0
        self.awaited: dict[int, tuple[float, str]] = {}
        self.cut = False
        self._strikes, api.faults.strikes = api.faults.strikes, self._on_chance  # type: ignore[method-assign]

    def began(self, *, unresolved: bool) -> None:
        """A process begins.

        Args:
            unresolved: Whether its files say that the outcome of an order is not known.
        """
        self._until, self.awaited, self._failing = {}, {}, {}
        self._unresolved = unresolved
        self._heard = False
        self._last(Trouble.STARTING)
        self._last(Trouble.STREAM_DOWN)

    def asks(self, path: str) -> int:
        """A request is sent. Returns its number."""
        self._numbers += 1
        path = path.removeprefix("/private")
        if _place(path) in (_WRITE, _QUESTION):
            self.awaited[self._numbers] = (self._now(), path)
        return self._numbers

    def answered(self, number: int, reply: Reply | None, *, dead: bool) -> None:
        """A request has a reply, or will never have one: then it is lost, unless nobody waits for it any more."""
        _, path = self.awaited.pop(number, (0.0, ""))
        if not path or dead:
            return
        if reply is None:
            self._struck(Fault.REPLY_LOST_AFTER, path)
        elif reply.status == _OK and reply.body.startswith(_GOOD):
            self._failing.pop(path, None)
            if path == _FIRST_QUESTION:
                self._started()

    def refused(self, path: str) -> None:
        """A connection was refused: whoever asked knows that nothing was sent, and may ask again as soon as after a stamp out of time."""
        path = path.removeprefix("/private")
        self._struck(Fault.HANDSHAKE_REFUSED if path == _CONNECT else Fault.CLOCK_SKEW, path)

    def changed(self) -> None:
        """The daemon moves an order: no event tells whether that was done."""
        self._changed_until = self._now() + _LASTS[Trouble.EVENT_MISSING]

    def met(self) -> None:
        """An order of the daemon's expired because it would have met a hand's."""
        self._last(Trouble.IN_THE_WAY)

    def moved_by_hand(self) -> None:
        """An order of the daemon's has another price, of which no event tells: it has to be asked for."""
        self._last(Trouble.EVENT_MISSING, _ASKED_ABOUT_SECONDS)

    def back(self) -> None:
        """Everything passes again; no socket that was open is alive, and what they did not tell is to be asked for."""
        self.cut = False
        self._last(Trouble.STREAM_DOWN, _SILENT_SECONDS)
        self._last(Trouble.EVENT_MISSING, _AFTER_STREAM_SECONDS)

    def look(self) -> None:
        """Look how the exchange stands; called at every step."""
        if (status := self._api.exchange.status) != self._status:
            self._status = status
            if status == "OPEN":
                self._last(Trouble.REOPENED)
                self._last(Trouble.STREAM_DOWN)
                # Until the private stream is back, what becomes of a STOP that is taken away has to be asked for.
                self._last(Trouble.EVENT_MISSING, _LASTS[Trouble.REOPENED] + _AFTER_STREAM_SECONDS)

    def tells(self) -> bool:
        """Return whether events tell the daemon what happens to the account: else it has to be asked for."""
        return not (self.cut or self._stream_is_down() or self._is(Trouble.EVENT_MISSING))

    def trouble(self) -> Trouble:
        """Return what may keep a living daemon from protecting its position now."""
        if self._status != "OPEN":
            return Trouble.EXCHANGE_CLOSED
        if self.cut:
            return Trouble.OUTAGE
        if self._is(Trouble.REOPENED):
            return Trouble.REOPENED
        down = self._stream_is_down()
        missing = self._is(Trouble.OUTCOME_UNKNOWN) or self._is(Trouble.EVENT_MISSING) or self._changed_until > self._now()
        if self._asks_in_vain() and (down or not self._heard or missing):
            return Trouble.UNANSWERED
        if self._is(Trouble.STARTING):
            return Trouble.STARTING
        if self._is(Trouble.OUTCOME_UNKNOWN):
            return Trouble.OUTCOME_UNKNOWN
        if self.awaited and self._now() - min(self.awaited.values())[0] > _SLOW_SECONDS:
            return Trouble.REPLY_AWAITED
        if down:
            return Trouble.STREAM_DOWN
        others = (Trouble.WRITE_REFUSED, Trouble.KEPT_OUT, Trouble.IN_THE_WAY, Trouble.EVENT_MISSING, Trouble.QUESTION_FAILED)
        return next((cause for cause in others if self._is(cause)), Trouble.NONE)

    def _on_chance(self, fault: Fault, where: str) -> bool:
        if not self._strikes(fault, where):
            return False
        self._struck(fault, where)
        return True

    def _struck(self, fault: Fault, where: str) -> None:
        place = _place(where)
        found = _STRIKES.get((fault, place))
        if found is None:
            # Too many of anything private and nothing private leaves for a while.
            if fault is Fault.RATE_LIMITED and where.startswith("/v1/account"):
                self._last(Trouble.QUESTION_FAILED)
            return
        cause, seconds = found
        self._last(cause, seconds)
        if place == _QUESTION:
            self._failing.setdefault(where, self._now())
            # What has to be asked for takes longer by every question that is not answered.
            for asked_for in (Trouble.OUTCOME_UNKNOWN, Trouble.EVENT_MISSING):
                if self._is(asked_for):
                    self._last(asked_for)
            if self._changed_until > self._now():
                self.changed()

    def _started(self) -> None:
        """The daemon has heard what it must know before it acts."""
        self._heard = True
        if self._until.pop(Trouble.STARTING, 0.0) and self._unresolved:
            self._last(Trouble.OUTCOME_UNKNOWN)
        self._unresolved = False

    def _last(self, cause: Trouble, seconds: float | None = None) -> None:
        until = self._now() + (_LASTS[cause] if seconds is None else seconds)
        self._until[cause] = max(until, self._until.get(cause, 0.0))

    def _is(self, cause: Trouble) -> bool:
        return self._until.get(cause, 0.0) > self._now()

    def _asks_in_vain(self) -> bool:
        """Whether a question has not been answered for longer than it takes to ask again."""
        return self._is(Trouble.QUESTION_FAILED) and any(self._now() - since > _FOR_GOOD_SECONDS for since in self._failing.values())

    def _stream_is_down(self) -> bool:
        """Whether no private socket lives, or it has not asked for all of our events yet, for a reason."""
        if not self._is(Trouble.STREAM_DOWN):
            return False
        hub = self._api.hub
        if all(any(not socket.silent for socket in hub._listeners(name, account=self._account)) for name in _OWN_EVENTS):
            return False
        self._last(Trouble.EVENT_MISSING, _AFTER_STREAM_SECONDS)
        return True

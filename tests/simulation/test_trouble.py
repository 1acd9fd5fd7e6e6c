"""Time without protection is granted for what really disturbs it, where it does, and for as long as it does."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from tests.simulation.net import Net
from tests.simulation.setting import INSTRUMENTS
from tests.simulation.trouble import Trouble, Wire

from gmobot.clock import NS_PER_SECOND
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.faults import Fault
from gmobot.emulator.market import SyntheticMarket
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.protocol.connection import ServerSocket
from gmobot.errors import NotSent
from gmobot.venue.transport import Reply

GOOD, BAD = Reply(200, b'{"status":0,"data":{}}', {}), Reply(200, b'{"status":1,"messages":[]}', {})
LATEST = "/private/v1/latestExecutions"


class Bench:
    """A wire on an exchange whose clock is set by hand, with a daemon that has started and is heard."""

    def __init__(self, *, unresolved: bool = False) -> None:
        self.at = 100.0
        instrument = INSTRUMENTS["BTC"]
        self.customer = account("key", "secret", {"JPY": Decimal(1)}, {"BTC": instrument})
        exchange = Exchange(self, {"BTC": (instrument, SyntheticMarket(instrument, seed=1))}, {"key": self.customer})
        self.api = ExchangeApi(exchange)
        self.wire = Wire(self.api, self.customer, self.monotonic)
        self.wire.began(unresolved=unresolved)

    def now_ns(self) -> int:
        return round(self.at * NS_PER_SECOND)

    def monotonic(self) -> float:
        return self.at

    def started(self) -> Bench:
        """Let the first question be answered and the stream come up."""
        self.wire.answered(self.wire.asks(LATEST), GOOD, dead=False)
        socket = ServerSocket(self.api.hub, "local", self.customer)
        for channel in ("executionEvents", "orderEvents"):
            self.api.hub.subscribe(socket, channel)
        return self

    def strike(self, fault: Fault, where: str) -> None:
        self.api.faults.arm(fault, where=where)
        assert self.api.faults.strikes(fault, where)


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (Fault.EVENT_DUPLICATED, "executionEvents"),
        (Fault.EVENT_LOST, "trades"),
        (Fault.EVENT_LOST, "positionEvents"),
        (Fault.EVENT_DELAYED, "orderbooks"),
        (Fault.SOCKET_SILENT, "trades"),
        (Fault.STALE_PUBLIC, "/v1/status"),
        (Fault.SERVER_BUSY, "/v1/klines"),
        (Fault.SERVER_ERROR_BEFORE, "/v1/account/assets"),
        (Fault.EVENT_BEFORE_REPLY, "/v1/order"),
        (Fault.HIDDEN, "/v1/order"),
    ],
)
def test_what_cannot_disturb_protection_gives_no_time(fault: Fault, where: str) -> None:  # parametrised
    bench = Bench().started()
    bench.strike(fault, where)
    assert bench.wire.trouble() is Trouble.NONE


@pytest.mark.parametrize(
    ("fault", "where", "cause"),
    [
        (Fault.REPLY_LOST_AFTER, "/v1/closeOrder", Trouble.OUTCOME_UNKNOWN),
        (Fault.SERVER_BUSY, "/v1/order", Trouble.OUTCOME_UNKNOWN),
        (Fault.RATE_LIMITED, "/v1/order", Trouble.WRITE_REFUSED),
        (Fault.PERMISSION_REFUSED, "/v1/cancelOrder", Trouble.KEPT_OUT),
        (Fault.SERVER_OVERLOADED, "/v1/orders", Trouble.QUESTION_FAILED),
        (Fault.EVENT_LOST, "executionEvents", Trouble.EVENT_MISSING),
        (Fault.EVENT_REORDERED, "orderEvents", Trouble.EVENT_MISSING),
    ],
)
def test_what_disturbs_it_gives_time_and_that_time_ends(fault: Fault, where: str, cause: Trouble) -> None:  # parametrised
    bench = Bench().started()
    bench.strike(fault, where)
    assert bench.wire.trouble() is cause
    bench.at += 30.0
    assert bench.wire.trouble() is Trouble.NONE


def test_a_start_lasts_until_the_first_question_is_answered_and_what_it_found_unknown_is_looked_for() -> None:
    bench = Bench(unresolved=True)
    assert bench.wire.trouble() is Trouble.STARTING
    bench.wire.answered(bench.wire.asks(LATEST), BAD, dead=False)
    assert bench.wire.trouble() is Trouble.STARTING
    bench.started()
    assert bench.wire.trouble() is Trouble.OUTCOME_UNKNOWN
    assert Bench().started().wire.trouble() is Trouble.NONE


def test_a_reply_is_awaited_once_it_is_slow_and_lost_when_it_never_comes() -> None:
    bench = Bench().started()
    number = bench.wire.asks("/private/v1/order")
    assert bench.wire.trouble() is Trouble.NONE
    bench.at += 1.0
    assert bench.wire.trouble() is Trouble.REPLY_AWAITED
    bench.wire.answered(number, None, dead=False)
    assert bench.wire.trouble() is Trouble.OUTCOME_UNKNOWN
    bench.at += 30.0
    bench.wire.answered(bench.wire.asks("/private/v1/order"), None, dead=True)
    assert bench.wire.trouble() is Trouble.NONE, "nobody waits for what a dead process sent"


def test_what_can_only_be_asked_for_waits_while_no_question_is_answered() -> None:
    bench = Bench().started()
    bench.strike(Fault.REPLY_LOST_BEFORE, "/v1/order")
    for _ in range(30):
        bench.strike(Fault.SERVER_BUSY, "/v1/activeOrders")
        bench.at += 1.0
    assert bench.wire.trouble() is Trouble.UNANSWERED
    bench.wire.answered(bench.wire.asks("/private/v1/activeOrders"), GOOD, dead=False)
    assert bench.wire.trouble() is Trouble.OUTCOME_UNKNOWN


def test_questions_that_nothing_depends_on_give_no_more_time() -> None:
    bench = Bench().started()
    for _ in range(30):
        bench.strike(Fault.SERVER_BUSY, "/v1/activeOrders")
        bench.at += 1.0
    assert bench.wire.trouble() is Trouble.QUESTION_FAILED


def test_a_stream_counts_as_down_only_while_it_is_and_only_for_a_reason() -> None:
    bench = Bench()
    bench.wire.answered(bench.wire.asks(LATEST), GOOD, dead=False)
    bench.at += 60.0
    assert bench.wire.trouble() is Trouble.NONE, "nothing kept it from being opened"
    bench.strike(Fault.HANDSHAKE_REFUSED, "connect")
    assert bench.wire.trouble() is Trouble.STREAM_DOWN
    bench.started()
    assert bench.wire.trouble() is Trouble.EVENT_MISSING, "what it did not tell meanwhile is asked for"
    bench.at += 30.0
    assert bench.wire.trouble() is Trouble.NONE


def test_an_order_that_met_a_hand_s_is_tried_again_soon() -> None:
    bench = Bench().started()
    bench.at += 60.0
    assert bench.wire.trouble() is Trouble.NONE
    bench.wire.met()
    assert bench.wire.trouble() is Trouble.IN_THE_WAY
    bench.at += 3.1
    assert bench.wire.trouble() is Trouble.NONE


def test_events_tell_unless_they_are_lost_or_nobody_can_hear_them() -> None:
    bench = Bench().started()
    bench.at += 60.0
    assert bench.wire.tells()
    bench.strike(Fault.EVENT_LOST, "executionEvents")
    assert not bench.wire.tells()
    bench.at += 60.0
    assert bench.wire.tells()
    bench.wire.cut = True
    assert not bench.wire.tells()


def test_a_closed_exchange_takes_nothing_and_is_noticed_when_it_opens() -> None:
    bench = Bench().started()
    bench.api.exchange.status = "PREOPEN"
    bench.wire.look()
    assert bench.wire.trouble() is Trouble.EXCHANGE_CLOSED
    bench.api.exchange.status = "OPEN"
    bench.wire.look()
    assert bench.wire.trouble() is Trouble.REOPENED
    bench.at += 30.0
    assert bench.wire.trouble() is Trouble.NONE


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/private/v1/order", Trouble.WRITE_REFUSED),
        ("/private/v1/orders", Trouble.QUESTION_FAILED),
        ("/private/v1/ws-auth", Trouble.NONE),
        ("connect", Trouble.NONE),
        ("/public/v1/klines", Trouble.NONE),
    ],
)
def test_a_refused_connection_gives_the_time_of_a_refusal(path: str, cause: Trouble) -> None:
    bench = Bench().started()
    net = Net(bench.wire, bench.api.hub, random.Random(1))
    net.pass_out(path)
    net.refuse("*", 1.0)
    with pytest.raises(NotSent):
        net.pass_out(path)
    assert bench.wire.trouble() is cause, "a stream that is up needs no token"
    net.accept("*", 1.0)
    net.pass_out(path)


@pytest.mark.parametrize("silently", [True, False])
def test_an_outage_takes_every_socket_and_is_over_when_the_stream_is_back(*, silently: bool) -> None:
    bench = Bench().started()
    net = Net(bench.wire, bench.api.hub, random.Random(1))
    socket = ServerSocket(bench.api.hub, "local", bench.customer)
    bench.api.hub._sockets[socket] = None
    net.fail(silently=silently)
    assert (socket.silent, socket.is_open) == (silently, silently)
    assert bench.wire.trouble() is Trouble.OUTAGE
    with pytest.raises(NotSent):
        net.pass_out("/v1/status")
    net.mend()
    assert bench.wire.trouble() is Trouble.EVENT_MISSING
    bench.at += 30.0
    assert bench.wire.trouble() is Trouble.NONE

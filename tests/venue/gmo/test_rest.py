"""The REST client over a scripted transport: what each reply, and each missing one, lets a caller conclude."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, iso_utc
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, Unavailable, VenueError
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import signature
from gmobot.venue.gmo.rest import GmoRest, RequestRecord
from gmobot.venue.models import CloseRequest, ExchangeStatus, OrderRequest, OrderType, Side, TimeInForce
from gmobot.venue.transport import Reply, ReplyLost, Request

from ..exchange import CREDENTIALS
from ..virtual import VirtualClock, run_virtually
from .scripted import Answer, Scripted, failed, said

ORDER = OrderRequest(
    symbol="BTC", side=Side.BUY, type=OrderType.LIMIT, size=Decimal("0.001"), price=Decimal(9_900_000), time_in_force=TimeInForce.GTC
)
CLOSE = CloseRequest(
    symbol="BTC_JPY", side=Side.SELL, type=OrderType.MARKET, size=Decimal("0.01"), time_in_force=TimeInForce.IOC, position_id=1_234_567
)
WITHOUT_DATA = {"cancel_order", "change_order", "change_losscut_price", "extend_token", "revoke_token"}
PUBLIC = {"status", "ticker", "tickers", "orderbook", "trades", "klines", "symbols"}
TOKEN = Secret("token-token-token")


READS: dict[str, Callable[[GmoRest], Awaitable[object]]] = {
    "status": lambda rest: rest.status(),
    "ticker": lambda rest: rest.ticker("BTC"),
    "orderbook": lambda rest: rest.orderbook("BTC"),
    "trades": lambda rest: rest.trades("BTC", 1, 100),
    "klines": lambda rest: rest.klines("BTC", "1min", "20260101"),
    "symbols": lambda rest: rest.symbols(),
    "assets": lambda rest: rest.assets(),
    "orders": lambda rest: rest.orders([1, 2]),
    "active_orders": lambda rest: rest.active_orders("BTC"),
    "executions": lambda rest: rest.executions(1),
    "latest_executions": lambda rest: rest.latest_executions("BTC"),
    "tickers": lambda rest: rest.tickers(),
    "margin": lambda rest: rest.margin(),
    "trading_volume": lambda rest: rest.trading_volume(),
    "fiat_deposits": lambda rest: rest.fiat_deposits(0, NS_PER_SECOND),
    "fiat_withdrawals": lambda rest: rest.fiat_withdrawals(0, NS_PER_SECOND),
    "deposits": lambda rest: rest.deposits("BTC", 0, NS_PER_SECOND),
    "withdrawals": lambda rest: rest.withdrawals("BTC", 0, NS_PER_SECOND),
    "exchange_fees": lambda rest: rest.exchange_fees(date(2026, 9, 1), date(2026, 9, 1)),
    "executions_by_id": lambda rest: rest.executions_by_id([1, 2]),
    "open_positions": lambda rest: rest.open_positions("BTC_JPY"),
    "position_summary": lambda rest: rest.position_summary(),
}
WRITES: dict[str, Callable[[GmoRest], Awaitable[object]]] = {
    "place_order": lambda rest: rest.place_order(ORDER),
    "cancel_order": lambda rest: rest.cancel_order(1),
    "cancel_orders": lambda rest: rest.cancel_orders([1, 2]),
    "cancel_all": lambda rest: rest.cancel_all(["BTC"]),
    "change_order": lambda rest: rest.change_order(1, Decimal(9_000_000)),
    "close_position": lambda rest: rest.close_position(CLOSE),
    "close_positions": lambda rest: rest.close_position(msgspec.structs.replace(CLOSE, position_id=None)),
    "change_losscut_price": lambda rest: rest.change_losscut_price(1, Decimal(8_000_000)),
    "create_token": lambda rest: rest.create_token(),
    "extend_token": lambda rest: rest.extend_token(TOKEN),
    "revoke_token": lambda rest: rest.revoke_token(TOKEN),
}
CALLS = READS | WRITES


def outcome(call: str, transport: Scripted, records: list[RequestRecord] | None = None) -> object:
    """Return what a call returns or the venue error it raises; anything else is a failure of the test."""

    async def main() -> object:
        rest = GmoRest(transport, VirtualClock(), credentials=CREDENTIALS, observe=None if records is None else records.append)
        try:
            return await CALLS[call](rest)
        except VenueError as error:
            return error

    return run_virtually(main())


NO_ANSWER: dict[str, Answer] = {
    "lost": ReplyLost("gone"),
    "html": Reply(502, b"<html>502 Bad Gateway</html>"),
    "html 200": Reply(200, b"<html>hello</html>"),
    "html 403": Reply(403, b"<html>blocked</html>"),
    "empty": Reply(200, b""),
    "list": Reply(200, b"[]"),
    "nested": Reply(200, b'{"status":0,"data":' + b"[" * 200_000),
    "no message": Reply(200, b'{"status":1}'),
    "ok but 500": said({}, http=500),
    "busy": failed("ERR-554"),
    "busy too": failed("ERR-626"),
    "unheard of": failed("ERR-4242"),
    "no and 502": failed("ERR-201", http=502),
}


@pytest.mark.parametrize("answer", NO_ANSWER)
@pytest.mark.parametrize("call", WRITES)
def test_a_write_without_a_trustworthy_answer_is_unknown_and_is_not_repeated(call: str, answer: str) -> None:
    transport = Scripted(NO_ANSWER[answer])
    assert type(outcome(call, transport)) is OutcomeUnknown
    assert len(transport.requests) == 1


@pytest.mark.parametrize("answer", NO_ANSWER)
@pytest.mark.parametrize("call", READS)
def test_a_read_without_a_trustworthy_answer_is_unavailable(call: str, answer: str) -> None:
    transport = Scripted(NO_ANSWER[answer])
    assert type(outcome(call, transport)) is Unavailable
    assert len(transport.requests) == 1


@pytest.mark.parametrize("call", CALLS)
def test_a_request_that_never_left_is_definitive_for_a_write_and_unavailable_for_a_read(call: str) -> None:
    assert type(outcome(call, Scripted(NotSent("refused")))) is (NotSent if call in WRITES else Unavailable)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", ["ERR-201", "ERR-5003", "ERR-5008", "ERR-5012", "ERR-5122"])
def test_a_business_error_is_a_refusal(call: str, code: str) -> None:
    error = outcome(call, Scripted(failed(code)))
    assert isinstance(error, Refused)
    assert error.code == code


@pytest.mark.parametrize("call", sorted(set(CALLS) - WITHOUT_DATA))
def test_success_without_data_is_never_taken_for_nothing(call: str) -> None:
    assert type(outcome(call, Scripted(said()))) is (OutcomeUnknown if call in WRITES else Unavailable)


@pytest.mark.parametrize("data", ["", "abc", "0", "-1", "1.5", {}, [], None, True, 2**64])
def test_an_accepted_order_whose_id_cannot_be_read_is_unknown(data: object) -> None:
    body = json.dumps({"status": 0, "data": data}).encode()
    assert type(outcome("place_order", Scripted(Reply(200, body)))) is OutcomeUnknown


LISTS = [
    *("orders", "active_orders", "executions", "executions_by_id", "latest_executions", "open_positions", "position_summary", "trades"),
    *("klines", "symbols", "fiat_deposits", "fiat_withdrawals", "deposits", "withdrawals", "exchange_fees", "cancel_all"),
]


@pytest.mark.parametrize("call", LISTS)
def test_an_empty_object_is_an_empty_list(call: str) -> None:
    assert outcome(call, Scripted(said({}))) == []


def test_no_ids_ask_nothing() -> None:
    async def main() -> None:
        transport = Scripted(said({}))
        assert await GmoRest(transport, VirtualClock(), credentials=CREDENTIALS).orders([]) == []
        assert transport.requests == []

    run_virtually(main())


@pytest.mark.parametrize("code", ["ERR-5201", "ERR-5202"])
@pytest.mark.parametrize("http", [200, 503])
def test_refusing_for_maintenance_is_an_answer_about_the_status(code: str, http: int) -> None:
    assert outcome("status", Scripted(failed(code, status=5, http=http))) is ExchangeStatus.MAINTENANCE
    assert outcome("status", Scripted(said({"status": "PREOPEN"}))) is ExchangeStatus.PREOPEN
    assert type(outcome("status", Scripted(said({"status": "LUNCH"})))) is Unavailable


def test_an_order_goes_out_signed_over_exactly_the_bytes_sent() -> None:
    transport = Scripted(said("637000"))
    assert outcome("place_order", transport) == 637000
    (request,) = transport.requests
    assert (request.method, request.path, request.query) == ("POST", "/private/v1/order", "")
    stamp = int(request.headers["API-TIMESTAMP"])
    expected = signature(CREDENTIALS, timestamp_ms=stamp, method="POST", path="/v1/order", body=request.body)
    assert request.headers["API-SIGN"] == expected


def test_a_question_is_signed_without_its_query() -> None:
    transport = Scripted(said({}))
    outcome("active_orders", transport)
    (request,) = transport.requests
    assert request.query == "symbol=BTC&page=1&count=100"
    stamp = int(request.headers["API-TIMESTAMP"])
    assert request.headers["API-SIGN"] == signature(CREDENTIALS, timestamp_ms=stamp, method="GET", path="/v1/activeOrders")


def test_public_questions_carry_no_key() -> None:
    transport = Scripted(said({"status": "OPEN"}))
    outcome("status", transport)
    assert transport.requests[0].headers == {}


@pytest.mark.parametrize("call", sorted(set(CALLS) - PUBLIC))
def test_without_a_key_nothing_private_leaves(call: str) -> None:
    async def main() -> None:
        transport = Scripted(said({}))
        with pytest.raises(NotSent if call in WRITES else Unavailable) as error:
            await CALLS[call](GmoRest(transport, VirtualClock()))
        assert error.value.category is Category.AUTH
        assert transport.requests == []

    run_virtually(main())


def row(number: int) -> dict[str, Any]:
    return {
        "orderId": number,
        "symbol": "BTC",
        "side": "BUY",
        "executionType": "LIMIT",
        "size": "1",
        "executedSize": "0",
        "status": "ORDERED",
        "timeInForce": "FAS",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "price": "1",
    }


def test_all_pages_are_read_and_a_row_that_moved_to_the_next_is_taken_once() -> None:
    pages = [said({"list": [row(n) for n in range(1, 101)]}), said({"list": [row(n) for n in range(100, 150)]})]
    transport = Scripted(*pages)
    found = outcome("active_orders", transport)
    assert isinstance(found, list)
    assert [order.order_id for order in found] == list(range(1, 150))
    assert [request.query for request in transport.requests] == [f"symbol=BTC&page={page}&count=100" for page in (1, 2)]


def test_pages_without_end_are_no_answer() -> None:
    assert type(outcome("active_orders", Scripted(said({"list": [row(n) for n in range(1, 101)]})))) is Unavailable


@pytest.mark.parametrize("skew_seconds", [-40.0, -0.3, 0.0, 0.3, 40.0])
def test_the_timestamp_follows_the_servers_clock(skew_seconds: float) -> None:
    async def main() -> None:
        true, ours = VirtualClock(), VirtualClock(int(skew_seconds * NS_PER_SECOND))
        transport = Scripted(lambda request: said([], at_ns=true.now_ns()), seconds=0.02)
        rest = GmoRest(transport, ours, credentials=CREDENTIALS)
        for _ in range(3):
            await rest.assets()
        before = true.now_ns()
        await rest.assets()
        stamped_ns = int(transport.requests[-1].headers["API-TIMESTAMP"]) * NS_PER_MS
        assert abs(stamped_ns - before) <= 22 * NS_PER_MS
        assert abs(rest.server_offset_ns + ours.skew_ns) <= 22 * NS_PER_MS

    run_virtually(main())


def test_cached_public_replies_do_not_pull_a_right_clock_back() -> None:
    async def main() -> None:
        clock = VirtualClock()
        transport = Scripted(lambda request: said({"status": "OPEN"}, at_ns=clock.now_ns() - 1_500 * NS_PER_MS))
        rest = GmoRest(transport, clock)
        for _ in range(10):
            await rest.status()
        assert rest.server_offset_ns == 0

    run_virtually(main())


@pytest.mark.parametrize("hours", [9, -9])
def test_the_exchanges_time_is_known_whatever_is_done_to_ours_afterwards(hours: int) -> None:
    async def main() -> None:
        true, ours = VirtualClock(), VirtualClock()
        transport = Scripted(lambda request: said([], at_ns=true.now_ns()), seconds=0.02)
        rest = GmoRest(transport, ours, credentials=CREDENTIALS)
        assert rest.server_now_ns == 0, "nothing was told yet"
        await rest.assets()
        ours.skew_ns = hours * 3_600 * NS_PER_SECOND
        assert rest.server_now_ns == true.now_ns()
        for _ in range(3):
            await rest.assets()
            assert rest.server_now_ns == true.now_ns()

    run_virtually(main())


@pytest.mark.parametrize("hours", [9, -9])
def test_the_exchanges_time_is_never_taken_for_later_than_a_reply_proves(hours: int) -> None:
    async def main() -> None:
        true, ours = VirtualClock(), VirtualClock(hours * 3_600 * NS_PER_SECOND)
        transport = Scripted(lambda request: said({"status": "OPEN"}, at_ns=true.now_ns() - 1_500 * NS_PER_MS), seconds=0.02)
        rest = GmoRest(transport, ours)
        for _ in range(3):
            await rest.status()
            assert 0 <= true.now_ns() - rest.server_now_ns <= 1_520 * NS_PER_MS

    run_virtually(main())


def test_a_few_stamps_of_a_machine_whose_clock_is_wrong_do_not_change_the_time() -> None:
    async def main() -> None:
        clock, shift = VirtualClock(), [0, 0, 300, 0, 0, -300, 0, 300, 0]
        transport = Scripted(lambda request: said([], at_ns=clock.now_ns() + shift.pop(0) * NS_PER_SECOND), seconds=0.02)
        rest = GmoRest(transport, clock, credentials=CREDENTIALS)
        while shift:
            await rest.assets()
            assert rest.server_now_ns == clock.now_ns()

    run_virtually(main())


@pytest.mark.parametrize("stamp", ["", "yesterday", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_garbled_responsetime_teaches_nothing(stamp: str) -> None:
    async def main() -> None:
        body = json.dumps({"status": 0, "data": {"status": "OPEN"}, "responsetime": stamp}).encode()
        rest = GmoRest(Scripted(Reply(200, body)), VirtualClock())
        await rest.status()
        assert rest.server_offset_ns == 0

    run_virtually(main())


def test_after_a_refused_timestamp_the_next_one_is_right() -> None:
    async def main() -> None:
        true, ours = VirtualClock(), VirtualClock(-100 * NS_PER_SECOND)

        def check(request: Request) -> Reply:
            late = true.now_ns() - int(request.headers["API-TIMESTAMP"]) * NS_PER_MS > NS_PER_SECOND
            body = {"messages": [{"message_code": "ERR-5009", "message_string": ""}]} if late else {"data": "7"}
            return Reply(200, json.dumps({"status": int(late), "responsetime": iso_utc(true.now_ns())} | body).encode())

        rest = GmoRest(Scripted(check), ours, credentials=CREDENTIALS)
        with pytest.raises(Refused) as refused:
            await rest.place_order(ORDER)
        assert (refused.value.category, refused.value.retryable) == (Category.AUTH, True)
        assert await rest.place_order(ORDER) == 7

    run_virtually(main())


def test_too_many_holds_back_only_the_bucket_concerned() -> None:
    async def main() -> None:
        clock = VirtualClock()
        rest = GmoRest(Scripted(failed("ERR-5003", status=4), said({}), said("7")), clock, credentials=CREDENTIALS)
        with pytest.raises(Refused):
            await rest.executions(1)
        since = clock.monotonic()
        await rest.executions(1)
        assert clock.monotonic() - since >= 2.0
        since = clock.monotonic()
        await rest.place_order(ORDER)
        assert clock.monotonic() == since

    run_virtually(main())


EXPECTED = [
    (said("7"), "ok", None),
    (failed("ERR-201"), "refused", Category.INSUFFICIENT_FUNDS),
    (ReplyLost("x"), "unknown", Category.NETWORK),
]


@pytest.mark.parametrize(("answer", "word", "category"), [*EXPECTED, (NotSent("x"), "not_sent", Category.NETWORK)])
def test_every_request_is_observed_with_its_outcome(answer: Answer, word: str, category: Category | None) -> None:
    records: list[RequestRecord] = []
    outcome("place_order", Scripted(answer, seconds=0.25), records)
    (record,) = records
    assert (record.endpoint, record.outcome, record.category) == ("/v1/order", word, category)
    assert record.seconds == pytest.approx(0.25)


@pytest.mark.parametrize("call", CALLS)
def test_no_error_and_no_record_shows_a_secret(call: str) -> None:
    for answer in (*NO_ANSWER.values(), NotSent("refused"), failed("ERR-5010"), said("token-token-token")):
        records: list[RequestRecord] = []
        result = outcome(call, Scripted(answer), records)
        shown = f"{result} {result!r} {records}"
        assert not any(secret in shown for secret in ("token-token-token", "test-key", "test-secret"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CALLS)), st.sampled_from([200, 404, 502]), st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_comes_back_stays_in_the_error_tree(call: str, http: int, body: bytes) -> None:
    result = outcome(call, Scripted(Reply(http, body)))
    assert isinstance(result, OutcomeUnknown if call in WRITES else Unavailable)


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["NaN", "1e999999", "OPEN", "637000"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*row(1), "list", "status"]), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CALLS)), DATA)
def test_whatever_data_comes_back_stays_in_the_error_tree(call: str, data: object) -> None:
    outcome(call, Scripted(said(data)))

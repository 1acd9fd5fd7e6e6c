"""What each endpoint asks and sends, word for word, and what it makes of the reference's own replies."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, parse_iso_utc
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, Unavailable
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.transfers import TransferClient, TransferDirection
from gmobot.venue.models import (
    CancelOutcome,
    CashFlow,
    CloseRequest,
    Margin,
    OrderRequest,
    OrderType,
    Position,
    PositionSummary,
    Settle,
    Side,
    TimeInForce,
)
from gmobot.venue.transport import Reply, ReplyLost, Request

from ..exchange import CREDENTIALS
from ..virtual import VirtualClock, run_virtually
from .scripted import Answer, Scripted, failed, said
from .test_wire import EXAMPLES

T = TypeVar("T")


def example(section: str, number: int = 0) -> Reply:
    """A reply of the reference."""
    return Reply(200, json.dumps([entry["example"] for entry in EXAMPLES if entry["section"] == section][number]).encode())


def answered(work: Callable[[GmoRest], Awaitable[T]], *answers: Answer) -> tuple[T, Scripted]:
    transport = Scripted(*answers)

    async def main() -> T:
        return await work(GmoRest(transport, VirtualClock(), credentials=CREDENTIALS))

    return run_virtually(main()), transport


# --- account ----------------------------------------------------------------------------------------------------


def test_margin() -> None:
    found, transport = answered(lambda rest: rest.margin(), example("5.1"))
    assert transport.targets() == ["/v1/account/margin"]
    assert found == Margin(
        equity_jpy=Decimal(68286188),
        available_jpy=Decimal(57262506),
        used_jpy=Decimal(1021682),
        unrealized_pnl_jpy=Decimal(0),
        ratio_percent=Decimal("6683.6"),
        call_status="NORMAL",
        transferable_jpy=Decimal(57262506),
    )


def test_margin_without_a_position_has_no_ratio() -> None:
    data = {"actualProfitLoss": "10000", "availableAmount": "10000", "margin": "0", "profitLoss": "0"}
    found, _ = answered(lambda rest: rest.margin(), said(data))
    assert (found.ratio_percent, found.call_status, found.transferable_jpy) == (None, None, None)


@pytest.mark.parametrize("spelling", ["BTC/JPY", "BTC_JPY"])
def test_trading_volume_knows_both_spellings_of_a_leverage_symbol(spelling: str) -> None:
    body = json.loads(example("5.3").body)
    body["data"]["limit"][0]["symbol"] = spelling
    found, _ = answered(lambda rest: rest.trading_volume(), Reply(200, json.dumps(body).encode()))
    leverage, spot = found.limits
    assert (found.volume_jpy, found.tier) == (Decimal(9988888), 1)
    assert (leverage.symbol, leverage.open_size, leverage.buy_size) == ("BTC_JPY", Decimal(10000), None)
    assert (spot.symbol, spot.buy_size, spot.sell_size, spot.open_size) == ("BTC", Decimal(98), Decimal(102), None)
    assert (spot.taker_fee, spot.maker_fee) == (Decimal("0.0015"), Decimal("-0.0007"))


def test_deposits_are_read() -> None:
    yen, _ = answered(lambda rest: rest.fiat_deposits(0, 1), example("5.4"))
    at_ns = parse_iso_utc("2021-01-01T13:47:12.791Z")
    assert yen == [CashFlow(asset="JPY", amount=Decimal(50000), status="EXECUTED", at_ns=at_ns, fee=Decimal(0))]
    coins, _ = answered(lambda rest: rest.deposits("BTC", 0, 1), example("5.4", 1))
    assert (coins[0].amount, coins[0].address, coins[0].transaction, coins[0].fee) == (Decimal("0.9503"), "xxx", "yyy", None)


HISTORIES: dict[str, Callable[[GmoRest, int, int], Awaitable[list[CashFlow]]]] = {
    "/v1/account/fiatDeposit/history?": lambda rest, start, end: rest.fiat_deposits(start, end),
    "/v1/account/fiatWithdrawal/history?": lambda rest, start, end: rest.fiat_withdrawals(start, end),
    "/v1/account/deposit/history?symbol=BTC&": lambda rest, start, end: rest.deposits("BTC", start, end),
    "/v1/account/withdrawal/history?symbol=BTC&": lambda rest, start, end: rest.withdrawals("BTC", start, end),
}


@pytest.mark.parametrize("target", HISTORIES)
def test_a_longer_span_is_asked_in_windows_without_gap_or_overlap(target: str) -> None:
    start = parse_iso_utc("2026-09-01T00:00:00.000Z")
    _, transport = answered(lambda rest: HISTORIES[target](rest, start + 1, start + 4_000 * NS_PER_SECOND), said([]))
    windows = [
        ("2026-09-01T00%3A00%3A00.000Z", "2026-09-01T00%3A29%3A59.999Z"),
        ("2026-09-01T00%3A30%3A00.000Z", "2026-09-01T00%3A59%3A59.999Z"),
        ("2026-09-01T01%3A00%3A00.000Z", "2026-09-01T01%3A06%3A39.999Z"),
    ]
    assert transport.targets() == [f"{target}fromTimestamp={first}&toTimestamp={last}" for first, last in windows]


def test_a_span_of_nothing_asks_nothing() -> None:
    found, transport = answered(lambda rest: rest.fiat_deposits(5 * NS_PER_MS, 5 * NS_PER_MS), said([]))
    assert (found, transport.requests) == ([], [])


FEE = {"feeType": "LEVERAGE_FEE", "deliveryDatetime": "2026-06-15T21:01:23.456Z", "symbol": "BTC_JPY", "fee": "123", "new": {"x": 1}}
ONE_DAY = date(2026, 6, 15)


def test_fees_are_read_page_by_page() -> None:
    pages = [said({"list": [FEE], "cursor": "abc"}), said({"list": [FEE | {"fee": "7"}]})]
    found, transport = answered(lambda rest: rest.exchange_fees(ONE_DAY, ONE_DAY), *pages)
    assert [entry.amount_jpy for entry in found] == [Decimal(123), Decimal(7)]
    assert (found[0].kind, found[0].symbol, found[0].at_ns) == ("LEVERAGE_FEE", "BTC_JPY", parse_iso_utc("2026-06-15T21:01:23.456Z"))
    assert found[0].fields == {key: value for key, value in FEE.items() if key != "new"}
    first = "/v1/account/exchangeFee/history?fromDate=20260615&toDate=20260615&count=100"
    assert transport.targets() == [first, f"{first}&cursor=abc"]


@pytest.mark.parametrize(
    "data", [[FEE], {"list": [FEE]}, {"history": [FEE], "pagination": {"nextCursor": None}}, {"list": [{"feeType": "X", "odd": None}]}]
)
def test_shapes_of_the_fee_history_that_may_be(data: object) -> None:
    found, _ = answered(lambda rest: rest.exchange_fees(ONE_DAY, ONE_DAY), said(data))
    assert len(found) == 1
    assert found[0].fields["feeType"] == found[0].kind


@pytest.mark.parametrize("data", [{"rows": [FEE]}, "none", 5, [5], [FEE | {"fee": "NaN"}], [FEE | {"deliveryDatetime": "noon"}]])
def test_a_fee_history_nobody_foresaw_is_no_answer_and_not_empty(data: object) -> None:
    with pytest.raises(Unavailable):
        answered(lambda rest: rest.exchange_fees(ONE_DAY, ONE_DAY), said(data))


def test_a_cursor_that_leads_in_circles_is_no_answer() -> None:
    asked: list[Request] = []

    def again(request: Request) -> Reply:
        asked.append(request)
        return said({"list": [FEE], "cursor": "same"})

    with pytest.raises(Unavailable, match="without end"):
        answered(lambda rest: rest.exchange_fees(ONE_DAY, ONE_DAY), again)
    assert len(asked) == 2


def test_more_than_seven_days_of_fees_are_asked_in_weeks() -> None:
    _, transport = answered(lambda rest: rest.exchange_fees(date(2026, 6, 1), date(2026, 6, 9)), said({}))
    assert [target.partition("?")[2][:36] for target in transport.targets()] == [
        "fromDate=20260601&toDate=20260607&co",
        "fromDate=20260608&toDate=20260609&co",
    ]


# --- orders -----------------------------------------------------------------------------------------------------


def test_fills_by_their_own_ids() -> None:
    _, transport = answered(lambda rest: rest.executions_by_id([5, 6]), said({}))
    assert transport.targets() == ["/v1/executions?executionId=5%2C6"]
    found, transport = answered(lambda rest: rest.executions_by_id([]), said({}))
    assert (found, transport.requests) == ([], [])


@pytest.mark.parametrize("ask", ["orders", "executions_by_id", "cancel_orders"])
def test_more_than_ten_ids_are_a_mistake_of_ours(ask: str) -> None:
    with pytest.raises(ValueError, match="11 ids"):
        answered(lambda rest: getattr(rest, ask)(range(1, 12)), said({}))


def limit(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {"symbol": "BTC_JPY", "side": Side.BUY, "type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    return OrderRequest(**(fields | {"size": Decimal("0.01"), "price": Decimal(9_000_000)} | changes))


def test_an_order_may_carry_a_losscut_price_or_cancel_others_first() -> None:
    _, transport = answered(lambda rest: rest.place_order(limit(losscut_price=Decimal(8_000_000))), said("7"))
    body = {"symbol": "BTC_JPY", "side": "BUY", "executionType": "LIMIT", "size": "0.01", "timeInForce": "FAS", "price": "9000000"}
    assert transport.bodies() == [body | {"losscutPrice": "8000000"}]
    order = limit(symbol="BTC", side=Side.SELL, type=OrderType.MARKET, price=None, time_in_force=TimeInForce.IOC, cancel_before=True)
    _, transport = answered(lambda rest: rest.place_order(order), said("7"))
    body = {"symbol": "BTC", "side": "SELL", "executionType": "MARKET", "size": "0.01"}
    assert transport.bodies() == [body | {"cancelBefore": True}]


CLOSE = CloseRequest(symbol="BTC_JPY", side=Side.SELL, type=OrderType.MARKET, size=Decimal("0.01"), time_in_force=TimeInForce.IOC)
CLOSE_BODY = {"symbol": "BTC_JPY", "side": "SELL", "executionType": "MARKET"}


def close(**changes: Any) -> CloseRequest:
    return CloseRequest(**({name: getattr(CLOSE, name) for name in CLOSE.__struct_fields__} | changes))


def test_a_close_names_exactly_one_position_or_a_size() -> None:
    found, transport = answered(lambda rest: rest.close_position(close(position_id=42)), said("8"))
    assert (found, transport.targets()) == (8, ["/v1/closeOrder"])
    assert transport.bodies() == [CLOSE_BODY | {"settlePosition": [{"positionId": 42, "size": "0.01"}]}]
    found, transport = answered(lambda rest: rest.close_position(CLOSE), said("9"))
    assert (found, transport.targets()) == (9, ["/v1/closeBulkOrder"])
    assert transport.bodies() == [CLOSE_BODY | {"size": "0.01"}]
    with pytest.raises(ValueError, match="cancelBefore"):
        answered(lambda rest: rest.close_position(close(cancel_before=True)), said("9"))


def test_changes_are_sent_as_numbers_and_strings() -> None:
    _, transport = answered(lambda rest: rest.change_order(5, Decimal("9.1E+6"), Decimal(8_000_000)), said())
    assert transport.bodies() == [{"orderId": 5, "price": "9100000", "losscutPrice": "8000000"}]
    _, transport = answered(lambda rest: rest.change_order(5, Decimal(9_100_000)), said())
    assert transport.bodies() == [{"orderId": 5, "price": "9100000"}]
    _, transport = answered(lambda rest: rest.change_losscut_price(1_000_342, Decimal(766_540)), said())
    assert (transport.targets(), transport.bodies()) == (
        ["/v1/changeLosscutPrice"],
        [{"positionId": 1_000_342, "losscutPrice": "766540"}],
    )


def test_each_of_several_cancels_has_its_own_outcome() -> None:
    found, transport = answered(lambda rest: rest.cancel_orders([1, 3, 4, 9]), example("5.16"))
    assert found == CancelOutcome(accepted=(3, 4), refused={1: "ERR-5122"}, unanswered=(9,))
    assert transport.bodies() == [{"orderIds": [1, 3, 4, 9]}]
    found, transport = answered(lambda rest: rest.cancel_orders([]), said())
    assert (found.accepted, transport.requests) == ((), [])


def test_cancelling_all_goes_on_until_nothing_new_is_found() -> None:
    first, second = list(range(1, 11)), [10, 11]
    work = lambda rest: rest.cancel_all(["BTC", "BTC_JPY"], side=Side.BUY, settle=Settle.OPEN, newest_first=True)  # noqa: E731
    found, transport = answered(work, said(first), said(second), said([11]))
    assert found == list(range(1, 12))
    assert transport.bodies() == [{"symbols": ["BTC", "BTC_JPY"], "side": "BUY", "settleType": "OPEN", "desc": True}] * 3
    found, transport = answered(lambda rest: rest.cancel_all(["BTC"]), said([]))
    assert (found, transport.bodies()) == ([], [{"symbols": ["BTC"]}])


@pytest.mark.parametrize("trouble", [failed("ERR-5003", status=4), NotSent("down"), ReplyLost("gone")])
def test_cancelling_all_that_breaks_off_is_unknown_and_not_refused(trouble: Answer) -> None:
    with pytest.raises(OutcomeUnknown):
        answered(lambda rest: rest.cancel_all(["BTC"]), said([1]), trouble)
    if not isinstance(trouble, ReplyLost):
        with pytest.raises((Refused, NotSent)):
            answered(lambda rest: rest.cancel_all(["BTC"]), trouble)


def test_cancelling_all_does_not_go_on_for_ever() -> None:
    numbers = iter(range(1, 100_000))
    with pytest.raises(OutcomeUnknown, match="without end"):
        answered(lambda rest: rest.cancel_all(["BTC"]), lambda request: said([next(numbers)]))


# --- positions --------------------------------------------------------------------------------------------------


def test_positions_and_their_totals() -> None:
    found, transport = answered(lambda rest: rest.open_positions("BTC_JPY"), example("5.11"))
    assert transport.targets() == ["/v1/openPositions?symbol=BTC_JPY&page=1&count=100"]
    assert found == [
        Position(
            position_id=1234567,
            symbol="BTC_JPY",
            side=Side.BUY,
            size=Decimal("0.22"),
            reserved_size=Decimal(0),
            price=Decimal(876045),
            unrealized_pnl_jpy=Decimal(14),
            leverage=Decimal(4),
            losscut_price=Decimal(766540),
            opened_at_ns=parse_iso_utc("2019-03-19T02:15:06.094Z"),
        )
    ]
    totals, transport = answered(lambda rest: rest.position_summary("BTC_JPY"), example("5.12"))
    assert transport.targets() == ["/v1/positionSummary?symbol=BTC_JPY"]
    assert totals == [
        PositionSummary(
            symbol="BTC_JPY",
            side=Side.BUY,
            average_price=Decimal(715656),
            size=Decimal("11.6999"),
            reserved_size=Decimal(2),
            unrealized_pnl_jpy=Decimal(250675),
        )
    ]
    _, transport = answered(lambda rest: rest.position_summary(), said({}))
    assert transport.targets() == ["/v1/positionSummary"]


# --- public -----------------------------------------------------------------------------------------------------


def test_all_tickers_by_symbol() -> None:
    found, transport = answered(lambda rest: rest.tickers(), example("4.2"))
    assert transport.targets() == ["/v1/ticker"]
    assert found["BTC"].last == Decimal(10210299)


def test_bars_around_a_moment() -> None:
    at_ns = parse_iso_utc("2026-01-01T20:59:59.000Z")
    _, transport = answered(lambda rest: rest.klines_around("BTC", "1min", at_ns), example("4.5"))
    assert transport.targets() == ["/v1/klines?symbol=BTC&interval=1min&date=20260101"]


def test_a_day_that_has_not_begun_is_refused_as_not_found() -> None:
    with pytest.raises(Refused) as refused:
        answered(lambda rest: rest.klines("BTC", "1min", "20990101"), failed("ERR-5207", status=2, http=404))
    assert refused.value.category is Category.NOT_FOUND


# --- what the daemon cannot do ----------------------------------------------------------------------------------


def test_a_transfer_is_sent_once_and_says_what_it_moved() -> None:
    transport = Scripted(example("5.6"))

    async def main() -> Decimal:
        client = TransferClient(transport, VirtualClock(), credentials=CREDENTIALS)
        return await client.transfer(100_000, TransferDirection.TO_FX)

    assert run_virtually(main()) == Decimal(100_000)
    assert transport.targets() == ["/v1/account/transfer"]
    assert transport.bodies() == [{"amount": "100000", "transferType": "WITHDRAWAL"}]


def test_what_the_daemon_is_given_cannot_transfer() -> None:
    assert not [name for name in dir(GmoRest) if "transfer" in name.lower()]
    assert not issubclass(GmoRest, TransferClient)

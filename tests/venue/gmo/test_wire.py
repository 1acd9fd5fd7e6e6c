"""Decoding: every example of the reference, real recorded messages, and any bytes at all."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gmobot.clock import parse_iso_utc
from gmobot.venue.gmo import wire
from gmobot.venue.models import CloseRequest, Execution, Order, OrderRequest, OrderStatus, OrderType, Settle, Side, TimeInForce

EXAMPLES = [json.loads(line) for line in Path(__file__).with_name("reference_examples.jsonl").read_text(encoding="utf-8").splitlines()]
REPLIES: dict[str, Any] = {
    "3.5": wire.StatusData,
    "4.1": wire.StatusData,
    "4.2": tuple[wire.TickerData, ...],
    "4.3": wire.BookData,
    "4.4": wire.TradeList,
    "4.5": tuple[wire.KlineData, ...],
    "4.6": tuple[wire.SymbolData, ...],
    "5.1": wire.MarginData,
    "5.2": tuple[wire.AssetData, ...],
    "5.3": wire.VolumeData,
    "5.4": tuple[wire.CashFlowData, ...],
    "5.6": tuple[wire.TransferData, ...],
    "5.7": wire.OrderList,
    "5.11": wire.PositionList,
    "5.12": wire.SummaryList,
    "5.16": wire.CancelData,
    "5.17": tuple[wire.Id, ...],
}
FRAMES: dict[str, Any] = {
    "ticker": wire.TickerData,
    "orderbooks": wire.BookData,
    "trades": wire.TradeData,
    "executionEvents": wire.ExecutionFrame,
    "orderEvents": wire.OrderFrame,
    "positionEvents": wire.PositionData,
    "positionSummaryEvents": wire.SummaryData,
}
KINDS = [wire.Envelope, wire.Frame, *REPLIES.values(), *FRAMES.values(), wire.ExecutionList]
LISTS = (wire.OrderList, wire.ExecutionList, wire.PositionList, wire.SummaryList)


def models(data: Any) -> list[Any]:
    """Convert whatever was decoded, all the way."""
    if isinstance(data, wire.TradeList):
        return list(data.models("BTC"))
    if isinstance(data, wire.BookData):
        return [data.model(1)]
    if isinstance(data, wire.TradeData):
        return [data.model(data.symbol)]
    if isinstance(data, wire.CancelData):
        return [data.model((1, 2))]
    rows = data.list if isinstance(data, LISTS) else data if isinstance(data, tuple) else [data]
    found = [row.model() if hasattr(row, "model") else row for row in rows]
    return found + [row.event() for row in rows if hasattr(row, "event")]


@pytest.mark.parametrize("entry", EXAMPLES, ids=[f"{number}-§{entry['section']}" for number, entry in enumerate(EXAMPLES)])
def test_every_example_of_the_reference_decodes(entry: dict[str, Any]) -> None:
    section, example = entry["section"], entry["example"]
    text = json.dumps(example)
    if "status" in example and "channel" not in example and isinstance(example["status"], int):
        envelope = wire.decode(text, wire.Envelope)
        assert envelope.status == example["status"]
        assert bool(bytes(envelope.data)) == ("data" in example)
        assert len(envelope.messages) == len(example.get("messages", []))
        if section in REPLIES and "data" in example:
            assert models(wire.decode(envelope.data, REPLIES[section]))
    elif "channel" in example and "command" not in example:
        assert wire.decode(text, wire.Frame).channel == example["channel"]
        if example["channel"] in FRAMES:
            assert models(wire.decode(text, FRAMES[example["channel"]]))
    elif "error" in example:
        assert wire.decode(text, wire.Frame).error == example["error"]
    elif "executionId" in example:
        assert models(wire.decode(text, wire.ExecutionData))


def test_the_reference_has_examples_of_all_that_is_decoded() -> None:
    sections = {entry["section"] for entry in EXAMPLES}
    assert set(REPLIES) <= sections
    assert set(FRAMES) <= {entry["example"].get("channel") for entry in EXAMPLES}


SAMPLES: dict[str, Any] = {
    "client_klines.json": tuple[wire.KlineData, ...],
    "client_orderbooks.json": wire.BookData,
    "client_private_assets.json": tuple[wire.AssetData, ...],
    "client_private_margin.json": wire.MarginData,
    "client_status.json": wire.StatusData,
    "client_symbols.json": tuple[wire.SymbolData, ...],
    "client_ticker.json": tuple[wire.TickerData, ...],
    "client_trades.json": wire.TradeList,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_recorded_replies_decode(market_data: Path, name: str) -> None:
    assert models(wire.decode((market_data / "gmo/rest_samples" / name).read_bytes(), SAMPLES[name]))


def test_recorded_frames_decode(market_data: Path) -> None:
    folder = market_data / "gmo/ws_samples"
    lines = (folder / "frames.jsonl").read_text(encoding="utf-8").splitlines()
    lines.append((folder / "orderbooks_BTC_JPY_20250430_full.json").read_text(encoding="utf-8"))
    decoded = [(line, wire.decode(line, wire.Frame)) for line in lines if line.strip()]
    channels = {frame.channel for _, frame in decoded if frame.error is None}
    assert {"trades", "orderbooks", "ticker"} <= channels
    for line, frame in decoded:
        if frame.channel in FRAMES:
            assert models(wire.decode(line, FRAMES[frame.channel]))


def test_a_real_book_keeps_thirty_levels_a_side_in_order(market_data: Path) -> None:
    text = (market_data / "gmo/ws_samples/orderbooks_BTC_JPY_20250430_full.json").read_bytes()
    book = wire.decode(text, wire.BookData).model(0)
    asks, bids = [level.price for level in book.asks], [level.price for level in book.bids]
    assert (len(asks), len(bids)) == (30, 30)
    assert asks == sorted(asks)
    assert bids == sorted(bids, reverse=True)
    assert bids[0] < asks[0]


def test_a_book_in_the_wrong_order_is_put_right() -> None:
    rows = [{"price": "3", "size": "1"}, {"price": "1", "size": "1"}, {"price": "2", "size": "1"}]
    book = wire.decode(json.dumps({"symbol": "BTC", "asks": rows, "bids": rows}), wire.BookData).model(5)
    assert [level.price for level in book.asks] == [1, 2, 3]
    assert [level.price for level in book.bids] == [3, 2, 1]
    assert book.at_ns == 5


@pytest.mark.parametrize("field", ["price", "size"])
@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1e19", "1e400000", "1e-19", "1e-400000", "-1", "", "x", None, []]
)
@pytest.mark.parametrize("others", [0, 2])
def test_no_level_of_a_book_is_nonsense(field: str, amount: object, others: int) -> None:
    good = [{"price": str(level + 2), "size": "1"} for level in range(others)]
    for side in ("asks", "bids"):
        text = json.dumps({"symbol": "BTC", "asks": [], "bids": []} | {side: [{"price": "1", "size": "1"} | {field: amount}, *good]})
        with pytest.raises(wire.MALFORMED):
            wire.decode(text, wire.BookData).model(1)


def test_a_level_may_be_empty_but_has_a_price() -> None:
    text = '{"symbol":"BTC","asks":[{"price":"1","size":"0"}],"bids":[]}'
    assert wire.decode(text, wire.BookData).model(1).asks[0].size == 0
    with pytest.raises(wire.MALFORMED):
        wire.decode(text.replace('"1"', '"0"'), wire.BookData).model(1)


EXECUTION = next(entry["example"] for entry in EXAMPLES if "executionTimestamp" in entry["example"])
ORDER = next(row for entry in EXAMPLES if entry["section"] == "5.7" for row in entry["example"]["data"]["list"])


def execution(**changes: Any) -> Execution:
    return wire.decode(json.dumps(EXECUTION | changes), wire.ExecutionFrame).model()


def order(**changes: Any) -> Order:
    return wire.decode(json.dumps({key: value for key, value in (ORDER | changes).items() if value is not None}), wire.OrderData).model()


def test_an_execution_event_is_translated_in_full() -> None:
    assert execution() == Execution(
        execution_id=278209163,
        order_id=1201641525,
        symbol="BTC_JPY",
        side=Side.SELL,
        size=Decimal("0.01"),
        price=Decimal(5292138),
        fee_jpy=Decimal(0),
        realized_pnl_jpy=Decimal(0),
        at_ns=parse_iso_utc("2021-03-06T07:10:32.004Z"),
        position_id=86266824,
        order_size=Decimal("0.01"),
        cumulative_size=Decimal("0.01"),
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("WAITING", OrderStatus.ARMED),
        ("ORDERED", OrderStatus.WORKING),
        ("MODIFYING", OrderStatus.AMENDING),
        ("CANCELLING", OrderStatus.CANCELLING),
        ("CANCELED", OrderStatus.CANCELLED),
        ("EXECUTED", OrderStatus.FILLED),
        ("EXPIRED", OrderStatus.EXPIRED),
    ],
)
def test_every_status_has_its_word(word: str, status: OrderStatus) -> None:
    assert order(status=word).status is status


PAIRS = [("FAS", TimeInForce.GTC), ("FAK", TimeInForce.IOC), ("FOK", TimeInForce.FOK), ("SOK", TimeInForce.POST_ONLY)]


@pytest.mark.parametrize(("word", "meant"), PAIRS)
def test_time_in_force_both_ways(word: str, meant: TimeInForce) -> None:
    assert order(timeInForce=word).time_in_force is meant
    request = OrderRequest(symbol="BTC", side=Side.BUY, type=OrderType.LIMIT, size=Decimal(1), price=Decimal(1), time_in_force=meant)
    assert wire.OrderBody.of(request).timeInForce == word


@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.STOP])
def test_what_a_type_has_by_default_is_not_named(kind: OrderType) -> None:
    """§6.2 can be read as that only a LIMIT may name its time in force."""
    words: dict[str, Any] = {"symbol": "BTC", "side": Side.SELL, "type": kind, "size": Decimal(1)}
    fak, fas = words | {"time_in_force": TimeInForce.IOC}, words | {"time_in_force": TimeInForce.GTC}
    assert [wire.OrderBody.of(OrderRequest(**given)).timeInForce for given in (fak, fas)] == [None, "FAS"]
    assert [wire.CloseBody.of(CloseRequest(**given)).timeInForce for given in (fak, fas)] == [None, "FAS"]


def test_numbers_may_be_strings_and_strings_numbers() -> None:
    assert order(orderId="223456789", size=0.02, executedSize=0, price=1430001) == order(executedSize="0")
    assert execution(executionId="278209163", fee=0) == execution()
    assert wire.order_id(msgspec.Raw(b'"637000"')) == wire.order_id(msgspec.Raw(b"637000")) == 637000


def test_a_market_order_has_no_price_whether_zero_or_left_out() -> None:
    assert order(price="0").price is None
    assert order(price=None).price is None


def test_new_keys_and_new_cancel_types_pass() -> None:
    assert order(grouping="1", cancelType="SOMETHING_NEW", status="CANCELED").cancel_reason == "SOMETHING_NEW"


def test_an_empty_object_is_an_empty_list_and_missing_data_is_not() -> None:
    assert list(wire.decode("{}", wire.OrderList).list) == []
    with pytest.raises(wire.MALFORMED):
        wire.decode(wire.decode('{"status":0}', wire.Envelope).data, wire.OrderList)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1e99", "1e-99", "-1", "", "x", None, True, []])
def test_no_nonsense_becomes_money(amount: object) -> None:
    for field in ("executionSize", "executionPrice", "orderSize"):
        with pytest.raises(wire.MALFORMED):
            execution(**{field: amount})


@pytest.mark.parametrize("fee", ["NaN", "Infinity", "1e99"])
def test_a_fee_may_be_negative_but_is_a_number(fee: str) -> None:
    assert execution(fee="-12").fee_jpy == -12
    with pytest.raises(wire.MALFORMED):
        execution(fee=fee)


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**40, "abc", 1.5, None])
def test_an_id_fits_the_database(number: object) -> None:
    with pytest.raises(wire.MALFORMED):
        execution(executionId=number)


@pytest.mark.parametrize(
    ("word", "field", "unknown"),
    [
        ("status", "status", OrderStatus.UNKNOWN),
        ("timeInForce", "time_in_force", TimeInForce.UNKNOWN),
        ("executionType", "type", OrderType.UNKNOWN),
        ("settleType", "settle", Settle.UNKNOWN),
    ],
)
def test_a_word_nobody_knows_loses_no_order_and_is_not_guessed(word: str, field: str, unknown: object) -> None:
    found = order(**{word: "PARTLY"})
    assert getattr(found, field) is unknown
    assert found.order_id == ORDER["orderId"]
    if word == "status":
        assert not found.status.is_final


def test_a_side_nobody_knows_is_malformed() -> None:
    with pytest.raises(wire.MALFORMED):
        order(side="BOTH")


def test_an_order_of_unknown_kind_cannot_be_sent() -> None:
    for unknown in ({"type": OrderType.UNKNOWN}, {"time_in_force": TimeInForce.UNKNOWN}):
        known: dict[str, Any] = {"type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
        request = OrderRequest(symbol="BTC", side=Side.BUY, size=Decimal(1), price=Decimal(1), **(known | unknown))
        with pytest.raises(ValueError, match="cannot be sent"):
            wire.OrderBody.of(request)


def test_losscut_orders_are_known_from_both_spellings() -> None:
    assert order(orderType="LOSSCUT").settle is Settle.LOSSCUT
    assert execution(settleType="LOSS_CUT").settle is Settle.LOSSCUT
    assert execution(settleType="CLOSE").settle is Settle.CLOSE


def test_what_the_exchange_leaves_out_is_not_made_up() -> None:
    row = {name: value for name, value in EXECUTION.items() if name not in ("settleType", "lossGain")}
    silent = wire.decode(json.dumps(row), wire.ExecutionFrame).model()
    assert (silent.settle, silent.realized_pnl_jpy) == (Settle.UNKNOWN, None)
    row = {name: value for name, value in ORDER.items() if name != "settleType"}
    assert wire.decode(json.dumps(row), wire.OrderData).model().settle is Settle.UNKNOWN


@pytest.mark.parametrize("token", ['""', '"a b"', '"a\\nb"', '"\\u3042"', "1", "null", "{}"])
def test_a_token_is_one_printable_word(token: str) -> None:
    with pytest.raises(wire.MALFORMED):
        wire.token(msgspec.Raw(token.encode()))


def test_the_body_of_an_order_leaves_nothing_to_rounding() -> None:
    limit = OrderRequest(
        symbol="BTC", side=Side.BUY, type=OrderType.LIMIT, size=Decimal("1E-8"), price=Decimal("9.9E+6"), time_in_force=TimeInForce.GTC
    )
    assert json.loads(msgspec.json.encode(wire.OrderBody.of(limit))) == {
        "symbol": "BTC",
        "side": "BUY",
        "executionType": "LIMIT",
        "timeInForce": "FAS",
        "price": "9900000",
        "size": "0.00000001",
    }
    market = OrderRequest(symbol="BTC", side=Side.SELL, type=OrderType.MARKET, size=Decimal(1), time_in_force=TimeInForce.IOC)
    assert "price" not in json.loads(msgspec.json.encode(wire.OrderBody.of(market)))


def test_a_text_nested_deeper_than_the_stack_is_malformed() -> None:
    for text in (b'{"status":0,"data":' + b"[" * 200_000, b'{"x":' * 200_000):
        for kind in (wire.Envelope, wire.Frame):
            with pytest.raises(wire.MALFORMED):
                wire.decode(text, kind)


@pytest.mark.parametrize("number", [0, 1_234_567])
@pytest.mark.parametrize(("symbol", "kept"), [("BTC", False), ("BTC_JPY", True)])
def test_only_a_leverage_fill_names_a_position_whatever_the_official_sample_of_a_spot_row_shows(
    symbol: str, number: int, kept: bool
) -> None:
    wanted = number if kept and number else None
    assert execution(symbol=symbol, positionId=number).position_id == wanted
    row = next(entry["example"] for entry in EXAMPLES if entry["section"] == "5.9") | {"symbol": symbol, "positionId": number}
    assert wire.decode(json.dumps(row), wire.ExecutionData).model().position_id == wanted

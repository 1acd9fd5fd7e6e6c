"""Closing positions, and their losscut prices (§5.18 to §5.20)."""

from __future__ import annotations

from decimal import Decimal

from tests.conformance.registry import case
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

LEVER = "BTC_JPY"


@case(731, "§5.18", "closeOrder closes one position and realises what it brought")
async def close(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    t.stage.move(LEVER, "10100001")
    order = int((await t.customer.close(position, "SELL", "0.1")).data)
    (fill,) = (await t.customer.read("executions", orderId=order)).rows
    assert (fill["positionId"], fill["settleType"], fill["price"], fill["lossGain"]) == (position, "CLOSE", "10100000", "9900")
    assert (await t.customer.shown(order))["settleType"] == "CLOSE"
    assert (await t.customer.read("openPositions", symbol=LEVER)).data == {}
    assert (await t.customer.balance("JPY"))["amount"] == "10009900"


@case(732, "§5.18", "closeOrder of a part leaves the rest, under the same number")
async def close_part(t: Target) -> None:
    position = await t.customer.opened("SELL", "0.1")
    assert (await t.customer.close(position, "BUY", "0.03")).data
    assert (await t.customer.position(position))["size"] == "0.07"


@case(733, "§5.18", "a resting close order ties up its size (orderdSize), and gives it back when cancelled", codes="ERR-200")
async def close_reserves(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    order = int((await t.customer.close(position, "SELL", "0.07", "LIMIT", ask(LEVER, 5))).data)
    assert (await t.customer.position(position))["orderdSize"] == "0.07"
    (await t.customer.close(position, "SELL", "0.04")).refused("ERR-200")
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    assert (await t.customer.position(position))["orderdSize"] == "0"
    assert (await t.customer.close(position, "SELL", "0.04")).data


@case(734, "§5.18", "closeOrder of more than the position", codes="ERR-189")
async def close_too_much(t: Target) -> None:
    (await t.customer.close(await t.customer.opened("BUY", "0.1"), "SELL", "0.101")).refused("ERR-189")


@case(735, "§5.18", "closeOrder of a position that is not there", codes="ERR-254")
async def close_unknown(t: Target) -> None:
    assert (await t.customer.close(1, "SELL", "0.01")).refused("ERR-254") == "Not found position."
    position = await t.other.opened("BUY", "0.01")
    (await t.customer.close(position, "SELL", "0.01")).refused("ERR-254")


@case(736, "§5.18", "closeOrder on the position's own side", codes="ERR-70")
async def close_side(t: Target) -> None:
    (await t.customer.close(await t.customer.opened("BUY", "0.1"), "BUY", "0.1")).refused("ERR-70")


@case(737, "§5.18", "closeOrder names exactly one position, and no losscutPrice", codes="ERR-5106 ERR-5118")
async def close_parameters(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    one = {"positionId": position, "size": "0.01"}
    body = {"symbol": LEVER, "side": "SELL", "executionType": "MARKET"}
    for settle in ([], [one, one], None, one):
        assert "settlePosition" in (await t.customer.post("closeOrder", body | {"settlePosition": settle})).refused("ERR-5106")
    (await t.customer.close(position, "SELL", "0.01", "LIMIT", ask(LEVER), losscutPrice="9000000")).refused("ERR-5118")


@case(738, "§5.18", "every kind of order closes, with the times in force of new orders", codes="ERR-5111")
async def close_kinds(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    for kind, price, tif in (
        ("LIMIT", ask(LEVER, 5), "FAS"), ("LIMIT", ask(LEVER, 5), "SOK"), ("LIMIT", bid(LEVER), "FOK"), ("LIMIT", bid(LEVER), "FAK"),
        ("STOP", "9500000", "FAK"), ("MARKET", None, "FAK"),
    ):  # fmt: skip
        assert (await t.customer.close(position, "SELL", "0.01", kind, price, tif)).data
    (await t.customer.close(position, "SELL", "0.01", "MARKET", None, "FAS")).refused("ERR-5111")


@case(739, "§5.18", "cancelBefore cancels the position's older close orders")
async def close_cancel_before(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    resting = int((await t.customer.close(position, "SELL", "0.1", "LIMIT", ask(LEVER, 5))).data)
    assert (await t.customer.close(position, "SELL", "0.1", cancelBefore=True)).data
    assert (await t.customer.shown(resting))["status"] == "CANCELED"
    assert (await t.customer.read("openPositions", symbol=LEVER)).data == {}


@case(740, "§5.18", "closeOrder needs no margin", balances={"JPY": Decimal(500_100)})
async def close_without_margin(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    assert (await t.customer.margin())["availableAmount"] == "50"
    assert (await t.customer.close(position, "SELL", "0.1")).data
    assert (await t.customer.read("openPositions", symbol=LEVER)).data == {}


@case(741, "§5.19", "closeBulkOrder closes over positions, the oldest first, one execution each")
async def close_bulk(t: Target) -> None:
    positions = [await t.customer.opened("BUY", "0.02") for _ in range(3)]
    order = int((await t.customer.close_bulk("SELL", "0.03")).data)
    fills = (await t.customer.read("executions", orderId=order)).rows
    assert [(fill["positionId"], fill["size"]) for fill in fills] == [(positions[0], "0.02"), (positions[1], "0.01")]
    left = {row["positionId"]: row["size"] for row in (await t.customer.read("openPositions", symbol=LEVER)).rows}
    assert left == {positions[1]: "0.01", positions[2]: "0.02"}


@case(742, "§5.19", "closeBulkOrder may take the newest first", bulk_close_first="newest")
async def close_bulk_newest(t: Target) -> None:
    positions = [await t.customer.opened("BUY", "0.02") for _ in range(2)]
    assert (await t.customer.close_bulk("SELL", "0.02")).data
    assert [row["positionId"] for row in (await t.customer.read("openPositions", symbol=LEVER)).rows] == positions[:1]


@case(743, "§5.19", "closeBulkOrder without a position of the other side", codes="ERR-422")
async def close_bulk_nothing(t: Target) -> None:
    await t.customer.opened("SELL", "0.02")
    answer = await t.customer.close_bulk("SELL", "0.01")
    assert answer.refused("ERR-422") == "There are no open positions that can be settled."


@case(744, "§5.19", "closeBulkOrder of more than there is, or than close orders leave", codes="ERR-423 ERR-200")
async def close_bulk_too_much(t: Target) -> None:
    await t.customer.opened("BUY", "0.02")
    (await t.customer.close_bulk("SELL", "0.021")).refused("ERR-423")
    assert (await t.customer.close_bulk("SELL", "0.015", "LIMIT", ask(LEVER, 5))).data
    (await t.customer.close_bulk("SELL", "0.01")).refused("ERR-200")


@case(745, "§5.19", "closeBulkOrder takes neither cancelBefore nor a spot symbol", codes="ERR-5106")
async def close_bulk_parameters(t: Target) -> None:
    await t.customer.opened("BUY", "0.02")
    (await t.customer.close_bulk("SELL", "0.01", cancelBefore=True)).refused("ERR-5106")
    (await t.customer.close_bulk("SELL", "0.01", symbol="BTC")).refused("ERR-5106")


@case(746, "§5.19", "closeBulkOrder may be told with one execution that names the first position", bulk_close_fills="first")
async def close_bulk_told_once(t: Target) -> None:
    positions = [await t.customer.opened("BUY", "0.02") for _ in range(2)]
    order = int((await t.customer.close_bulk("SELL", "0.03")).data)
    fills = (await t.customer.read("executions", orderId=order)).rows
    assert [(fill["positionId"], fill["size"]) for fill in fills] == [(positions[0], "0.03")]
    assert (await t.customer.position(positions[1]))["size"] == "0.01"


@case(747, "§5.19", "closeBulkOrder may be told with one execution that names none", bulk_close_fills="unnamed")
async def close_bulk_unnamed(t: Target) -> None:
    for _ in range(2):
        await t.customer.opened("BUY", "0.02")
    order = int((await t.customer.close_bulk("SELL", "0.03")).data)
    (fill,) = (await t.customer.read("executions", orderId=order)).rows
    assert ("positionId" in fill, fill["size"]) == (False, "0.03")


@case(751, "§5.20", "changeLosscutPrice moves it; the reply has no data")
async def change_losscut(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.01")
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "9000000"})).done()
    assert (await t.customer.position(position))["losscutPrice"] == "9000000"


@case(752, "§5.20", "changeLosscutPrice beyond the market, or looser than the default, is refused", codes="ERR-5121")
async def change_losscut_range(t: Target) -> None:
    long, short = await t.customer.opened("BUY", "0.01"), await t.customer.opened("SELL", "0.01")
    for position, price in ((long, "10100000"), (long, "7000000"), (short, "9900000"), (short, "13000000")):
        (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": price})).refused("ERR-5121")


@case(753, "§5.20", "changeLosscutPrice of a position that is not there, or off the grid", codes="ERR-254 ERR-5114 ERR-5106")
async def change_losscut_unknown(t: Target) -> None:
    (await t.customer.post("changeLosscutPrice", {"positionId": 1, "losscutPrice": "9000000"})).refused("ERR-254")
    position = await t.customer.opened("BUY", "0.01")
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "9000000.5"})).refused("ERR-5114")
    (await t.customer.post("changeLosscutPrice", {"positionId": position})).refused("ERR-5106")

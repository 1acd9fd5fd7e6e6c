"""Positions: opening, hedging, margin, and reading them (§5.11, §5.12, §6.1, §6.6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.conformance.registry import Production, case
from tests.conformance.shapes import PAGINATION, POSITION, SUMMARY, fits
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

LEVER = "BTC_JPY"
KEYS = Production.KEYS
RICH: dict[str, Any] = {"balances": {"JPY": Decimal(1_000_000_000)}}


@case(701, "§5.11", "openPositions: keys and types, with pagination")
async def positions(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.01")
    data = (await t.customer.read("openPositions", symbol=LEVER)).data
    fits(data["pagination"], PAGINATION)
    (row,) = data["list"]
    fits(row, POSITION)
    assert row["positionId"] == position
    assert (row["side"], row["size"], row["orderdSize"], row["price"], row["leverage"]) == ("BUY", "0.01", "0", ask(LEVER), "2")


@case(702, "§5.11", "openPositions: an empty result is an empty object", production=KEYS)
async def no_positions(t: Target) -> None:
    data = (await t.customer.read("openPositions", symbol=LEVER, page=100)).data
    assert data == {}


@case(703, "§5.11", "openPositions needs a leverage symbol", codes="ERR-5106", production=KEYS)
async def positions_symbol(t: Target) -> None:
    assert "symbol" in (await t.customer.read("openPositions")).refused("ERR-5106")


@case(704, "§5.11", "openPositions: lossGain follows the market, for long and short")
async def positions_gain(t: Target) -> None:
    long, short = await t.customer.opened("BUY", "0.01"), await t.customer.opened("SELL", "0.01")
    t.stage.move(LEVER, "10100000")
    assert (await t.customer.position(long))["lossGain"] == "990"
    assert (await t.customer.position(short))["lossGain"] == "-1010"


@case(705, "§6.1", "an order of the other side hedges and does not close")
async def hedge(t: Target) -> None:
    long, short = await t.customer.opened("BUY", "0.02"), await t.customer.opened("SELL", "0.01")
    rows = {row["positionId"]: row["side"] for row in (await t.customer.read("openPositions", symbol=LEVER)).rows}
    assert rows == {long: "BUY", short: "SELL"}


@case(706, "§6.1", "every fill opens a position of its own")
async def position_per_fill(t: Target) -> None:
    order = await t.customer.placed("MARKET", "BUY", "0.7", symbol=LEVER)
    fills = (await t.customer.read("executions", orderId=order)).rows
    rows = {row["positionId"]: (row["size"], row["price"]) for row in (await t.customer.read("openPositions", symbol=LEVER)).rows}
    assert rows == {fill["positionId"]: (fill["size"], fill["price"]) for fill in fills}
    assert len(rows) == 2


@case(707, "§6.6", "margin is half the notional; more than there is is refused", codes="ERR-201")
async def needs_margin(t: Target) -> None:
    assert (await t.customer.order("LIMIT", "BUY", "1.9", bid(LEVER), symbol=LEVER)).data
    (await t.customer.order("LIMIT", "BUY", "0.2", bid(LEVER), symbol=LEVER)).refused("ERR-201")
    assert (await t.customer.margin())["availableAmount"] == str(10_000_000 - 9_999_000 * 19 // 20)


@case(708, "§6.1", "coins are no margin: yen alone counts", codes="ERR-201", balances={"JPY": Decimal(1_000), "BTC": Decimal(5)})
async def coins_are_no_margin(t: Target) -> None:
    (await t.customer.order("MARKET", "BUY", "0.001", symbol=LEVER)).refused("ERR-201")


@case(709, "§6.1", "whether a hedge needs both margins or the larger is open; both is the usual")
async def hedge_margin(t: Target) -> None:
    await t.customer.opened("BUY", "0.1")
    await t.customer.opened("SELL", "0.1")
    assert (await t.customer.margin())["margin"] == str(500_050 + 499_950)


@case(710, "§6.1", "the larger margin of a hedge is the other", hedge_margin="max")
async def hedge_margin_max(t: Target) -> None:
    await t.customer.opened("BUY", "0.1")
    await t.customer.opened("SELL", "0.1")
    assert (await t.customer.margin())["margin"] == "500050"


@case(711, "§6.2", "SOK is there for some leverage symbols and not for others", codes="ERR-5111")
async def sok_symbols(t: Target) -> None:
    assert (await t.customer.order("LIMIT", "BUY", "0.01", bid(LEVER), "SOK", symbol=LEVER)).data
    (await t.customer.order("LIMIT", "BUY", "0.01", bid("ETH_JPY"), "SOK", symbol="ETH_JPY")).refused("ERR-5111")


@case(712, "§6.3", "there is a cap of positions of one side, open orders included", codes="ERR-5126", position_cap=1, **RICH)
async def position_cap(t: Target) -> None:
    await t.customer.placed("LIMIT", "BUY", "3", bid(LEVER, 5), symbol=LEVER)
    await t.customer.placed("MARKET", "BUY", "2", symbol=LEVER)
    (await t.customer.order("LIMIT", "BUY", "0.001", bid(LEVER), symbol=LEVER)).refused("ERR-5126")
    assert (await t.customer.order("LIMIT", "SELL", "0.001", ask(LEVER), symbol=LEVER)).data


@case(713, "§6.6", "the default losscut price is a quarter away, rounded towards the opening")
async def default_losscut(t: Target) -> None:
    t.stage.book(LEVER, [("10000003", "1")], [("9999997", "1")])
    long, short = await t.customer.opened("BUY", "0.01"), await t.customer.opened("SELL", "0.01")
    assert (await t.customer.position(long))["losscutPrice"] == "7500003"
    assert (await t.customer.position(short))["losscutPrice"] == "12499996"


@case(714, "§5.13", "losscutPrice of an order becomes that of the positions it opens")
async def order_losscut(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", ask(LEVER), symbol=LEVER, losscutPrice="9000000")
    (fill,) = (await t.customer.read("executions", orderId=order)).rows
    assert (await t.customer.position(fill["positionId"]))["losscutPrice"] == "9000000"


@case(721, "§5.12", "positionSummary: a row of each symbol and side, with the average price")
async def summary(t: Target) -> None:
    await t.customer.placed("MARKET", "BUY", "0.7", symbol=LEVER)
    await t.customer.opened("SELL", "0.01")
    data = (await t.customer.read("positionSummary", symbol=LEVER)).data
    assert set(data) == {"list"}
    rows = {row["side"]: row for row in data["list"]}
    for row in rows.values():
        fits(row, SUMMARY)
    average = Decimal(10_001_000 * 5 + 10_002_000 * 2) / 7
    assert abs(Decimal(rows["BUY"]["averagePositionRate"]) - average) < 1
    assert rows["BUY"]["sumPositionQuantity"] == "0.7"
    assert rows["SELL"]["sumPositionQuantity"] == "0.01"


@case(722, "§5.12", "positionSummary without a symbol has all of them, without positions it is an empty object")
async def summary_all(t: Target) -> None:
    assert (await t.customer.read("positionSummary")).data == {}
    await t.customer.opened("BUY", "0.01")
    await t.customer.opened("BUY", "1", symbol="ETH_JPY")
    assert {row["symbol"] for row in (await t.customer.read("positionSummary")).rows} == {LEVER, "ETH_JPY"}


@case(723, "§5.12", "positionSummary: sumOrderQuantity is what close orders tie up")
async def summary_reserved(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.05")
    assert (await t.customer.close(position, "SELL", "0.02", "LIMIT", ask(LEVER, 5))).data
    (row,) = (await t.customer.read("positionSummary")).rows
    assert (row["sumOrderQuantity"], row["sumPositionQuantity"]) == ("0.02", "0.05")

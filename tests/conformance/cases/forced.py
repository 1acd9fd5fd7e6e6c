"""What is closed by force: losscuts and margin calls (§6.5, §6.6)."""

from __future__ import annotations

from decimal import Decimal

from tests.conformance.registry import case
from tests.conformance.stage import ask
from tests.conformance.target import Target

LEVER = "BTC_JPY"


def to_next(target: Target, utc: str) -> float:
    """Return the seconds until a time of day in UTC, like ``21:30``, and one more."""
    hours, minutes = map(int, utc.split(":"))
    ahead = (hours * 60 + minutes) * 60_000 - target.now_ms() % 86_400_000
    return (ahead % 86_400_000) / 1_000 + 1.0


@case(761, "§6.6", "a position is closed by force at its losscut price, for 0.5 % of what was opened")
async def losscut(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.01")
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "9900000"})).done()
    t.stage.move(LEVER, "9900001")
    assert (await t.customer.position(position))["size"] == "0.01"
    t.stage.move(LEVER, "9900000")
    assert (await t.customer.read("openPositions", symbol=LEVER)).data == {}
    fill = (await t.customer.read("latestExecutions", symbol=LEVER)).rows[0]
    assert (fill["positionId"], fill["settleType"], fill["fee"], fill["lossGain"]) == (position, "CLOSE", "500", "-1010.01")
    row = await t.customer.shown(fill["orderId"])
    assert (row["orderType"], row["executionType"], row["status"]) == ("LOSSCUT", "MARKET", "EXECUTED")


@case(762, "§6.5", "close orders of a position that is closed by force end with POSITION_LOSSCUT")
async def losscut_cancels(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.01")
    close = int((await t.customer.close(position, "SELL", "0.01", "LIMIT", ask(LEVER, 9))).data)
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "9900000"})).done()
    t.stage.move(LEVER, "9900000")
    row = await t.customer.shown(close)
    assert (row["status"], row["cancelType"]) == ("CANCELED", "POSITION_LOSSCUT")


@case(
    763,
    "§6.6",
    "below the account's losscut ratio everything is closed, and opening orders end with ACCOUNT_LOSSCUT",
    losscut_may_loosen=True,
)
async def account_losscut(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.5")
    resting = await t.customer.placed("LIMIT", "BUY", "0.01", "8000000", symbol=LEVER)
    assert (await t.customer.post("account/transfer", {"amount": "7300000", "transferType": "WITHDRAWAL"})).data
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "100000"})).done()
    t.stage.move(LEVER, "8350000")
    assert (await t.customer.margin())["marginCallStatus"] == "NORMAL"
    t.stage.move(LEVER, "8300000")
    assert (await t.customer.read("openPositions", symbol=LEVER)).data == {}
    row = await t.customer.shown(resting)
    assert (row["status"], row["cancelType"]) == ("CANCELED", "ACCOUNT_LOSSCUT")


@case(
    764, "§6.6", "a margin call at 06:30 JST stops opening and transfers until it is met", codes="ERR-682 ERR-5133", losscut_may_loosen=True
)
async def margin_call(t: Target) -> None:
    await t.customer.opened("BUY", "0.5")
    assert (await t.customer.post("account/transfer", {"amount": "7300000", "transferType": "WITHDRAWAL"})).data
    t.stage.move(LEVER, "9500000")
    await t.pause(to_next(t, "21:30") + 2.0)
    assert (await t.customer.margin())["marginCallStatus"] == "MARGIN_CALL"
    (await t.customer.order("MARKET", "BUY", "0.001", symbol=LEVER)).refused("ERR-682")
    (await t.customer.post("account/transfer", {"amount": "1000", "transferType": "WITHDRAWAL"})).refused("ERR-5133")
    t.stage.deposit("JPY", "1000000")
    assert (await t.customer.margin())["marginCallStatus"] == "NORMAL"
    assert (await t.customer.order("MARKET", "BUY", "0.001", symbol=LEVER)).data


@case(765, "§6.6", "a margin call that is not met by its deadline closes everything", losscut_may_loosen=True)
async def margin_call_unmet(t: Target) -> None:
    await t.customer.opened("BUY", "0.5")
    assert (await t.customer.post("account/transfer", {"amount": "7300000", "transferType": "WITHDRAWAL"})).data
    t.stage.move(LEVER, "9500000")
    await t.pause(to_next(t, "21:30") + 2.0)
    assert (await t.customer.margin())["marginCallStatus"] == "MARGIN_CALL"
    await t.pause(86_400)
    assert (await t.customer.read("openPositions", symbol=LEVER)).data == {}
    assert (await t.customer.margin())["marginCallStatus"] == "NORMAL"


@case(
    766, "§9", "while margin calls are processed, accounts with positions cannot open", codes="ERR-683", margin_call_processing_seconds=60.0
)
async def margin_processing(t: Target) -> None:
    await t.customer.opened("BUY", "0.01")
    await t.pause(to_next(t, "21:30"))
    (await t.customer.order("MARKET", "BUY", "0.001", symbol=LEVER)).refused("ERR-683")
    await t.pause(61.0)
    assert (await t.customer.order("MARKET", "BUY", "0.001", symbol=LEVER)).data


@case(767, "§6.5", "a resting order whose margin is gone when it would fill ends with INSUFFICIENT_MARGIN")
async def margin_gone(t: Target) -> None:
    await t.customer.placed("LIMIT", "BUY", "1", "9999500", symbol=LEVER)
    await t.other.placed("LIMIT", "SELL", "1", "9999500", symbol=LEVER)
    order = await t.customer.placed("LIMIT", "BUY", "1", "9990000", symbol=LEVER)
    t.stage.book(LEVER, [("9991000", "5")], [("9980000", "5")])
    t.stage.trade(LEVER, "SELL", "9991000", "0.001")
    await t.other.placed("LIMIT", "SELL", "1", "9990000", symbol=LEVER)
    row = await t.customer.shown(order)
    assert (row["status"], row["cancelType"]) == ("CANCELED", "INSUFFICIENT_MARGIN")
    assert 0 < Decimal(row["executedSize"]) < 1

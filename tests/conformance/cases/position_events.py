"""Events of positions and their sums, and what comes after what (§8.6 to §8.9)."""

from __future__ import annotations

from typing import Any

from tests.conformance.registry import case
from tests.conformance.shapes import POSITION_EVENT, SUMMARY_EVENT, fits
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

LEVER = "BTC_JPY"


def told(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return channels and kinds of news."""
    return [(frame["channel"], frame["msgType"]) for frame in frames]


@case(941, "§8.6", "positionEvents: OPR when it opens, UPR when it shrinks, CPR when it is gone")
async def position_life(t: Target) -> None:
    stream = await t.customer.opened_stream("positionEvents")
    position = await t.customer.opened("BUY", "0.03")
    assert (await t.customer.close(position, "SELL", "0.01")).data
    assert (await t.customer.close(position, "SELL", "0.02")).data
    events = [event for event in await stream.first(5) if event["orderdSize"] == "0"]
    for event in events:
        fits(event, POSITION_EVENT)
        assert event["positionId"] == position
    assert [(e["msgType"], e["size"]) for e in events] == [("OPR", "0.03"), ("UPR", "0.02"), ("CPR", "0")]


@case(942, "§8.6", "positionEvents: CPR may tell the last size instead of zero", closed_size="last")
async def position_last_size(t: Target) -> None:
    stream = await t.customer.opened_stream("positionEvents")
    position = await t.customer.opened("BUY", "0.03")
    assert (await t.customer.close(position, "SELL", "0.03")).data
    last = (await stream.first(3))[-1]
    assert (last["msgType"], last["size"]) == ("CPR", "0.03")


@case(943, "§8.9", "a resting close order: NOR, then UPR with its size tied up; cancelled, UPR without")
async def position_reserved(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.03")
    stream = await t.customer.opened_stream("positionEvents", "orderEvents")
    order = int((await t.customer.close(position, "SELL", "0.01", "LIMIT", ask(LEVER, 5))).data)
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    frames = await stream.take(4)
    kinds = [("orderEvents", "NOR"), ("positionEvents", "UPR"), ("orderEvents", "COR"), ("positionEvents", "UPR")]
    assert told(frames) == kinds
    assert [frame["orderdSize"] for frame in frames[1::2]] == ["0.01", "0"]
    assert [frame["settleType"] for frame in frames[::2]] == ["CLOSE", "CLOSE"]


@case(944, "§8.6", "positionEvents: ULR when the losscut price moves")
async def position_losscut(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.03")
    stream = await t.customer.opened_stream("positionEvents")
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "9000000"})).done()
    (event,) = await stream.take(1)
    assert (event["msgType"], event["losscutPrice"]) == ("ULR", "9000000")


@case(945, "§6.6", "a forced close is told with settleType LOSS_CUT, its cancelled close order with CLOSED_ORDER")
async def forced(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.01")
    close = int((await t.customer.close(position, "SELL", "0.01", "LIMIT", ask(LEVER, 5))).data)
    (await t.customer.post("changeLosscutPrice", {"positionId": position, "losscutPrice": "9900000"})).done()
    stream = await t.customer.opened_stream("orderEvents", "executionEvents")
    t.stage.move(LEVER, "9900000")
    gone, new, fill = await stream.take(3)
    assert (gone["orderId"], gone["msgType"], gone["cancelType"]) == (close, "COR", "CLOSED_ORDER")
    assert (new["msgType"], new["settleType"], fill["settleType"], fill["executionType"]) == ("NOR", "LOSS_CUT", "LOSS_CUT", "MARKET")
    assert fill["positionId"] == position


@case(951, "§8.7", "positionSummaryEvents: INIT after subscribing, UPDATE after a change")
async def summaries(t: Target) -> None:
    await t.customer.opened("BUY", "0.01")
    stream = await t.customer.opened_stream("positionSummaryEvents")
    (first,) = await stream.take(1)
    await t.customer.opened("BUY", "0.02")
    (second,) = await stream.take(1)
    for event in (first, second):
        fits(event, SUMMARY_EVENT)
    assert [(e["msgType"], e["sumPositionQuantity"]) for e in (first, second)] == [("INIT", "0.01"), ("UPDATE", "0.03")]


@case(952, "§8.7", "positionSummaryEvents: with PERIODIC also every five seconds", summary_init=False)
async def summaries_periodic(t: Target) -> None:
    await t.customer.opened("BUY", "0.01")
    stream = await t.customer.opened_stream("positionSummaryEvents", option="PERIODIC")
    await stream.silent()
    for _ in range(2):
        await t.pause(5.1)
        (event,) = await stream.take(1)
        fits(event, SUMMARY_EVENT)
        assert event["msgType"] == "PERIODIC"


@case(
    953,
    "§8.2",
    "of several subscriptions to positionSummaryEvents the latest wins: without the option nothing is periodic",
    summary_init=False,
)
async def summaries_latest(t: Target) -> None:
    await t.customer.opened("BUY", "0.01")
    stream = await t.customer.opened_stream("positionSummaryEvents", option="PERIODIC")
    await t.subscribe(stream, "positionSummaryEvents")
    await t.pause(5.1)
    await stream.silent()


@case(954, "§8.7", "positionSummaryEvents and positionSummary tell the same")
async def summaries_agree(t: Target) -> None:
    stream = await t.customer.opened_stream("positionSummaryEvents")
    await t.customer.placed("MARKET", "BUY", "0.7", symbol=LEVER)
    last = (await stream.take(2))[-1]
    (row,) = (await t.customer.read("positionSummary")).rows
    del row["positionLossGain"]  # the price it is valued at may have moved between the two
    assert {name: last[name] for name in row} == row


@case(961, "§8.9", "leverage: execution, position, summary, in this order for every fill")
async def leverage_order(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents", "executionEvents", "positionEvents", "positionSummaryEvents")
    await t.customer.placed("LIMIT", "BUY", "0.6", ask(LEVER, 1), symbol=LEVER)
    fill = [("executionEvents", "ER"), ("positionEvents", "OPR"), ("positionSummaryEvents", "UPDATE")]
    assert told(await stream.take(7)) == [("orderEvents", "NOR"), *fill, *fill]


@case(962, "§8.8", "events may come before the reply of the request that caused them", reply_seconds=0.05)
async def event_before_reply(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    before = t.now_ms()
    await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    assert t.now_ms() - before >= 50
    await stream.take(1, seconds=0.001)


@case(963, "§8.4", "a counterparty's fill names neither the other order nor the other customer")
async def strangers(t: Target) -> None:
    mine, theirs = await t.customer.opened_stream("executionEvents"), await t.other.opened_stream("executionEvents")
    await t.customer.placed("LIMIT", "SELL", "0.01", "10000500")
    await t.other.placed("LIMIT", "BUY", "0.01", "10000500")
    (sold,), (bought,) = await mine.take(1), await theirs.take(1)
    assert (sold["side"], bought["side"]) == ("SELL", "BUY")
    assert sold["orderId"] != bought["orderId"]
    assert sold["executionId"] != bought["executionId"]

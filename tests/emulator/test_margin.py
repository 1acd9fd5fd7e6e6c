"""What leverage costs and allows: margin, buying power, losscuts, the fee over night, margin calls (reference §5.1, §6.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.emulator.leverage import SYMBOL, LeverageDesk
from tests.emulator.support import KEY, PRICE, START_NS, btc_jpy, code, customer, frames, virtual

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.audit import LedgerBrokenError
from gmobot.emulator.engine.days import day_of, trading_week
from gmobot.emulator.engine.margin import default_losscut

HOUR = 3_600.0
TO_SIX = 12 * HOUR + 9 * HOUR  # the clock starts at 09:00 JST; 06:00 JST is 21 hours away


@pytest.mark.parametrize(
    ("side", "price", "leverage", "expected"),
    [
        ("BUY", 876_045, 4, 766_540),  # documented sample (§5.11)
        ("SELL", 5_309_049, 4, 5_972_680),  # captured frame (§8.6)
        ("BUY", PRICE, 2, PRICE * 3 // 4),
        ("SELL", PRICE, 2, PRICE * 5 // 4),
        ("BUY", 3, 2, 3),
        ("SELL", 3, 2, 3),
    ],
)
def test_the_default_losscut_price_is_half_the_margin_away_rounded_toward_the_opening(
    side: str, price: int, leverage: int, expected: int
) -> None:
    assert default_losscut(side, price, leverage) == expected


def test_margin_figures_of_positions_and_orders() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="1000000")
        assert "marginRatio" not in await desk.margin()
        await desk.opened("BUY", "0.1")  # 500,000 of margin
        assert (await desk.lever("LIMIT", "BUY", "0.02", PRICE - 100_000))["status"] == 0  # 99,000
        desk.move(PRICE + 50_000)
        assert await desk.margin() == {
            "actualProfitLoss": "1005000",
            "availableAmount": "406000",
            "margin": "500000",
            "marginCallStatus": "NORMAL",
            "marginRatio": "201.0",
            "profitLoss": "5000",
            "transferableAmount": "406000",
        }

    virtual(scenario)


def test_a_valuation_gain_is_buying_power_for_positions_and_no_yen_to_spend() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="500000")
        await desk.opened("BUY", "0.1")
        desk.move(PRICE + 1_000_000)
        margin = await desk.margin()
        assert (margin["availableAmount"], margin["transferableAmount"], margin["profitLoss"]) == ("100000", "100000", "100000")
        assert (await desk.order("LIMIT", "BUY", "0.001", PRICE - 1_000))["status"] == 0
        assert (await desk.lever("MARKET", "BUY", "0.01"))["status"] == 0
        desk.move(PRICE)
        assert (await desk.margin())["availableAmount"] == "0"

    virtual(scenario)


@pytest.mark.parametrize(("assumed", "margin"), [("sum", "600000"), ("max", "400000")])
def test_a_hedge_needs_both_margins_or_the_larger_one(assumed: Any, margin: str) -> None:
    async def scenario() -> None:
        desk = LeverageDesk(assumptions=Assumptions(hedge_margin=assumed))
        desk.exchange.symbols[SYMBOL].book.replace([(PRICE, 1_000)], [(PRICE, 1_000)])
        await desk.opened("BUY", "0.08")
        await desk.opened("SELL", "0.04")
        assert (await desk.margin())["margin"] == margin

    virtual(scenario)


def test_corporations_may_have_another_leverage() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(assumptions=Assumptions(leverage=4))
        position = await desk.opened("BUY", "0.1")
        assert (await desk.margin())["margin"] == "250000"
        assert position.losscut == PRICE * 7 // 8

    virtual(scenario)


@pytest.mark.parametrize(("assumed", "gain"), [("last", "0"), ("quote", "-100")])
def test_positions_are_valued_at_the_last_price_or_the_quote_they_would_close_at(assumed: Any, gain: str) -> None:
    async def scenario() -> None:
        desk = LeverageDesk(assumptions=Assumptions(valuation=assumed))
        await desk.opened("BUY", "0.1")
        desk.quote(PRICE - 999)
        assert (await desk.margin())["profitLoss"] == gain

    virtual(scenario)


def test_buying_power_limits_new_positions_and_what_orders_tie_up_counts() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="1000000")
        assert code(await desk.lever("LIMIT", "SELL", "0.201", PRICE)) == "ERR-201"
        assert (await desk.lever("LIMIT", "SELL", "0.15", PRICE + 1_000))["status"] == 0
        assert code(await desk.lever("MARKET", "BUY", "0.05")) == "ERR-201"
        assert code(await desk.order("LIMIT", "BUY", "0.026", PRICE - 10)) == "ERR-201"
        assert (await desk.lever("MARKET", "BUY", "0.049"))["status"] == 0

    virtual(scenario)


def test_a_resting_order_that_lost_its_margin_is_cancelled_when_it_would_fill() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="1000000")
        socket = await desk.private_socket("orderEvents")
        await desk.opened("BUY", "0.1")
        assert (await desk.lever("LIMIT", "BUY", "0.1", PRICE - 500_000))["status"] == 0
        desk.quote(PRICE - 400_000)
        desk.trade("SELL", PRICE - 600_000, "1", SYMBOL)
        frame = (await frames(socket))[-1]
        assert (frame["orderStatus"], frame["cancelType"]) == ("CANCELED", "INSUFFICIENT_MARGIN")
        assert len(desk.positions) == 2, "what the margin still covered was filled"

    virtual(scenario)


def test_a_position_is_cut_at_its_losscut_price_with_the_fee() -> None:
    """§6.6: fee 0.5 % of open price x size; §8.5: settleType LOSS_CUT."""

    async def scenario() -> None:
        desk = LeverageDesk()
        socket = await desk.private_socket("executionEvents", "orderEvents", "positionEvents")
        position = await desk.opened("BUY", "0.1")
        close = int((await desk.close(position, "0.05", "LIMIT", PRICE + 1_000))["data"])
        own = int((await desk.lever("LIMIT", "BUY", "0.01", PRICE * 3 // 4 - 10))["data"])
        before = desk.account.jpy_uyen
        await frames(socket)
        desk.move(PRICE * 3 // 4 + 1)
        assert await frames(socket) == []
        desk.quote(PRICE * 3 // 4 - 100)
        desk.trade("SELL", PRICE * 3 // 4, "0.001", SYMBOL)
        found = await frames(socket)
        names = [(f["msgType"], f.get("orderStatus", ""), f.get("cancelType", ""), f.get("settleType", "")) for f in found]
        assert names == [
            ("COR", "CANCELED", "CLOSED_ORDER", "CLOSE"),
            ("UPR", "", "", ""),
            ("COR", "CANCELED", "POSITION_LOSSCUT", "OPEN"),
            ("NOR", "ORDERED", "", "LOSS_CUT"),
            ("UPR", "", "", ""),
            ("ER", "", "", "LOSS_CUT"),
            ("CPR", "", "", ""),
        ]
        assert (found[5]["fee"], found[5]["lossGain"]) == ("5000", "-250010.1")
        assert desk.account.jpy_uyen - before == -255_010_100_000
        rows = [await desk.shown(number) for number in (close, own, found[5]["orderId"])]
        assert [(row.get("cancelType"), row["orderType"], row["settleType"]) for row in rows] == [
            ("POSITION_LOSSCUT", "NORMAL", "CLOSE"),
            ("POSITION_LOSSCUT", "NORMAL", "OPEN"),
            (None, "LOSSCUT", "CLOSE"),
        ]

    virtual(scenario)


def test_a_short_position_is_cut_above_and_silently_if_so_assumed() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(assumptions=Assumptions(losscut_emits_new=False, losscut_fee=Decimal("0.01")))
        socket = await desk.private_socket("executionEvents", "orderEvents")
        await desk.opened("SELL", "0.1")
        await frames(socket)
        desk.move(PRICE * 5 // 4)
        found = await frames(socket)
        assert [(f["channel"], f["fee"]) for f in found] == [("executionEvents", "10000")]

    virtual(scenario)


def test_below_the_accounts_ratio_everything_goes() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="510000", listed=(btc_jpy(), btc_jpy(symbol="ETH_JPY")))
        desk.exchange.symbols["ETH_JPY"].book.replace([(PRICE, 1_000)], [(PRICE - 1, 1_000)])
        await desk.opened("BUY", "0.09")
        assert (await desk.lever("MARKET", "SELL", "0.01", symbol="ETH_JPY"))["status"] == 0
        resting = int((await desk.lever("LIMIT", "SELL", "0.001", PRICE + 5_000))["data"])
        desk.move(PRICE - 1_400_000)  # equity 384,000 of 500,000: 76.8 %
        assert len(desk.positions) == 2
        desk.move(PRICE - 1_501_000)  # equity 374,910: just below 75 %; closing the first alone would lift it again
        assert not desk.positions
        assert (await desk.shown(resting))["cancelType"] == "ACCOUNT_LOSSCUT"
        assert (await desk.margin())["marginCallStatus"] == "NORMAL"

    virtual(scenario)


def test_the_accounts_ratio_is_an_assumption() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="500000", assumptions=Assumptions(account_losscut_ratio=Decimal("0.5")))
        await desk.opened("BUY", "0.1")
        desk.move(PRICE - 2_400_000)
        assert len(desk.positions) == 1
        desk.move(PRICE - 2_500_000)
        assert not desk.positions

    virtual(scenario)


def test_a_losscut_without_a_book_waits_for_one() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="500000")
        await desk.opened("BUY", "0.1")
        book = desk.exchange.symbols[SYMBOL].book
        book.replace([], [(PRICE // 2, 30)])
        desk.trade("SELL", PRICE // 2, "0.001", SYMBOL)
        assert [position.lots for position in desk.positions] == [70]
        assert (await desk.margin())["marginCallStatus"] == "LOSSCUT"
        assert desk.account.jpy_uyen > 0
        desk.move(PRICE // 2)
        assert not desk.positions
        assert desk.account.jpy_uyen < 0 < desk.exchange.ledger.fees_uyen, "a gap can cost more than the purse"
        desk.exchange.check()

    virtual(scenario)


def _overnight(scenario: Callable[[LeverageDesk], Any], **options: Any) -> None:
    """Run a scenario with the exchange's own clockwork."""

    async def whole() -> None:
        desk = LeverageDesk(**options)
        running = asyncio.create_task(desk.exchange.run())
        await scenario(desk)
        desk.exchange.check()
        running.cancel()

    virtual(whole)


def test_positions_pay_the_fee_of_the_night_and_the_history_lists_it_a_minute_later() -> None:
    """§6.6, §5.5: 0.04 % a day of the valuation at 06:00 JST, long and short alike, listed at 06:01."""

    async def scenario(desk: LeverageDesk) -> None:
        long, short = await desk.opened("BUY", "0.1"), await desk.opened("SELL", "0.05")
        before = desk.account.jpy_uyen
        await asyncio.sleep(TO_SIX - 10)
        desk.move(PRICE + 100_000)
        await asyncio.sleep(60)
        assert desk.account.jpy_uyen == before
        history = ("GET", "/v1/account/exchangeFee/history", "fromDate=20250102")
        assert (await desk.private(*history))["data"] == {}
        assert (await desk.close(short, "0.05"))["status"] == 0, "closed after 06:00: it still pays"
        closed = desk.account.jpy_uyen
        await asyncio.sleep(20)
        assert closed - desk.account.jpy_uyen == 404_000_000 + 202_000_000
        rows = (await desk.private(*history))["data"]["list"]
        assert [(row["feeType"], row["amount"], row["positionId"]) for row in rows] == [
            ("LEVERAGE_FEE", "404", long.position_id),
            ("LEVERAGE_FEE", "202", short.position_id),
        ]
        assert {row["deliveryDatetime"] for row in rows} == {"2025-01-01T21:01:00.000Z"}
        await asyncio.sleep(3 * 24 * HOUR)
        assert len(desk.account.flows) == 5, "every day, weekends included"

    _overnight(scenario)


def test_fee_history_is_asked_by_trading_day_and_paged_by_a_cursor() -> None:
    async def scenario(desk: LeverageDesk) -> None:
        await desk.opened("BUY", "0.1")
        await asyncio.sleep(TO_SIX + 2 * 24 * HOUR + 120)

        async def ask(query: str) -> Any:
            return await desk.private("GET", "/v1/account/exchangeFee/history", query)

        page = (await ask("fromDate=20250102&toDate=20250104&count=2"))["data"]
        assert len(page["list"]) == 2
        assert [row["fee"] for row in page["list"]] == ["400", "400"]
        rest = (await ask(f"fromDate=20250102&toDate=20250104&count=2&cursor={page['next']}"))["data"]
        assert len(rest["list"]) == 1
        assert "next" not in rest
        assert len((await ask("fromDate=20250103&toDate=20250103"))["data"]["list"]) == 1
        assert (await ask("fromDate=20241227&toDate=20250102"))["status"] == 0, "seven days"
        for query in (
            "",
            "fromDate=2025",
            "fromDate=20251399",
            "fromDate=20250102&toDate=20250101",
            "fromDate=20241226&toDate=20250102",
            "fromDate=20250110",
            "fromDate=20250102&count=101",
            "fromDate=20250102&cursor=x",
        ):
            assert code(await ask(query)) == "ERR-5106"

    _overnight(scenario, assumptions=Assumptions(fee_amount_key="fee", fee_cursor_key="next"))


def test_fee_rate_and_delay_are_assumptions() -> None:
    async def scenario(desk: LeverageDesk) -> None:
        await desk.opened("BUY", "0.1")
        before = desk.account.jpy_uyen
        await asyncio.sleep(TO_SIX + 1)
        assert before - desk.account.jpy_uyen == 1_000_000_000

    _overnight(scenario, assumptions=Assumptions(leverage_fee=Decimal("0.001"), leverage_fee_delay_seconds=0.0))


def test_a_fee_can_be_what_brings_an_account_below_its_ratio() -> None:
    async def scenario(desk: LeverageDesk) -> None:
        await desk.opened("BUY", "0.1")
        desk.move(PRICE - 1_250_000)
        assert len(desk.positions) == 1
        await asyncio.sleep(TO_SIX + 61)
        assert not desk.positions

    _overnight(scenario, jpy="500000")


async def _called(desk: LeverageDesk) -> None:
    """Bring an account to 06:30 JST at a ratio between losscut and call."""
    await desk.opened("BUY", "0.1")
    desk.move(PRICE - 800_000)  # 84 %
    await asyncio.sleep(TO_SIX + 1_800)


def test_a_margin_call_is_judged_at_half_past_six_and_stops_new_positions() -> None:
    """§6.6, ERR-682 and ERR-683."""

    async def scenario(desk: LeverageDesk) -> None:
        await _called(desk)
        assert (await desk.margin())["marginCallStatus"] == "MARGIN_CALL"
        assert code(await desk.lever("MARKET", "SELL", "0.001")) == "ERR-683"
        await asyncio.sleep(1.0)
        assert code(await desk.lever("MARKET", "SELL", "0.001")) == "ERR-682"
        transfer = {"amount": "1", "transferType": "WITHDRAWAL"}
        assert code(await desk.private("POST", "/v1/account/transfer", body=transfer)) == "ERR-5133"
        assert (await desk.order("MARKET", "SELL", "0.001"))["status"] == 0, "spot goes on"
        assert (await desk.close(desk.positions[0], "0.05"))["status"] == 0
        assert (await desk.margin())["marginCallStatus"] == "NORMAL", "closing a half meets the call"

    _overnight(scenario, accounts={KEY: customer(jpy="500000", coins="0.5")})


def test_an_unmet_margin_call_closes_everything_at_its_deadline() -> None:
    async def scenario(desk: LeverageDesk) -> None:
        await _called(desk)
        await asyncio.sleep(5 * HOUR - 10)
        assert len(desk.positions) == 1
        socket = await desk.private_socket("executionEvents")
        found = await frames(socket, 20.0)
        assert [(f["settleType"], f["fee"]) for f in found] == [("LOSS_CUT", "5000")]
        assert not desk.positions
        assert (await desk.margin())["marginCallStatus"] == "NORMAL"

    _overnight(scenario, jpy="500000", assumptions=Assumptions(margin_call_hours=5.0))


def test_opening_orders_are_cancelled_by_a_call_and_a_deposit_meets_it() -> None:
    async def scenario(desk: LeverageDesk) -> None:
        resting = int((await desk.lever("LIMIT", "SELL", "0.001", PRICE + 1_000))["data"])
        await _called(desk)
        assert (await desk.shown(resting))["cancelType"] == "MARGIN_CALL"
        desk.exchange.cash.deposit(desk.account, "JPY", 100_000_000_000)
        assert (await desk.margin())["marginCallStatus"] == "NORMAL"
        await asyncio.sleep(30 * HOUR)
        assert len(desk.positions) == 1
        desk.move(PRICE - 1_900_000)
        await asyncio.sleep(18 * HOUR)
        assert (await desk.margin())["marginCallStatus"] == "MARGIN_CALL", "a day that is met does not excuse the next"
        await asyncio.sleep(25 * HOUR)
        assert not desk.positions

    _overnight(scenario, jpy="510000")


def test_the_ratio_of_a_call_is_an_assumption() -> None:
    async def scenario(desk: LeverageDesk) -> None:
        await _called(desk)
        assert (await desk.margin())["marginCallStatus"] == "NORMAL"
        assert (await desk.lever("LIMIT", "SELL", "0.001", PRICE))["status"] != 0  # no buying power, but no call

    _overnight(scenario, jpy="500000", assumptions=Assumptions(margin_call_ratio=Decimal("0.8"), margin_call_processing_seconds=0.0))


def test_days_and_weeks_turn_at_six() -> None:
    assert day_of("19700104") % 7 == 3
    sunday = START_NS + int((4 * 24 - 3) * HOUR) * 10**9  # Sunday 5 January 2025, 06:00 JST
    assert trading_week(sunday) == trading_week(sunday - 1) + 1 == trading_week(sunday + int(7 * 24 * HOUR) * 10**9 - 1)


def _lose_a_lot(desk: LeverageDesk) -> None:
    desk.positions[0].lots -= 1


def _forget_a_reservation(desk: LeverageDesk) -> None:
    desk.positions[0].reserved = 0


def _forget_a_position(desk: LeverageDesk) -> None:
    desk.account.positions.clear()


def _miscount_a_total(desk: LeverageDesk) -> None:
    next(iter(desk.account.totals.values())).cost += 1


def _lose_a_gain(desk: LeverageDesk) -> None:
    desk.account.executions[-1].loss_gain_uyen += 1


def _lose_a_flow(desk: LeverageDesk) -> None:
    desk.account.flows.clear()


def _miscount_waiting(desk: LeverageDesk) -> None:
    desk.account.waiting[SYMBOL, "BUY"] += 1


@pytest.mark.parametrize(
    "damage", [_lose_a_lot, _forget_a_reservation, _forget_a_position, _miscount_a_total, _lose_a_gain, _lose_a_flow, _miscount_waiting]
)
def test_damage_to_positions_is_noticed(damage: Callable[[LeverageDesk], None]) -> None:
    async def scenario() -> None:
        desk = LeverageDesk()
        desk.exchange.cash.deposit(desk.account, "JPY", 1_000_000)
        position = await desk.opened("BUY", "0.1")
        await desk.close(position, "0.04", "LIMIT", PRICE + 1_000)
        await desk.close(position, "0.04")
        desk.exchange.check()
        damage(desk)
        with pytest.raises(LedgerBrokenError):
            desk.exchange.check()

    virtual(scenario)

"""Endpoints about the account: histories, transfers, volumes, tiers, caps (reference §3.1, §5.2 to §5.6, §6.3, §9)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.emulator.leverage import SYMBOL, LeverageDesk
from tests.emulator.support import KEY, PRICE, START_NS, Desk, btc_jpy, code, customer, frames, virtual

from gmobot.core.instrument import UYEN_PER_YEN
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.checks import Refusal
from gmobot.emulator.engine.days import trading_week

FROM = "fromTimestamp=2025-01-01T00:00:00.000Z"


async def _history(desk: Desk, kind: str, query: str) -> Any:
    return await desk.private("GET", f"/v1/account/{kind}/history", query)


def test_fiat_and_coins_that_came_and_went_are_listed_by_half_hours() -> None:
    """§5.4: a bare array, a window of thirty minutes."""

    async def scenario() -> None:
        desk = Desk()
        cash = desk.exchange.cash
        await asyncio.sleep(60.0)
        cash.deposit(desk.account, "JPY", 50_000 * UYEN_PER_YEN)
        cash.withdraw(desk.account, "JPY", 20_000 * UYEN_PER_YEN)
        cash.deposit(desk.account, "BTC", 95_030)
        cash.withdraw(desk.account, "BTC", 30)
        desk.exchange.check()
        at = "2025-01-01T00:01:00.000Z"
        fiat = {"fee": "0", "status": "EXECUTED", "symbol": "JPY", "timestamp": at}
        assert (await _history(desk, "fiatDeposit", FROM))["data"] == [{"amount": "50000"} | fiat]
        assert (await _history(desk, "fiatWithdrawal", FROM))["data"] == [{"amount": "20000"} | fiat]
        (coins,) = (await _history(desk, "deposit", f"symbol=BTC&{FROM}"))["data"]
        assert (coins["amount"], coins["symbol"], coins["timestamp"], coins["status"]) == ("0.9503", "BTC", at, "EXECUTED")
        assert {"address", "txHash"} <= set(coins)
        assert [row["amount"] for row in (await _history(desk, "withdrawal", f"symbol=BTC&{FROM}"))["data"]] == ["0.0003"]
        assert (await _history(desk, "fiatDeposit", f"{FROM}&toTimestamp=2025-01-01T00:00:59.999Z"))["data"] == []
        assert (await _history(desk, "fiatDeposit", "fromTimestamp=2025-01-01T00:01:00.001Z"))["data"] == []

    virtual(scenario)


@pytest.mark.parametrize("kind", ["fiatDeposit", "fiatWithdrawal", "deposit", "withdrawal"])
def test_bad_windows_have_their_codes(kind: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        symbol = "" if kind.startswith("fiat") else "symbol=BTC&"
        assert code(await _history(desk, kind, symbol)) == "ERR-5106"
        assert code(await _history(desk, kind, f"{symbol}fromTimestamp=yesterday")) == "ERR-5106"
        assert code(await _history(desk, kind, f"{symbol}{FROM}&toTimestamp=2025-01-01T00:30:00.001Z")) == "ERR-846"
        assert code(await _history(desk, kind, f"{symbol}{FROM}&toTimestamp=2024-12-31T00:00:00.000Z")) == "ERR-5106"
        assert (await _history(desk, kind, f"{symbol}{FROM}&toTimestamp=2025-01-01T00:30:00.000Z"))["data"] == []
        if symbol:
            assert code(await _history(desk, kind, FROM)) == "ERR-5106"

    virtual(scenario)


def test_what_is_tied_up_cannot_be_withdrawn() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.placed("LIMIT", "SELL", "0.5", PRICE + 1_000)
        for asset, amount, expected in (("BTC", 1, "ERR-208"), ("JPY", 10_000_001 * UYEN_PER_YEN, "ERR-201")):
            with pytest.raises(Refusal) as refused:
                desk.exchange.cash.withdraw(desk.account, asset, amount)
            assert refused.value.code == expected

    virtual(scenario)


async def _transfer(desk: Desk, amount: object, kind: str = "WITHDRAWAL") -> Any:
    answer = await desk.private("POST", "/v1/account/transfer", body={"amount": amount, "transferType": kind})
    desk.exchange.check()
    return answer


def test_transfers_move_yen_out_and_back_once_in_three_minutes() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert code(await _transfer(desk, "10000001")) == "ERR-754"
        assert (await _transfer(desk, "100000"))["data"] == [{"transferredAmount": "100000"}]
        assert desk.account.jpy_uyen == 9_900_000 * UYEN_PER_YEN
        again = await _transfer(desk, "1")
        assert (code(again), again["status"]) == ("ERR-5003", 4)
        await asyncio.sleep(180.0)
        assert code(await _transfer(desk, "100001", "DEPOSIT")) == "ERR-754"
        assert (await _transfer(desk, "40000", "DEPOSIT"))["status"] == 0
        assert (desk.account.jpy_uyen, desk.account.fx_uyen) == (9_940_000 * UYEN_PER_YEN, 60_000 * UYEN_PER_YEN)
        for amount, kind in (("0", "DEPOSIT"), ("1.5", "DEPOSIT"), ("x", "DEPOSIT"), ("1", "GIFT")):
            assert code(await _transfer(desk, amount, kind)) == "ERR-5106"

    virtual(scenario)


def test_the_fee_history_lists_fees_of_trades_if_so_assumed() -> None:
    """§5.5: rows have a ``feeType``, and only that of leverage fees has been seen."""

    async def scenario(lists: bool) -> None:
        desk = Desk(assumptions=Assumptions(fee_history_lists_trades=lists))
        taken = await desk.placed("MARKET", "BUY", "0.01")
        await desk.placed("LIMIT", "BUY", "0.01", PRICE - 100)
        desk.trade("SELL", PRICE - 200, "1")
        (fill,) = desk.account.orders[taken].executions
        data = (await desk.private("GET", "/v1/account/exchangeFee/history", "fromDate=20250101"))["data"]
        rows = [(row["feeType"], row["symbol"], row["amount"], "positionId" in row) for row in data.get("list", [])]
        assert fill.fee_uyen > 0
        assert rows == (
            [("TRADE_FEE", "BTC", str(fill.fee_uyen // UYEN_PER_YEN), False), ("TRADE_FEE", "BTC", "-10", False)] if lists else []
        )

    virtual(lambda: scenario(lists=False))
    virtual(lambda: scenario(lists=True))


def test_transfers_under_other_assumptions() -> None:
    async def scenario() -> None:
        closed = Desk(assumptions=Assumptions(fx_account_open=False))
        assert code(await _transfer(closed, "1")) == "ERR-5135"
        turned = Desk(assumptions=Assumptions(transfer_withdrawal_leaves=False, transfer_seconds=0.0))
        assert code(await _transfer(turned, "1")) == "ERR-754"
        assert (await _transfer(turned, "7", "DEPOSIT"))["status"] == 0
        assert (await _transfer(turned, "7"))["status"] == 0
        assert turned.account.jpy_uyen == 10_000_000 * UYEN_PER_YEN

    virtual(scenario)


def test_the_volume_of_the_week_and_what_the_day_leaves() -> None:
    """§5.3: the leverage symbol is written with a slash in the official sample; the week turns on Sunday 06:00 JST."""

    async def scenario(slash: bool) -> None:
        desk = LeverageDesk(assumptions=Assumptions(limit_slash=slash))
        desk.book.replace([(PRICE, 10_000)], [(PRICE - 10, 10_000)])
        await desk.placed("MARKET", "BUY", "0.02")
        await desk.placed("LIMIT", "SELL", "0.01", PRICE + 1_000)
        await desk.opened("BUY", "0.1")
        assert (await desk.close(desk.positions[0], "0.1"))["status"] == 0
        await desk.opened("SELL", "0.1")
        data = (await desk.private("GET", "/v1/account/tradingVolume"))["data"]
        assert (data["jpyVolume"], data["tierLevel"]) == ("3199999", 1)
        assert data["limit"] == [
            {"symbol": "BTC", "todayLimitBuySize": "99.98", "todayLimitSellSize": "99.99", "takerFee": "0.0005", "makerFee": "-0.0001"},
            {"symbol": "BTC/JPY" if slash else SYMBOL, "todayLimitOpenSize": "2999.8", "takerFee": "0", "makerFee": "0"},
        ]
        await asyncio.sleep(5 * 86_400.0)
        data = (await desk.private("GET", "/v1/account/tradingVolume"))["data"]
        assert (data["jpyVolume"], data["limit"][0]["todayLimitBuySize"]) == ("0", "100")

    virtual(lambda: scenario(slash=True))
    virtual(lambda: scenario(slash=False))


@pytest.mark.parametrize(
    ("yen", "third", "tier", "allowed"),
    [(999_999_999, True, 1, 4), (10**9, True, 2, 6), (2 * 10**9, True, 3, 10), (2 * 10**9, False, 2, 6)],
)
def test_last_weeks_volume_gives_the_tier_and_its_allowance(yen: int, third: bool, tier: int, allowed: int) -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(third_tier=third, private_per_second=4, reply_seconds=0.0))
        desk.account.volumes[trading_week(START_NS) - 1] = yen * UYEN_PER_YEN
        answers = [await desk.private("GET", "/v1/account/tradingVolume") for _ in range(allowed + 1)]
        assert answers[0]["data"]["tierLevel"] == tier
        assert [answer["status"] for answer in answers] == [0] * allowed + [4]

    virtual(scenario)


def test_caps_of_the_day_and_of_positions() -> None:
    """§6.3; the code of such a refusal is not documented."""

    async def scenario() -> None:
        small = btc_jpy(max_size=Decimal("0.1"))
        desk = LeverageDesk(jpy="100000000", listed=(small,), assumptions=Assumptions(day_cap_leverage=4, position_cap=2, day_cap_spot=1))
        await desk.opened("BUY", "0.1")
        assert (await desk.lever("LIMIT", "BUY", "0.05", PRICE - 1_000))["status"] == 0
        assert code(await desk.lever("MARKET", "BUY", "0.051")) == "ERR-5126"
        await desk.opened("SELL", "0.1")
        await desk.opened("SELL", "0.1")
        assert (await desk.lever("MARKET", "BUY", "0.05"))["status"] == 0
        assert code(await desk.lever("MARKET", "BUY", "0.001")) == "ERR-5126"
        assert (await desk.close(desk.positions[0], "0.1"))["status"] == 0, "closing is never capped"
        assert (await desk.order("LIMIT", "BUY", "5", PRICE - 1_000))["status"] == 0
        assert code(await desk.order("LIMIT", "BUY", "0.001", PRICE - 1_000)) == "ERR-5126"
        other = Desk(assumptions=Assumptions(day_cap_spot=0, cap_code="ERR-208"))
        assert code(await other.order("LIMIT", "BUY", "0.001", PRICE - 1_000)) == "ERR-208"

    virtual(scenario)


def test_a_market_sell_may_make_room_for_itself() -> None:
    """§5.13, cancelBefore: spot, MARKET, FAK, SELL; the oldest orders go first, and only as many as it takes."""

    async def scenario() -> None:
        desk = LeverageDesk()
        desk.book.replace([(PRICE + 10, 100_000)], [(PRICE, 100_000)])
        older = [await desk.placed("LIMIT", "SELL", "0.2", PRICE + 1_000) for _ in range(2)]
        body = {"symbol": "BTC", "side": "SELL", "executionType": "MARKET", "size": "0.25", "cancelBefore": True}
        socket = await desk.private_socket("orderEvents")
        assert code(await desk.private("POST", "/v1/order", body=body | {"size": "0.50001"})) == "ERR-208"
        assert (await desk.private("POST", "/v1/order", body=body))["status"] == 0
        assert [desk.account.orders[number].status for number in older] == ["CANCELED", "ORDERED"]
        assert [frame["cancelType"] for frame in await frames(socket)] == ["USER"]
        for change in (
            {"side": "BUY"},
            {"executionType": "LIMIT", "price": str(PRICE)},
            {"cancelBefore": "true"},
            {"symbol": SYMBOL},
        ):
            assert code(await desk.private("POST", "/v1/order", body=body | change)) == "ERR-5106"
        desk.exchange.check()

    virtual(scenario)


def test_coins_that_only_leverage_trades_are_listed_with_nothing() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(accounts={KEY: customer()}, listed=(btc_jpy(), btc_jpy(symbol="ETH_JPY")))
        rows = (await desk.private("GET", "/v1/account/assets"))["data"]
        assert [(row["symbol"], row["amount"]) for row in rows] == [("JPY", "10000000"), ("BTC", "0.5"), ("ETH", "0")]

    virtual(scenario)

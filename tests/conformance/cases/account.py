"""The account: margin, balances, volumes, histories, transfer (§5.1 to §5.6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.conformance.registry import Production, case
from tests.conformance.shapes import ASSET, MARGIN, decimal, fits, moment, number, percent, text, word
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

KEYS = Production.KEYS
_FEES = {"takerFee": decimal, "makerFee": decimal, "symbol": text}
_FIAT = {"amount": decimal, "fee": decimal, "status": word("EXECUTED"), "symbol": text, "timestamp": moment}
_CRYPTO = _FIAT | {"address": text, "txHash": text}
_FEE = {"feeType": word("LEVERAGE_FEE"), "symbol": text, "positionId": number, "amount": decimal, "deliveryDatetime": moment}


def stamp(target: Target, minutes: float = 0.0) -> str:
    """Return a moment so many minutes from now as histories want it."""
    at = datetime.fromtimestamp(target.now_ms() / 1_000, UTC) + timedelta(minutes=minutes)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1_000:03d}Z"


def day(target: Target, days: int = 0) -> str:
    """Return a trading day's date."""
    return f"{datetime.fromtimestamp(target.now_ms() / 1_000, UTC) + timedelta(hours=3, days=days):%Y%m%d}"


@case(301, "§5.1", "margin: keys and types; marginRatio only with a position", production=KEYS)
async def margin(t: Target) -> None:
    fits((await t.customer.read("account/margin")).data, MARGIN, maybe={"marginRatio": percent})


@case(302, "§5.1", "margin of an account without a position is its yen")
async def margin_idle(t: Target) -> None:
    assert await t.customer.margin() == {
        "actualProfitLoss": "10000000", "availableAmount": "10000000", "margin": "0", "marginCallStatus": "NORMAL", "profitLoss": "0",
        "transferableAmount": "10000000",
    }  # fmt: skip


@case(303, "§5.1", "margin with a position: half of what was opened, the valuation, the ratio with one decimal")
async def margin_with_position(t: Target) -> None:
    await t.customer.opened("BUY", "0.1")
    t.stage.move("BTC_JPY", "10101000")
    found = await t.customer.margin()
    assert (found["margin"], found["profitLoss"], found["actualProfitLoss"]) == ("500050", "10000", "10010000")
    assert found["availableAmount"] == str(10_010_000 - 500_050)
    assert found["marginRatio"] == "2001.7"
    assert int(found["transferableAmount"]) <= min(10_000_000, int(found["availableAmount"]))


@case(304, "§5.2", "assets: yen first, every currency, zero balances included", production=KEYS)
async def assets(t: Target) -> None:
    rows = (await t.customer.read("account/assets")).data
    for row in rows:
        fits(row, ASSET)
    assert rows[0]["symbol"] == "JPY"
    assert rows[0]["conversionRate"] == "1"
    assert len({row["symbol"] for row in rows}) == len(rows) >= 2


@case(305, "§5.2", "assets follow fills: coins, yen, and the taker's fee of 0.05 %")
async def assets_follow(t: Target) -> None:
    await t.customer.placed("MARKET", "BUY", "0.1")
    assert (await t.customer.balance("BTC"))["amount"] == "1.1"
    assert (await t.customer.balance("JPY"))["amount"] == str(10_000_000 - 1_000_100 - 500)


@case(306, "§5.2", "assets: open orders lower available, and give it back when they are cancelled")
async def assets_reserved(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "SELL", "0.4", ask("BTC", 5))
    assert (await t.customer.balance("BTC"))["available"] == "0.6"
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    assert (await t.customer.balance("BTC"))["available"] == "1"


@case(307, "§5.2", "assets: whether open orders lower available is open", available_reserves=False)
async def assets_not_reserved(t: Target) -> None:
    await t.customer.placed("LIMIT", "SELL", "0.4", ask("BTC", 5))
    await t.customer.placed("LIMIT", "BUY", "0.1", bid("BTC", 5))
    assert (await t.customer.balance("BTC"))["available"] == "1"
    assert (await t.customer.balance("JPY"))["available"] == "10000000"


@case(308, "§5.3", "tradingVolume: jpyVolume, tierLevel as a number, a row of every symbol", production=KEYS)
async def trading_volume(t: Target) -> None:
    data = (await t.customer.read("account/tradingVolume")).data
    fits(data, {"jpyVolume": decimal, "tierLevel": number, "limit": lambda rows: isinstance(rows, list)})
    assert data["tierLevel"] in (1, 2, 3)
    for row in data["limit"]:
        leverage = "todayLimitOpenSize" in row
        sizes = ("todayLimitOpenSize",) if leverage else ("todayLimitBuySize", "todayLimitSellSize")
        fits(row, _FEES | dict.fromkeys(sizes, decimal))


@case(309, "§5.3", "tradingVolume counts fills, and today's limits shrink by them")
async def trading_volume_counts(t: Target) -> None:
    before = {row["symbol"]: row for row in (await t.customer.read("account/tradingVolume")).data["limit"]}
    await t.customer.placed("MARKET", "BUY", "0.1")
    data = (await t.customer.read("account/tradingVolume")).data
    after = {row["symbol"]: row for row in data["limit"]}
    assert data["jpyVolume"] == "1000100"
    assert Decimal(before["BTC"]["todayLimitBuySize"]) - Decimal(after["BTC"]["todayLimitBuySize"]) == Decimal("0.1")
    assert before["BTC"]["todayLimitSellSize"] == after["BTC"]["todayLimitSellSize"]


@case(310, "§5.3", "tradingVolume may spell leverage symbols with a slash or like everywhere else", limit_slash=False)
async def trading_volume_spelling(t: Target) -> None:
    symbols = {row["symbol"] for row in (await t.customer.read("account/tradingVolume")).data["limit"]}
    assert "BTC_JPY" in symbols
    assert not any("/" in symbol for symbol in symbols)


@case(311, "§5.4", "fiatDeposit and fiatWithdrawal history: a bare array of rows within the window")
async def fiat_history(t: Target) -> None:
    t.stage.deposit("JPY", "50000")
    t.stage.withdraw("JPY", "20000")
    await t.pause(1.0)
    for kind, amount in (("fiatDeposit", "50000"), ("fiatWithdrawal", "20000")):
        (row,) = (await t.customer.read(f"account/{kind}/history", fromTimestamp=stamp(t, -10), toTimestamp=stamp(t))).data
        fits(row, _FIAT)
        assert (row["amount"], row["symbol"]) == (amount, "JPY")


@case(312, "§5.4", "deposit and withdrawal history of a coin: address and txHash")
async def crypto_history(t: Target) -> None:
    t.stage.deposit("BTC", "0.25")
    t.stage.withdraw("BTC", "0.125")
    await t.pause(1.0)
    for kind, amount in (("deposit", "0.25"), ("withdrawal", "0.125")):
        (row,) = (await t.customer.read(f"account/{kind}/history", symbol="BTC", fromTimestamp=stamp(t, -10))).data
        fits(row, _CRYPTO)
        assert (row["amount"], row["symbol"]) == (amount, "BTC")


@case(313, "§5.4", "an empty history is an empty array", production=KEYS)
async def empty_history(t: Target) -> None:
    data = (await t.customer.read("account/fiatDeposit/history", fromTimestamp=stamp(t, -1))).data
    assert isinstance(data, list)


@case(314, "§5.4", "a window of more than thirty minutes is refused", codes="ERR-846", production=KEYS)
async def history_window(t: Target) -> None:
    answer = await t.customer.read("account/fiatDeposit/history", fromTimestamp=stamp(t, -31), toTimestamp=stamp(t))
    assert answer.refused("ERR-846") == "Time period has exceeded 30 minutes."


@case(315, "§5.4", "without fromTimestamp, or a symbol for coins, the parameter is invalid", codes="ERR-5106", production=KEYS)
async def history_parameters(t: Target) -> None:
    assert "fromTimestamp" in (await t.customer.read("account/fiatDeposit/history")).refused("ERR-5106")
    assert "symbol" in (await t.customer.read("account/deposit/history", fromTimestamp=stamp(t, -1))).refused("ERR-5106")


@case(316, "§5.4", "without toTimestamp the window is thirty minutes from its beginning")
async def history_default(t: Target) -> None:
    t.stage.deposit("JPY", "1000")
    first = stamp(t, -1)
    await t.pause(31 * 60)
    t.stage.deposit("JPY", "2000")
    rows = (await t.customer.read("account/fiatDeposit/history", fromTimestamp=first)).data
    assert [row["amount"] for row in rows] == ["1000"]


@case(317, "§5.5", "exchangeFee history lists the leverage fee a minute after the trading day has turned")
async def exchange_fees(t: Target) -> None:
    position = await t.customer.opened("BUY", "0.1")
    t.stage.move("BTC_JPY", "10100000")
    await t.pause(86_400)
    (row,) = (await t.customer.read("account/exchangeFee/history", fromDate=day(t, -1), toDate=day(t))).rows
    fits(row, _FEE)
    assert (row["positionId"], row["amount"]) == (position, "404")
    assert row["deliveryDatetime"][11:] == "21:01:00.000Z"
    assert (await t.customer.balance("JPY"))["amount"] == str(10_000_000 - 404)


@case(318, "§5.5", "exchangeFee history goes on with the cursor of the reply before")
async def exchange_fees_cursor(t: Target) -> None:
    positions = [await t.customer.opened("BUY", "0.001") for _ in range(3)]
    await t.pause(86_400)
    dates = {"fromDate": day(t, -1), "toDate": day(t)}
    first = (await t.customer.read("account/exchangeFee/history", **dates, count=2)).data
    second = (await t.customer.read("account/exchangeFee/history", **dates, count=2, cursor=first["nextCursor"])).data
    assert [row["positionId"] for row in first["list"] + second["list"]] == positions
    assert "nextCursor" not in second


@case(319, "§5.5", "exchangeFee history: at most seven days, not in the future, fromDate required", codes="ERR-5106")
async def exchange_fees_dates(t: Target) -> None:
    for dates in ({"fromDate": day(t, -8), "toDate": day(t)}, {"fromDate": day(t, 1)}, {"fromDate": "2026-1-1"}, {}):
        (await t.customer.read("account/exchangeFee/history", **dates)).refused("ERR-5106")
    assert (await t.customer.read("account/exchangeFee/history", fromDate=day(t, -6), toDate=day(t))).data == {}


@case(320, "§5.6", "transfer moves yen out and back", transfer_seconds=0.0)
async def transfer(t: Target) -> None:
    answer = await t.customer.post("account/transfer", {"amount": "100000", "transferType": "WITHDRAWAL"})
    assert answer.data == [{"transferredAmount": "100000"}]
    assert (await t.customer.balance("JPY"))["amount"] == "9900000"
    assert (await t.customer.post("account/transfer", {"amount": "40000", "transferType": "DEPOSIT"})).data
    assert (await t.customer.balance("JPY"))["amount"] == "9940000"


@case(321, "§5.6", "transfer of more than transferableAmount is refused, with a position less can be moved", codes="ERR-754")
async def transfer_too_much(t: Target) -> None:
    await t.customer.opened("BUY", "0.1")
    able = int((await t.customer.margin())["transferableAmount"])
    (await t.customer.post("account/transfer", {"amount": str(able + 1), "transferType": "WITHDRAWAL"})).refused("ERR-754")
    assert (await t.customer.post("account/transfer", {"amount": str(able), "transferType": "WITHDRAWAL"})).data


@case(322, "§3.1", "transfer is served once in three minutes", codes="ERR-5003")
async def transfer_pause(t: Target) -> None:
    body = {"amount": "1000", "transferType": "WITHDRAWAL"}
    assert (await t.customer.post("account/transfer", body)).data
    assert (await t.customer.post("account/transfer", body)).code == "ERR-5003"
    await t.pause(180.0)
    assert (await t.customer.post("account/transfer", body)).data


@case(323, "§5.6", "transfer without an FX account is refused", codes="ERR-5135", fx_account_open=False)
async def transfer_nowhere(t: Target) -> None:
    (await t.customer.post("account/transfer", {"amount": "1000", "transferType": "WITHDRAWAL"})).refused("ERR-5135")


@case(324, "§5.6", "transfer: a kind nobody knows, or an amount that is none, is invalid", codes="ERR-5106")
async def transfer_parameters(t: Target) -> None:
    assert "transferType" in (await t.customer.post("account/transfer", {"amount": "1", "transferType": "LOAN"})).refused("ERR-5106")
    for amount in ("0", "-1", "0.5", "much"):
        answer = await t.customer.post("account/transfer", {"amount": amount, "transferType": "DEPOSIT"})
        assert "amount" in answer.refused("ERR-5106")

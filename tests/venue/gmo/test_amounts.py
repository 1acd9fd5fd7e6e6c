"""Amounts that micro-yen cannot hold: no answer, that says which and where, and nothing that ends the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gmobot.clock import NS_PER_SECOND
from gmobot.errors import Category, Unavailable
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.rest import GmoRest

from ..exchange import CREDENTIALS
from ..virtual import VirtualClock, run_virtually
from .bench import Bench, on_bench
from .scripted import Scripted, said
from .test_wire import EXECUTION, execution

FINER = "0.0000001"
BEYOND = "4611686018428"
DAY = date(2026, 1, 1)
AT = {"timestamp": "2026-01-01T00:00:00.000Z"}
FLOW = {"amount": "1", "fee": "0", "status": "EXECUTED", "symbol": "JPY", **AT}
Ask = Callable[[GmoRest], Awaitable[Any]]


def asset(amount: str, symbol: str = "JPY") -> dict[str, str]:
    return {"symbol": symbol, "amount": amount, "available": amount, "conversionRate": "1"}


def answered(ask: Ask, data: Any) -> Any:
    """Ask a client whose exchange answers with this."""

    async def run() -> Any:
        return await ask(GmoRest(Scripted(said(data)), VirtualClock(), credentials=CREDENTIALS))

    return run_virtually(run())


def deposits(rest: GmoRest) -> Awaitable[Any]:
    return rest.fiat_deposits(0, 60 * NS_PER_SECOND)


@pytest.mark.parametrize("amount", [FINER, BEYOND, "-" + BEYOND])
@pytest.mark.parametrize(
    ("ask", "row", "where"),
    [
        (lambda rest: rest.assets(), lambda amount: [asset(amount)], "GET /v1/account/assets: .*balance of JPY"),
        (deposits, lambda amount: [FLOW | {"amount": amount.removeprefix("-")}], "fiatDeposit/history: .*amount of 2026-01-01T"),
        (deposits, lambda amount: [FLOW | {"fee": amount}], "fiatDeposit/history: .*fee of 2026-01-01T"),
        (
            lambda rest: rest.exchange_fees(DAY, DAY),
            lambda amount: [{"feeType": "LEVERAGE_FEE", "amount": amount}],
            r"exchangeFee/history: .*\(fee: ",
        ),
        (
            lambda rest: rest.exchange_fees(DAY, DAY),
            lambda amount: [{"feeType": "LEVERAGE_FEE", "amount": amount, **AT}],
            "exchangeFee/history: .*fee of 2026-01-01T",
        ),
    ],
)
def test_what_cannot_be_held_is_no_answer_and_named(ask: Ask, row: Callable[[str], Any], where: str, amount: str) -> None:
    with pytest.raises(Unavailable, match=where) as caught:
        answered(ask, row(amount))
    assert amount.removeprefix("-") in str(caught.value)
    assert caught.value.category is Category.EXCHANGE


def test_other_nonsense_is_still_called_by_its_kind_only() -> None:
    with pytest.raises(Unavailable, match=r"unexpected shape \(ValidationError\)"):
        answered(lambda rest: rest.assets(), [asset("secret")])


def test_coins_may_be_finer_than_any_yen() -> None:
    assert answered(lambda rest: rest.assets(), [asset("0.000000000000000001", "ETH")])[0].amount == Decimal("1E-18")
    coins = FLOW | {"symbol": "ETH", "amount": "0.000000000000000001", "fee": "0.00000001"}
    (row,) = answered(lambda rest: rest.deposits("ETH", 0, 60 * NS_PER_SECOND), [coins])
    assert (row.amount, row.fee) == (Decimal("1E-18"), Decimal("1E-8"))


def test_a_withdrawal_without_a_fee_has_none() -> None:
    (row,) = answered(deposits, [{name: value for name, value in FLOW.items() if name != "fee"}])
    assert row.fee is None


@pytest.mark.parametrize("field", ["fee", "lossGain"])
def test_a_fill_s_money_may_be_fine_but_not_beyond_all_books(field: str) -> None:
    fine = execution(**{field: FINER})
    assert Decimal(FINER) in (fine.fee_jpy, fine.realized_pnl_jpy)
    with pytest.raises(wire.MALFORMED, match=BEYOND):
        execution(**{field: BEYOND})
    row = {"executionId": 1, "orderId": 2, "symbol": "BTC", "side": "BUY", "size": "1", "price": "1", "fee": "0", **AT}
    with pytest.raises(wire.MALFORMED, match=BEYOND):
        wire.decode(json.dumps(row | {field: "-" + BEYOND}), wire.ExecutionData).model()


def test_a_frame_that_cannot_be_held_is_told_with_what_it_was() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.socket.say(EXECUTION | {"fee": BEYOND})
        await asyncio.sleep(0.1)
        ((_, detail),) = bench.notices("malformed")
        assert "fee of execution" in detail
        assert BEYOND in detail

    on_bench("private", script)

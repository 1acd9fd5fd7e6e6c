from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.core.support import PRICE, YEN, account, settings

from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.reasons import names
from gmobot.core.records import RISK_ABORT, RISK_DEGRADED, RISK_OK
from gmobot.core.risk import assess

LIMITS: dict[str, Any] = {
    "max_drawdown": Decimal("0.2"),
    "daily_loss_limit": Decimal(100_000),
    "max_position_size": Decimal("0.1"),
    "max_trade_loss": Decimal(50_000),
    "max_leverage": Decimal(1),
    "max_wallet_drift": Decimal(100),
}
WORTH = 500 * PRICE * 100
"""Of 500 lots at PRICE, in micro-yen."""


def judge(fields: dict[str, int], *, price: int = PRICE, news: bool = False, limits: dict[str, Any] | None = None) -> tuple[int, list[str]]:
    record = settings(**(LIMITS | (limits or {}))).record()
    status, bits = uncompiled(assess)(PlainRecord(account(**fields)[0]), PlainRecord(record[0]), price, news)
    return status, names(bits)


def test_a_healthy_account_passes() -> None:
    assert judge({}) == (RISK_OK, [])
    assert judge({"position": 500, "cost_uyen": WORTH}) == (RISK_OK, [])


# name, fields on the limit, fields just beyond it, the status and the reason that follow
GUARDS: list[tuple[str, dict[str, int], dict[str, int], bool, int, str]] = [
    (
        "max_drawdown",
        {"equity_uyen": 8_000_000 * YEN, "day_start_equity_uyen": 8_000_000 * YEN},
        {"equity_uyen": 8_000_000 * YEN - 1, "day_start_equity_uyen": 8_000_000 * YEN},
        False,
        RISK_ABORT,
        "max_drawdown_exceeded",
    ),
    (
        "daily_loss_limit",
        {"equity_uyen": 9_900_000 * YEN},
        {"equity_uyen": 9_900_000 * YEN - 1},
        False,
        RISK_DEGRADED,
        "daily_loss_limit_exceeded",
    ),
    (
        "max_position_size",
        {"position": 1_000, "cost_uyen": 2 * WORTH},
        {"position": 1_001, "cost_uyen": 1_001 * PRICE * 100},
        False,
        RISK_DEGRADED,
        "max_position_size_exceeded",
    ),
    (
        "max_trade_loss",
        {"position": 500, "cost_uyen": WORTH + 50_000 * YEN},
        {"position": 500, "cost_uyen": WORTH + 50_000 * YEN + 1},
        False,
        RISK_ABORT,
        "max_trade_loss_exceeded",
    ),
    (
        "max_trade_loss",
        {"last_trade_pnl_uyen": -50_000 * YEN},
        {"last_trade_pnl_uyen": -50_000 * YEN - 1},
        True,
        RISK_ABORT,
        "max_trade_loss_exceeded",
    ),
    (
        "max_leverage",
        {"position": 500, "cost_uyen": WORTH, "other_gross_uyen": PRICE * YEN - WORTH},
        {"position": 500, "cost_uyen": WORTH, "other_gross_uyen": PRICE * YEN - WORTH + 1},
        False,
        RISK_DEGRADED,
        "max_leverage_exceeded",
    ),
    (
        "max_wallet_drift",
        {"wallet_drift_uyen": -100 * YEN},
        {"wallet_drift_uyen": -100 * YEN - 1},
        False,
        RISK_DEGRADED,
        "wallet_drift_exceeded",
    ),
]


@pytest.mark.parametrize(("limit", "on", "beyond", "news", "status", "reason"), GUARDS, ids=[f"{g[0]}-{i}" for i, g in enumerate(GUARDS)])
def test_each_guard_fires_beyond_its_limit_and_not_on_it(
    limit: str, on: dict[str, int], beyond: dict[str, int], news: bool, status: int, reason: str
) -> None:
    assert judge(on, news=news) == (RISK_OK, [])
    assert judge(beyond, news=news) == (status, [reason])
    assert judge(beyond, news=news, limits={limit: Decimal(0)}) == (RISK_OK, []), "a limit of 0 is off"


def test_an_old_trade_loss_is_judged_once() -> None:
    assert judge({"last_trade_pnl_uyen": -60_000 * YEN}, news=False) == (RISK_OK, [])


def test_what_a_trade_has_sold_at_a_loss_and_paid_in_fees_counts() -> None:
    fields = {"position": 500, "cost_uyen": WORTH + 30_000 * YEN}
    assert judge(fields | {"trade_realized_uyen": -20_000 * YEN})[0] == RISK_OK
    assert judge(fields | {"trade_realized_uyen": -20_001 * YEN}) == (RISK_ABORT, ["max_trade_loss_exceeded"])


def test_abort_beats_degraded_and_all_reasons_are_told() -> None:
    status, found = judge({"equity_uyen": 7_000_000 * YEN, "wallet_drift_uyen": 200 * YEN})
    assert status == RISK_ABORT
    assert found == ["max_drawdown_exceeded", "daily_loss_limit_exceeded", "wallet_drift_exceeded"]


def test_an_account_below_zero_aborts_whatever_it_holds() -> None:
    assert judge({"equity_uyen": -1})[0] == RISK_ABORT


def test_the_largest_amounts_do_not_overflow() -> None:
    huge = 4_000_000_000_000 * YEN
    fields = {
        "equity_uyen": huge,
        "peak_equity_uyen": huge,
        "day_start_equity_uyen": huge,
        "position": 50_000,
        "cost_uyen": 50_000 * 10**11,
    }
    assert judge(fields, price=10**9, limits={"max_position_size": Decimal(0)}) == (RISK_OK, [])

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import BTC, PRICE, YEN, account, settings

from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.sizing import entry_lots

_entry_lots = uncompiled(entry_lots)


def lots(*, side: int = 1, stop: int = 0, price: int = PRICE, fields: dict[str, int] | None = None, **changes: Any) -> int:
    record = settings(**changes).record()
    return int(_entry_lots(PlainRecord(account(**(fields or {}))[0]), PlainRecord(record[0]), price, stop, side))


def test_a_fixed_size_is_asked_for_as_it_is() -> None:
    assert lots(fixed_size=Decimal("0.02")) == 200


def test_a_risk_fraction_loses_its_share_of_equity_at_the_stop() -> None:
    # One per cent of ten million is 100,000 yen; 0.5 coins lose that over 200,000 yen.
    assert lots(fixed_size=None, risk_fraction=Decimal("0.01"), stop=PRICE - 200_000) == 5_000


@pytest.mark.parametrize("stop", [0, PRICE, PRICE + 1])
def test_without_a_stop_below_the_price_a_risk_fraction_enters_nothing(stop: int) -> None:
    assert lots(fixed_size=None, risk_fraction=Decimal("0.01"), stop=stop) == 0


def test_the_position_limit_and_the_largest_order_cut() -> None:
    rich = {"cash_uyen": 10**9 * YEN, "equity_uyen": 10**9 * YEN}
    assert lots(fixed_size=Decimal(4), max_position_size=Decimal("0.5"), fields=rich) == 5_000
    assert lots(fixed_size=Decimal(9), fields=rich) == BTC.max_lots


def test_cash_cuts_with_the_taker_fee_in_mind() -> None:
    found = lots(fixed_size=Decimal(2))
    cost = BTC.notional_uyen(PRICE, found)
    one_more = BTC.notional_uyen(PRICE, found + 1)
    assert cost + BTC.fee_uyen(cost, maker=False) <= PRICE * YEN < one_more + BTC.fee_uyen(one_more, maker=False) + 2 * YEN


def test_less_than_the_smallest_order_is_nothing() -> None:
    assert lots(fields={"cash_uyen": 900 * YEN}) == 0
    assert lots(fields={"cash_uyen": 2_000 * YEN}) == 1
    assert lots(fields={"cash_uyen": -5 * YEN}) == 0
    assert lots(fixed_size=None, risk_fraction=Decimal("0.01"), stop=PRICE - 1_000, fields={"equity_uyen": -5 * YEN}) == 0


@given(
    cash=st.integers(0, 10**9),
    equity=st.integers(-(10**9), 10**9),
    price=st.integers(1, 10**9),
    share=st.integers(1, 1_000_000),
    distance=st.floats(0.0, 1.0),
)
def test_an_entry_is_always_affordable_within_its_risk_and_on_the_grid(
    cash: int, equity: int, price: int, share: int, distance: float
) -> None:
    stop = int(price * distance)
    fields = {"cash_uyen": cash * YEN, "equity_uyen": equity * YEN}
    found = lots(fixed_size=None, risk_fraction=Decimal(share).scaleb(-6), stop=stop, price=price, fields=fields)
    assert found == 0 or BTC.min_lots <= found <= BTC.max_lots
    notional = BTC.notional_uyen(price, found)
    assert notional + BTC.fee_uyen(notional, maker=False) <= cash * YEN
    assert found * (price - stop) * BTC.unit_uyen <= max(equity, 0) * share

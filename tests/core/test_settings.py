from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.core.support import BTC, settings

from gmobot.core.instrument import InstrumentError
from gmobot.core.settings import Settings


def test_decimals_become_whole_numbers() -> None:
    record = settings(max_drawdown=Decimal("0.2"), max_trade_loss=Decimal("1.5"), max_position_size=Decimal("0.1")).record()
    assert record["max_drawdown_ppm"] == 200_000
    assert record["max_trade_loss_uyen"] == 1_500_000
    assert record["max_position_lots"] == 1_000
    assert record["fixed_lots"] == 100
    assert record["unit_uyen"] == 100
    assert record["sizing"] == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fixed_size": None}, "either a fixed size or a risk fraction"),
        ({"risk_fraction": Decimal("0.01")}, "either a fixed size or a risk fraction"),
        ({"fixed_size": Decimal("0.00015")}, "not a multiple"),
        ({"max_drawdown": Decimal("-0.1")}, "max_drawdown must not be negative"),
        ({"max_drawdown": Decimal(20)}, "max_drawdown is a share"),
        ({"cooldown_bars": -1}, "cooldown_bars must not be negative"),
        ({"min_confidence": float("nan")}, "min_confidence must not be negative"),
        ({"max_drawdown": Decimal("0.0000001")}, "finer than one millionth"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InstrumentError, match=says):
        Settings(instrument=BTC, **({"fixed_size": Decimal("0.01")} | changes)).record()

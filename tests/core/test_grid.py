"""What lies on no grid of ours: another hand's sizes and prices, or rules that changed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.live.bench import BTC_JPY

from gmobot.core.instrument import InstrumentError


@pytest.mark.parametrize(("size", "lots"), [("0", 0), ("0.0001", 1), ("0.001", 1), ("0.0011", 2), ("0.002", 2)])
def test_a_size_is_held_by_as_many_lots(size: str, lots: int) -> None:
    assert BTC_JPY.lots_at_least(Decimal(size)) == lots


@pytest.mark.parametrize(("size", "lots"), [("0", 0), ("0.0009", 0), ("0.001", 1), ("0.0019", 1), ("0.002", 2)])
def test_a_size_holds_so_many_whole_lots(size: str, lots: int) -> None:
    assert BTC_JPY.whole_lots(Decimal(size)) == lots


@pytest.mark.parametrize("size", ["NaN", "Infinity"])
def test_what_is_no_size_holds_none(size: str) -> None:
    with pytest.raises(InstrumentError):
        BTC_JPY.whole_lots(Decimal(size))


@pytest.mark.parametrize(("price", "ticks"), [("100", 100), ("100.4", 100), ("100.6", 101)])
def test_a_price_lies_closest_to_a_tick(price: str, ticks: int) -> None:
    assert BTC_JPY.nearest_ticks(Decimal(price)) == ticks


def test_what_we_send_lies_on_the_grid() -> None:
    with pytest.raises(InstrumentError):
        BTC_JPY.lots(Decimal("0.0011"))

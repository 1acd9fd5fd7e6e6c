"""One symbol's ledger: what a fill may do, and what it says of the yen at the exchange."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.live.bench import BTC, BTC_JPY

from gmobot.core.compiled import numbers
from gmobot.core.instrument import Instrument
from gmobot.core.records import ACCOUNT
from gmobot.errors import FatalError
from gmobot.live.ledger import SymbolLedger
from gmobot.venue.models import Side

TICKS = 1_000
UNIT, JPY_UNIT = BTC.unit_uyen, BTC_JPY.unit_uyen


def ledger(instrument: Instrument, lots: int = 0) -> SymbolLedger:
    made = SymbolLedger.restore(instrument, None)
    if lots:
        made.apply(Side.BUY if lots > 0 else Side.SELL, TICKS, abs(lots), 0)
    return made


@pytest.mark.parametrize(
    ("instrument", "held", "side", "lots", "closes"),
    [
        (BTC, 0, Side.SELL, 1, False),
        (BTC, 5, Side.SELL, 6, False),
        (BTC_JPY, 0, Side.SELL, 1, True),
        (BTC_JPY, 0, Side.BUY, 1, True),
        (BTC_JPY, 5, Side.SELL, 6, True),
        (BTC_JPY, -5, Side.BUY, 6, True),
        (BTC_JPY, 5, Side.BUY, 1, True),
        (BTC_JPY, -5, Side.SELL, 1, True),
        (BTC_JPY, 5, Side.SELL, 1, False),
        (BTC_JPY, -5, Side.BUY, 1, False),
    ],
)
def test_what_is_not_ours_is_never_closed_and_no_second_side_opened(
    instrument: Instrument, held: int, side: Side, lots: int, closes: bool
) -> None:
    own = ledger(instrument, held)
    before = own.to_dict()
    with pytest.raises(FatalError, match=instrument.symbol):
        own.apply(side, TICKS, lots, 0, closes=closes)
    assert own.to_dict() == before
    assert own.position == held


@pytest.mark.parametrize(
    ("instrument", "held", "side", "lots", "closes", "left"),
    [
        (BTC, 0, Side.BUY, 5, False, 5),
        (BTC, 5, Side.BUY, 5, False, 10),
        (BTC, 5, Side.SELL, 5, False, 0),
        (BTC, 5, Side.SELL, 1, False, 4),
        (BTC_JPY, 0, Side.SELL, 5, False, -5),
        (BTC_JPY, -5, Side.SELL, 5, False, -10),
        (BTC_JPY, 5, Side.BUY, 5, False, 10),
        (BTC_JPY, 5, Side.SELL, 5, True, 0),
        (BTC_JPY, 5, Side.SELL, 1, True, 4),
        (BTC_JPY, -5, Side.BUY, 5, True, 0),
    ],
)
def test_a_fill_moves_the_position(instrument: Instrument, held: int, side: Side, lots: int, closes: bool, left: int) -> None:
    own = ledger(instrument, held)
    own.apply(side, TICKS, lots, 0, closes=closes)
    assert own.position == left


def test_on_spot_the_yen_are_the_cash() -> None:
    own = ledger(BTC, 5)
    own.apply(Side.SELL, TICKS + 10, 2, 7, realized_uyen=999)
    assert own.yen_uyen == own.cash_uyen == -5 * TICKS * UNIT + 2 * (TICKS + 10) * UNIT - 7
    assert own.fees_uyen == 7
    assert own.realized_uyen == 2 * 10 * UNIT
    assert own.cost_uyen == 3 * TICKS * UNIT
    assert (own.on_leverage, own.closed_trades) == (False, 0)


def test_on_leverage_the_yen_are_what_the_exchange_reports() -> None:
    own = ledger(BTC_JPY)
    own.apply(Side.SELL, TICKS, 5, 3)
    assert own.yen_uyen == -3
    assert own.cost_uyen == -5 * TICKS * JPY_UNIT
    own.apply_leverage_fee(20)
    assert own.yen_uyen == -23
    own.apply(Side.BUY, TICKS - 10, 5, 4, closes=True, realized_uyen=1_000)
    assert own.yen_uyen == -23 - 4 + 1_000
    assert own.fees_uyen == 3 + 20 + 4
    assert own.realized_uyen == 5 * 10 * JPY_UNIT
    assert own.cash_uyen == 5 * 10 * JPY_UNIT - 27
    assert (own.on_leverage, own.closed_trades, own.cost_uyen) == (True, 1, 0)


@pytest.mark.parametrize("lots", [5, -5])
def test_what_is_kept_is_all_there_is(lots: int) -> None:
    own = ledger(BTC_JPY, lots)
    own.apply_leverage_fee(20)
    own.apply(Side.SELL if lots > 0 else Side.BUY, TICKS, 2, 1, closes=True, realized_uyen=17)
    again = SymbolLedger.restore(BTC_JPY, own.to_dict())
    assert again.to_dict() == own.to_dict()
    assert again.position == own.position == lots // abs(lots) * 3
    assert again.yen_uyen == own.yen_uyen == 17 - 1 - 20


def test_an_empty_ledger_is_all_zeros() -> None:
    assert set(SymbolLedger.restore(BTC, None).to_dict().values()) == {0}


def test_the_core_is_shown_the_open_trade() -> None:
    own = ledger(BTC_JPY, 5)
    own.apply_leverage_fee(20)
    account: Any = numbers(np.zeros(1, ACCOUNT)[0])
    own.show(account)
    assert (account.position, account.cost_uyen, account.trade_realized_uyen) == (5, 5 * TICKS * JPY_UNIT, -20)

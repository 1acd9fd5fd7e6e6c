from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import BTC, BTC_JPY, PRICE, YEN, account, settings

from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.instrument import FeeRounding, Instrument, InstrumentError
from gmobot.core.margin import carried_lots, leverage_fee, losscut_fee, losscut_price
from gmobot.core.sizing import entry_lots

_price, _cut_fee, _night, _carried = (uncompiled(f) for f in (losscut_price, losscut_fee, leverage_fee, carried_lots))


def terms(instrument: Instrument = BTC_JPY, **changes: Any) -> Any:
    return PlainRecord(settings(instrument=instrument, **changes).record()[0])


def test_losscut_prices_are_those_of_the_known_samples() -> None:
    # The two positions at 4x of the reference, §6.6.
    assert _price(876_045, 1, 4) == 766_540
    assert _price(5_309_049, -1, 4) == 5_972_680


@given(st.integers(1, 10**9), st.sampled_from([1, 2, 4]))
def test_losscut_is_half_the_margin_away_rounded_toward_the_open_price(price: int, leverage: int) -> None:
    away = Decimal(price) / (2 * leverage)
    low, high = _price(price, 1, leverage), _price(price, -1, leverage)
    assert low - 1 < price - away <= low
    assert high <= price + away < high + 1


def test_fees_are_shares_rounded_as_the_instrument_says() -> None:
    # 123 lots at 10,000,001 yen are 123,000.0123 yen: 0.04 % are 49.2 yen a night, 0.5 % are 615.00006.
    worth = 123 * 10_000_001 * BTC_JPY.unit_uyen
    assert _night(123, 10_000_001, 1, terms()) == _night(-123, 10_000_001, 1, terms()) == 49 * YEN
    assert _night(123, 10_000_001, 3, terms()) == 3 * 49 * YEN, "each night is rounded by itself"
    assert _cut_fee(worth, terms()) == _cut_fee(-worth, terms()) == 615 * YEN
    up = replace(BTC_JPY, fee_rounding=FeeRounding.CEIL)
    assert (_night(123, 10_000_001, 1, terms(up)), _cut_fee(worth, terms(up))) == (50 * YEN, 616 * YEN)
    exact = replace(BTC_JPY, fee_rounding=FeeRounding.NONE)
    assert _night(-123, 10_000_001, 1, terms(exact)) == 49_200_005


def test_spot_knows_neither() -> None:
    record = terms(BTC)
    assert (record.leverage, record.leverage_fee_ppm, record.losscut_fee_ppm) == (0, 0, 0)
    assert (terms().leverage, terms().leverage_fee_ppm, terms().losscut_fee_ppm) == (2, 400, 5_000)


@pytest.mark.parametrize(
    "wrong", [{"leverage": 0}, {"leverage_fee": Decimal("-0.1")}, {"losscut_fee": Decimal("-0.1")}, {"losscut_fee": Decimal("0.0000001")}]
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InstrumentError, match=next(iter(wrong))):
        replace(BTC_JPY, **wrong)


def test_the_highest_price_is_proven_with_the_losscut_fee() -> None:
    # 62 bits of micro-yen over 0.5 % of the largest order.
    assert BTC_JPY.max_price < BTC.max_price
    assert BTC_JPY.max_price * BTC_JPY.max_lots * BTC_JPY.unit_uyen * 5_000 < 2**62


@given(st.integers(0, 10**8), st.integers(1, 10**8), st.sampled_from([Decimal(0), Decimal("0.0003")]))
def test_what_is_carried_has_its_margin_and_one_lot_more_has_not(yen: int, price: int, taker: Decimal) -> None:
    instrument = replace(BTC_JPY, taker_fee=taker)
    lots = _carried(yen * YEN, terms(instrument), price)

    def needed(count: int) -> Decimal:
        notional = instrument.notional_uyen(price, count)
        return notional / Decimal(2) + instrument.fee_uyen(notional, maker=False)

    assert needed(lots) <= yen * YEN
    assert needed(lots + 1) + lots + 2 * YEN > yen * YEN


# --- sizing on leverage -------------------------------------------------------------------------------------------


def sized(side: int, *, stop: int = 0, fields: dict[str, int] | None = None, **changes: Any) -> int:
    plain = {"instrument": BTC_JPY} | changes
    record = settings(**plain).record()
    return int(uncompiled(entry_lots)(PlainRecord(account(**(fields or {}))[0]), PlainRecord(record[0]), PRICE, stop, side))


@pytest.mark.parametrize("side", [1, -1])
def test_a_risk_fraction_loses_its_share_at_a_stop_on_either_side(side: int) -> None:
    risk: dict[str, Any] = {"fixed_size": None, "risk_fraction": Decimal("0.01")}
    assert sized(side, stop=PRICE - side * 200_000, **risk) == 5_000
    assert sized(side, stop=PRICE + side * 200_000, **risk) == 0, "a stop on the wrong side limits nothing"
    assert sized(side, stop=PRICE, **risk) == 0


@pytest.mark.parametrize("side", [1, -1])
def test_margin_lets_twice_the_money_in_and_max_leverage_less(side: int) -> None:
    big: dict[str, Any] = {"fixed_size": Decimal(3)}
    assert sized(side, **big) == 19_999
    assert sized(side, max_leverage=Decimal(1), **big) == 10_000
    assert sized(side, max_leverage=Decimal("0.5"), fields={"other_gross_uyen": 1_000_000 * YEN}, **big) == 4_000


def test_what_stands_open_elsewhere_ties_up_margin_and_an_open_gain_carries_nothing() -> None:
    big: dict[str, Any] = {"fixed_size": Decimal(3)}
    assert sized(1, fields={"other_gross_uyen": 10_000_000 * YEN}, **big) == 9_999
    assert sized(1, fields={"equity_uyen": 20_000_000 * YEN}, **big) == 19_999
    assert sized(-1, fields={"equity_uyen": 5_000_000 * YEN}, **big) == 9_999
    assert sized(-1, fields={"equity_uyen": -1}, **big) == 0

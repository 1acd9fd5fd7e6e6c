from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba import njit

from gmobot.core import decision, indicators
from gmobot.core.compiled import PlainRecord, PlainRecords, compiled, numbers, plain_call, uncompiled
from gmobot.core.records import BAR


@compiled
def inner(x: float) -> float:
    return x + 1.0


@compiled
def outer(x: float) -> float:
    return inner(x) * 2.0


@compiled
def through_a_module(confidence: float) -> Any:
    return decision.buy(confidence, 1)


def test_the_plain_form_is_plain_all_the_way_down() -> None:
    plain = uncompiled(outer)
    assert plain(1.0) == 4.0
    assert plain.__globals__["inner"] is uncompiled(inner)
    assert not outer.signatures, "nothing was compiled"  # type: ignore[attr-defined]


def test_functions_looked_up_in_a_module_become_plain_too() -> None:
    assert uncompiled(through_a_module)(0.5) == (1, 0.5, 1, 0.0, 0.0, 0)
    assert not through_a_module.signatures  # type: ignore[attr-defined]


def test_both_forms_live_in_one_process() -> None:
    assert outer(3.0) == uncompiled(outer)(3.0)
    assert outer.signatures  # type: ignore[attr-defined]


def test_what_is_no_function_of_python_stays_as_it_is() -> None:
    assert uncompiled(len) is len


def test_a_plain_record_gives_pythons_own_numbers() -> None:
    bars = np.zeros(2, BAR)
    record = PlainRecords(bars)[1]
    record.flags = 3
    assert bars["flags"].tolist() == [0, 3]
    assert type(record.flags) is int
    with pytest.raises(ZeroDivisionError):
        _ = 1.0 / record.volume


@pytest.mark.parametrize("write", [True, False])
def test_a_field_that_is_not_there_is_an_error(*, write: bool) -> None:
    record = PlainRecord(np.zeros(1, BAR)[0])
    with pytest.raises(AttributeError):
        record.missing = 1 if write else record.missing


def test_numbers_are_a_copy_in_pythons_own_types() -> None:
    bars = np.zeros(2, BAR)
    bars["volume"] = 25
    copy = numbers(bars[1])
    copy.flags = 2**70
    assert (type(copy.flags), type(copy.volume), copy.volume) == (int, int, 25)
    assert bars["flags"].tolist() == [0, 0]
    with pytest.raises(AttributeError):
        copy.missing = 1


def test_windows_and_nested_records_are_written_through() -> None:
    states = np.zeros(1, [("mean", indicators.Sma.of(3).dtype)])
    assert plain_call(lambda state: uncompiled(indicators.sma)(state[0].mean, 5.0, 3))(states) == 5.0
    assert states["mean"]["ring"].tolist() == [[5.0, 0.0, 0.0]]


def test_the_stated_domain_agrees_bit_for_bit() -> None:
    @njit
    def every(x: float, y: float) -> Any:
        ratio = x / y
        return (x + y, x - y, x * y, ratio, x // y, x % y, min(x, y), max(x, y), abs(x), math.sqrt(abs(x)), math.exp(y), math.log(abs(x)))

    rng = np.random.default_rng(3)
    special = [0.1, -0.1, 1e-300, 1e300, -7.5, 2.5]
    pairs = [(x, y) for x in special for y in (0.3, -0.7, 5.0)]
    pairs += list(zip(rng.normal(0, 1e4, 20_000).tolist(), rng.normal(0, 50, 20_000).tolist(), strict=True))
    for x, y in pairs:
        assert np.array(every(x, y)).tobytes() == np.array(every.py_func(x, y)).tobytes(), (x, y)

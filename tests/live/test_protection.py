"""Why a position lies open and for how long: every cause, in its order, and one alarm for each stretch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.live.bench import STOP, intent

from gmobot.live.intents import IntentState, Purpose
from gmobot.live.protection import Cause, Cover, ProtectionMeter, cause_of
from gmobot.venue.models import Side

SECOND = 1_000_000_000
BARE = Cover(uncovered=100, stop=0, losscut=0, held=100, min_lots=1, exchange_open=True, closing=False, reserved=False, open_intents=())
LOST_STOP = intent(**STOP, state=IntentState.UNKNOWN)
LOST_ENTRY = intent(state=IntentState.UNKNOWN)
STANDING_STOP = intent(**STOP, state=IntentState.WORKING)
LOST_EXIT = intent(purpose=Purpose.EXIT, side=Side.SELL, state=IntentState.INTENT)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, Cause.NO_STOP_DECLARED),
        ({"stop": 1}, Cause.PLACING),
        ({"uncovered": 0}, None),
        ({"uncovered": 1}, Cause.NO_STOP_DECLARED),
        ({"uncovered": -1}, None),
        ({"losscut": 100}, None),
        ({"losscut": 99}, Cause.NO_STOP_DECLARED),
        ({"losscut": 60, "uncovered": 40, "min_lots": 41}, Cause.BELOW_MINIMUM),
        ({"losscut": 60, "uncovered": 40, "min_lots": 40}, Cause.NO_STOP_DECLARED),
        ({"losscut": 90, "uncovered": 40, "min_lots": 11}, Cause.BELOW_MINIMUM),
        ({"stop": 1, "exchange_open": False}, Cause.EXCHANGE_CLOSED),
        ({"stop": 1, "open_intents": (LOST_STOP,)}, Cause.OUTCOME_UNKNOWN),
        ({"stop": 1, "open_intents": (LOST_EXIT,)}, Cause.OUTCOME_UNKNOWN),
        ({"stop": 1, "open_intents": (LOST_ENTRY,)}, Cause.PLACING),
        ({"stop": 1, "open_intents": (STANDING_STOP,)}, Cause.PLACING),
        ({"stop": 1, "open_intents": (LOST_ENTRY, STANDING_STOP, LOST_STOP)}, Cause.OUTCOME_UNKNOWN),
        ({"stop": 1, "reserved": True}, Cause.RESERVED),
        ({"stop": 1, "closing": True}, Cause.REPLACING),
    ],
)
def test_each_bare_part_has_the_cause_it_has(changes: dict[str, Any], cause: Cause | None) -> None:
    assert cause_of(replace(BARE, **changes)) is cause


def test_causes_that_nobody_could_mend_now_are_named_first() -> None:
    everything = replace(BARE, stop=1, exchange_open=False, closing=True, reserved=True, open_intents=(LOST_STOP,))
    assert cause_of(replace(everything, min_lots=101)) is Cause.BELOW_MINIMUM
    assert cause_of(everything) is Cause.EXCHANGE_CLOSED
    everything = replace(everything, exchange_open=True)
    assert cause_of(everything) is Cause.OUTCOME_UNKNOWN
    everything = replace(everything, open_intents=())
    assert cause_of(everything) is Cause.RESERVED
    assert cause_of(replace(everything, reserved=False)) is Cause.REPLACING


def test_seconds_are_counted_for_the_cause_that_held() -> None:
    meter = ProtectionMeter(grace_seconds=5.0)
    assert meter.observe(None, 10 * SECOND) == 0.0
    assert meter.observe(Cause.PLACING, 20 * SECOND) == 0.0, "nothing lay open until now"
    assert meter.observe(Cause.RESERVED, 21 * SECOND) == 1.0
    assert meter.observe(Cause.PLACING, 24 * SECOND) == 3.0
    assert meter.observe(None, 24 * SECOND + SECOND // 2) == 0.5
    assert meter.observe(None, 99 * SECOND) == 0.0
    assert meter.seconds == {Cause.PLACING: 1.5, Cause.RESERVED: 3.0}
    assert meter.cause is None


def test_a_stretch_counts_from_its_beginning_whatever_its_causes() -> None:
    meter = ProtectionMeter(grace_seconds=5.0)
    meter.observe(None, 0)
    meter.observe(Cause.PLACING, 10 * SECOND)
    meter.observe(Cause.RESERVED, 13 * SECOND)
    assert meter.since_ns == 10 * SECOND
    assert not meter.alarm_is_due(15 * SECOND), "five seconds are borne"
    assert meter.alarm_is_due(15 * SECOND + 1)
    assert meter.alarmed
    assert not meter.alarm_is_due(16 * SECOND), "told once"
    meter.observe(Cause.PLACING, 17 * SECOND)
    assert meter.alarmed, "the stretch goes on"
    assert not meter.alarm_is_due(30 * SECOND)


@pytest.mark.parametrize("between", [None, Cause.NO_STOP_DECLARED, Cause.BELOW_MINIMUM])
def test_protection_ends_the_alarm_and_the_next_stretch_has_its_own(between: Cause | None) -> None:
    meter = ProtectionMeter(grace_seconds=5.0)
    meter.observe(Cause.PLACING, 1 * SECOND)
    assert meter.alarm_is_due(7 * SECOND)
    meter.observe(between, 8 * SECOND)
    assert not meter.alarmed
    assert meter.since_ns == 8 * SECOND
    meter.observe(Cause.PLACING, 20 * SECOND)
    assert meter.since_ns == 20 * SECOND
    assert not meter.alarm_is_due(25 * SECOND)
    assert meter.alarm_is_due(26 * SECOND)


@pytest.mark.parametrize("cause", [None, Cause.NO_STOP_DECLARED, Cause.BELOW_MINIMUM])
def test_what_nobody_can_mend_is_never_alarmed(cause: Cause | None) -> None:
    meter = ProtectionMeter(grace_seconds=5.0)
    meter.observe(cause, 0)
    meter.observe(cause, 50 * SECOND)
    assert meter.since_ns == 50 * SECOND
    assert not meter.alarm_is_due(100 * SECOND)
    assert not meter.alarmed


def test_a_fresh_meter_has_seen_nothing() -> None:
    meter = ProtectionMeter(grace_seconds=0.0)
    assert (meter.cause, meter.since_ns, meter.seconds, meter.alarmed) == (None, 0, {}, False)
    assert not meter.alarm_is_due(10 * SECOND)

"""What an order's standing says of what may still come of it."""

from __future__ import annotations

import pytest
from tests.live.bench import intent

from gmobot.live.intents import IntentState, Purpose

FINAL = {IntentState.FILLED, IntentState.CANCELLED, IntentState.EXPIRED, IntentState.REJECTED}


@pytest.mark.parametrize("state", IntentState)
def test_an_order_may_fill_until_it_is_final(state: IntentState) -> None:
    assert state.is_final == (state in FINAL)
    assert intent(lots=100, executed_lots=30, state=state).open_lots == (0 if state in FINAL else 70)


def test_what_may_or_may_not_exist_is_unresolved() -> None:
    assert {state for state in IntentState if state.is_unresolved} == {IntentState.INTENT, IntentState.UNKNOWN}


def test_only_entries_open() -> None:
    assert [purpose for purpose in Purpose if intent(purpose=purpose).opens] == [Purpose.ENTRY]

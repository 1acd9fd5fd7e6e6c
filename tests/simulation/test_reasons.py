"""A close needs a reason: one that stands, one that has just passed, or one that was there as the position went."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from tests.simulation.evidence import Prices
from tests.simulation.ours import Violation
from tests.simulation.reasons import LASTS_SECONDS, Reasons

WANTED = Prices(decision_id=1, target=10, stop=90, take_profit=120)


def held(lots: int = 10) -> Reasons:
    """Return reasons of a position that was opened at second 0."""
    reasons = Reasons()
    reasons.held(0.0, lots)
    return reasons


@pytest.mark.parametrize(("at", "reasoned"), [(LASTS_SECONDS, True), (LASTS_SECONDS + 0.1, False)])
def test_a_decision_is_a_reason_a_little_longer_than_it_stands(at: float, reasoned: bool) -> None:
    reasons = held()
    with pytest.raises(Violation, match="a close needs a reason"):
        reasons.close(0.0, "an exit")
    reasons.lowered(0.0)
    with nullcontext() if reasoned else pytest.raises(Violation, match="a close needs a reason"):
        reasons.close(at, "an exit")


@pytest.mark.parametrize(("lowered", "reasoned"), [(20.0, True), (None, False)])
def test_what_was_a_reason_as_a_position_went_is_one_until_the_next(lowered: float | None, reasoned: bool) -> None:
    reasons = held()
    if lowered is not None:
        reasons.lowered(lowered)
    reasons.held(21.0, 0)
    with nullcontext() if reasoned else pytest.raises(Violation, match="a close needs a reason"):
        reasons.close(300.0, "an exit that nobody knows to be done")
    reasons.held(301.0, 10)
    with pytest.raises(Violation, match="a close needs a reason"):
        reasons.close(301.0, "an exit of the next one")


@pytest.mark.parametrize(("price", "reasoned"), [(91, False), (90, True), (119, False), (120, True)])
def test_a_price_that_was_traded_is_a_reason_until_nothing_is_left(price: int, reasoned: bool) -> None:
    reasons = held()
    reasons.look(1.0, [price], WANTED)
    with nullcontext() if reasoned else pytest.raises(Violation, match="a close needs a reason"):
        reasons.close(500.0, "an exit")

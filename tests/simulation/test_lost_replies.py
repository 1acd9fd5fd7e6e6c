"""A few cases of each act in the suite; ``make lost`` plays ten thousand."""

from __future__ import annotations

import pytest
from tests.simulation.lost_cases import ACTS, NOT_ACCEPTED, drawn
from tests.simulation.lost_replies import GRACE_SECONDS, quantile, run_case

EACH = 6


@pytest.mark.parametrize("act", list(ACTS))
def test_a_lost_reply_leaves_exactly_one_order_or_an_alarm(act: str) -> None:
    place = list(ACTS).index(act)
    for number in range(place, place + EACH * len(ACTS), len(ACTS)):
        found = run_case(number)
        assert found.case.act == act
        assert not found.trouble, f"case {number}: {found.trouble}"
        assert found.seconds is None or found.seconds <= found.case.assumed_seconds + GRACE_SECONDS


def test_the_cases_cover_what_can_go_wrong() -> None:
    cases = [drawn(number) for number in range(1_000)]
    assert {case.act for case in cases} == set(ACTS)
    assert {case.loss for case in cases} > set(NOT_ACCEPTED)
    assert {case.events for case in cases} == {"normal", "late", "lost"}
    assert {case.hand for case in cases} == {"", "same", "earlier"}
    assert any(case.must_halt and not case.collides for case in cases)
    assert any(case.must_halt and case.collides for case in cases)


def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.25, 0.5, 0.51, 1.0)] == [1.0, 2.0, 3.0, 4.0]
    assert quantile([], 0.5) == 0.0

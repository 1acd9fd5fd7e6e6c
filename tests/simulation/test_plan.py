"""Plans: drawn from the seed alone, complete, and the same after they were written down."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.loop import EPOCH_NS
from tests.simulation.plan import BESIDE, COMMANDS, DISTURBANCES, HANDS, NO_ANSWERS, QUERIES, SECONDS, WRITES, drawn, read, written

from gmobot.clock import NS_PER_SECOND, trading_day
from gmobot.emulator.faults import Fault

TODAY = trading_day(EPOCH_NS)
PLANS = [drawn(seed) for seed in range(1, 401)]


def test_a_seed_is_one_plan_and_another_seed_another() -> None:
    assert drawn(5) == drawn(5)
    assert len(set(map(written, PLANS))) == len(PLANS)


def test_every_fault_of_the_emulator_is_drawn() -> None:
    found = {happening.what for plan in PLANS for happening in plan.lasting("fault")}
    assert found == {fault.value for fault in Fault}


def test_every_disturbance_is_drawn_on_both_products() -> None:
    for product in ("spot", "leverage"):
        plans = [plan for plan in PLANS if plan.product == product]
        assert {happening.kind for plan in plans for happening in plan.happenings} == {*DISTURBANCES, "fault"}
        assert {happening.what for plan in plans for happening in plan.lasting("manual")} == set(HANDS)
        assert {happening.what for plan in plans for happening in plan.lasting("command")} == {*COMMANDS, "resume"}
        stages = {happening.what for plan in plans for happening in plan.lasting("kill_request")}
        assert stages == {"before", "accepted", "after"}
        assert {happening.what for plan in plans for happening in plan.lasting("kill_write")} == {"before", "after"}


def test_questions_fail_for_good_of_every_kind_in_every_way() -> None:
    silent = [happening for plan in PLANS for happening in plan.lasting("questions")]
    assert {happening.where for happening in silent} == {"*", *QUERIES}
    assert {happening.what for happening in silent} == {fault.value for fault in NO_ANSWERS}
    assert all(10.0 <= happening.until - happening.at <= 60.0 for happening in silent)


def test_the_daemon_is_started_anew_with_and_without_leave_to_send() -> None:
    ways = {(plan.environment, watch.what) for plan in PLANS for watch in plan.lasting("watch")}
    assert ways == {(environment, how) for environment in ("emulator", "production") for how in ("switched_off", "changed")}


def test_a_clean_stop_comes_at_any_moment_with_a_position_and_with_an_entry() -> None:
    assert {stop.what for plan in PLANS for stop in plan.lasting("stop")} == {"", "lots", "opening"}


def test_connections_are_refused_for_everything_and_outages_are_of_both_kinds() -> None:
    refused = {happening.where for plan in PLANS for happening in plan.lasting("refused")}
    assert refused == {*WRITES, *QUERIES, "/v1/ws-auth", "connect", "*"}
    assert {outage.what for plan in PLANS for outage in plan.lasting("outage")} == {"dropped", "silent"}


def test_replies_of_questions_are_lost_too() -> None:
    lost = {fault.where for plan in PLANS for fault in plan.lasting("fault") if fault.what.startswith("reply_lost")}
    assert lost == {*WRITES, *QUERIES}


def test_everything_is_to_be_closed_while_the_strategy_hangs() -> None:
    commands = {(command.what, command.amount) for plan in PLANS for command in plan.lasting("command")}
    assert commands == {("pause", 0.0), ("halt", 0.0), ("flatten", 0.0), ("flatten", 1.0), ("resume", 0.0)}


def test_some_plans_cross_the_turn_of_the_trading_day_and_the_booking_of_its_fee() -> None:
    turning = [plan for plan in PLANS if plan.start]
    assert len(turning) > len(PLANS) / 6
    assert all(trading_day(EPOCH_NS + int(plan.start) * NS_PER_SECOND) == TODAY for plan in PLANS)
    assert all(trading_day(EPOCH_NS + int(plan.start + SECONDS - 120.0) * NS_PER_SECOND) == TODAY + 1 for plan in turning)


def test_a_share_of_the_plans_trades_two_symbols_under_limits_of_the_account() -> None:
    # More of them, since few trade two.
    plans = [drawn(seed) for seed in range(6_000)]
    both = [plan for plan in plans if plan.second]
    assert len(plans) / 30 < len(both) < len(plans) / 15
    pairs = {(product, second) for product, seconds in BESIDE.items() for second in seconds}
    assert {(plan.product, plan.second) for plan in both} == pairs
    assert {plan.filters["max_positions"] for plan in both} == {1, 2}
    assert {plan.write_seconds for plan in both} == {0.0, 0.005, 0.05}
    assert {"max_leverage" in plan.risk for plan in both} == {True, False}
    touched = {(plan.second, happening.where == plan.second) for plan in both for happening in plan.lasting("manual")}
    assert touched == {(second, either) for _, second in pairs for either in (True, False)}


def test_happenings_come_in_order_and_what_lasts_ends_after_it_began() -> None:
    for plan in PLANS:
        assert list(plan.happenings) == sorted(plan.happenings, key=lambda happening: happening.at)
        assert all(happening.until >= happening.at for kind in ("fault", "maintenance", "locked") for happening in plan.lasting(kind))


def test_a_plan_that_was_written_down_is_read_back_as_it_was(tmp_path: Path) -> None:
    for plan in PLANS[:50]:
        path = tmp_path / "plan.json"
        path.write_text(written(plan), encoding="utf-8")
        assert read(path) == plan

"""What to do next, as a table of situations; and on spot never a lot too many."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live.bench import STOP, intent

from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.plan import Action, Amend, Cancel, Place, Situation, next_action
from gmobot.venue.models import OrderType, Side

EXIT: dict[str, Any] = {"purpose": Purpose.EXIT, "side": Side.SELL}
LIMIT_ENTRY: dict[str, Any] = {"type": OrderType.LIMIT, "price": 90}
WORKING = IntentState.WORKING
BUY = Place(Purpose.ENTRY, Side.BUY, OrderType.MARKET, 100)


def situation(*open_: Intent, **changes: Any) -> Situation:
    values: dict[str, Any] = {
        "position": 0,
        "target": 0,
        "stop": 0,
        "entry_allowed": True,
        "entry_left": 10_000,
        "settling": False,
        "stopping": False,
        "cancelling": frozenset(),
        "open": open_,
        "min_lots": 10,
        "max_lots": 1_000,
    }
    return Situation(**(values | changes))


def stop_order(lots: int = 100, price: int = 90, state: IntentState = WORKING, number: int = 7) -> Intent:
    return intent(**(STOP | {"intent_id": number, "lots": lots, "price": price, "state": state}))


def exit_order(lots: int, state: IntentState = WORKING) -> Intent:
    return intent(**EXIT, intent_id=8, lots=lots, state=state)


def protect(lots: int, price: int = 90) -> Place:
    return Place(Purpose.PROTECT, Side.SELL, OrderType.STOP, lots, price)


def leave(lots: int) -> Place:
    return Place(Purpose.EXIT, Side.SELL, OrderType.MARKET, lots)


def amending(price: int) -> Intent:
    return msgspec.structs.replace(stop_order(), amending_to=price)


def replace_lots(position_id: int, lots: int) -> Intent:
    return msgspec.structs.replace(exit_order(lots), position_id=position_id)


ENTRY = intent(intent_id=5, state=WORKING)
RESTING = intent(**LIMIT_ENTRY, intent_id=6, state=WORKING)
STOP_90 = stop_order()

TABLE: list[tuple[str, Situation, Action | None]] = [
    ("nothing wanted, nothing owned", situation(), None),
    ("an entry is wanted", situation(target=100), BUY),
    ("an entry is wanted, this decision has had one", situation(target=100, entry_left=0), None),
    ("an entry is wanted and forbidden", situation(target=100, entry_allowed=False), None),
    ("an entry is under way", situation(ENTRY, target=100), None),
    ("any order is unknown", situation(stop_order(state=IntentState.UNKNOWN), target=300, position=100), None),
    ("more is wanted than one order may hold", situation(target=5_000), Place(Purpose.ENTRY, Side.BUY, OrderType.MARKET, 1_000)),
    ("less is wanted than an order may hold", situation(target=9), None),
    ("a resting entry is not wanted any more", situation(RESTING, target=0), Cancel(RESTING)),
    ("a resting entry is not allowed any more", situation(RESTING, target=100, entry_allowed=False), Cancel(RESTING)),
    ("its cancel is on the way", situation(RESTING, target=0, cancelling=frozenset({6})), None),
    ("a MARKET order is not cancelled", situation(ENTRY, target=0), None),
    ("an exit, but the process ends", situation(STOP_90, position=100, target=0, stop=90, stopping=True), None),
    ("a stop to move, but the process ends", situation(STOP_90, position=100, target=100, stop=95, stopping=True), None),
    ("an exit whose stop is gone is finished even then", situation(position=100, target=0, stop=90, stopping=True), leave(100)),
    ("coins without a stop", situation(position=100, target=100, stop=90), protect(100)),
    ("coins of a strategy without a stop", situation(position=100, target=100), None),
    ("an entry is still filling", situation(ENTRY, position=50, target=150, stop=90, settling=True), None),
    ("an entry has paused", situation(ENTRY, position=50, target=150, stop=90), protect(50)),
    ("a stop covers a part: the rest gets its own", situation(STOP_90, position=150, target=150, stop=90), protect(50)),
    ("a stop covers all", situation(STOP_90, position=100, target=100, stop=90), None),
    ("the stop has moved", situation(STOP_90, position=100, target=100, stop=95), Amend(STOP_90, 95)),
    ("a stop covers too much", situation(STOP_90, position=50, target=50, stop=90), Cancel(STOP_90)),
    ("a stop for coins that are gone", situation(STOP_90, position=0, target=0, stop=90), Cancel(STOP_90)),
    ("what is left is too small to protect", situation(position=9, target=9, stop=90), None),
    ("an exit without a stop", situation(position=100, target=0), leave(100)),
    ("an exit takes the stop away first", situation(STOP_90, position=100, target=0, stop=90), Cancel(STOP_90)),
    ("and waits until that is done", situation(STOP_90, position=100, target=0, stop=90, cancelling=frozenset({7})), None),
    ("an exit beside a stop that leaves room", situation(STOP_90, position=300, target=200, stop=90), leave(100)),
    ("an exit is under way", situation(exit_order(100), position=100, target=0), None),
    ("an exit under way covers a part", situation(exit_order(40), position=100, target=0), leave(60)),
    ("an unknown exit counts as filled", situation(exit_order(100, IntentState.UNKNOWN), position=100, target=0), None),
    ("an unknown stop blocks its coins", situation(stop_order(state=IntentState.UNKNOWN), position=100, target=0), None),
    ("an unknown stop leaves the others free", situation(stop_order(60, state=IntentState.INTENT), position=100, target=60), leave(40)),
    ("an exit waits for a resting entry to be gone", situation(RESTING, position=50, target=0, cancelling=frozenset({6})), None),
    ("exits go on when entries are forbidden", situation(position=100, target=0, entry_allowed=False), leave(100)),
]


@pytest.mark.parametrize(("now", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_next_action(now: Situation, expected: Action | None) -> None:
    assert next_action(now) == expected


OPEN_STATES = [state for state in IntentState if not state.is_final]


@st.composite
def intents(draw: st.DrawFn, number: int) -> Intent:
    purpose = draw(st.sampled_from(Purpose))
    lots = draw(st.integers(1, 2_000))
    kind = OrderType.STOP if purpose is Purpose.PROTECT else draw(st.sampled_from([OrderType.MARKET, OrderType.LIMIT]))
    return intent(
        intent_id=number,
        purpose=purpose,
        side=Side.BUY if purpose is Purpose.ENTRY else Side.SELL,
        type=kind,
        lots=lots,
        price=draw(st.sampled_from([0, 90, 95])),
        executed_lots=draw(st.integers(0, lots - 1)),
        state=draw(st.sampled_from(OPEN_STATES)),
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    count = draw(st.integers(0, 4))
    return Situation(
        position=draw(st.integers(0, 3_000)),
        target=draw(st.integers(0, 3_000)),
        stop=draw(st.sampled_from([0, 90, 95])),
        entry_allowed=draw(st.booleans()),
        entry_left=draw(st.sampled_from([0, 50, 3_000])),
        settling=draw(st.booleans()),
        stopping=draw(st.booleans()),
        cancelling=frozenset(draw(st.sets(st.integers(1, 4)))),
        open=tuple(draw(intents(number)) for number in range(1, count + 1)),
        min_lots=10,
        max_lots=1_000,
    )


@settings(max_examples=400, deadline=None)
@given(situations())
def test_no_sell_ever_asks_for_coins_that_another_could_take(now: Situation) -> None:
    action = next_action(now)
    if isinstance(action, Cancel):
        assert action.intent in now.open
        assert action.intent.intent_id not in now.cancelling
        assert not action.intent.state.is_unresolved
        surplus = sum(i.open_lots for i in now.open if i.side is Side.SELL) > now.position
        assert not now.stopping or surplus or action.intent.purpose is Purpose.ENTRY, "the end of a process takes no protection away"
    if not isinstance(action, Place):
        return
    assert now.min_lots <= action.lots <= now.max_lots
    if action.side is Side.SELL:
        assert action.lots + sum(i.open_lots for i in now.open if i.side is Side.SELL) <= now.position
    else:
        assert now.entry_allowed
        assert action.lots <= now.entry_left
        assert not any(i.state.is_unresolved for i in now.open)
        assert now.position + action.lots <= now.target


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_along_any_path_every_unknown_order_could_fill_at_once(seed: int) -> None:
    """Orders get lost, fill in pieces, are cancelled or not: own coins stay own coins."""
    draw = random.Random(seed)
    open_: dict[int, Intent] = {}
    position = number = 0
    for _ in range(60):
        for key, known in list(open_.items()):
            fate = draw.random()
            if known.state is IntentState.UNKNOWN and fate < 0.3:
                del open_[key]
            elif known.state is not IntentState.UNKNOWN and fate < 0.3:
                lots = draw.randint(1, known.open_lots)
                position += lots if known.side is Side.BUY else -lots
                open_[key] = msgspec.structs.replace(known, executed_lots=known.executed_lots + lots, state=WORKING)
                if open_[key].open_lots == 0:
                    del open_[key]
        now = situation(
            *open_.values(),
            position=position,
            target=draw.choice((0, 50, 100, 1_000)),
            stop=draw.choice((0, 90, 95)),
            entry_allowed=draw.random() < 0.7,
            settling=draw.random() < 0.2,
        )
        action = next_action(now)
        if isinstance(action, Place):
            number += 1
            state = draw.choice((IntentState.UNKNOWN, IntentState.ACKNOWLEDGED))
            sent = {name: getattr(action, name) for name in ("purpose", "side", "type", "lots", "price")}
            open_[number] = intent(intent_id=number, state=state, **sent)
        elif isinstance(action, Cancel) and draw.random() < 0.7:
            del open_[action.intent.intent_id]
        sold = sum(i.open_lots for i in open_.values() if i.side is Side.SELL)
        assert position - sold >= 0, f"seed {seed}"


MIRRORED = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def mirrored(now: Situation) -> Situation:
    """Return the same situation on the other side of the market."""
    turned = tuple(msgspec.structs.replace(known, side=MIRRORED[known.side]) for known in now.open)
    return replace(now, position=-now.position, target=-now.target, open=turned)


@settings(max_examples=400, deadline=None)
@given(situations(), st.booleans())
def test_a_short_position_is_a_long_one_in_a_mirror(now: Situation, leverage: bool) -> None:
    now = replace(now, leverage=leverage)
    here, there = next_action(now), next_action(mirrored(now))
    if isinstance(here, Place):
        here = replace(here, side=MIRRORED[here.side])
    elif here is not None:
        here = replace(here, intent=msgspec.structs.replace(here.intent, side=MIRRORED[here.intent.side]))
    assert here == there


CLOSE_STOP = stop_order()
LEVERAGE: list[tuple[str, Situation, Action | None]] = [
    ("a short is wanted", situation(target=-100), Place(Purpose.ENTRY, Side.SELL, OrderType.MARKET, 100)),
    ("a flip closes first", situation(position=100, target=-100, stop=110), leave(100)),
    ("a flip takes the former stop away", situation(CLOSE_STOP, position=100, target=-100, stop=110), Cancel(CLOSE_STOP)),
    ("a flip waits for its close", situation(exit_order(100), position=100, target=-100, stop=110), None),
    ("a flip opens once it is flat", situation(target=-100, stop=110), Place(Purpose.ENTRY, Side.SELL, OrderType.MARKET, 100)),
    ("a stop of the side that is gone is taken away", situation(CLOSE_STOP, position=-50, target=-50, stop=110), Cancel(CLOSE_STOP)),
    ("nothing opens beside a stop of the other side", situation(stop_order(state=IntentState.INTENT), target=-100), None),
    ("an unknown exit of everything is no reason to wait", situation(exit_order(100, IntentState.UNKNOWN), position=100), leave(100)),
    ("an unknown exit of a part is", situation(exit_order(50, IntentState.UNKNOWN), position=100, target=50), None),
    ("nor is an unknown stop", situation(stop_order(state=IntentState.UNKNOWN), position=100), leave(100)),
    ("the only position is named", situation(position=100, pieces=((5, 100),)), replace(leave(100), position_id=5)),
    ("one after the other", situation(position=100, pieces=((5, 60), (6, 40))), replace(leave(60), position_id=5)),
    (
        "what one order closes already is not named again",
        situation(replace_lots(5, 60), position=100, pieces=((5, 60), (6, 40))),
        replace(leave(40), position_id=6),
    ),
    ("its stop names it too", situation(position=100, target=100, stop=90, pieces=((5, 100),)), replace(protect(100), position_id=5)),
]


@pytest.mark.parametrize(("now", "expected"), [row[1:] for row in LEVERAGE], ids=[row[0] for row in LEVERAGE])
def test_the_next_action_on_leverage(now: Situation, expected: Action | None) -> None:
    assert next_action(replace(now, leverage=True)) == expected


MOVED: list[tuple[str, Situation, Action | None]] = [
    ("a change is on its way", situation(amending(95), position=100, target=100, stop=95), None),
    ("a change to yesterday's price is waited for", situation(amending(93), position=100, target=100, stop=95), None),
    (
        "its price will not change any more",
        situation(STOP_90, position=100, target=100, stop=95, unamendable=frozenset({7})),
        Cancel(STOP_90),
    ),
    ("no stop is wanted any more", situation(STOP_90, position=100, target=100, stop=0), Cancel(STOP_90)),
    ("a stop that is being moved is taken away for an exit", situation(amending(95), position=100), Cancel(amending(95))),
]


@pytest.mark.parametrize(("now", "expected"), [row[1:] for row in MOVED], ids=[row[0] for row in MOVED])
def test_a_stop_moves(now: Situation, expected: Action | None) -> None:
    assert next_action(now) == expected


BUY_STOP = intent(**(STOP | {"intent_id": 7, "lots": 100, "price": 110, "state": WORKING, "side": Side.BUY}))
LIMIT_EXIT = intent(**EXIT, intent_id=8, lots=40, type=OrderType.LIMIT, price=95, state=WORKING)
LOST_LIMIT = intent(**LIMIT_ENTRY, intent_id=6, state=IntentState.UNKNOWN)
EDGES: list[tuple[str, Situation, Action | None]] = [
    ("one lot is a position", situation(position=1, target=1, stop=90, min_lots=1), protect(1)),
    ("an entry of one lot", situation(target=1, min_lots=1), replace(BUY, lots=1)),
    ("an entry beside a stop for one lot", situation(stop_order(1), position=1, target=5, stop=90, min_lots=1), replace(BUY, lots=4)),
    ("a limit exit is no stop to be moved", situation(LIMIT_EXIT, position=100, target=100, stop=90), protect(60)),
    ("a stop for one lot stays", situation(stop_order(1), position=1, target=1, stop=90, min_lots=1), None),
    ("a resting entry of the former side goes before a flip", situation(RESTING, position=-50, target=100), Cancel(RESTING)),
    ("a stop of a short that is gone", situation(BUY_STOP, stop=110), Cancel(BUY_STOP)),
    ("a limit exit is under way", situation(LIMIT_EXIT, position=100), leave(60)),
    ("a market entry is no order our exit could meet", situation(ENTRY, position=100), leave(100)),
    ("nor is a limit entry that nobody has seen", situation(LOST_LIMIT, position=100), leave(100)),
    ("the smallest exit", situation(position=10), leave(10)),
    ("the smallest entry", situation(target=10), replace(BUY, lots=10)),
    ("too small an entry", situation(target=9), None),
    ("the smallest stop", situation(position=10, target=10, stop=90), protect(10)),
    ("an entry of which nothing is left to order", situation(target=100, entry_left=0), None),
    ("an entry of which little is left to order", situation(target=100, entry_left=30), replace(BUY, lots=30)),
    ("an entry beside a stop that covers what is held", situation(STOP_90, position=100, target=150, stop=90), replace(BUY, lots=50)),
    ("no entry beside an unknown stop", situation(stop_order(state=IntentState.UNKNOWN), position=100, target=150, stop=90), None),
    ("no entry beside an entry", situation(RESTING, target=150, stop=90), None),
    ("no entry beside an exit", situation(exit_order(10), position=100, target=150), None),
    ("a market order is not taken back", situation(ENTRY, position=50, target=0, min_lots=60), None),
    ("a stop at its price is not moved", situation(STOP_90, position=100, target=100, stop=90, entry_allowed=False), None),
    (
        "a second stop that stands elsewhere is moved",
        situation(stop_order(40), stop_order(60, 80, number=9), position=100, target=100, stop=90),
        Amend(stop_order(60, 80, number=9), 90),
    ),
    ("stops that cover just all", situation(stop_order(40), stop_order(60, number=9), position=100, target=100, stop=90), None),
    ("a stop that covers one lot too much", situation(STOP_90, position=99, target=99, stop=90), Cancel(STOP_90)),
    ("too much that cannot be taken back", situation(stop_order(state=IntentState.UNKNOWN), position=50, target=50, stop=90), None),
    ("an exit takes what its stop leaves", situation(STOP_90, position=110, target=100, stop=90), leave(10)),
    ("an exit that its stop leaves too little for", situation(STOP_90, position=110, target=99, stop=90), Cancel(STOP_90)),
    ("an entry may be allowed and not wanted", situation(RESTING, position=0, target=0), Cancel(RESTING)),
    ("or wanted and not allowed", situation(RESTING, target=100, entry_allowed=False), Cancel(RESTING)),
    (
        "what was acknowledged only can be taken back",
        situation(stop_order(state=IntentState.ACKNOWLEDGED), position=100),
        Cancel(stop_order(state=IntentState.ACKNOWLEDGED)),
    ),
    ("an own position too small to be closed alone is not named", situation(position=18, leverage=True, pieces=((5, 9), (6, 9))), None),
    (
        "one of them is just large enough",
        situation(position=19, leverage=True, pieces=((5, 9), (6, 10))),
        replace(leave(10), position_id=6),
    ),
    (
        "what an unknown exit names is named again",
        situation(
            msgspec.structs.replace(exit_order(100, IntentState.UNKNOWN), position_id=5), position=100, leverage=True, pieces=((5, 100),)
        ),
        replace(leave(100), position_id=5),
    ),
    (
        "but no stop is put on it",
        situation(
            msgspec.structs.replace(stop_order(60, state=IntentState.UNKNOWN), position_id=5),
            position=100,
            target=100,
            stop=90,
            leverage=True,
            pieces=((5, 60), (6, 40)),
        ),
        replace(protect(40), position_id=6),
    ),
    (
        "an unknown exit of a part counts on leverage too",
        situation(exit_order(40, IntentState.UNKNOWN), position=100, target=20, leverage=True),
        leave(40),
    ),
]


@pytest.mark.parametrize(("now", "expected"), [row[1:] for row in EDGES], ids=[row[0] for row in EDGES])
def test_the_next_action_at_the_edge(now: Situation, expected: Action | None) -> None:
    assert next_action(now) == expected


@pytest.mark.parametrize(("held", "first"), [(20, 10), (19, 15), (25, 15), (15, 15), (16, 15)])
def test_pieces_of_the_largest_order_where_it_is_hardly_larger_than_the_smallest(held: int, first: int) -> None:
    assert next_action(situation(position=held, max_lots=15)) == leave(first)


@pytest.mark.parametrize(("held", "first"), [(1_000, 1_000), (1_005, 995), (1_010, 1_000), (2_500, 1_000), (9, None)])
def test_a_close_is_split_such_that_nothing_too_small_is_left(held: int, first: int | None) -> None:
    assert next_action(situation(position=held)) == (leave(first) if first else None)


def test_an_entry_above_the_largest_order_is_ordered_in_pieces() -> None:
    assert next_action(situation(position=1_000, target=2_500, entry_left=1_500)) == replace(BUY, lots=1_000)
    assert next_action(situation(position=2_000, target=2_500, entry_left=500)) == replace(BUY, lots=500)
    assert next_action(situation(position=2_400, target=2_500, entry_left=0)) is None, "what did not fill is not chased"

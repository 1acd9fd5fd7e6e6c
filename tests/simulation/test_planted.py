"""Bugs planted into the daemon: the simulation finds each, and names the invariant that it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.simulation.__main__ import play
from tests.simulation.ours import Violation
from tests.simulation.plan import DAY_TURNS, Happening, Plan
from tests.simulation.shrink import shrunk

import gmobot.live.plan
import gmobot.live.trader
from gmobot.errors import NotSent
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.live.commands import Commands
from gmobot.live.daemon import Daemon
from gmobot.live.difference import Difference
from gmobot.live.gate import OrderGate
from gmobot.live.guards import Guards
from gmobot.live.housekeeping import Housekeeping
from gmobot.live.intents import Fill, Intent, Latch, Purpose
from gmobot.live.ledger import SymbolLedger
from gmobot.live.plan import Action, Cancel, Place, Situation
from gmobot.live.records import Event
from gmobot.live.search import Search
from gmobot.live.sender import Sender
from gmobot.live.store import Store
from gmobot.live.trader import SymbolTrader
from gmobot.venue.models import CloseRequest, OrderRequest, Side

SECONDS = 90.0


def plan(
    *happenings: Happening, seed: int = 4, product: str = "spot", seconds: float = SECONDS, risk: dict[str, str | bool] | None = None
) -> Plan:
    """Return a short plan."""
    return Plan(seed=seed, product=product, assumptions={}, entry={}, happenings=happenings, seconds=seconds, risk=risk or {})


PAUSE = Happening(kind="command", what="pause", at=30.0, until=SECONDS)
HALT = Happening(kind="command", what="halt", at=30.0, until=148.0)
TIGHT: dict[str, str | bool] = {"max_trade_loss": "50", "close_on_abort": True}
KILL = Happening(kind="kill", at=40.0, amount=3)
FLATTEN = msgspec.structs.replace(PAUSE, what="flatten")
HANG = Happening(kind="hang", at=29.0)
"""The strategy must not close by itself what the command is about."""


@pytest.fixture(autouse=True)
def _short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look of these short plans is short, too."""
    monkeypatch.setattr("tests.simulation.world.LAST_LOOK_SECONDS", 5.0)


def found(played: Plan) -> str:
    """Return what the simulation says of a plan."""
    with pytest.raises(Violation) as caught:
        play(played)
    return str(caught.value)


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_without_a_bug_nothing_is_found(product: str) -> None:
    result = play(plan(HALT, KILL, product=product))
    assert result.orders > 5
    assert result.kills == 1


def test_an_order_that_is_sent_blindly_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Sender._post

    async def twice(self: Sender, request: OrderRequest | CloseRequest, _: Callable[[], str | None]) -> int:
        await right(self, request, lambda: None)
        return await right(self, request, lambda: None)

    monkeypatch.setattr(Sender, "_post", twice)
    assert "no intent with two live orders" in found(plan())


def test_an_order_whose_intent_is_written_after_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_yet(self: Store, draft: Intent, *_: object, **__: object) -> Intent:
        return msgspec.structs.replace(draft, intent_id=1)

    monkeypatch.setattr(Store, "add_intent", not_yet)
    assert "no order without a prior intent" in found(plan())


def test_a_stop_that_is_never_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmobot.live.plan, "_protect", lambda _: None)
    assert "every position is protected" in found(plan())


def test_a_stop_that_is_never_placed_while_faults_strike_that_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmobot.live.plan, "_protect", lambda _: None)
    doubled = Happening(kind="fault", what="event_duplicated", where="*", at=0.0, until=SECONDS, amount=1.0)
    assert re.search(r"lots lie open: none 5\.\d s$", found(plan(doubled)))


def test_an_exit_that_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmobot.live.plan, "_reduce", lambda _: None)
    assert re.search(r"every exit happens: \d+ of \d+ lots are to go: none 5\.\d s$", found(plan()))


def test_a_take_profit_that_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SymbolTrader, "on_price", lambda _: None)
    assert re.search(r"every exit happens: \d+ of \d+ lots are to go: none 5\.\d s$", found(plan()))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_close_that_nothing_asks_for(monkeypatch: pytest.MonkeyPatch, product: str) -> None:
    def impatient(self: SymbolTrader) -> None:
        if self._books.position(self.symbol) and self._desire is not None and not self._leaves_side(self._desire):
            self._exit_reason = "take_profit"
            self.wake()

    monkeypatch.setattr(SymbolTrader, "on_price", impatient)
    assert "a close needs a reason" in found(plan(product=product))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_stop_far_from_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, product: str) -> None:
    right = SymbolTrader._situation

    def far(self: SymbolTrader) -> Situation:
        now = right(self)
        return replace(now, stop=int(now.stop * (0.85 if now.position >= 0 else 1.15)))

    monkeypatch.setattr(SymbolTrader, "_situation", far)
    assert "every STOP is where it is wanted" in found(plan(product=product))


TRAIL = Happening(kind="trail", at=20.0, until=SECONDS, amount=-500)


def test_a_stop_that_is_never_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmobot.live.plan, "_move", lambda *_: None)
    # Without it the next bar takes back what was wanted in between.
    hang = Happening(kind="hang", at=31.0)
    assert re.search(r"every STOP is where it is wanted: .*: none 5\.\d s$", found(plan(hang, TRAIL)))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_stop_that_is_moved_breaks_nothing(product: str) -> None:
    assert play(plan(Happening(kind="hang", at=31.0), TRAIL, product=product)).orders > 5


@pytest.mark.parametrize("where", ["*", "/v1/activeOrders"])
def test_a_stop_that_is_not_placed_while_no_question_is_answered(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    right = SymbolTrader._act

    async def asking(self: SymbolTrader) -> None:
        if self._books.position(self.symbol):
            await self._tracker._rest.active_orders(self.symbol)
        await right(self)

    monkeypatch.setattr(SymbolTrader, "_act", asking)
    silent = Happening(kind="questions", what="server_busy", where=where, at=20.0, until=80.0)
    assert re.search(r"(every exit happens|lie open).*question_failed 5\.\d s$", found(plan(silent)))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_guard_that_aborts_breaks_nothing(product: str) -> None:
    assert play(plan(risk=TIGHT, product=product)).orders > 0


def test_a_loss_that_no_guard_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(*_: object) -> None:
        return

    monkeypatch.setattr(Guards, "assess", blind)
    assert "a guard halts: a trade has lost" in found(plan(risk=TIGHT))


def test_a_close_of_everything_that_nobody_heeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guards, "closing", False)
    assert "every exit happens" in found(plan(HANG, FLATTEN))


OFF = Happening(kind="watch", what="switched_off", at=30.0, until=60.0, amount=1.0)
CHANGED = msgspec.structs.replace(OFF, what="changed", amount=0.0)


@pytest.mark.parametrize("product", ["spot", "leverage"])
@pytest.mark.parametrize("unarmed", [OFF, CHANGED])
def test_a_daemon_that_may_not_send_for_a_while_breaks_nothing(product: str, unarmed: Happening) -> None:
    played = msgspec.structs.replace(plan(unarmed, product=product), environment="production")
    assert play(played).orders > 5


@pytest.mark.parametrize("unarmed", [OFF, CHANGED])
def test_a_daemon_that_sends_without_leave(monkeypatch: pytest.MonkeyPatch, unarmed: Happening) -> None:
    monkeypatch.setattr(Daemon, "_watch_reason", lambda _: None)
    assert "nothing leaves while it may not send" in found(msgspec.structs.replace(plan(unarmed), environment="production"))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_stop_that_is_taken_away_for_an_exit_that_may_not_leave(monkeypatch: pytest.MonkeyPatch, product: str) -> None:
    monkeypatch.setattr(gmobot.live.trader, "_guards_nothing", lambda *_: True)
    assert "which closes, was cancelled" in found(plan(OFF, product=product))


def test_a_day_that_turns_with_positions_open_breaks_nothing() -> None:
    assert play(at_the_turn()).orders > 5


def test_a_day_that_never_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Housekeeping, "_closed", lambda *_: None)
    assert re.search(r"days \[\] left totals behind, \[\d+\] have ended", found(at_the_turn()))


def test_a_fee_over_night_that_nobody_books(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(_: Search, found: Difference, **__: object) -> Difference:
        return found

    monkeypatch.setattr(Search, "explain", blind)
    assert "cash differs by" in found(at_the_turn())


def at_the_turn() -> Plan:
    """Return a plan in which the strategy hangs with a position open before 06:00 JST, until its fee was booked."""
    hang = Happening(kind="hang", at=30.0)
    return msgspec.structs.replace(plan(hang, product="leverage", seconds=130.0), start=DAY_TURNS - 40.0)


def test_an_exit_that_rests_away_from_the_market(monkeypatch: pytest.MonkeyPatch) -> None:
    right = OrderGate.denial

    def shy(self: OrderGate, place: Place, *args: Any, **kwargs: Any) -> str | None:
        return "price_collar" if place.purpose is Purpose.EXIT else right(self, place, *args, **kwargs)

    monkeypatch.setattr(OrderGate, "denial", shy)
    monkeypatch.setattr(OrderGate, "collar_price", lambda _, market, side: int(market.mark() * (1.05 if side is Side.SELL else 0.95)))
    assert re.search(r"lots lie open: none 5\.\d s$", found(plan()))


def test_a_stop_that_is_moved_before_it_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unwritten(self: Books, intent: Intent, price: int) -> Intent:
        return msgspec.structs.replace(intent, amending_to=price)

    monkeypatch.setattr(Books, "amend", unwritten)
    assert "was moved to" in found(plan(TRAIL, seed=5, product="leverage"))


def test_a_fill_that_is_booked_with_another_fee(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Books._fill

    def wrong(self: Books, *args: Any) -> Fill:
        fill = right(self, *args)
        return msgspec.structs.replace(fill, fee_uyen=fill.fee_uyen + 1)

    monkeypatch.setattr(Books, "_fill", wrong)
    assert "every execution booked exactly once" in found(plan())


def test_a_fill_that_is_booked_twice_into_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SymbolLedger.apply

    def twice(self: SymbolLedger, *args: Any, **kwargs: Any) -> int:
        right(self, *args, **kwargs)
        return right(self, *args, **kwargs)

    monkeypatch.setattr(SymbolLedger, "apply", twice)
    assert "our ledger = the exchange's" in found(plan())


def test_a_pause_that_nobody_heeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guards, "entry_bar", lambda *_: None)
    assert "after pause no order raises exposure" in found(plan(PAUSE))


async def _nothing(*_: object) -> None:
    return


@pytest.mark.parametrize("command", ["pause", "halt"])
def test_a_command_that_does_nothing(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(Commands, command, _nothing)
    assert f"after {command} no order raises exposure" in found(plan(msgspec.structs.replace(PAUSE, what=command)))


@pytest.mark.parametrize("product", ["spot", "leverage"])
@pytest.mark.parametrize("instead", [_nothing, Commands.halt])
def test_a_flatten_that_closes_nothing(monkeypatch: pytest.MonkeyPatch, product: str, instead: Callable[..., Any]) -> None:
    async def halts(self: Commands, source: str) -> None:
        await instead(self, source)

    monkeypatch.setattr(Commands, "flatten", halts)
    assert re.search(r"every exit happens: \d+ of \d+ lots are to go: none 5\.\d s$", found(plan(HANG, FLATTEN, product=product)))


@pytest.mark.parametrize("command", ["pause", "halt", "flatten"])
def test_a_command_that_is_kept_in_memory_only(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    right = Store.latch

    async def forgetful(self: Store, name: Latch, *args: Any) -> None:
        if name is Latch.ARMED:
            await right(self, name, *args)

    monkeypatch.setattr(Store, "latch", forgetful)
    died = msgspec.structs.replace(KILL, at=30.02)
    assert f"after {command} no order raises exposure" in found(plan(msgspec.structs.replace(PAUSE, what=command), died))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_clean_stop_that_takes_the_stops_away(monkeypatch: pytest.MonkeyPatch, product: str) -> None:
    right = Daemon._wind_down

    async def tidy(self: Daemon) -> None:
        await right(self)
        assert self.books is not None
        for intent in [intent for symbol in self.desks for intent in self.books.open_intents(symbol)]:
            if intent.purpose is Purpose.PROTECT and intent.order_id is not None:
                await self.account_rest.cancel_order(intent.order_id)

    monkeypatch.setattr(Daemon, "_wind_down", tidy)
    stopped = Happening(kind="watch", what="changed", at=40.0, until=60.0)
    assert re.search(r"a clean stop leaves its STOPs and no entry: (\d+) of \1 lots lie open", found(plan(HANG, stopped, product=product)))


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_clean_stop_that_leaves_an_entry(monkeypatch: pytest.MonkeyPatch, product: str) -> None:
    right = gmobot.live.plan.next_action

    def lazy(now: Situation) -> Action | None:
        action = right(now)
        return None if now.stopping and isinstance(action, Cancel) and action.intent.opens else action

    monkeypatch.setattr(gmobot.live.trader, "next_action", lazy)
    stops = [Happening(kind="watch", what="changed", at=at, until=at + 3.0) for at in range(20, 80, 4)]
    resting = msgspec.structs.replace(plan(*stops, product=product), entry={"method": "passive_limit", "rest_seconds": 5.0})
    assert re.search(r"a clean stop leaves its STOPs and no entry: .* [1-9]\d* may still be opened", found(resting))


@pytest.mark.parametrize("product", ["spot", "leverage"])
@pytest.mark.parametrize("how", ["dropped", "silent"])
def test_an_outage_of_everything_and_refused_connections_break_nothing(product: str, how: str) -> None:
    refused = Happening(kind="refused", where="*", at=15.0, until=60.0, amount=0.1)
    outages = [Happening(kind="outage", what=how, at=at, until=at + 8.0) for at in (30.0, 50.0)]
    stop = Happening(kind="stop", what="lots", at=70.0)
    assert play(plan(refused, *outages, stop, product=product)).orders > 5


def test_an_order_that_never_left_and_is_not_tried_again_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Sender._post

    async def sulking(self: Sender, *args: Any) -> int:
        try:
            return await right(self, *args)
        except NotSent:
            await asyncio.sleep(10.0)
            raise

    monkeypatch.setattr(Sender, "_post", sulking)
    refused = Happening(kind="refused", where="/v1/order", at=15.0, until=80.0, amount=0.3)
    assert re.search(r"lie open: none 5\.\d s, write_refused 3\.\d s$", found(plan(refused)))


def test_an_entry_larger_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gmobot.live.plan._piece
    monkeypatch.setattr(gmobot.live.plan, "_piece", lambda lots, now: right(lots, now) + (lots > 0))
    monkeypatch.setattr(OrderGate, "denial", lambda *_, **__: None)
    assert "worst-case exposure" in found(plan())


def two(second: str, *happenings: Happening, **risk: str | bool) -> Plan:
    """Return a short plan of two symbols, of which one at a time may be open unless the risk section has a limit."""
    product = "spot" if second in ("ETH", "BTC_JPY") else "leverage"
    return msgspec.structs.replace(
        plan(*happenings, product=product, risk=risk), second=second, filters={"max_positions": 2 if risk else 1}
    )


@pytest.mark.parametrize("second", ["ETH", "ETH_JPY", "BTC", "BTC_JPY"])
def test_two_symbols_on_one_account_break_nothing(second: str) -> None:
    assert play(two(second, HALT, KILL, max_leverage="0.02")).orders > 10


@pytest.mark.parametrize("second", ["ETH", "BTC"])
def test_more_symbols_open_at_once_than_may_be(monkeypatch: pytest.MonkeyPatch, second: str) -> None:
    monkeypatch.setattr(Account, "open_beside", lambda *_: [])
    assert "are open at once, the limit is 1" in found(two(second))


def test_an_entry_that_is_judged_without_what_another_symbol_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Account.worst_gross_uyen
    monkeypatch.setattr(Account, "worst_gross_uyen", lambda self, symbol, **adding: right(self, symbol, **adding) if adding else 0)
    assert "times the equity, the limit is 0.012" in found(two("ETH", max_leverage="0.012"))


def test_entries_of_two_symbols_that_are_on_their_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderGate, "entering", lambda _: contextlib.nullcontext(True))
    monkeypatch.setattr(SymbolTrader, "_last_word", lambda *_: None)
    slow = msgspec.structs.replace(two("BTC"), write_seconds=0.05)
    assert re.search("while an outcome is unknown|are open at once", found(slow))


def test_an_entry_beside_an_order_of_another_symbol_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Daemon._standing
    monkeypatch.setattr(Daemon, "_standing", lambda self: replace(right(self), unknown=0))
    monkeypatch.setattr(Guards, "entry_bar", lambda *_: None)
    lost = Happening(kind="fault", what="reply_lost_before", where="/v1/order", at=20.0, until=SECONDS, amount=0.3)
    assert "while an outcome is unknown" in found(msgspec.structs.replace(two("ETH_JPY", lost, max_leverage="0"), seed=5))


def test_a_plan_shrinks_to_the_two_happenings_that_a_bug_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Guards.__init__

    def forgetful(self: Guards, *args: Any, latches: Mapping[Latch, str], **kwargs: Any) -> None:
        right(self, *args, latches={name: why for name, why in latches.items() if name is not Latch.HALT}, **kwargs)

    monkeypatch.setattr(Guards, "__init__", forgetful)
    noise = (
        Happening(kind="fault", what="event_duplicated", where="*Events", at=1.0, until=SECONDS, amount=0.3),
        Happening(kind="manual", what="market", at=20.0, amount=1),
        Happening(kind="fault", what="reply_slow", where="/v1/*", at=25.0, until=SECONDS, amount=0.05),
        Happening(kind="clock", at=35.0, until=60.0, amount=0.2),
    )
    whole = plan(*noise[:3], HALT, noise[3], KILL, seed=5, seconds=150.0)
    assert "after halt no order raises exposure" in found(whole)
    assert shrunk(whole, fails).happenings == (HALT, KILL)


def fails(played: Plan) -> bool:
    """Return whether a plan breaks an invariant."""
    try:
        play(played)
    except Violation:
        return True
    return False


def test_shrinking_plays_few_plans_and_keeps_the_order() -> None:
    happenings = tuple(Happening(kind="clock", at=float(number)) for number in range(32))
    played: list[Sequence[Happening]] = []

    def both(tried: Plan) -> bool:
        played.append(tried.happenings)
        return {3.0, 29.0} <= {happening.at for happening in tried.happenings}

    assert [happening.at for happening in shrunk(plan(*happenings), both).happenings] == [3.0, 29.0]
    assert len(played) < 60


def test_a_plan_that_fails_without_any_happening_shrinks_to_nothing() -> None:
    assert shrunk(plan(HALT, KILL), lambda _: True).happenings == ()


def test_a_fill_that_the_audit_log_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Store.book

    async def quietly(self: Store, fill: Fill, intent: Intent, ledger: Mapping[str, int], events: Sequence[Event], *rest: Any) -> None:
        await right(self, fill, intent, ledger, [event for event in events if event.name != "fill"], *rest)

    monkeypatch.setattr(Store, "book", quietly)
    assert "the audit log tells of each fill" in found(plan())


def test_an_intent_that_the_audit_log_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Store.add_intent

    async def quietly(self: Store, draft: Intent, event: Callable[[Intent], Event], **rest: Any) -> Intent:
        return await right(self, draft, lambda made: Event("unheard", event(made).fields), **rest)

    monkeypatch.setattr(Store, "add_intent", quietly)
    assert "the audit log tells of each order_intent" in found(plan())

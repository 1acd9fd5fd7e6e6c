"""Every guard with the fault it exists for; an abort latches, outlives the process, and waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, Bench, fill, intent

from gmobot.core.compiled import PlainRecord
from gmobot.core.records import RISK_ABORT, RISK_DEGRADED, RISK_OK
from gmobot.core.settings import Settings
from gmobot.errors import StoreError
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.live.guards import Guards
from gmobot.live.intents import Latch, Purpose
from gmobot.live.market import Market
from gmobot.live.store import Store
from gmobot.live.supervisor import Supervisor
from gmobot.venue.models import ExchangeStatus, Side, StreamNotice

YEN = 1_000_000
LOTS = 10_000
"""A tenth of a coin: at the opening price the whole capital of a million yen."""


class Guarded:
    """Guards over an account that owns a tenth of a coin, bought for all it had."""

    def __init__(self, bench: Bench, **risk: Any) -> None:
        self.bench = bench
        limits: dict[str, Any] = {name: Decimal(value) for name, value in risk.items()}
        self.settings = replace(Settings(instrument=BTC, fixed_size=Decimal("0.01")), **limits)

    async def open(self, *, close_on_abort: bool = True) -> Guards:
        await self.bench.open()
        if self.bench.account.state.base_cash is None:
            self.bench.account.start(1_000_000 * YEN, {})
            await self.bench.acknowledged(order_id=900, lots=LOTS)
            await self.bench.books.book(fill(9_000, 900, LOTS, fee=0))
        return self.put_up(close_on_abort=close_on_abort)

    def put_up(self, *, close_on_abort: bool = True) -> Guards:
        bench = self.bench
        self.supervisor = Supervisor(
            ("public",), bench.clock, degraded_after_seconds=60.0, maintenance_max_minutes=60.0, changed=lambda status, why: None
        )
        self.supervisor.on_notice(StreamNotice(stream="public", state="up"))
        self.decisions = SimpleNamespace(hung=False)
        self.protection = SimpleNamespace(alarmed=False)
        limits = PlainRecord(self.settings.record()[0])
        parts = {"market": bench.market, "limits": limits, "decisions": self.decisions, "protection": self.protection}
        self.desks: Any = {"BTC": SimpleNamespace(**parts)}
        self.guards = Guards(
            bench.store,
            self.supervisor,
            bench.directory,
            latches=bench.saved.latches,
            judged={"BTC": bench.saved.account.get("judged:BTC", 0)},
            min_free_disk_bytes=1_000,
            max_clock_skew_seconds=2.0,
            close_on_abort=close_on_abort,
            circuit_open=lambda: bench.gate.circuit_open,
        )
        self.guards.look_around(0)
        return self.guards

    async def assess(self) -> tuple[int, list[str]]:
        self.bench.account.observe()
        await self.guards.assess(self.bench.account, self.desks)
        return self.guards.status, self.guards.reasons

    def bar(self) -> str | None:
        return self.guards.entry_bar(self.desks.values(), len(self.bench.books.unresolved()))


def price(ticks: int) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench.market, "last", ticks)


def drift(yen: int) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench.account, "wallet_drift_uyen", yen * YEN)


def nothing(_: Bench) -> None:
    return


PLANTED: list[tuple[dict[str, str], Callable[[Bench], None], Callable[[Bench], None], int, str]] = [
    ({"max_drawdown": "0.1"}, price(9_000_000), price(8_999_999), RISK_ABORT, "max_drawdown_exceeded"),
    ({"daily_loss_limit": "100000"}, price(9_000_000), price(8_999_999), RISK_DEGRADED, "daily_loss_limit_exceeded"),
    ({"max_trade_loss": "100000"}, price(9_000_000), price(8_999_999), RISK_ABORT, "max_trade_loss_exceeded"),
    ({"max_leverage": "1"}, nothing, lambda bench: bench.account.start(999_999 * YEN, {}), RISK_DEGRADED, "max_leverage_exceeded"),
    ({"max_wallet_drift": "100"}, drift(100), drift(101), RISK_DEGRADED, "wallet_drift_exceeded"),
    ({"max_wallet_drift": "100"}, drift(-100), drift(-101), RISK_DEGRADED, "wallet_drift_exceeded"),
]


@pytest.mark.parametrize(("risk", "just_within", "beyond", "status", "reason"), PLANTED)
async def test_a_guard_trips_beyond_its_limit_and_not_before(
    bench: Bench,
    risk: dict[str, str],
    just_within: Callable[[Bench], None],
    beyond: Callable[[Bench], None],
    status: int,
    reason: str,
) -> None:
    guarded = Guarded(bench, **risk)
    await guarded.open()
    just_within(bench)
    assert await guarded.assess() == (RISK_OK, [])
    assert guarded.bar() is None
    beyond(bench)
    assert await guarded.assess() == (status, [reason])
    assert guarded.bar() == ("operator_halt" if status == RISK_ABORT else reason)
    assert guarded.guards.halted == guarded.guards.closing == (status == RISK_ABORT)
    await bench.close()


@pytest.mark.parametrize(("size", "status"), [("0.1", RISK_OK), ("0.09999", RISK_DEGRADED)])
async def test_a_position_beyond_its_limit_is_degraded(bench: Bench, size: str, status: int) -> None:
    guarded = Guarded(bench, max_position_size=size)
    await guarded.open()
    assert (await guarded.assess())[0] == status
    await bench.close()


async def test_a_closed_trade_s_loss_aborts_once(bench: Bench) -> None:
    guarded = Guarded(bench, max_trade_loss="100000")
    await guarded.open()
    await guarded.assess()
    await bench.acknowledged(order_id=901, lots=LOTS, side=Side.SELL)
    await bench.books.book(fill(9_001, 901, LOTS, side=Side.SELL, price=8_999_999, fee=0))
    assert await guarded.assess() == (RISK_ABORT, ["max_trade_loss_exceeded"])
    assert await guarded.assess() == (RISK_OK, [])
    assert guarded.guards.halted, "what was latched stays"
    await bench.close()


async def test_what_an_open_trade_paid_in_fees_and_lost_already_counts(bench: Bench) -> None:
    guarded = Guarded(bench, max_trade_loss="100000")
    await guarded.open()
    await bench.acknowledged(order_id=901, lots=LOTS // 2, side=Side.SELL)
    await bench.books.book(fill(9_001, 901, LOTS // 2, side=Side.SELL, price=8_500_000, fee=10))
    bench.market.last = 9_500_000
    # Lost 75 000 on the half that is gone, 25 000 on the half that is left, and ten yen of fees.
    assert await guarded.assess() == (RISK_ABORT, ["max_trade_loss_exceeded"])
    await bench.close()


async def test_an_abort_outlives_the_process_and_is_told(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    await guarded.open()
    bench.market.last = 8_000_000
    await guarded.assess()
    await bench.reopen()
    bench.market.last = PRICE
    again = guarded.put_up()
    assert (again.halted, again.closing, again.halt_reason) == (True, True, "max_drawdown_exceeded")
    assert guarded.bar() == "operator_halt"
    told = [(event["event"], event.get("status"), event.get("command")) for event in bench.events()]
    assert ("risk_status_changed", "abort", None) in told
    assert ("control_command", None, "halt") in told
    await again.release([Latch.HALT, Latch.CLOSE], source="test")
    await bench.reopen()
    assert not guarded.put_up().halted
    await bench.close()


async def test_an_abort_that_keeps_its_stop_does_not_close(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    await guarded.open(close_on_abort=False)
    bench.market.last = 8_000_000
    await guarded.assess()
    assert (guarded.guards.halted, guarded.guards.closing) == (True, False)
    await bench.close()


async def test_a_trade_that_ended_before_anybody_looked_is_judged(bench: Bench) -> None:
    guarded = Guarded(bench, max_trade_loss="100000")
    await guarded.open()
    bench.market.last, bench.market.book = 0, None
    await bench.acknowledged(order_id=901, lots=LOTS, side=Side.SELL, purpose=Purpose.EXIT)
    await bench.books.book(fill(9_001, 901, LOTS, side=Side.SELL, price=8_000_000, fee=0))
    await guarded.assess()
    assert not guarded.guards.halted, "there is no price yet to judge the rest by"
    bench.market.last = PRICE
    await guarded.assess()
    assert guarded.guards.halt_reason == "max_trade_loss_exceeded"
    await guarded.guards.release([Latch.HALT, Latch.CLOSE], source="test")
    await guarded.assess()
    assert not guarded.guards.halted
    await bench.reopen()
    bench.market.last = PRICE
    again = guarded.put_up()
    await guarded.assess()
    assert not again.halted, "it was judged once"
    await bench.close()


@pytest.mark.parametrize("restarts", [False, True])
async def test_of_several_trades_that_end_between_two_looks_the_worst_is_judged(bench: Bench, *, restarts: bool) -> None:
    guarded = Guarded(bench, max_trade_loss="100000")
    await guarded.open()
    bench.market.last = PRICE
    for number, (side, price) in enumerate([(Side.SELL, 8_000_000), (Side.BUY, 8_000_000), (Side.SELL, 8_100_000)], 901):
        await bench.acknowledged(order_id=number, lots=LOTS, side=side, purpose=Purpose.EXIT if side is Side.SELL else Purpose.ENTRY)
        await bench.books.book(fill(number + 9_000, number, LOTS, side=side, price=price, fee=0))
    if restarts:
        await bench.reopen()
        bench.market.last = PRICE
        guarded.put_up()
    await guarded.assess()
    assert guarded.guards.halt_reason == "max_trade_loss_exceeded"
    assert not bench.books.ledger("BTC").trades, "nothing is kept of what was judged"
    await guarded.guards.release([Latch.HALT, Latch.CLOSE], source="test")
    for number, (side, price) in enumerate([(Side.BUY, 8_000_000), (Side.SELL, 8_100_000)], 911):
        await bench.acknowledged(order_id=number, lots=LOTS, side=side, purpose=Purpose.EXIT if side is Side.SELL else Purpose.ENTRY)
        await bench.books.book(fill(number + 9_000, number, LOTS, side=side, price=price, fee=0))
    await guarded.assess()
    assert not guarded.guards.halted, "what was judged is not judged again"
    await bench.close()


async def test_who_dies_before_the_halt_is_written_judges_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(bench, max_trade_loss="100000")
    guards = await guarded.open()
    await bench.acknowledged(order_id=901, lots=LOTS, side=Side.SELL, purpose=Purpose.EXIT)
    await bench.books.book(fill(9_001, 901, LOTS, side=Side.SELL, price=8_000_000, fee=0))

    async def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(guards, "set", die)
    with pytest.raises(KeyboardInterrupt):
        await guarded.assess()
    assert all(event["event"] != "risk_status_changed" for event in bench.events()), "it is told once it is latched"
    await bench.reopen()
    bench.market.last = PRICE
    guarded.put_up()
    await guarded.assess()
    assert guarded.guards.halted
    await bench.close()


async def test_a_halt_names_what_aborts_and_not_what_degrades(bench: Bench) -> None:
    guarded = Guarded(bench, daily_loss_limit="100000", max_trade_loss="100000")
    await guarded.open()
    bench.market.last = 8_000_000
    assert (await guarded.assess())[1] == ["daily_loss_limit_exceeded", "max_trade_loss_exceeded"]
    assert guarded.guards.halt_reason == "max_trade_loss_exceeded"
    await bench.close()


async def test_an_abort_closes_whatever_the_halt_was_for(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    guards = await guarded.open()
    await guards.set(Latch.HALT, "foreign_order", source="alarm")
    bench.market.last = 8_000_000
    for _ in range(2):
        await guarded.assess()
    assert (guards.halt_reason, guards.closing) == ("foreign_order", True)
    told = [event["command"] for event in bench.events() if event["event"] == "control_command"]
    assert told == ["halt", "close"]
    await bench.close()


async def test_an_abort_that_keeps_its_stop_closes_nothing_in_a_halt_either(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    guards = await guarded.open(close_on_abort=False)
    await guards.set(Latch.HALT, "foreign_order", source="alarm")
    bench.market.last = 8_000_000
    await guarded.assess()
    assert not guards.closing
    await bench.close()


async def test_too_many_refusals_in_a_row_open_nothing_and_are_told_once(bench: Bench) -> None:
    def told() -> int:
        return sum(event["event"] == "error" and event["reason"] == "reject_circuit_open" for event in bench.events())

    guarded = Guarded(bench)
    await guarded.open()
    for _ in range(3):
        assert guarded.bar() is None
        bench.gate.refused()
    assert guarded.bar() == "reject_circuit_open"
    for _ in range(2):
        await guarded.assess()
    assert told() == 1
    bench.gate.reset()
    await guarded.assess()
    assert guarded.bar() is None
    for _ in range(3):
        bench.gate.refused()
    await guarded.assess()
    assert told() == 2
    await bench.close()


async def test_abort_beats_degraded(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1", daily_loss_limit="1", max_wallet_drift="1")
    await guarded.open()
    bench.market.last = 8_000_000
    drift(5)(bench)
    status, reasons = await guarded.assess()
    assert status == RISK_ABORT
    assert set(reasons) == {"max_drawdown_exceeded", "daily_loss_limit_exceeded", "wallet_drift_exceeded"}
    await bench.close()


async def test_the_daily_loss_starts_anew_at_six_in_japan(bench: Bench) -> None:
    guarded = Guarded(bench, daily_loss_limit="100000")
    await guarded.open()
    bench.market.last = 8_000_000
    assert (await guarded.assess())[0] == RISK_DEGRADED
    bench.clock.advance(21 * 3_600 - 1)
    assert (await guarded.assess())[0] == RISK_DEGRADED, "five to six in Japan"
    bench.clock.advance(1)
    assert await guarded.assess() == (RISK_OK, [])
    assert guarded.bar() is None
    await bench.close()


async def test_peak_and_day_survive_a_restart(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    await guarded.open()
    bench.market.last = 11_000_000
    bench.account.observe()
    await bench.store.save_account(bench.account.state.to_dict())
    await bench.reopen()
    guarded.put_up()
    bench.market.last = 9_800_000
    assert await guarded.assess() == (RISK_ABORT, ["max_drawdown_exceeded"]), "measured from the peak before the restart"
    await bench.close()


async def test_the_day_s_loss_is_measured_from_this_morning_also_after_a_restart(bench: Bench) -> None:
    guarded = Guarded(bench, daily_loss_limit="100000")
    await guarded.open()
    bench.clock.advance(21 * 3_600)
    bench.market.last = 12_000_000
    bench.account.observe()
    await bench.store.save_account(bench.account.state.to_dict())
    await bench.reopen()
    guarded.put_up()
    bench.market.last = 10_900_000
    assert await guarded.assess() == (RISK_DEGRADED, ["daily_loss_limit_exceeded"]), "lost since six, though above the first day's start"
    await bench.close()


async def test_an_accepted_loss_is_where_the_next_drawdown_starts(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    await guarded.open()
    bench.market.last = 8_000_000
    await guarded.assess()
    bench.account.accept_loss()
    assert await guarded.assess() == (RISK_OK, [])
    bench.market.last = 7_199_999
    assert (await guarded.assess())[0] == RISK_ABORT
    await bench.close()


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (lambda g: g.supervisor.on_notice(StreamNotice(stream="public", state="down")), "stream_stale"),
        (lambda g: g.supervisor.on_exchange(ExchangeStatus.MAINTENANCE), "exchange_maintenance"),
        (lambda g: g.guards.look_around(2_000_000_001), "clock_skew"),
        (lambda g: g.guards.look_around(-2_000_000_001), "clock_skew"),
        (lambda g: setattr(g.guards, "disk_free_bytes", 999), "disk_low"),
        (lambda g: setattr(g.decisions, "hung", True), "strategy_timeout"),
    ],
)
async def test_nothing_opens_while(bench: Bench, plant: Callable[[Guarded], None], reason: str) -> None:
    guarded = Guarded(bench)
    await guarded.open()
    assert guarded.bar() is None
    plant(guarded)
    assert guarded.bar() == reason
    await bench.close()


async def test_on_its_limit_the_clock_and_the_disk_are_still_good(bench: Bench) -> None:
    guarded = Guarded(bench)
    guards = await guarded.open()
    for offset in (2_000_000_000, -2_000_000_000):
        guards.look_around(offset)
        assert guarded.bar() is None
    guards.disk_free_bytes = 1_000
    assert guarded.bar() is None
    await bench.close()


@pytest.mark.parametrize(
    ("part", "field", "reason"), [("decisions", "hung", "strategy_timeout"), ("protection", "alarmed", "position_unprotected")]
)
async def test_one_symbol_in_trouble_keeps_every_symbol_from_opening(bench: Bench, part: str, field: str, reason: str) -> None:
    guarded = Guarded(bench)
    await guarded.open()
    calm = SimpleNamespace(decisions=SimpleNamespace(hung=False), protection=SimpleNamespace(alarmed=False))
    guarded.desks = {"ETH": calm, **guarded.desks}
    assert guarded.bar() is None
    setattr(getattr(guarded, part), field, True)
    assert guarded.bar() == reason
    await bench.close()


async def test_a_symbol_without_a_price_does_not_hide_the_others(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1")
    await guarded.open()
    guarded.desks = {"ETH": SimpleNamespace(market=Market(BTC)), **guarded.desks}
    bench.market.last = 8_000_000
    assert await guarded.assess() == (RISK_ABORT, ["max_drawdown_exceeded"])
    await bench.close()


async def test_a_gain_that_has_no_price_yet_is_no_loss(bench: Bench) -> None:
    guarded = Guarded(bench, max_drawdown="0.1", daily_loss_limit="100000")
    await guarded.open()
    books = Books({"BTC": BTC, "BTC_JPY": BTC_JPY}, bench.store, bench.clock, await bench.store.load())
    other = Market(BTC_JPY, last=PRICE * 2)
    account = Account(books, {"BTC": bench.market, "BTC_JPY": other}, bench.clock, bench.account.state)
    await books.acknowledge(await books.add(intent(symbol="BTC_JPY")), 901)
    bought = fill(9_001, 901, fee=0)
    await books.book(msgspec.structs.replace(bought, symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=7))
    account.observe()
    account.state.day_start = account.state.peak
    assert account.state.peak == 2_000_000 * YEN
    other.last = 0
    await guarded.guards.assess(account, guarded.desks)
    assert (guarded.guards.status, guarded.guards.halted) == (RISK_OK, False), "BTC has its price, what gained has none"
    other.last = PRICE * 3 // 2
    await guarded.guards.assess(account, guarded.desks)
    assert guarded.guards.reasons == ["max_drawdown_exceeded", "daily_loss_limit_exceeded"]
    assert guarded.guards.halted
    await bench.close()


async def test_nothing_opens_while_an_outcome_is_unknown(bench: Bench) -> None:
    guarded = Guarded(bench)
    await guarded.open()
    await bench.books.unknown(await bench.intend(), "reply lost")
    assert guarded.bar() == "order_outcome_unknown"
    await bench.close()


async def test_a_latch_set_twice_is_told_once(bench: Bench) -> None:
    guarded = Guarded(bench)
    guards = await guarded.open()
    await guards.set(Latch.PAUSE, "operator_pause", source="socket")
    await guards.set(Latch.PAUSE, "operator_pause", source="socket")
    assert guarded.bar() == "operator_pause"
    assert len([event for event in bench.events() if event["event"] == "control_command"]) == 1
    assert not guards.armed("hash")
    await guards.set(Latch.ARMED, "hash", source="socket")
    assert (guards.armed("hash"), guards.armed("other")) == (True, False)
    await bench.close()


class Refusing:
    """Neither the database nor the emergency journal takes a latch, or takes one back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rights = {name: getattr(Store, name) for name in ("latch", "unlatch")}
        self._patch = monkeypatch
        for name in self._rights:
            monkeypatch.setattr(Store, name, self._refuse)

    async def _refuse(self, *_: object) -> None:
        # Something else may happen meanwhile.
        await asyncio.sleep(0)
        raise StoreError("no space left")

    def end(self) -> None:
        for name, right in self._rights.items():
            self._patch.setattr(Store, name, right)


def kept(bench: Bench) -> dict[str, str]:
    return dict(bench.sql("SELECT name, reason FROM latches"))


async def test_a_halt_that_cannot_be_written_holds_and_is_not_done_before_it_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(bench)
    guards = await guarded.open()
    refusing = Refusing(monkeypatch)
    for _ in range(2):
        with pytest.raises(StoreError):
            await guards.set(Latch.HALT, "operator_halt", source="test")
        assert (guards.halted, guarded.bar(), kept(bench)) == (True, "operator_halt", {})
    refusing.end()
    await guards.set(Latch.HALT, "operator_halt", source="test")
    assert kept(bench) == {"halt": "operator_halt"}
    await guards.set(Latch.HALT, "operator_halt", source="test")
    await guards.keep()
    assert [event["event"] for event in bench.events()].count("control_command") == 1
    await bench.reopen()
    assert guarded.put_up().halted
    await bench.close()


async def test_what_could_not_be_written_is_written_as_soon_as_it_can_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    guards = await Guarded(bench).open()
    refusing = Refusing(monkeypatch)
    for latch in (Latch.HALT, Latch.CLOSE):
        with pytest.raises(StoreError):
            await guards.set(latch, "operator_halt", source="test")
    await guards.keep()
    assert kept(bench) == {}
    refusing.end()
    await guards.keep()
    assert kept(bench) == {"halt": "operator_halt", "close": "operator_halt"}
    await bench.close()


async def test_a_halt_given_twice_is_done_when_it_is_written_and_written_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    guards = await Guarded(bench).open()
    right, goes_on = Store.latch, asyncio.Event()

    async def slow(self: Store, *args: Any) -> None:
        await goes_on.wait()
        await right(self, *args)

    monkeypatch.setattr(Store, "latch", slow)
    twice = [asyncio.create_task(guards.set(Latch.HALT, "operator_halt", source="test")) for _ in range(2)]
    other = asyncio.create_task(guards.set(Latch.PAUSE, "operator_pause", source="test"))
    await asyncio.sleep(0.01)
    assert guards.halted
    assert not any(task.done() for task in twice)
    # For another reason while the first is being written.
    again = asyncio.create_task(guards.set(Latch.HALT, "max_drawdown_exceeded", source="guard"))
    await asyncio.sleep(0.01)
    goes_on.set()
    await asyncio.gather(*twice, other, again)
    assert kept(bench) == {"halt": "max_drawdown_exceeded", "pause": "operator_pause"}
    assert [event["reason"] for event in bench.events() if event["event"] == "control_command"].count("operator_halt") == 1
    await bench.close()


async def test_what_cannot_be_taken_back_holds_as_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(bench)
    guards = await guarded.open()
    await guards.set(Latch.HALT, "operator_halt", source="test")
    refusing = Refusing(monkeypatch)
    with pytest.raises(StoreError):
        await guards.release([Latch.HALT, Latch.PAUSE], source="test")
    assert (guards.halted, kept(bench)) == (True, {"halt": "operator_halt"})
    refusing.end()
    await guards.release([Latch.HALT, Latch.PAUSE], source="test")
    await guards.release([Latch.HALT], source="test")
    assert (guards.halted, kept(bench)) == (False, {})
    await bench.close()


async def test_what_is_taken_back_before_it_was_written_is_written_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    guards = await Guarded(bench).open()
    refusing = Refusing(monkeypatch)
    with pytest.raises(StoreError):
        await guards.set(Latch.HALT, "operator_halt", source="test")
    refusing.end()
    await guards.release([Latch.HALT], source="test")
    await guards.keep()
    assert (guards.halted, kept(bench)) == (False, {})
    await bench.close()


async def test_a_halt_while_another_is_taken_back_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    guards = await Guarded(bench).open()
    await guards.set(Latch.HALT, "operator_halt", source="test")
    right, goes_on = Store.unlatch, asyncio.Event()

    async def slow(self: Store, *args: Any) -> None:
        await goes_on.wait()
        await right(self, *args)

    monkeypatch.setattr(Store, "unlatch", slow)
    gone = asyncio.create_task(guards.release([Latch.HALT], source="test"))
    await asyncio.sleep(0.01)
    again = asyncio.create_task(guards.set(Latch.HALT, "operator_halt", source="test"))
    await asyncio.sleep(0.01)
    goes_on.set()
    await asyncio.gather(gone, again)
    assert (guards.halted, kept(bench)) == (True, {"halt": "operator_halt"})
    await bench.close()

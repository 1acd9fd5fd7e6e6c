"""Each invariant goes red when what it forbids has happened, and stays green beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from decimal import Decimal
from pathlib import Path

import pytest
from tests.simulation.evidence import Booked, Evidence, Prior
from tests.simulation.invariants import (
    ALIVE_SECONDS,
    Exits,
    Protection,
    TradeLosses,
    asked_for,
    audit_chain_verifies,
    every_execution_booked_once,
    exposure_within_limits,
    ledger_is_what_is_booked,
    leverage_within_limits,
    no_change_without_a_prior_intent,
    no_entry_after_halt,
    no_foreign_position_named,
    no_intent_with_two_live_orders,
    no_order_without_a_prior_intent,
    no_protection_taken_without_leave,
    nothing_foreign_touched,
    nothing_raising_while_unknown,
    nothing_sent_without_leave,
    positions_within_limits,
)
from tests.simulation.loop import EPOCH_NS
from tests.simulation.ours import Holding, OurAccount, Ours, Violation
from tests.simulation.plan import Plan
from tests.simulation.setting import BALANCES, FOREIGN_LOTS, INSTRUMENTS
from tests.simulation.trouble import BOUNDS, Trouble

from gmobot.clock import NS_PER_SECOND
from gmobot.core.records import BAR_LATE
from gmobot.emulator.engine.checks import NewOrder
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.engine.records import Account, Order
from gmobot.emulator.market import SyntheticMarket
from gmobot.live import emergency, schema, statements
from gmobot.live.intents import Intent, IntentState, Latch, Purpose
from gmobot.live.records import EngineRow
from gmobot.ops.audit import AuditLog
from gmobot.venue.models import OrderType, Settle, Side, TimeInForce

BTC, BTC_JPY = INSTRUMENTS["BTC"], INSTRUMENTS["BTC_JPY"]
BUY = NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.01"), None)
NOW = EPOCH_NS


class FixedClock:
    """A clock that stands still."""

    def now_ns(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def intent(
    number: int, *, state: IntentState = IntentState.INTENT, order_id: int | None = None, amending_to: int = 0, symbol: str = "BTC"
) -> Intent:
    return Intent(
        intent_id=number,
        symbol=symbol,
        purpose=Purpose.ENTRY,
        side=Side.BUY,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        lots=1_000,
        price=0,
        decision_id=77,
        created_ns=NOW,
        updated_ns=NOW,
        state=state,
        order_id=order_id,
        amending_to=amending_to,
        settle=Settle.OPEN,
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database as the daemon makes it, with nothing in it."""
    path = tmp_path / "gmobot.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for step in schema.STEPS:
            db.executescript(step.sql)
    return path


@pytest.fixture
def evidence(database: Path) -> Iterator[Evidence]:
    found = Evidence(database)
    yield found
    found.forget_connection()


def apply(database: Path, *batch: statements.Statement) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        for sql, values in batch:
            db.execute(sql, values)


def made(symbol: str, *, tells: bool = True) -> tuple[Exchange, Account, Ours]:
    """Return an exchange whose customer has yen and coins that are nobody's business, and whose events tell the daemon of it."""
    exchange, customer = listing(symbol)
    ours = Ours(exchange, customer, symbol, FOREIGN_LOTS, lambda: tells)
    return exchange, customer, ours


def listing(*symbols: str) -> tuple[Exchange, Account]:
    """Return an exchange on which everything costs the same, and its customer."""
    traded = {symbol: INSTRUMENTS[symbol] for symbol in symbols}
    customer = account("key", "secret", BALANCES, traded)
    markets = {symbol: (instrument, SyntheticMarket(instrument, seed=1)) for symbol, instrument in traded.items()}
    exchange = Exchange(FixedClock(), markets, {"key": customer})
    for symbol in symbols:
        exchange.symbols[symbol].book.recentre("BUY", 10_000_000)
        exchange.symbols[symbol].book.last = 10_000_000
    return exchange, customer


# --- orders -------------------------------------------------------------------------------------------


def test_an_order_needs_an_intent_that_was_written_before(database: Path, evidence: Evidence) -> None:
    with pytest.raises(Violation, match="no order without a prior intent"):
        no_order_without_a_prior_intent(evidence.priors(BUY, BTC, closing=False), BUY)
    apply(database, statements.insert_intent(intent(1)))
    no_order_without_a_prior_intent(evidence.priors(BUY, BTC, closing=False), BUY)
    larger = NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.02"), None)
    assert evidence.priors(larger, BTC, closing=False) == [], "another order's intent is none"
    assert evidence.priors(BUY, BTC, closing=True) == []


def test_an_intent_in_the_emergency_journal_counts(database: Path, evidence: Evidence) -> None:
    journal = emergency.EmergencyJournal(database.with_name(emergency.NAME), size=1 << 16)
    journal.open()
    journal.append(1, [statements.insert_intent(intent(5)), statements.update_intent(intent(6, order_id=9, amending_to=123))])
    journal.close()
    assert evidence.priors(BUY, BTC, closing=False) == [Prior(5, 77, "entry")]
    no_change_without_a_prior_intent(evidence, 9, 123)
    with pytest.raises(Violation, match="order 9 was moved to 124"):
        no_change_without_a_prior_intent(evidence, 9, 124)


def test_an_intent_is_sent_once() -> None:
    sent: set[int] = set()
    priors = [Prior(1, 77, "entry"), Prior(2, 77, "entry")]
    assert no_intent_with_two_live_orders(priors, sent, BUY) == priors[1]
    assert no_intent_with_two_live_orders(priors, sent, BUY) == priors[0]
    with pytest.raises(Violation, match="no intent with two live orders"):
        no_intent_with_two_live_orders(priors, sent, BUY)


@pytest.mark.parametrize("state", [IntentState.INTENT, IntentState.UNKNOWN])
def test_no_entry_beside_an_unknown_outcome(database: Path, evidence: Evidence, state: IntentState) -> None:
    apply(database, statements.insert_intent(intent(1)))
    nothing_raising_while_unknown(evidence.unknown(), Prior(1, 77, "entry"))
    apply(database, statements.insert_intent(intent(2, state=state)))
    with pytest.raises(Violation, match="while an outcome is unknown"):
        nothing_raising_while_unknown(evidence.unknown(), Prior(1, 77, "entry"))


def test_no_entry_beside_an_unknown_outcome_of_another_symbol(database: Path, evidence: Evidence) -> None:
    apply(database, statements.insert_intent(intent(1)))
    apply(database, statements.insert_intent(intent(2, symbol="BTC_JPY", state=IntentState.UNKNOWN)))
    with pytest.raises(Violation, match=r"while an outcome is unknown: intent 1 beside \[2\]"):
        nothing_raising_while_unknown(evidence.unknown(), Prior(1, 77, "entry"))


@pytest.mark.parametrize("latch", [Latch.HALT, Latch.PAUSE, Latch.CLOSE])
def test_no_entry_after_a_latch(database: Path, evidence: Evidence, latch: Latch) -> None:
    no_entry_after_halt(evidence, Prior(1, 77, "entry"))
    apply(database, statements.set_latch(latch, "test", NOW))
    with pytest.raises(Violation, match=f"after {latch} no order raises exposure"):
        no_entry_after_halt(evidence, Prior(1, 77, "entry"))
    apply(database, *statements.release_latches([latch]))
    no_entry_after_halt(evidence, Prior(1, 77, "entry"))


@pytest.mark.parametrize(("payload", "flags", "asked"), [(77, 0, True), (78, 0, False), (77, BAR_LATE, False)])
def test_an_entry_serves_a_journaled_decision_of_a_bar_that_came_in_time(
    database: Path, evidence: Evidence, payload: int, flags: int, *, asked: bool
) -> None:
    row = f'{{"bar": {{"open_time": {payload}, "flags": {flags}}}, "desired": {{"action": 1}}}}'
    journal = "INSERT INTO journal (run_id, at_ns, kind, symbol, payload) VALUES ('r', 1, 'bar', 'BTC', ?)"
    apply(database, (journal, (row,)))
    with pytest.raises(Violation, match="no decision asked for"):
        asked_for(evidence, Prior(1, payload, "entry"), NewOrder("ETH", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    if asked:
        asked_for(evidence, Prior(1, 77, "entry"), BUY)
    else:
        with pytest.raises(Violation, match="no decision asked for"):
            asked_for(evidence, Prior(1, 77, "entry"), BUY)


# --- exposure and what is foreign ---------------------------------------------------------------------


def test_exposure_counts_what_may_still_fill() -> None:
    exposure_within_limits(Holding(lots=600, opening=400), 1_000)
    with pytest.raises(Violation, match="worst-case exposure: 600 lots held and 401 on the way"):
        exposure_within_limits(Holding(lots=600, opening=401), 1_000)


def test_as_many_symbols_are_open_as_may_be() -> None:
    positions_within_limits(["BTC"], 1)
    with pytest.raises(Violation, match="worst-case exposure: BTC, ETH are open at once, the limit is 1"):
        positions_within_limits(["BTC", "ETH"], 1)


@pytest.mark.parametrize(("gross", "exceeds"), [(103, False), (104, True)])
def test_leverage_is_what_it_may_be_with_the_collar_and_what_prices_moved(gross: int, exceeds: bool) -> None:  # parametrised
    leverage_within_limits(gross, 10_000, Decimal(0), Decimal("0.02"))
    if exceeds:
        with pytest.raises(Violation, match=r"worst-case exposure: 0\.0104 times the equity, the limit is 0\.01"):
            leverage_within_limits(gross, 10_000, Decimal("0.01"), Decimal("0.02"))
    else:
        leverage_within_limits(gross, 10_000, Decimal("0.01"), Decimal("0.02"))


def test_the_sums_of_the_account_take_either_side_and_what_may_still_open() -> None:
    exchange, customer = listing("BTC", "BTC_JPY", "ETH_JPY")
    ours = OurAccount(exchange, customer, exchange.symbols)
    assert (ours.open_symbols(), ours.worst_gross_uyen(), ours.equity_uyen(7)) == ([], 0, 7)
    exchange.place(customer, NewOrder("BTC_JPY", "SELL", "MARKET", "FAK", Decimal("0.01"), None))
    exchange.place(customer, NewOrder("ETH_JPY", "BUY", "LIMIT", "FAS", Decimal("0.01"), Decimal(9_900_000)))
    assert ours.open_symbols() == ["BTC_JPY", "ETH_JPY"]
    last = exchange.symbols["BTC_JPY"].book.last
    assert ours.worst_gross_uyen() == (last + 10_000_000) * 10_000
    capital = customer.jpy_uyen
    before = ours.equity_uyen(capital)
    exchange.symbols["BTC_JPY"].book.last = last + 100_000
    assert ours.equity_uyen(capital) == before - 100_000 * 10_000, "a short one loses"
    ours.by_symbol["BTC"].foreign_orders.add(exchange._order_id + 1)
    exchange.place(customer, NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    assert ours.open_symbols() == ["BTC_JPY", "ETH_JPY"], "the owner's coins are beside the account's limits"
    assert ours.foreign_orders == {exchange._order_id}


def test_foreign_coins_are_not_sold() -> None:
    exchange, customer, ours = made("BTC")
    assert ours.refresh() == Holding()
    exchange.place(customer, NewOrder("BTC", "SELL", "MARKET", "FAK", Decimal("0.01"), None))
    with pytest.raises(Violation, match="nothing foreign touched: sold 1000 lots"):
        ours.refresh()


def test_what_the_owner_trades_is_not_ours() -> None:
    exchange, customer, ours = made("BTC")
    ours.foreign_orders.add(exchange._order_id + 1)
    exchange.place(customer, NewOrder("BTC", "SELL", "MARKET", "FAK", Decimal("0.01"), None))
    assert ours.refresh() == Holding()
    exchange.place(customer, NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.02"), None))
    assert ours.refresh() == Holding(lots=2_000)


def test_foreign_positions_are_not_closed_and_sides_are_not_mixed() -> None:
    exchange, customer, ours = made("BTC_JPY")
    ours.foreign_orders.add(exchange._order_id + 1)
    exchange.place(customer, NewOrder("BTC_JPY", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    exchange.place(customer, NewOrder("BTC_JPY", "SELL", "MARKET", "FAK", Decimal("0.01"), None))
    assert ours.refresh() == Holding(lots=10), "the other side is the owner's"
    for position in customer.positions.values():
        position.at_ns -= 10 * NS_PER_SECOND
    exchange.close(customer, NewOrder("BTC_JPY", "SELL", "LIMIT", "FAS", Decimal("0.01"), Decimal(11_000_000)))
    with pytest.raises(Violation, match="closes a position that is not ours"):
        ours.refresh()
    exchange.cancel(customer, exchange._order_id)
    exchange.place(customer, NewOrder("BTC_JPY", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    with pytest.raises(Violation, match="both sides are held"):
        ours.refresh()


@pytest.mark.parametrize(
    ("age", "tells", "touched"), [(0.0, True, False), (3.0, True, False), (3.1, True, True), (31.0, False, False), (31.1, False, True)]
)
def test_a_close_that_fills_on_a_foreign_position_is_found_when_that_could_be_known(age: float, tells: bool, touched: bool) -> None:
    exchange, customer, ours = made("BTC_JPY", tells=tells)
    ours.foreign_orders.add(exchange._order_id + 1)
    exchange.place(customer, NewOrder("BTC_JPY", "BUY", "MARKET", "FAK", Decimal("0.02"), None))
    exchange.place(customer, NewOrder("BTC_JPY", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    assert ours.refresh() == Holding(lots=10)
    for position in customer.positions.values():
        position.at_ns -= int(age * NS_PER_SECOND)
    exchange.close(customer, NewOrder("BTC_JPY", "SELL", "MARKET", "FAK", Decimal("0.01"), None))
    if touched:
        with pytest.raises(Violation, match=f"nothing foreign touched: order .* which was not ours and {age} s old"):
            ours.refresh()
    else:
        assert ours.refresh() == Holding(lots=10), "somebody opened in the same moment: that may happen"


def test_nothing_leaves_while_it_may_not_send_but_an_entry_may_be_taken_back() -> None:
    nothing_sent_without_leave(True, BUY)
    with pytest.raises(Violation, match="nothing leaves while it may not send"):
        nothing_sent_without_leave(False, BUY)
    exchange, customer, _ = made("BTC")
    entry = exchange.place(customer, NewOrder("BTC", "BUY", "LIMIT", "FAS", Decimal("0.01"), Decimal(9_900_000)))
    stop = exchange.place(customer, NewOrder("BTC", "SELL", "STOP", "FAK", Decimal("0.01"), Decimal(9_900_000)))
    for sends, order in ((True, stop), (False, entry), (False, None)):
        no_protection_taken_without_leave(sends, order)
    with pytest.raises(Violation, match="which closes, was cancelled"):
        no_protection_taken_without_leave(False, stop)


def test_on_leverage_a_short_entry_may_be_taken_back_and_a_close_may_not() -> None:
    exchange, customer, _ = made("BTC_JPY")
    exchange.place(customer, NewOrder("BTC_JPY", "SELL", "MARKET", "FAK", Decimal("0.01"), None))
    entry = exchange.place(customer, NewOrder("BTC_JPY", "SELL", "LIMIT", "FAS", Decimal("0.01"), Decimal(10_100_000)))
    close = exchange.close(customer, NewOrder("BTC_JPY", "BUY", "STOP", "FAK", Decimal("0.01"), Decimal(10_100_000)))
    no_protection_taken_without_leave(False, entry)
    with pytest.raises(Violation, match="which closes, was cancelled"):
        no_protection_taken_without_leave(False, close)


def test_a_foreign_position_is_never_named() -> None:
    exchange, customer, ours = made("BTC_JPY")
    ours.foreign_orders.add(exchange._order_id + 1)
    exchange.place(customer, NewOrder("BTC_JPY", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    no_foreign_position_named(ours, None)
    no_foreign_position_named(ours, 1)
    with pytest.raises(Violation, match="nothing foreign touched: a close names position"):
        no_foreign_position_named(ours, next(iter(customer.positions)))


@pytest.mark.parametrize(("symbol", "close"), [("BTC", Exchange.place), ("BTC_JPY", Exchange.close)])
def test_a_limit_protects_only_while_the_market_is_there(symbol: str, close: Callable[[Exchange, Account, NewOrder], Order]) -> None:
    exchange, customer, ours = made(symbol)
    exchange.place(customer, NewOrder(symbol, "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    lots = ours.refresh().lots
    close(exchange, customer, NewOrder(symbol, "SELL", "LIMIT", "FAS", Decimal("0.01"), Decimal(10_200_000)))
    assert ours.refresh() == Holding(lots=lots, covered=0)
    exchange.symbols[symbol].book.recentre("BUY", 10_200_000)
    assert ours.refresh() == Holding(lots=lots, covered=lots), "looked at without any news"
    exchange.symbols[symbol].book.recentre("BUY", 10_100_000)
    assert ours.refresh().covered == 0
    for position in customer.positions.values():
        position.losscut += 1
    assert ours.refresh().covered == (lots if symbol == "BTC_JPY" else 0), "a losscut price carried by the entry protects, too"


@pytest.mark.parametrize(("price", "covered"), [(9_900_000, 1_000), (7_000_000, 0)])
def test_a_stop_protects_within_reach(price: int, covered: int) -> None:  # parametrised
    exchange, customer, ours = made("BTC")
    exchange.place(customer, NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    exchange.place(customer, NewOrder("BTC", "SELL", "STOP", "FAK", Decimal("0.01"), Decimal(price)))
    assert ours.refresh().covered == covered


def test_foreign_orders_are_not_cancelled() -> None:
    _, _, ours = made("BTC")
    ours.foreign_orders.add(8)
    nothing_foreign_touched(ours, 9)
    with pytest.raises(Violation, match="nothing foreign touched: order 8"):
        nothing_foreign_touched(ours, 8)


# --- books --------------------------------------------------------------------------------------------


def booked_of(ours: Ours) -> dict[int, Booked]:
    """Return the rows of what was executed, by number."""
    return {
        number: Booked(done.order.order_id, done.order.symbol, done.order.side, done.lots, done.ticks, done.fee_uyen, 0)
        for number, done in ours.executions.items()
    }


def booked_as_executed() -> tuple[dict[int, Booked], Ours]:
    exchange, customer, ours = made("BTC")
    exchange.place(customer, NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.01"), None))
    return booked_of(ours), ours


def test_what_is_booked_happened_exactly_so() -> None:
    booked, ours = booked_as_executed()
    assert booked
    every_execution_booked_once(booked, ours.executions)
    number, fill = next(iter(booked.items()))
    for wrong in (fill._replace(lots=fill.lots + 1), fill._replace(fee_uyen=-fill.fee_uyen), fill._replace(side="SELL")):
        with pytest.raises(Violation, match="every execution booked exactly once"):
            every_execution_booked_once({number: wrong}, ours.executions)
    with pytest.raises(Violation, match="never happened"):
        every_execution_booked_once({number + 1_000: fill}, ours.executions)


def test_the_ledger_is_what_is_booked_to_the_micro_yen() -> None:
    booked, _ = booked_as_executed()
    lots = sum(fill.lots for fill in booked.values())
    cash = -sum(BTC.notional_uyen(fill.ticks, fill.lots) + fill.fee_uyen for fill in booked.values())
    ledger_is_what_is_booked({"position": lots, "cash_uyen": cash}, booked, BTC)
    for wrong in ({"position": lots, "cash_uyen": cash + 1}, {"position": 2 * lots, "cash_uyen": cash}, {}):
        with pytest.raises(Violation, match="our ledger = the exchange's"):
            ledger_is_what_is_booked(wrong, booked, BTC)


def test_a_line_of_the_audit_log_that_was_changed_is_found(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, max_bytes=1 << 20, retention=2)
    for number in range(1, 6):
        log.append(number, NOW + number * NS_PER_SECOND, "run", "error", {"reason": "one"})
    audit_chain_verifies(tmp_path)
    path = tmp_path / "audit_events.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace('"one"', '"two"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(Violation, match="the audit chain verifies"):
        audit_chain_verifies(tmp_path)


# --- protection ---------------------------------------------------------------------------------------


class Always:
    """A world in one state."""

    def __init__(self, *troubles: Trouble, records: bool = True) -> None:
        self._troubles = list(troubles)
        self._records = records

    def trouble(self) -> Trouble:
        return self._troubles[0] if len(self._troubles) == 1 else self._troubles.pop(0)

    def recording(self) -> bool:
        return self._records

    def hears(self, symbol: str) -> bool:
        return bool(symbol)


BARE = Holding(lots=100, covered=40)


@pytest.mark.parametrize("cause", Trouble)
def test_every_cause_has_its_bound(cause: Trouble) -> None:
    protection, world = Protection(), Always(cause)
    protection.look(BOUNDS[cause], BARE, world)
    with pytest.raises(Violation, match=f"60 of 100 lots lie open: {cause}"):
        protection.look(BOUNDS[cause] + 0.1, BARE, world)
    assert protection.longest[cause] == pytest.approx(BOUNDS[cause] + 0.1)


def test_causes_that_follow_each_other_add_up() -> None:
    protection, causes = Protection(), (Trouble.OUTCOME_UNKNOWN, Trouble.STREAM_DOWN)
    protection.look(ALIVE_SECONDS / 2, BARE, Always(causes[0]))
    protection.look(ALIVE_SECONDS - 1.0, BARE, Always(causes[1]))
    with pytest.raises(Violation, match="every position is protected"):
        protection.look(ALIVE_SECONDS + 1.0, BARE, Always(causes[1]))


def test_a_stretch_ends_with_protection_and_begins_anew_after_a_death() -> None:
    protection = Protection()
    protection.look(4.0, BARE, Always(Trouble.NONE))
    protection.look(4.1, Holding(lots=100, covered=100), Always(Trouble.NONE))
    protection.look(8.0, BARE, Always(Trouble.NONE))
    protection.look(9.0, BARE, Always(Trouble.PROCESS_DEAD))
    protection.look(13.0, BARE, Always(Trouble.NONE))
    with pytest.raises(Violation):
        protection.look(15.0, BARE, Always(Trouble.NONE))


def lost_too_much(*, booked: bool = True) -> tuple[TradeLosses, Ours]:
    """Return what has seen a trade lose a thousand yen, of a hundred it may; perhaps the books have not yet."""
    exchange, customer, ours = made("BTC")
    losses = TradeLosses(BTC, Decimal(100))
    for side, price in (("BUY", 10_000_000), ("SELL", 9_900_000)):
        exchange.symbols["BTC"].book.recentre(side, price)
        exchange.place(customer, NewOrder("BTC", side, "MARKET", "FAK", Decimal("0.01"), None))
        losses.take(0.0, ours.fills, ours.last)
        if booked:
            losses.book(booked_of(ours))
        losses.look(0.0, dict, Always(Trouble.NONE))
    return losses, ours


@pytest.mark.parametrize("booked", [True, False])
@pytest.mark.parametrize("records", [True, False])
def test_an_operator_takes_back_only_a_halt_that_no_file_could_show(records: bool, booked: bool) -> None:  # parametrised
    (losses, ours), calm = lost_too_much(booked=booked), Always(Trouble.NONE)
    losses.acknowledged(Always(Trouble.NONE, records=records))
    losses.book(booked_of(ours))
    losses.look(1.0, dict, calm)
    with pytest.raises(Violation) if records else nullcontext():
        losses.look(6.2, dict, calm)


def test_a_trade_that_lost_too_much_is_followed_by_a_halt() -> None:
    (losses, _), calm = lost_too_much(), Always(Trouble.NONE)
    losses.look(5.0, dict, calm)
    with pytest.raises(Violation, match=r"a guard halts: a trade has lost 1\d\d\d yen: none 5\.1 s"):
        losses.look(5.1, dict, calm)
    losses.look(5.2, lambda: {"halt": "max_trade_loss_exceeded"}, calm)
    losses.look(100.0, dict, calm)


@pytest.mark.parametrize(("batches", "halts"), [(((1, 2, 3, 4),), True), (((1, 2), (3, 4)), True), (((1, 3), (2, 4)), False)])
def test_a_fill_that_is_heard_of_after_the_close_is_a_trade_of_its_own(batches: tuple[tuple[int, ...], ...], halts: bool) -> None:
    """Two fills of 0.005 each are bought and sold at a loss of 60 yen each; a trade may lose 100."""
    fills = {n: Booked(n, "BTC", "BUY" if n < 3 else "SELL", 500, 10_000_000 if n < 3 else 9_988_000, 0, 0) for n in (1, 2, 3, 4)}
    losses = TradeLosses(BTC, Decimal(100))
    known: dict[int, Booked] = {}
    for numbers in batches:
        known |= {number: fills[number] for number in numbers}
        losses.book(known)
    losses.look(0.0, dict, Always(Trouble.NONE))
    with pytest.raises(Violation, match="a trade has lost 120 yen") if halts else nullcontext():
        losses.look(6.0, dict, Always(Trouble.NONE))


def test_what_an_abort_closes_is_to_go_even_if_only_the_halt_was_latched(database: Path) -> None:
    engine = EngineRow(symbol="BTC", program="p", bar_open_ns=1, state=b"", desired='{"target": 70}')
    apply(database, statements.write_engine(engine), statements.set_latch(Latch.HALT, "max_drawdown_exceeded", NOW))
    wanted = []
    for closes in (False, True):
        found = Evidence(database, close_on_abort=closes)
        wanted.append(found.wanted("BTC"))
        found.forget_connection()
    assert wanted == [70, 0]


@pytest.mark.parametrize(("held", "wanted", "over"), [(100, 0, 100), (100, 60, 40), (-100, 100, 100), (-100, -40, 60)])
def test_what_is_to_go_goes_in_time(held: int, wanted: int, over: int) -> None:  # parametrised
    exits, calm = Exits(), Always(Trouble.NONE)
    exits.look(4.0, held, wanted, calm)
    exits.look(4.5, wanted, wanted, calm)
    exits.look(9.0, held, wanted, calm)
    with pytest.raises(Violation, match=f"every exit happens: {over} of 100 lots are to go: none"):
        exits.look(10.0, held, wanted, calm)


@pytest.mark.parametrize(("held", "wanted"), [(0, 100), (50, 100), (-50, -100)])
def test_what_is_still_to_be_opened_is_nobodys_hurry(held: int, wanted: int) -> None:  # parametrised
    Exits().look(1_000.0, held, wanted, Always(Trouble.NONE))


def test_what_is_wanted_is_the_last_decision_until_everything_is_to_go(database: Path, evidence: Evidence) -> None:
    assert evidence.wanted("BTC") is None
    engine = EngineRow(symbol="BTC", program="p", bar_open_ns=1, state=b"", desired='{"target": 70}')
    apply(database, statements.write_engine(engine))
    assert evidence.wanted("BTC") == 70
    apply(database, statements.set_latch(Latch.CLOSE, "test", NOW))
    assert evidence.wanted("BTC") == 0


def test_a_plan_names_the_symbol_of_its_product() -> None:
    assert [Plan(seed=1, product=product, assumptions={}, entry={}, happenings=()).symbol for product in ("spot", "leverage")] == [
        "BTC",
        "BTC_JPY",
    ]

"""An entry is looked at once more when nothing is left to wait for: what forbids it by now keeps it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.live.bench import BTC, PRICE, Bench, book

from gmobot.clock import elapsed_ns
from gmobot.live.entry import EntryStyle
from gmobot.venue.models import OrderRequest


async def accept(_: OrderRequest) -> int:
    return 7


async def told(bench: Bench, meanwhile: Callable[[Bench], None]) -> tuple[int, list[tuple[str, str]]]:
    """Want an entry to which something happens while it waits. Returns the orders that left, and what became of intents."""
    await bench.open()
    bench.rest.answer = accept

    def held_back() -> None:
        # It is written down, and what is on its way counts as unknown.
        bench.standing = replace(bench.standing, unknown=len(bench.books.unresolved()))
        meanwhile(bench)

    bench.rest.held_back = held_back
    bench.want(100)
    await bench.trader.turn()
    rows = bench.sql("SELECT state, detail FROM intents")
    await bench.close()
    return len(bench.rest.placed), [(str(state), str(detail)) for state, detail in rows]


def stand(bench: Bench, **changes: object) -> None:
    bench.standing = replace(bench.standing, **changes)  # type: ignore[arg-type]


async def test_what_is_still_allowed_leaves(bench: Bench) -> None:
    assert await told(bench, lambda bench: None) == (1, [("acknowledged", "")])


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (lambda bench: stand(bench, entry_bar="operator_halt"), "operator_halt"),
        (lambda bench: stand(bench, stopping=True), "it is not allowed any more"),
        (lambda bench: stand(bench, exchange_open=False), "it is not allowed any more"),
        (lambda bench: stand(bench, unknown=2), "it is not allowed any more"),
        (lambda bench: setattr(bench.market, "barred", "delisted"), "delisted"),
        (lambda bench: bench.clock.advance(10.1), "it is not allowed any more"),
        (lambda bench: bench.clock.advance(1.0) or bench.want(0), "a newer decision was made"),
        (lambda bench: setattr(bench.trader, "_desire", None), "a newer decision was made"),
        (lambda bench: bench.market.on_book(book(size="0.0001"), elapsed_ns(bench.clock)), "price_collar"),
    ],
    ids=["halt", "stopping", "closed", "another unknown", "barred", "too late", "newer", "none", "collar"],
)
async def test_what_is_not_allowed_any_more_stays(bench: Bench, meanwhile: Callable[[Bench], None], reason: str) -> None:
    assert await told(bench, meanwhile) == (0, [("rejected", f"never sent: {reason}")])


@pytest.mark.parametrize(("middle", "leaves"), [(PRICE, 1), (PRICE * 2, 0)])
async def test_a_limit_leaves_only_near_the_market(tmp_path: Path, middle: int, leaves: int) -> None:
    bench = Bench(tmp_path, BTC, style=EntryStyle(limit=True))
    sent, _ = await told(bench, lambda bench: bench.market.on_book(book(middle=middle), elapsed_ns(bench.clock)))
    assert sent == leaves


async def test_what_stayed_may_leave_when_it_is_allowed_again(bench: Bench) -> None:
    await bench.open()
    bench.rest.answer = accept
    bench.rest.held_back = lambda: stand(bench, unknown=2)
    bench.want(100)
    await bench.trader.turn()
    bench.rest.held_back = lambda: None
    stand(bench, unknown=0)
    await bench.trader.turn()
    assert bench.rest.placed == [], "not at once"
    bench.clock.advance(1.0)
    await bench.trader.turn()
    await bench.trader.turn()
    assert [request.size for request in bench.rest.placed] == [BTC.size(100)], "its decision has ordered nothing yet"
    await bench.close()


async def test_what_stayed_gives_back_what_its_own_decision_may_order(bench: Bench) -> None:
    await bench.open()
    first = await bench.intend(decision_id=1, lots=30)
    await bench.intend(decision_id=2, lots=20)
    await bench.books.withdraw(first, "never sent: too late")
    assert bench.books.entry_left("BTC", 2, 100) == 80
    await bench.close()


async def test_one_entry_of_the_account_at_a_time(bench: Bench) -> None:
    await bench.open()
    bench.rest.answer = accept
    bench.want(100)
    with bench.gate.entering() as first:
        assert first
        await bench.trader.turn()
        assert (bench.rest.placed, bench.sql("SELECT * FROM intents")) == ([], []), "another symbol's is on its way"
        bench.want(0)
    bench.want(100)
    await bench.trader.turn()
    assert len(bench.rest.placed) == 1
    await bench.close()


async def test_an_exit_waits_for_nobody_s_entry(bench: Bench) -> None:
    await bench.open()
    bench.rest.answer = accept
    await bench.owning(100)
    bench.want(0)
    with bench.gate.entering():
        await bench.trader.turn()
    assert len(bench.rest.placed) == 1
    await bench.close()


async def test_an_exit_leaves_whatever_is_latched_meanwhile(bench: Bench) -> None:
    await bench.open()
    bench.rest.answer = accept
    await bench.owning(100)
    bench.rest.held_back = lambda: stand(bench, entry_bar="operator_halt", unknown=3)
    bench.want(0)
    await bench.trader.turn()
    assert len(bench.rest.placed) == 1
    await bench.close()

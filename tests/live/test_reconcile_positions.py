"""Our leverage positions against the exchange's list: nothing is written off from one look, and a wrong guess is put right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC_JPY, STOP, fill, position
from tests.live.historian import Historian
from tests.live.test_reconcile import CONFIRM, desk, impatient, look, told

from gmobot.errors import Category, Refused, Unavailable
from gmobot.venue.models import Position, Settle, Side


async def holder(directory: Path) -> Historian:
    bench = await desk(directory, BTC_JPY)
    await bench.acknowledged(order_id=900)
    bought = msgspec.structs.replace(fill(9_000, 900, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70)
    await bench.books.book(bought)
    bench.rest.positions = [position()]
    return bench


async def test_a_position_that_is_there_is_there(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    for _ in range(3):
        await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100
    assert bench.books.pieces("BTC_JPY").looked
    assert bench.alarms == []
    assert not impatient(bench)
    await bench.close()


@pytest.mark.parametrize(("listed", "left"), [([], 0), ([position(size="0.03")], 30)])
async def test_what_is_gone_at_two_looks_is_written_off(tmp_path: Path, listed: list[Position], left: int) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = listed
    await look(bench)
    assert impatient(bench)
    await look(bench, CONFIRM - 0.001)
    assert bench.books.position("BTC_JPY") == 100
    woken = bench.trader._wake
    woken.clear()
    await look(bench, 0.001)
    assert bench.books.position("BTC_JPY") == left
    assert woken.is_set(), "what is left is planned anew"
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    assert not impatient(bench)
    await look(bench, CONFIRM)
    assert len(bench.alarms) == 1
    await bench.close()


async def test_what_a_fill_took_is_not_written_off_while_it_has_to_be_asked_whose_order_that_was(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = []
    await look(bench)
    closed = msgspec.structs.replace(fill(9_001, 950, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70)
    await bench.tracker.on_execution(msgspec.structs.replace(closed, side=Side.SELL, settle=Settle.CLOSE))
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100, "the fill is to be booked, and not a guess in its place"
    assert bench.alarms == []
    await bench.close()


async def test_what_is_missing_otherwise_is_waited_for_anew(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = []
    await look(bench)
    bench.rest.positions = [position(size="0.03")]
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100
    bench.rest.positions = [position()]
    await look(bench)
    bench.rest.positions = [position(size="0.03")]
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100, "it was there in between"
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 30
    await bench.close()


async def test_more_than_we_know_of_is_not_ours(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(size="0.5")]
    await look(bench)
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100
    assert bench.alarms == []
    await bench.close()


async def test_somebody_else_s_positions_are_told_once(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(), position(8), position(9, side=Side.SELL)]
    await look(bench)
    await look(bench)
    bench.rest.positions.append(position(10))
    await look(bench)
    strangers = [(event["reason"], event["symbol"], event["positions"]) for event in told(bench, "error")]
    assert strangers == [("foreign_order", "BTC_JPY", [8, 9]), ("foreign_order", "BTC_JPY", [10])]
    assert set(bench.books.pieces("BTC_JPY").foreign()) == {8, 9, 10}
    await bench.close()


@pytest.mark.parametrize("fills", [True, False])
async def test_a_close_during_the_question_makes_its_answer_worthless_but_for_strangers(tmp_path: Path, fills: bool) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(8)]
    ask = bench.rest.open_positions
    await bench.acknowledged(order_id=901, settle=Settle.CLOSE, **STOP)

    async def meanwhile(symbol: str) -> list[Position]:
        answer = await ask(symbol)
        if fills:
            sold = msgspec.structs.replace(fill(9_001, 901, side=Side.SELL), symbol="BTC_JPY", size=BTC_JPY.size(10), position_id=70)
            await bench.books.book(sold)
        else:
            await bench.intend()
        return answer

    bench.rest.open_positions = meanwhile  # type: ignore[method-assign]
    await look(bench)
    assert list(bench.books.pieces("BTC_JPY").foreign()) == [8], "closes must name our own from now on"
    assert (bench.books.position("BTC_JPY"), told(bench, "error")) == (90 if fills else 100, [])
    await bench.close()


async def test_spot_has_no_positions_to_ask_for(tmp_path: Path) -> None:
    bench = await desk(tmp_path)

    async def never(symbol: str) -> list[Position]:
        raise Refused("no", category=Category.VALIDATION)

    bench.rest.open_positions = never  # type: ignore[method-assign]
    await look(bench)
    await bench.close()


async def test_the_traders_look_first_and_their_trouble_ends_it(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="5")

    def broken() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(Unavailable("no answer"))
        return future

    bench.trader.reconcile = broken  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await bench.reconciler.run()
    assert not impatient(bench)
    await bench.close()


async def test_a_stranger_s_position_on_no_grid_of_ours_is_known_like_any_other(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(), position(8, size="0.0103")]
    await look(bench)
    bench.tracker.on_position(position(9, size="0.0001"), gone=False)
    assert {number: seen.lots for number, seen in bench.books.pieces("BTC_JPY").foreign().items()} == {8: 11, 9: 1}
    await bench.close()


async def two_pieces(directory: Path) -> Historian:
    """Long in positions 70, of 70 lots, and 71, of 30; order 901 is about to close some of them."""
    bench = await desk(directory, BTC_JPY)
    await bench.acknowledged(order_id=900)
    for number, lots in ((70, 70), (71, 30)):
        opened = msgspec.structs.replace(fill(9_000 + number, 900, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(lots), position_id=number)
        await bench.books.book(opened)
    bench.rest.positions = [position(70, "0.07"), position(71, "0.03")]
    await look(bench)
    await bench.acknowledged(order_id=901, settle=Settle.CLOSE, **STOP)
    return bench


async def closed(bench: Historian, lots: int, position_id: int | None = None) -> None:
    told = msgspec.structs.replace(
        fill(9_900 + lots, 901, side=Side.SELL, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(lots), position_id=position_id
    )
    await bench.books.book(told)


def sizes(bench: Historian) -> list[tuple[int, int]]:
    return [(piece.position_id, piece.lots) for piece in bench.books.pieces("BTC_JPY").ours]


@pytest.mark.parametrize("position_id", [None, 70])
async def test_a_bulk_close_told_with_one_fill_leaves_nothing_to_write_off_however_often_it_starts(
    tmp_path: Path, position_id: int | None
) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, 100, position_id)
    bench.rest.positions = []
    for _ in range(2):
        for _ in range(3):
            await look(bench, CONFIRM)
        assert (bench.books.position("BTC_JPY"), sizes(bench), bench.alarms, impatient(bench)) == (0, [], [], False)
        await bench.reopen()
    await bench.close()


async def test_which_piece_an_unnamed_close_took_the_list_tells(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, 70)
    assert sizes(bench) == [(71, 30)]
    bench.rest.positions = [position(70, "0.03")]
    for _ in range(2):
        await look(bench)
        assert impatient(bench)
        await look(bench, CONFIRM)
        assert (bench.books.position("BTC_JPY"), sizes(bench), bench.books.pieces("BTC_JPY").foreign()) == (30, [(70, 30)], {})
        await look(bench, CONFIRM)
        assert (bench.alarms, told(bench, "error"), impatient(bench)) == ([], [], False)
        await bench.reopen()
        assert sizes(bench) == [(71, 30)], "it is guessed anew, and the list tells again"
    await bench.close()


async def test_what_a_wrong_guess_does_not_explain_is_written_off(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, 40)
    assert sizes(bench) == [(70, 30), (71, 30)]
    bench.rest.positions = [position(70, "0.05")]
    await look(bench)
    await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench)) == (50, [(70, 50)])
    assert ["10 lots of our position 71" in text for _, text in bench.alarms] == [True]
    await bench.close()


@pytest.mark.parametrize(("lots", "left"), [(70, [(71, 30)]), (60, [(70, 10), (71, 30)])])
async def test_a_piece_that_is_larger_than_booked_is_told_once_and_what_nobody_booked_is_not_ours(
    tmp_path: Path, lots: int, left: list[tuple[int, int]]
) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, lots)
    await look(bench)
    assert (sizes(bench), bench.alarms) == (left, []), "the list may be an old one"
    for _ in range(3):
        await look(bench, CONFIRM)
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    assert f"position 70 of BTC_JPY is ours and {lots} lots larger than booked" in bench.alarms[0][1]
    assert (bench.books.position("BTC_JPY"), sizes(bench), impatient(bench)) == (100 - lots, left, False)
    assert list(bench.books.pieces("BTC_JPY").foreign()) == ([70] if lots == 70 else [])
    await bench.close()


async def test_a_piece_of_which_nothing_is_booked_is_forgotten_and_nothing_written_off(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    bench.books.pieces("BTC_JPY").opened(72, Side.BUY, 7, 0)
    for _ in range(2):
        await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench), bench.alarms) == (100, [(70, 70), (71, 30)], [])
    await bench.close()


async def test_a_piece_is_written_off_as_far_as_it_is_booked(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    bench.books.pieces("BTC_JPY").opened(71, Side.BUY, 7, 0)
    bench.rest.positions = bench.rest.positions[:1]
    for _ in range(2):
        await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench)) == (70, [(70, 70), (71, 7)])
    for _ in range(2):
        await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench), len(bench.alarms)) == (70, [(70, 70)], 1)
    await bench.close()

"""Which leverage positions are ours: what fills say, lot by lot, and what else the exchange lists."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gmobot.live.positions import Piece, Pieces, Seen
from gmobot.venue.models import Position, Side

NOW = 1_000


def piece(position_id: int, lots: int, *, losscut: int = 0, side: Side = Side.BUY, guessed: bool = False) -> Piece:
    return Piece(symbol="BTC_JPY", position_id=position_id, side=side, lots=lots, losscut=losscut, guessed=guessed)


def listed(position_id: int, side: Side = Side.BUY) -> Position:
    return Position(
        position_id=position_id,
        symbol="BTC_JPY",
        side=side,
        size=Decimal("0.1"),
        reserved_size=Decimal(0),
        price=Decimal(10_000_000),
        unrealized_pnl_jpy=Decimal(0),
        leverage=Decimal(2),
        losscut_price=Decimal(5_000_000),
        opened_at_ns=0,
    )


def test_fills_of_one_position_add_up_and_closes_take_from_it_until_it_is_gone() -> None:
    pieces = Pieces("BTC_JPY")
    pieces.opened(7, Side.BUY, 60, 0)
    pieces.opened(7, Side.BUY, 40, 9)
    pieces.opened(8, Side.BUY, 5, 0)
    assert list(pieces.ours) == [piece(7, 100, losscut=9), piece(8, 5)]
    pieces.closed(7, 99)
    assert list(pieces.ours) == [piece(7, 1, losscut=9), piece(8, 5)]
    pieces.closed(7, 1)
    assert list(pieces.ours) == [piece(8, 5)]
    assert (pieces.owns(7), pieces.owns(8), pieces.owns(None)) == (False, True, False)


def test_an_entry_that_names_no_position_makes_no_piece() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10)])
    pieces.opened(None, Side.BUY, 5, 0)
    assert list(pieces.known) == [piece(7, 10)]


def test_what_a_close_took_beyond_the_piece_it_names_is_of_the_oldest_others() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10), piece(8, 3), piece(9, 4)])
    pieces.closed(8, 5)
    assert list(pieces.ours) == [piece(7, 8, guessed=True), piece(9, 4)]
    assert (pieces.owns(8), pieces.guessed) == (False, True)
    pieces.closed(9, 4)
    assert list(pieces.ours) == [piece(7, 8, guessed=True)]


@pytest.mark.parametrize("position_id", [None, 99])
def test_what_a_close_took_without_naming_a_piece_is_of_the_oldest(position_id: int | None) -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10), piece(8, 3)])
    pieces.closed(position_id, 11)
    assert list(pieces.ours) == [piece(8, 2, guessed=True)]
    assert list(pieces.known) == [piece(7, 0, guessed=True), piece(8, 2, guessed=True)]
    assert pieces.owns(7), "the list will tell"
    pieces.look([(listed(7), 5)], as_of_ns=NOW)
    assert (pieces.owns(7), pieces.foreign()) == (True, {})
    pieces.look([(listed(8), 2)], as_of_ns=NOW)
    assert not pieces.owns(7)
    pieces.closed(None, 100)
    assert not pieces.ours


def test_what_the_exchange_lists_shows_how_far_apart_pieces_are() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10), piece(8, 3, guessed=True), piece(9, 4), piece(10, 1, guessed=True)])
    assert pieces.apart({7: 8, 8: 5, 9: 6, 10: 1}) == {7: 2, 8: -2}, "more of what nobody guessed about is a fill on its way"
    assert pieces.apart({7: 10, 9: 4, 10: 1}) == {8: 3}


@pytest.mark.parametrize(
    ("apart", "sizes", "left"),
    [
        ({7: 4, 8: -4}, [6, 7, 4], {7: 0, 8: 0}),
        ({7: 4, 8: -1}, [9, 4, 4], {7: 3, 8: 0}),
        ({7: 1, 8: -6, 9: 2}, [9, 6, 2], {7: 0, 8: -3, 9: 0}),
        ({7: 10}, [10, 3, 4], {7: 10}),
    ],
)
def test_a_wrong_guess_is_put_right_and_the_sum_stays(apart: dict[int, int], sizes: list[int], left: dict[int, int]) -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10), piece(8, 3, guessed=True), piece(9, 4)])
    assert pieces.level(apart) == left
    assert [held.lots for held in pieces.known] == sizes


def test_what_is_larger_than_booked_is_guessed_about_no_more() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 0, guessed=True), piece(8, 2, guessed=True)])
    for number in (7, 8, 99):
        pieces.let_go(number)
    assert list(pieces.known) == [piece(8, 2)]
    pieces.drop(8)
    pieces.drop(8)
    assert not pieces.known


@pytest.mark.parametrize(("side", "stranger"), [(Side.SELL, Side.BUY), (Side.BUY, Side.SELL)])
def test_a_close_by_another_hand_reaches_beyond_ours_where_it_is_larger_and_others_may_stand_there(side: Side, stranger: Side) -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10, side=stranger)])
    assert not pieces.reaches_others(7, side, 10)
    assert pieces.reaches_others(7, side, 11), "nobody has looked"
    pieces.look([(listed(9, side), 5)], as_of_ns=NOW)
    assert not pieces.reaches_others(7, side, 11)
    pieces.look([(listed(9, stranger), 5)], as_of_ns=NOW)
    assert pieces.reaches_others(7, side, 11)
    assert pieces.reaches_others(None, side, 1)
    assert not pieces.reaches_others(7, side, 10)


def test_a_position_that_closed_by_more_than_we_knew_is_gone() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10)])
    pieces.closed(7, 11)
    assert not pieces.ours


def test_only_lots_whose_entry_said_where_are_closed_by_force_beyond_a_stop() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10, losscut=9), piece(8, 20), piece(9, 40, losscut=1)])
    assert pieces.losscut_lots(100) == 50
    assert pieces.losscut_lots(0) == 0, "beyond which stop?"


def test_what_is_listed_and_not_ours_is_foreign_by_side() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10)])
    pieces.look([(listed(7), 10), (listed(8), 1), (listed(9, Side.SELL), 30), (listed(10), 0)], as_of_ns=NOW)
    assert pieces.looked
    assert pieces.foreign() == {8: Seen(Side.BUY, 1), 9: Seen(Side.SELL, 30)}
    assert pieces.foreign(Side.BUY) == {8: Seen(Side.BUY, 1)}
    assert pieces.foreign(Side.SELL) == {9: Seen(Side.SELL, 30)}


def test_a_new_list_replaces_the_old_and_news_of_one_position_changes_that_one() -> None:
    pieces = Pieces("BTC_JPY")
    pieces.look([(listed(8), 20), (listed(9), 1)], as_of_ns=NOW)
    pieces.look([(listed(8), 20)], as_of_ns=NOW)
    assert set(pieces.foreign()) == {8}
    pieces.observe(listed(8), 15, NOW)
    pieces.observe(listed(10), 1, NOW)
    assert pieces.foreign() == {8: Seen(Side.BUY, 15), 10: Seen(Side.BUY, 1)}
    pieces.observe(listed(8), 0, NOW)
    pieces.observe(listed(99), 0, NOW)
    assert set(pieces.foreign()) == {10}


def test_news_of_one_position_is_not_the_whole_list() -> None:
    pieces = Pieces("BTC_JPY")
    pieces.observe(listed(8), 15, NOW)
    assert not pieces.looked


def test_what_events_told_lately_a_list_does_not_wipe_away() -> None:
    pieces = Pieces("BTC_JPY")
    pieces.observe(listed(8), 15, NOW)
    pieces.meet(9, Side.BUY, 1, NOW)
    pieces.look([], as_of_ns=NOW - 1)
    assert pieces.foreign() == {8: Seen(Side.BUY, 15), 9: Seen(Side.BUY, 1)}
    pieces.look([(listed(8), 20)], as_of_ns=NOW - 1)
    assert pieces.foreign() == {8: Seen(Side.BUY, 20), 9: Seen(Side.BUY, 1)}
    pieces.look([], as_of_ns=NOW)
    assert pieces.foreign() == {}

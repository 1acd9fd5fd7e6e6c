"""Which leverage positions are ours: what fills say, lot by lot, and what else the exchange lists."""

from __future__ import annotations

from decimal import Decimal

from gmobot.live.positions import Piece, Pieces, Seen
from gmobot.venue.models import Position, Side

NOW = 1_000


def piece(position_id: int, lots: int, *, losscut: int = 0, side: Side = Side.BUY) -> Piece:
    return Piece(symbol="BTC_JPY", position_id=position_id, side=side, lots=lots, losscut=losscut)


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


def test_what_names_no_position_of_ours_changes_none() -> None:
    pieces = Pieces("BTC_JPY", [piece(7, 10)])
    pieces.opened(None, Side.BUY, 5, 0)
    pieces.closed(None, 5)
    pieces.closed(99, 5)
    assert list(pieces.ours) == [piece(7, 10)]


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

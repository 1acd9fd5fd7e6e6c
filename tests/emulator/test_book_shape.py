"""Made-up books beside recorded ones: spread, gaps and sizes are of the same kind."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gmobot.cli.rules import SYMBOLS, recorded_instrument, start_price
from gmobot.core.instrument import Instrument
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.book import OrderBook
from gmobot.emulator.market.synthetic import SyntheticMarket, SyntheticShape
from gmobot.emulator.protocol import wire

START_NS = 1_735_689_600_000_000_000

STREAM_LEVELS = Assumptions().stream_levels


def _figures(books: list[dict[str, Any]]) -> dict[str, float]:
    """What one looks at: spread and gaps in ppm, sizes in yen, over the first thirty levels of each side."""
    spreads: list[float] = []
    gaps: list[float] = []
    yen: list[float] = []
    for book in books:
        sides = [[(float(level["price"]), float(level["size"])) for level in book[side][:STREAM_LEVELS]] for side in ("asks", "bids")]
        middle = (sides[0][0][0] + sides[1][0][0]) / 2
        spreads.append((sides[0][0][0] - sides[1][0][0]) / middle * 1e6)
        for side in sides:
            gaps.extend(abs(two[0] - one[0]) / middle * 1e6 for one, two in itertools.pairwise(side))
            yen.extend(price * size for price, size in side)
    return {
        "spread": statistics.fmean(spreads),
        "gap": statistics.fmean(gaps),
        "gap_variation": statistics.pstdev(gaps) / statistics.fmean(gaps),
        "size": statistics.median(yen),
        "size_sigma": statistics.pstdev([math.log(value) for value in yen]),
    }


def _made_up(symbol: str, price: int) -> list[dict[str, Any]]:
    instrument = recorded_instrument(symbol)
    books = []
    for seed in range(20):
        book = OrderBook(instrument, seed)
        for step in range(5):
            book.recentre("BUY", price + 1_000 * step)
            books.append(wire.book_levels(book, STREAM_LEVELS))
    return books


def _recorded(market_data: Path, symbol: str) -> list[dict[str, Any]]:
    if symbol == "BTC":
        return [json.loads((market_data / "gmo/rest_samples/client_orderbooks.json").read_text())]
    return [json.loads((market_data / "gmo/ws_samples/orderbooks_BTC_JPY_20250430_full.json").read_text())]


@pytest.mark.parametrize(("symbol", "price"), [("BTC_JPY", 13_500_000), ("BTC", 10_200_000)])
def test_made_up_books_are_like_recorded_ones(symbol: str, price: int, market_data: Path) -> None:
    real, made = _figures(_recorded(market_data, symbol)), _figures(_made_up(symbol, price))
    ratios = {name: made[name] / real[name] for name in real}
    assert all(0.6 < ratio < 1.7 for ratio in ratios.values()), ratios


def test_every_symbol_has_thirty_levels_a_side_on_its_grid_and_none_crosses() -> None:
    for symbol in SYMBOLS:
        instrument = _usable(symbol)
        book = OrderBook(instrument, 1)
        book.recentre("SELL", instrument.ticks(start_price(symbol)))
        asks, bids = book.levels("SELL", STREAM_LEVELS), book.levels("BUY", STREAM_LEVELS)
        assert len(asks) == len(bids) == STREAM_LEVELS, symbol
        assert [price for price, _ in asks] == sorted({price for price, _ in asks})
        assert [price for price, _ in bids] == sorted({price for price, _ in bids}, reverse=True)
        assert bids[0][0] < asks[0][0]
        assert all(price > 0 and instrument.min_lots <= lots <= instrument.max_lots for price, lots in asks + bids)


def test_levels_stay_where_they_are_while_the_price_moves_a_little() -> None:
    book = OrderBook(recorded_instrument("BTC_JPY"), 1)
    book.recentre("SELL", 10_000_000)
    before = {price for price, _ in book.levels("SELL", STREAM_LEVELS)}
    book.recentre("SELL", 10_000_500)
    after = {price for price, _ in book.levels("SELL", STREAM_LEVELS)}
    assert len(before & after) > STREAM_LEVELS // 2


def test_spot_and_leverage_of_one_asset_move_together_whatever_the_speed() -> None:
    from gmobot.emulator.market.playback import Playback
    from gmobot.emulator.market.synthetic import PricePath

    shape = SyntheticShape()
    path, playback = PricePath(shape, seed=3, asset="BTC"), Playback(20.0)
    markets = [
        SyntheticMarket(recorded_instrument(symbol), seed=3, shape=shape, path=path, playback=playback) for symbol in ("BTC", "BTC_JPY")
    ]
    minutes: list[dict[int, int]] = []
    for market in markets:
        prices = {trade.at_ns // 3_000_000_000: trade.ticks for trade in market.history(START_NS)}
        at_ns = START_NS
        while at_ns < START_NS + 600_000_000_000:
            trade = market.next(at_ns)
            at_ns = trade.at_ns
            prices[at_ns // 3_000_000_000] = trade.ticks
        minutes.append(prices)
    both = sorted(minutes[0].keys() & minutes[1].keys())
    moves = [[math.log(prices[two] / prices[one]) for one, two in itertools.pairwise(both)] for prices in minutes]
    assert statistics.correlation(*moves) > 0.6
    assert max(abs(minutes[0][at] / minutes[1][at] - 1) for at in both) < 0.005
    assert any(minutes[0][at] != minutes[1][at] for at in both)


def _usable(symbol: str) -> Instrument:
    return recorded_instrument(symbol)


def test_every_symbol_starts_at_a_price_on_its_grid() -> None:
    for symbol in SYMBOLS:
        price = start_price(symbol)
        assert price > 0
        assert price % recorded_instrument(symbol).tick_size == 0
    assert start_price("BTC") == start_price("BTC_JPY") == Decimal(10_000_000)

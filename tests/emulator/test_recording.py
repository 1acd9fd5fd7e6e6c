"""Recorded frames played again: order, holes, both prints of a match, damage; and a change of speed while it plays."""

from __future__ import annotations

import asyncio
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.emulator.support import START_NS, Desk, LoopClock, btc, frames, virtual

from gmobot.clock import NS_PER_SECOND, parse_iso_utc
from gmobot.core.instrument import Product
from gmobot.emulator.market import ArchiveMarket, Playback, RecordedMarket
from gmobot.emulator.market.recording import recorded_symbols
from gmobot.emulator.market.tape import Snapshot, Trade
from gmobot.errors import DataError

AT = "2026-09-23T03:25:{:06.3f}Z"


def _print(second: float, side: str, price: int, size: str = "0.01", **more: Any) -> dict[str, Any]:
    return {"channel": "trades", "price": str(price), "side": side, "size": size, "symbol": "BTC", "timestamp": AT.format(second)} | more


def _book(second: float, ask: int, bid: int, **more: Any) -> dict[str, Any]:
    asks, bids = ([{"price": str(price + n * sign), "size": "0.1"} for n in range(30)] for price, sign in ((ask, 1), (bid, -1)))
    return {"channel": "orderbooks", "asks": asks, "bids": bids, "symbol": "BTC", "timestamp": AT.format(second), "grouping": "1"} | more


def _file(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def _played(path: Path, **options: Any) -> list[Trade | Snapshot]:
    market, at_ns, found = RecordedMarket(btc(), path, **options), START_NS, []
    while (event := market.next(at_ns)) is not None:
        found.append(event)
        at_ns = event.at_ns
    return found


def test_books_and_trades_are_played_in_their_time_and_stamped_with_now(tmp_path: Path) -> None:
    path = _file(
        tmp_path / "a.jsonl", _book(1, 101, 99), _print(2, "BUY", 101), _print(4.5, "SELL", 99), {"error": "x"}, "", _book(5, 100, 98)
    )
    first, buy, sell, last = _played(path)
    assert isinstance(first, Snapshot)
    assert (first.asks[0], first.bids[0], len(first.asks)) == ((101, 10_000), (99, 10_000), 30)
    assert (buy, sell) == (Trade(START_NS + NS_PER_SECOND, "BUY", 101, 1_000), Trade(START_NS + 7 * NS_PER_SECOND // 2, "SELL", 99, 1_000))
    assert last.at_ns == START_NS + 4 * NS_PER_SECOND
    assert [event.at_ns - START_NS for event in _played(path, speed=100.0)] == [0, 10_000_000, 35_000_000, 40_000_000]


def test_the_moment_of_receipt_rules_where_it_was_recorded(tmp_path: Path) -> None:
    wrapped = [{"at": AT.format(second), "frame": _print(9, "BUY", 101, size)} for second, size in ((10.0, "0.01"), (12.0, "0.02"))]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in wrapped)
    assert [event.at_ns - START_NS for event in _played(tmp_path / "a.jsonl.gz")] == [0, 2 * NS_PER_SECOND]


def test_both_prints_of_a_match_are_one_trade_again_with_the_taker_the_book_tells(tmp_path: Path) -> None:
    pairs = [_print(2, side, price, size) for price, size in ((101, "0.01"), (102, "0.02"), (99, "0.01")) for side in ("SELL", "BUY")]
    path = _file(tmp_path / "a.jsonl", _book(1, 101, 99), *pairs, _print(3, "SELL", 99, "0.03"), _print(3, "SELL", 99, "0.03"))
    trades = [(event.side, event.ticks, event.lots) for event in _played(path) if isinstance(event, Trade)]
    assert trades == [("BUY", 101, 1_000), ("BUY", 102, 2_000), ("SELL", 99, 1_000), ("SELL", 99, 3_000), ("SELL", 99, 3_000)]


def test_a_hole_is_played_as_a_minute_the_same_for_every_symbol(tmp_path: Path) -> None:
    late = "2026-09-26T11:00:00.000Z"
    other, ours = _print(0, "BUY", 5, symbol="ETH", timestamp=late), _print(0, "BUY", 102, timestamp=late)
    path = _file(tmp_path / "a.jsonl", _print(1, "BUY", 101), other, ours)
    assert [event.at_ns - START_NS for event in _played(path)] == [0, 60 * NS_PER_SECOND]
    assert recorded_symbols(path) == ["BTC", "ETH"]


def test_the_recorded_sample_is_played_frame_for_frame(market_data: Path) -> None:
    path = market_data / "gmo/ws_samples/frames.jsonl"
    instrument = btc(symbol="BTC_JPY", product=Product.LEVERAGE, size_step=Decimal("0.001"), min_size=Decimal("0.001"))
    market, at_ns, found = RecordedMarket(instrument, path), START_NS, []
    while (event := market.next(at_ns)) is not None:
        at_ns = event.at_ns
        found.append(event)
    rows = [row for row in map(json.loads, path.read_text().splitlines()) if row.get("channel") in ("trades", "orderbooks")]
    assert len(found) == len(rows) == 3
    assert recorded_symbols(path) == ["BTC_JPY"]
    for event, row in zip(found, rows, strict=True):
        if isinstance(event, Trade):
            assert (event.side, event.ticks, event.lots) == (row["side"], int(row["price"]), int(Decimal(row["size"]) * 1_000))
        else:
            assert event.asks == [(int(level["price"]), int(Decimal(level["size"]) * 1_000)) for level in row["asks"]]
    between = parse_iso_utc(rows[2]["timestamp"]) - parse_iso_utc(rows[1]["timestamp"])
    assert found[2].at_ns - found[1].at_ns == between


def test_a_recorded_book_is_what_the_stream_shows_and_what_orders_meet(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.jsonl", _book(1, 10_000_100, 9_999_900), _print(2, "SELL", 9_999_900), _book(3, 10_000_200, 10_000_000))

    async def scenario() -> None:
        desk = Desk(market=RecordedMarket(btc(), path))
        running = asyncio.create_task(desk.api.run())
        await asyncio.sleep(0)
        socket = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await socket.send('{"command":"subscribe","channel":"orderbooks","symbol":"BTC"}')
        first, *_, last = await frames(socket, 4.0)
        assert (first["asks"][0]["price"], last["asks"][0]["price"], len(last["bids"])) == ("10000100", "10000200", 30)
        await desk.placed("MARKET", "BUY", "0.15")
        assert [(fill.ticks, fill.lots) for fill in desk.account.executions] == [(10_000_200, 10_000), (10_000_201, 5_000)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        desk.exchange.check()

    virtual(scenario)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("nonsense", "line 2: JSON is malformed"),
        ("[1]", "line 2: Expected `object`"),
        (_print(1, "BUY", 101, "0.000001"), "line 2: .*multiple"),
        (_print(1, "BUY", 101, "much"), "line 2: not a number"),
        (_print(1, "HOLD", 101), "line 2: Invalid enum value 'HOLD'"),
        (_print(1, "BUY", 101, timestamp="yesterday"), "line 2: .*yesterday"),
        ({"channel": "orderbooks", "symbol": "BTC", "timestamp": AT.format(2)}, "line 2: .*missing required field `asks`"),
    ],
)
def test_a_damaged_recording_is_one_clear_error_with_file_and_line(bad: Any, told: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "a.jsonl", _print(0, "BUY", 101), bad)
    with pytest.raises(DataError, match=rf"a\.jsonl: {told}"):
        _played(path)


def test_a_truncated_recording_and_one_that_is_not_there_are_explained(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(_print(0, "BUY", 101)).encode() * 1_000)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read after line"):
        _played(tmp_path / "a.jsonl.gz")
    with pytest.raises(DataError, match="no such recording"):
        RecordedMarket(btc(), tmp_path / "none.jsonl")


def test_a_change_of_speed_is_felt_within_a_second_by_what_is_already_awaited(tmp_path: Path) -> None:
    path = tmp_path / "20240701_BTC.csv"
    rows = [f"BTC,BUY,0.01,1000000{n},2024-07-01 0{n}:00:00.000" for n in range(4)]  # an hour apart
    path.write_text("\n".join(["symbol,side,size,price,timestamp", *rows]) + "\n")

    async def scenario() -> None:
        clock = LoopClock()
        desk = Desk(clock=clock, market=ArchiveMarket(btc(), path))
        running = asyncio.create_task(desk.api.run())
        await asyncio.sleep(1_800.0)
        assert desk.book.last == 10_000_000
        desk.exchange.set_speed(900.0)
        await asyncio.sleep(3.1)
        assert desk.book.last == 10_000_001
        await asyncio.sleep(4.0)
        assert desk.book.last == 10_000_002
        desk.exchange.set_speed(1.0)
        await asyncio.sleep(2_000.0)
        assert desk.book.last == 10_000_002
        await asyncio.sleep(700.0)
        assert desk.book.last == 10_000_003
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    virtual(scenario)


def test_tapes_of_different_days_are_not_played_together(tmp_path: Path) -> None:
    playback = Playback()
    playback.begin(START_NS, 0, "BTC")
    playback.begin(START_NS, 3_600 * NS_PER_SECOND, "BTC_JPY")
    with pytest.raises(DataError, match=r"ETH: .*same days"):
        playback.begin(START_NS, 86_400 * NS_PER_SECOND, "ETH")

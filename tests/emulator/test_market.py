"""Where prices come from: the synthetic market, the archive, its damage, and speed."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import statistics
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from coverage import Coverage
from tests.emulator.support import START_NS, Desk, FixedClock, LoopClock, btc, frames, virtual

from gmobot.clock import NS_PER_SECOND
from gmobot.emulator.market import ArchiveMarket, Market, QuietMarket, SyntheticMarket, SyntheticShape, read_archive
from gmobot.emulator.market.tape import DAY_NS, Tape, Trade
from gmobot.errors import ConfigError, DataError

HEADER = "symbol,side,size,price,timestamp\n"
ROW = "BTC,BUY,0.0100,10000000.000,2024-07-01 00:00:00.123\n"


def _take(market: Market, count: int, at_ns: int = START_NS) -> list[Trade]:
    trades: list[Trade] = []
    while len(trades) < count and (trade := market.next(at_ns)) is not None:
        assert isinstance(trade, Trade)
        trades.append(trade)
        at_ns = trade.at_ns
    return trades


def test_the_synthetic_market_is_its_seed() -> None:
    def run(seed: int) -> list[Trade]:
        market = SyntheticMarket(btc(), seed=seed, shape=SyntheticShape(history_seconds=60))
        return market.history(START_NS) + _take(market, 500)

    assert run(1) == run(1) != run(2)


def test_the_synthetic_market_looks_like_one() -> None:
    market = SyntheticMarket(btc(), seed=4)
    trades = _take(market, 60_000)
    assert all(1 <= trade.lots <= 500_000 and trade.ticks > 1_000_000 for trade in trades)
    assert all(one.at_ns <= two.at_ns for one, two in pairwise(trades))
    assert 0.47 < sum(trade.side == "BUY" for trade in trades) / len(trades) < 0.53
    minutes: dict[int, Trade] = {trade.at_ns // (60 * NS_PER_SECOND): trade for trade in trades}
    moves = [two.ticks / one.ticks - 1 for one, two in pairwise(minutes.values())]
    spread = statistics.pstdev(moves)
    kurtosis = statistics.fmean((move / spread) ** 4 for move in moves)
    assert kurtosis > 4  # fat tails: jumps and clusters
    size = [abs(move) for move in moves]
    assert statistics.correlation(size[:-10], size[10:]) > 0.02  # volatility remembers
    per_hour = [
        sum(trade.at_ns // (3_600 * NS_PER_SECOND) == START_NS // (3_600 * NS_PER_SECOND) + h for trade in trades) for h in range(6)
    ]
    assert max(per_hour) > 1.1 * min(per_hour)  # the day has a rhythm


def test_history_ends_now_and_a_faster_market_makes_no_more_of_it_than_needed() -> None:
    for speed in (1.0, 1_000.0):
        market = SyntheticMarket(btc(), seed=4, speed=speed)
        history = market.history(START_NS)
        assert 5_000 < len(history) < 35_000
        assert history[-1].at_ns < START_NS
        assert market.next(START_NS).at_ns >= START_NS


def test_a_quiet_market_says_nothing_and_has_no_speed() -> None:
    market = QuietMarket()
    assert (market.history(START_NS), market.next(START_NS)) == ([], None)
    with pytest.raises(ConfigError):
        market.set_speed(2.0, START_NS)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_a_positive_number(speed: float) -> None:
    with pytest.raises(ConfigError, match="speed"):
        SyntheticMarket(btc(), seed=1).set_speed(speed, START_NS)


def _real_rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


def test_a_real_day_is_replayed_whole_in_order_and_stamped_with_now(market_data: Path) -> None:
    path = market_data / "gmo/trades/BTC/2024/07/20240706_BTC.csv.gz"
    rows, speed = _real_rows(path), 3_600.0

    async def scenario() -> None:
        clock = LoopClock()
        market = ArchiveMarket(btc(), path, speed=speed)
        desk = Desk(clock=clock, market=market)
        socket = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await socket.send('{"command":"subscribe","channel":"trades","symbol":"BTC","option":"TAKER_ONLY"}')
        running = asyncio.create_task(desk.api.run())
        seen = await frames(socket, 86_400 / speed + 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        # The trades of the first millisecond have happened before anybody could subscribe.
        missed = [row for row in rows if row["timestamp"] == rows[0]["timestamp"]]
        assert len(desk.exchange.symbols["BTC"].tape) == len(rows) == len(seen) + len(missed)
        assert [(f["side"], float(f["price"]), float(f["size"])) for f in seen] == [
            (r["side"], float(r["price"]), float(r["size"])) for r in rows[len(missed) :]
        ]
        size = desk.exchange.instruments["BTC"].size
        volume = size(sum(trade.lots for trade in desk.exchange.symbols["BTC"].tape.newest(0, len(rows))))
        assert volume == sum((Decimal(row["size"]) for row in rows), Decimal(0))
        assert 22.0 < clock.monotonic() < 26.0
        assert seen[0]["timestamp"] >= "2025-01-01T00:00:00.000Z"

    virtual(scenario)


def test_resting_orders_are_filled_by_a_real_tape_and_the_books_stay_whole(market_data: Path) -> None:
    async def scenario() -> None:
        market = ArchiveMarket(btc(), market_data / "gmo/trades/BTC/2024/07/20240703_BTC.csv.gz", speed=7_200.0)
        desk = Desk(market=market)
        running = asyncio.create_task(desk.api.run())
        for _ in range(10):
            await asyncio.sleep(1.0)
            last = desk.book.last
            await desk.placed("LIMIT", "BUY", "0.005", last - 2_000, "SOK")
            await desk.placed("LIMIT", "SELL", "0.005", last + 2_000, "SOK")
            desk.exchange.check()
        await asyncio.sleep(2.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        desk.exchange.check()
        fills = desk.account.executions
        assert len(fills) >= 5
        assert all(fill.ticks == fill.order.price and fill.fee_uyen <= 0 for fill in fills)

    virtual(scenario)


def test_some_of_the_tape_can_count_as_played_already(market_data: Path) -> None:
    path = market_data / "gmo/trades/BTC/2024/07/20240701_BTC.csv.gz"
    market = ArchiveMarket(btc(), path, speed=10.0, history_seconds=3_600.0)
    history = market.history(START_NS)
    rest = _take(market, 100_000)
    assert len(history) + len(rest) == len(_real_rows(path))
    assert len(history) > 10
    assert START_NS - 361 * NS_PER_SECOND < history[0].at_ns <= history[-1].at_ns < START_NS <= rest[0].at_ns


def test_the_speed_of_a_tape_can_change_while_it_plays(tmp_path: Path) -> None:
    path = tmp_path / "20240701_BTC.csv"
    path.write_text(HEADER + "".join(f"BTC,BUY,0.01,10000000,2024-07-01 00:0{n}:00.000\n" for n in range(4)))
    market = ArchiveMarket(btc(), path)
    (first,) = market.history(START_NS)
    assert first.at_ns == START_NS - 1
    second = market.next(START_NS)
    assert second is not None
    assert second.at_ns == START_NS + 60 * NS_PER_SECOND
    market.set_speed(60.0, second.at_ns)
    third = market.next(second.at_ns)
    assert third is not None
    assert third.at_ns == second.at_ns + NS_PER_SECOND


def test_a_folder_and_a_pattern_are_played_in_the_order_of_days(tmp_path: Path) -> None:
    for day in (2, 1, 3):
        with gzip.open(tmp_path / f"2024070{day}_BTC.csv.gz", "wt") as file:
            file.write(HEADER + f"BTC,BUY,0.01,1000000{day},2024-07-0{day} 00:00:00.000\n")
    (tmp_path / "20240701_BTC_JPY.csv.gz").write_bytes(b"not ours")
    assert [trade.ticks for trade in _take(ArchiveMarket(btc(), tmp_path), 9)] == [10_000_001, 10_000_002, 10_000_003]
    assert [trade.ticks for trade in _take(ArchiveMarket(btc(), tmp_path / "*[23]_BTC.csv.gz"), 9)] == [10_000_002, 10_000_003]
    with pytest.raises(DataError, match="no trade archive of BTC"):
        ArchiveMarket(btc(), tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "row", "what"),
    [
        ("symbol,size,side,price,timestamp\n", 1, "expected the columns"),
        (HEADER + ROW + "BTC,BUY,0.01\n", 3, "3 columns"),
        (HEADER + ROW.replace("BTC", "ETH"), 2, "ETH"),
        (HEADER + ROW.replace("BUY", "HOLD"), 2, "HOLD"),
        (HEADER + ROW.replace("0.0100", "abc"), 2, ""),
        (HEADER + ROW.replace("0.0100", "NaN"), 2, "out of range"),
        (HEADER + ROW.replace("0.0100", "0.000001"), 2, "multiple"),
        (HEADER + ROW.replace("0.0100", "0"), 2, "above zero"),
        (HEADER + ROW.replace("10000000.000", "10000000.5"), 2, "multiple"),
        (HEADER + ROW.replace("2024-07-01", "yesterday"), 2, "yesterday"),
        (HEADER + ROW.replace(".123", ".123Z"), 2, "zone"),
        (HEADER + ROW + ROW.replace(".123", ".122"), 3, "earlier"),
        (HEADER + ROW + 'BTC,"BUY', 3, "2 columns"),
    ],
)
def test_a_damaged_archive_is_one_clear_error_with_file_and_row(text: str, row: int, what: str, tmp_path: Path) -> None:
    path = tmp_path / "20240701_BTC.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"20240701_BTC.csv: row {row}: .*{what}"):
        list(read_archive(path, btc()))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip", "not text"])
def test_a_broken_gzip_is_one_clear_error(damage: str, tmp_path: Path) -> None:
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb") as file:
        file.write((HEADER + ROW * 2_000).encode() if damage != "not text" else HEADER.encode() + b"\xff\xfe\n")
    content = whole.getvalue()
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content = content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]
    elif damage == "not gzip":
        content = b"symbol,side"
    path = tmp_path / "20240701_BTC.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"20240701_BTC\.csv\.gz"):
        list(read_archive(path, btc()))


def test_a_day_without_a_trade_is_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "20240701_BTC.csv.gz"
    path.write_bytes(gzip.compress(b""))
    assert list(read_archive(path, btc())) == []
    path.write_bytes(gzip.compress(HEADER.encode()))
    assert list(read_archive(path, btc())) == []


def test_a_tape_faster_than_the_machine_lets_others_have_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "20240701_BTC.csv"
    path.write_text(HEADER + ROW + ROW.replace(".123", ".124") * 5_000)

    async def scenario() -> None:
        desk = Desk(market=ArchiveMarket(btc(), path, speed=1e9))
        running = asyncio.create_task(desk.exchange.run())
        turns = 0
        while len(desk.exchange.symbols["BTC"].tape) <= 5_000:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 9
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    virtual(scenario)


def test_the_tapes_figures_are_what_counting_would_say() -> None:
    market = SyntheticMarket(btc(), seed=9, shape=SyntheticShape(trades_per_second=0.02, history_seconds=0))
    tape, trades = Tape(kept=1_000), _take(market, 6_000)
    for count, trade in enumerate(trades, start=1):
        tape.append(trade)
        if count % 500 == 0:
            now = trade.at_ns
            kept = trades[max(0, count - 2_000) : count][-len(tape) :]
            assert tape.newest(0, count) == kept[::-1]
            assert tape.volume_of_day(now) == sum(t.lots for t in kept if t.at_ns >= now - DAY_NS)
            assert tape.between(kept[10].at_ns, now) == [t for t in kept if kept[10].at_ns <= t.at_ns < now]
    day = [t.ticks for t in trades if (t.at_ns + 3 * 3_600 * NS_PER_SECOND) // DAY_NS == (now + 3 * 3_600 * NS_PER_SECOND) // DAY_NS]
    assert tape.range_of_day(now, 0) == (max(day), min(day))
    assert tape.range_of_day(now + 2 * DAY_NS, 7) == (7, 7)


def test_ten_simulated_minutes_are_cheap() -> None:
    async def scenario() -> float:
        shape = SyntheticShape(trades_per_second=1.0, history_seconds=600)
        desk = Desk(market=SyntheticMarket(btc(), seed=2, shape=shape))
        socket = await desk.private_socket()
        public = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await asyncio.sleep(1.1)
        await public.send('{"command":"subscribe","channel":"trades","symbol":"BTC","option":"TAKER_ONLY"}')
        started = time.process_time()
        running = asyncio.create_task(desk.api.run())
        await asyncio.sleep(600.0)
        spent = time.process_time() - started
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await socket.close()
        return spent

    # Generous: this runs in asyncio's debug mode, which costs more than the work itself, as does the measuring of coverage.
    assert virtual(scenario) < (4.0 if Coverage.current() else 1.5)


def test_a_market_needs_no_loop_to_have_a_price() -> None:
    desk = Desk(clock=FixedClock(), market=SyntheticMarket(btc(), seed=2, shape=SyntheticShape(history_seconds=60)))
    assert desk.book.best_bid < desk.book.best_ask
    assert len(desk.book.levels("BUY", 30)) == 30

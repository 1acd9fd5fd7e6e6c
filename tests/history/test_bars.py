"""Market data files: what is wrong with one is said in one line; what is right comes out exact."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.backtest.support import BTC

from gmobot.core.records import BAR_GAP_BEFORE
from gmobot.errors import DataError
from gmobot.history.bars import read_bars

START = datetime(2024, 1, 1, tzinfo=UTC)


def table(rows: int = 3, **columns: Any) -> pl.DataFrame:
    frame = {
        "timestamp": [START + timedelta(minutes=i) for i in range(rows)],
        "open": [100.0] * rows,
        "high": [110.0] * rows,
        "low": [90.0] * rows,
        "close": [105.0] * rows,
        "volume": [1.5] * rows,
    }
    return pl.DataFrame(frame | columns)


def written(tmp_path: Path, frame: pl.DataFrame, name: str = "bars.parquet") -> Path:
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    else:
        frame.write_csv(path)
    return path


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv"])
def test_bars_come_out_in_ticks_and_lots(tmp_path: Path, name: str) -> None:
    data = read_bars(written(tmp_path, table(), name), BTC)
    first = data.bars[0]
    assert (int(first["open"]), int(first["high"]), int(first["low"]), int(first["close"]), int(first["volume"])) == (
        100,
        110,
        90,
        105,
        150_000,
    )
    assert int(data.bars["open_time"][1] - data.bars["open_time"][0]) == 60 * 10**9
    assert (data.rounded_prices, data.rounded_volumes) == (0, 0)


def test_prices_off_the_tick_are_rounded_and_counted(tmp_path: Path) -> None:
    data = read_bars(written(tmp_path, table(open=[100.4, 100.0, 99.6])), BTC)
    assert data.bars["open"].tolist() == [100, 100, 100]
    assert data.rounded_prices == 2


def test_prices_are_scaled_first(tmp_path: Path) -> None:
    assert int(read_bars(written(tmp_path, table()), BTC, price_scale=Decimal(150)).bars["close"][0]) == 15_750


def test_a_hole_is_flagged_on_the_bar_after_it(tmp_path: Path) -> None:
    times = [START, START + timedelta(minutes=1), START + timedelta(minutes=30)]
    data = read_bars(written(tmp_path, table(timestamp=times)), BTC)
    assert data.gaps == 1
    assert (data.bars["flags"] & BAR_GAP_BEFORE).tolist() == [0, 0, BAR_GAP_BEFORE]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (table().drop("volume"), "column 'volume' is missing"),
        (table(timestamp=[START, START, START + timedelta(minutes=2)]), "row 2: the same time as"),
        (table(timestamp=[START, START - timedelta(minutes=1), START]), "row 2: earlier than"),
        (table(open=[100.0, float("nan"), 100.0]), "row 2: open is nan"),
        (table(high=[110.0, None, 110.0]), "row 2: high is empty"),
        (table(low=[90.0, -1.0, 90.0]), "row 2: low is -1"),
        (table(volume=[1.0, 1.0, -2.0]), "row 3: volume is negative"),
        (table(high=[110.0, 89.0, 110.0]), "row 2: open and close must lie between"),
        (table(close=["a", "b", "c"]), "column 'close'"),
        (table(timestamp=["x", "y", "z"]), "timestamp is String"),
        (table(rows=0), "no rows"),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path: Path, frame: pl.DataFrame, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read_bars(written(tmp_path, frame), BTC)
    assert says in str(caught.value)
    assert "bars.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_unknown_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_bars(tmp_path / "nothing.parquet", BTC)
    (tmp_path / "bars.txt").write_text("")
    with pytest.raises(DataError, match="not a format this reads"):
        read_bars(tmp_path / "bars.txt", BTC)


def archive(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "20240701_BTC.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


HEADER = "symbol,side,size,price,timestamp\n"


def test_the_archive_becomes_bars(tmp_path: Path) -> None:
    rows = [
        "BTC,BUY,0.0001,100.000,2024-06-30 21:00:03.571",
        "BTC,SELL,0.0002,90.000,2024-06-30 21:00:59.999",
        "BTC,BUY,0.0001,95.000,2024-06-30 21:01:00.000",
    ]
    data = read_bars(archive(tmp_path, HEADER + "\n".join(rows) + "\n"), BTC).bars
    assert data["open"].tolist() == [100, 95]
    assert data["close"].tolist() == [90, 95]
    assert data["volume"].tolist() == [30, 10]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "row 1: expected the columns"),
        (HEADER + "BTC,BUY,x,100.0,2024-06-30 21:00:03.571\n", "20240701_BTC.csv.gz"),
        (HEADER + "ETH,BUY,0.0001,100.0,2024-06-30 21:00:03.571\n", "row 2: symbol 'ETH'"),
        (HEADER + "BTC,BUY,0.000001,100.0,2024-06-30 21:00:03.571\n", "row 2: size is not on"),
        (HEADER + "BTC,BUY,0.0001,100.0,2024-06-30 21:00:03.571\nBTC,BUY,0.0001,100.0,2024-06-30 21:00:03.570\n", "row 3: earlier"),
    ],
)
def test_a_bad_archive_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read_bars(archive(tmp_path, text), BTC)
    assert says in str(caught.value)


def test_a_truncated_archive_says_so(tmp_path: Path) -> None:
    path = archive(tmp_path, HEADER + "BTC,BUY,0.0001,100.000,2024-06-30 21:00:03.571\n" * 500)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="download it again"):
        read_bars(path, BTC)


def test_a_real_day_gives_the_bars_that_others_derived(market_data: Path) -> None:
    ours = read_bars(market_data / "gmo" / "trades" / "BTC" / "2024" / "07" / "20240701_BTC.csv.gz", BTC).bars
    derived = read_bars(market_data / "ohlcv_1m" / "gmo_BTC_spot_1m_20240701_20240715.parquet", BTC).bars[: len(ours)]
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(ours[name], derived[name]), name

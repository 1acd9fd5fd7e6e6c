"""What the emulator sends has the keys and JSON types of what the real exchange sent.

The samples are recordings that are not part of this project; without them the tests skip and say so. REST samples
were kept as their recorder's own client had decoded them: the envelope is gone, and that client added or lacked
some fields. :data:`ADDED` and :data:`CUT` name every one; anything else that differs is an error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cases.public_rest import trading_date
from tests.conformance.shapes import decimal, moment
from tests.conformance.stage import MIDDLES, SkippingLoop, ask
from tests.conformance.target import Target, emulator

ADDED = {
    "symbols": {"minCloseOrderSize"},  # null in every row
    "orderbooks": {"timestamp"},  # an empty string
    "private_margin": {"marginRate"},  # null; the exchange's own name is marginRatio (§5.1)
}
"""Fields of the recorder's client that the exchange did not send."""
CUT = {"private_margin": {"marginCallStatus", "transferableAmount"}}
"""Documented fields that the recorder's client did not know."""


def form(value: object) -> Any:
    """Return what something looks like: keys, JSON types, and of strings whether they are numbers or moments."""
    if isinstance(value, dict):
        return {name: form(inner) for name, inner in value.items()}
    if isinstance(value, list):
        forms = [form(inner) for inner in value]
        assert all(one == forms[0] for one in forms), "the rows of a list differ"
        return forms[:1]
    if isinstance(value, str):
        return "decimal" if decimal(value) else "moment" if moment(value) else "text"
    return type(value).__name__


def without(value: Any, names: Iterable[str]) -> Any:
    """Return rows, or one, without some of their fields."""
    if isinstance(value, list):
        return [without(row, names) for row in value]
    return {name: inner for name, inner in value.items() if name not in set(names)}


def _play(work: Callable[[Target], Awaitable[None]]) -> None:
    async def play() -> None:
        async with emulator() as target:
            await work(target)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(play())


def _sample(market_data: Path, name: str) -> Any:
    return json.loads((market_data / "gmo" / "rest_samples" / f"{name}.json").read_text(encoding="utf-8"))


def _frames(market_data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (market_data / "gmo" / "ws_samples" / "frames.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["status", "ticker", "orderbooks", "trades", "klines", "symbols"])
def test_public_payloads_look_like_the_real_ones(name: str, market_data: Path) -> None:
    async def work(target: Target) -> None:
        day = {"interval": "1hour", "date": trading_date(target)} if name == "klines" else {}
        query = {} if name in ("status", "symbols") else {"symbol": "BTC"} | day
        ours = (await target.get(name, **query)).data
        real = without(_sample(market_data, f"client_{name}"), ADDED.get(name, ()))
        assert form(ours) == form(real)

    _play(work)


@pytest.mark.parametrize("name", ["assets", "margin"])
def test_private_payloads_look_like_the_real_ones(name: str, market_data: Path) -> None:
    async def work(target: Target) -> None:
        kind = f"private_{name}"
        ours = (await target.customer.read(f"account/{name}")).data
        real = without(_sample(market_data, f"client_{kind}"), ADDED.get(kind, ()))
        assert form(without(ours, CUT.get(kind, ()))) == form(real)

    _play(work)


def test_the_fields_said_to_be_added_and_cut_are_those(market_data: Path) -> None:
    assert all(row["minCloseOrderSize"] is None for row in _sample(market_data, "client_symbols"))
    assert _sample(market_data, "client_orderbooks")["timestamp"] == ""
    margin = _sample(market_data, "client_private_margin")
    assert margin["marginRate"] is None
    assert not CUT["private_margin"] & set(margin)


def test_the_rules_of_symbols_are_the_recorded_ones(market_data: Path) -> None:
    async def work(target: Target) -> None:
        real = {row["symbol"]: without(row, ADDED["symbols"]) for row in _sample(market_data, "client_symbols")}
        ours = {row["symbol"]: row for row in (await target.get("symbols")).data}
        assert set(ours) == set(MIDDLES)
        assert ours == {symbol: real[symbol] for symbol in ours}

    _play(work)


def test_not_found_is_the_real_body_to_the_letter(market_data: Path) -> None:
    async def work(target: Target) -> None:
        answer = await target.get("ticker", symbol="NOPE")
        assert answer.http == 404
        assert answer.body == _sample(market_data, "raw_error_404")

    _play(work)


@pytest.mark.parametrize("channel", ["orderbooks", "ticker", "trades"])
def test_public_frames_look_like_the_real_ones(channel: str, market_data: Path) -> None:
    """The book of frames.jsonl is cut to three levels a side: only what a level looks like is compared."""

    async def work(target: Target) -> None:
        stream = await target.opened(channel, "BTC_JPY")
        target.stage.trade("BTC_JPY", "BUY", ask("BTC_JPY"), "0.003")
        await target.pause(0.6)
        (frame,) = await stream.first(1)
        real = [recorded for recorded in _frames(market_data) if recorded.get("channel") == channel]
        assert real
        assert [form(frame)] * len(real) == [form(recorded) for recorded in real]

    _play(work)


def test_a_book_frame_is_as_deep_as_the_real_one(market_data: Path) -> None:
    async def work(target: Target) -> None:
        real = json.loads((market_data / "gmo" / "ws_samples" / "orderbooks_BTC_JPY_20250430_full.json").read_text(encoding="utf-8"))
        stream = await target.opened("orderbooks", "BTC_JPY")
        await target.pause(0.6)
        (frame,) = await stream.first(1)
        assert form(frame) == form(real)
        assert (len(frame["asks"]), len(frame["bids"]), frame["grouping"]) == (len(real["asks"]), len(real["bids"]), real["grouping"])

    _play(work)


def test_error_frames_are_the_real_ones_to_the_letter(market_data: Path) -> None:
    async def work(target: Target) -> None:
        stream = await target.opened("ticker", "NOPE")
        errors = [{"error": await stream.error()}]
        await target.subscribe(stream, "nope", "BTC")
        errors.append({"error": await stream.error()})
        await stream.send('{"command":"subscribe","channel":"ticker","symbol":"BTC"}')
        errors.append({"error": await stream.error()})
        assert errors == [frame for frame in _frames(market_data) if "error" in frame]

    _play(work)


def test_a_difference_is_seen() -> None:
    assert form({"price": "1.5", "at": "2026-09-23T03:25:47.765Z"}) == {"price": "decimal", "at": "moment"}
    assert form({"price": "1.50"}) != form({"price": "1.5"})
    assert form({"price": 1}) != form({"price": "1"})
    assert form([{"a": "1"}]) != form([{"a": "1", "b": "1"}])
    with pytest.raises(AssertionError, match="differ"):
        form([{"a": "1"}, {"a": 1}])

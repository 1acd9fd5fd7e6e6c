"""Any bytes at all into every decoder and through the whole client: only the documented exceptions come out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmobot.errors import VenueError
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.requester import models as convert
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import POSITION_CHANNELS
from gmobot.venue.transport import Reply

from ..exchange import CREDENTIALS
from ..virtual import VirtualClock, run_virtually
from .bench import Bench, healthy
from .scripted import Scripted
from .test_rest import CALLS
from .test_wire import EXAMPLES, EXECUTION, KINDS, ORDER, models

NASTY = ["NaN", "sNaN", "Infinity", "-0", "1e999999", "1e-999999", "9" * 5_000, "0x10", "1_000", "٣", "2026-01-01", "2026-13-01T00:00:00Z"]
RAW_NUMBERS = ["1e999999", "-1e999999", "9" * 5_000, "0." + "0" * 5_000 + "1", "NaN", "Infinity", "-0", "01", "1e", "--1"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = sorted({key for entry in EXAMPLES for key in entry["example"]} | set(ORDER) | set(EXECUTION))
TEXTS = [json.dumps(entry["example"]) for entry in EXAMPLES]


def survive(text: bytes | str) -> None:
    """Decode as everything there is, and convert all the way."""
    for kind in KINDS:
        with suppress(*wire.MALFORMED):
            models(wire.decode(text, kind))
    with suppress(*wire.MALFORMED):
        envelope = wire.decode(text, wire.Envelope)
        for read in (wire.order_id, wire.token, wire.fee_page):
            with suppress(*wire.MALFORMED):
                read(envelope.data)
        with suppress(*wire.MALFORMED):
            convert(wire.decode_rows(envelope.data, wire.AssetData))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.text(max_size=100) | JSON.map(json.dumps))
def test_no_bytes_raise_anything_else(text: bytes | str) -> None:
    survive(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(EXAMPLES), st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3))
def test_no_example_with_a_few_wrong_values_raises_anything_else(entry: dict[str, Any], wrong: dict[str, Any]) -> None:
    example = entry["example"]
    survive(json.dumps(example | wrong))
    data = example.get("data")
    for inner in (data, *(data if isinstance(data, list) else ())):
        if isinstance(inner, dict):
            survive(json.dumps(inner | wrong))
            survive(json.dumps({"status": 0, "data": [inner | wrong]}))
    survive(json.dumps([ORDER | wrong]))
    survive(json.dumps({"list": [ORDER | wrong]}))


def mutated(text: str, draw: random.Random) -> bytes:
    """Return a message as a broken line, a broken server or somebody hostile would send it."""
    data = bytearray(text.encode())
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(data) + 1)
        what = draw.randrange(6)
        if what == 0:
            data[at : at + draw.randrange(1, 9)] = b""
        elif what == 1:
            data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9)))
        elif what == 2:
            data[at:at] = draw.choice(RAW_NUMBERS).encode()
        elif what == 3:
            data[at:at] = draw.choice([b"[" * 3_000, b'{"a":' * 3_000, b'"' * 50, b"\\u0000", b"\\ud800", b"\xed\xa0\x80"])
        elif what == 4:
            start = draw.randrange(len(data) + 1)
            data[at:at] = data[min(at, start) : max(at, start)]
        elif data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def duplicated(text: str, draw: random.Random) -> str:
    """Return a message with a key said twice, differently."""
    key = draw.choice(KEYS)
    return text.replace("{", '{"' + key + '":' + draw.choice([*RAW_NUMBERS, "null", '"x"', "[]", "{}"]) + ",", 1)


def every_message(folder: Path | None) -> list[str]:
    """Return the reference's messages, and recorded ones where they are at hand."""
    if folder is None:
        return TEXTS
    found = [path.read_text(encoding="utf-8") for path in sorted((folder / "gmo").glob("*_samples/*.json"))]
    frames = (folder / "gmo/ws_samples/frames.jsonl").read_text(encoding="utf-8").splitlines()
    return [*found, *(line for line in frames if line.strip())]


def maul(texts: Sequence[str], rounds: int) -> None:
    draw = random.Random(20_261_125)
    for text in texts:
        for _ in range(rounds):
            survive(mutated(text, draw))
            survive(duplicated(text, draw))


def test_no_mutilated_example_raises_anything_else() -> None:
    maul(every_message(None), 25)


def test_no_mutilated_recording_raises_anything_else(market_data: Path) -> None:
    maul(every_message(market_data), 10)


@pytest.mark.parametrize("number", RAW_NUMBERS)
@pytest.mark.parametrize("field", ["price", "size", "orderId", "timestamp", "status"])
def test_numbers_no_machine_holds(field: str, number: str) -> None:
    text = json.dumps(ORDER).replace(json.dumps(ORDER[field]), number)
    assert number in text
    survive(text)
    survive('{"status":0,"data":{"list":[' + text + "]}}")


@pytest.mark.parametrize("call", CALLS)
def test_no_mutilated_reply_leaves_the_error_tree(call: str) -> None:
    draw = random.Random(call)

    async def main() -> None:
        for text in TEXTS:
            for body in (mutated(text, draw), duplicated(text, draw).encode()):
                rest = GmoRest(Scripted(Reply(200, body, {"Date": draw.choice(NASTY)})), VirtualClock(), credentials=CREDENTIALS)
                with suppress(VenueError):
                    await CALLS[call](rest)

    run_virtually(main())


@pytest.mark.parametrize("kind", ["public", "private"])
def test_no_mutilated_frame_ends_a_stream(kind: str) -> None:
    draw = random.Random(kind)

    async def main() -> None:
        channels = ("executionEvents", "orderEvents", *POSITION_CHANNELS)
        bench = Bench(private={"channels": channels}, public={"channels": ("trades", "orderbooks", "ticker")})
        stream = bench.public if kind == "public" else bench.private
        bench.sockets.on_open = healthy
        running = asyncio.create_task(stream.run(bench.seen.append))
        await asyncio.sleep(8)
        for text in TEXTS * 8:
            frame = mutated(text, draw)
            bench.socket.say(draw.choice([frame, frame.decode(errors="replace"), duplicated(text, draw)]))
            await asyncio.sleep(draw.choice([0.01, 0.5]))
        assert not running.done()
        assert stream.malformed > 50
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(main())

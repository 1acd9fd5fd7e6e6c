"""The public WebSocket: commands, errors, three channels, the life of a socket (§7)."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import aiohttp
import pytest
from tests.conformance.registry import Production, case
from tests.conformance.shapes import LEVEL, TICKER, TRADE, fits, text, word
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

PUBLIC = Production.PUBLIC
_BOOK = {"channel": word("orderbooks"), "asks": lambda v: isinstance(v, list), "bids": lambda v: isinstance(v, list)}
_BOOK_MORE = {"symbol": text, "timestamp": TRADE["timestamp"], "grouping": word("1")}
GRID = 0.6
"""A little more than the grid on which books and tickers come."""


@case(801, "§7.3", "orderbooks: a whole book of thirty levels a side, asks ascend, bids descend", production=PUBLIC)
async def books(t: Target) -> None:
    stream = await t.opened("orderbooks", "BTC_JPY")
    await t.pause(GRID)
    (frame,) = await stream.first(1, t.patience)
    fits(frame, _BOOK | _BOOK_MORE)
    for level in frame["asks"] + frame["bids"]:
        fits(level, LEVEL)
    asks, bids = ([Decimal(level["price"]) for level in frame[side]] for side in ("asks", "bids"))
    assert (len(asks), len(bids)) == (30, 30)
    assert asks == sorted(set(asks))
    assert bids == sorted(set(bids), reverse=True)


@case(802, "§7.3", "orderbooks comes once on its grid after a change, and again within seconds without one")
async def books_grid(t: Target) -> None:
    stream = await t.opened("orderbooks", "BTC")
    await t.pause(GRID)
    await stream.take(1)
    await t.pause(GRID)
    await stream.silent()
    t.stage.trade("BTC", "BUY", ask("BTC"), "0.01")
    await t.pause(GRID)
    await stream.take(1)
    for _ in range(9):
        await t.pause(GRID)
    await stream.take(1)


@case(803, "§7.3", "orderbooks shows what customers place, at most at the next step of the grid")
async def books_customers(t: Target) -> None:
    stream = await t.opened("orderbooks", "BTC")
    await t.pause(GRID)
    await stream.take(1)
    await t.customer.placed("LIMIT", "BUY", "0.25", "9999500")
    await t.pause(GRID)
    (frame,) = await stream.take(1)
    assert frame["bids"][0] == {"price": "9999500", "size": "0.25"}
    assert len(frame["bids"]) == 30


@case(811, "§7.2", "ticker: keys and types, after executions")
async def tickers(t: Target) -> None:
    stream = await t.opened("ticker", "BTC")
    await t.pause(GRID)
    await stream.silent()
    t.stage.trade("BTC", "BUY", "10000500", "0.01")
    await t.pause(GRID)
    (frame,) = await stream.take(1)
    fits(frame, TICKER | {"channel": word("ticker")})
    assert (frame["last"], frame["ask"], frame["bid"]) == ("10000500", ask("BTC"), bid("BTC"))


@case(812, "§7.2", "ticker over the socket and over REST agree")
async def tickers_agree(t: Target) -> None:
    stream = await t.opened("ticker", "BTC")
    t.stage.trade("BTC", "BUY", "10000500", "0.01")
    await t.pause(GRID)
    (frame,) = await stream.take(1)
    (row,) = (await t.get("ticker", symbol="BTC")).data
    for name in ("channel", "timestamp"):
        frame.pop(name)
    row.pop("timestamp")
    assert frame == row


@case(821, "§7.4", "trades prints both sides of a match, one frame each")
async def trades_both(t: Target) -> None:
    stream = await t.opened("trades", "BTC")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.012")
    first, second = await stream.take(2)
    for frame in (first, second):
        fits(frame, TRADE | {"channel": word("trades"), "symbol": text})
    assert {first.pop("side"), second.pop("side")} == {"BUY", "SELL"}
    assert first == second


@case(822, "§7.4", "trades with TAKER_ONLY prints the taker's side alone")
async def trades_taker(t: Target) -> None:
    stream = await t.opened("trades", "BTC", "TAKER_ONLY")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    t.stage.trade("BTC", "BUY", ask("BTC"), "0.02")
    assert [(frame["side"], frame["size"]) for frame in await stream.take(2)] == [("SELL", "0.01"), ("BUY", "0.02")]


@case(823, "§7.1", "of several subscriptions to trades the latest option wins, and one stream is kept")
async def trades_option(t: Target) -> None:
    stream = await t.opened("trades", "BTC")
    await t.subscribe(stream, "trades", "BTC", "TAKER_ONLY")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    await stream.take(1)
    await t.subscribe(stream, "trades", "BTC")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    await stream.take(2)


@case(824, "§7.4", "a trade of one's own is a trades frame, on the taker's side")
async def trades_own(t: Target) -> None:
    stream = await t.opened("trades", "BTC", "TAKER_ONLY")
    await t.customer.placed("MARKET", "BUY", "0.6")
    assert [(f["side"], f["price"], f["size"]) for f in await stream.take(2)] == [("BUY", ask("BTC"), "0.5"), ("BUY", ask("BTC", 1), "0.1")]


@case(825, "§7.4", "nothing of the past is played after a subscription")
async def no_replay(t: Target) -> None:
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    await (await t.opened("trades", "BTC")).silent()


@case(826, "§7.1", "a symbol's frames go to those who asked for it alone")
async def only_asked(t: Target) -> None:
    stream = await t.opened("trades", "BTC_JPY", "TAKER_ONLY")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    t.stage.trade("BTC_JPY", "SELL", bid("BTC_JPY"), "0.01")
    (frame,) = await stream.take(1)
    assert frame["symbol"] == "BTC_JPY"


@case(831, "§7.1", "neither subscribing nor unsubscribing is acknowledged; after unsubscribing nothing comes")
async def unsubscribe(t: Target) -> None:
    stream = await t.opened("trades", "BTC")
    await stream.silent()
    await t.command(stream, command="unsubscribe", channel="trades", symbol="BTC")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    await stream.silent()


@case(832, "§7.1", "an unknown symbol is an error frame, the socket stays open", codes="", production=PUBLIC)
async def bad_symbol(t: Target) -> None:
    stream = await t.opened("ticker", "NOPE")
    assert await stream.error() == "ERR-5106 Invalid request parameter. symbol"
    await t.subscribe(stream, "orderbooks", "BTC")
    await t.pause(GRID)
    assert (await stream.first(1, t.patience))[0]["channel"] == "orderbooks"


@case(833, "§7.1", "an unknown channel, or a known one in other letters, is an error frame", production=PUBLIC)
async def bad_channel(t: Target) -> None:
    stream = await t.opened("nope", "BTC")
    assert await stream.error() == "ERR-5106 Invalid request parameter. channel"
    await t.subscribe(stream, "Orderbooks", "BTC")
    assert await stream.error() == "ERR-5106 Invalid request parameter. channel"


@case(834, "§7.1", "what is no JSON is an error frame", production=PUBLIC)
async def bad_text(t: Target) -> None:
    stream = await t.connect()
    await t.say(stream, "subscribe please")
    assert await stream.error() == "ERR-5106 Invalid request parameter."


@case(835, "§7.1", "private channels are not on the public socket")
async def private_channel(t: Target) -> None:
    stream = await t.opened("orderEvents")
    assert "channel" in await stream.error()


@case(836, "§3.3", "a second command within a second is dropped with an error frame, the socket stays usable")
async def command_rate(t: Target) -> None:
    stream = await t.opened("trades", "BTC")
    await stream.send(json.dumps({"command": "subscribe", "channel": "ticker", "symbol": "BTC"}))
    assert await stream.error() == "ERR-5003 Request too many."
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    await stream.take(2)
    await t.pause(GRID)
    await stream.silent()
    await t.subscribe(stream, "ticker", "BTC")
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.01")
    await t.pause(GRID)
    assert [frame["channel"] for frame in await stream.take(3)] == ["trades", "trades", "ticker"]


@case(837, "§3.3", "all sockets of an address share the rate of commands, public and private alike")
async def command_rate_shared(t: Target) -> None:
    first, private = await t.opened("trades", "BTC"), await t.customer.opened_stream()
    for other in (await t.connect(), private):
        await other.send(json.dumps({"command": "subscribe", "channel": "trades", "symbol": "BTC"}))
        assert await other.error() == "ERR-5003 Request too many."
    await first.silent()


@case(838, "§7.1", "one socket carries any number of channels and symbols", production=PUBLIC)
async def many_channels(t: Target) -> None:
    stream = await t.connect()
    for channel, symbol in (("orderbooks", "BTC"), ("orderbooks", "BTC_JPY"), ("trades", "BTC")):
        await t.subscribe(stream, channel, symbol)
    await t.pause(GRID)
    frames = await stream.first(2, t.patience)
    assert {frame["channel"] for frame in frames} <= {"orderbooks", "trades"}
    assert all("error" not in frame for frame in frames)


@case(841, "§7.1", "the server pings every minute, and three that are not answered in a row end the connection")
async def pings(t: Target) -> None:
    good, bad = await t.opened("trades", "BTC"), await t.opened("trades", "BTC")
    bad.answers_pings = False
    for turn in range(1, 4):
        await t.pause(60.5)
        await asyncio.sleep(0.02)
        assert (good.pings, bad.pings) == (turn, turn)
    await t.pause(60.5)
    await bad.ended()
    await asyncio.sleep(0.02)
    assert not good.closed


@case(842, "§7.1", "a socket that never sent anything is closed after a minute, without a close frame and without a ping")
async def idle(t: Target) -> None:
    stream = await t.connect()
    await t.pause(59.0)
    await stream.silent()
    assert not stream.closed
    await t.pause(1.5)
    await stream.ended()
    assert (stream.close_code, stream.pings) == (1006, 0)


@case(843, "§7.1", "a client's protocol pings are answered and keep a socket alive", production=PUBLIC)
async def client_pings(t: Target) -> None:
    stream = await t.connect()
    await stream.ping()
    async with asyncio.timeout(t.patience):
        while not stream.pongs:
            await asyncio.sleep(0.01)
    assert not stream.closed


@case(844, "§7.1", "frames are deflated without context takeover when that is offered", production=PUBLIC)
async def deflated(t: Target) -> None:
    stream = await t.connect()
    offered = stream.extensions
    assert "permessage-deflate" in offered
    assert "server_no_context_takeover" in offered
    assert "client_no_context_takeover" in offered


@case(845, "§1.1", "without the version in its path a socket is refused with HTTP 404", production=PUBLIC)
async def no_version(t: Target) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await t.connect("/ws/public")
    assert refused.value.status == 404

"""Paper trading: the real client over the in-memory transport, into an exchange fed by real public streams."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

from gmobot.cli.rules import recorded_instrument
from gmobot.clock import NS_PER_MS, Clock
from gmobot.config import Config
from gmobot.core.instrument import to_uyen
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.market import QuietMarket
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.live.daemon import Links
from gmobot.live.holdings import Holdings
from gmobot.live.intake import private_channels
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PrivateStream, PublicStream
from gmobot.venue.models import Book, Print, StreamEvent

_KEY, _SECRET = "paper-key", "paper-secret"


async def paper_links(config: Config, public_rest: GmoRest, public_stream: PublicStream, clock: Clock, backoff: Backoff) -> Links:
    """Return links whose orders stay in this process."""
    instruments = {i.symbol: recorded_instrument(i.symbol, config.venue.fee_rounding) for i in config.instruments}
    customer = account(_KEY, _SECRET, {"JPY": Decimal(config.capital.paper_jpy)}, instruments)
    markets = {symbol: (instrument, QuietMarket()) for symbol, instrument in instruments.items()}
    exchange = Exchange(clock, markets, {_KEY: customer})
    # Every run begins a new exchange, and the numbers of the last one are in the books.
    exchange.number_from(clock.now_ns() // NS_PER_MS)
    api = ExchangeApi(exchange)
    transport = MemoryTransport(api)
    rest = GmoRest(transport, clock, credentials=Credentials(Secret(_KEY), Secret(_SECRET)))
    private = PrivateStream(
        transport, rest, clock, CommandPacer(clock), seed=random.Random(), backoff=backoff, channels=private_channels(config)
    )

    def tap(event: StreamEvent) -> None:
        if isinstance(event, Print):
            exchange.feed_print(event)
        elif isinstance(event, Book):
            exchange.feed_book(event)

    def remind(held: Holdings) -> None:
        customer.jpy_uyen = to_uyen(held.jpy)
        for symbol, amount in held.coins.items():
            customer.coins[symbol] = int(amount / instruments[symbol].size_step)
        for position in held.positions:
            instrument = instruments[position.symbol]
            ticks, lots = instrument.ticks(position.price), instrument.lots(position.size)
            exchange.give_back(customer, position.symbol, position.position_id, position.side.value, ticks, lots)

    # The exchange lives as long as the loop does: the task is kept by the closure below.
    tap.running = asyncio.create_task(api.run())  # type: ignore[attr-defined]
    return Links(public_rest, public_stream, rest, private, tap, remind)

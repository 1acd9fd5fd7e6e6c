"""``gmobot exchange``: the emulator on a port."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from gmobot.cli import exchange_options
from gmobot.clock import NS_PER_MS, SystemClock
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.server import EmulatorServer
from gmobot.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOptions:
    """The command's options, as typed."""

    market: str
    symbols: str | None
    speed: float
    seed: int
    faults: Path | None
    host: str
    port: int
    accounts: list[str]
    assume: list[str]
    tls: Path | None


def run_exchange(options: ExchangeOptions) -> None:
    """Serve until interrupted.

    Raises:
        UserError: An option makes no sense.
    """
    api = build(options)
    context = None
    if options.tls is not None:
        from gmobot.emulator.tls import server_context

        context = server_context(options.tls, SystemClock())
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_serve(api, options, context))


def build(options: ExchangeOptions) -> ExchangeApi:
    """Return the exchange that the options describe.

    Raises:
        UserError: An option makes no sense.
    """
    markets = exchange_options.markets(options.market, options.symbols, speed=options.speed, seed=options.seed)
    instruments = {symbol: instrument for symbol, (instrument, _) in markets.items()}
    accounts, keys = exchange_options.accounts(options.accounts, instruments)
    guesses = exchange_options.assumptions(options.assume)
    exchange = Exchange(SystemClock(), markets, accounts, assumptions=guesses, seed=options.seed)
    # A client may remember what an emulator before this one told it: no number is given twice.
    exchange.number_from(SystemClock().now_ns() // NS_PER_MS)
    api = ExchangeApi(exchange, keys=keys, seed=options.seed)
    for number, entry in enumerate(exchange_options.fault_entries(options.faults), start=1):
        try:
            api.arm(entry)
        except ConfigError as error:
            raise ConfigError(f"{options.faults}: entry {number}: {error}") from None
    return api


def introduction(api: ExchangeApi, options: ExchangeOptions, port: int) -> list[str]:
    """Return what one needs to know to use the emulator; the first line names its address."""
    secure = "s" if options.tls is not None else ""
    url, host = f"http{secure}://{options.host}:{port}", f"{options.host}:{port}"
    curl = "curl" if options.tls is None else f"curl --cacert {options.tls / 'ca.pem'}"
    symbol, key = next(iter(api.exchange.symbols)), next(iter(api.exchange.accounts))
    lines = [
        f"GMO Coin emulator on {url} (symbols: {', '.join(api.exchange.symbols)})",
        f"  market   {options.market}, {options.speed:g} times as fast",
        f"  try      {curl} '{url}/public/v1/ticker?symbol={symbol}'",
        f"  streams  ws{secure}://{host}/ws/public/v1 and ws{secure}://{host}/ws/private/v1/{{token}}",
        f"  keys     {', '.join(api.exchange.accounts)}: sign as for the real exchange, e.g. API-KEY: {key}",
        f"  admin    {curl} {url}/emulator/v1 lists faults, access record, ledger, speed and status",
    ]
    if options.tls is not None:
        lines.append(f"  tls      trust {options.tls / 'ca.pem'} and let api.coin.z.com lead here, and a client works unchanged")
    return lines


async def _serve(api: ExchangeApi, options: ExchangeOptions, context: ssl.SSLContext | None) -> None:
    api.exchange.start()
    server = EmulatorServer(api)
    try:
        await server.start(options.host, options.port, tls=context)
    except OSError as error:
        raise ConfigError(f"--host {options.host} --port {options.port}: {error.strerror}; choose another") from None
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    for line in introduction(api, options, server.port):
        typer.echo(line)
    running = asyncio.create_task(api.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await server.close()
    for task in (running, stopping):
        task.cancel()
    (outcome, _) = await asyncio.gather(running, stopping, return_exceptions=True)
    if isinstance(outcome, BaseExceptionGroup):
        raise outcome.exceptions[0]
    if isinstance(outcome, Exception):
        raise outcome


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it exists."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop

"""``gmobot exchange``: the emulator on a port."""

from __future__ import annotations

import asyncio
import signal
from decimal import Decimal, InvalidOperation
from pathlib import Path

import typer
import yaml

from gmobot.cli.rules import recorded_instrument
from gmobot.clock import SystemClock
from gmobot.core.instrument import InstrumentError
from gmobot.emulator.api import ExchangeApi
from gmobot.emulator.exchange import Exchange, account
from gmobot.emulator.faults import Faults
from gmobot.emulator.market import ArchiveMarket, Market, SyntheticMarket
from gmobot.emulator.records import Account
from gmobot.emulator.server import EmulatorServer
from gmobot.errors import ConfigError

DEFAULT_ACCOUNT = "emulator-key:emulator-secret:JPY=10000000,BTC=0.5"
_SYMBOL = "BTC"
_HISTORY_SECONDS = 7_200.0
"""How much of an archive lies in the past when it starts to play, so that a client can warm up."""


def run_exchange(*, market: str, speed: float, seed: int, faults: Path | None, host: str, port: int, accounts: list[str]) -> None:
    """Serve until interrupted.

    Raises:
        UserError: An option makes no sense.
    """
    instrument = recorded_instrument(_SYMBOL)
    source: Market = (
        SyntheticMarket(instrument, seed=seed, speed=speed)
        if market == "synthetic"
        else ArchiveMarket(instrument, Path(market), speed=speed, history_seconds=_HISTORY_SECONDS)
    )
    customers = [parse_account(text) for text in accounts or [DEFAULT_ACCOUNT]]
    exchange = Exchange(SystemClock(), {_SYMBOL: (instrument, source)}, {customer.name: customer for customer in customers}, seed=seed)
    api = ExchangeApi(exchange, faults=_read_faults(faults, seed), seed=seed)
    asyncio.run(_serve(api, host, port))


def parse_account(text: str) -> Account:
    """Parse ``KEY:SECRET:JPY=…,BTC=…``.

    Raises:
        ConfigError: It does not have that form.
    """
    try:
        key, secret, balances = text.split(":")
        amounts = {_currency(name): Decimal(amount) for name, _, amount in (part.partition("=") for part in balances.split(","))}
        return account(key, secret, amounts, {_SYMBOL: recorded_instrument(_SYMBOL)})
    except (ValueError, InvalidOperation, InstrumentError):
        raise ConfigError("--account: write KEY:SECRET:JPY=10000000,BTC=0.5") from None


def _currency(name: str) -> str:
    if name not in ("JPY", _SYMBOL):
        raise ValueError(name)
    return name


def _read_faults(path: Path | None, seed: int) -> Faults:
    faults = Faults(seed)
    if path is None:
        return faults
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in entries:
            faults.arm(str(entry.pop("fault")), **entry)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: expected a list of `- fault: name, where: /v1/order, times: 1, probability: 0.5` ({error})") from None
    return faults


async def _serve(api: ExchangeApi, host: str, port: int) -> None:
    api.exchange.start()
    server = EmulatorServer(api)
    try:
        await server.start(host, port)
    except OSError as error:
        raise ConfigError(f"--port {port}: {error.strerror}; choose another") from None
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    typer.echo(f"GMO Coin emulator on http://{host}:{server.port} (symbols: {', '.join(api.exchange.symbols)})")
    running = asyncio.create_task(api.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await server.close()
    for task in (running, stopping):
        task.cancel()
    (outcome, _) = await asyncio.gather(running, stopping, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome

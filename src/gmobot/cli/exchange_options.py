"""What the options of ``gmobot exchange`` mean: accounts, symbols and markets, faults, assumptions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import yaml

from gmobot.cli.rules import SYMBOLS, recorded_instrument, start_price
from gmobot.core.instrument import FeeRounding, Instrument, InstrumentError
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import account
from gmobot.emulator.engine.records import Account
from gmobot.emulator.market import (
    ArchiveMarket,
    Market,
    Playback,
    PricePath,
    RecordedMarket,
    SyntheticMarket,
    SyntheticShape,
    archive_files,
)
from gmobot.emulator.market.recording import SUFFIXES, recorded_symbols
from gmobot.emulator.protocol.keys import KeyRules
from gmobot.errors import ConfigError, DataError

DEFAULT_SYMBOLS = ("BTC", "BTC_JPY")
_DEFAULT_KEY, _DEFAULT_BALANCES = "emulator-key:emulator-secret", {"JPY": "10000000", "BTC": "0.5"}
_HISTORY_SECONDS = 7_200.0
"""How much of an archive's tape lies in the past when it starts to play, so that a client can warm up."""
_BUSY_TRADES, _QUIET_TRADES = 2.0, 0.5
_ACCOUNT_FORM = "--account: write KEY:SECRET:JPY=10000000,BTC=0.5, and after it :may=order+cancel or :from=127.0.0.1 to restrict the key"
_ARCHIVE_NAME = re.compile(r"\d{8}_(\w+)\.csv(\.gz)?")

Markets = dict[str, tuple[Instrument, Market]]


def markets(market: str, symbols: str | None, *, speed: float, seed: int) -> Markets:
    """Return every symbol's market, all on one playback.

    Args:
        market: ``synthetic``, a recording, an archive file or a folder of them.
        symbols: Comma-separated, ``all``, or ``None`` for what the market has of BTC and BTC_JPY.
        speed: Of the tape.
        seed: Of the synthetic market.

    Raises:
        UserError: There is no such symbol, or no data of it.
    """
    playback, path = Playback(speed), Path(market)
    if market == "synthetic":
        return _synthetic(_chosen(symbols) or list(DEFAULT_SYMBOLS), seed, playback)
    if path.name.endswith(SUFFIXES):
        if not path.is_file():
            raise DataError(f"{path}: there is no such recording")
        chosen = _chosen(symbols) or [symbol for symbol in recorded_symbols(path) if symbol in SYMBOLS]
        if not chosen:
            raise DataError(f"{path}: no orderbooks or trades of a known symbol in it")
        return {symbol: _with(symbol, lambda i: RecordedMarket(i, path, playback=playback)) for symbol in chosen}
    return {
        symbol: _with(symbol, lambda i: ArchiveMarket(i, path, history_seconds=_HISTORY_SECONDS, playback=playback))
        for symbol in _chosen(symbols) or _archived(path)
    }


def accounts(texts: list[str], instruments: Mapping[str, Instrument]) -> tuple[dict[str, Account], dict[str, KeyRules]]:
    """Return the accounts by key, and their keys' rules; without any text the default one.

    Raises:
        ConfigError: A text does not have the form.
    """
    parsed = [parse_account(text, instruments) for text in texts or [default_account(instruments)]]
    return {customer.name: customer for customer, _ in parsed}, {customer.name: rules for customer, rules in parsed}


def default_account(instruments: Mapping[str, Instrument]) -> str:
    """Return the account that there is when none is named, with coins only of what is traded."""
    balances = ",".join(f"{name}={amount}" for name, amount in _DEFAULT_BALANCES.items() if name == "JPY" or name in instruments)
    return f"{_DEFAULT_KEY}:{balances}"


def parse_account(text: str, instruments: Mapping[str, Instrument]) -> tuple[Account, KeyRules]:
    """Parse ``KEY:SECRET:JPY=…,BTC=…[:may=…][:from=…]``.

    Raises:
        ConfigError: It does not have that form.
    """
    plain, *restrictions = re.split(r":(?=may=|from=)", text)
    limits = dict(part.split("=", 1) for part in restrictions)
    try:
        key, secret, balances = plain.split(":")
        customer = account(key, secret, dict(_balance(part, instruments) for part in balances.split(",")), instruments)
    except (ValueError, InvalidOperation, InstrumentError):
        raise ConfigError(_ACCOUNT_FORM) from None
    if not key or not secret:
        raise ConfigError(_ACCOUNT_FORM)
    return customer, KeyRules.parse(limits.get("may"), limits.get("from"))


def _balance(text: str, instruments: Mapping[str, Instrument]) -> tuple[str, Decimal]:
    name, _, amount = text.partition("=")
    balance = Decimal(amount)
    if (name != "JPY" and (name not in instruments or name.endswith("_JPY"))) or not balance.is_finite() or balance < 0:
        raise ValueError(text)
    return name, balance


def assumptions(texts: list[str]) -> Assumptions:
    """Return the emulator's guesses with ``NAME=VALUE`` changed.

    Raises:
        ConfigError: There is no such assumption, or the value is none of its kind.
    """
    known = {field.name: field.default for field in fields(Assumptions)}
    values: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise ConfigError(f"--assume {text}: there is no such assumption; there are: {', '.join(known)}")
        if isinstance(known[name], frozenset):
            values[name] = [part for part in value.split(",") if part]
            continue
        by_name = FeeRounding.__members__ if isinstance(known[name], FeeRounding) else {}
        values[name] = by_name.get(value.upper(), value)
    try:
        return msgspec.convert(values, Assumptions, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--assume {' '.join(texts)}: {error}") from None


def fault_entries(path: Path | None) -> list[dict[str, Any]]:
    """Return the entries of a faults file.

    Raises:
        ConfigError: It cannot be read or is not a list of mappings.
    """
    if path is None:
        return []
    form = "expected a list of entries like `- {fault: reply_lost_after, where: /v1/order, times: 1}`"
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {form} ({' '.join(str(error).split())})") from None
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: {form}")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not all(isinstance(name, str) for name in entry):
            raise ConfigError(f"{path}: entry {number}: {form}")
    return entries


def _chosen(symbols: str | None) -> list[str]:
    if symbols is None:
        return []
    wanted = list(SYMBOLS) if symbols == "all" else list(dict.fromkeys(filter(None, (part.strip() for part in symbols.split(",")))))
    unknown = [symbol for symbol in wanted if symbol not in SYMBOLS]
    if unknown or not wanted:
        raise ConfigError(f"--symbols {symbols}: write `all`, or some of {','.join(SYMBOLS)}")
    return wanted


def _with(symbol: str, make: Callable[[Instrument], Market]) -> tuple[Instrument, Market]:
    instrument = recorded_instrument(symbol)
    return instrument, make(instrument)


def _synthetic(symbols: list[str], seed: int, playback: Playback) -> Markets:
    paths: dict[str, PricePath] = {}
    found: Markets = {}
    for symbol in symbols:
        instrument = recorded_instrument(symbol)
        rate = _BUSY_TRADES if instrument.base == "BTC" else _QUIET_TRADES
        shape = SyntheticShape(price_yen=float(start_price(symbol)), trades_per_second=rate)
        path = paths.setdefault(instrument.base, PricePath(shape, seed=seed, asset=instrument.base))
        found[symbol] = instrument, SyntheticMarket(instrument, seed=seed, shape=shape, path=path, playback=playback)
    return found


def _archived(path: Path) -> list[str]:
    """Return the symbols whose archive is meant when none is named."""
    named = _ARCHIVE_NAME.fullmatch(path.name)
    if named is not None and path.is_file():
        return [named[1]]
    found = []
    for symbol in DEFAULT_SYMBOLS:
        try:
            archive_files(path, symbol)
        except DataError:
            continue
        found.append(symbol)
    if not found:
        raise DataError(f"{path}: no trade archive there; expected files like 20240701_BTC.csv.gz, or a recording *{SUFFIXES[0]}")
    return found if path.is_dir() else found[:1]

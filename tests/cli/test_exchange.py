"""``gmobot exchange``: options into an emulator, a real one on a real port, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.run_cli import Cli

from gmobot.cli.exchange import DEFAULT_ACCOUNT, parse_account
from gmobot.cli.rules import SYMBOLS, recorded_instrument
from gmobot.core.instrument import Product
from gmobot.errors import ConfigError


@contextmanager
def running(*options: str) -> Iterator[str]:
    """A real emulator in a process of its own, on a free port."""
    command = [sys.executable, "-u", "-m", "gmobot", "exchange", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("GMO Coin emulator on http://"), line + process.stdout.read()
            yield line.split()[4]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.loads(reply.read())


def test_it_serves_gmo_s_paths_and_the_default_account_and_ends_cleanly() -> None:
    with running() as url:
        assert get(f"{url}/public/v1/status")["data"]["status"] == "OPEN"
        assert get(f"{url}/emulator/v1")["emulator"] == "gmobot"
        balances = get(f"{url}/emulator/v1/ledger")["emulator-key"]["balances"]
    assert {name: Decimal(amount) for name, amount in balances.items()} == {"JPY": Decimal(10_000_000), "BTC": Decimal("0.5")}


def test_accounts_are_named_by_option() -> None:
    with running("--account", "a:b:JPY=5", "--account", "c:d:JPY=7,BTC=1") as url:
        assert set(get(f"{url}/emulator/v1/ledger")) == {"a", "c"}


def test_the_default_account_is_the_contract_s() -> None:
    assert parse_account(DEFAULT_ACCOUNT).name == "emulator-key"


@pytest.mark.parametrize("text", ["", "a", "a:b", "a:b:c:d", "a:b:JPY", "a:b:JPY=x", "a:b:JPY=1,NOPE=1", "a:b:BTC=0.000001"])
def test_an_account_that_is_none_is_explained(text: str) -> None:
    with pytest.raises(ConfigError, match="--account: write KEY:SECRET"):
        parse_account(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not: a list of faults", "expected a list"),
        ("- {fault: no_such_fault}", "no_such_fault"),
        ("- [1", "expected a list"),
        ("", "expected a list"),
    ],
)
def test_faults_that_are_none_are_explained(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    outcome = cli("exchange", "--port", "0", "--faults", str(file), config=False)
    assert outcome.code == 2
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_market_that_is_not_there_is_explained(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("exchange", "--port", "0", "--market", str(tmp_path / "none"), config=False)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_bitcoin_s_recorded_rules() -> None:
    btc = recorded_instrument("BTC")
    assert (btc.tick_size, btc.max_size) == (Decimal(1), Decimal(5))
    assert (btc.size_step, btc.min_size) == (Decimal("0.00001"), Decimal("0.00001"))
    assert (btc.maker_fee, btc.taker_fee) == (Decimal("-0.0001"), Decimal("0.0005"))
    assert recorded_instrument("BTC_JPY").product is Product.LEVERAGE


def test_a_recorded_symbol_whose_money_is_not_exact_says_so() -> None:
    refused = [symbol for symbol in SYMBOLS if not _usable(symbol)]
    assert "BTC" not in refused
    for symbol in refused:
        with pytest.raises(ConfigError, match=rf"^instruments: {symbol}: .* lower max_size$"):
            recorded_instrument(symbol)


def _usable(symbol: str) -> bool:
    try:
        return recorded_instrument(symbol).symbol == symbol
    except ConfigError:
        return False

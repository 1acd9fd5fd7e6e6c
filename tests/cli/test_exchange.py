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

from gmobot.cli.exchange import ExchangeOptions, build, introduction
from gmobot.cli.exchange_options import assumptions, default_account, parse_account
from gmobot.cli.rules import SYMBOLS, recorded_instrument
from gmobot.core.instrument import FeeRounding, Product
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.protocol.keys import Permission
from gmobot.errors import ConfigError, DataError

SERVED = {symbol: recorded_instrument(symbol) for symbol in ("BTC", "BTC_JPY", "ETH")}


def options(**changes: Any) -> ExchangeOptions:
    """The command's defaults, but for some."""
    plain: dict[str, Any] = {
        "market": "synthetic", "symbols": None, "speed": 1.0, "seed": 1, "faults": None, "host": "127.0.0.1", "port": 0,
        "accounts": [], "assume": [], "tls": None,
    }  # fmt: skip
    return ExchangeOptions(**(plain | changes))


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
    assert default_account(SERVED) == "emulator-key:emulator-secret:JPY=10000000,BTC=0.5"
    assert default_account({"ETH": SERVED["ETH"]}) == "emulator-key:emulator-secret:JPY=10000000"


def test_an_account_s_key_can_be_restricted() -> None:
    customer, rules = parse_account("a:b:JPY=1,ETH=2:may=order+orders:from=10.0.0.0/8+::1", SERVED)
    assert (customer.name, customer.coins) == ("a", {"ETH": 20_000})
    assert rules.permissions == {Permission.ORDER, Permission.ORDERS}
    assert rules.admit("10.1.1.1")
    assert rules.admit("::1")
    assert not rules.admit("127.0.0.1")


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a:b", "a:b:c:d", "a:b:JPY", "a:b:JPY=x", "a:b:JPY=1,NOPE=1", "a:b:BTC=0.000001"),
        *(":b:JPY=1", "a::JPY=1", "a:b:JPY=-1", "a:b:JPY=NaN", "a:b:BTC_JPY=1", "a:b:SOL=1"),
    ],
)
def test_an_account_that_is_none_is_explained(text: str) -> None:
    with pytest.raises(ConfigError, match="--account: write KEY:SECRET"):
        parse_account(text, SERVED)


def test_the_emulator_trades_bitcoin_spot_and_leverage_by_default_and_what_one_asks_for() -> None:
    assert list(build(options()).exchange.symbols) == ["BTC", "BTC_JPY"]
    assert list(build(options(symbols="ETH, SOL_JPY,ETH")).exchange.symbols) == ["ETH", "SOL_JPY"]
    exchange = build(options(symbols="all")).exchange
    assert tuple(exchange.symbols) == SYMBOLS
    exchange.start()
    for symbol, market in exchange.symbols.items():
        assert market.book.best_bid < market.book.last < market.book.best_ask or market.book.last in (
            market.book.best_bid,
            market.book.best_ask,
        ), symbol


@pytest.mark.parametrize("symbols", ["DOGGE", "", "BTC,btc"])
def test_a_symbol_that_is_none_is_explained(symbols: str) -> None:
    with pytest.raises(ConfigError, match="--symbols"):
        build(options(symbols=symbols))


def test_a_market_of_files_trades_what_the_files_have(market_data: Path, tmp_path: Path) -> None:
    trades, frames = market_data / "gmo/trades", market_data / "gmo/ws_samples/frames.jsonl"
    one = build(options(market=str(trades / "BTC_JPY/2025/01/20250102_BTC_JPY.csv.gz")))
    assert list(one.exchange.symbols) == ["BTC_JPY"]
    assert list(build(options(market=str(trades / "BTC/2024/07"))).exchange.symbols) == ["BTC"]
    assert list(build(options(market=str(frames))).exchange.symbols) == ["BTC_JPY"]
    with pytest.raises(DataError, match="no trade archive of ETH"):
        build(options(market=str(trades), symbols="ETH"))
    with pytest.raises(DataError, match="play files of the same days"):
        build(options(market=str(trades))).exchange.start()
    (tmp_path / "none.jsonl").write_text('{"error":"ERR-5003 Request too many."}\n')
    with pytest.raises(DataError, match="no orderbooks or trades"):
        build(options(market=str(tmp_path / "none.jsonl")))


@pytest.mark.parametrize("speed", [1.0, 1_000.0])
def test_two_hours_of_an_archive_are_past_and_the_rest_is_played_whatever_the_speed(speed: float, market_data: Path) -> None:
    file = market_data / "gmo/trades/BTC/2024/07/20240705_BTC.csv.gz"
    exchange = build(options(market=str(file), speed=speed)).exchange
    exchange.start()
    market = exchange.symbols["BTC"]
    rest, at_ns = 0, exchange.clock.now_ns()
    while (event := market.source.next(at_ns)) is not None:
        rest, at_ns = rest + 1, event.at_ns
    assert 100 < len(market.tape) < rest / 5


def test_assumptions_are_changed_by_name() -> None:
    changed = assumptions(
        ["reply_seconds=0", "private_per_second=1000", "fee_rounding=floor", "stop_trigger=quote", "available_reserves=false"]
    )
    assert (changed.reply_seconds, changed.private_per_second, changed.stop_trigger) == (0.0, 1000, "quote")
    assert (changed.fee_rounding, changed.available_reserves) == (FeeRounding.FLOOR, False)
    assert assumptions([]) == Assumptions()


@pytest.mark.parametrize(
    ("text", "told"),
    [("nonsense=1", "there is no such assumption; there are: timestamp_window_seconds"), ("private_per_second=often", "Expected `int`"),
     ("stop_trigger=mood", "Invalid enum value 'mood'")],
)  # fmt: skip
def test_an_assumption_that_makes_no_sense_is_explained(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        assumptions([text])
    assert told in str(refused.value)


def test_the_introduction_says_what_to_type() -> None:
    api = build(options())
    plain = "\n".join(introduction(api, options(), 9755))
    assert "curl 'http://127.0.0.1:9755/public/v1/ticker?symbol=BTC'" in plain
    assert "curl http://127.0.0.1:9755/emulator/v1" in plain
    secure = "\n".join(introduction(api, options(tls=Path("certs")), 9755))
    assert "curl --cacert certs/ca.pem 'https://127.0.0.1:9755/public/v1/ticker?symbol=BTC'" in secure
    assert "wss://127.0.0.1:9755/ws/public/v1" in secure


def test_over_tls_it_serves_who_trusts_its_authority(tmp_path: Path) -> None:
    import ssl

    command = [sys.executable, "-u", "-m", "gmobot", "exchange", "--port", "0", "--tls", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[4]
            context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
            with urllib.request.urlopen(f"{url}/public/v1/status", timeout=10, context=context) as reply:
                assert json.loads(reply.read())["data"]["status"] == "OPEN"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not: a list of faults", "expected a list"),
        ("- {fault: no_such_fault}", "entry 1: fault 'no_such_fault': there is no such fault; there are: maintenance, reply_lost"),
        ("- {fault: event_lost}\n- {fault: event_lost, tmies: 3}", "entry 2: fault event_lost: Object contains unknown field `tmies`"),
        ("- {where: /v1/order}", "entry 1: fault ?: Object missing required field `fault`"),
        ("- event_lost", "entry 1: expected a list"),
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

"""``docs/emulator.md`` and the code list the same options, faults, requests and assumptions, and its examples work."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import msgspec
import pytest
import yaml
from typer.main import get_command

from gmobot.cli.app import app
from gmobot.cli.exchange import ExchangeOptions, build
from gmobot.cli.exchange_options import assumptions, parse_account
from gmobot.cli.rules import recorded_instrument
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.faults import Fault
from gmobot.emulator.market.recording import read_recording
from gmobot.emulator.market.tape import Trade
from gmobot.emulator.protocol.admin import ENDPOINTS, PREFIX
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.protocol.keys import Permission
from gmobot.emulator.protocol.maintenance import Maintenance

TEXT = (Path(__file__).resolve().parents[2] / "docs/emulator.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table below a header line, without its back quotes."""
    lines = TEXT.split(heading, 1)[1].splitlines()[2:]
    table = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in table]


def _emulator() -> ExchangeApi:
    return build(
        ExchangeOptions(
            market="synthetic", symbols=None, speed=1.0, seed=1, faults=None, host="", port=0, accounts=[], assume=[], tls=None
        )
    )  # fmt: skip


def test_every_option_is_listed() -> None:
    command = get_command(app).commands["exchange"]  # type: ignore[attr-defined]
    options = {option.opts[0]: option.default for option in command.params if option.opts[0] != "--help"}
    rows = {row[0]: row[1] for row in _rows("| option | default | meaning |")}
    assert list(rows) == list(options)
    for name, default in options.items():
        if default is not None:
            assert rows[name] == (f"{default:g}" if isinstance(default, float) else str(default)), name


def test_every_fault_is_listed_and_its_example_arms_it() -> None:
    rows = {row[0]: row[2] for row in _rows("| fault | what happens | example |")}
    assert list(rows) == [*(fault.value for fault in Fault), "maintenance"]
    for name, example in rows.items():
        api = _emulator()
        wish = yaml.safe_load(example)
        assert wish["fault"] == name
        api.arm(wish)
        (armed,) = api.faults.describe() + api.maintenance.describe()
        assert armed.items() >= wish.items()


def test_every_key_of_a_maintenance_is_listed_with_its_default() -> None:
    rows = {row[0]: yaml.safe_load(row[1]) for row in _rows("| key | default | meaning |")}
    assert {"fault": "maintenance"} | rows == msgspec.structs.asdict(Maintenance())


def test_every_request_is_listed() -> None:
    rows = [(row[0], row[1]) for row in _rows("| request | what it does |")]
    assert rows == [(f"{method} {PREFIX}{path}", what) for (method, path), what in ENDPOINTS.items()]


def test_every_assumption_is_listed_with_its_default_and_meaning() -> None:
    rows = {row[0]: (row[1], row[2]) for row in _rows("| name | default | meaning |")}
    assert list(rows) == [field.name for field in dataclasses.fields(Assumptions)]
    for name, (default, meaning) in rows.items():
        assert getattr(assumptions([f"{name}={default}"]), name) == getattr(Assumptions(), name), name
        told = re.search(rf"^        {name}: (.*)$", Assumptions.__doc__ or "", re.MULTILINE)
        assert told is not None
        assert told[1].replace("``", "`").strip("`") in meaning, name


def test_every_permission_is_named_and_the_restricted_account_parses() -> None:
    named = TEXT.split("Permissions are ")[1].split(". A call")[0]
    assert re.findall(r"`(\w+)`", named) == list(Permission)
    (account,) = re.findall(r"`(a:b:[^`]*)`", TEXT)
    _, rules = parse_account(account, {"BTC": recorded_instrument("BTC")})
    assert rules.permissions < frozenset(Permission)


def test_the_faults_file_is_one() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    api = _emulator()
    for entry in yaml.safe_load(example):
        api.arm(entry)
    assert [armed["fault"] for armed in api.faults.describe()] == ["reply_lost_after", "clock_skew"]


def test_the_recorded_frames_are_read(tmp_path: Path) -> None:
    lines = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert len(lines) == 2
    for line in lines:
        (tmp_path / "a.jsonl").write_text(line)
        (trade,) = read_recording(tmp_path / "a.jsonl", recorded_instrument("BTC"))
        assert isinstance(trade, Trade)
        assert (trade.side, trade.ticks, trade.lots) == ("BUY", 10_000_000, 1_000)


@pytest.mark.parametrize("text", re.findall(r"-d '(\{.*?\})'", TEXT))
def test_what_curl_sends_is_accepted(text: str) -> None:
    api = _emulator()
    api.arm(json.loads(text))
    assert api.faults.any

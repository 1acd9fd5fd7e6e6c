"""``gmobot doctor``: every line, with the fault planted that it is there to find, and never an order."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cli.run_cli import REPO, Cli
from tests.cli.test_exchange import running
from tests.venue.exchange import CREDENTIALS, KEY, SECRET, emulated
from tests.venue.virtual import VirtualClock, run_virtually

from gmobot.cli.preflight import Finding, Preflight
from gmobot.clock import NS_PER_SECOND
from gmobot.config import Config
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.errors import NotSent
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request, Socket, SocketClosed, Timeouts

CHECKS = [
    *("clock", "exchange_status", "authentication", "permission_open", "permission_close"),
    *("ticker", "balances", "positions", "public_stream", "private_stream"),
]
IMPOSSIBLE = {"symbol": "NO_SUCH_SYMBOL", "side": "NONE", "executionType": "NONE", "timeInForce": "NONE"}
Answer = Reply | Exception


def said(data: object) -> Reply:
    return Reply(200, json.dumps({"status": 0, "data": data}).encode())


def failed(code: str, *, status: int = 1, http: int = 200) -> Reply:
    return Reply(http, json.dumps({"status": status, "messages": [{"message_code": code, "message_string": "no"}]}).encode())


class Told:
    """A socket that says what it is told to, or what the real one does, or nothing."""

    def __init__(self, inner: Socket, frames: list[str] | None) -> None:
        self._inner = inner
        self._frames = frames

    async def send(self, text: str) -> None:
        await self._inner.send(text)

    async def receive(self) -> str | bytes:
        if self._frames is None:
            return await self._inner.receive()
        if self._frames:
            return self._frames.pop(0)
        await asyncio.sleep(10_000)
        raise SocketClosed(1006)

    def last_heard(self) -> float:
        return self._inner.last_heard()

    async def close(self) -> None:
        await self._inner.close()


class Planted:
    """The emulated exchange, with faults by path: an answer of its own, or an exception."""

    def __init__(self, api: ExchangeApi) -> None:
        self._inner = MemoryTransport(api)
        self.answers: dict[str, Answer] = {
            "/private/v1/account/tradingVolume": said({"jpyVolume": "0", "tierLevel": 2, "limit": []}),
            "/private/v1/closeOrder": failed("ERR-5106"),
            "/private/v1/positionSummary": said({}),
        }
        self.refusals: dict[str, Exception] = {}
        self.frames: dict[str, list[str]] = {}
        self.requests: list[Request] = []

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        self.requests.append(request)
        answer = self.answers.get(request.path)
        if isinstance(answer, Exception):
            raise answer
        return answer if answer is not None else await self._inner.request(request, timeouts)

    async def connect(self, path: str, *, timeout: float) -> Socket:
        kind = "private" if "private" in path else "public"
        if kind in self.refusals:
            raise self.refusals[kind]
        return Told(await self._inner.connect(path, timeout=timeout), self.frames.get(kind))

    async def close(self) -> None:
        await self._inner.close()


def config(**changes: Any) -> Config:
    return Config.model_validate({"mode": "live", "environment": "emulator"} | changes)


def examined(
    plant: Callable[[Planted, ExchangeApi], None] = lambda transport, api: None,
    *,
    credentials: Credentials | None = CREDENTIALS,
    skew_seconds: float = 0.0,
    chosen: Config | None = None,
    rules: Any = None,
) -> dict[str, Finding]:
    """Return the findings by name; whatever happens, no order comes of it."""

    async def main() -> list[Finding]:
        api = emulated(VirtualClock())
        if rules is not None:
            options: dict[str, Any] = {"keys": {KEY: rules}}
            api = ExchangeApi(api.exchange, **options)
        alive = asyncio.create_task(api.run())
        transport = Planted(api)
        plant(transport, api)
        clock = VirtualClock(int(skew_seconds * NS_PER_SECOND))
        try:
            findings = await Preflight(chosen or config(), transport, clock, credentials).run()
        finally:
            alive.cancel()
            with suppress(asyncio.CancelledError):
                await alive
        writes = [request for request in transport.requests if request.method == "POST" and "ws-auth" not in request.path]
        for request in writes:
            body = json.loads(request.body)
            assert request.path in ("/private/v1/order", "/private/v1/closeOrder")
            assert IMPOSSIBLE.items() <= body.items()
            assert body.keys() - IMPOSSIBLE.keys() == ({"size"} if request.path.endswith("/order") else {"settlePosition"})
        assert all(not account.orders for account in api.exchange.accounts.values())
        return findings

    findings = run_virtually(main())
    assert [finding.check for finding in findings] == CHECKS
    for finding in findings:
        assert (finding.state == "failed") == (finding.category is not None) == (finding.advice is not None)
        assert not any(word in f"{finding}" for word in (KEY, SECRET))
    return {finding.check: finding for finding in findings}


def test_all_is_well() -> None:
    found = examined()
    assert {finding.state for finding in found.values()} == {"ok"}
    assert "tier 2, 30 requests a second" in found["authentication"].detail
    assert found["balances"].detail == "JPY 10000000, BTC 0.5"
    assert found["positions"].detail == "no leverage positions"
    assert found["ticker"].detail.startswith("BTC ")


def test_without_a_key_only_public_lines_are_looked_at() -> None:
    found = examined(credentials=None)
    skipped = {name for name, finding in found.items() if finding.state == "skipped"}
    assert skipped == {"authentication", "permission_open", "permission_close", "balances", "positions", "private_stream"}
    assert all(found[name].state == "ok" for name in set(CHECKS) - skipped)


def answer(path: str, what: Answer) -> Callable[[Planted, ExchangeApi], None]:
    return lambda transport, api: transport.answers.__setitem__(path, what)


def refuse(kind: str, error: Exception) -> Callable[[Planted, ExchangeApi], None]:
    return lambda transport, api: transport.refusals.__setitem__(kind, error)


def say(kind: str, *frames: str) -> Callable[[Planted, ExchangeApi], None]:
    return lambda transport, api: transport.frames.__setitem__(kind, list(frames))


VOLUME, OPEN, CLOSE = "/private/v1/account/tradingVolume", "/private/v1/order", "/private/v1/closeOrder"
STATUS, TICKER = "/public/v1/status", "/public/v1/ticker"
ASSETS, SUMMARY, TOKEN = "/private/v1/account/assets", "/private/v1/positionSummary", "/private/v1/ws-auth"
FAULTS = [
    ("exchange_status", "exchange", answer(STATUS, said({"status": "PREOPEN"}))),
    ("exchange_status", "exchange", answer(STATUS, failed("ERR-5201", status=5))),
    ("exchange_status", "network", answer(STATUS, NotSent("no connection"))),
    ("authentication", "auth", answer(VOLUME, failed("ERR-5010"))),
    ("authentication", "auth", answer(VOLUME, failed("ERR-5012"))),
    ("authentication", "rate_limit", answer(VOLUME, failed("ERR-5003", status=4))),
    ("authentication", "network", answer(VOLUME, ReplyLost("gone"))),
    ("permission_open", "auth", answer(OPEN, failed("ERR-5012"))),
    ("permission_open", "network", answer(OPEN, ReplyLost("gone"))),
    ("permission_open", "exchange", answer(OPEN, said("637000"))),
    ("permission_open", "exchange", answer(OPEN, failed("ERR-5203"))),
    ("permission_close", "auth", answer(CLOSE, failed("ERR-5012"))),
    ("permission_close", "exchange", answer(CLOSE, failed("ERR-5204", http=404))),
    ("permission_close", "exchange", answer(CLOSE, failed("ERR-9999"))),
    ("ticker", "config", answer(TICKER, failed("ERR-5207", status=2, http=404))),
    ("ticker", "exchange", answer(TICKER, said([]))),
    ("balances", "network", answer(ASSETS, Reply(502, b"<html>"))),
    ("positions", "exchange", answer(SUMMARY, failed("ERR-554"))),
    ("public_stream", "exchange", refuse("public", HandshakeRefused(503))),
    ("public_stream", "network", refuse("public", NotSent("no connection"))),
    ("public_stream", "config", say("public", '{"error":"ERR-5106 Invalid request parameter. symbol"}')),
    ("public_stream", "network", say("public")),
    ("private_stream", "auth", say("private", '{"error":"ERR-5012 no"}')),
    ("private_stream", "network", refuse("private", HandshakeRefused(403))),
    ("private_stream", "auth", answer(TOKEN, failed("ERR-5012"))),
    ("private_stream", "exchange", answer(TOKEN, failed("ERR-5201", status=5))),
]


@pytest.mark.parametrize(("line", "category", "plant"), FAULTS, ids=[f"{n}-{line}-{kind}" for n, (line, kind, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found_by_its_line(line: str, category: str, plant: Callable[[Planted, ExchangeApi], None]) -> None:
    found = examined(plant)
    assert (found[line].state, found[line].category) == ("failed", category), found[line]
    others = {name for name, finding in found.items() if finding.state == "failed"} - {line}
    assert others <= {"clock"}


@pytest.mark.parametrize("skew_seconds", [-30.0, -3.0, 3.0, 30.0])
def test_a_wrong_clock_is_found(skew_seconds: float) -> None:
    found = examined(skew_seconds=skew_seconds)
    assert (found["clock"].state, found["clock"].category) == ("failed", "config")
    assert f"{skew_seconds:+.1f} s" in found["clock"].detail
    assert found["authentication"].state == "ok"


def test_a_wrong_secret_is_found_by_all_that_needs_it() -> None:
    wrong = Credentials(CREDENTIALS.key, Secret("another"))

    def plant(transport: Planted, api: ExchangeApi) -> None:
        transport.answers.clear()

    found = examined(plant, credentials=wrong)
    assert (found["balances"].state, found["balances"].category) == ("failed", "auth")
    assert (found["permission_open"].state, found["permission_open"].category) == ("failed", "auth")
    assert found["private_stream"].category == "auth"
    assert found["public_stream"].state == "ok"


LACKING = [
    ("order", {"permission_open"}),
    ("close", {"permission_close"}),
    ("assets", {"authentication", "balances"}),
    ("positions", {"positions"}),
    ("orders", {"private_stream"}),
    ("executions", {"private_stream"}),
]


@pytest.mark.parametrize(("permission", "lines"), LACKING)
def test_a_key_that_lacks_a_permission_of_the_emulators(permission: str, lines: set[str]) -> None:
    keys = pytest.importorskip("gmobot.emulator.protocol.keys", reason="this emulator's keys may do everything")
    rules = keys.KeyRules(frozenset(keys.Permission) - {keys.Permission(permission)})
    found = examined(lambda transport, api: transport.answers.clear(), rules=rules)
    assert {name for name, finding in found.items() if finding.state == "failed"} == lines
    assert {found[name].category for name in lines} == {"auth"}


def test_leverage_looks_at_the_position_channels_too() -> None:
    chosen = config(instruments=[{"symbol": "BTC_JPY", "product": "leverage"}])
    found = examined(chosen=chosen)
    assert (found["ticker"].state, found["ticker"].category) == ("failed", "config")
    assert "no" not in found["exchange_status"].detail


# --- the command ------------------------------------------------------------------------------------------------


def keys(folder: Path, monkeypatch: pytest.MonkeyPatch, *, mode: int = 0o600) -> None:
    for name, value in (("GMO_API_KEY", "emulator-key"), ("GMO_API_SECRET", "emulator-secret")):
        file = folder / name.lower()
        file.write_text(value)
        file.chmod(mode)
        monkeypatch.setenv(f"{name}_FILE", str(file))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that is not there: every line that needs it fails at once."""
    for name in ("REST_URL", "WS_URL"):
        monkeypatch.setenv(f"GMOBOT__VENUE__{name}", "http://127.0.0.1:1")


def lines(cli: Cli) -> tuple[int, dict[str, dict[str, str]]]:
    outcome = cli("doctor", "--json")
    told = json.loads(outcome.out)
    assert told["ok"] == (outcome.code == 0)
    return outcome.code, {row["check"]: row for row in told["checks"]}


def test_a_bad_configuration_is_a_line_too(cli: Cli, tmp_path: Path) -> None:
    cli.config = tmp_path / "bad.yaml"
    cli.config.write_text("risk: {max_drawdwn: 1}")
    outcome = cli("doctor")
    assert outcome.code == 6
    assert outcome.out.startswith("failed   config            [config] ")
    assert outcome.out.count("\n") == 1


@pytest.mark.usefixtures("nowhere")
def test_files_every_user_can_read_are_found(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.config = REPO / "configs" / "demo.yaml"
    keys(tmp_path, monkeypatch, mode=0o644)
    code, found = lines(cli)
    assert code == 6
    assert (found["secrets"]["state"], found["secrets"]["category"]) == ("failed", "config")
    assert found["secrets"]["advice"] == f"chmod o-r {tmp_path / 'gmo_api_key'} {tmp_path / 'gmo_api_secret'}"
    keys(tmp_path, monkeypatch, mode=0o600)
    assert lines(cli)[1]["secrets"]["state"] == "ok"


@pytest.mark.usefixtures("nowhere")
def test_a_missing_key_is_found_where_orders_are_to_be_sent(cli: Cli, tmp_path: Path) -> None:
    cli.config = tmp_path / "live.yaml"
    cli.config.write_text("{mode: live, environment: emulator, execute_orders: true}")
    _, found = lines(cli)
    assert (found["secrets"]["state"], found["secrets"]["category"]) == ("failed", "config")
    assert found["authentication"]["state"] == "skipped"
    cli.config = REPO / "configs" / "default.yaml"
    _, found = lines(cli)
    assert (found["secrets"]["state"], found["exchange_status"]["category"]) == ("ok", "network")


@pytest.mark.usefixtures("nowhere")
def test_a_key_saved_as_something_else_is_found(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.config = REPO / "configs" / "demo.yaml"
    keys(tmp_path, monkeypatch)
    (tmp_path / "gmo_api_key").write_bytes("emulator-key".encode("utf-16"))
    _, found = lines(cli)
    assert (found["secrets"]["state"], found["secrets"]["category"]) == ("failed", "config")
    assert found["authentication"]["state"] == "skipped"


@pytest.mark.usefixtures("nowhere")
def test_the_environment_as_a_source_is_warned_about(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMO_API_KEY", "emulator-key")
    monkeypatch.setenv("GMO_API_SECRET", "emulator-secret")
    outcome = cli("doctor")
    assert outcome.code == 6
    assert "docker inspect" in outcome.out
    assert "emulator-secret" not in outcome.out + outcome.err
    assert "failed   exchange_status   [network] " in outcome.out


def test_against_an_emulator_over_real_sockets(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys(tmp_path, monkeypatch)
    cli.config = REPO / "configs" / "demo.yaml"
    with running() as url:
        monkeypatch.setenv("GMOBOT__VENUE__REST_URL", url)
        monkeypatch.setenv("GMOBOT__VENUE__WS_URL", url.replace("http", "ws"))
        code, found = lines(cli)
    told = {name: row["state"] for name, row in found.items()}
    for name in (
        "config",
        "secrets",
        "clock",
        "exchange_status",
        "permission_open",
        "ticker",
        "balances",
        "public_stream",
        "private_stream",
    ):
        assert told[name] == "ok", found[name]
    if "failed" in told.values():
        # An emulator without leverage: each of these must say that the path is unknown, and nothing else.
        assert all("ERR-5204" in row["detail"] for row in found.values() if row["state"] == "failed")
        assert code == 6
        pytest.skip("this emulator has no leverage yet")
    assert code == 0


def test_it_leaves_nothing_behind(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REST_URL", "WS_URL"):
        monkeypatch.setenv(f"GMOBOT__VENUE__{name}", "http://127.0.0.1:1")
    cli("doctor")
    assert not os.path.exists(cli.var)  # noqa: PTH110  # said of a path, not through one

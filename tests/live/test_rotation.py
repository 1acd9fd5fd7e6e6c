"""Secrets are replaced only by ones that work, and whatever is wrong with them is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.venue.exchange import KEY, SECRET, emulated

from gmobot.clock import SystemClock
from gmobot.config import InstrumentConfig
from gmobot.emulator.engine.exchange import account
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.protocol.keys import ApiKey, KeyRules
from gmobot.errors import ConfigError, NotSent
from gmobot.live import rotation
from gmobot.live.rotation import Rotation, Told
from gmobot.secrets import FoundSecret, Secret, SecretName, find_secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.transport import Reply, Request, Timeouts

NEW, ITS_SECRET = "second-key", "second-secret"
PAIR = {"GMO_API_KEY": NEW, "GMO_API_SECRET": ITS_SECRET}
BOTH = ["GMO_API_KEY", "GMO_API_SECRET"]


class NotedStream:
    """A private stream that is only asked to renew."""

    def __init__(self) -> None:
        self.renewed = 0

    def renew(self) -> None:
        self.renewed += 1


class Bench:
    """A client that signs at an exchange in memory, and the files its secrets come from."""

    def __init__(self, folder: Path, api: ExchangeApi, *, signs: bool = True) -> None:
        self.folder, self.api, self.stream = folder, api, NotedStream()
        self.environ: dict[str, str] = {}
        self.asked: list[GmoRest] = []
        self.refuses: ConfigError | None = None
        self.write(GMO_API_KEY=KEY, GMO_API_SECRET=SECRET)
        self.transport = MemoryTransport(api)
        self.client = GmoRest(self.transport, SystemClock(), credentials=Credentials(Secret(KEY), Secret(SECRET)))
        self.learnt: list[bytes] = []
        stream: Any = self.stream
        self.rotation = Rotation(
            {name: found for name in SecretName if (found := self.find(name)) is not None},
            self.find,
            client=self.client if signs else None,
            private_stream=stream if signs else None,
            instruments=[InstrumentConfig(symbol="BTC")],
            learn=lambda secrets: self.learnt.extend(secret.reveal() for secret in secrets),
        )

    def find(self, name: SecretName) -> FoundSecret | None:
        return find_secret(name, environ=self.environ, directory=self.folder)

    def write(self, **secrets: str | bytes) -> None:
        for name, value in secrets.items():
            file = self.folder / SecretName(name).file_name
            file.write_bytes(value.encode() if isinstance(value, str) else value)
            file.chmod(0o600)

    def issue(self, may: str | None = None) -> None:
        key = ApiKey(self.api.exchange.accounts[KEY], ITS_SECRET.encode(), KeyRules.parse(may))
        self.api.authenticator.issue(NEW, key)

    async def recognise(self, rest: GmoRest) -> None:
        self.asked.append(rest)
        if self.refuses is not None:
            raise self.refuses

    async def look_again(self) -> Told:
        return await self.rotation.look_again(self.recognise)

    async def signer(self) -> str:
        await self.client.assets()
        return str(self.api.access[-1]["key"])


@asynccontextmanager
async def at_exchange(folder: Path, **options: Any) -> AsyncIterator[Bench]:
    api = emulated(SystemClock())
    running = asyncio.create_task(api.run())
    try:
        yield Bench(folder, api, **options)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def names(told: Told) -> list[str]:
    return [event.fields["name"] for event in told.events if event.name == "secret_loaded"]


async def kept(bench: Bench, *words: str, reason: str) -> Told:
    """Nothing was taken, the one in use still signs, and it is told."""
    told = await bench.look_again()
    assert names(told) == []
    assert bench.stream.renewed == 0
    assert [event.fields["reason"] for event in told.events] == [reason]
    for word in words:
        assert word in str(told.problem)
    for value in (KEY, SECRET, NEW, ITS_SECRET):
        assert value not in f"{told}"
    assert await bench.signer() == KEY
    return told


async def test_a_pair_that_works_is_taken_at_once(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(**PAIR)
        bench.environ = {"GMO_API_KEY": "of-the-environment"}
        told = await bench.look_again()
        assert (names(told), told.problem, bench.stream.renewed) == (BOTH, None, 1)
        assert [event.fields for event in told.events] == [{"name": name} for name in BOTH], "the name only"
        assert await bench.signer() == NEW
        assert {NEW.encode(), ITS_SECRET.encode()} <= set(bench.learnt)
        assert names(await bench.look_again()) == [], "once"
        assert bench.stream.renewed == 1
        bench.write(GMO_API_KEY=KEY, GMO_API_SECRET=SECRET)
        assert names(await bench.look_again()) == BOTH, "and back"
        assert await bench.signer() == KEY


async def test_a_pair_is_taken_though_the_old_key_was_deleted_first(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.api.authenticator.withdraw(KEY)
        bench.write(**PAIR)
        bench.refuses = ConfigError("shows none of its orders")
        told = await bench.look_again()
        assert (names(told), bench.stream.renewed) == ([], 0), "there is nothing to compare with but orders of ours"
        assert "shows none of its orders" in str(told.problem)
        bench.refuses = None
        assert names(await bench.look_again()) == BOTH
        assert [rest.key for rest in bench.asked] == [Secret(NEW), Secret(NEW)]
        assert await bench.signer() == NEW


async def test_an_unknown_key_is_not_taken(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.write(**PAIR)
        await kept(bench, "was not taken", "ERR-5012", reason="auth_error")


@pytest.mark.parametrize("may", ["assets+orders", "orders+executions+order", "assets+executions+order"])
async def test_a_key_that_cannot_read_what_is_needed_is_not_taken(tmp_path: Path, may: str) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue(may)
        bench.write(**PAIR)
        await kept(bench, "ERR-5012", reason="auth_error")


async def test_a_key_that_cannot_read_positions_is_not_taken_where_there_may_be_some(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.rotation._instruments = [InstrumentConfig(), InstrumentConfig(symbol="BTC_JPY", product="leverage")]
        bench.issue("assets+orders+executions")
        bench.write(**PAIR)
        await kept(bench, "openPositions", reason="auth_error")


@pytest.mark.parametrize(("part", "value"), [("GMO_API_KEY", NEW), ("GMO_API_SECRET", ITS_SECRET)])
async def test_half_a_pair_is_not_taken_and_the_other_half_asked_for(tmp_path: Path, part: str, value: str) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(**{part: value})
        await kept(bench, f"only {part} has changed", "SIGHUP", reason="auth_error")
        bench.write(**PAIR)
        assert names(await bench.look_again()) == BOTH


@pytest.mark.parametrize("name", BOTH)
async def test_what_is_missing_empty_or_unreadable_is_told(tmp_path: Path, name: str) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(**PAIR)
        file = tmp_path / SecretName(name).file_name
        whole = file.read_bytes()
        for empty in (b"", b" \n"):
            file.write_bytes(empty)
            await kept(bench, name, "not there any more", str(file) if bench.environ else "looked in", reason="missing_credentials")
        file.unlink()
        await kept(bench, name, "not there any more", reason="missing_credentials")
        look = bench.rotation._look
        bench.rotation._look = failing(look, SecretName(name), file)
        file.write_bytes(whole)
        await kept(bench, name, "cannot be read (Permission denied)", str(file), reason="missing_credentials")
        bench.rotation._look = look
        assert names(await bench.look_again()) == BOTH


def failing(look: Callable[[SecretName], FoundSecret | None], name: SecretName, file: Path) -> Callable[[SecretName], FoundSecret | None]:
    def fail(wanted: SecretName) -> FoundSecret | None:
        if wanted is name:
            raise PermissionError(13, "Permission denied", str(file))
        return look(wanted)

    return fail


async def test_what_is_no_plain_text_is_not_taken(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(GMO_API_KEY=NEW, GMO_API_SECRET=ITS_SECRET.encode("utf-16"))
        await kept(bench, "plain text", reason="auth_error")


async def test_an_exchange_that_does_not_answer_keeps_the_old_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(**PAIR)
        answer = bench.transport.request

        async def nothing(request: Request, timeouts: Timeouts) -> Reply:
            if request.headers["API-KEY"] == NEW:
                raise NotSent("no connection")
            return await answer(request, timeouts)

        monkeypatch.setattr(bench.transport, "request", nothing)
        await kept(bench, "no connection", reason="network_error")
        monkeypatch.undo()
        bench.api.set_status("MAINTENANCE")
        told = await bench.look_again()
        assert [event.fields["reason"] for event in told.events] == ["exchange_maintenance"]
        bench.api.set_status("OPEN")
        assert names(await bench.look_again()) == BOTH


async def test_an_old_pair_that_gets_no_answer_leaves_everything_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(**PAIR)
        answer = bench.transport.request

        async def nothing(request: Request, timeouts: Timeouts) -> Reply:
            if request.headers["API-KEY"] == KEY:
                raise NotSent("no connection")
            return await answer(request, timeouts)

        monkeypatch.setattr(bench.transport, "request", nothing)
        told = await bench.look_again()
        assert (names(told), bench.stream.renewed) == ([], 0), "nobody can tell whether it is the same account"
        monkeypatch.setattr(bench.api.authenticator, "account", refusing_as_late(bench.api.authenticator.account))
        monkeypatch.setattr(bench.transport, "request", answer)
        told = await bench.look_again()
        assert (names(told), [event.fields["reason"] for event in told.events]) == ([], ["auth_error"]), (
            "a clock that is off is no deleted key"
        )


def refusing_as_late(account_of: Callable[..., Any]) -> Callable[..., Any]:
    from gmobot.emulator.protocol.authentication import NotAuthenticated

    def refuse(request: Request, path: str, headers: dict[str, str], client: str, now_ns: int) -> Any:
        if headers["API-KEY"] == KEY:
            raise NotAuthenticated("ERR-5009")
        return account_of(request, path, headers, client, now_ns)

    return refuse


async def test_a_key_of_another_account_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_LOOK_AGAIN_SECONDS", 0.0)
    async with at_exchange(tmp_path) as bench:
        stranger = account(NEW, ITS_SECRET, {"JPY": Decimal(9_999_999), "BTC": Decimal("0.5")}, bench.api.exchange.instruments)
        bench.api.authenticator.issue(NEW, ApiKey(stranger, ITS_SECRET.encode(), KeyRules()))
        bench.write(**PAIR)
        await kept(bench, "same account", reason="auth_error")


async def test_a_fill_between_two_looks_is_not_taken_for_another_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_LOOK_AGAIN_SECONDS", 0.0)
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        bench.write(**PAIR)
        amounts, looks = rotation._amounts, iter([{"JPY": Decimal(1)}])

        async def moving(client: GmoRest) -> dict[str, Decimal]:
            return next(looks, None) or await amounts(client)

        monkeypatch.setattr(rotation, "_amounts", moving)
        assert names(await bench.look_again()) == BOTH


async def test_other_secrets_are_handed_to_who_uses_them(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        handed: list[bytes] = []
        bench.rotation.on_change(SecretName.DISCORD_WEBHOOK_URL, lambda secret: handed.append(secret.reveal()))
        bench.write(DISCORD_WEBHOOK_URL="https://discord.test/1", GMOBOT_CONTROL_TOKEN="nobody-uses-it")
        assert names(await bench.look_again()) == ["DISCORD_WEBHOOK_URL"]
        assert names(await bench.look_again()) == []
        bench.write(DISCORD_WEBHOOK_URL="https://discord.test/2", GMO_API_KEY="bad")
        told = await bench.look_again()
        assert names(told) == ["DISCORD_WEBHOOK_URL"], "one that fails keeps no other from being taken"
        assert handed == [b"https://discord.test/1", b"https://discord.test/2"]
        (tmp_path / "discord_webhook_url").unlink()
        told = await bench.look_again()
        assert "DISCORD_WEBHOOK_URL is not there any more" in told.events[0].fields["detail"]
        assert len(handed) == 2


async def test_open_modes_are_warned_about_again(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        assert (await bench.look_again()).warnings == []
        (tmp_path / "gmo_api_key").chmod(0o644)
        (warning,) = (await bench.look_again()).warnings
        assert "can be read by every user" in warning


async def test_where_nothing_signs_there_is_nothing_to_rotate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with at_exchange(tmp_path, signs=False) as bench:
        bench.write(**PAIR)
        told = await bench.look_again()
        assert (told.events, told.problem, bench.stream.renewed) == ([], None, 0)
        assert await bench.signer() == KEY


async def test_it_looks_when_it_is_due_and_only_then(tmp_path: Path) -> None:
    async with at_exchange(tmp_path) as bench:
        bench.issue()
        heard: asyncio.Queue[Told] = asyncio.Queue()
        running = asyncio.create_task(bench.rotation.run(heard.put, bench.recognise))
        bench.write(**PAIR)
        await asyncio.sleep(0.05)
        assert heard.empty()
        bench.rotation.due.set()
        bench.rotation.due.set()
        assert names(await asyncio.wait_for(heard.get(), 5)) == BOTH
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert heard.empty()

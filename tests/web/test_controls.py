"""Who may command the daemon, and who may even talk to it."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import aiohttp
import pytest
from tests.web.parts import TOKEN, Site, running

from gmobot.errors import ConfigError
from gmobot.secrets import Secret
from gmobot.web.app import serve_unix
from gmobot.web.guard import COMMANDS_PER_MINUTE

COMMANDS = ["pause", "resume", "halt", "flatten"]


@pytest.mark.parametrize("name", COMMANDS)
async def test_the_token_commands(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as site:
        assert await site.command(name) == (200, {"accepted": True, "message": None})
        assert site.controls.commands == [(name, False, "http")]


async def test_another_token_is_asked_for_from_the_moment_it_is_known(tmp_path: Path) -> None:
    async with running(tmp_path, token=None) as site:
        assert (await site.command("halt"))[0] == 403
        site.app.expect(Secret("the-next-one"))
        assert (await site.command("halt"))[0] == 401
        assert (await site.command("halt", "the-next-one"))[0] == 200
        site.app.expect(Secret("and-another"))
        assert (await site.command("halt", "the-next-one"))[0] == 401
        assert len(site.controls.commands) == 1


async def test_acknowledge_reaches_the_daemon(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        await site.command("resume", body='{"acknowledge": true}')
        assert site.controls.commands == [("resume", True, "http")]


async def test_a_refusal_is_409_and_says_why(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        site.controls.refuse = "halted: look into it"
        assert await site.command("resume") == (409, {"accepted": False, "message": "halted: look into it"})


async def test_without_the_secret_every_command_is_403(tmp_path: Path) -> None:
    async with running(tmp_path, token=None) as site:
        for token in (TOKEN, "", None):
            status, body = await site.command("halt", token)
            assert status == 403
            assert "gmobot halt" in body["error"]
        assert site.controls.commands == []


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], TOKEN.upper()])
async def test_a_missing_or_wrong_token_is_401(tmp_path: Path, token: str | None) -> None:
    async with running(tmp_path) as site:
        status, body = await site.command("halt", token)
        assert status == 401
        assert TOKEN not in str(body)
        assert site.controls.commands == []


@pytest.mark.parametrize("header", [TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}", "Bearer ключ", "Bearer \udcff\udcfe"])
async def test_only_the_bearer_scheme_counts_and_strange_bytes_are_no_server_error(tmp_path: Path, header: str) -> None:
    async with running(tmp_path) as site:
        host, port = site.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /api/v1/control/halt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: {header}\r\n"
        writer.write((head + "Content-Length: 2\r\nConnection: close\r\n\r\n{}").encode(errors="surrogateescape"))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"WWW-Authenticate: Bearer" in answer
        assert site.controls.commands == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_foreign_page_can_send_unasked_is_no_command(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path) as site:
        status, _ = await site.command("halt", **{"Content-Type": kind})
        assert status == 415
        assert site.controls.commands == []


async def test_nobody_answers_a_foreign_page_that_asks_first(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        status, _, headers = await site.ask("OPTIONS", "/api/v1/control/halt", headers=asked)
        assert status == 405
        assert not [name for name in headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("body", ["[]", "{", '{"acknowledge": "yes"}', '{"acknowlege": true}', '"\xff'])
async def test_a_body_that_is_not_understood_is_no_command(tmp_path: Path, body: str) -> None:
    async with running(tmp_path) as site:
        assert (await site.command("resume", body=body))[0] == 400
        assert site.controls.commands == []


async def test_a_huge_body_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        assert (await site.command("halt", body=" " * 100_000))[0] == 413
        assert site.controls.commands == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_command_is_a_post(tmp_path: Path, method: str) -> None:
    async with running(tmp_path) as site:
        assert (await site.ask(method, "/api/v1/control/halt"))[0] == 405


async def test_too_many_commands_wait_a_minute(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        statuses = [(await site.command("pause"))[0] for _ in range(COMMANDS_PER_MINUTE + 1)]
        assert statuses == [200] * COMMANDS_PER_MINUTE + [429]
        site.clock.seconds += 60
        assert (await site.command("pause"))[0] == 200


async def test_guessing_is_slowed_and_does_not_lock_the_operator_out(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        statuses = [(await site.command("halt", "guess"))[0] for _ in range(COMMANDS_PER_MINUTE + 1)]
        assert statuses == [401] * COMMANDS_PER_MINUTE + [429]
        assert (await site.command("halt"))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:9754", "", "169.254.169.254", "localhost.", "[::2]"]
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/v1/progress", "/static/page.js"])
async def test_a_rebound_name_reads_nothing(tmp_path: Path, host: str, path: str) -> None:
    async with running(tmp_path) as site:
        status, body, _ = await site.get(path, Host=host)
        assert status == 403
        assert list(body) == ["error"]


async def test_a_rebound_name_commands_nothing_even_with_the_token(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        assert (await site.command("halt", Host="evil.example"))[0] == 403
        assert site.controls.commands == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9754", "bot:9754", "[::1]:9754", "[::1]"])
async def test_our_own_names_are_answered(tmp_path: Path, host: str) -> None:
    async with running(tmp_path) as site:
        assert (await site.get("/livez", Host=host))[0] == 200


async def test_the_unix_socket_wants_no_token_and_lets_nobody_else_in(tmp_path: Path) -> None:
    site = Site(tmp_path, token=None, hosts=None)
    path = tmp_path / "c.sock"
    path.write_text("what a crash left")
    runner = await serve_unix(site.app.build(), path)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            async with session.post("http://anything/api/v1/control/halt", json={}) as reply:
                assert reply.status == 200
            async with session.get("http://anything/api/v1/progress") as reply:
                assert reply.status == 200
            async with session.post("http://anything/api/v1/control/halt", data="x") as reply:
                assert reply.status == 415
    finally:
        await runner.cleanup()
    assert site.controls.commands == [("halt", False, "socket")]


async def test_a_path_too_long_for_a_socket_is_explained(tmp_path: Path) -> None:
    site = Site(tmp_path, hosts=None)
    with pytest.raises(ConfigError, match=r"cannot be a socket .*set paths\.var"):
        await serve_unix(site.app.build(), tmp_path / ("x" * 120))

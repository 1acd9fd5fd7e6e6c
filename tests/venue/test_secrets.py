"""Key, secret and token are in nothing that is emitted: no log, no repr, no exception and none of its relations, no record."""

from __future__ import annotations

import asyncio
import io
import json
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gmobot.errors import GmobotError, VenueError
from gmobot.ops import logs
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials, signed_headers
from gmobot.venue.gmo.permissions import Permission, PermissionProbe
from gmobot.venue.gmo.requester import Call, RequestRecord
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import CommandPacer, PrivateStream
from gmobot.venue.http import HttpTransport
from gmobot.venue.models import StreamEvent
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request, Timeouts

from .gmo.bench import Bench, FakeSocket, on_bench
from .gmo.scripted import Answer, Scripted, failed, said
from .gmo.test_rest import CALLS
from .test_http import Server, silent
from .virtual import VirtualClock, run_virtually

KEY, SECRET, TOKEN = "KEYKEYKEYKEYKEY", "SECRETSECRETSECRET", "TOKENTOKENTOKEN"
CREDENTIALS = Credentials(Secret(KEY), Secret(SECRET))
SIGNATURES = signed_headers(CREDENTIALS, timestamp_ms=1, method="GET", path="/v1/order")


def clean(*emitted: object) -> None:
    """Nothing secret is in what was emitted, nor in what it is made of."""
    for thing in emitted:
        text = f"{thing}\n{thing!r}"
        if isinstance(thing, BaseException):
            # As a log with locals would show it: the frames of our own code, and every error behind this one.
            text += "".join(traceback.TracebackException.from_exception(thing).format())
            clean(*(relation for relation in (thing.__cause__, thing.__context__) if relation is not None), thing.args)
        assert not [word for word in (KEY, SECRET, TOKEN) if word in text], text[:400]


def test_the_search_finds_what_is_there() -> None:
    for emitted in (KEY, {"x": SECRET}, ValueError(TOKEN)):
        with pytest.raises(AssertionError):
            clean(emitted)


ANSWERS: list[Answer] = [
    failed("ERR-5012", text=f"key {KEY} secret {SECRET}"),
    failed(f"ERR-{KEY}"),
    said(TOKEN),
    said({"x": KEY}),
    Reply(502, f"<html>{KEY}</html>".encode()),
    Reply(200, json.dumps({"status": 0, "data": TOKEN + " "}).encode()),
    ReplyLost("gone"),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
@pytest.mark.parametrize("call", CALLS)
def test_whatever_a_server_says_back(call: str, number: int) -> None:
    async def main() -> None:
        records: list[RequestRecord] = []
        about_token = call in ("extend_token", "revoke_token")
        transport = Scripted(failed("ERR-5106", text=f"token {TOKEN}") if about_token and number == 0 else ANSWERS[number])
        rest = GmoRest(transport, VirtualClock(), credentials=CREDENTIALS, observe=records.append)
        work: dict[str, Any] = dict(CALLS)
        work["extend_token"] = lambda rest: rest.extend_token(Secret(TOKEN))
        work["revoke_token"] = lambda rest: rest.revoke_token(Secret(TOKEN))
        try:
            result = await work[call](rest)
        except VenueError as error:
            clean(error)
        else:
            clean(result)
        clean(rest, records, *transport.requests, rest.limiter, CREDENTIALS)
        assert KEY not in "".join(request.target for request in transport.requests)

    run_virtually(main())


@pytest.mark.parametrize("permission", Permission)
def test_the_probe_of_permissions(permission: Permission) -> None:
    async def main() -> None:
        for answer in (*ANSWERS, said("637000")):
            try:
                clean(await PermissionProbe(Scripted(answer), VirtualClock(), credentials=CREDENTIALS).allows(permission))
            except GmobotError as error:
                clean(error)

    run_virtually(main())


def test_values_hide_what_they_carry() -> None:
    clean(
        CREDENTIALS,
        Secret(KEY),
        Call("PUT", "/private", "/v1/ws-auth", token=Secret(TOKEN)),
        Request("POST", "/private/v1/order", headers={"API-KEY": KEY, **SIGNATURES}, body=TOKEN.encode()),
        HandshakeRefused(403),
    )


def test_a_server_that_repeats_the_token_on_the_stream() -> None:
    class Bound(PrivateStream):
        async def _path(self) -> str:
            self._token = Secret(TOKEN)
            return f"/ws/private/v1/{TOKEN}"

    async def main() -> None:
        bench = Bench()
        bench.sockets.on_open = lambda socket: socket.say({"error": f"ERR-5012 token {TOKEN} is not allowed"})
        stream = Bound(bench.sockets, bench.rest, bench.clock, bench.pacer, seed=random.Random(1), backoff=bench.private._backoff)
        seen: list[StreamEvent] = []
        running = asyncio.create_task(stream.run(seen.append))
        await asyncio.sleep(10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(seen) > 1
        clean(*seen, stream)

    run_virtually(main())


def test_frames_of_the_usual_stream_show_no_token() -> None:
    async def script(bench: Bench) -> None:
        def refuse(socket: FakeSocket) -> None:
            socket.say({"error": "ERR-5012 token-1 token-2"})

        bench.sockets.on_open = refuse
        await asyncio.sleep(1.0)
        assert "***" in f"{bench.seen}"
        assert "token-1" not in f"{bench.seen}"

    on_bench("private", script)


async def test_a_socket_that_cannot_be_opened() -> None:
    for answer in (silent, _refusing):
        async with Server(answer) as server:
            transport = HttpTransport(server.url)
            with pytest.raises(GmobotError) as raised:
                await transport.connect(f"/ws/private/v1/{TOKEN}", timeout=0.2)
            clean(raised.value)
            await transport.close()


async def _refusing(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@contextmanager
def logged(folder: Path) -> Iterator[io.StringIO]:
    """Everything the program logs."""
    logs.configure(folder, secrets=[], console=False)
    out = io.StringIO()
    try:
        yield out
    finally:
        out.write("".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.log*")))
        structlog.reset_defaults()


async def test_logged_with_its_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logged(tmp_path) as out:
        log = structlog.get_logger("test")
        async with Server(silent) as server:
            transport = HttpTransport(server.url)
            rest = GmoRest(transport, VirtualClock(), credentials=CREDENTIALS, timeouts=Timeouts(connect=0.5, reply=0.1))
            for work in (rest.assets(), rest.create_token(), rest.revoke_token(Secret(TOKEN))):
                try:
                    await work
                except VenueError:
                    log.exception("no answer", rest=rest, credentials=CREDENTIALS)
            try:
                await PrivateStream(transport, rest, VirtualClock(), CommandPacer(VirtualClock()), seed=random.Random())._path()
            except VenueError:
                log.exception("no token")
            await transport.close()
    text = out.getvalue() + "".join(capsys.readouterr())
    assert "no answer" in text
    clean(text)

"""No secret is in anything a run leaves behind, prints or answers: real processes, right and wrong keys, and every trouble on the way."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import Bot, Emulator, until
from tests.e2e.spellings import leaks, spellings

from gmobot.clock import SystemClock
from gmobot.emulator.engine.exchange import account
from gmobot.emulator.protocol.tokens import Tokens
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.http import HttpTransport

pytestmark = pytest.mark.slow
# Characters that every kind of quoting writes differently.
KEY, SECRET = 'key/of+the=first"run&<1>', "secret/of+the='first'\\run&<1>"
NEXT_KEY, NEXT_SECRET = 'key/of+the=next"run&<2>', "secret/of+the='next'\\run&<2>"
WRONG_KEY, WRONG_SECRET = 'key/of+a=wrong"run&<3>', "secret/of+a='wrong'\\run&<3>"
CONTROL = 'control/token+of="all"\\runs&<4>'
WEBHOOK = "https://discord.test/api/webhooks/123456789/web-hook_token+of='all'runs"
SECRETS = (KEY, SECRET, NEXT_KEY, NEXT_SECRET, WRONG_KEY, WRONG_SECRET, CONTROL, WEBHOOK, "web-hook_token+of='all'runs")
PAGES = ("/", "/healthz", "/livez", "/readyz", "/metrics", "/api/openapi.json", "/api/v1/progress", "/api/v1/complete", "/api/v1/events")


def tokens_of(seed: int, count: int = 200) -> list[str]:
    """The tokens that an emulator of this seed hands out."""
    office = Tokens(SystemClock(), seed=seed)
    return [office.create(account("anybody", "anything", {}, {})) for _ in range(count)]


TOKENS = tokens_of(1)


class Scene:
    """A bot, its exchange, and a folder for whatever it answers."""

    def __init__(self, exchange: Emulator, folder: Path, var: Path) -> None:
        self.exchange, self.bot = exchange, Bot(var, exchange.url)
        self.said, self.files = folder / "said", folder / "files"
        self.said.mkdir()
        self.files.mkdir()
        self._number = 0

    def keep_in_files(self, **secrets: str) -> None:
        for name, value in secrets.items():
            file = self.files / name
            file.write_text(value)
            file.chmod(0o600)
            self.bot.environ.pop(name, None)
            self.bot.environ[f"{name}_FILE"] = str(file)

    def keep_in_environment(self, **secrets: str) -> None:
        for name, value in secrets.items():
            self.bot.environ.pop(f"{name}_FILE", None)
            self.bot.environ[name] = value

    def note(self, what: str, *texts: str) -> None:
        self._number += 1
        (self.said / f"{self._number:03d}-{what}").write_text("\n".join(texts))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = self.bot.call(*words)
        self.note("-".join(words).replace("/", "_"), done.stdout, done.stderr)
        return done

    def browse(self) -> None:
        for page in PAGES:
            self._ask(urllib.request.Request(f"http://127.0.0.1:{self.bot.port}{page}"))
        for token in (CONTROL, f"{CONTROL}x"):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            self._ask(urllib.request.Request(f"http://127.0.0.1:{self.bot.port}/api/v1/control/pause", b'{"x": 1}', headers))

    def _ask(self, request: urllib.request.Request) -> None:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                self.note("page", str(reply.headers), reply.read().decode())
        except urllib.error.HTTPError as error:
            self.note("page", str(error.headers), error.read().decode())

    def trouble(self, fault: str, where: str, *, times: int | None = 2) -> None:
        self.exchange.ask("/faults", {"fault": fault, "where": where, "times": times})

    def everything(self) -> list[Path]:
        return [self.bot.var, self.said]


@pytest.fixture
def scene(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    exchange = Emulator("--speed", "60", "--symbols", "BTC", "--seed", "1")
    stage = Scene(exchange, tmp_path, tmp_path_factory.mktemp("leak"))
    exchange.ask("/keys", {"key": KEY, "secret": SECRET})
    exchange.ask("/keys", {"key": NEXT_KEY, "secret": NEXT_SECRET})
    stage.keep_in_files(DISCORD_WEBHOOK_URL=WEBHOOK, GMOBOT_CONTROL_TOKEN=CONTROL)
    yield stage
    stage.bot.kill()
    exchange.close()


def clean(scene: Scene, *, tokens: bool = True) -> None:
    found = leaks(scene.everything(), [*SECRETS, *(TOKENS if tokens else ())])
    assert found == []


def test_right_keys_and_every_trouble_on_the_way(scene: Scene) -> None:
    scene.keep_in_files(GMO_API_KEY=KEY, GMO_API_SECRET=SECRET)
    bot = scene.bot
    for words in (("doctor",), ("doctor", "--json"), ("config", "show"), ("config", "show", "--json"), ("config", "check")):
        scene.command(*words)
    bot.start("--debug")

    def running() -> bool:
        assert bot.alive, bot.console()
        run = bot.progress()
        return (run.get("monitor_status"), run.get("status")) == ("active", "running")

    until(running, "running", seconds=60)
    scene.browse()
    scene.command("status", "--json")
    faults = (
        ("reply_lost_after", "/v1/*"),
        ("server_error", "/v1/*"),
        ("clock_skew", "/v1/account/*"),
        ("rate_limited", "/v1/*"),
        ("token_invalidated", "connect"),
        ("handshake_refused", "connect"),
        ("permission_refused", "executionEvents"),
        ("socket_dropped", "*"),
    )
    for fault, where in faults:
        scene.trouble(fault, where)
    scene.keep_in_files(GMO_API_KEY=WRONG_KEY, GMO_API_SECRET=WRONG_SECRET)
    bot.signal(signal.SIGHUP)
    until(lambda: "was not taken" in bot.log.read_text(), "a wrong key is refused", seconds=30)
    scene.exchange.ask("/status", {"status": "MAINTENANCE"})
    time.sleep(3.0)
    scene.exchange.ask("/status", {"status": "OPEN"})
    scene.keep_in_files(GMO_API_KEY=NEXT_KEY, GMO_API_SECRET=NEXT_SECRET)

    def rotated() -> bool:
        bot.signal(signal.SIGHUP)
        time.sleep(1.0)
        return "a new secret is in use" in bot.log.read_text()

    until(rotated, "the next key is in use", seconds=60)
    for fault, _ in faults:
        scene.exchange.disarm(fault)
    scene.browse()
    until(lambda: bot.progress()["monitor_status"] == "active", "the streams are up again", seconds=120)
    for line in ("audit tail -n 500", "audit search key --json", "state backup", "state verify", "flatten"):
        scene.command(*line.split())
    time.sleep(2.0)
    assert bot.stop() == 0, bot.console()
    assert bot.progress()["armed"] in (True, False), "there is something to search"
    clean(scene)
    sent = {row["path"] for row in scene.exchange.ask("/access")["access"] if row["error"] is None}
    assert {"/v1/order", "/v1/ws-auth"} <= sent, "it traded"
    assert asyncio.run(a_token(scene.exchange.url)) in TOKENS, "these are the tokens that were handed out"


async def a_token(url: str) -> str:
    transport = HttpTransport(url)
    try:
        rest = GmoRest(transport, SystemClock(), credentials=Credentials(Secret("emulator-key"), Secret("emulator-secret")))
        return (await rest.create_token()).reveal().decode()
    finally:
        await transport.close()


def test_wrong_keys_from_the_environment(scene: Scene) -> None:
    scene.keep_in_environment(GMO_API_KEY=WRONG_KEY, GMO_API_SECRET=WRONG_SECRET)
    bot = scene.bot
    scene.command("doctor")
    bot.start("--debug")
    until(lambda: "reconcile" in str(bot.progress().get("last_error")), "the key does not work", seconds=60)
    scene.browse()
    time.sleep(2.0)
    assert bot.stop() == 0, bot.console()
    scene.command("flatten", "--direct", "--seconds", "2")
    assert scene.command("audit", "verify").returncode == 0
    clean(scene)


def test_an_exchange_that_is_not_there(scene: Scene) -> None:
    scene.keep_in_files(GMO_API_KEY=KEY, GMO_API_SECRET=SECRET)
    bot = scene.bot
    port = scene.exchange.url.rpartition(":")[2]
    bot.config.write_text(bot.config.read_text().replace(f"127.0.0.1:{port}", "127.0.0.1:9"))
    bot.start("--debug")
    until(lambda: "start:" in str(bot.progress().get("last_error")), "nobody answers", seconds=60)
    scene.command("doctor", "--json")
    bot.kill()
    scene.command("flatten", "--direct", "--seconds", "1", "--debug")
    clean(scene)


@pytest.mark.parametrize("half", ["GMO_API_KEY", "GMO_API_SECRET"])
def test_a_start_that_is_refused(scene: Scene, half: str) -> None:
    scene.keep_in_files(GMO_API_KEY=KEY, GMO_API_SECRET=SECRET)
    (scene.files / half).write_bytes((KEY if half == "GMO_API_KEY" else SECRET).encode() + "\u3042".encode())
    assert scene.command("run", "--debug").returncode != 0
    assert scene.command("doctor").returncode == 6
    (scene.files / half).write_bytes(b"")
    assert scene.command("run", "--debug").returncode != 0
    assert "missing_credentials" in str(scene.bot.progress()["last_error"])
    clean(scene)


# --- the search itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [*SECRETS, TOKENS[0]])
def test_the_search_finds_a_secret_however_it_is_written(tmp_path: Path, secret: str) -> None:
    rng = random.Random(1)
    for number, spelling in enumerate(spellings(secret)):
        (tmp_path / f"{number}").write_bytes(rng.randbytes(70_000) + spelling + rng.randbytes(10))
    everywhere = {path.split(": ")[0] for path in leaks([tmp_path], [secret])}
    assert everywhere == {str(path) for path in tmp_path.iterdir()}


def test_the_search_finds_what_the_encoders_make(tmp_path: Path) -> None:
    for number, text in enumerate(
        (
            json.dumps({"a": SECRET}),
            json.dumps(json.dumps({"a": SECRET})),
            urllib.parse.urlencode({"a": SECRET}),
            urllib.parse.quote(f"x/{SECRET}"),
            repr({"a": SECRET}),
            *(base64.b64encode(f"{'u' * length}:{SECRET}&tail".encode()).decode() for length in range(4)),
        )
    ):
        (tmp_path / f"{number}").write_text(text)
    assert len({path.split(": ")[0] for path in leaks([tmp_path], [SECRET])}) == len(list(tmp_path.iterdir()))
    assert leaks([tmp_path], ["another/secret"]) == []

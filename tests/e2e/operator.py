"""An operator at a terminal: a fresh clone with a history, the real Docker, and the commands of the document, one by one."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.documents.shell import PLACEHOLDER
from tests.e2e.monitoring_images import stand_ins
from tests.e2e.operations import LIGHT_COVERAGE, START_SECONDS, Before, Needs, Row, Then
from tests.e2e.processes import Emulator, until
from tests.e2e.stack import IMAGES, ROOT, clone
from tests.e2e.terminal import type_in
from tests.ports import free_port

from gmobot.live import schema
from gmobot.ops.artifacts import COMPLETE, PROGRESS

STABLE, NEWER = "stable", "newer"
TREES = ("configs", "docker-compose.yml", "scripts")
_PORT = "9754"


class Operator:
    """Someone who types what the document says into a clone of the repository."""

    def __init__(self) -> None:
        self.work = Path(tempfile.mkdtemp(prefix="gmobot-operations."))
        self.folder = self.work / "clone"
        self.port = _PORT if _is_free(int(_PORT)) else str(free_port())
        self.env = self._environment()
        self.words = {
            "GMO_API_KEY": "emulator-key",
            "GMO_API_SECRET": "emulator-secret",
            "DISCORD_WEBHOOK_URL": "https://discord.invalid/api/webhooks/1/placeholder",
            "stable_commit": STABLE,
            "new_version": NEWER,
        }
        self.run_id, self.keys_taken = "", 0
        self._afterwards = ExitStack()
        self._clone()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        # The exchange cannot be reached: the environment, and nothing else, says that this one is an emulator.
        return (
            kept
            | IMAGES
            | {
                "HOME": str(self.work),
                "TERM": "dumb",
                "COMPOSE_PROJECT_NAME": f"gmobot-operations-{os.getpid()}",
                "COMPOSE_PROFILES": "emulator",
                "GMOBOT_CONFIG": "configs/emulator.yaml",
                "GMOBOT_IMAGE": os.environ.get("GMOBOT_IMAGE", "gmobot:operations"),
                "HEALTH_PORT": self.port,
                # Until there are files, as the document allows.
                "GMO_API_KEY": "emulator-key",
                "GMO_API_SECRET": "emulator-secret",
            }
        )

    def _clone(self) -> None:
        """Copy what is under version control, and give it a history: a stable version, and a newer one with a newer schema."""
        clone(self.folder, os.geteuid())
        (self.work / "light.coveragerc").write_text(LIGHT_COVERAGE, encoding="utf-8")
        programs = self.work / "bin"
        programs.mkdir()
        # A Python that lacks gmobot, called as the document calls it.
        (programs / "python").symlink_to(shutil.which("python3", path="/usr/bin:/usr/local/bin") or "/usr/bin/python3")
        self.env["PATH"] = f"{programs}:{self.env['PATH']}"
        (self.folder / ".venv").symlink_to(ROOT / ".venv")
        self._git("init", "-q", "-b", "main")
        self._git("config", "user.email", "operator@localhost")
        self._git("config", "user.name", "operator")
        self._commit("stable", tag=STABLE)
        step = f"{schema.VERSION + 1:04d}_newer.sql"
        (self.folder / "src/gmobot/live/migrations" / step).write_text("CREATE TABLE newer (number INTEGER) STRICT;\n", encoding="utf-8")
        self._commit("newer", tag=NEWER)
        self._git("checkout", "-q", STABLE)

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"git {arguments}: {done.stderr}"
        return done.stdout

    def _commit(self, what: str, *, tag: str) -> None:
        self._git("add", "-A")
        self._git("commit", "-q", "--no-verify", "-m", what)
        self._git("tag", tag)

    def close(self) -> None:
        """Take the stack down and remove every trace."""
        self.type("docker-compose --profile emulator --profile monitoring down --volumes --remove-orphans", 120.0)
        self._afterwards.close()
        shutil.rmtree(self.work, ignore_errors=True)

    # --- one command ----------------------------------------------------------------------------------

    def carry_out(self, row: Row) -> None:
        """Do what a row says, and see that it holds."""
        self._make(row.needs)
        self._happen(row.before)
        command = self._worded(row.command)
        began = time.monotonic()
        if row.ends:
            self._run_until_told(command, row)
        elif exported := re.fullmatch(r"export (\w+)=(\S+)", command):
            self.env[exported[1]] = exported[2]
        else:
            self._try(command, row)
        if command.endswith("> secrets/gmo_api_secret"):
            self.env.pop("GMO_API_KEY", None)
            self.env.pop("GMO_API_SECRET", None)
        self._see(row.then)
        spent = time.monotonic() - began
        assert spent <= row.seconds, f"{command}: {spent:.0f} s, {row.seconds:.0f} s at most"

    def _try(self, command: str, row: Row) -> None:
        give_up = time.monotonic() + (START_SECONDS if row.retried else 0.0)
        while True:
            code, said = self.type(command, row.seconds, row.env)
            good = (code == row.exit) if row.exit is not None else code != 0
            if good and all(text in said for text in row.says):
                break
            assert time.monotonic() < give_up, (
                f"{command}: exit {code}, wanted {row.exit} and {row.says}\n{said[:6_000]}\n[…]\n{said[-6_000:]}"
            )
            time.sleep(0.5)
        # As printed: the command on the way back, or where a backup went.
        if found := re.search(r"(?:^|gmobot state restore )(var/state/backups/[\w.-]+\.db)", said, re.MULTILINE):
            self.words["PATH"] = found[1]

    def _worded(self, command: str) -> str:
        if "<ORDER_ID>" in command:
            filled = "SELECT max(order_id) FROM intents WHERE executed_lots > 0"
            until(lambda: self._asked(filled) is not None, "an order that filled", seconds=240.0)
            self.words["ORDER_ID"] = str(self._asked(filled))
        return PLACEHOLDER.sub(lambda found: self.words[found[0][1:-1]], command).replace(_PORT, self.port)

    def type(self, command: str, seconds: float, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Give a command to a shell in the clone; return its exit code and what it showed."""
        return type_in(command, folder=self.folder, env=self.env | (env or {}), seconds=seconds)

    def _run_until_told(self, command: str, row: Row) -> None:
        """A daemon in the foreground, on an emulator of its own and on folders of its own."""
        exchange = Emulator()
        url = exchange.url
        own = {
            "GMOBOT__PATHS__VAR": str(self.work / "v"),
            "GMOBOT__VENUE__REST_URL": url,
            "GMOBOT__VENUE__WS_URL": url.replace("http", "ws", 1),
        }
        own |= {"GMO_API_KEY": "emulator-key", "GMO_API_SECRET": "emulator-secret"}
        process = subprocess.Popen(command.split(), cwd=self.folder, env=self.env | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            until(self._healthy, command, seconds=row.seconds)
            until((self.work / "v" / "logs" / "audit_events.jsonl").exists, "the audit log", seconds=row.seconds)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == row.exit
        finally:
            process.kill()
            process.communicate()
            exchange.close()

    # --- what is made so before, and seen after ---------------------------------------------------------

    def _make(self, needs: Needs) -> None:
        if needs is Needs.DOWN:
            self.type("docker-compose down", 60.0)
        elif needs is Needs.UP and not self._healthy():
            code, said = self.type("docker-compose up -d", 120.0)
            assert code == 0, said
            self._wait_until_healthy()

    def _happen(self, before: Before) -> None:
        if before is Before.BAD_CHANGE:
            for name in ("configs/emulator.yaml", "docker-compose.yml", "scripts/smoke_live_daemon.sh"):
                with (self.folder / name).open("a", encoding="utf-8") as file:
                    file.write("\nnot: [what it should be\n")
            self._git("commit", "-q", "--no-verify", "-a", "-m", "for the worse")
            # What runs was started before the change, so the Compose file it was started with is what ends it.
            self._git("checkout", "-q", STABLE, "--", "docker-compose.yml")
        elif before is Before.NEWER_DATABASE:
            self._newer_database()
        elif before is Before.SECOND_KEY:
            self._second_key()
        elif before is Before.NO_REGISTRY:
            self.env |= {f"{name}_PORT": str(free_port()) for name in ("PROMETHEUS", "ALERTMANAGER", "GRAFANA")}
            # Whoever gives an image for Python reaches no registry.
            if base := os.environ.get("PYTHON_IMAGE"):
                self.env |= self._afterwards.enter_context(stand_ins(base, self.env["COMPOSE_PROJECT_NAME"]))
        elif before is Before.HOLDING:
            self._begin_anew_and_wait_for_coins()

    def _newer_database(self) -> None:
        """Upgrade, let the newer program take the database further, and start the older one again."""
        step = f"src/gmobot/live/migrations/{schema.VERSION + 1:04d}_newer.sql"
        self._git("checkout", "-q", NEWER, "--", step)
        self._up()
        until(lambda: self._asked("PRAGMA user_version") == schema.VERSION + 1, "a newer schema", seconds=START_SECONDS)
        self.type("docker-compose down", 60.0)
        self._git("rm", "-q", "-f", step)
        code, said = self.type("docker-compose up -d --build", 420.0)
        assert code == 0, said

    def _up(self) -> None:
        code, said = self.type("docker-compose up -d --build", 420.0)
        assert code == 0, said
        self._wait_until_healthy()

    def _second_key(self) -> None:
        """Make another key at the exchange; from now on it is what the placeholders stand for."""
        body = json.dumps({"key": "emulator-second", "secret": "emulator-second-secret", "account": "emulator-key"})
        command = f"docker-compose exec -T exchange python - POST /keys {shlex.quote(body)} < scripts/ask_emulator.py"
        code, said = self.type(command, 30.0)
        assert code == 0, said
        self.words |= {"GMO_API_KEY": "emulator-second", "GMO_API_SECRET": "emulator-second-secret"}
        self.run_id, self.keys_taken = self._artifact(PROGRESS)["run_id"], self._keys_taken()

    def _keys_taken(self) -> int:
        return self.type("docker-compose exec -T bot gmobot audit search --event secret_loaded --json", 30.0)[1].count("GMO_API_")

    def _begin_anew_and_wait_for_coins(self) -> None:
        """An emulator that began anew knows nothing of what a bot sent before, nor of a second key, so both do; then the bot buys."""
        self.type("docker-compose down", 60.0)
        shutil.rmtree(self.folder / "var")
        for name, value in (("gmo_api_key", "emulator-key"), ("gmo_api_secret", "emulator-secret")):
            (self.folder / "secrets" / name).write_text(value, encoding="utf-8")
        self._make(Needs.UP)
        until(lambda: self._artifact(PROGRESS)["status"] == "running", "running", seconds=START_SECONDS)
        until(lambda: self._position() > 0, "the bot holds coins", seconds=240.0)

    def _see(self, then: Then) -> None:
        if then in (Then.HEALTHY, Then.HALTED, Then.SAME_RUN_NEW_KEY):
            self._wait_until_healthy()
        if then is Then.HALTED:
            until(lambda: self._artifact(PROGRESS)["status"] == "halted", "halted", seconds=START_SECONDS)
        elif then is Then.GONE:
            assert self.type("docker-compose ps -q", 30.0)[1].strip() == ""
            complete = self._artifact(COMPLETE)
            assert (complete["final"], complete["stop_reason"]) == (True, "graceful_shutdown")
        elif then is Then.SENDS_ORDERS:
            until(lambda: self._artifact(PROGRESS)["armed"], "armed", seconds=START_SECONDS)
        elif then is Then.STABLE_FILES:
            assert self._git("diff", "--stat", STABLE, "--", *TREES) == ""
        elif then is Then.SAME_RUN_NEW_KEY:
            self._see_the_new_key()
        elif then is Then.WATCHED:
            until(self._watched, "Prometheus sees the bot", seconds=120.0)
        elif then is Then.FLAT:
            until(lambda: self._position() == 0, "flat", seconds=START_SECONDS)

    def _see_the_new_key(self) -> None:
        until(lambda: self._keys_taken() >= self.keys_taken + 2, "key and secret are taken", seconds=START_SECONDS)
        assert self._artifact(PROGRESS)["run_id"] == self.run_id

    # --- looking ------------------------------------------------------------------------------------------

    def _wait_until_healthy(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not self._healthy():
            if time.monotonic() >= give_up:
                told = "\n".join(self.type(command, 30.0)[1] for command in ("docker-compose ps", "docker-compose logs --tail=60 bot"))
                raise AssertionError(f"not healthy within {START_SECONDS:.0f} s\n{told}")
            time.sleep(0.2)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=3) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _watched(self) -> bool:
        url = f"http://127.0.0.1:{self.env['PROMETHEUS_PORT']}/api/v1/query?query=run_loop_total"
        try:
            with urllib.request.urlopen(url, timeout=3) as reply:
                return bool(json.load(reply)["data"]["result"])
        except (urllib.error.URLError, OSError):
            return False

    def _artifact(self, name: str) -> Any:
        path = self.folder / "var" / "artifacts" / name
        until(path.exists, name, seconds=START_SECONDS)
        return json.loads(path.read_bytes())

    def _asked(self, query: str) -> Any:
        with closing(sqlite3.connect(f"file:{self.folder / 'var/state/gmobot.db'}?mode=ro", uri=True)) as db:
            (value,) = db.execute(query).fetchone()
        return value

    def _position(self) -> int:
        return int(self._asked("SELECT coalesce(sum(json_extract(record, '$.position')), 0) FROM ledgers"))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

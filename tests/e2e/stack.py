"""A fresh clone with Compose in it, as operators have it: real Docker, the emulator as the exchange, one image for all tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ports import free_port

from gmobot.ops.artifacts import PROGRESS

ROOT = Path(__file__).resolve().parents[2]
IMAGE = os.environ.get("GMOBOT_E2E_IMAGE", "gmobot:e2e")
"""Two clones that test at the same time need two names."""
KEY, SECRET = "emulator-key", "emulator-secret"
HEALTHY_SECONDS = 60.0
"""With slack for a loaded machine; what an idle one takes is asserted where it is measured."""
IMAGES = {name: os.environ[name] for name in ("PYTHON_IMAGE", "BUILDER_IMAGE", "DOCKER_HOST") if name in os.environ}


def docker(*arguments: str) -> str:
    """Return what ``docker`` says.

    Raises:
        AssertionError: It failed.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def docker_answers() -> bool:
    """Return whether there is a daemon."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_docker = [
    pytest.mark.e2e,
    pytest.mark.docker,
    pytest.mark.skipif(not docker_answers(), reason="no Docker daemon answers; see .ci/with_docker.sh"),
    pytest.mark.usefixtures("image"),
]


def in_image(*command: str) -> str:
    """Run a command in a container of the image, as cut off and read-only as the bot is; return what it says."""
    return docker("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", IMAGE, *command)


def compose_program() -> list[str]:
    """Return the Compose there is."""
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def until(holds: Callable[[], bool], what: Callable[[], str], *, seconds: float = HEALTHY_SECONDS) -> float:
    """Wait until something holds; return how long it took.

    Raises:
        AssertionError: It does not, in time.
    """
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds, what()
        time.sleep(0.1)
    return time.monotonic() - began


def clone(folder: Path, uid: int = 0) -> None:
    """Copy what is under version control, or will be, and nothing else."""
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in files.split():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)


class Stack:
    """A clone, and Compose in it, as one user of the host."""

    def __init__(self, uid: int) -> None:
        # Not below pytest's own folder: every pytest that starts makes that one its user's alone again.
        self.work = Path(tempfile.mkdtemp(prefix="gmobot-e2e."))
        self.folder = self.work / f"gmobot-e2e-{os.getpid()}-{uid}"
        self.uid = uid
        self.port = free_port()
        clone(self.folder, uid)
        if os.geteuid() == 0:
            self.work.chmod(0o755)
        own = {"GMOBOT_CONFIG": "configs/emulator.yaml", "GMOBOT_IMAGE": IMAGE, "HEALTH_PORT": str(self.port)}
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "COMPOSE_PROJECT_NAME": self.folder.name} | own | IMAGES

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone."""
        who: dict[str, Any] = {}
        if os.geteuid() == 0 and self.uid != 0:
            who = {"user": self.uid, "group": self.uid, "extra_groups": [Path("/var/run/docker.sock").stat().st_gid]}
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, **who)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run Compose, with the emulator."""
        return self.run(*compose_program(), "--profile", "emulator", *arguments, check=check).stdout.strip()

    def up(self, *options: str) -> None:
        """Start everything and wait until Docker calls the bot healthy."""
        self.compose("up", "-d", *options)
        self.wait_for("healthy")

    def wait_for(self, health: str) -> None:
        """Wait until Docker thinks so of the bot."""
        until(lambda: self.health() == health, lambda: f"{self.health()}: {self.compose('logs', '--tail=50', 'bot')}")

    def health(self) -> str:
        """Return what Docker thinks of the bot."""
        return str(self.inspect()["State"].get("Health", {}).get("Status"))

    def bot(self) -> str:
        """Return the bot's container, running or not; Docker is asked, as Compose takes a second to say it."""
        labels = (f"com.docker.compose.project={self.folder.name}", "com.docker.compose.service=bot", "com.docker.compose.oneoff=False")
        return docker("ps", "-aq", "--no-trunc", *(part for label in labels for part in ("--filter", f"label={label}")))

    def inspect(self) -> dict[str, Any]:
        """Return all that Docker knows of the bot's container."""
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.bot()))
        return found[0]

    def inside(self, code: str) -> str:
        """Run Python in the bot's container."""
        return self.compose("exec", "-T", "bot", "python", "-c", code)

    def emulator(self, path: str) -> Any:
        """Ask what only the emulator has."""
        code = f"import urllib.request; print(urllib.request.urlopen('http://exchange:9755/emulator/v1{path}').read().decode())"
        return json.loads(self.inside(code))

    def artifact(self, name: str) -> dict[str, Any]:
        """Return an artifact, as the host sees it."""
        found: dict[str, Any] = json.loads((self.folder / "var" / "artifacts" / name).read_bytes())
        return found

    def progress(self) -> dict[str, Any]:
        """Return where the run stands, empty before it says so."""
        return self.artifact(PROGRESS) if (self.folder / "var" / "artifacts" / PROGRESS).exists() else {}

    def get(self, path: str) -> str:
        """Return what the bot answers at the port that Compose publishes.

        Raises:
            OSError: It does not, or not with 200.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
            return str(reply.read().decode())

    def write_secrets(self, *, mode: int = 0o600, key: str = KEY, secret: str = SECRET) -> None:
        """Write them as the operations document does, as this user."""
        folder = self.folder / "secrets"
        folder.mkdir(exist_ok=True)
        for name, value in (("gmo_api_key", key), ("gmo_api_secret", secret)):
            (folder / name).write_text(value, encoding="utf-8")
            (folder / name).chmod(mode)
            if os.geteuid() == 0:
                os.chown(folder / name, self.uid, self.uid)
        if os.geteuid() == 0:
            os.chown(folder, self.uid, self.uid)

    def write_config(self, name: str, text: str) -> None:
        """Put a configuration into the clone's ``configs`` and use it."""
        (self.folder / "configs" / name).write_text(text, encoding="utf-8")
        self.env["GMOBOT_CONFIG"] = f"configs/{name}"

    def configure(self, **changes: Any) -> None:
        """Use the emulator's configuration with other sections."""
        known = yaml.safe_load((self.folder / "configs" / "emulator.yaml").read_text(encoding="utf-8"))
        self.write_config("e2e.yaml", yaml.safe_dump(known | changes))

    def remove(self) -> None:
        """Take everything down and away."""
        self.compose("down", "--volumes", "--remove-orphans", check=False)
        shutil.rmtree(self.work)


def run_script(name: str, *arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the operator's scripts with nothing of this environment that could be meant for it."""
    foreign = ("GMO_", "GMOBOT_", "DISCORD_", "COMPOSE_", "HEALTH_PORT", "SMOKE_", "SOAK_", "CHECK_", "COVERAGE_", "AUDIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    command = ["bash", f"scripts/{name}", *arguments]
    return subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False)


def leftovers(check: str) -> list[str]:
    """Return containers, networks, images and folders of checks that have ended, which should have left nothing."""
    containers, networks = docker("ps", "-a", "--format", "{{.Names}}"), docker("network", "ls", "--format", "{{.Name}}")
    images = docker("images", "--format", "{{.Repository}}:{{.Tag}}")
    folders = (str(path) for path in Path(os.environ.get("TMPDIR", "/tmp")).glob(f"gmobot-{check}-*"))
    found = [*containers.split(), *networks.split(), *images.split(), *folders]
    named = ((name, re.search(rf"(?:gmobot-|check-){check}-(\d+)", name)) for name in found)
    return [name for name, by in named if by is not None and not Path(f"/proc/{by[1]}").exists()]

"""The container as operators meet it: a fresh clone, real Docker, real Compose, the emulator as the exchange."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gmobot.ops.artifacts import COMPLETE, PROGRESS

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "emulator-key", "emulator-secret"
HEALTHY_SECONDS = 60.0
IMAGE_MOST_BYTES = 350 * 10**6
RSS_MOST_BYTES = 300 * 2**20
STOP_MOST_SECONDS = 10.0
LARGEST_RSS = (
    "from glob import glob\n"
    "lines = [line for name in glob('/proc/[0-9]*/status') for line in open(name) if line.startswith('VmRSS')]\n"
    "print(max(int(line.split()[1]) for line in lines))"
)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def docker_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not docker_answers(), reason="no Docker daemon answers; see .ci/docker_e2e.sh")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """A clone, and Compose in it, as one user of the host."""

    def __init__(self, folder: Path, uid: int) -> None:
        self.folder = folder
        self.uid = uid
        self.port = free_port()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "COMPOSE_PROJECT_NAME": folder.name,
            "GMOBOT_CONFIG": "configs/emulator.yaml",
            "GMOBOT_IMAGE": "gmobot:e2e",
            "HEALTH_PORT": str(self.port),
        } | {name: os.environ[name] for name in ("PYTHON_IMAGE", "BUILDER_IMAGE", "DOCKER_HOST") if name in os.environ}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        who: dict[str, Any] = {}
        if os.geteuid() == 0 and self.uid != 0:
            who = {"user": self.uid, "group": self.uid, "extra_groups": [Path("/var/run/docker.sock").stat().st_gid]}
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, **who)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def compose(self, *arguments: str, check: bool = True) -> str:
        program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        return self.run(*program, "--profile", "emulator", *arguments, check=check).stdout.strip()

    def up(self) -> float:
        """Start as the operations document says; return the seconds until healthy."""
        self.compose("build", "bot")
        began = time.monotonic()
        self.compose("up", "-d", "--build")
        self.wait_for("healthy")
        return time.monotonic() - began

    def wait_for(self, health: str) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (seen := self.inspect()["State"].get("Health", {}).get("Status")) != health:
            assert time.monotonic() < deadline, f"{seen}: {self.compose('logs', '--tail=50', 'bot')}"
            time.sleep(0.2)

    def bot(self) -> str:
        return self.compose("ps", "-q", "bot")

    def inspect(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.bot()))
        return found[0]

    def inside(self, code: str) -> str:
        return self.compose("exec", "-T", "bot", "python", "-c", code)

    def artifact(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "var" / "artifacts" / name).read_bytes())
        return found

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
            return str(reply.read().decode())

    def write_secrets(self, *, mode: int, key: str = KEY) -> None:
        folder = self.folder / "secrets"
        folder.mkdir(exist_ok=True)
        for name, value in (("gmo_api_key", key), ("gmo_api_secret", SECRET)):
            (folder / name).write_text(value, encoding="utf-8")
            (folder / name).chmod(mode)
            os.chown(folder / name, self.uid, self.uid)
        os.chown(folder, self.uid, self.uid)


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A fresh clone, with nothing beside what is under version control; taken down afterwards."""
    uid = getattr(request, "param", os.geteuid())
    if uid != os.geteuid() and os.geteuid() != 0:
        pytest.skip("only root can be other users")
    # Not below pytest's own folder: every pytest that starts makes that one its user's alone again.
    work = Path(tempfile.mkdtemp(prefix="gmobot-e2e."))
    folder = work / f"gmobot-e2e-{os.getpid()}-{uid}"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in files.split():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)
        work.chmod(0o755)
    made = Stack(folder, uid)
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans")
        shutil.rmtree(work)


@pytest.mark.parametrize("stack", [0, 1000], indirect=True, ids=["root", "uid-1000"])
def test_fresh_clone_starts_for_root_and_for_a_user(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.env |= {"GMO_API_KEY": KEY, "GMO_API_SECRET": SECRET}
    seconds = stack.up()

    assert json.loads(stack.get("/healthz"))["status"] == "ok"
    assert 'monitor_status{status="active"}' in stack.get("/metrics")
    assert stack.compose("exec", "-T", "bot", "id", "-u") == "1000"
    assert "Uid:\t1000\t1000\t1000\t1000" in stack.inside("print(open('/proc/1/status').read())")
    assert stack.artifact(PROGRESS)["status"] == "running"
    rss = int(stack.inside(LARGEST_RSS)) * 1024
    began = time.monotonic()
    stack.compose("stop", "bot")
    stopped = time.monotonic() - began
    with capsys.disabled():
        sys.stdout.write(f"\nup to healthy {seconds:.1f} s, RSS {rss / 2**20:.0f} MiB, stop {stopped:.1f} s\n")

    assert 0 < rss < RSS_MOST_BYTES
    assert stopped < STOP_MOST_SECONDS
    assert stack.inspect()["State"]["ExitCode"] == 0
    complete = stack.artifact(COMPLETE)
    assert (complete["final"], complete["stop_reason"]) == (True, "graceful_shutdown")
    # What the bot leaves is its user's to remove.
    stack.run("rm", "-r", "var", "secrets")


@pytest.mark.parametrize("stack", [1234], indirect=True)
def test_any_other_user_names_itself(stack: Stack) -> None:
    stack.env |= {"GMOBOT_UID": "1234", "GMOBOT_GID": "1234"}
    stack.write_secrets(mode=0o600)
    stack.up()
    assert stack.compose("exec", "-T", "bot", "id", "-u") == "1234"
    stack.compose("down")
    stack.run("rm", "-r", "var", "secrets")


@pytest.mark.parametrize("stack", [0, 1000], indirect=True, ids=["root", "uid-1000"])
@pytest.mark.parametrize("mode", [0o600, 0o644], ids=["0600", "0644"])
def test_secret_files_win_and_stay_secret(stack: Stack, mode: int) -> None:
    stack.env |= {"GMO_API_KEY": "wrong-from-environment", "GMO_API_SECRET": "wrong-from-environment"}
    stack.write_secrets(mode=mode)
    stack.up()

    assert stack.artifact(PROGRESS)["preflight"] == []
    files = [stack.folder / "secrets" / name for name in ("gmo_api_key", "gmo_api_secret")]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o640, 0o640]
    assert [path.stat().st_uid for path in files] == [stack.uid, stack.uid]
    assert SECRET not in json.dumps(stack.inspect()) + stack.compose("logs", "bot")
    traces = [path for path in (stack.folder / "var").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert traces == []


def test_missing_secret_ends_the_start_and_says_which(stack: Stack) -> None:
    stack.compose("up", "-d", "--build")
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not (stack.folder / "var/artifacts" / PROGRESS).exists() or stack.artifact(PROGRESS)["status"] != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "GMO_API_KEY" in stack.artifact(PROGRESS)["last_error"]
    logs = stack.compose("logs", "bot")
    assert "/run/secrets/gmo_api_key" in logs
    assert "Traceback" not in logs


def test_container_has_no_power_it_does_not_need(stack: Stack) -> None:
    stack.write_secrets(mode=0o600)
    stack.up()
    facts = stack.inspect()
    host = facts["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert any("no-new-privileges" in option for option in host["SecurityOpt"])
    assert host["Init"] is True
    assert host["Privileged"] is False
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert facts["NetworkSettings"]["Ports"] == {
        "9754/tcp": None,
        f"{stack.port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}],
    }
    writable = {mount["Destination"] for mount in facts["Mounts"] if mount["RW"]}
    assert writable == {"/app/var"}
    assert re.findall(r"^Cap\w+:\s+(\w+)$", stack.inside("print(open('/proc/1/status').read())"), re.MULTILINE) == ["0" * 16] * 5
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.inside("open('/app/x', 'w')")


def test_operator_commands_reach_the_bot_and_hold_over_a_crash(stack: Stack) -> None:
    stack.write_secrets(mode=0o600)
    stack.up()
    before = stack.artifact(PROGRESS)["run_id"]
    stack.compose("exec", "-T", "bot", "gmobot", "halt")
    if os.geteuid() == 0:
        os.kill(int(stack.inspect()["State"]["Pid"]), 9)
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (now := stack.artifact(PROGRESS))["run_id"] == before or now["status"] == "starting":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert now["previous_run"] == "crashed"
    assert stack.artifact(PROGRESS)["status"] == "halted"


def test_image_carries_nothing_of_the_machine_that_built_it(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.compose("build", "bot")
    assert docker("inspect", "-f", "{{.Config.User}}", "gmobot:e2e") == "gmobot"
    run = ["run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "gmobot:e2e"]
    found = docker(*run, "python", "-c", "import glob; print(glob.glob('/etc/ssl/build-ca*') + glob.glob('/opt/**/pip', recursive=True))")
    assert found == "[]"
    environment = docker("inspect", "-f", "{{json .Config.Env}}", "gmobot:e2e")
    told = environment + docker("history", "--no-trunc", "gmobot:e2e")
    assert not re.search(r"PIP_(CERT|FIND_LINKS|INDEX|EXTRA)|/opt/(wheels|pypi)", told)
    locks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "requirements").glob("*.lock"))
    assert not re.search(r"^--(find-links|extra-index-url|index-url)", locks, re.MULTILINE)
    if base := os.environ.get("PYTHON_IMAGE"):
        above = int(docker("inspect", "-f", "{{.Size}}", "gmobot:e2e")) - int(docker("inspect", "-f", "{{.Size}}", base))
        with capsys.disabled():
            sys.stdout.write(f"\nimage {above / 1e6:.0f} MB above its base\n")
        assert above < IMAGE_MOST_BYTES


def test_machine_code_of_the_image_is_used_as_it_is(stack: Stack) -> None:
    stack.compose("build", "bot")
    code = (
        "import glob, os, subprocess\n"
        "subprocess.run(['gmobot', 'config', 'check', '-c', 'configs/default.yaml'], check=True, stdout=subprocess.DEVNULL)\n"
        "def made(root):\n"
        "    files = glob.glob(root + '/**/*.nb?', recursive=True)\n"
        "    return sorted((os.path.basename(file), os.stat(file).st_mtime_ns) for file in files)\n"
        "shipped, used = made('/opt/gmobot/cache'), made('/tmp/cache')\n"
        "print(bool(shipped), shipped == used)"
    )
    run = ["run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "gmobot:e2e", "python", "-c", code]
    assert docker(*run) == "True True"


def smoke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GMO_", "GMOBOT_", "DISCORD_"))}
    command = ["bash", "scripts/smoke_live_daemon.sh", *arguments]
    return subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False)


def leftovers() -> str:
    names = docker("ps", "-a", "--format", "{{.Names}}") + docker("network", "ls", "--format", "{{.Name}}")
    folders = [str(path) for path in Path(os.environ.get("TMPDIR", "/tmp")).glob("gmobot-smoke.*")]
    return " ".join(re.findall(r"gmobot-smoke\S*", names) + folders)


def test_smoke_passes_beside_a_running_stack_and_leaves_nothing(stack: Stack) -> None:
    stack.write_secrets(mode=0o600)
    stack.up()
    done = smoke(SMOKE_REPEAT_COUNT="2", HEALTH_PORT=str(stack.port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed_iteration=2/2" in done.stdout
    assert "failed_iteration" not in done.stdout
    assert json.loads(stack.get("/healthz"))["status"] == "ok"
    assert leftovers() == ""


def test_smoke_fails_with_diagnostics_when_the_exchange_goes_away() -> None:
    done = smoke("--simulate-failure", SMOKE_REPEAT_COUNT="3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed_iteration=1/3" in done.stdout
    for part in ("docker-compose ps", "docker-compose logs --tail=200 bot", '"monitor_status": "reconnecting"', '"pipeline_summary"'):
        assert part in done.stdout
    assert leftovers() == ""


@pytest.mark.parametrize(
    "environment",
    [{"GMO_API_KEY": "Zx9" * 10}, {"GMO_API_SECRET_FILE": "/run/x"}, {"DISCORD_WEBHOOK_URL": "https://discord.com/api/webhooks/1/x"}],
    ids=lambda environment: next(iter(environment)),
)
def test_smoke_refuses_real_secrets(environment: dict[str, str]) -> None:
    done = smoke(**environment)
    assert done.returncode == 2
    (name, value) = next(iter(environment.items()))
    assert name in done.stderr
    assert value not in done.stdout + done.stderr


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5"])
def test_smoke_refuses_a_count_that_is_none(count: str) -> None:
    assert smoke(SMOKE_REPEAT_COUNT=count).returncode == 2


def test_run_live_starts_with_any_python() -> None:
    """Started with a Python that lacks gmobot it goes on in the environment, and a bad config is one line and exit 2."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None or not (ROOT / ".venv").exists():
        pytest.skip("needs the system's Python and make setup")
    env = {"PATH": "/usr/bin:/bin", "GMOBOT_CONFIG": "no/such.yaml"}
    done = subprocess.run([python, "scripts/run_live.py"], cwd="/", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2

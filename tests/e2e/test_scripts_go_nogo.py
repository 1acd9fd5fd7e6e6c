"""``go_nogo.sh`` on a running production stack: GO, or NO-GO with the first stage that does not hold, by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from tests.e2e.stack import ROOT, Stack, docker, needs_docker, run_script, until

from gmobot.ops.artifacts import COMPLETE, PROGRESS

pytestmark = [
    *needs_docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may spoil what the bot's user owns"),
]
SMOKE = "scripts/smoke_live_daemon.sh"
PASSES = "#!/usr/bin/env bash\necho passed\n"


@pytest.fixture(scope="module")
def production() -> Iterator[Stack]:
    """A stack that runs as in production, from a clone whose release and smoke checks hold; they have tests of their own."""
    made = Stack(0)
    try:
        (made.folder / ".venv").symlink_to(ROOT / ".venv")
        for name in ("release_check.sh", "smoke_live_daemon.sh"):
            (made.folder / "scripts" / name).write_text(PASSES, encoding="utf-8")
        made.write_secrets()
        made.up()
        until((made.folder / "var/artifacts" / COMPLETE).exists, lambda: f"{made.progress()}")
        yield made
    finally:
        made.remove()


def verdict(stack: Stack, **environment: str) -> tuple[int, str]:
    """Return exit code and last line."""
    done = run_script("go_nogo.sh", folder=stack.folder, **({"HEALTH_PORT": str(stack.port)} | environment))
    assert done.stdout, done.stderr
    return done.returncode, done.stdout.splitlines()[-1]


class Spoiler:
    """Spoils a stack in one way, and mends it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._mend: list[Callable[[], object]] = []

    def mend(self) -> None:
        """Undo everything, the last first."""
        while self._mend:
            self._mend.pop()()

    def file(self, name: str, text: str | None) -> None:
        """Write a file, ``None`` deletes it."""
        path = self.stack.folder / name
        kept = path.with_name(path.name + ".kept")
        if path.exists():
            shutil.move(path, kept)
            self._mend.append(lambda: shutil.move(kept, path))
        if text is not None:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o640)
            self._mend.append(path.unlink)

    def mode(self, name: str, mode: int) -> None:
        """Change a file's mode."""
        path = self.stack.folder / name
        before = path.stat().st_mode
        self._mend.append(lambda: path.chmod(before))
        path.chmod(mode)

    def stand_still(self) -> None:
        """Freeze the bot, as it looks when its loop hangs."""
        docker("pause", self.stack.bot())
        self._mend += [lambda: self.stack.wait_for("healthy"), lambda: docker("unpause", self.stack.bot())]

    def artifact(self, name: str, **changes: Any) -> None:
        """Let an artifact say something else: in copies of both, kept as fresh as the bot would keep them."""
        real, copy, ended = self.stack.folder / "var/artifacts", self.stack.folder / "elsewhere/artifacts", Event()
        copy.mkdir(parents=True)

        def keep() -> None:
            while True:
                for artifact in (PROGRESS, COMPLETE):
                    content = json.loads((real / artifact).read_bytes()) | (changes if artifact == name else {})
                    (copy / "new").write_text(json.dumps(content), encoding="utf-8")
                    (copy / "new").rename(copy / artifact)
                if ended.wait(0.5):
                    return

        keeper = Thread(target=keep)
        keeper.start()
        until((copy / COMPLETE).exists, lambda: "the copies are there")
        self._mend += [lambda: shutil.rmtree(copy.parent), keeper.join, ended.set]


@pytest.fixture
def spoiler(production: Stack) -> Iterator[Spoiler]:
    made = Spoiler(production)
    yield made
    made.mend()


def test_go(production: Stack) -> None:
    before = json.dumps(production.inspect()["State"]["StartedAt"])
    assert verdict(production) == (0, "GO")
    (log,) = (production.folder / "var/artifacts").glob("go_nogo-*.log")
    assert log.read_text(encoding="utf-8").splitlines()[-1] == "GO"
    assert before == json.dumps(production.inspect()["State"]["StartedAt"]), "the running stack is only read"
    (production.folder / ".env").write_text(f"HEALTH_PORT={production.port}\n", encoding="utf-8")
    assert verdict(production, HEALTH_PORT="") == (0, "GO")
    (production.folder / ".env").unlink()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("scripts/release_check.sh", "echo 'failed_stage=pytest (quick)'; exit 1", "release_check reason=failed_stage_pytest_(quick)"),
        ("scripts/release_check.sh", "exit 2", "release_check reason=failed"),
        (
            "scripts/smoke_live_daemon.sh",
            'echo "failed_iteration=2/$SMOKE_REPEAT_COUNT"; exit 1',
            "smoke_repeat reason=failed_iteration_2/3",
        ),
        ("secrets/gmo_api_key", None, "secrets reason=missing_gmo_api_key"),
        ("secrets/gmo_api_secret", None, "secrets reason=missing_gmo_api_secret"),
        ("secrets/gmo_api_secret", " \n", "secrets reason=empty_gmo_api_secret"),
        ("secrets/gmo_api_key", "<GMO_API_KEY>", "secrets reason=placeholder_gmo_api_key"),
        ("secrets/discord_webhook_url", "", "secrets reason=empty_discord_webhook_url"),
    ],
)
def test_a_check_or_a_secret(spoiler: Spoiler, name: str, text: str | None, said: str) -> None:
    spoiler.file(name, text)
    assert verdict(spoiler.stack) == (1, f"NO-GO stage={said}")


def test_a_secret_that_everybody_may_read(spoiler: Spoiler) -> None:
    spoiler.mode("secrets/gmo_api_secret", 0o644)
    assert verdict(spoiler.stack) == (1, "NO-GO stage=secrets reason=mode_644_gmo_api_secret")


def test_a_real_secret_in_the_environment_is_no_hindrance(production: Stack) -> None:
    """It is the production stack's; the checks inside are run without it."""
    assert verdict(production, GMO_API_KEY="Zx9" * 10) == (0, "GO")


@pytest.mark.parametrize(
    ("artifact", "changes", "said"),
    [
        (PROGRESS, {"run_id": "another"}, "run_complete reason=wrong_run_id"),
        (COMPLETE, {"run_id": "another"}, "run_complete reason=wrong_run_id"),
        (PROGRESS, {"updated_at": "2026-01-05T00:00:00Z"}, "run_progress reason=stale"),
        (PROGRESS, {"monitor_status": "degraded"}, "run_progress reason=monitor_status"),
        (PROGRESS, {"status": "halted"}, "run_progress reason=halted"),
    ],
)
def test_an_artifact(spoiler: Spoiler, artifact: str, changes: dict[str, Any], said: str) -> None:
    spoiler.artifact(artifact, **changes)
    assert verdict(spoiler.stack, GMOBOT_VAR="./elsewhere") == (1, f"NO-GO stage={said}")


def test_an_unhealthy_daemon(spoiler: Spoiler) -> None:
    spoiler.stand_still()
    assert verdict(spoiler.stack) == (1, "NO-GO stage=health reason=not_reachable")


def test_nobody_listens(production: Stack) -> None:
    assert verdict(production, HEALTH_PORT="1") == (1, "NO-GO stage=health reason=not_reachable")


def test_without_a_place_for_the_log_it_decides_nothing(production: Stack, tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("in the way", encoding="utf-8")
    done = run_script("go_nogo.sh", folder=production.folder, GMOBOT_VAR=str(tmp_path))
    assert (done.returncode, "GO" in done.stdout) == (2, False)

"""``release_check.sh`` names the stage that fails: real hooks and real pytest, on a copy with a suite of one test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["pre-commit", "pytest (quick)", "pytest (coverage)", "smoke_live_daemon"]
PASSES = "def test_planted() -> None:\n    assert True\n"
FAILS = "def test_planted() -> None:\n    assert 1 == 2\n"
SLOW_FAILS = f"import pytest\n\n\n@pytest.mark.slow\n{FAILS}\n\ndef test_quick() -> None:\n    pass\n"
SKIPPED_HOOKS = "mypy,import-rules"
"""They look at the whole house for a minute, and ruff's hooks show what there is to show."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not (ROOT / ".venv/bin/pre-commit").exists(), reason="no .venv; run: make setup"),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A clone whose suite is one test and whose coverage and smoke hold."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "scripts").mkdir()
    script = (ROOT / "scripts/release_check.sh").read_text(encoding="utf-8")
    assert script.count("coverage_floor=92") == 1
    (tmp_path / "scripts/release_check.sh").write_text(script.replace("coverage_floor=92", "coverage_floor=0"), encoding="utf-8")
    (tmp_path / "scripts/smoke_live_daemon.sh").write_text("#!/usr/bin/env bash\necho smoked\n", encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_planted.py").write_text(PASSES, encoding="utf-8")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / ".gitignore").write_text(".venv\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def release_check(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    subprocess.run(["git", "add", "-A"], cwd=house, check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_", "GIT_"))}
    environment = kept | {"SKIP": SKIPPED_HOOKS, "PRE_COMMIT_HOME": str(house / ".git/pre-commit")}
    command = ["bash", "scripts/release_check.sh", *arguments]
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)


def begun(said: str) -> list[str]:
    return [line.partition("=")[2] for line in said.splitlines() if line.startswith("stage=")]


def test_all_stages_run_in_order(house: Path) -> None:
    done = release_check(house)
    assert done.returncode == 0, done.stdout + done.stderr
    assert begun(done.stdout) == STAGES
    assert "smoked" in done.stdout
    assert "failed_stage" not in done.stdout


def break_format(house: Path) -> None:
    (house / "tests/test_planted.py").write_text(PASSES.replace("    assert", "        assert") + "\n\n\n", encoding="utf-8")


def break_a_test(house: Path) -> None:
    (house / "tests/test_planted.py").write_text(FAILS, encoding="utf-8")


def break_a_slow_test(house: Path) -> None:
    (house / "tests/test_planted.py").write_text(SLOW_FAILS, encoding="utf-8")


def lower_coverage(house: Path) -> None:
    script = house / "scripts/release_check.sh"
    script.write_text(script.read_text(encoding="utf-8").replace("coverage_floor=0", "coverage_floor=92"), encoding="utf-8")


def break_smoke(house: Path) -> None:
    (house / "scripts/smoke_live_daemon.sh").write_text("#!/usr/bin/env bash\nexit 1\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("plant", "stage"),
    [
        (break_format, STAGES[0]),
        (break_a_test, STAGES[1]),
        (break_a_slow_test, STAGES[2]),
        (lower_coverage, STAGES[2]),
        (break_smoke, STAGES[3]),
    ],
    ids=["a badly formatted file", "a failing test", "a failing slow test", "little coverage", "a failing smoke check"],
)
def test_the_stage_that_fails_is_named_and_ends_it(house: Path, plant: Callable[[Path], None], stage: str) -> None:
    plant(house)
    done = release_check(house)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"failed_stage={stage}"
    assert begun(done.stdout) == STAGES[: STAGES.index(stage) + 1]


def test_without_set_up_it_says_what_to_do(house: Path) -> None:
    (house / ".venv").unlink()
    done = release_check(house)
    assert (done.returncode, "make setup" in done.stderr) == (2, True)


def test_it_takes_no_arguments(house: Path) -> None:
    assert release_check(house, "--fast").returncode == 2

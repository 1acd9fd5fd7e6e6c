"""``rotate_secrets_check.sh``: passes, prints no secret, and fails by name when the bot goes on with the old key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.e2e.spoiling import replace
from tests.e2e.stack import leftovers, needs_docker, run_script

pytestmark = needs_docker
ROTATE = "rotate_secrets_check.sh"
PHASES = ("old", "new", "newer")
PLACEHOLDER = re.compile(r"emulator-\w+-(key|secret)-\w+")


def test_every_phase_holds_and_the_old_key_is_gone() -> None:
    done = run_script(ROTATE)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for phase in PHASES:
        assert f"phase={phase} healthz=ok metrics=ok artifacts=ok" in said
        assert f"phase={phase} smoke_live_daemon=ok" in said
    assert "phase=new switch=restart old_key_deleted=ok" in said
    assert "phase=newer switch=sighup old_key_deleted=ok" in said
    counts = re.findall(r"signed_with_the_new_key=(\d+) signed_with_another=(\d+)", said)
    assert counts
    assert all(int(new) > 0 and int(other) == 0 for new, other in counts)
    assert said.rstrip().endswith("rotation=ok")
    assert not PLACEHOLDER.search(said)
    assert leftovers("rotate") == leftovers("smoke") == []


@pytest.mark.parametrize(
    ("before", "after", "name", "phase"),
    [
        # The files are there, and nobody told the bot.
        ("compose restart bot >", "true >", "rotation.old_key_used_after_switch", "new"),
        ("compose kill -s HUP bot >", "true >", "rotation.not_taken", "newer"),
    ],
    ids=["no restart", "no SIGHUP"],
)
def test_what_is_wrong_is_named(spoilt: Path, before: str, after: str, name: str, phase: str) -> None:
    script = spoilt / "scripts" / ROTATE
    replace(script, before, after)
    # The drill itself is looked at here: the smoke check has tests of its own, and waits are short.
    replace(script, 'bash "$check_root/scripts/smoke_live_daemon.sh"', "true")
    replace(script, "check_stack_verify 60 ||", "check_stack_verify 20 ||")
    replace(script, "deadline=$((SECONDS + 60))", "deadline=$((SECONDS + 15))")
    done = run_script(ROTATE, folder=spoilt, CHECK_HEALTHY_SECONDS="40")
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"failed_check={name}" in said
    assert f"failed_phase={phase}\n" in said
    assert not PLACEHOLDER.search(said)
    assert leftovers("rotate") == []

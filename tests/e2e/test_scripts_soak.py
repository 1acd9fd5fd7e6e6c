"""``soak.sh`` for two minutes: less may pass without a trade.

What it would call wrong is looked at in tests/scripts/test_soak_check.py.
"""

from __future__ import annotations

from tests.e2e.stack import leftovers, needs_docker, run_script

pytestmark = needs_docker


def test_a_short_soak() -> None:
    done = run_script("soak.sh", SOAK_HOURS="4", SOAK_SPEED="120")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("soak=ok")
    assert leftovers("soak") == []

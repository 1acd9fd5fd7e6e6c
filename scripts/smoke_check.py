"""What a healthy bot shows, asked inside its container: ``docker-compose exec -T bot python - SECONDS < smoke_check.py``.

It waits until everything holds, three looks in a row, so that a bot which is about to fall over does not
pass; after SECONDS it says what does not hold and exits 1. The artifacts' own types are their schema.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gmobot.ops.artifacts import COMPLETE, PROGRESS, SCHEMA_VERSION, RunComplete, RunProgress

ARTIFACTS = Path("var/artifacts")
FRESH_SECONDS = 10.0
LOOKS = 3


def main() -> int:
    """Look until it holds or time is up; return the exit code."""
    deadline = time.monotonic() + float(sys.argv[1])
    good, turns, wrong = 0, -1.0, ["nothing was seen yet"]
    while good < LOOKS and time.monotonic() < deadline:
        time.sleep(1.5)  # Longer than a turn of the run loop, so that the counter must have moved.
        wrong, turns = look(turns)
        good = 0 if wrong else good + 1
    for line in wrong:
        print(f"does not hold: {line}")
    if not wrong and good < LOOKS:
        print(f"does not hold: {LOOKS} good looks in a row")
    return 0 if good == LOOKS else 1


def look(turns_before: float) -> tuple[list[str], float]:
    """Return what does not hold now, and the run loop's counter."""
    turns = turns_before
    try:
        fetch("/healthz")
        metrics = samples(fetch("/metrics"))
        turns = metrics.get("run_loop_total", -1.0)
        progress = msgspec.json.decode((ARTIFACTS / PROGRESS).read_bytes(), type=RunProgress)
        complete = msgspec.json.decode((ARTIFACTS / COMPLETE).read_bytes(), type=RunComplete)
    except (OSError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"], turns
    return [*wrong_metrics(metrics, turns_before), *wrong_artifacts(progress, complete)], turns


def wrong_metrics(metrics: dict[str, float], turns_before: float) -> Iterator[str]:
    """Yield what the metrics lack."""
    turns = metrics.get("run_loop_total")
    if turns is None or turns <= max(turns_before, 0.0):
        yield f"run_loop_total goes up: it is {turns}, was {turns_before}"
    if "run_loop_failures_total" not in metrics:
        yield "run_loop_failures_total is there"
    monitor = {status: metrics.get(f'monitor_status{{status="{status}"}}') for status in ("active", "reconnecting", "degraded")}
    if monitor != {"active": 1.0, "reconnecting": 0.0, "degraded": 0.0}:
        yield f"monitor_status is active: {monitor}"


def wrong_artifacts(progress: RunProgress, complete: RunComplete) -> Iterator[str]:
    """Yield what the two artifacts lack."""
    if {progress.schema_version, complete.schema_version} != {SCHEMA_VERSION}:
        yield f"schema_version is {SCHEMA_VERSION}: {progress.schema_version}, {complete.schema_version}"
    if progress.run_id != complete.run_id:
        yield f"both artifacts are of one run: {progress.run_id}, {complete.run_id}"
    age = (datetime.now(UTC) - datetime.fromisoformat(progress.updated_at)).total_seconds()
    if not -1.0 <= age <= FRESH_SECONDS:
        yield f"updated_at is fresh: {age:.1f} s old"
    if (progress.status, progress.monitor_status) != ("running", "active"):
        yield f"run_progress says running and active: {progress.status}, {progress.monitor_status}"
    if not any(instrument.last_decision for instrument in progress.instruments):
        yield "there is a decision"


def samples(text: str) -> dict[str, float]:
    """Return the exposition's samples by name with labels."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def fetch(path: str) -> str:
    """Return what the bot answers.

    Raises:
        OSError: It does not answer, or not with 200.
    """
    port = os.environ.get("HEALTH_PORT") or "9754"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as reply:
        text: str = reply.read().decode()
    return text


if __name__ == "__main__":
    sys.exit(main())

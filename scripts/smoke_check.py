"""What a healthy bot shows: its health, its metrics, its two artifacts. It only reads.

Asked inside the container (``docker-compose exec -T bot python - SECONDS < scripts/smoke_check.py``) or on its host. It
waits until everything holds, three looks in a row, so that a bot which is about to fall over does not pass; after SECONDS
it says what does not hold, each line ``failed_check=STAGE.REASON``, and exits 1. The artifacts' own types are their schema.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from gmobot.ops.artifacts import COMPLETE, PROGRESS, SCHEMA_VERSION, RunComplete, RunProgress

Artifact = TypeVar("Artifact", RunProgress, RunComplete)
PROGRESS_FRESH_SECONDS = 10.0
COMPLETE_FRESH_SECONDS = 90.0
"""It is written every 60 s while the bot runs."""
LOOKS = 3
LOOK_SECONDS = 1.5
"""Longer than a turn of the run loop, so that its counter must have moved between two looks."""


class DoesNotHold(Exception):
    """Nothing more can be said: what failed, as ``STAGE.REASON``, and how."""


def main() -> int:
    """Look until it holds or time is up; return the exit code."""
    parser = argparse.ArgumentParser(description="What a healthy bot shows.")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--artifacts", type=Path, default=Path("var/artifacts"))
    parser.add_argument("--reconnecting-seconds", type=float, default=0.0, help="how long monitor_status may have been reconnecting")
    parser.add_argument("--any-decision", action="store_true", help="none is needed yet, as with long bars")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    good, turns, wrong = 0, -1.0, ["health.not_looked_at nothing was seen yet"]
    while good < LOOKS and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        wrong, turns = look(options, turns)
        good = 0 if wrong else good + 1
    if not wrong and good < LOOKS:
        wrong = [f"health.unstable {LOOKS} good looks in a row were not seen"]
    for line in wrong:
        print(f"failed_check={line}")
    return 0 if good == LOOKS else 1


def look(options: argparse.Namespace, turns_before: float) -> tuple[list[str], float]:
    """Return what does not hold now, and the run loop's counter."""
    turns = turns_before
    try:
        fetch("/healthz", "health")
        metrics = samples(fetch("/metrics", "metrics"))
        turns = metrics.get("run_loop_total", -1.0)
        running = decoded("run_progress", fetch("/api/v1/progress", "health").encode(), RunProgress)
        progress = read(options.artifacts / PROGRESS, RunProgress)
        complete = read(options.artifacts / COMPLETE, RunComplete)
        age = time.time() - (options.artifacts / COMPLETE).stat().st_mtime
    except DoesNotHold as error:
        return [str(error)], turns
    wrong = [*wrong_metrics(metrics, turns_before), *wrong_progress(progress, options), *wrong_complete(progress, complete, age)]
    if running.run_id != progress.run_id:
        wrong.append(f"run_progress.wrong_run_id {progress.run_id} is not the running daemon's {running.run_id}")
    return wrong, turns


def wrong_metrics(metrics: dict[str, float], turns_before: float) -> Iterator[str]:
    """Yield what the metrics lack."""
    turns = metrics.get("run_loop_total")
    if turns is None or turns <= max(turns_before, 0.0):
        yield f"metrics.dead run_loop_total does not go up: it is {turns}, was {turns_before}"
    if "run_loop_failures_total" not in metrics:
        yield "metrics.incomplete run_loop_failures_total is not there"
    monitor = [metrics.get(f'monitor_status{{status="{status}"}}') for status in ("active", "reconnecting", "degraded")]
    if sorted(monitor, key=str) != [0.0, 0.0, 1.0]:
        yield f"metrics.incomplete monitor_status is not exactly one of three: {monitor}"


def wrong_progress(progress: RunProgress, options: argparse.Namespace) -> Iterator[str]:
    """Yield what ``run_progress.json`` lacks."""
    if progress.schema_version != SCHEMA_VERSION:
        yield f"run_progress.schema {progress.schema_version}, not {SCHEMA_VERSION}"
    age = seconds_since(progress.updated_at)
    if not -1.0 <= age <= PROGRESS_FRESH_SECONDS:
        yield f"run_progress.stale updated {age:.0f} s ago"
    if progress.status != "running":
        yield f"run_progress.{progress.status} the bot is not running: {progress.last_error}"
    since = seconds_since(progress.monitor_status_since)
    tolerated = progress.monitor_status == "reconnecting" and since <= options.reconnecting_seconds
    if progress.monitor_status != "active" and not tolerated:
        yield f"run_progress.monitor_status {progress.monitor_status} for {since:.0f} s"
    if not options.any_decision and not any(instrument.last_decision for instrument in progress.instruments):
        yield "run_progress.no_decision there is none yet"


def wrong_complete(progress: RunProgress, complete: RunComplete, age: float) -> Iterator[str]:
    """Yield what ``run_complete.json``, last written ``age`` seconds ago, lacks."""
    if complete.schema_version != SCHEMA_VERSION:
        yield f"run_complete.schema {complete.schema_version}, not {SCHEMA_VERSION}"
    if complete.run_id != progress.run_id:
        yield f"run_complete.wrong_run_id {complete.run_id}, the latest run is {progress.run_id}"
    elif age > COMPLETE_FRESH_SECONDS:
        yield f"run_complete.stale written {age:.0f} s ago"


def read(path: Path, kind: type[Artifact]) -> Artifact:
    """Return an artifact.

    Raises:
        DoesNotHold: It is not there, or not what it should be.
    """
    try:
        return decoded(path.stem, path.read_bytes(), kind)
    except OSError as error:
        raise DoesNotHold(f"{path.stem}.missing {error}") from None


def decoded(stage: str, text: bytes, kind: type[Artifact]) -> Artifact:
    """Return what a text says.

    Raises:
        DoesNotHold: It does not have the form.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except ValueError as error:
        raise DoesNotHold(f"{stage}.invalid {error}") from None


def seconds_since(moment: str) -> float:
    """Return how long ago an artifact's time is."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def samples(text: str) -> dict[str, float]:
    """Return the exposition's samples by name with labels.

    Raises:
        DoesNotHold: It is no exposition.
    """
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    try:
        return {name: float(value) for name, value in lines}
    except ValueError as error:
        raise DoesNotHold(f"metrics.invalid {error}") from None


def fetch(path: str, stage: str) -> str:
    """Return what the bot answers.

    Raises:
        DoesNotHold: It does not answer, or not with 200.
    """
    port = os.environ.get("HEALTH_PORT") or "9754"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as reply:
            text: str = reply.read().decode()
    except urllib.error.HTTPError as error:
        body = " ".join(error.read(500).decode(errors="replace").split())
        raise DoesNotHold(f"{stage}.failing {path} answers {error.code}: {body}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DoesNotHold(f"{stage}.not_reachable {path}: {error}") from None
    return text


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.simulation --seeds N``: many seeds, on all cores, with progress.

A seed that fails is printed with its number, replays exactly, and is made small: the plan that is left is written
to a file that ``--plan FILE`` plays again.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tests.simulation.plan import QUIET_SECONDS, SECONDS, Plan, drawn, read, written
from tests.simulation.setting import PARAMS, strategy_of
from tests.simulation.shrink import shrunk
from tests.simulation.trouble import BOUNDS, Trouble
from tests.simulation.world import LAST_LOOK_SECONDS, Result, run_plan

from gmobot.strategies.loader import load
from gmobot.strategies.program import Program

FOLDER = Path(tempfile.gettempdir())
"""Where the shortest plans of failing seeds are written."""
TWICE_EVERY = 50
"""Every so many seeds one is played twice: the same seed must write the same audit log, byte for byte."""


@lru_cache
def program(strategy: str) -> Program:
    """Load a strategy once per process."""
    return load(strategy, PARAMS[strategy])


def play(plan: Plan) -> Result:
    """Play one plan."""
    return run_plan(plan, program(strategy_of(plan)))


def silence() -> None:
    """Let the daemons of this process keep their logs to themselves."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def prepare() -> None:
    """Make a process of the pool quiet and fast: what was imported is never garbage, and a world is small beside the memory."""
    silence()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def fails(plan: Plan) -> bool:
    """Return whether a plan fails, whatever the way."""
    try:
        play(plan)
    except Exception:
        return True
    return False


def one(seed: int) -> tuple[int, Result | None, str]:
    """Run one seed; never raises."""
    try:
        result = play(drawn(seed))
        if seed % TWICE_EVERY == 0 and play(drawn(seed)).audit != result.audit:
            return seed, None, "the same seed wrote another audit log\n"
        return seed, replace(result, audit=b""), ""
    except BaseException:  # whatever it is, the seed must be named
        return seed, None, traceback.format_exc(limit=-6)


def explain(seed: int, trouble: str) -> str:
    """Return what is known of a seed that failed, its shortest failing plan in a file."""
    small = shrunk(drawn(seed), fails)
    path = FOLDER / f"gmobot-seed-{seed}.json"
    path.write_text(written(small), encoding="utf-8")
    kinds = ", ".join(f"{h.kind} {h.what} {h.where} at {h.at:.1f}" for h in small.happenings) or "nothing at all"
    return (
        f"seed {seed} FAILED\n{trouble}replay: python -m tests.simulation --first {seed} --seeds 1\n"
        f"smallest: {kinds}\nreplay: python -m tests.simulation --plan {path}\n"
    )


def main() -> int:
    """Run the seeds; exit code 1 when one fails."""
    parser = argparse.ArgumentParser(prog="tests.simulation")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plan", type=Path, help="play the plan in this file")
    parser.add_argument("--no-shrink", action="store_true", help="name failing seeds only")
    options = parser.parse_args()
    silence()
    if options.plan is not None:
        play(read(options.plan))
        sys.stdout.write("no violation\n")
        return 0
    return _run(range(options.first, options.first + options.seeds), options.jobs, shrink=not options.no_shrink)


@dataclass
class Tally:
    """What all seeds showed together."""

    failed: dict[int, str] = field(default_factory=dict)
    orders: int = 0
    executions: int = 0
    kills: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    open_seconds: dict[str, float] = field(default_factory=dict)
    exit_seconds: dict[str, float] = field(default_factory=dict)

    def take(self, seed: int, result: Result | None, trouble: str) -> None:
        """Add a seed."""
        if result is None:
            self.failed[seed] = trouble
            return
        self.orders, self.executions, self.kills = (
            self.orders + result.orders,
            self.executions + result.executions,
            self.kills + result.kills,
        )
        self.struck.update({str(fault): times for fault, times in result.struck.items()})
        self.happened.update(happening.kind for happening in drawn(seed).happenings if happening.kind != "fault")
        for longest, seen in ((self.open_seconds, result.open_seconds), (self.exit_seconds, result.exit_seconds)):
            for cause, seconds in seen.items():
                longest[cause] = max(seconds, longest.get(cause, 0.0))

    def lines(self) -> list[str]:
        """Return it for people."""
        struck = ", ".join(f"{fault} {times}" for fault, times in sorted(self.struck.items()))
        happened = ", ".join(f"{kind} {times}" for kind, times in sorted(self.happened.items()))
        return [
            f"{self.orders} orders, {self.executions} executions, {self.kills} kills",
            f"{sum(self.struck.values())} faults of {len(self.struck)} kinds: {struck}",
            f"besides: {happened}",
            f"longest without protection, by cause: {_longest(self.open_seconds)}",
            f"longest until an exit was done, by cause: {_longest(self.exit_seconds)}",
        ]


def _longest(by_cause: Mapping[str, float]) -> str:
    return ", ".join(f"{cause} {seconds:.1f} of {BOUNDS[Trouble(cause)]:.0f} s" for cause, seconds in sorted(by_cause.items()))


def _run(seeds: range, jobs: int, *, shrink: bool) -> int:
    for strategy in PARAMS:
        program(strategy)
    started, tally = time.monotonic(), Tally()
    console = Console(soft_wrap=True)
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"))
    with (
        ProcessPoolExecutor(jobs, initializer=prepare) as pool,
        Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("seeds", total=len(seeds), failed=0)
        for done, future in enumerate(as_completed([pool.submit(one, seed) for seed in seeds]), start=1):
            seed, result, trouble = future.result()
            tally.take(seed, result, trouble)
            bar.update(task, advance=1, failed=len(tally.failed))
            if not console.is_terminal and (done % max(1, len(seeds) // 20) == 0 or result is None):
                spent = time.monotonic() - started
                console.print(
                    f"{done}/{len(seeds)} seeds, {len(tally.failed)} failed {sorted(tally.failed)}, {spent:.0f} s", highlight=False
                )
    played = len(seeds) + len([seed for seed in seeds if seed % TWICE_EVERY == 0])
    ratio = played * (SECONDS + QUIET_SECONDS + LAST_LOOK_SECONDS) / (time.monotonic() - started)
    lines = [*tally.lines(), f"{ratio:.0f} x real time, {ratio / jobs:.0f} per process"]
    for seed, trouble in sorted(tally.failed.items())[:5]:
        lines.append(explain(seed, trouble) if shrink else f"seed {seed} FAILED\n{trouble}")
    lines.append(f"failed seeds: {sorted(tally.failed)}" if tally.failed else "no violation")
    for line in lines:
        console.print(line, markup=False, highlight=False)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.simulation --seeds N``: many seeds, on all cores, with progress.

A seed that fails is printed with its number, replays exactly, and is made small: the plan that is left is written
to a file that ``--plan FILE`` plays again.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tests.simulation.plan import QUIET_SECONDS, SECONDS, Plan, drawn, read, written
from tests.simulation.shrink import shrunk
from tests.simulation.world import LAST_LOOK_SECONDS, PARAMS, Result, run_plan, strategy_of

from gmobot.strategies.loader import load
from gmobot.strategies.program import Program

TWICE_EVERY = 50
"""Every so many seeds one is played twice: the same seed must write the same audit log, byte for byte."""


@lru_cache
def program(strategy: str) -> Program:
    """Load a strategy once per process."""
    return load(strategy, PARAMS[strategy])


def play(plan: Plan) -> Result:
    """Play one plan, in silence."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return run_plan(plan, program(strategy_of(plan)))


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
        return seed, result, ""
    except BaseException:  # whatever it is, the seed must be named
        return seed, None, traceback.format_exc(limit=-6)


def explain(seed: int, trouble: str) -> str:
    """Return what is known of a seed that failed, its shortest failing plan in a file."""
    small = shrunk(drawn(seed), fails)
    path = Path(f"/tmp/gmobot-seed-{seed}.json")
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
    if options.plan is not None:
        play(read(options.plan))
        sys.stdout.write("no violation\n")
        return 0
    return _run(range(options.first, options.first + options.seeds), options.jobs, shrink=not options.no_shrink)


def _run(seeds: range, jobs: int, *, shrink: bool) -> int:
    for strategy in PARAMS:
        program(strategy)
    started, failed, struck, orders, executions, kills = time.monotonic(), dict[int, str](), Counter[str](), 0, 0, 0
    console = Console()
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"))
    with (
        ProcessPoolExecutor(jobs) as pool,
        Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("seeds", total=len(seeds), failed=0)
        futures = [pool.submit(one, seed) for seed in seeds]
        for done, future in enumerate(as_completed(futures), start=1):
            seed, result, trouble = future.result()
            if result is None:
                failed[seed] = trouble
                bar.update(task, failed=len(failed))
            else:
                struck.update(result.struck)
                orders, executions, kills = orders + result.orders, executions + result.executions, kills + result.kills
            bar.advance(task)
            if not console.is_terminal and (done % max(1, len(seeds) // 20) == 0 or result is None):
                console.print(f"{done}/{len(seeds)} seeds, {len(failed)} failed {sorted(failed)}, {time.monotonic() - started:.0f} s")
    played = (len(seeds) + len([seed for seed in seeds if seed % TWICE_EVERY == 0])) * (SECONDS + QUIET_SECONDS + LAST_LOOK_SECONDS)
    ratio = played / (time.monotonic() - started)
    console.print(
        f"{orders} orders, {executions} executions, {kills} kills, {sum(struck.values())} faults of {len(struck)} kinds: {dict(struck)}"
    )
    console.print(f"{ratio:.0f} x real time, {ratio / jobs:.0f} per process")
    for seed, trouble in sorted(failed.items())[:5]:
        console.print(explain(seed, trouble) if shrink else f"seed {seed} FAILED\n{trouble}", markup=False)
    console.print(f"failed seeds: {sorted(failed)}" if failed else "no violation")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

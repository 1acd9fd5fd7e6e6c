"""``python -m tests.simulation --seeds N``: many seeds, on all cores, with progress; a failing seed is printed."""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache

import structlog
from tests.simulation.world import PARAMS, QUIET_SECONDS, SECONDS, STRATEGY, Result, run_seed

from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@lru_cache(maxsize=1)
def program() -> Program:
    """Load the strategy once per process."""
    return load(STRATEGY, PARAMS)


def one(seed: int) -> tuple[int, Result | None, str]:
    """Run one seed; never raises."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return seed, run_seed(seed, program()), ""
    except BaseException:  # whatever it is, the seed must be named
        return seed, None, traceback.format_exc(limit=-6)


def main() -> int:
    """Run the seeds; exit code 1 when one fails."""
    parser = argparse.ArgumentParser(prog="tests.simulation")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    program()
    started, failed, struck, orders, executions, kills = time.monotonic(), [], Counter[str](), 0, 0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(one, seed) for seed in range(options.first, options.first + options.seeds)]
        for done, future in enumerate(as_completed(futures), start=1):
            seed, result, trouble = future.result()
            if result is None:
                failed.append(seed)
                sys.stdout.write(f"\nseed {seed} FAILED; replay: python -m tests.simulation --first {seed} --seeds 1\n{trouble}\n")
            else:
                struck.update(result.struck)
                orders, executions, kills = orders + result.orders, executions + result.executions, kills + result.kills
            if done % 10 == 0 or done == options.seeds:
                sys.stdout.write(f"\r{done}/{options.seeds} seeds, {len(failed)} failed, {time.monotonic() - started:.0f} s")
                sys.stdout.flush()
    spent = time.monotonic() - started
    ratio = options.seeds * (SECONDS + QUIET_SECONDS) / spent
    sys.stdout.write(f"\n{orders} orders, {executions} executions, {kills} kills, faults {dict(struck)}\n{ratio:.0f} x real time\n")
    sys.stdout.write(f"failed seeds: {sorted(failed)}\n" if failed else "no violation\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

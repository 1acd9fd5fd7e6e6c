"""``python -m tests.mutation``: make the code wrong in thousands of small ways and see which of them no test notices.

Prints the survivors and the score of every file. Mutants that no test could ever tell from the original are listed with
their reason in ``equivalent.txt``; an entry whose mutant is gone, or which a test kills after all, is an error.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import pickle
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import pytest
from tests.mutation.mutants import Mutant, Source
from tests.mutation.subjects import ROOT, SUBJECTS, TESTS, short
from tests.mutation.tracing import Trace, traced
from tests.mutation.trials import PYTEST, Order, Trials, Verdict, WarmSession, cold_child, fast_folder, preload

T = TypeVar("T")
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
GOAL = 0.85


def main() -> int:
    """Return 0 if the goal is reached."""
    options = _options()
    os.chdir(ROOT)
    began = time.monotonic()
    paths = [path for path in SUBJECTS if not options.file or any(name in short(path) for name in options.file)]
    if not paths:
        print(f"--file {options.file}: no such subject; there are {', '.join(short(path) for path in SUBJECTS)}", file=sys.stderr)
        return 2
    sources = {path: Source(path) for path in paths}
    equivalent, complaints = _equivalent(sources, whole=len(paths) == len(SUBJECTS))
    mutants = [mutant for source in sources.values() for mutant in source.mutants if _key(mutant) not in equivalent or options.equivalent]
    if options.sample:
        mutants = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    preload()
    with tempfile.TemporaryDirectory(prefix="gmobot-mutation-", dir=fast_folder()) as folder:
        trace = _in_a_child(lambda: traced([*PYTEST, f"--basetemp={folder}/trace", *TESTS]), Path(folder))
        print(f"{len(trace.seconds)} tests traced in {time.monotonic() - began:.0f} s; {len(mutants)} mutants")
        for name in trace.failed:
            print(f"  not counted, because it does not pass by itself: {name}")
        verdicts = _tried(sources, mutants, trace, options, Path(folder))
    for verdict in sorted(verdicts, key=lambda v: (SUBJECTS.index(v.mutant.path), v.mutant.line)):
        expected = _key(verdict.mutant) in equivalent
        if not verdict.by and not expected:
            print(_told(verdict))
        elif options.killers and verdict.by:
            print(f"{_told(verdict)}  by {verdict.by}")
        if verdict.by and expected:
            complaints.append(f"{EQUIVALENT.name}: {_key(verdict.mutant)} is killed by {verdict.by}; it is not equivalent, take it out")
    score = _report([v for v in verdicts if _key(v.mutant) not in equivalent])
    print(f"{time.monotonic() - began:.0f} s; {len(equivalent)} equivalent mutants are not counted")
    for complaint in complaints:
        print(complaint)
    return 0 if score >= GOAL and not complaints else 1


def _tried(
    sources: dict[Path, Source], mutants: Sequence[Mutant], trace: Trace, options: argparse.Namespace, folder: Path
) -> list[Verdict]:
    """Try every mutant: those of functions in one warm session, the rest each with imports of its own."""
    order = Order(trace)
    verdicts: list[Verdict] = []

    def tell(verdict: Verdict) -> None:
        verdicts.append(verdict)
        if len(verdicts) % 100 == 0:
            print(f"{len(verdicts)} of {len(mutants)}, {sum(1 for v in verdicts if not v.by)} survived", file=sys.stderr, flush=True)
        if options.verbose and not verdict.by:
            print(_told(verdict), file=sys.stderr, flush=True)

    def warm() -> list[Verdict]:
        inner: list[Verdict] = []

        def both(verdict: Verdict) -> None:
            inner.append(verdict)
            tell(verdict)

        chosen = [mutant for mutant in mutants if mutant.within]
        session = WarmSession(sources, chosen, order, options.jobs, both)
        pytest.main([*PYTEST, f"--basetemp={folder}/warm", *TESTS], plugins=[session])
        return inner

    done = _in_a_child(lambda: [(_key(v.mutant), v.by, v.seconds) for v in warm()], folder)
    by_key = {_key(mutant): mutant for mutant in mutants}
    verdicts[:] = [Verdict(by_key[key], by, seconds) for key, by, seconds in done]
    cold = [mutant for mutant in mutants if not mutant.within]
    Trials(order, options.jobs, cold_child(sources, order)).run(cold, tell)
    return verdicts


def _in_a_child(work: Callable[[], T], folder: Path) -> T:
    """Do something in a forked process, so that nothing it imports stays, and return what it returned."""
    result = folder / "result"
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            result.write_bytes(pickle.dumps(work()))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("tests.mutation: a process of its own failed; its complaint is above")
    return cast("T", pickle.loads(result.read_bytes()))


def _told(verdict: Verdict) -> str:
    return f"{'killed  ' if verdict.by else 'survived'}  {short(verdict.mutant.path)}:{verdict.mutant.line}  {verdict.mutant.name}"


def _report(verdicts: Sequence[Verdict]) -> float:
    """Print the score of each file and return that of all."""
    all_of, killed = Counter[Path](), Counter[Path]()
    for verdict in verdicts:
        all_of[verdict.mutant.path] += 1
        killed[verdict.mutant.path] += bool(verdict.by)
    for path in sorted(all_of, key=SUBJECTS.index):
        print(f"{100 * killed[path] / all_of[path]:6.1f} %  {killed[path]:4} of {all_of[path]:4}  {short(path)}")
    total = killed.total() / max(all_of.total(), 1)
    print(f"{100 * total:6.1f} %  {killed.total():4} of {all_of.total():4}  in all; the goal is {100 * GOAL:.0f} %")
    return total


def _key(mutant: Mutant) -> str:
    return f"{short(mutant.path)} {mutant.name}"


def _equivalent(sources: dict[Path, Source], *, whole: bool) -> tuple[dict[str, str], list[str]]:
    """Return the mutants that are known to be equivalent, with reasons, and what is wrong with the list."""
    there = {_key(mutant) for source in sources.values() for mutant in source.mutants}
    found: dict[str, str] = {}
    complaints: list[str] = []
    for line in EQUIVALENT.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        key, _, reason = line.partition(" | ")
        if not reason.strip():
            complaints.append(f"{EQUIVALENT.name}: {key} has no reason")
        elif key in there:
            found[key] = reason
        elif whole:
            complaints.append(f"{EQUIVALENT.name}: {key} is not there any more; take it out")
    return found, complaints


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", action="append", help="only this subject, as live/plan.py; may be given again")
    parser.add_argument("--sample", type=int, default=0, help="only so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--verbose", action="store_true", help="tell of survivors at once")
    parser.add_argument("--killers", action="store_true", help="print by which test each mutant was killed")
    parser.add_argument("--equivalent", action="store_true", help="try the listed equivalent mutants too: each must survive")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

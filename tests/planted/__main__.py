"""``python -m tests.planted``: plant every fault in a copy of the code and see the suite fail for it.

A fault that no test notices is a hole in the suite: exit code 1. So is a test that fails without any fault,
and a fault whose place in the code is gone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.planted.faults import FAULTS, Fault

from gmobot.strategies.cache import _roots

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("src", "tests", "docs", "configs", "pyproject.toml")
TESTS_FAILED = 1
"""pytest's exit code for failed tests; any other means that they did not run."""


class Copy:
    """The code in a folder of its own, to be spoilt. Byte code comes along: it tells by time and size which source it is of.

    All copies share one folder of machine code, which begins with the user's. Its parts are named by the sources they came
    from: a spoilt source finds nothing there, and what is as it was is not compiled once more.
    """

    def __init__(self, machine_code: Path) -> None:
        self._machine_code = machine_code
        self.root = Path(tempfile.mkdtemp(prefix="gmobot-planted-"))
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, self.root / part, ignore=shutil.ignore_patterns("*.egg-info"))
            else:
                shutil.copy(source, self.root / part)

    def plant(self, fault: Fault) -> None:
        """Make the wrong edit."""
        path = self.root / fault.file
        text = path.read_text(encoding="utf-8")
        found = text.count(fault.before)
        if found != 1:
            raise SystemExit(f"{fault.name}: its text occurs {found} times in {fault.file}, not once; write the fault anew")
        path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")

    def test(self, paths: tuple[str, ...], *options: str) -> subprocess.CompletedProcess[str]:
        """Run tests on the copy."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not e2e", *options, *paths]
        # Not the installed package, and no byte code of an edit made within the same second.
        own = {"PYTHONPATH": str(self.root / "src"), "PYTHONDONTWRITEBYTECODE": "1", "GMOBOT_CACHE_DIR": str(self._machine_code)}
        return subprocess.run(command, cwd=self.root, env=os.environ | own, capture_output=True, text=True, check=False)

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.root, ignore_errors=True)


def sound(faults: Iterable[Fault], machine_code: Path, jobs: int) -> str | None:
    """Return why the tests fail without any fault, or ``None``."""
    copy = Copy(machine_code)
    try:
        paths = tuple(sorted({path for fault in faults for path in fault.caught_by}))
        done = copy.test(paths, "-n", str(jobs), "--dist", "loadscope")
        return None if done.returncode == 0 else done.stdout[-3_000:] + done.stderr[-1_000:]
    finally:
        copy.remove()


def caught(fault: Fault, machine_code: Path) -> str | None:
    """Return the first test that fails for a fault, or ``None``."""
    copy = Copy(machine_code)
    try:
        copy.plant(fault)
        done = copy.test(fault.caught_by)
    finally:
        copy.remove()
    if done.returncode not in (0, TESTS_FAILED):
        raise SystemExit(f"{fault.name}: the tests did not run:\n{done.stdout[-2_000:]}{done.stderr[-1_000:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed.group(1) if failed and done.returncode == TESTS_FAILED else None


def main() -> int:
    """Plant them all; exit code 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="tests.planted")
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in fault.name]
    if not chosen:
        sys.stderr.write(f"no fault's name holds {options.only!r}\n")
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gmobot-planted-code-") as folder:
        machine_code, usual = Path(folder), next(_roots(None))
        if usual.is_dir():
            shutil.copytree(usual, machine_code, dirs_exist_ok=True)
        trouble = sound(chosen, machine_code, options.jobs)
        if trouble is not None:
            sys.stderr.write(f"the tests fail without any fault:\n{trouble}\n")
            return 1
        missed = _plant_all(chosen, machine_code, options.jobs, lambda text: sys.stdout.write(text) and sys.stdout.flush())
    sys.stdout.write(f"{len(chosen) - missed} of {len(chosen)} planted faults caught, {time.monotonic() - started:.0f} s\n")
    return 1 if missed else 0


def _plant_all(chosen: list[Fault], machine_code: Path, jobs: int, tell: Callable[[str], object]) -> int:
    missed = 0
    with ThreadPoolExecutor(jobs) as pool:
        for fault, test in zip(chosen, pool.map(lambda fault: caught(fault, machine_code), chosen), strict=True):
            missed += test is None
            tell(f"{'MISSED' if test is None else 'caught'}  {fault.name}{'' if test is None else f'  by {test}'}\n")
    return missed


if __name__ == "__main__":
    sys.exit(main())

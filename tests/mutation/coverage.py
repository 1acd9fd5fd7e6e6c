"""``python -m tests.mutation.coverage``: every branch of the subjects is run by a test, or the lines are named.

Nothing is excluded: a line that no test can reach has no business in this code.
"""

# ruff: noqa: T201

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from tests.mutation.subjects import ROOT, SUBJECTS, TESTS, short
from tests.mutation.tracing import measure


def main() -> int:
    """Run the tests, print coverage by file and what is missing; return the exit code."""
    measuring = measure()
    measuring.start()
    status = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--no-header", *(str(ROOT / path) for path in TESTS)])
    measuring.stop()
    if status != pytest.ExitCode.OK:
        return int(status)
    ran, possible = 0, 0
    for path in SUBJECTS:
        analysis = measuring._analyze(str(path))
        numbers = analysis.numbers
        ran += numbers.n_executed + numbers.n_executed_branches
        possible += numbers.n_statements + numbers.n_branches
        print(f"{numbers.pc_covered:6.1f} %  {short(path)}")
        for first, last in _ranges(sorted(analysis.missing), sorted(analysis.statements)):
            print(f"            {short(path)}:{first}{f'-{last}' if last > first else ''} never runs")
        for line, targets in sorted(analysis.missing_branch_arcs().items()):
            if line not in analysis.missing:
                ways = ", ".join("the end" if target < 0 else str(target) for target in targets)
                print(f"            {short(path)}:{line} never goes on to {ways}")
    print(f"{100 * ran / possible:6.1f} %  of {possible} statements and branches")
    return 0 if ran == possible else 1


def _ranges(missing: Sequence[int], statements: Sequence[int]) -> list[tuple[int, int]]:
    """Join missing lines between which no other statement stands."""
    found: list[tuple[int, int]] = []
    previous = -1
    for line in missing:
        place = statements.index(line)
        if found and place == previous + 1:
            found[-1] = found[-1][0], line
        else:
            found.append((line, line))
        previous = place
    return found


if __name__ == "__main__":
    sys.exit(main())

"""A failing plan made small: what is left is what it takes.

Delta debugging over the happenings: halves, then quarters, down to single ones are left out as long as the plan
still fails. The kinds of failure may change on the way; any violation counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from tests.simulation.plan import Happening, Plan


def shrunk(plan: Plan, fails: Callable[[Plan], bool], *, most_runs: int = 200) -> Plan:
    """Return a plan with as few happenings as can be found that still fails.

    Args:
        plan: One that fails.
        fails: Plays a plan.
        most_runs: Plans played before what is left is good enough.
    """
    happenings: Sequence[Happening] = plan.happenings
    parts, runs = 2, 0
    while len(happenings) > 0 and runs < most_runs:
        size = -(-len(happenings) // parts)
        for start in range(0, len(happenings), size):
            fewer = (*happenings[:start], *happenings[start + size :])
            runs += 1
            if fails(msgspec.structs.replace(plan, happenings=fewer)):
                happenings, parts = fewer, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(happenings))
    return msgspec.structs.replace(plan, happenings=tuple(happenings))

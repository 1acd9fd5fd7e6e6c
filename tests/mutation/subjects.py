"""The code whose every branch is tested and whose mutants must die: what places, follows, books and guards orders.

The one place where it is listed; :mod:`tests.mutation` and :mod:`tests.mutation.coverage` both read it.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = ROOT / "src" / "gmobot"

ORDER_MANAGER = ("desire", "plan", "entry", "trader", "gate", "sender", "tracker", "likeness", "intents", "protection", "commands")
RECONCILIATION = ("account", "reconcile", "difference", "search", "flows", "cash", "unlisted", "amending", "comparing", "ownership")
RISK = ("guards", "exposure")
LEDGER = ("books", "ledger", "positions")
STORE = ("store", "database", "saved", "records", "statements", "emergency", "schema", "integrity")
CORE = ("risk", "ledger")

SUBJECTS: tuple[Path, ...] = (
    *(_PACKAGE / "live" / f"{name}.py" for name in (*ORDER_MANAGER, *RECONCILIATION, *RISK, *LEDGER, *STORE)),
    *(_PACKAGE / "core" / f"{name}.py" for name in CORE),
)
TESTS = ("tests/core", "tests/live")
"""The tests that count: those that speak of this code. Others would only catch a fault by accident."""


def short(path: Path) -> str:
    """Return a subject's name as reports show it: ``live/plan.py``."""
    return path.relative_to(_PACKAGE).as_posix()

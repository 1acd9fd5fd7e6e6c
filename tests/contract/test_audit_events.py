"""Whatever any room writes to the audit log is an event of the contract."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gmobot
from gmobot.ops.audit import AuditEvent

CONTRACT = (
    "run_started run_stopped config_loaded armed secret_loaded preflight_result decision order_intent order_submitted order_acknowledged "
    "order_rejected order_outcome_unknown order_resolved order_amended order_cancelled fill position_changed protection_changed cash_flow "
    "risk_status_changed monitor_status_changed reconnect reconciled control_command notification_result error"
)


def written_events() -> Iterator[tuple[str, str]]:
    for file in (Path(gmobot.__file__).parent / "live").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Event" and node.args:
                for name in ast.walk(node.args[0]):
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        yield f"{file.name}:{node.lineno}", name.value


def test_the_events_are_those_of_the_contract() -> None:
    assert [event.value for event in AuditEvent] == CONTRACT.split()


def test_the_daemon_writes_no_other_event() -> None:
    found = list(written_events())
    assert len(found) > 10, "the search finds nothing any more"
    unknown = [f"{where}: {name}" for where, name in found if name not in set(AuditEvent)]
    assert not unknown

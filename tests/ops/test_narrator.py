"""Every audit event is told once; a bar on which nothing changed, once a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gmobot.clock import NS_PER_SECOND
from gmobot.ops.audit import AuditLog
from gmobot.ops.narrator import Narrator

START = 1_767_225_600 * NS_PER_SECOND
HOLD = {"symbol": "BTC", "action": "hold", "reason_codes": ["no_setup"], "target_size": "0", "stop_price": None}


@pytest.fixture
def narrator(tmp_path: Path) -> Narrator:
    return Narrator(AuditLog(tmp_path, max_bytes=1_000_000, retention=3))


def told(narrator: Narrator, *events: tuple[int, float, str, dict[str, Any]]) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        for seq, second, event, fields in events:
            narrator.append(seq, START + int(second * NS_PER_SECOND), "run", event, fields)
    return [dict(line) for line in lines]


def test_an_event_is_a_line_with_its_fields_and_trouble_is_a_warning(narrator: Narrator) -> None:
    lines = told(narrator, (1, 0, "fill", {"symbol": "BTC", "size": "0.01"}), (2, 0, "order_rejected", {"detail": "ERR-201"}))
    assert lines == [
        {"event": "fill", "log_level": "info", "symbol": "BTC", "size": "0.01"},
        {"event": "order_rejected", "log_level": "warning", "detail": "ERR-201"},
    ]
    assert narrator.last_seq == 2


def test_what_a_crash_had_already_written_is_not_told_again(narrator: Narrator) -> None:
    event = (1, 0.0, "fill", {"symbol": "BTC"})
    assert len(told(narrator, event, event)) == 1


def test_a_field_called_event_does_not_hide_the_event(narrator: Narrator) -> None:
    assert told(narrator, (1, 0, "error", {"event": "x"}))[0] == {"event": "error", "log_level": "warning", "event_": "x"}


def test_bars_on_which_nothing_changes_are_told_once_a_minute(narrator: Narrator) -> None:
    lines = told(narrator, *((second + 1, second, "decision", HOLD) for second in range(121)))
    assert len(lines) == 3
    assert "stop_price" not in lines[0], "what is not there is not told"


def test_a_changed_mind_is_told_at_once_and_for_each_symbol(narrator: Narrator) -> None:
    buy = HOLD | {"action": "buy", "reason_codes": ["ema_momentum_long"]}
    events = [HOLD, buy, HOLD | {"symbol": "ETH"}, HOLD]
    lines = told(narrator, *((seq, 0.0, "decision", fields) for seq, fields in enumerate(events, start=1)))
    assert [(line["symbol"], line["action"]) for line in lines] == [("BTC", "hold"), ("BTC", "buy"), ("ETH", "hold"), ("BTC", "hold")]

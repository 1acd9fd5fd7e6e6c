"""What is told of a daemon, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gmobot.live.publisher import Publisher
from gmobot.ops.telemetry import Telemetry


def test_of_the_account_nothing_is_told_before_the_first_turn() -> None:
    """A free disk of 0 bytes or an equity of 0 yen would be an alarm, and is only what nobody has looked at yet."""
    stream = SimpleNamespace(name="public", age_seconds=lambda: 0.5, messages={"trades": 3})
    unread = object()
    daemon: Any = SimpleNamespace(
        telemetry=Telemetry(version="x", config_hash="y"), streams=[stream], books=unread, account=unread, guards=unread
    )
    Publisher(daemon)
    shown = daemon.telemetry.render("")[0].decode()
    assert 'gmobot_stream_messages_total{channel="trades",stream="public"} 3.0' in shown
    assert "gmobot_equity_jpy" not in shown
    assert "gmobot_disk_free_bytes" not in shown

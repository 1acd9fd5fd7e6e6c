"""Telling people: from the audit outbox to a webhook on a real socket, and what happens when that one is of no use."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.ops.webhooks import TOKEN, WebhookServer

from gmobot.clock import SystemClock
from gmobot.live import notifier as module
from gmobot.live.notifier import Notifier
from gmobot.live.outbox import Outbox
from gmobot.live.records import Event
from gmobot.live.statements import Batch
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops import discord
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_read import events
from gmobot.ops.delivery import AppriseChannel, Channel, Delivery, DiscordChannel
from gmobot.ops.digest import Manner, QuietHours
from gmobot.ops.notices import Severity
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret

ALARM = Event("error", {"reason": "wallet_drift_exceeded", "detail": "look"})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same manners in a hundredth of the time."""
    for name in ("POLL", "PACE", "RETRY", "KEEP"):
        monkeypatch.setattr(module, f"_{name}_SECONDS", 0.02)
    monkeypatch.setattr(module, "_LONGEST_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(module, "_REFUSED_SECONDS", 0.2)
    monkeypatch.setattr(discord, "_REPLY_SECONDS", 0.3)


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    made = WebhookServer()
    yield made
    made.close()


class Life:
    """One run: a store, and whoever tells people of it."""

    def __init__(self, directory: Path, *channels: Channel, run_id: str = "r1", quiet: str = "") -> None:
        self.directory = directory
        audit = AuditLog(directory / "logs", max_bytes=1_000_000, retention=3)
        self.store = Store(directory / "gmobot.db", audit=audit, run_id=run_id, clock=SystemClock(), worker=InlineWorker())
        self.telemetry = Telemetry(version="t", config_hash="t")
        manner = Manner("en", Severity.INFO, QuietHours.parse(quiet))
        outbox = Outbox(directory / "gmobot.db", run_id)
        self.notifier = Notifier(channels, outbox, self.store, SystemClock(), self.telemetry, manner)
        self.run_id = run_id

    async def begin(self) -> None:
        await self.store.open()
        await self.notifier.start()
        await self.store.begin_run("hash", [Event("run_started", {"mode": "paper", "environment": "emulator"})])

    async def end(self, *, seconds: float = 2.0) -> None:
        await self.notifier.finish(seconds=seconds)
        await self.store.close()

    def die(self) -> None:
        """End as a killed process does: no last word, no commit."""
        for task in self.notifier._tasks:
            task.cancel()
        self.store.abandon()

    def counted(self, outcome: str) -> float:
        return float(self.telemetry._notifications.labels(outcome)._value.get())

    def cursors(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.directory / "gmobot.db")) as db:
            return dict(db.execute("SELECT target, seq FROM notified"))

    def results(self) -> list[dict[str, Any]]:
        found = [e for e in events(self.directory / "logs") if e["event"] == "notification_result"]
        return [{key: e.get(key) for key in ("target", "outcome", "reason")} for e in found[::-1]]


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "not in time"
        await asyncio.sleep(0.01)


async def test_a_first_run_is_told_from_its_own_start_and_a_restart_goes_on_where_it_stood(tmp_path: Path, server: WebhookServer) -> None:
    nobody = Life(tmp_path, run_id="r0")
    await nobody.begin()
    await nobody.store.emit([Event("error", {"reason": "data_gap"})])
    await nobody.end()
    first = Life(tmp_path, DiscordChannel(server.url))
    await first.begin()
    await until(lambda: len(server.texts) == 1)
    assert "started" in server.texts[0]
    assert "data_gap" not in server.texts[0], "history is not retold"
    await until(lambda: first.notifier.results()["discord"].status == "sent")
    await first.store.end_run("graceful_shutdown", [Event("run_stopped", {"reason": "graceful_shutdown"})])
    await first.end()
    assert "stopped" in server.texts[1]
    second = Life(tmp_path, DiscordChannel(server.url), run_id="r2")
    await second.begin()
    await second.store.emit([ALARM])
    await until(lambda: any("wallet_drift" in text for text in server.texts))
    await second.end()
    assert sum("stopped" in text for text in server.texts) == 1
    assert first.counted("sent") == 2
    assert second.results()[0] == {"target": "discord", "outcome": "sent", "reason": None}


async def test_a_message_whose_cursor_was_not_kept_comes_again_and_none_is_lost(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Life(tmp_path, DiscordChannel(server.url))
    await first.begin()
    await until(lambda: first.notifier.results()["discord"].status == "sent")

    async def never(batch: Batch, events: Sequence[Event] = ()) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(first.store, "keep_notified", never)
    await first.store.emit([ALARM])
    await until(lambda: any("wallet_drift" in text for text in server.texts))
    first.die()
    second = Life(tmp_path, DiscordChannel(server.url), run_id="r2")
    await second.begin()
    await until(lambda: sum("wallet_drift" in text for text in server.texts) == 2)
    await second.end()


async def test_a_run_that_died_before_anything_arrived_is_told_by_the_next(tmp_path: Path, server: WebhookServer) -> None:
    server.status = 500
    first = Life(tmp_path, DiscordChannel(server.url))
    await first.begin()
    await first.store.emit([ALARM])
    await until(lambda: len(server.paths) == 2)
    first.die()
    server.status = 204
    second = Life(tmp_path, DiscordChannel(server.url), run_id="r2")
    await second.begin()
    await until(lambda: second.notifier.results()["discord"].status == "sent")
    await second.end()
    assert "wallet_drift" in server.texts[-1]


async def test_too_many_requests_are_answered_with_the_wait_that_was_asked_for(tmp_path: Path, server: WebhookServer) -> None:
    server.once = [(429, {"Retry-After": "0.6"})]
    life = Life(tmp_path, DiscordChannel(server.url))
    await life.begin()
    await until(lambda: life.notifier.results()["discord"].reason == "rate_limited")
    for _ in range(20):
        await life.store.emit([ALARM])
    await until(lambda: life.notifier.results()["discord"].status == "sent")
    assert server.at[1] - server.at[0] >= 0.6
    assert len(server.paths) == 2
    assert "started" in server.texts[1]
    assert "wallet_drift" in server.texts[1], "what happened meanwhile is in the same message"
    assert life.counted("failed") == 1
    await life.end()


async def test_failures_are_tried_again_ever_more_slowly_and_on_record_once(tmp_path: Path, server: WebhookServer) -> None:
    server.status = 500
    life = Life(tmp_path, DiscordChannel(server.url))
    await life.begin()
    await until(lambda: len(server.paths) >= 5)
    gaps = [after - before for before, after in zip(server.at, server.at[1:], strict=False)]
    assert all(gap >= 0.02 * 2**number for number, gap in enumerate(gaps[:4]))
    assert life.results() == [{"target": "discord", "outcome": "failed", "reason": "http_500"}]
    server.status = 204
    await until(lambda: life.notifier.results()["discord"].status == "sent")
    await life.end()
    assert [row["outcome"] for row in life.results()] == ["failed", "sent"]


@pytest.mark.parametrize(("status", "reason"), [(404, "webhook_not_found"), (401, "webhook_refused")])
async def test_a_webhook_that_is_no_more_is_tried_rarely(tmp_path: Path, server: WebhookServer, status: int, reason: str) -> None:
    server.status = status
    life = Life(tmp_path, DiscordChannel(server.url))
    await life.begin()
    await until(lambda: len(server.paths) == 2)
    assert server.at[1] - server.at[0] >= 0.2
    assert (life.notifier.results()["discord"].status, life.notifier.results()["discord"].reason) == ("failed", reason)
    await life.end(seconds=0.1)


async def test_a_webhook_that_was_replaced_is_told_at_once_from_where_the_old_one_had_come_to(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFUSED_SECONDS", 60.0)
    gone = WebhookServer()
    gone.status = 404
    life = Life(tmp_path, DiscordChannel(gone.url))
    await life.begin()
    await until(lambda: life.notifier.results()["discord"].reason == "webhook_not_found")
    life.notifier.use_webhook(Secret(server.url))
    await until(lambda: life.notifier.results()["discord"].status == "sent")
    assert "started" in server.texts[0]
    assert len(gone.paths) == 1
    await life.end()
    gone.close()


async def test_a_message_that_is_not_taken_is_let_go_so_that_the_next_one_arrives(tmp_path: Path, server: WebhookServer) -> None:
    server.once = [(400, {})] * 3
    life = Life(tmp_path, DiscordChannel(server.url))
    await life.begin()
    await until(lambda: life.counted("dropped") == 1)
    await life.store.emit([ALARM])
    await until(lambda: life.notifier.results()["discord"].status == "sent")
    assert "started" not in server.texts[3]
    assert [row["outcome"] for row in life.results()] == ["failed", "dropped", "sent"]
    await life.end()


async def test_one_channel_that_hangs_delays_no_other_and_no_turn_of_the_loop(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord, "_REPLY_SECONDS", 2.0)
    silent = WebhookServer()
    silent.silent = True
    life = Life(tmp_path, DiscordChannel(silent.url), AppriseChannel("json", server.base.replace("http", "json") + "/x"))
    worst, turning = 0.0, True

    async def turn() -> None:
        nonlocal worst
        while turning:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            worst = max(worst, time.monotonic() - before - 0.005)

    turns = asyncio.create_task(turn())
    await life.begin()
    await life.store.emit([ALARM])
    await until(lambda: any("wallet_drift" in text for text in server.texts))
    assert life.notifier.results()["discord"].reason == "pending", "it still hangs"
    await until(lambda: life.notifier.results()["discord"].reason == "timeout")
    await until(lambda: len(silent.paths) == 2)
    turning = False
    await turns
    started = time.monotonic()
    await life.end(seconds=0.3)
    assert time.monotonic() - started < 1.5, "the end waits no longer than it may"
    silent.close()
    assert worst < 1.0


async def test_a_call_that_hangs_for_good_is_waited_for_and_not_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEADLINE_SECONDS", 0.1)

    class Hanging:
        name = "hanging"
        calls = 0

        def send(self, text: str, severity: Severity) -> Delivery:
            self.calls += 1
            time.sleep(1.0)
            return Delivery()

    channel = Hanging()
    life = Life(tmp_path, channel)
    await life.begin()
    await until(lambda: life.notifier.results()["hanging"].reason == "timeout")
    await asyncio.sleep(0.6)
    assert channel.calls == 1
    assert life.notifier._tellers[0]._worker._calls.qsize() == 0, "nothing piles up behind it"
    await life.end(seconds=0.1)


async def test_a_fault_of_ours_is_no_fault_of_the_run(tmp_path: Path) -> None:
    class Broken:
        name = "broken"

        def send(self, text: str, severity: Severity) -> Delivery:
            raise KeyError(f"https://discord.com/api/webhooks/1/{TOKEN}")

    life = Life(tmp_path, Broken())
    await life.begin()
    await until(lambda: life.notifier.results()["broken"].reason == "KeyError")
    await life.store.emit([ALARM])
    await life.end(seconds=0.1)


async def test_without_a_webhook_the_channel_is_disabled_and_one_that_comes_back_begins_anew(tmp_path: Path, server: WebhookServer) -> None:
    first = Life(tmp_path, DiscordChannel(server.url))
    await first.begin()
    await until(lambda: "discord" in first.cursors())
    await first.end()
    without = Life(tmp_path, run_id="r2")
    await without.begin()
    assert (without.notifier.results()["discord"].status, without.notifier.results()["discord"].reason) == (
        "disabled",
        "DISCORD_WEBHOOK_URL is not set",
    )
    await without.store.emit([ALARM])
    await without.end()
    assert without.cursors() == {}
    third = Life(tmp_path, DiscordChannel(server.url), run_id="r3")
    await third.begin()
    await until(lambda: third.notifier.results()["discord"].status == "sent")
    await third.end()
    assert not any("wallet_drift" in text for text in server.texts)


async def test_before_the_first_message_nothing_is_claimed(tmp_path: Path, server: WebhookServer) -> None:
    life = Life(tmp_path, DiscordChannel(server.url))
    assert (life.notifier.results()["discord"].status, life.notifier.results()["discord"].reason) == ("failed", "pending")
    await life.begin()
    await life.end()


async def test_that_the_database_cannot_be_written_is_told_although_it_is_not_in_it(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(tmp_path, DiscordChannel(server.url))
    await life.begin()
    await until(lambda: life.notifier.results()["discord"].status == "sent")
    life.store.trouble = "database or disk is full"
    await until(lambda: any("state_unwritable" in text for text in server.texts))
    await asyncio.sleep(0.3)
    assert sum("state_unwritable" in text for text in server.texts) == 1
    life.store.trouble = None
    await life.end()


async def test_in_quiet_hours_what_waits_is_still_there_after_a_restart(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuietHours, "holds", lambda self, at_ns: self.begin != self.end)
    first = Life(tmp_path, DiscordChannel(server.url), quiet="00:00-23:59")
    await first.begin()
    await first.store.emit([ALARM])
    await until(lambda: len(server.texts) == 1)
    assert "wallet_drift" in server.texts[0]
    assert "started" not in server.texts[0]
    await until(lambda: first.cursors() != {})
    await first.end()
    second = Life(tmp_path, DiscordChannel(server.url), run_id="r2")
    await second.begin()
    await until(lambda: any("While it was quiet" in text for text in server.texts))
    assert "started" in "".join(server.texts[1:])
    assert sum("wallet_drift" in text for text in server.texts) == 1
    await second.end()


async def test_nothing_shows_the_address(tmp_path: Path, server: WebhookServer, caplog: pytest.LogCaptureFixture) -> None:
    server.once = [(500, {}), (429, {"Retry-After": "0"})]
    life = Life(tmp_path, DiscordChannel(server.url))
    await life.begin()
    await until(lambda: life.notifier.results()["discord"].status == "sent")
    await life.end()
    assert TOKEN.encode() not in everything_in(tmp_path)
    assert TOKEN not in caplog.text + repr(life.notifier.results())

"""Rotation of the audit log, cut off after every single step it takes on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_files import ANCHOR, GENESIS, NAME, numbered
from gmobot.ops.audit_read import events, verify

T0 = 1_760_000_000_000_000_000
RETENTION = 3
MAX_BYTES = 600


@pytest.fixture(autouse=True)
def _memory_is_durable_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the steps is tested here; waiting for the disk hundreds of times would only be slow."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Killed(BaseException):
    """The process is gone: nothing catches this."""


def opened(directory: Path, retention: int = RETENTION) -> AuditLog:
    return AuditLog(directory, max_bytes=MAX_BYTES, retention=retention)


def fill(log: AuditLog, upto: int) -> None:
    for seq in range(log.last_seq + 1, upto + 1):
        log.append(seq, T0, "run-1", "fill", {"note": "x" * 100})


def seqs(directory: Path) -> list[int]:
    return [event["seq"] for event in events(directory)][::-1]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int, *, after: bool) -> Callable[[], int]:
    """Let the process die at the given change of the directory; return a count of the changes seen."""
    seen = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == step and not after:
                raise Killed
            result = real(*args, **kwargs)
            if seen == step and after:
                raise Killed
            return result

        return change

    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    return lambda: seen


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("retention", [1, 3])
@pytest.mark.parametrize("step", range(1, 14))
def test_a_kill_at_any_step_of_any_rotation_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, retention: int, *, after: bool
) -> None:
    with monkeypatch.context() as patched:
        count = kill_at(patched, step, after=after)
        log = opened(tmp_path, retention)
        with pytest.raises(Killed):
            fill(log, 500)
        assert count() == step
    interrupted = verify(tmp_path)
    assert interrupted.ok, interrupted.problem

    log = opened(tmp_path, retention)
    resumed_at = log.last_seq
    fill(log, resumed_at + 1)
    kept = seqs(tmp_path)
    assert kept == list(range(kept[0], resumed_at + 2)), "a hole or a double"
    assert verify(tmp_path).ok

    fill(log, resumed_at + 15)
    assert verify(tmp_path).ok
    assert [number for number, _ in numbered(tmp_path)] == list(range(1, retention + 1))


def test_a_start_finishes_the_deletion_that_a_kill_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    fill(log, 60)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        kill_at(patched, 2, after=False)  # the anchor is written, its file still there
        fill(log, 90)
    oldest = tmp_path / f"{NAME}.{RETENTION}"
    assert oldest.exists()
    assert verify(tmp_path).ok
    opened(tmp_path)
    assert not oldest.exists()
    assert verify(tmp_path).ok


def test_the_anchor_survives_the_files_it_stands_for(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 60)
    first = next(iter(seqs(tmp_path)))
    assert first > 1
    anchor = json.loads((tmp_path / ANCHOR).read_text())
    assert anchor["seq"] == first - 1
    assert anchor["hash"] != GENESIS
    assert verify(tmp_path).ok


def test_a_deleted_generation_is_noticed(tmp_path: Path) -> None:
    fill(opened(tmp_path), 60)
    (tmp_path / f"{NAME}.2").unlink()
    result = verify(tmp_path)
    assert not result.ok
    assert f"{NAME}.1:1: the chain is broken" in result.problem


def test_a_deleted_oldest_generation_is_noticed(tmp_path: Path) -> None:
    fill(opened(tmp_path), 60)
    (tmp_path / f"{NAME}.{RETENTION}").unlink()
    assert not verify(tmp_path).ok


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_a_spoilt_anchor_is_named(tmp_path: Path, content: bytes) -> None:
    fill(opened(tmp_path), 60)
    (tmp_path / ANCHOR).write_bytes(content)
    result = verify(tmp_path)
    assert not result.ok
    assert ANCHOR in result.problem


def test_fewer_generations_wanted_than_there_are(tmp_path: Path) -> None:
    fill(opened(tmp_path, 6), 60)
    assert len(numbered(tmp_path)) == 6
    log = opened(tmp_path, 2)
    assert verify(tmp_path).ok
    fill(log, 90)
    assert [number for number, _ in numbered(tmp_path)] == [1, 2]
    assert verify(tmp_path).ok


def test_a_line_longer_than_a_file_may_be_gets_a_file_of_its_own(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for seq in range(1, 8):
        log.append(seq, T0, "run-1", "error", {"detail": "x" * 2_000})
    assert [number for number, _ in numbered(tmp_path)] == [1, 2, 3]
    assert seqs(tmp_path) == [4, 5, 6, 7]
    assert verify(tmp_path).ok


def test_a_damaged_old_file_stops_the_log_and_not_the_caller(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 60)
    (tmp_path / f"{NAME}.{RETENTION}").write_bytes(b"not an event\n")
    with pytest.raises(OSError, match="not an audit event"):
        fill(log, 90)


def test_rotation_syncs_the_file_it_puts_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    fill(opened(tmp_path), 5)
    assert synced

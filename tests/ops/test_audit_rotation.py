"""Rotation of the audit log, cut off or refused at every single call of the disk."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
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


CALLS = ((os, "write"), (os, "fsync"), (os, "open"), (os, "replace"), (os, "unlink"), (io, "open"))
"""Every way in which the log touches the disk."""


class Disk:
    """Counts the log's calls of the disk, and lets something happen before or after one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int, happen: Callable[[], None], *, after: bool) -> None:
        self.seen = 0
        self._step, self._happen, self._after = step, happen, after
        for module, name in CALLS:
            monkeypatch.setattr(module, name, self._counted(getattr(module, name), writes=name == "write"))

    def _counted(self, real: Callable[..., Any], *, writes: bool) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.seen += 1
            if self.seen != self._step:
                return real(*args, **kwargs)
            if writes and not self._after:
                # Half of it gets there.
                real(args[0], args[1][: len(args[1]) // 2])
            try:
                result = real(*args, **kwargs) if self._after else None
                if isinstance(result, io.IOBase):
                    result.close()  # a process that is gone holds no files
            finally:
                self._happen()
            return result

        return call


def kill() -> None:
    raise Killed


def full() -> None:
    raise OSError(28, "No space left on device")


def steps_of(directory: Path, retention: int, upto: int) -> int:
    """Return how many calls it takes to write so much."""
    with pytest.MonkeyPatch.context() as patched:
        disk = Disk(patched, 0, kill, after=False)
        fill(opened(directory, retention), upto)
        return disk.seen


UPTO = 9
"""Events until files were deleted, not only put away."""


def whole(directory: Path, last: int) -> None:
    result = verify(directory)
    assert result.ok, result.problem
    kept = seqs(directory)
    assert kept == list(range(kept[0], last + 1)), "a hole or a double"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("retention", [1, 3])
def test_a_kill_at_any_call_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retention: int, *, after: bool
) -> None:
    steps = steps_of(tmp_path / "0", retention, UPTO)
    assert (tmp_path / "0" / ANCHOR).exists()
    for step in range(1, steps + 1):
        directory = tmp_path / str(step)
        with monkeypatch.context() as patched:
            Disk(patched, step, kill, after=after)
            with pytest.raises(Killed):
                fill(opened(directory, retention), UPTO)
        interrupted = verify(directory)
        assert interrupted.ok, interrupted.problem
        log = opened(directory, retention)
        resumed_at = log.last_seq
        fill(log, resumed_at + 1)
        whole(directory, resumed_at + 1)
        fill(log, resumed_at + 20)
        whole(directory, resumed_at + 20)
        assert [number for number, _ in numbered(directory)] == list(range(1, retention + 1))


@pytest.mark.parametrize("after", [False, True], ids=["refused", "done, and an error all the same"])
@pytest.mark.parametrize("retention", [1, 3])
def test_a_disk_that_refuses_any_call_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retention: int, *, after: bool
) -> None:
    for step in range(1, steps_of(tmp_path / "0", retention, UPTO) + 1):
        directory = tmp_path / str(step)
        log: AuditLog | None = None
        with monkeypatch.context() as patched:
            disk = Disk(patched, step, full, after=after)
            with pytest.raises(OSError, match="No space"):
                log = opened(directory, retention)
                fill(log, UPTO)
            assert disk.seen == step
        assert verify(directory).ok
        log = log or opened(directory, retention)
        fill(log, UPTO)  # as the outbox does: what was refused is offered again
        whole(directory, UPTO)
        whole_again = opened(directory, retention)
        fill(whole_again, UPTO + 20)
        whole(directory, UPTO + 20)


def test_a_disk_that_stays_full_is_asked_again_each_time_and_takes_all_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for first in range(1, steps_of(tmp_path / "0", RETENTION, UPTO) + 1, 3):
        directory = tmp_path / str(first)
        log = opened(directory)
        with monkeypatch.context() as patched:
            disk = Disk(patched, first, full, after=False)
            with suppress(OSError):
                fill(log, UPTO)
            for _ in range(5 if disk.seen == first else 0):
                disk._step = disk.seen + 1
                with pytest.raises(OSError, match="No space"):
                    fill(log, UPTO)
        fill(log, UPTO)
        whole(directory, UPTO)


def test_a_start_finishes_the_deletion_that_a_kill_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    fill(log, 60)
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", lambda _: kill())  # the anchor is written, its file still there
        with pytest.raises(Killed):
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

"""The audit log: nothing is lost, doubled or changed unseen."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmobot.ops.audit import RESERVED, AuditLog
from gmobot.ops.audit_files import ANCHOR, NAME, chain_hash, generations, numbered
from gmobot.ops.audit_read import VerifyResult, events, search, tail, verify

T0 = 1_760_000_000_000_000_000


@pytest.fixture(autouse=True)
def _memory_is_durable_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def opened(directory: Path, *, max_bytes: int = 1_000_000, retention: int = 3) -> AuditLog:
    return AuditLog(directory, max_bytes=max_bytes, retention=retention)


def fill(log: AuditLog, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        log.append(seq, T0 + seq * 1_000_000, "run-1", "fill", {"symbol": "BTC", "size": "0.01"})


def seqs(directory: Path) -> list[int]:
    return [event["seq"] for event in events(directory)][::-1]


def lines(directory: Path) -> list[bytes]:
    return (directory / NAME).read_bytes().splitlines(keepends=True)


def test_a_line_carries_every_contract_key(tmp_path: Path) -> None:
    opened(tmp_path).append(1, T0, "run-1", "run_started", {"mode": "paper"})
    entry = json.loads((tmp_path / NAME).read_text())
    assert list(entry) == ["seq", "ts", "run_id", "event", "mode", "prev_hash", "hash"]
    assert entry["ts"] == "2025-10-09T08:53:20.000Z"
    assert entry["prev_hash"] == "0" * 64


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert verify(tmp_path).ok
    assert opened(tmp_path).last_seq == 0


def test_an_event_that_is_here_is_ignored(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 1, 3)
    before = (tmp_path / NAME).read_bytes()
    fill(log, 1, 3)
    assert (tmp_path / NAME).read_bytes() == before


def test_a_restart_goes_on_where_the_file_ends(tmp_path: Path) -> None:
    fill(opened(tmp_path), 1, 4)
    log = opened(tmp_path)
    assert log.last_seq == 4
    fill(log, 1, 6)
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert verify(tmp_path).ok


@given(attempts=st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.integers(0, 200)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_is_repeated_cut_or_restarted_each_event_stands_there_once(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, bool, int]]
) -> None:
    """The outbox's view: emit all up to N from where the file ends, sometimes after a crash that tore the end off."""
    directory = tmp_path_factory.mktemp("audit")
    log = opened(directory, max_bytes=700, retention=50)
    highest = 0
    for upto, crash, torn in attempts:
        highest = max(highest, upto)
        if crash and (directory / NAME).exists():
            path = directory / NAME
            os.truncate(path, max(0, path.stat().st_size - torn))
            log = opened(directory, max_bytes=700, retention=50)
        fill(log, log.last_seq + 1, highest)
        fill(log, 1, upto)
    assert seqs(directory) == list(range(1, highest + 1))
    result = verify(directory)
    assert result.ok, result.problem
    assert result.lines == highest


@given(
    fields=st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=5,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_fields_are_held_by_the_chain(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]) -> None:
    directory = tmp_path_factory.mktemp("audit")
    opened(directory).append(1, T0, "run-1", "error", fields)
    result = verify(directory)
    assert result.ok, result.problem
    assert result.lines == 1


def test_a_log_of_any_earlier_version_is_whole_and_today_s_lines_are_the_same_to_the_byte(tmp_path: Path) -> None:
    written = Path(__file__).with_name("audit_events_of_version_1.jsonl").read_bytes()
    (tmp_path / NAME).write_bytes(written)
    assert verify(tmp_path) == VerifyResult(ok=True, lines=3)
    log = opened(tmp_path / "again")
    for line in written.splitlines():
        entry = json.loads(line)
        fields = {key.removesuffix("_"): value for key, value in entry.items() if key not in RESERVED}
        log.append(entry["seq"], 1_760_000_000_000_000_000, entry["run_id"], entry["event"], fields)
    assert (tmp_path / "again" / NAME).read_bytes() == written


def test_a_field_cannot_take_the_place_of_a_key_of_the_chain(tmp_path: Path) -> None:
    opened(tmp_path).append(1, T0, "run-1", "error", {"seq": 99, "hash": "x", "event": "fill"})
    [entry] = events(tmp_path)
    assert (entry["seq"], entry["event"], entry["seq_"], entry["event_"], entry["hash_"]) == (1, "error", 99, "fill", "x")
    assert verify(tmp_path).ok


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("changed", lambda rows: [*rows[:2], rows[2].replace(b"0.01", b"0.02"), *rows[3:]]),
        ("dropped", lambda rows: rows[:2] + rows[3:]),
        ("doubled", lambda rows: rows[:3] + rows[2:]),
        ("swapped", lambda rows: [*rows[:2], rows[3], rows[2], *rows[4:]]),
        ("emptied", lambda rows: [*rows[:2], b"\n", *rows[3:]]),
        ("garbage", lambda rows: [*rows[:2], b"\x00\xff\n", *rows[3:]]),
        ("not an object", lambda rows: [*rows[:2], b"[1]\n", *rows[3:]]),
    ],
)
def test_tampering_is_named_by_file_and_line(tmp_path: Path, name: str, change: Any) -> None:
    fill(opened(tmp_path), 1, 6)
    (tmp_path / NAME).write_bytes(b"".join(change(lines(tmp_path))))
    result = verify(tmp_path)
    assert not result.ok, name
    assert f"{NAME}:{4 if name == 'doubled' else 3}:" in result.problem


def test_a_recomputed_hash_breaks_the_next_line(tmp_path: Path) -> None:
    fill(opened(tmp_path), 1, 3)
    rows = lines(tmp_path)
    entry = json.loads(rows[1])
    del entry["hash"]
    entry["size"] = "9"
    digest = chain_hash(entry["prev_hash"], entry)
    rows[1] = json.dumps(entry | {"hash": digest}).encode() + b"\n"
    (tmp_path / NAME).write_bytes(b"".join(rows))
    assert f"{NAME}:3: the chain is broken at seq 3" in verify(tmp_path).problem


def test_a_link_that_names_another_line_before_it_is_broken(tmp_path: Path) -> None:
    fill(opened(tmp_path), 1, 1)
    before = json.loads(lines(tmp_path)[0])["hash"]
    entry = {"seq": 2, "ts": "2025-10-09T08:53:20.000Z", "run_id": "run-1", "event": "fill", "prev_hash": "f" * 64}
    with (tmp_path / NAME).open("a") as file:
        file.write(json.dumps(entry | {"hash": chain_hash(before, entry)}) + "\n")
    assert f"{NAME}:2: the chain is broken at seq 2" in verify(tmp_path).problem


def test_a_torn_last_line_is_no_tampering_and_the_next_start_writes_it_again(tmp_path: Path) -> None:
    fill(opened(tmp_path), 1, 3)
    path = tmp_path / NAME
    os.truncate(path, path.stat().st_size - 5)
    torn = verify(tmp_path)
    assert (torn.ok, torn.lines, torn.torn) == (True, 2, True)
    log = opened(tmp_path)
    assert log.last_seq == 2
    fill(log, 3, 3)
    assert verify(tmp_path).lines == 3


def test_a_log_that_is_nothing_but_a_torn_line_starts_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"seq": 1, "ts": ' + b"x" * 200_000)
    log = opened(tmp_path)
    assert log.last_seq == 0
    fill(log, 1, 1)
    assert verify(tmp_path).ok


def test_damage_that_no_crash_leaves_is_refused_by_name(tmp_path: Path) -> None:
    fill(opened(tmp_path), 1, 2)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"not json\n")
    with pytest.raises(OSError, match=f"{NAME}: its last line is not an audit event"):
        opened(tmp_path)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    fill(log, 1, 2)
    real, calls = os.write, 0

    def full(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:20])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        fill(log, 3, 3)
    monkeypatch.undo()
    assert log.last_seq == 2
    fill(log, 3, 4)
    assert verify(tmp_path).lines == 4


def test_tail_and_search_read_across_rotated_files(tmp_path: Path) -> None:
    log = opened(tmp_path, max_bytes=700, retention=10)
    fill(log, 1, 10)
    log.append(11, T0, "run-1", "error", {"reason": "Data_Gap", "detail": {"symbol": "ETH"}})
    assert len(numbered(tmp_path)) > 2
    assert [row["seq"] for row in tail(tmp_path, 4)] == [8, 9, 10, 11]
    assert [row["seq"] for row in search(tmp_path, "data_gap")] == [11]
    assert [row["seq"] for row in search(tmp_path, "eth")] == [11]
    assert [row["seq"] for row in search(tmp_path, event="fill", count=2)] == [9, 10]
    assert search(tmp_path, "nothing like it") == []


def test_reading_beside_a_rotation_is_no_broken_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmobot.ops import audit_read

    log = opened(tmp_path, max_bytes=700, retention=10)
    fill(log, 1, 5)
    real, seen = audit_read._verify_once, 0

    def rotate_meanwhile(directory: Path, places: list[tuple[Path, int]]) -> Any:
        nonlocal seen
        seen += 1
        if seen == 1:
            fill(log, 6, 12)
        return real(directory, places)

    monkeypatch.setattr(audit_read, "_verify_once", rotate_meanwhile)
    result = verify(tmp_path)
    assert result.ok, result.problem
    assert (seen, result.lines) == (2, 12)


def test_random_lengths_rotate_within_the_limit(tmp_path: Path) -> None:
    rng = random.Random(7)
    log = opened(tmp_path, max_bytes=2_000, retention=4)
    for seq in range(1, 200):
        log.append(seq, T0, "run-1", "error", {"detail": "x" * rng.randrange(600)})
    assert all(file.stat().st_size <= 2_000 for file in generations(tmp_path))
    assert [number for number, _ in numbered(tmp_path)] == [1, 2, 3, 4]
    assert (tmp_path / ANCHOR).exists()
    assert verify(tmp_path).ok
    assert seqs(tmp_path)[-1] == 199

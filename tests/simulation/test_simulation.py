"""The simulation as a whole: a seed is its log, byte for byte; a failing one is named, made small, and plays again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import tests.simulation.__main__ as simulation
from tests.simulation.ours import Violation
from tests.simulation.plan import Happening, Plan, drawn, read, written
from tests.simulation.world import Result

SECONDS = 150.0


def short(seed: int) -> Plan:
    """Return the first minutes of a seed's plan."""
    kept = (msgspec.structs.replace(h, until=min(h.until, SECONDS)) for h in drawn(seed).happenings if h.at < SECONDS - 10.0)
    return msgspec.structs.replace(drawn(seed), happenings=tuple(kept), seconds=SECONDS)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_same_seed_writes_the_same_log_byte_for_byte(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(written(short(seed)), encoding="utf-8")
    first, again = simulation.play(short(seed)), simulation.play(read(path))
    assert first.orders > 0
    assert first.audit == again.audit
    assert first == again


def test_another_process_writes_the_same_log_byte_for_byte() -> None:
    show = "import hashlib; print(hashlib.sha256(simulation.play(short(11)).audit).hexdigest())"
    command = f"from tests.simulation import __main__ as simulation; from tests.simulation.test_simulation import short; {show}"
    root = Path(__file__).parents[2]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]), "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", command], cwd=root, env=environ, capture_output=True, text=True, check=True)
    assert other.stdout.split()[-1] == hashlib.sha256(simulation.play(short(11)).audit).hexdigest()


def test_tokens_are_extended_and_lost_within_a_seed() -> None:
    lost = Happening(kind="fault", what="token_invalidated", where="/v1/ws-auth", at=0.0, until=140.0, amount=1.0)
    assert simulation.play(msgspec.structs.replace(short(11), happenings=(lost,))).struck == {"token_invalidated": 2}


def test_another_seed_writes_another_log() -> None:
    first, other = (msgspec.structs.replace(short(11), seed=seed, happenings=(), seconds=30.0) for seed in (1, 3))
    logs = [simulation.play(plan).audit.replace(b"sim-3-", b"sim-1-") for plan in (first, other)]
    assert logs[0] != logs[1]


def test_a_log_that_differs_the_second_time_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = iter([b"one", b"two", b"same", b"same"])
    monkeypatch.setattr(simulation, "play", lambda plan: Result(plan.seed, 1, 1, 0, {}, 1, {}, {}, next(logs)))
    assert simulation.one(simulation.TWICE_EVERY)[1:] == (None, "the same seed wrote another audit log\n")
    assert simulation.one(simulation.TWICE_EVERY)[2] == ""


def test_a_failing_seed_is_named_and_its_shortest_plan_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(plan: Plan) -> Result:
        if plan.lasting("kill"):
            raise Violation("killed")
        return Result(plan.seed, 1, 1, 0, {}, 1, {}, {})

    seed = next(seed for seed in range(1, 200) if len(drawn(seed).lasting("kill")) == 1)
    monkeypatch.setattr(simulation, "play", broken)
    monkeypatch.setattr(simulation, "FOLDER", tmp_path)
    assert "killed" in simulation.one(seed)[2]
    told = simulation.explain(seed, "killed\n")
    assert f"--first {seed} --seeds 1" in told
    (path,) = tmp_path.iterdir()
    assert str(path) in told
    assert [happening.kind for happening in read(path).happenings] == ["kill"]


def test_a_plan_in_a_file_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    kill = Happening(kind="kill", at=15.0, amount=2)
    path.write_text(written(msgspec.structs.replace(short(12), happenings=(kill,), seconds=30.0)), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["tests.simulation", "--plan", str(path)])
    assert simulation.main() == 0
    assert capsys.readouterr().out == "no violation\n"

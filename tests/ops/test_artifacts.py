"""The two artifacts: exactly the contract's keys, exact decimals, atomic, and honest about the run before."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.samples import NOW, complete, progress

from gmobot.ops import artifacts
from gmobot.ops.artifacts import PROGRESS, PipelineSummary, RunComplete, RunProgress, encode, previous_run_crashed, schema, write


def loaded(artifact: RunProgress | RunComplete) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(encode(artifact))
    return data


@pytest.mark.parametrize("artifact", [progress(), complete(), progress(equity_jpy=None, risk=None, instruments=[])])
def test_an_artifact_is_valid_by_its_schema_and_reads_back_as_itself(artifact: RunProgress | RunComplete) -> None:
    jsonschema.Draft202012Validator(schema(type(artifact))).validate(loaded(artifact))
    assert msgspec.json.decode(encode(artifact), type=type(artifact)) == artifact


def test_the_schemas_are_schemas() -> None:
    for kind in artifacts.FILES.values():
        jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["status"], "sleeping"),
        (["monitor_status"], "fine"),
        (["mode"], "demo"),
        (["updated_at"], "2025-10-09T08:53:20+09:00"),
        (["equity_jpy"], 10_000_000.5),
        (["equity_jpy"], "1E+7"),
        (["run_loop_total"], -1),
        (["schema_version"], 2),
        (["risk", "status"], "bad"),
        (["instruments", 0, "last_decision", "action"], "short"),
        (["instruments", 0, "last_decision", "confidence"], 1.01),
        (["instruments", 0, "position"], 0.01),
    ],
)
def test_the_schema_refuses_what_the_contract_does_not_allow(path: list[Any], value: Any) -> None:
    data = loaded(progress())
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema(RunProgress)).validate(data)


@pytest.mark.parametrize("name", [field.encode_name for field in msgspec.structs.fields(RunProgress)])
def test_every_key_must_be_there(name: str) -> None:
    data = loaded(progress())
    del data[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema(RunProgress)).validate(data)


def test_python_s_return_is_the_contract_s_return() -> None:
    assert loaded(complete())["pipeline_summary"]["return"] == "0.0125"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None, min_value=-(10**15), max_value=10**15))
def test_an_amount_is_exact_and_never_in_scientific_notation(amount: Decimal) -> None:
    text = loaded(progress(equity_jpy=amount))["equity_jpy"]
    assert Decimal(text) == amount
    assert "E" not in text.upper()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        encode(progress(equity_jpy=Decimal(text)))


def test_a_summary_without_trades_knows_no_win_rate() -> None:
    assert loaded(complete(pipeline_summary=PipelineSummary()))["pipeline_summary"]["win_rate"] is None


def test_a_file_ends_with_a_line_end_and_is_written_whole(tmp_path: Path) -> None:
    write(tmp_path, progress())
    write(tmp_path, complete())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run_complete.json", "run_progress.json"]
    assert (tmp_path / PROGRESS).read_text().endswith("}\n")


def test_the_first_run_of_all_has_no_run_before_it(tmp_path: Path) -> None:
    assert not previous_run_crashed(tmp_path)


def test_a_run_with_its_final_summary_did_not_crash(tmp_path: Path) -> None:
    write(tmp_path, progress(run_id="r1", status="stopped"))
    write(tmp_path, complete(run_id="r1", final=True))
    assert not previous_run_crashed(tmp_path)


@pytest.mark.parametrize("status", ["starting", "running", "halted", "stopping"])
def test_a_run_without_any_summary_crashed(tmp_path: Path, status: str) -> None:
    write(tmp_path, progress(status=status))
    assert previous_run_crashed(tmp_path)


def test_a_run_whose_summary_is_not_final_crashed(tmp_path: Path) -> None:
    write(tmp_path, progress(run_id="r1"))
    write(tmp_path, complete(run_id="r1", final=False, status="running", stop_reason=None, completed_at=None))
    assert previous_run_crashed(tmp_path)


def test_another_run_s_final_summary_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, progress(run_id="r2"))
    write(tmp_path, complete(run_id="r1", final=True))
    assert previous_run_crashed(tmp_path)


def test_a_start_that_was_refused_is_no_crash(tmp_path: Path) -> None:
    write(tmp_path, complete(run_id="r1", final=True))
    write(tmp_path, progress(run_id="r2", status="failed", run_loop_total=0, started_at=NOW, updated_at=NOW))
    assert not previous_run_crashed(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"\xff"', b"null"])
def test_a_spoilt_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROGRESS).write_bytes(content)
    assert not previous_run_crashed(tmp_path)
    write(tmp_path, progress(run_id="r1"))
    (tmp_path / artifacts.COMPLETE).write_bytes(content)
    assert previous_run_crashed(tmp_path)

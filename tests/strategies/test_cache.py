"""The stale-cache trap: after an edit the new code runs, in every way an edit can happen."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.core.support import account, bar, settings
from tests.strategies.support import CROSS, finish, in_child, start_child, write

from gmobot.strategies import cache as cache_module
from gmobot.strategies.cache import load_generated
from gmobot.strategies.loader import load
from gmobot.strategies.program import DecisionCore

HELPED = CROSS.replace("MINE = user_bit(0)", "from trend_helper import SURE, weight\n\nMINE = user_bit(0)").replace(
    "params.confidence, MINE", "weight(params.confidence) * SURE, MINE"
)
HELPER = """from gmobot.core.compiled import compiled

SURE = 1.0


@compiled
def weight(x):
    return x
"""


def confidence(ref: str, folder: Path) -> float:
    return DecisionCore(load(ref, cache_dir=folder), settings()).step(bar(), account()).confidence


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_an_edit_is_seen(tmp_path: Path) -> None:
    ref, folder = write(tmp_path), tmp_path / "cache"
    first = in_child(ref, folder)
    assert (first["confidence"], first["hits"], first["misses"]) == (0.5, 0, 2)
    before = files(folder)
    assert len(before) >= 4
    second = in_child(ref, folder)
    assert (second["confidence"], second["hits"], second["misses"]) == (0.5, 2, 0)
    assert files(folder) == before
    write(tmp_path, CROSS.replace("confidence, MINE", "confidence * 0.5, MINE"))
    third = in_child(ref, folder)
    assert (third["confidence"], third["misses"]) == (0.25, 2)
    assert third["hash"] != second["hash"]


@pytest.mark.slow
def test_an_edit_of_what_the_strategy_imports_is_seen(tmp_path: Path) -> None:
    ref, folder, paths = write(tmp_path, HELPED), tmp_path / "cache", {"PYTHONPATH": str(tmp_path)}
    helper = tmp_path / "trend_helper.py"
    halved = HELPER.replace("return x\n", "return x * 0.5\n")
    found = []
    for text in (HELPER, halved, halved.replace("SURE = 1.0", "SURE = 0.5")):
        helper.write_text(text)
        found.append(in_child(ref, folder, **paths)["confidence"])
    assert found == [0.5, 0.25, 0.125]


@pytest.mark.slow
def test_an_edit_of_a_module_on_the_path_is_seen_by_the_next_process(tmp_path: Path) -> None:
    write(tmp_path, CROSS, "my_cross.py")
    found = [in_child("my_cross:Cross", tmp_path / "cache", PYTHONPATH=str(tmp_path))["confidence"]]
    write(tmp_path, CROSS.replace("confidence, MINE", "confidence * 0.5, MINE"), "my_cross.py")
    found.append(in_child("my_cross:Cross", tmp_path / "cache", PYTHONPATH=str(tmp_path))["confidence"])
    assert found == [0.5, 0.25]


def test_an_edit_is_seen_within_one_process(tmp_path: Path) -> None:
    ref, folder = write(tmp_path), tmp_path / "cache"
    assert confidence(ref, folder) == 0.5
    write(tmp_path, CROSS.replace("confidence, MINE", "confidence * 0.5, MINE"))
    assert confidence(ref, folder) == 0.25


def test_a_helper_edited_after_its_import_never_poisons_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, helper = tmp_path / "cache", tmp_path / "trend_helper.py"
    ref = write(tmp_path, HELPED)
    helper.write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        __import__("trend_helper")
        # This process has the old helper in memory and compiles it; the next one reads the new file.
        helper.write_text(HELPER.replace("return x\n", "return x * 0.5\n"))
        assert confidence(ref, folder) == 0.5
    finally:
        sys.modules.pop("trend_helper", None)
    assert in_child(ref, folder, PYTHONPATH=str(tmp_path))["confidence"] == 0.25


@pytest.mark.slow
def test_a_constant_computed_at_import_is_part_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CROSS.replace("MINE = user_bit(0)", 'import os\n\nSURE = float(os.environ["SURE_OF_IT"])\nMINE = user_bit(0)').replace(
        "params.confidence, MINE", "params.confidence * SURE, MINE"
    )
    ref, folder = write(tmp_path, text), tmp_path / "cache"
    found = [in_child(ref, folder, SURE_OF_IT=sure)["confidence"] for sure in ("1.0", "0.5")]
    assert found == [0.5, 0.25]


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    ref, folder = write(tmp_path), tmp_path / "cache"
    children = [start_child(ref, folder) for _ in range(4)]
    assert [finish(child)["confidence"] for child in children] == [0.5] * 4
    last = in_child(ref, folder)
    assert (last["hits"], last["misses"]) == (2, 0)


TEXT = "VALUE = 1\n"


def test_a_directory_that_cannot_be_written_falls_back_to_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module = load_generated("toy", TEXT, "fa11bac4", Path("/proc/gmobot"))
    assert Path(str(module.__file__)).is_relative_to(tmp_path / "gmobot")


def test_what_a_read_only_cache_ships_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, home = tmp_path / "image", tmp_path / "home"
    shipped = Path(str(load_generated("toy", TEXT, "5eed", image).__file__)).parent
    (shipped / "__pycache__").mkdir(exist_ok=True)
    (shipped / "__pycache__" / "toy.nbc").write_bytes(b"machine code")
    writable = cache_module._writable
    monkeypatch.setattr(cache_module, "_writable", lambda folder: not folder.is_relative_to(image) and writable(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    for name in [name for name in sys.modules if name.startswith("gmobot_generated_") and name.endswith("_toy")]:
        del sys.modules[name]
    folder = Path(str(load_generated("toy", TEXT, "5eed", image).__file__)).parent
    assert folder == home / "gmobot" / shipped.name
    assert (folder / "__pycache__" / "toy.nbc").read_bytes() == b"machine code"
    assert (folder / "toy.py").stat().st_mtime_ns == (shipped / "toy.py").stat().st_mtime_ns
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_a_temporary_folder_of_somebody_else_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    own = cache_module._private_temporary()
    assert own == tmp_path / f"gmobot-cache-{os.getuid()}"
    own.chmod(0o777)
    other = cache_module._private_temporary()
    try:
        assert other != own
        assert other.stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(other)


def test_old_directories_go_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "not_a_hash").mkdir()
    for number in range(cache_module._KEPT + 5):
        folder = tmp_path / f"{number:024x}"
        folder.mkdir()
        os.utime(folder, (number, number))
    load_generated("toy", TEXT, "0dd", tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert {"mine.txt", "not_a_hash", f"{cache_module._KEPT + 4:024x}"} <= left
    assert f"{4:024x}" not in left
    assert len(left) == cache_module._KEPT + 3


@pytest.mark.parametrize("switch", ["BOUNDSCHECK", "OPT"])
def test_the_compilers_switches_are_part_of_the_name(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_module.target.cache_clear()
    before = cache_module.target()
    cache_module.target.cache_clear()
    monkeypatch.setattr(f"numba.config.{switch}", 17)
    assert cache_module.target() != before
    cache_module.target.cache_clear()

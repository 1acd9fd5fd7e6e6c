"""The harness itself: which mutants it makes, that it takes them back, and that a planted one runs."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Source
from tests.mutation.planting import LiveFunctions
from tests.mutation.subjects import SUBJECTS

TEXT = '''"""Texts are left alone: 1 + 1."""

MOST = 3


class Box:
    """Holds."""

    def put(self, lots: int, *, sure: bool = False) -> int:
        """Put lots."""
        if lots <= MOST and (sure or lots > 0):
            self.log("kept {0}")
            self.held = min(lots, MOST)
            log.info("told", lots=lots + 1)
        return (lambda one: one + lots)(1)
'''
WANTED = {
    "module: 3 → 4",
    "module: 3 → 2",
    "module: False → True",
    "Box.put: lots <= MOST and (sure or lots > 0) → not (lots <= MOST and (sure or lots > 0))",
    "Box.put: lots <= MOST and (sure or lots > 0) → lots <= MOST or (sure or lots > 0)",
    "Box.put: lots <= MOST and (sure or lots > 0) → sure or lots > 0",
    "Box.put: lots <= MOST and (sure or lots > 0) → lots <= MOST",
    "Box.put: lots <= MOST → lots < MOST",
    "Box.put: sure or lots > 0 → sure and lots > 0",
    "Box.put: sure or lots > 0 → lots > 0",
    "Box.put: sure or lots > 0 → sure",
    "Box.put: lots > 0 → lots >= 0",
    "Box.put: 0 → 1",
    "Box.put: self.log('kept {0}') → pass",
    "Box.put: self.held = min(lots, MOST) → pass",
    "Box.put: min(lots, MOST) → max(lots, MOST)",
    "Box.put: return (lambda one: one + lots)(1) → return None",
    "Box.put: one + lots → one - lots",
    "Box.put: 1 → 2",
    "Box.put: 1 → 0",
}


def written(directory: Path) -> Path:
    path = directory / "box.py"
    path.write_text(TEXT)
    return path


def imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("box", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_part_that_does_something_is_made_wrong_and_nothing_else(tmp_path: Path) -> None:
    assert {mutant.name for mutant in Source(written(tmp_path)).mutants} == WANTED


def test_a_mutant_is_taken_back(tmp_path: Path) -> None:
    source = Source(written(tmp_path))
    before = ast.dump(source.tree)
    for mutant in source.mutants:
        assert source.compiled(mutant) != source.sound(), mutant.name
        assert ast.dump(source.tree) == before, mutant.name


def test_a_planted_mutant_runs_wherever_its_function_is_held(tmp_path: Path) -> None:
    path = written(tmp_path)
    box = imported(path)
    put = box.Box.put
    source = Source(path)
    mutant = next(mutant for mutant in source.mutants if mutant.name == "Box.put: one + lots → one - lots")
    assert put(box.Box(), 10) == 11
    assert LiveFunctions([path]).plant(source.sound(), source.compiled(mutant)) == 1
    assert put(box.Box(), 10) == -9


def test_a_mutant_names_the_lines_a_test_must_have_run(tmp_path: Path) -> None:
    lines = {mutant.name: mutant.lines for mutant in Source(written(tmp_path)).mutants}
    assert lines["Box.put: 0 → 1"] == (11, 11), "the head of a statement, without its body"
    assert lines["Box.put: 1 → 2"] == (15, 15)


def test_names_tell_all_mutants_of_the_subjects_apart() -> None:
    for path in SUBJECTS:
        names = [mutant.name for mutant in Source(path).mutants]
        assert len(names) == len(set(names)), path

"""One folder a seed: two that play the same one do not meet, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.simulation.folder import Folder

PLAY = """
from tests.simulation.folder import Folder
for _ in range(300):
    folder = Folder(987_654)
    assert not list(folder.path.iterdir())
    (folder.path / "mine").mkdir()
    folder.remove()
"""


def test_who_comes_second_gets_one_of_its_own_and_what_is_free_again_has_its_old_name() -> None:
    first, second = Folder(987_653), Folder(987_653)
    assert first.path != second.path
    second.remove()
    third = Folder(987_653)
    assert third.path != first.path
    first.remove()
    third.remove()
    again = Folder(987_653)
    assert again.path == first.path
    again.remove()
    assert not list(first.path.parent.glob("987653*"))


def test_many_that_come_and_go_never_meet() -> None:
    root = Path(__file__).parents[2]
    players = [subprocess.Popen([sys.executable, "-c", PLAY], cwd=root) for _ in range(4)]
    assert [player.wait(60) for player in players] == [0] * 4

"""Every planted fault still has its place in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.planted.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_text_it_replaces_is_there_once(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.before) == 1

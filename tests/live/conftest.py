"""The bench for every test of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.live.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An order manager that is not open yet."""
    return Bench(tmp_path)

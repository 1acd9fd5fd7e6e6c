"""Daemons of the simulation say nothing, and afterwards logs are what they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from tests.simulation.__main__ import silence


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    before = structlog.get_config()
    silence()
    yield
    structlog.configure(**before)

"""The command line for every test of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.run_cli import Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``gmobot`` with a var folder of its own."""
    return Cli(tmp_path, monkeypatch, capsys)

"""Runs ``gmobot`` in this process as the entry point would, with everything it writes below one folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gmobot.cli import main
from gmobot.secrets import SecretName

REPO = Path(__file__).parents[2]
DEFAULT = REPO / "configs" / "default.yaml"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


class Cli:
    """The command line, for one test."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.var = directory / "v"
        self.config = DEFAULT
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("GMOBOT__PATHS__VAR", str(self.var))
        for name in (*SecretName, "HEALTH_PORT", "GMOBOT_CONFIG"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *arguments: str, config: bool = True) -> Outcome:
        """Run a command; ``--config`` is added unless told otherwise."""
        given = [*arguments, "--config", str(self.config)] if config else list(arguments)
        self._monkeypatch.setattr(sys, "argv", ["gmobot", *given])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = self._capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

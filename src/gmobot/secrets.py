"""Secrets: found in files first and in the environment second, and never shown.

A :class:`Secret` prints as ``***`` wherever it goes by accident: in a repr, a log line, an f-string,
a pickle. Only :meth:`Secret.reveal` gives the bytes, and every call of it can be found with one search.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

DEFAULT_DIRECTORY = Path("/run/secrets")


class SecretName(StrEnum):
    """The secrets gmobot knows, by their environment variable."""

    API_KEY = "GMO_API_KEY"
    API_SECRET = "GMO_API_SECRET"
    DISCORD_WEBHOOK_URL = "DISCORD_WEBHOOK_URL"
    NOTIFY_URLS = "GMOBOT_NOTIFY_URLS"
    """Apprise URLs, one a line."""
    HEARTBEAT_URL = "GMOBOT_HEARTBEAT_URL"
    CONTROL_TOKEN = "GMOBOT_CONTROL_TOKEN"

    @property
    def file_name(self) -> str:
        """Name of the file below the secrets directory."""
        return self.value.lower().removeprefix("gmobot_")


class Secret:
    """Bytes that no accident prints."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else value

    def reveal(self) -> bytes:
        """Return the secret itself. Keep it out of anything that is stored or printed."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret and where it came from.

    Attributes:
        source: A path or the name of an environment variable, fit for an operator's eyes.
        warning: What is unsafe about that source, or ``None``.
    """

    name: SecretName
    value: Secret
    source: str
    warning: str | None = None


def find_secret(name: SecretName, *, environ: Mapping[str, str] | None = None, directory: Path | None = None) -> FoundSecret | None:
    """Look a secret up: ``<NAME>_FILE``, then the secrets directory, then the variable itself.

    An empty file or variable counts as absent, so that Compose's ``${GMO_API_KEY:-}`` means "not set".

    Raises:
        OSError: A named file exists but cannot be read.
    """
    env = os.environ if environ is None else environ
    named = env.get(f"{name.value}_FILE")
    candidates = [Path(named)] if named else []
    candidates.append((directory or DEFAULT_DIRECTORY) / name.file_name)
    for path in candidates:
        if path.is_file():
            value = path.read_bytes().strip()
            if value:
                return FoundSecret(name, Secret(value), str(path), _mode_warning(path))
    text = env.get(name.value, "").strip()
    if text:
        warning = f"{name.value} comes from the environment, which `docker inspect` shows; prefer a file"
        return FoundSecret(name, Secret(text), name.value, warning)
    return None


def searched_places(name: SecretName, *, directory: Path | None = None) -> str:
    """Say where :func:`find_secret` looks, for an error message."""
    return f"{(directory or DEFAULT_DIRECTORY) / name.file_name}, {name.value}_FILE, {name.value}"


def _mode_warning(path: Path) -> str | None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IROTH:
        return f"{path} can be read by every user (mode {mode:o}); run: chmod o-r {path}"
    return None

"""Program logs: JSON lines in a rotated file and on stdout, with every known secret masked.

What a secret must never reach is decided here, at the last step before a line is written, whatever the
line was about: its values are searched, not its keys.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from gmobot.secrets import Secret

_MASK = "***"
_TOKEN_PATH = re.compile(r"(/ws/private/v1/)[^\s\"'?#]+")
_SHORTEST = 4
"""A secret shorter than this would mask half of every line."""
_FILE_BYTES = 10_485_760
_FILES = 5


class Masker:
    """Replaces known secrets and stream tokens in everything it is given."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._texts = [text for text in (secret.reveal().decode(errors="replace") for secret in secrets) if len(text) >= _SHORTEST]

    def mask(self, value: Any) -> Any:  # noqa: ANN401
        """Return a value with nothing secret in it."""
        if isinstance(value, str):
            for text in self._texts:
                value = value.replace(text, _MASK)
            return _TOKEN_PATH.sub(rf"\1{_MASK}", value)
        if isinstance(value, Mapping):
            return {key: self.mask(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask(item) for item in value]
        return value if isinstance(value, int | float | bool | None) else self.mask(str(value))

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
        """Mask a log event (a structlog processor)."""
        return {key: self.mask(value) for key, value in event.items()}


def configure(directory: Path | None, *, secrets: Iterable[Secret] = (), console: bool = False) -> None:
    """Set logging up for this process.

    Args:
        directory: Where ``gmobot.log`` goes, ``None`` for stdout only.
        secrets: What must never be written.
        console: Readable lines on stdout instead of JSON.
    """
    masker = Masker(secrets)
    shared: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    handlers[0].setFormatter(_formatter(shared, masker, console=console))
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(directory / "gmobot.log", maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8")
        file.setFormatter(_formatter(shared, masker, console=False))
        handlers.append(file)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _formatter(shared: list[Any], masker: Masker, *, console: bool) -> logging.Formatter:
    final = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()) if console else structlog.processors.JSONRenderer(serializer=json.dumps)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, masker, final],
    )

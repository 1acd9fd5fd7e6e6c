"""Program logs: JSON lines in a rotated file and on stdout, with every known secret masked.

What a secret must never reach is decided here, at the last step before a line is written, whatever the
line was about: its texts are searched for the secrets themselves, in every spelling that quoting gives
them, and for what cannot be known beforehand (stream tokens, signatures, webhook paths) by its shape.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
import sys
import urllib.parse
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import structlog

from gmobot.secrets import Secret

_MASK: Final = "***"
_SHAPES: Final = (
    re.compile(r"(/ws/private/v1/)[^\s\"'?#]+"),
    re.compile(r"(/api/webhooks/)[^\s\"'?#]+"),
    re.compile(
        r"((?:API-KEY|API-SIGN|Authorization|Cookie)[\"']?\s*[:=,]\s*(?:b?[\"'])?(?:(?:Bearer|Basic)\s+)?)[^\s\"',;)}]+", re.IGNORECASE
    ),
)
"""What is secret by its shape: a stream's token, a webhook, a header that signs or authorises."""
_NEVER: Final = frozenset({"headers", "request_headers", "authorization", "api-key", "api-sign", "cookie"})
"""Keys whose value is never shown."""
_SHORTEST: Final = 4
"""A secret shorter than this would mask half of every line."""
_FILE_BYTES = 10_485_760
_FILES = 5


class Masker:
    """Replaces known secrets and stream tokens in everything it is given."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._texts: list[str] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Mask more secrets from now on; those of before stay masked."""
        wholes = {whole for secret in secrets for whole in _wholes(secret.reveal().decode(errors="replace"))}
        known = {text for whole in wholes for text in _spellings(whole)}.union(self._texts)
        # The longest first: a secret that begins with another one must not keep its end.
        self._texts = sorted((text for text in known if len(text) >= _SHORTEST), key=len, reverse=True)

    def mask(self, value: Any) -> Any:  # noqa: ANN401
        """Return a value with nothing secret in it."""
        if isinstance(value, str):
            for text in self._texts:
                value = value.replace(text, _MASK)
            for shape in _SHAPES:
                value = shape.sub(rf"\1{_MASK}", value)
            return value
        if isinstance(value, Mapping):
            return {self.mask(str(key)): _MASK if str(key).lower() in _NEVER else self.mask(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.mask(item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        masked = self.mask(str(value))
        return value if isinstance(value, int | float) and masked == str(value) else masked

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
        """Mask a log event (a structlog processor)."""
        masked: dict[str, Any] = self.mask(event)
        return masked


def _wholes(text: str) -> set[str]:
    """Return a secret, and where it is a list, each line of it: every one is a secret of its own."""
    return {text, *(line.strip() for line in text.splitlines())}


def _spellings(text: str) -> set[str]:
    """Return a text as it looks plain, inside a repr, inside JSON and inside a URL."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], urllib.parse.quote(text, safe=""), urllib.parse.quote(text)}


class _File(logging.handlers.RotatingFileHandler):
    """The log file. When the disk is full it stays behind in silence: stdout has every line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Do nothing: logging's own answer prints the raw, unmasked record."""


def configure(directory: Path | None, *, secrets: Iterable[Secret] = (), console: bool = False) -> Masker:
    """Set logging up for this process; return what masks its lines, for secrets that come later.

    Args:
        directory: Where ``gmobot.log`` goes, ``None`` for stdout only.
        secrets: What must never be written.
        console: Readable lines on stdout instead of JSON.
    """
    masker = Masker(secrets)
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    handlers[0].setFormatter(_formatter(shared, masker, console=console))
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        file = _File(directory / "gmobot.log", maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8")
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
        processors=[*shared, structlog.stdlib.PositionalArgumentsFormatter(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return masker


def _formatter(shared: list[Any], masker: Masker, *, console: bool) -> logging.Formatter:
    final = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()) if console else structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            masker,
            final,
        ],
    )

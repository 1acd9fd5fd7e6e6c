"""Generated modules and where their machine code is kept, under a name that cannot go stale.

Numba caches a function of a real module that finds what it calls at the module's top level, and it does
not notice when one of those was edited. So each strategy gets a small generated module in a directory
whose name hashes everything that went into it: sources (see :mod:`gmobot.strategies.sources`), the
versions of Numba, NumPy and Python, the processor, and the compiler's switches. An edit is a new directory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from numba import config
from numba.core.registry import cpu_target

_KEPT = 64
"""Directories kept in a cache; the least recently made go first."""
_SWITCHES = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DISABLE_JIT")
_STAMP_NS = 1_000_000_000 * 10**9
"""Every generated file's time of change: Numba compares it, and image layers drop fractions of seconds."""


def load_generated(name: str, source: str, fingerprint: str, directory: Path | None = None) -> ModuleType:
    """Write a generated module under its fingerprint (unless it is there) and import it.

    Args:
        name: File name without ending.
        source: Its whole text.
        fingerprint: Of everything the text imports and of the text itself, in hexadecimal digits.
        directory: Cache root; by default ``GMOBOT_CACHE_DIR``, else the user's cache directory. Where it
            cannot be written, what it holds is copied to the next of these that can.
    """
    key = hashlib.sha256(f"{fingerprint} {target()}".encode()).hexdigest()[:24]
    module_name = f"gmobot_generated_{key}_{name}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    path = _folder(key, directory) / f"{name}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != source:
        _write(path, source)
    return import_file(module_name, path)


def import_file(module_name: str, path: Path) -> ModuleType:
    """Import a file under a name of our choice."""
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


@lru_cache(maxsize=1)
def target() -> str:
    """Name what machine code depends on beside the sources: Numba itself looks at the processor only."""
    switches = [getattr(config, name) for name in _SWITCHES]
    return f"{cpu_target.target_context.codegen().magic_tuple()} {switches}"


def _roots(directory: Path | None) -> Iterator[Path]:
    named = directory or os.environ.get("GMOBOT_CACHE_DIR")
    if named:
        yield Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    yield Path(home) / "gmobot"
    yield _private_temporary()


def _folder(key: str, directory: Path | None) -> Path:
    """Return a folder that can be written, holding what any of the roots already has for this key."""
    shipped: Path | None = None
    for root in _roots(directory):
        folder = root / key
        if shipped is not None and not folder.is_dir():
            _copy(shipped, folder)
        if _writable(folder):
            _prune(root, folder)
            return folder
        if folder.is_dir() and shipped is None:
            shipped = folder
    raise OSError("no cache directory can be written; name one in GMOBOT_CACHE_DIR")


def _private_temporary() -> Path:
    """Return a folder of ours below the temporary directory; never one that somebody else put there."""
    folder = Path(tempfile.gettempdir()) / f"gmobot-cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return folder
    if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="gmobot-cache-"))


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _copy(source: Path, folder: Path) -> None:
    """Copy a folder so that no other process ever sees half of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(dir=folder.parent)) / folder.name
        shutil.copytree(source, copy)
        for path in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            path.chmod(0o700)
    except OSError:
        return
    with suppress(OSError):  # Another process was faster: its copy is as good.
        copy.replace(folder)
    shutil.rmtree(copy.parent, ignore_errors=True)


def _prune(root: Path, fresh: Path) -> None:
    """Remove the oldest directories of former sources. A process that still runs one has it in memory."""
    try:
        old = [path for path in root.iterdir() if re.fullmatch(r"[0-9a-f]{24}", path.name) and path != fresh]
        old.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    except OSError:
        return
    for path in old[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    # Two processes may do this at once: the same text, and a rename is atomic.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(text)
    os.utime(file.name, ns=(_STAMP_NS, _STAMP_NS))
    Path(file.name).replace(path)

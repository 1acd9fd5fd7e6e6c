"""Generated modules and where their machine code is kept, under a name that cannot go stale.

Numba caches a function of a real module that finds what it calls at the module's top level, and it does
not notice when one of those was edited. So each strategy gets a small generated module in a directory
whose name hashes every source that went into it: the strategy's file, all of ``core``, the generator,
and the versions of Numba, NumPy and Python. An edit is a new directory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numba
import numpy as np

import gmobot.core


@lru_cache(maxsize=1)
def _base_hash() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version}".encode())
    folders = [Path(gmobot.core.__file__).parent, Path(__file__).parent]
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def source_hash(texts: Iterable[bytes]) -> str:
    """Return the fingerprint of some sources together with everything compiled code always depends on."""
    digest = hashlib.sha256(_base_hash().encode())
    for text in texts:
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:24]


def load_generated(name: str, source: str, fingerprint: str, directory: Path | None = None) -> ModuleType:
    """Write a generated module under its fingerprint (unless it is there) and import it.

    Args:
        name: File name without ending.
        source: Its whole text.
        fingerprint: From :func:`source_hash`, covering this text and all it imports of the user's.
        directory: Cache root; by default ``GMOBOT_CACHE_DIR``, else the user's cache directory.
    """
    module_name = f"gmobot_generated_{fingerprint}_{name}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    folder = _folder(directory or _default_root(), fingerprint)
    path = folder / f"{name}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != source:
        _write(path, source)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _default_root() -> Path:
    named = os.environ.get("GMOBOT_CACHE_DIR")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "gmobot"


def _folder(root: Path, fingerprint: str) -> Path:
    """Return a writable folder for a fingerprint, seeded from a read-only one that ships with an image."""
    folder = root / fingerprint
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        fallback = Path(tempfile.gettempdir()) / f"gmobot-cache-{os.getuid()}" / fingerprint
        if folder.is_dir() and not fallback.is_dir():
            shutil.copytree(folder, fallback)
        fallback.mkdir(parents=True, exist_ok=True, mode=0o700)
        return fallback


def _write(path: Path, text: str) -> None:
    # Two processes may do this at once: the same text, and a rename is atomic.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)

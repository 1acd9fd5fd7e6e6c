"""Where a seed keeps its files: the same path whoever plays it, because messages name it, and the log must be the same."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path


class Folder:
    """A seed's own folder, in memory where that can be, held by one process at a time.

    Attributes:
        path: It. While another process plays the same seed, one of this process's own.
    """

    def __init__(self, seed: int) -> None:
        shared_memory = Path("/dev/shm")
        root = (shared_memory if shared_memory.is_dir() else Path(tempfile.gettempdir())) / f"gmobot-sim-{os.getuid()}"
        root.mkdir(exist_ok=True)
        self._lock = _taken(root / f"{seed}.lock")
        self.path = root / (str(seed) if self._lock is not None else f"{seed}-{os.getpid()}")
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()

    def remove(self) -> None:
        """Delete it and let others have it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            Path(self._lock.name).unlink()
            self._lock.close()
            self._lock = None


def _taken(name: Path) -> TextIOWrapper | None:
    """Return the lock's file, held, or ``None`` when somebody else holds it."""
    while True:
        file = name.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == name.stat().st_ino:
                return file
        # Who held it until now has deleted it: this is nobody's file any more.
        file.close()

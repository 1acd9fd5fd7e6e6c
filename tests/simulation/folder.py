"""Where a seed keeps its files: the same path whoever plays it, because messages name it, and the log must be the same."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
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
        self._name = root / f"{seed}.lock"
        self._lock = self._name.open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path = root / str(seed)
        except BlockingIOError:
            self.path = root / f"{seed}-{os.getpid()}"
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()

    def remove(self) -> None:
        """Delete it and let others have it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._name.unlink(missing_ok=True)
        self._lock.close()

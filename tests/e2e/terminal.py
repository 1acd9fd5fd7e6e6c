"""A shell on a terminal: programs that ask whether somebody sits there are told yes."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path


def type_in(command: str, *, folder: Path, env: dict[str, str], seconds: float) -> tuple[int, str]:
    """Give a command to a shell; return its exit code and what it showed. What takes too long is ended."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        shown = _read_until_closed(master, process, time.monotonic() + seconds)
    finally:
        os.close(master)
    return process.wait(timeout=10), shown.decode(errors="replace").replace("\r\n", "\n")


def _read_until_closed(master: int, process: subprocess.Popen[bytes], deadline: float) -> bytes:
    shown = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            os.killpg(process.pid, signal.SIGKILL)
            return shown + b"\n(ended: it took too long)"
        if not select.select([master], [], [], min(left, 0.5))[0]:
            if process.poll() is not None:
                return shown
            continue
        try:
            chunk = os.read(master, 65_536)
        except OSError:  # How Linux says that nobody holds the other end any more.
            return shown
        if not chunk:
            return shown
        shown += chunk

"""A shell on a terminal: programs that ask whether somebody sits there are told yes."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

_LOOK_SECONDS = 0.02
"""How long nothing is done where nothing was to be read."""


def type_in(command: str, *, folder: Path, env: dict[str, str], seconds: float) -> tuple[int, str]:
    """Give a command to a shell; return its exit code and what it showed. What takes too long is ended."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        shown = _read_until_ended(master, process, time.monotonic() + seconds)
    finally:
        # Not a moment before the shell has ended: closing this side hangs up, and that would end the shell.
        os.close(master)
    return process.wait(timeout=10), shown.decode(errors="replace").replace("\r\n", "\n")


def _read_until_ended(master: int, process: subprocess.Popen[bytes], deadline: float) -> bytes:
    shown = b""
    while True:
        ended = process.poll() is not None
        chunk = _read(master)
        shown += chunk
        if ended and not chunk:
            return shown
        if time.monotonic() >= deadline:
            os.killpg(process.pid, signal.SIGKILL)
            return shown + b"\n(ended: it took too long)"
        if not chunk:
            time.sleep(_LOOK_SECONDS)


def _read(master: int) -> bytes:
    """Return what is there to be read, without waiting."""
    if not select.select([master], [], [], 0.0)[0]:
        return b""
    try:
        return os.read(master, 65_536)
    except OSError:  # How Linux says that nobody holds the other end (any more, or for the moment).
        return b""

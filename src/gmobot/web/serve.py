"""Listening: on a TCP port, and on a unix socket that only its owner may use."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from aiohttp import web

from gmobot.errors import ConfigError

_GRACE_SECONDS = 1.0


async def serve_tcp(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve on a TCP port; ``cleanup()`` of what is returned ends it.

    Raises:
        OSError: The port is taken.
    """
    runner = await _runner(app)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


async def serve_unix(app: web.Application, path: Path) -> web.AppRunner:
    """Serve on a unix socket; ``cleanup()`` of what is returned ends it.

    Raises:
        ConfigError: The path cannot be a socket.
    """
    listener = _bind(path)
    runner = await _runner(app)
    await web.SockSite(runner, listener).start()
    return runner


async def _runner(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    return runner


def _bind(path: Path) -> socket.socket:
    """Bind a socket that is never open to others, not even for a moment; one that a crash left gives way."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ConfigError(f"{path}: cannot be a socket ({error}); set paths.var to a short path that this user may write to") from None
    finally:
        os.umask(before)
    return listener

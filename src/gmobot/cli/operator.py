"""What the web and the control socket see and command of a daemon."""

from __future__ import annotations

from collections.abc import Mapping

from gmobot.errors import StoreError
from gmobot.live.daemon import Daemon
from gmobot.live.progress import run_progress
from gmobot.ops.artifacts import RunProgress


class DaemonView:
    """A daemon's read model."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def progress(self) -> RunProgress:
        """Return where the run stands."""
        return run_progress(self._daemon)

    def checks(self) -> Mapping[str, bool]:
        """Return the health checks by name."""
        return self._daemon.checks()

    def ready(self) -> bool:
        """Return whether the daemon could trade now."""
        return self._daemon.ready()


class DaemonControls:
    """An operator's commands, carried out on a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def command(self, name: str, *, acknowledge: bool, source: str) -> str | None:
        """Carry out a command; return why not, or ``None``."""
        commands = self._daemon.commands
        if commands is None:
            return "the daemon is still starting; try again in a moment"
        try:
            if name == "resume":
                return await commands.resume(source, acknowledge=acknowledge)
            if name == "flatten":
                return await commands.flatten(source)
            await {"pause": commands.pause, "halt": commands.halt}[name](source)
        except StoreError as error:
            return str(error)
        return None

"""The network of the daemon's machine: connections that are refused now and then, and an outage of everything."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase

from tests.simulation.trouble import Wire

from gmobot.emulator.protocol.sockets import Hub
from gmobot.errors import NotSent

CONNECT = "connect"
"""What opening a socket is called here, as among the faults."""


class Net:
    """Decides what leaves the machine at all."""

    def __init__(self, wire: Wire, hub: Hub, draw: random.Random) -> None:
        self._wire = wire
        self._hub = hub
        self._draw = draw
        self._refusing: list[tuple[str, float]] = []

    @property
    def down(self) -> bool:
        """Whether nothing leaves, and nothing comes back."""
        return self._wire.cut

    def pass_out(self, path: str) -> None:
        """Let something leave.

        Raises:
            NotSent: Its connection is refused: nothing of it reached the exchange, and whoever sends it is told so.
        """
        refused = self.down or any(fnmatchcase(path, where) and self._draw.random() < chance for where, chance in self._refusing)
        if refused:
            self._wire.refused(path)
            raise NotSent("the connection was refused")

    def refuse(self, where: str, chance: float) -> None:
        """Refuse a share of the connections for a path, or for sockets."""
        self._refusing.append((where, chance))

    def accept(self, where: str, chance: float) -> None:
        """Refuse them no longer."""
        if (where, chance) in self._refusing:
            self._refusing.remove((where, chance))

    def fail(self, *, silently: bool) -> None:
        """Cut everything off: no connection is accepted, no reply arrives, and every socket is dead, whether or not that shows."""
        self._wire.cut = True
        for socket in list(self._hub._sockets):
            if silently:
                socket.silent = True
            else:
                socket.drop()

    def come_back(self) -> None:
        """Let everything pass again."""
        if self.down:
            self._wire.back()

    def mend(self) -> None:
        """Let everything pass, always."""
        self._refusing = []
        self.come_back()

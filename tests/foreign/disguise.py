"""The emulator under the exchange's own name, for clients that are not ours and are not changed.

It is a process of its own with ``--tls``. A client's resolver leads ``api.coin.z.com`` to it, whatever the port,
and no other name anywhere; the client trusts the certificate authority that the emulator has made for the day.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

HOST = "api.coin.z.com"


class _OnlyTheEmulator(AbstractResolver):
    """Knows one name."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        if host != HOST or port != 443:
            raise OSError(f"{host}:{port} is nobody here")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self._port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return


class Disguised:
    """``gmobot exchange --tls`` as a process."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-u", "-m", "gmobot", "exchange", "--port", "0", "--tls", str(folder), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("GMO Coin emulator on https://"), line + self._process.stdout.read()
        self._port = int(line.split()[4].rpartition(":")[2])
        self._trusted = ssl.create_default_context(cafile=folder / "ca.pem")

    def connector(self) -> aiohttp.TCPConnector:
        """Return a way to the exchange's name that leads here; one for each client."""
        return aiohttp.TCPConnector(ssl=self._trusted, resolver=_OnlyTheEmulator(self._port))

    async def ask(self, path: str) -> Any:
        """Ask what only the emulator has."""
        async with aiohttp.ClientSession(connector=self.connector()) as session, session.get(f"https://{HOST}/emulator/v1{path}") as reply:
            assert reply.status == 200
            return json.loads(await reply.text())

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

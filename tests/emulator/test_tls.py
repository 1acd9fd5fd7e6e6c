"""The emulator under the exchange's own name: who believes it, and what its authority cannot do."""

from __future__ import annotations

import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.emulator.support import Desk

from gmobot.clock import SystemClock
from gmobot.emulator import tls
from gmobot.emulator.server import EmulatorServer
from gmobot.errors import ConfigError

pytest.importorskip("cryptography")
pytestmark = pytest.mark.filterwarnings("ignore:SSL connection is closed:ResourceWarning")


class _Loopback(AbstractResolver):
    """Every name leads here."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        return


@asynccontextmanager
async def _served(context: ssl.SSLContext) -> AsyncIterator[int]:
    clock: Any = SystemClock()
    server = EmulatorServer(Desk(clock=clock).api)
    await server.start("127.0.0.1", 0, tls=context)
    try:
        yield server.port
    finally:
        await server.close()


@asynccontextmanager
async def _client(trusted: Path | None) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=trusted)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, resolver=_Loopback())) as session:
        yield session


async def test_a_client_written_for_production_trades_unchanged_when_it_trusts_the_authority(tmp_path: Path) -> None:
    async with _served(tls.server_context(tmp_path, SystemClock())) as port, _client(tmp_path / "ca.pem") as session:
        async with session.get(f"https://api.coin.z.com:{port}/public/v1/status") as reply:
            assert (await reply.json())["data"]["status"] == "OPEN"
        ws = await session.ws_connect(f"wss://api.coin.z.com:{port}/ws/public/v1")
        await ws.send_str('{"command":"subscribe","channel":"Orderbooks","symbol":"BTC"}')
        assert "channel" in (await ws.receive_json(timeout=5))["error"]
        await ws.close()
        async with session.get(f"https://localhost:{port}/public/v1/status") as reply:
            assert reply.status == 200


async def test_a_client_that_does_not_trust_it_refuses(tmp_path: Path) -> None:
    async with _served(tls.server_context(tmp_path, SystemClock())) as port, _client(None) as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"https://api.coin.z.com:{port}/public/v1/status")


@pytest.mark.parametrize(("name", "address"), [("bank.example", None), ("coin.z.com", None), ("localhost", "192.0.2.1")])
async def test_the_authority_cannot_vouch_for_anybody_else(name: str, address: str | None, tmp_path: Path) -> None:
    authority = tls.make_authority(SystemClock())
    certificate, key = authority.sign((name,), (address,) if address else ())
    (tmp_path / "ca.pem").write_bytes(tls._pem(authority.certificate))
    (tmp_path / "server.pem").write_bytes(tls._pem(certificate))
    tls.write_key(tmp_path / "key.pem", key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "key.pem")
    async with _served(context) as port, _client(tmp_path / "ca.pem") as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="permitted subtree violation"):
            await session.get(f"https://{name}:{port}/public/v1/status")


def test_the_authority_s_key_is_nowhere_and_the_server_s_is_the_owner_s(tmp_path: Path) -> None:
    tls.server_context(tmp_path, SystemClock())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "server-key.pem", "server.pem"]
    assert stat.S_IMODE((tmp_path / "server-key.pem").stat().st_mode) == 0o600
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes() + (tmp_path / "server.pem").read_bytes()
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == tls.DAYS


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--tls .*name a folder"):
        tls.server_context(tmp_path / "file", SystemClock())


def test_without_the_package_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"gmobot\[emulator\]"):
        tls.server_context(tmp_path, SystemClock())

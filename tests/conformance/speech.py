"""How the suite speaks: aiohttp, the standard library, and a signer of its own. Nothing of gmobot is imported here.

Client and emulator cannot agree on the same mistake when neither is asked how a request is signed.

Source: reference/gmo-coin-api.md §1, §2.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

QUIET_SECONDS = 0.04
"""What the exchange had to say on a socket is in the machine's buffers when its reply is; it is read within this."""
PATIENCE_SECONDS = 10.0
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_UNTIMED = {2, 4, 5}
"""Body statuses whose captured replies carry no ``responsetime`` (§1.2)."""


def signed_headers(key: str, secret: str, at_ms: int, method: str, path: str, body: str = "") -> dict[str, str]:
    """Return the three headers of a private request.

    Args:
        key: API key.
        secret: Its secret.
        at_ms: Unix time in milliseconds.
        method: Upper-case.
        path: From ``/v1`` on, without the query.
        body: As it is sent; PUT and DELETE send one that is not signed.
    """
    text = f"{at_ms}{method}{path}{body if method == 'POST' else ''}"
    sign = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"API-KEY": key, "API-TIMESTAMP": str(at_ms), "API-SIGN": sign}


@dataclass(frozen=True)
class Answer:
    """One reply, and what must hold for every reply of its kind."""

    http: int
    text: str
    headers: Mapping[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """The envelope."""
        found = json.loads(self.text)
        assert isinstance(found, dict), self.text
        return found

    @property
    def data(self) -> Any:
        """The data of a reply that succeeded and has some."""
        assert self.http == 200, self
        assert set(self.body) == {"status", "data", "responsetime"}, self.text
        self._check_success()
        return self.body["data"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The list of a reply; an empty result has none."""
        data = self.data
        assert data == {} or data["list"], self.text
        rows: list[dict[str, Any]] = data.get("list", [])
        return rows

    def done(self) -> None:
        """Check a success without data."""
        assert self.http == 200, self
        assert set(self.body) == {"status", "responsetime"}, self.text
        self._check_success()

    def refused(self, code: str, *, status: int = 1, http: int = 200) -> str:
        """Check an error reply and return its text."""
        assert self.http == http, self
        body = self.body
        assert set(body) == {"status", "messages"} | (set() if status in _UNTIMED else {"responsetime"}), self.text
        assert body["status"] == status, self.text
        (message,) = body["messages"]
        assert set(message) == {"message_code", "message_string"}, self.text
        assert message["message_code"] == code, self.text
        assert "responsetime" not in body or _MOMENT.fullmatch(body["responsetime"]), self.text
        found = message["message_string"]
        assert isinstance(found, str), self.text
        return found

    @property
    def code(self) -> str | None:
        """The message code, ``None`` on success."""
        messages = self.body.get("messages")
        return messages[0]["message_code"] if messages else None

    def _check_success(self) -> None:
        assert type(self.body["status"]) is int, self.text
        assert self.body["status"] == 0, self.text
        assert _MOMENT.fullmatch(self.body["responsetime"]), self.text


class Stream:
    """A client's end of a WebSocket. Frames are read as they come, so that none is missed and silence can be told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._frames: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read())
        self.pongs = 0
        self.pings = 0
        self.answers_pings = True

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._reader.done()

    @property
    def close_code(self) -> int | None:
        """How it ended."""
        return self._socket.close_code

    @property
    def extensions(self) -> str:
        """What the server agreed to."""
        found: str = self._socket._response.headers.get("Sec-WebSocket-Extensions", "")
        return found

    async def send(self, text: str) -> None:
        """Send a text frame."""
        await self._socket.send_str(text)

    async def ping(self) -> None:
        """Send a protocol ping."""
        await self._socket.ping()

    async def take(self, count: int, seconds: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Return the next frames, and check that there were so many and no more."""
        found = await self.first(count, seconds)
        await asyncio.sleep(QUIET_SECONDS)
        assert not self._frames, f"after {found} came {self._frames}"
        return found

    async def first(self, count: int, seconds: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Return the next frames, whatever comes after them."""
        try:
            async with asyncio.timeout(seconds):
                while len(self._frames) < count and not self.closed:
                    await asyncio.sleep(0.002)
        except TimeoutError:
            pass
        assert len(self._frames) >= count, f"{count} frames were expected, there are {self._frames}"
        found, self._frames = self._frames[:count], self._frames[count:]
        return found

    async def silent(self) -> None:
        """Check that nothing comes."""
        await self.take(0)

    async def error(self) -> str:
        """Return the text of an error frame."""
        (frame,) = await self.take(1)
        assert set(frame) == {"error"}, frame
        text = frame["error"]
        assert isinstance(text, str)
        return text

    async def ended(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for the connection to end."""
        await asyncio.wait({self._reader}, timeout=seconds)
        assert self.closed, "the socket is still open"

    async def close(self) -> None:
        """Close from this end."""
        await self._socket.close()
        await self._reader

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self._frames.append(json.loads(message.data))
                case aiohttp.WSMsgType.PONG:
                    self.pongs += 1
                case aiohttp.WSMsgType.PING:
                    self.pings += 1
                    if self.answers_pings:
                        await self._socket.pong(message.data)
                case _:
                    return

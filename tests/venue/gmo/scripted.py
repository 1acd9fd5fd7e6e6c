"""A transport that answers from a script, and replies as GMO Coin words them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from gmobot.clock import iso_utc
from gmobot.venue.transport import Reply, Request, Socket, Timeouts

Answer = Reply | Exception | Callable[[Request], Reply]


class Scripted:
    """Answers what it was told, in order, the last for ever."""

    def __init__(self, *answers: Answer, seconds: float = 0.0) -> None:
        self._answers = list(answers)
        self._seconds = seconds
        self.requests: list[Request] = []

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await asyncio.sleep(self._seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else answer(request)

    async def connect(self, path: str, *, timeout: float) -> Socket:
        raise NotImplementedError

    async def close(self) -> None:
        pass

    def targets(self) -> list[str]:
        """What was asked, without the room."""
        return [request.target.removeprefix("/private").removeprefix("/public") for request in self.requests]

    def bodies(self) -> list[Any]:
        """What was sent along."""
        return [json.loads(request.body) for request in self.requests]


def said(data: Any = None, *, http: int = 200, at_ns: int | None = None) -> Reply:
    body = {"status": 0} | ({} if data is None else {"data": data}) | ({} if at_ns is None else {"responsetime": iso_utc(at_ns)})
    return Reply(http, json.dumps(body).encode())


def failed(code: str, *, status: int = 1, http: int = 200, text: str = "no") -> Reply:
    return Reply(http, json.dumps({"status": status, "messages": [{"message_code": code, "message_string": text}]}).encode())

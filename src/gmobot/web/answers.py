"""JSON answers."""

from __future__ import annotations

import msgspec
from aiohttp import web


def answer(data: object, *, status: int = 200) -> web.Response:
    """Return data as a JSON response."""
    return web.Response(body=msgspec.json.encode(data), status=status, content_type="application/json")

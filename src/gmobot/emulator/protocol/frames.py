"""WebSocket frames as bytes: made once, then written to any number of sockets.

Messages are deflated without context takeover (as the exchange negotiates it), so the bytes of a frame do not
depend on the socket it goes to.

Source: reference/gmo-coin-api.md §7.1; RFC 6455 §5, RFC 7692 §7.
"""

from __future__ import annotations

import re
import struct
import zlib
from functools import lru_cache

PING = b"\x89\x00"
_TEXT = 0x81
_COMPRESSED = 0x40
_DEFLATE_TAIL = b"\x00\x00\xff\xff"
_LARGEST_WINDOW = 15
_FASTEST = 1
_OFFER = re.compile(r"permessage-deflate(?P<options>[^,]*)")
_WINDOW = re.compile(r"server_max_window_bits=\"?(\d+)")


@lru_cache(maxsize=512)
def text_frame(text: str, window: int) -> bytes:
    """Return a server's frame of a text.

    Args:
        text: The message.
        window: Bits of the deflate window, 0 for no compression.
    """
    payload, first = text.encode(), _TEXT
    if window:
        deflate = zlib.compressobj(_FASTEST, zlib.DEFLATED, -window)
        payload = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_DEFLATE_TAIL)
        first |= _COMPRESSED
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def agree(offer: str) -> tuple[str, int]:
    """Return what a server says to a client's extensions and the window it compresses with; empty and 0 for none."""
    found = _OFFER.search(offer)
    if found is None:
        return "", 0
    asked = _WINDOW.search(found["options"])
    window = int(asked[1]) if asked else _LARGEST_WINDOW
    if not 9 <= window <= _LARGEST_WINDOW:
        return "", 0
    answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    return (f"{answer}; server_max_window_bits={window}" if asked else answer), window

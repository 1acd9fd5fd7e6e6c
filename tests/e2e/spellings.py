"""Every way in which a secret could be written down, and the search for all of them."""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterable
from pathlib import Path


def spellings(secret: str) -> set[bytes]:
    """Return a secret plain, quoted for JSON, HTML, a URL and Python, in base64 at any place of a longer text, and in hex."""
    raw = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    texts = {secret, escaped, json.dumps(escaped)[1:-1], escaped.replace("/", "\\/"), repr(secret)[1:-1], repr(raw)[2:-1]}
    texts |= {html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")}
    for once in (urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)):
        lower = re.sub("%..", lambda found: found[0].lower(), once)
        texts |= {once, lower, once.replace("%", "%25")}
    found = {text.encode() for text in texts} | {raw.hex().encode(), raw.hex().upper().encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # What the neighbours do not touch: the characters that are made of the secret's bits alone.
            first, last = -(-8 * shift // 6), (8 * (shift + len(raw))) // 6
            found.add(encode(bytes(shift) + raw)[first:last])
    return found


def leaks(places: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """Return where which secret was found, in which spelling, in all files below some folders."""
    wanted = [(secret, spelling) for secret in secrets for spelling in spellings(secret)]
    found = []
    for place in places:
        for file in sorted(path for path in place.rglob("*") if path.is_file()):
            content = file.read_bytes()
            found += [f"{file}: {secret} as {spelling.decode()}" for secret, spelling in wanted if spelling in content]
    return found

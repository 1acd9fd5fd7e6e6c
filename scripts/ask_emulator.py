"""Ask what only the emulator has: ``docker-compose exec -T exchange python - METHOD PATH [BODY] < scripts/ask_emulator.py``."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request


def main() -> int:
    """Print the answer; return the exit code."""
    method, path, *body = sys.argv[1:]
    url = f"http://127.0.0.1:9755/emulator/v1{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body[0].encode() if body else None, method=method), timeout=10) as reply:
            print(reply.read().decode())
    except urllib.error.HTTPError as error:
        print(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

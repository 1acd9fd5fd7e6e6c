"""Who signed since a moment, from the emulator's access record on standard input: only the key that should have.

``python - MOMENT NEW OLD… < record``, with keys by name; nothing that is secret is in a record, and no key is printed.
Exit 1 with ``failed_check=rotation.REASON`` when an old key was used after the moment, the new one never, or in vain.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Print what was found; return the exit code."""
    moment, new, *old = sys.argv[1:]
    record = json.load(sys.stdin)["access"]
    after = [row for row in record if row["at"] >= moment]
    by_new = [row for row in after if row["key"] == new]
    others = {row["key"] for row in after} - {new}
    print(f"signed_with_the_new_key={len(by_new)} signed_with_another={len(after) - len(by_new)} before={len(record) - len(after)}")
    if others:
        reason = "old_key_used_after_switch" if others & set(old) else "unknown_key_used_after_switch"
    elif not by_new:
        reason = "new_key_never_used"
    elif refused := sorted({row["error"] for row in by_new if row["error"]}):
        reason = f"new_key_refused {' '.join(refused)}"
    else:
        return 0
    print(f"failed_check=rotation.{reason}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

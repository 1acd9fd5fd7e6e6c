"""The soak itself, inside the bot's container: ``docker-compose exec -T bot python - SECONDS < scripts/soak_check.py``.

Faults are armed, memory is looked at, the faults are taken back, the bot pauses, the market stands still, and the bot's
books are held against the exchange's. What is wrong is printed, each line ``failed_check=…``, and the exit code is 1.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from decimal import Decimal
from typing import Any

EXCHANGE = "http://exchange:9755/emulator/v1"
BOT = f"http://127.0.0.1:{os.environ.get('HEALTH_PORT') or 9754}"
DATABASE = "file:var/state/gmobot.db?mode=ro"
LOOK_SECONDS = 2.0
CALM_SECONDS = 15.0
"""After the faults: both delays after which absence counts, and a comparison with the exchange."""
REST_SECONDS = 120.0
WARM_SHARE = 0.25
"""Of the looks: buffers and pools fill at first."""
GROWS_BYTES = 16 * 2**20
WRITES = ("/v1/order", "/v1/cancelOrder")
FAULTS: tuple[tuple[str, str, float], ...] = (
    *(("reply_lost_before", path, 0.03) for path in WRITES),
    *(("reply_lost_after", path, 0.05) for path in WRITES),
    *(("server_error", path, 0.03) for path in WRITES),
    ("reply_slow", "/v1/*", 0.02),
    ("hidden", "/v1/order", 0.1),
    ("rate_limited", "/v1/*", 0.01),
    ("event_lost", "*Events", 0.05),
    ("event_duplicated", "*Events", 0.1),
    ("event_reordered", "*Events", 0.05),
    ("socket_dropped", "trades", 0.0001),
)


def main() -> int:
    """Soak, compare, and say what is wrong; return the exit code."""
    seconds = float(sys.argv[1])
    for fault, where, probability in FAULTS:
        ask("POST", "/faults", {"fault": fault, "where": where, "probability": probability, "times": None})
    maintenance = {"after_seconds": seconds / 3, "seconds": 10, "preopen_seconds": 5}
    ask("POST", "/faults", {"fault": "maintenance", **maintenance})
    memory = watch(seconds)
    struck = sum(ask("GET", "/faults")["struck"].values())
    ask("DELETE", "/faults")
    time.sleep(CALM_SECONDS)
    subprocess.run(["gmobot", "pause"], check=True, stdout=subprocess.DEVNULL)
    rested = rests()
    ask("POST", "/status", {"status": "PREOPEN"})
    time.sleep(CALM_SECONDS)
    books = next(iter(ask("GET", "/ledger").values()))
    wrong = [*rested, *growth(memory), *differences(books)]
    orders, executions = len(books["orders"]), len(books["executions"])
    if not struck or not executions:
        wrong.append(f"soak.too_short {struck} faults struck and there were {executions} executions: soak longer")
    print(f"faults={struck} orders={orders} executions={executions} rss_mib={mib(memory[0])}..{mib(max(memory))}")
    for line in wrong:
        print(f"failed_check={line}")
    return 1 if wrong else 0


def watch(seconds: float) -> list[float]:
    """Return the bot's memory over the time, in bytes."""
    deadline, found = time.monotonic() + seconds, [resident()]
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        found.append(resident())
    return found


def resident() -> float:
    """Return the bot's resident memory as it tells it itself."""
    with urllib.request.urlopen(f"{BOT}/metrics", timeout=5) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("process_resident_memory_bytes "):
                return float(line.split()[1])
    raise SystemExit("failed_check=metrics.incomplete process_resident_memory_bytes is not there")


def growth(memory: list[float]) -> list[str]:
    """Return that memory grows, if it does: the last third of the looks after warming up lies above the first."""
    warm = memory[int(len(memory) * WARM_SHARE) :]
    third = max(1, len(warm) // 3)
    before, after = (sorted(part)[len(part) // 2] for part in (warm[:third], warm[-third:]))
    return [f"memory.grows from {mib(before)} to {mib(after)} MiB"] if after - before > GROWS_BYTES else []


def rests() -> list[str]:
    """Wait until nothing is unknown and what is held is protected; return that it is not, in time."""
    deadline = time.monotonic() + REST_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{BOT}/api/v1/progress", timeout=5) as reply:
            run = json.load(reply)
        waiting = [row for row in run["instruments"] if row["unknown_orders"] or not (row["protected"] or Decimal(row["position"]) == 0)]
        if run["status"] == "paused" and run["monitor_status"] == "active" and not waiting:
            return []
        time.sleep(1.0)
    return [f"bot.restless {run['status']}, {run['monitor_status']}, {waiting}, {run['last_error']}"]


def differences(books: dict[str, Any]) -> list[str]:
    """Return what the bot's database and the exchange's books do not have in common."""
    theirs = {(int(row["executionId"]), int(row["orderId"]), row["side"]) for row in books["executions"]}
    with closing(sqlite3.connect(DATABASE, uri=True, timeout=10)) as db:
        fills = db.execute("SELECT execution_id, order_id, side FROM fills").fetchall()
        known = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL")}
        shared = db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL GROUP BY order_id HAVING COUNT(*) > 1").fetchall()
        unresolved = db.execute("SELECT COUNT(*) FROM intents WHERE state IN ('intent', 'unknown')").fetchone()[0]
    resting = {int(row["orderId"]) for row in books["orders"] if row["status"] in ("WAITING", "ORDERED")}
    # One that ended without a fill before anybody could see it cannot be told from one that never arrived.
    filled = {int(row["orderId"]) for row in books["orders"] if Decimal(row["executedSize"])}
    found = {
        f"fills.lost {sorted(theirs - set(fills))}": theirs - set(fills),
        f"fills.invented {sorted(set(fills) - theirs)}": set(fills) - theirs,
        f"fills.doubled {len(fills)} bookings of {len(set(fills))}": len(fills) != len(set(fills)),
        f"orders.without_intent {sorted((filled | resting) - known)}": (filled | resting) - known,
        f"orders.sent_twice {shared}": shared,
        f"orders.unresolved {unresolved}": unresolved,
    }
    return [what for what, differs in found.items() if differs]


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
    """Ask what only the emulator has."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(EXCHANGE + path, data, method=method), timeout=10) as reply:
        return json.load(reply)


def mib(size: float) -> int:
    """Return bytes in MiB."""
    return round(size / 2**20)


if __name__ == "__main__":
    sys.exit(main())

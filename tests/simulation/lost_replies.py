"""``python -m tests.simulation.lost_replies --cases N``: replies to every kind of write are lost in every way.

In each case there is exactly one live order for what was meant, within the assumed visibility delay; beyond it, and
where a look-alike of another hand cannot be told apart, the manager is halted with an alarm. No request is ever sent
twice, and each has its own intent on disk before it leaves. Prints how long it took to find out.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import structlog
from tests.simulation.loop import VirtualLoop
from tests.simulation.lost_cases import ACTS, Case, drawn
from tests.simulation.lost_check import goal, trouble
from tests.simulation.lost_manager import PRICE, Manager

from gmobot.emulator.engine.exchange import NewOrder

CALM_SECONDS = 20.0
"""After everything was to be seen: long enough to find out twice."""
CALMEST_SECONDS = 15.0
GRACE_SECONDS = 2.0
_LEAVING = ("exit_market", "exit_limit", "close_market", "close_limit", "bulk_market", "bulk_limit", "cancel_entry")


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a case.

    Attributes:
        seconds: From when a reply was given up until its outcome was known; ``None`` where a person must decide, or the
            exchange did not keep to the assumed delay.
        trouble: What should not have been; empty when all is well.
    """

    case: Case
    halted: bool
    seconds: float | None
    trouble: str


async def play(manager: Manager) -> Found:
    """Lose a reply and see what comes of it."""
    case, does = manager.case, manager.case.does
    await manager.open()
    try:
        target = goal(manager)
        await _prepare(manager, target)
        if case.hand and case.hand_at < 0:
            manager.by_other_hand(_look_alike(manager))
            await asyncio.sleep(-case.hand_at)
        elif case.hand:
            manager.loop.call_later(case.hand_at, lambda: manager.by_other_hand(_look_alike(manager)))
        _arm(manager)
        wanted = 0 if case.act in _LEAVING else target
        stop = _stop(manager, does.stop[1])
        manager.want(wanted, stop=stop)
        await asyncio.sleep(case.unseen + CALM_SECONDS)
        manager.api.faults.disarm()
        manager.transport.armed = 0
        manager.quote()
        if case.follows:
            wanted = -wanted if case.follows == "turn" else wanted
            manager.want(wanted, stop=stop)
        await asyncio.sleep(CALMEST_SECONDS)
        return Found(case, bool(manager.alarms), _seconds(manager), trouble(manager, wanted, stop))
    finally:
        await manager.close()


async def _prepare(manager: Manager, target: int) -> None:
    does = manager.case.does
    if does.holds:
        # In two pieces: then it takes a close of all, unless somebody else's stands beside them.
        if manager.case.act.startswith("bulk"):
            manager.want(target // 2)
            await asyncio.sleep(2.0)
        manager.want(target, stop=_stop(manager, does.stop[0]))
        await asyncio.sleep(3.0)
    elif manager.case.act == "cancel_entry":
        manager.want(target)
        await asyncio.sleep(2.0)
    if manager.symbol.endswith("_JPY"):
        await manager.look()


def _arm(manager: Manager) -> None:
    case, faults = manager.case, manager.api.faults
    if case.events == "lost":
        faults.arm("event_lost", where="*Events", times=None)
    elif case.events == "late":
        faults.arm("event_delayed", where="*Events", times=None, seconds=case.event_seconds)
    if case.act.endswith("_limit") and case.does.holds:
        manager.quote(thin=True)
    manager.transport.armed = 2 if case.again else 1


def _stop(manager: Manager, distance: int) -> int:
    return (PRICE - distance if manager.case.long else PRICE + distance) if distance else 0


def _look_alike(manager: Manager) -> NewOrder:
    """Return an order by hand that cannot be told from the one the case is about."""
    case, does, size = manager.case, manager.case.does, manager.instrument.size(abs(goal(manager)))
    if case.act == "stop":
        return NewOrder(case.symbol, "SELL", "STOP", "FAK", size, Decimal(_stop(manager, does.stop[1])))
    if case.act == "exit_market":
        return NewOrder(case.symbol, "SELL", "MARKET", "FAK", size, None)
    side = "BUY" if case.long else "SELL"
    if case.act == "entry_market":
        return NewOrder(case.symbol, side, "MARKET", "FAK", size, None)
    ahead = does.style.offset_ticks + 50 if case.act == "entry_limit" else -does.style.offset_ticks - 50
    return NewOrder(case.symbol, side, "LIMIT", "FAS", size, Decimal(PRICE + ahead if case.long else PRICE - ahead))


def _seconds(manager: Manager) -> float | None:
    case, store = manager.case, manager.store
    if not case.in_time or case.collides or not manager.transport.lost_at:
        return None
    if case.does.places:
        return max((store.known[number] - at for number, at in store.given_up.items() if number in store.known), default=None)
    ends = store.moved if case.act == "change_stop" else store.ended
    after = [at - manager.transport.lost_at[0] for at in ends.values() if at >= manager.transport.lost_at[0]]
    return min(after, default=None)


def run_case(number: int) -> Found:
    """Play one case on a loop of its own; never raises."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    case, loop = drawn(number), VirtualLoop(number)
    shared_memory = Path("/dev/shm")
    var = Path(tempfile.mkdtemp(prefix="gmobot-lost-", dir=shared_memory if shared_memory.is_dir() else None))
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(play(Manager(case, loop, var)))
    except BaseException:  # whatever it is, the case must be named
        return Found(case, halted=False, seconds=None, trouble=traceback.format_exc(limit=-6))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(var, ignore_errors=True)


def main() -> int:
    """Play the cases; exit code 1 when one goes wrong."""
    parser = argparse.ArgumentParser(prog="tests.simulation.lost_replies")
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    started = time.monotonic()
    numbers = range(options.first, options.first + options.cases)
    with ProcessPoolExecutor(options.jobs) as pool:
        found = list(pool.map(run_case, numbers, chunksize=20))
    sys.stdout.write(report(found))
    slow = too_slow(found)
    sys.stdout.write(f"too slow: {', '.join(slow)}\n" if slow else f"every act's p99 is within its assumed delay + {GRACE_SECONDS:g} s\n")
    sys.stdout.write(f"{time.monotonic() - started:.0f} s\n")
    return 1 if slow or any(case.trouble for case in found) else 0


def too_slow(found: list[Found]) -> list[str]:
    """Return the acts whose outcome took longer to know, in one case of a hundred, than the assumed delay and a grace."""
    over: dict[str, list[float]] = defaultdict(list)
    for one in found:
        if one.seconds is not None:
            over[one.case.act].append(one.seconds - one.case.assumed_seconds)
    return [act for act, seconds in over.items() if quantile(sorted(seconds), 0.99) > GRACE_SECONDS]


def report(found: list[Found]) -> str:
    """Return what the cases showed, an act a line."""
    lines = [f"{'':14}{'cases':>7}{'halted':>8}{'beyond':>8}{'twins':>7}   seconds to find out: p50    p99    most\n"]
    by_act: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_act[one.case.act].append(one)
    lines += [_line(act, by_act[act]) for act in ACTS if act in by_act]
    lines.append(_line("all", found))
    wrong = [one for one in found if one.trouble]
    lines += [f"case {one.case.number} WENT WRONG: {one.trouble}\n  {one.case}\n" for one in wrong[:10]]
    lines.append(f"{len(wrong)} of {len(found)} cases went wrong\n")
    return "".join(lines)


def _line(name: str, found: list[Found]) -> str:
    halted, beyond = sum(one.halted for one in found), sum(not one.case.in_time for one in found)
    seconds = sorted(one.seconds for one in found if one.seconds is not None)
    shown = "".join(f"{value:7.2f}" for value in (quantile(seconds, 0.5), quantile(seconds, 0.99), quantile(seconds, 1.0)))
    return f"{name:14}{len(found):7}{halted:8}{beyond:8}{sum(one.case.collides for one in found):7}{'':21}{shown}\n"


def quantile(ordered: Iterable[float], share: float) -> float:
    """Return a quantile of ordered values, 0 of none: the smallest value that so large a share does not exceed."""
    values = list(ordered)
    return values[max(0, -int(-share * len(values) // 1) - 1)] if values else 0.0


if __name__ == "__main__":
    sys.exit(main())

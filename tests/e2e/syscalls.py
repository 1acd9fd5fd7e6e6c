"""What a process asked of the kernel, from strace's record: which order left when, and what of it was on disk by then."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TRACED = "fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg"
OPTIONS = ("-f", "--seccomp-bpf", "-qq", "-yy", "-s", "4200", "-e", "signal=none", "-e", f"trace={TRACED}")
"""Threads too; what each descriptor is; strings as long as a page of the database."""
_CALL = re.compile(r"(\d+) +(\w+)\((\d+)<(.*)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_UNFINISHED = "<unfinished ...>"
_POST = re.compile(r'"POST /private/v1/(order|closeOrder|closeBulkOrder|changeOrder) HTTP')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call.

    Attributes:
        begun: Line at which it was entered.
        done: Line at which it returned; the record is in the order of both.
        what: File, or ``TCP:[…]``, behind the descriptor; then the arguments and the result.
    """

    name: str
    begun: int
    done: int
    what: str

    @property
    def succeeded(self) -> bool:
        """Whether it returned something else than an error."""
        return " = -1 " not in self.what[-200:]

    @property
    def on_wal(self) -> bool:
        """Whether it is about the database's write-ahead log."""
        return "gmobot.db-wal>" in self.what[:400]

    @property
    def posts(self) -> str | None:
        """Path of the order request it sends, or ``None``."""
        found = _POST.search(self.what) if self.what.startswith("TCP") else None
        return found.group(1) if found else None


def calls(lines: Iterable[str]) -> list[Call]:
    """Return the calls of a record, in the order in which they were entered."""
    found: list[Call] = []
    waiting: dict[tuple[str, str], Call] = {}
    for number, line in enumerate(lines):
        if (resumed := _RESUMED.match(line)) is not None:
            call = waiting.pop((resumed.group(1), resumed.group(2)))
            found.append(Call(call.name, call.begun, number, call.what + resumed.group(3)))
        elif (entered := _CALL.match(line)) is not None:
            thread, name, what = entered.group(1), entered.group(2), entered.group(4).rstrip()
            call = Call(name, number, number, what.removesuffix(_UNFINISHED))
            if what.endswith(_UNFINISHED):
                waiting[thread, name] = call
            else:
                found.append(call)
    return sorted(found, key=lambda call: call.begun)


def premature(record: Sequence[Call], intents: Sequence[str]) -> list[str]:
    """Return which orders left before what was meant was safe on disk, and how.

    Args:
        record: Of the whole run.
        intents: The audit outbox's text of each order that was to leave, in their order: the same transaction writes it
            beside the intent.
    """
    sent = [call for call in record if call.posts is not None]
    found = [] if len(sent) == len(intents) else [f"{len(sent)} orders left, {len(intents)} were meant to"]
    for number, (post, text) in enumerate(zip(sent, intents, strict=False), start=1):
        written = [call for call in record if call.on_wal and call.name.startswith("pwrite") and _escaped(text) in call.what]
        first = min((call.done for call in written), default=None)
        if first is None or first > post.begun:
            found.append(f"{post.posts} {number} left before its intent was written")
        elif not any(_syncs(call) and first < call.begun and call.done < post.begun for call in record):
            found.append(f"{post.posts} {number} left before its intent was on disk")
    return found


def _syncs(call: Call) -> bool:
    return call.on_wal and call.name in ("fsync", "fdatasync") and call.succeeded


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

"""From events to one message: what is quiet now, what was said already, and what fits.

Everything here is pure: a state and news go in, lines and the next state come out. Whoever sends them keeps the
next state only once they arrived, so a message that was lost is made again, with what happened meanwhile.

Nothing can become a storm: what repeats within its time is told first and last, and one message holds
:data:`MOST_LINES` lines, the rest as a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from gmobot.clock import JST, NS_PER_SECOND
from gmobot.ops.day_summary import DayFigures, summary
from gmobot.ops.notices import Notice, Severity
from gmobot.ops.words import Language, Said

MOST_LINES: Final = 15
MOST_CHARACTERS: Final = 1_900
"""Discord takes 2,000."""
_LONGEST_HOLD_NS: Final = 3_600 * NS_PER_SECOND
_MARKS: Final = {Severity.INFO: "🟢", Severity.WARNING: "🟠", Severity.CRITICAL: "🔴"}
_AGAIN: Final = Said("（同じ知らせがほかに {} 件）", " (and {} more like it)")
_REST: Final = Said("…ほか {} 件は監査ログを見てください", "…and {} more: see the audit log")
_DIGEST: Final = Said("静かな時間帯のまとめ: {} 件", "While it was quiet: {}")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of the day, in minutes after midnight JST; it may go over midnight."""

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """Read ``23:00-07:00``; nothing means never."""
        if not text:
            return cls(0, 0)
        begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
        return cls(begin, end)

    def holds(self, at_ns: int) -> bool:
        """Return whether it is quiet at a moment."""
        moment = datetime.fromtimestamp(at_ns // NS_PER_SECOND, JST)
        minute = moment.hour * 60 + moment.minute
        if self.begin <= self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@dataclass(frozen=True, slots=True)
class Manner:
    """How people want to be told.

    Attributes:
        label: Stands before every message: which bot it is.
    """

    language: Language
    least: Severity
    quiet: QuietHours
    fills: bool = True
    daily_summary: bool = True
    label: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """A notice and when its event happened."""

    at_ns: int
    notice: Notice


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of one key, and what happened since.

    Attributes:
        told: Words of the last one that was told.
        until_ns: Until when the next ones wait.
        hold_ns: How long that is each time.
        is_state: Whether it tells how something now is.
        waits: Words of the latest of those that wait, ``None`` for none.
        at_ns: When that happened.
        severity: How badly that one matters.
        count: How many wait.
    """

    told: str
    until_ns: int
    hold_ns: int
    is_state: bool
    waits: str | None = None
    at_ns: int = 0
    severity: int = 0
    count: int = 0


class TellerState(msgspec.Struct, frozen=True, kw_only=True):
    """How far one channel has been told.

    Attributes:
        seq: Audit events up to here were looked at.
        held_seq: Audit events up to here were told or will never be; those up to ``seq`` wait for the end of quiet hours.
        day: The last trading day that was summed up.
    """

    seq: int
    held_seq: int
    day: int
    folds: dict[str, Fold] = {}


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent now, and what is known once it has arrived."""

    text: str | None
    severity: Severity
    state: TellerState


@dataclass(frozen=True, slots=True)
class _Line:
    severity: Severity
    text: str


class Composer:
    """Makes messages for one channel."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def compose(
        self, state: TellerState, *, now_ns: int, seq: int, news: Sequence[News], held: Sequence[News], days: Sequence[DayFigures]
    ) -> Message:
        """Return what to send.

        Args:
            state: How far this channel has been told.
            now_ns: Wall time.
            seq: Number of the last audit event that was looked at.
            news: What happened after ``state.seq``, up to ``seq``.
            held: What waited for the end of quiet hours; looked at only when it has come.
            days: Days that ended after ``state.day``.
        """
        quiet = self._manner.quiet.holds(now_ns)
        folds = dict(state.folds)
        lines = self._held_lines(held, folds) if not quiet else []
        if not quiet and self._manner.daily_summary:
            lines += [self._line(News(now_ns, summary(day)), dated=False) for day in days if self._wanted(summary(day))]
        for item in news:
            if self._wanted(item.notice) and not (quiet and item.notice.severity < Severity.CRITICAL) and self._is_due(folds, item):
                lines.append(self._line(item))
        lines += self._waited_for(folds, now_ns, quiet=quiet)
        after = TellerState(
            seq=seq,
            held_seq=state.held_seq if quiet else seq,
            day=state.day if quiet or not days else days[-1].day,
            folds=folds,
        )
        worst = max((line.severity for line in lines), default=Severity.INFO)
        return Message(self._fit(lines) if lines else None, worst, after)

    def _wanted(self, notice: Notice) -> bool:
        return notice.severity >= self._manner.least and (self._manner.fills or not notice.key.startswith("fill:"))

    def _line(self, item: News, *, dated: bool = True) -> _Line:
        return self._written(item.at_ns, item.notice.severity, item.notice.in_(self._manner.language), dated=dated)

    @staticmethod
    def _written(at_ns: int, severity: Severity, text: str, *, dated: bool = True) -> _Line:
        when = f"{datetime.fromtimestamp(at_ns // NS_PER_SECOND, JST):%m/%d %H:%M:%S} " if dated else ""
        return _Line(severity, f"{_MARKS[severity]} {when}{text}")

    def _is_due(self, folds: dict[str, Fold], item: News) -> bool:
        """Take note of a notice. Returns whether it is told at once."""
        notice, text = item.notice, item.notice.in_(self._manner.language)
        former = folds.get(notice.key)
        if former is not None and notice.hold_seconds and (former.waits is not None or item.at_ns < former.until_ns):
            folds[notice.key] = msgspec.structs.replace(
                former, waits=text, at_ns=item.at_ns, severity=int(notice.severity), count=former.count + 1
            )
            return False
        if notice.hold_seconds or notice.is_state:
            hold_ns = round(notice.hold_seconds * NS_PER_SECOND)
            folds[notice.key] = Fold(told=text, until_ns=item.at_ns + hold_ns, hold_ns=hold_ns, is_state=notice.is_state)
        return not (notice.is_state and former is not None and former.waits is None and former.told == text)

    def _waited_for(self, folds: dict[str, Fold], now_ns: int, *, quiet: bool) -> list[_Line]:
        """Return the last of those that repeated, once their time is over; forget what is past."""
        lines = []
        for key, fold in list(folds.items()):
            if now_ns < fold.until_ns or (quiet and fold.waits is not None and fold.severity < Severity.CRITICAL):
                continue
            if fold.waits is None:
                if not fold.is_state:
                    del folds[key]
                continue
            # What goes on and on is told ever more rarely; how something now is, never late.
            hold_ns = fold.hold_ns if fold.is_state else min(2 * fold.hold_ns, _LONGEST_HOLD_NS)
            folds[key] = Fold(told=fold.waits, until_ns=now_ns + hold_ns, hold_ns=hold_ns, is_state=fold.is_state)
            if not fold.is_state or fold.waits != fold.told:
                lines.append(self._written(fold.at_ns, Severity(fold.severity), fold.waits + self._more(fold.count)))
        return lines

    def _more(self, count: int) -> str:
        """Return what stands behind the last of several."""
        return _AGAIN.in_(self._manner.language).format(count - 1) if count > 1 else ""

    def _held_lines(self, held: Iterable[News], folds: dict[str, Fold]) -> list[_Line]:
        """Return what was not told while it was quiet: of each key the last, and how many there were."""
        latest: dict[str, tuple[News, int]] = {}
        for item in held:
            if self._wanted(item.notice) and item.notice.severity < Severity.CRITICAL:
                count = latest.pop(item.notice.key, (item, 0))[1]
                latest[item.notice.key] = (item, count + 1)
        if not latest:
            return []
        lines = []
        for key, (item, count) in latest.items():
            # What waited from before is older than this.
            folds.pop(key, None)
            lines.append(self._written(item.at_ns, item.notice.severity, item.notice.in_(self._manner.language) + self._more(count)))
        head = _DIGEST.in_(self._manner.language).format(sum(count for _, count in latest.values()))
        return [_Line(max(line.severity for line in lines), head), *lines]

    def _fit(self, lines: list[_Line]) -> str:
        """Return one message. What matters most is in it for certain; what has no room is a number at its end."""
        room = MOST_CHARACTERS - len(self._manner.label) - 40
        chosen: set[int] = set()
        for place in sorted(range(len(lines)), key=lambda at: (-lines[at].severity, at)):
            length = len(lines[place].text) + 1
            if len(chosen) < MOST_LINES and length <= room:
                chosen.add(place)
                room -= length
        texts = [lines[place].text for place in sorted(chosen)]
        if len(chosen) < len(lines):
            texts.append(_REST.in_(self._manner.language).format(len(lines) - len(chosen)))
        return self._manner.label + "\n".join(texts)

"""What is told now, what waits, and what one message holds."""

from __future__ import annotations

import itertools
from datetime import datetime

import msgspec
import pytest

from gmobot.clock import JST, NS_PER_SECOND
from gmobot.ops.day_summary import DayFigures
from gmobot.ops.digest import MOST_CHARACTERS, MOST_LINES, Composer, Manner, Message, News, QuietHours, TellerState
from gmobot.ops.notices import Notice, Severity
from gmobot.ops.words import Said

INFO, WARNING, CRITICAL = Severity
NOON = int(datetime(2026, 1, 5, 12, 0, tzinfo=JST).timestamp()) * NS_PER_SECOND
NIGHT = QuietHours.parse("23:00-07:00")
BEGIN = TellerState(seq=0, held_seq=0, day=0)


def at(hour: int, minute: int = 0, day: int = 5) -> int:
    return int(datetime(2026, 1, day, hour, minute, tzinfo=JST).timestamp()) * NS_PER_SECOND


def manner(**changes: object) -> Manner:
    return Manner(**({"language": "en", "least": INFO, "quiet": QuietHours(0, 0)} | changes))  # type: ignore[arg-type]


def news(text: str, severity: Severity = INFO, *, at_ns: int = NOON, key: str = "", hold: float = 0.0, state: bool = False) -> News:
    return News(at_ns, Notice(severity, key or text, Said(f"「{text}」", text), hold, is_state=state))


class Reader:
    """One channel whose every message arrives."""

    def __init__(self, **changes: object) -> None:
        self.composer = Composer(manner(**changes))
        self.state = BEGIN
        self.seq = 0
        self.log: list[News] = []

    def hears(self, *items: News, now_ns: int = NOON, days: tuple[DayFigures, ...] = ()) -> str | None:
        self.log += items
        held = self.log[self.state.held_seq : self.state.seq]
        message = self.composer.compose(self.state, now_ns=now_ns, seq=len(self.log), news=items, held=held, days=days)
        self.state = msgspec.json.decode(msgspec.json.encode(message.state), type=TellerState)
        return message.text


@pytest.mark.parametrize(
    ("text", "hour", "minute", "quiet"),
    [
        ("23:00-07:00", 22, 59, False), ("23:00-07:00", 23, 0, True), ("23:00-07:00", 0, 0, True), ("23:00-07:00", 6, 59, True),
        ("23:00-07:00", 7, 0, False), ("09:30-17:00", 9, 29, False), ("09:30-17:00", 9, 30, True), ("09:30-17:00", 17, 0, False),
        ("", 0, 0, False), ("08:00-08:00", 8, 0, False),
    ],
)  # fmt: skip
def test_quiet_hours_are_japanese_and_may_go_over_midnight(text: str, hour: int, minute: int, quiet: bool) -> None:
    assert QuietHours.parse(text).holds(at(hour, minute)) is quiet


def test_a_line_says_how_badly_when_and_what_in_the_wanted_language() -> None:
    assert Reader().hears(news("fine")) == "🟢 01/05 12:00:00 fine"
    assert Reader(language="ja", label="[paper] ").hears(news("low", WARNING)) == "[paper] 🟠 01/05 12:00:00 「low」"


def test_nothing_new_is_no_message_and_the_cursor_moves_on() -> None:
    composer = Composer(manner())
    message = composer.compose(BEGIN, now_ns=NOON, seq=7, news=[], held=[], days=[])
    assert message == Message(None, INFO, TellerState(seq=7, held_seq=7, day=0))


def test_what_is_less_severe_than_wanted_and_unwanted_fills_are_not_told() -> None:
    assert Reader(least=WARNING).hears(news("fine"), news("low", WARNING)) == "🟠 01/05 12:00:00 low"
    assert Reader(fills=False).hears(news("bought", key="fill:1")) is None
    assert Reader().hears(news("bought", key="fill:1")) is not None


def test_in_quiet_hours_only_what_is_critical_is_told_and_the_rest_afterwards_once_as_a_digest() -> None:
    reader = Reader(quiet=NIGHT)
    told = reader.hears(news("a", at_ns=at(23, 30)), news("fire", CRITICAL, at_ns=at(23, 31)), now_ns=at(23, 31))
    assert told == "🔴 01/05 23:31:00 fire"
    assert reader.hears(news("b", WARNING, at_ns=at(0, 10, 6)), news("a", at_ns=at(6, 59, 6)), now_ns=at(6, 59, 6)) is None
    assert reader.state.held_seq == 0
    morning = reader.hears(news("day", at_ns=at(7, 0, 6)), now_ns=at(7, 0, 6))
    assert morning is not None
    assert morning.splitlines() == [
        "While it was quiet: 3",
        "🟠 01/06 00:10:00 b",
        "🟢 01/06 06:59:00 a (and 1 more like it)",
        "🟢 01/06 07:00:00 day",
    ]
    assert reader.hears(now_ns=at(7, 1, 6)) is None


def test_a_digest_of_what_nobody_wanted_is_none() -> None:
    reader = Reader(quiet=NIGHT, least=WARNING)
    reader.hears(news("a"), news("fire", CRITICAL), now_ns=at(23))
    assert reader.hears(now_ns=at(7, 0, 6)) is None


def test_what_repeats_is_told_first_and_last() -> None:
    reader = Reader()
    assert reader.hears(news("e1", key="e", hold=60)) == "🟢 01/05 12:00:00 e1"
    for number in range(2, 5):
        assert reader.hears(news(f"e{number}", key="e", hold=60, at_ns=at(12, 0) + number * NS_PER_SECOND), now_ns=at(12, 0)) is None
    assert reader.hears(news("other", key="o", hold=60)) == "🟢 01/05 12:00:00 other"
    assert reader.hears(now_ns=at(12, 1)) == "🟢 01/05 12:00:04 e4 (and 2 more like it)"
    assert reader.hears(now_ns=at(12, 3)) is None
    assert reader.state.folds == {}
    assert reader.hears(news("e5", key="e", hold=60, at_ns=at(12, 4)), now_ns=at(12, 4)) == "🟢 01/05 12:04:00 e5"


def test_what_goes_on_and_on_is_told_ever_more_rarely_and_once_an_hour_at_last() -> None:
    reader, told = Reader(), []
    for second in range(0, 86_400, 10):
        now = NOON + second * NS_PER_SECOND
        if reader.hears(news(f"at {second}", key="e", hold=60, at_ns=now), now_ns=now) is not None:
            told.append(second)
    gaps = [after - before for before, after in itertools.pairwise(told)]
    assert gaps[:7] == [60, 120, 240, 480, 960, 1_920, 3_600]
    assert set(gaps[6:]) == {3_600}


def test_a_state_that_swings_is_told_as_it_stays_and_not_when_it_comes_back() -> None:
    reader = Reader()
    assert reader.hears(news("down", key="s", hold=60, state=True)) is not None
    assert reader.hears(news("up", key="s", hold=60, state=True), news("down", key="s", hold=60, state=True)) is None
    assert reader.hears(now_ns=at(12, 1)) is None, "it is down, and that was told"
    assert reader.hears(news("up", key="s", hold=60, state=True, at_ns=at(12, 5)), now_ns=at(12, 5)) == "🟢 01/05 12:05:00 up"
    assert reader.hears(news("up", key="s", hold=60, state=True, at_ns=at(13)), now_ns=at(13)) is None, "no news"


def test_a_critical_state_does_not_wait_for_its_turn() -> None:
    reader = Reader()
    reader.hears(news("down", WARNING, key="s", hold=60, state=True))
    assert reader.hears(news("lost", CRITICAL, key="s", state=True)) == "🔴 01/05 12:00:00 lost"
    assert reader.hears(now_ns=at(12, 2)) is None


def test_what_waits_for_its_turn_stays_quiet_in_quiet_hours_unless_it_is_critical() -> None:
    reader = Reader(quiet=NIGHT)
    for severity in (WARNING, CRITICAL):
        for number in (1, 2):
            reader.hears(news(f"{severity.name}{number}", severity, key=severity.name, hold=60, at_ns=at(22, 59)), now_ns=at(22, 59))
    assert reader.hears(now_ns=at(23, 5)) == "🔴 01/05 22:59:00 CRITICAL2"
    assert reader.hears(now_ns=at(7, 0, 6)) == "🟠 01/05 22:59:00 WARNING2"


def test_a_digest_is_newer_than_what_waited_before() -> None:
    reader = Reader(quiet=NIGHT)
    for number in (1, 2):
        reader.hears(news(f"e{number}", key="e", hold=600, at_ns=at(22, 59)), now_ns=at(22, 59))
    reader.hears(news("e3", key="e", hold=600, at_ns=at(1, 0, 6)), now_ns=at(1, 0, 6))
    morning = reader.hears(now_ns=at(7, 0, 6))
    assert morning is not None
    assert morning.splitlines()[1:] == ["🟢 01/06 01:00:00 e3"]
    assert reader.hears(now_ns=at(8, 0, 6)) is None


def figures(day: int) -> DayFigures:
    return DayFigures(
        day=day, equity_jpy="1", profit_jpy="1", realized_jpy="1", fees_jpy="0", drawdown=0.0, fills=0, trades=0, positions={}
    )  # fmt: skip


def test_a_day_is_summed_up_once_and_not_before_the_quiet_hours_end() -> None:
    reader = Reader(quiet=NIGHT)
    assert reader.hears(now_ns=at(6, 0, 6), days=(figures(20_457),)) is None
    told = reader.hears(now_ns=at(7, 0, 6), days=(figures(20_457),))
    assert told is not None
    assert told.startswith("🟢 Daily summary, the day from 2026-01-04 06:00 JST")
    assert reader.state.day == 20_457
    silent = Reader(daily_summary=False)
    assert silent.hears(days=(figures(3),)) is None
    assert silent.state.day == 3


def test_a_storm_is_one_message_with_what_matters_most_in_it() -> None:
    storm = [news(f"n{number}") for number in range(100)] + [news("fire", CRITICAL)] + [news(f"m{number}") for number in range(100)]
    told = Reader().hears(*storm)
    assert told is not None
    lines = told.splitlines()
    assert len(lines) == MOST_LINES + 1
    assert "🔴 01/05 12:00:00 fire" in lines
    assert lines[-1] == f"…and {201 - MOST_LINES} more: see the audit log"


def test_a_message_is_never_longer_than_a_channel_takes() -> None:
    told = Reader(label="[paper/production] ").hears(*[news("x" * 390 + str(number)) for number in range(20)])
    assert told is not None
    assert len(told) <= MOST_CHARACTERS
    assert told.splitlines()[-1] == "…and 16 more: see the audit log"

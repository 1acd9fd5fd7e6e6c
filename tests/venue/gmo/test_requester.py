"""What lies below every endpoint: repetition, patience, tiers, the exchange's clock."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from pathlib import Path

import pytest

import gmobot
from gmobot.clock import NS_PER_MS, NS_PER_SECOND
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, Unavailable
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.limits import RateLimiter
from gmobot.venue.gmo.rest import GmoRest, Repetition
from gmobot.venue.transport import Reply, ReplyLost, Request

from ..exchange import CREDENTIALS
from ..virtual import VirtualClock, run_virtually
from .scripted import Answer, Scripted, failed, said
from .test_rest import ORDER

HTML = Reply(502, b"<html>502 Bad Gateway</html>")


def client(transport: Scripted, clock: VirtualClock, **options: object) -> GmoRest:
    return GmoRest(transport, clock, credentials=CREDENTIALS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("trouble", [ReplyLost("gone"), NotSent("down"), HTML, failed("ERR-554"), failed("ERR-5009")])
def test_a_read_is_repeated_and_signed_anew(trouble: Answer) -> None:
    async def main() -> None:
        clock = VirtualClock()
        transport = Scripted(trouble, trouble, said([]))
        assert await client(transport, clock, repeat=Repetition(attempts=3)).assets() == []
        stamps = [int(request.headers["API-TIMESTAMP"]) for request in transport.requests]
        assert len(stamps) == 3
        assert stamps[0] < stamps[1] < stamps[2]
        assert stamps[2] - stamps[1] > stamps[1] - stamps[0]
        assert len({request.headers["API-SIGN"] for request in transport.requests}) == 3

    run_virtually(main())


def test_repeating_has_an_end() -> None:
    async def main() -> None:
        transport = Scripted(ReplyLost("gone"))
        with pytest.raises(Unavailable):
            await client(transport, VirtualClock(), repeat=Repetition(attempts=4)).assets()
        assert len(transport.requests) == 4

    run_virtually(main())


def test_a_silent_exchange_is_told_after_one_timeout() -> None:
    async def main() -> None:
        transport = Scripted(ReplyLost("no reply in time"), seconds=5.0)
        with pytest.raises(Unavailable):
            await client(transport, VirtualClock(), repeat=Repetition(attempts=3, within_seconds=2.0)).assets()
        assert len(transport.requests) == 1

    run_virtually(main())


@pytest.mark.parametrize("answer", [failed("ERR-5010"), failed("ERR-5106"), failed("ERR-5003", status=4), failed("ERR-5201", status=5)])
def test_a_no_is_not_repeated(answer: Answer) -> None:
    async def main() -> None:
        transport = Scripted(answer)
        with pytest.raises(Refused):
            await client(transport, VirtualClock(), repeat=Repetition()).assets()
        assert len(transport.requests) == 1

    run_virtually(main())


def test_without_a_key_nothing_is_tried_again() -> None:
    async def main() -> None:
        clock = VirtualClock()
        since = clock.monotonic()
        with pytest.raises(Unavailable):
            await GmoRest(Scripted(said([])), clock, repeat=Repetition()).assets()
        assert clock.monotonic() == since

    run_virtually(main())


@pytest.mark.parametrize("trouble", [ReplyLost("gone"), NotSent("down"), HTML, failed("ERR-554"), failed("ERR-5009")])
def test_a_write_is_never_repeated(trouble: Answer) -> None:
    async def main() -> None:
        transport = Scripted(trouble, said("7"))
        with pytest.raises((OutcomeUnknown, NotSent, Refused)):
            await client(transport, VirtualClock(), repeat=Repetition(attempts=5)).place_order(ORDER)
        assert len(transport.requests) == 1

    run_virtually(main())


# --- patience ---------------------------------------------------------------------------------------------------


def test_who_will_not_wait_is_refused_here_and_nothing_is_sent() -> None:
    async def main() -> None:
        clock = VirtualClock()
        limiter = RateLimiter(clock)
        for method in ("GET", "POST"):
            limiter.bucket(method, private=True).penalise()
        transport, since = Scripted(said("7")), clock.monotonic()
        impatient = client(transport, clock, limiter=limiter).waiting_at_most(0.5)
        with pytest.raises(NotSent) as write:
            await impatient.place_order(ORDER)
        with pytest.raises(Unavailable) as read:
            await impatient.assets()
        assert write.value.category is read.value.category is Category.RATE_LIMIT
        assert (transport.requests, clock.monotonic()) == ([], since)

    run_virtually(main())


def test_the_last_word_is_asked_after_all_waiting_and_keeps_an_order_here() -> None:
    async def main() -> None:
        clock, asked = VirtualClock(), []
        limiter = RateLimiter(clock)
        limiter.bucket("POST", private=True).penalise()
        transport, since = Scripted(said("7")), clock.monotonic()

        def last_word() -> str | None:
            asked.append(clock.monotonic() - since)
            return "operator_halt" if len(asked) == 1 else None

        rest = client(transport, clock, limiter=limiter)
        with pytest.raises(NotSent, match="operator_halt"):
            await rest.place_order(ORDER, last_word)
        assert asked[0] > 1.0
        assert transport.requests == []
        assert await rest.place_order(ORDER, last_word) == 7
        assert len(transport.requests) == 1

    run_virtually(main())


def test_a_patient_view_and_its_origin_share_everything_else() -> None:
    async def main() -> None:
        clock, true = VirtualClock(-10 * NS_PER_SECOND), VirtualClock()
        rest = client(Scripted(lambda request: said([], at_ns=true.now_ns())), clock)
        await rest.waiting_at_most(0.1).assets()
        assert abs(rest.server_offset_ns - 10 * NS_PER_SECOND) < 2 * NS_PER_MS
        rest.limiter.bucket("POST", private=True).penalise()
        with pytest.raises(NotSent):
            await rest.waiting_at_most(0.1).cancel_order(1)
        since = clock.monotonic()
        await rest.cancel_order(1)
        assert clock.monotonic() - since > 1.0

    run_virtually(main())


@pytest.mark.parametrize(("tier", "most"), [(1, 20), (2, 30), (3, 50), (4, 50), (0, 20), (-1, 20)])
def test_the_tier_sets_the_pace(tier: int, most: int) -> None:
    async def main() -> None:
        clock = VirtualClock()
        rest = client(Scripted(said({"jpyVolume": "1", "tierLevel": tier, "limit": []}), said()), clock)
        await rest.trading_volume()
        await asyncio.sleep(10)
        times = []
        for _ in range(200):
            await rest.cancel_order(1)
            times.append(clock.monotonic())
        busiest = max(sum(start <= time < start + 1.0 for time in times) for start in times)
        assert most * 0.8 <= busiest <= most

    run_virtually(main())


# --- another key ------------------------------------------------------------------------------------------------

OTHER = Credentials(Secret("the-other-key"), Secret("the-other-secret"))


def test_all_views_change_over_to_another_key_at_once_and_what_is_under_way_ends_as_it_began() -> None:
    async def main() -> None:
        transport = Scripted(lambda _: said([]), seconds=1.0)
        rest = client(transport, VirtualClock())
        view = rest.waiting_at_most(0.5)
        under_way = asyncio.create_task(rest.assets())
        await asyncio.sleep(0.5)
        rest.sign_with(OTHER)
        await asyncio.gather(under_way, view.assets(), rest.assets(), rest.waiting_at_most(1.0).assets())
        keys = [request.headers["API-KEY"] for request in transport.requests]
        assert keys == [CREDENTIALS.key.reveal().decode()] + ["the-other-key"] * 3

    run_virtually(main())


def test_a_repetition_is_signed_by_the_key_of_its_own_time() -> None:
    async def main() -> None:
        transport = Scripted(ReplyLost("gone"), said([]))
        rest = client(transport, VirtualClock(), repeat=Repetition(pause_seconds=1.0))
        asked = asyncio.create_task(rest.assets())
        await asyncio.sleep(0.5)
        rest.sign_with(OTHER)
        await asked
        assert transport.requests[-1].headers["API-KEY"] == "the-other-key"

    run_virtually(main())


def test_trying_a_key_changes_nothing_but_knows_the_exchange_s_time() -> None:
    async def main() -> None:
        ours, true = VirtualClock(-40 * NS_PER_SECOND), VirtualClock()
        transport = Scripted(lambda _: said([], at_ns=true.now_ns()))
        rest = client(transport, ours)
        await rest.assets()
        await rest.trying(OTHER).assets()
        await rest.assets()
        first, tried, last = transport.requests
        assert [row.headers["API-KEY"] for row in (tried, last)] == ["the-other-key", first.headers["API-KEY"]]
        assert abs(int(tried.headers["API-TIMESTAMP"]) - true.now_ns() // NS_PER_MS) < 1_000

    run_virtually(main())


def test_a_former_key_is_not_shown_either() -> None:
    async def main() -> None:
        old, new = CREDENTIALS.secret.reveal().decode(), OTHER.secret.reveal().decode()
        rest = client(Scripted(failed("ERR-5010", text=f"{old} {new}")), VirtualClock())
        rest.sign_with(OTHER)
        with pytest.raises(Refused) as refused:
            await rest.assets()
        assert "*** ***" in str(refused.value)

    run_virtually(main())


# --- the exchange's clock ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew_seconds", [-40.0, 40.0])
def test_a_reply_without_a_stamp_teaches_by_its_date_header(skew_seconds: float) -> None:
    async def main() -> None:
        true, ours = VirtualClock(), VirtualClock(int(skew_seconds * NS_PER_SECOND))

        def dated(request: Request) -> Reply:
            return Reply(200, said([]).body, {"Date": formatdate(true.now_ns() // NS_PER_SECOND, usegmt=True)})

        rest = client(Scripted(dated), ours)
        await rest.assets()
        assert abs(rest.server_offset_ns + ours.skew_ns) <= NS_PER_SECOND + NS_PER_MS

    run_virtually(main())


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Abc 2026 99:99:99 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_garbled_date_teaches_nothing(date: str) -> None:
    async def main() -> None:
        rest = client(Scripted(Reply(200, said([]).body, {"Date": date})), VirtualClock())
        await rest.assets()
        assert rest.server_offset_ns == 0

    run_virtually(main())


def test_the_bodys_own_stamp_counts_more_than_the_date() -> None:
    async def main() -> None:
        clock = VirtualClock()
        reply = said([], at_ns=clock.now_ns())
        rest = client(Scripted(Reply(200, reply.body, {"Date": formatdate(clock.now_ns() / NS_PER_SECOND - 500)})), clock)
        await rest.assets()
        assert rest.server_offset_ns == 0

    run_virtually(main())


def test_no_other_file_of_the_client_or_the_daemon_knows_the_path_of_transfers() -> None:
    house = Path(gmobot.__file__).parent
    files = [path for room in ("venue", "live", "ops", "web", "cli") for path in (house / room).rglob("*.py")]
    assert {path.name for path in files if '/v1/account/transfer"' in path.read_text(encoding="utf-8")} == {"transfers.py"}

"""The rate limiter, on virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from gmobot.venue.gmo.limits import PENALTY_SECONDS, Bucket, Priority, RateLimiter

from ..virtual import VirtualClock, run_virtually


async def departures(bucket: Bucket, clock: VirtualClock, priorities: list[Priority]) -> list[tuple[float, Priority]]:
    left: list[tuple[float, Priority]] = []

    async def leave(priority: Priority) -> None:
        await bucket.take(priority)
        left.append((clock.monotonic(), priority))

    await asyncio.gather(*(leave(priority) for priority in priorities))
    return left


def busiest_second(times: list[float]) -> int:
    return max(sum(start <= time < start + 1.0 for time in times) for start in times)


@pytest.mark.parametrize("limit", [5.0, 20.0, 30.0, 50.0])
def test_no_second_sliding_or_fixed_holds_more_than_the_limit(limit: float) -> None:
    async def main() -> None:
        clock = VirtualClock()
        bucket = RateLimiter(clock, private_per_second=limit).bucket("GET", private=True)
        left = await departures(bucket, clock, [Priority.URGENT] * 200)
        assert busiest_second([at for at, _ in left]) <= limit

    run_virtually(main())


def test_random_traffic_never_exceeds_the_limit_and_never_hangs() -> None:
    async def main() -> None:
        clock, draw = VirtualClock(), random.Random(11)
        bucket = RateLimiter(clock).bucket("POST", private=True)
        times: list[float] = []

        async def client() -> None:
            for _ in range(60):
                await asyncio.sleep(draw.random() ** 4)
                await bucket.take(draw.choice(list(Priority)))
                times.append(clock.monotonic())

        await asyncio.gather(*(client() for _ in range(10)))
        assert len(times) == 600
        assert busiest_second(times) <= 20

    run_virtually(main())


def test_a_cancel_overtakes_a_crowd_of_reads_and_orders() -> None:
    async def main() -> None:
        clock = VirtualClock()
        bucket = RateLimiter(clock).bucket("POST", private=True)
        left = await departures(bucket, clock, [Priority.READ] * 30 + [Priority.ORDER] * 30 + [Priority.URGENT] * 2)
        assert [priority for at, priority in left if at == left[0][0]].count(Priority.URGENT) == 2
        order = [priority for _, priority in left]
        assert order.index(Priority.ORDER) < order[::-1].index(Priority.READ) + len(order)
        assert max(i for i, p in enumerate(order) if p is Priority.ORDER) < max(i for i, p in enumerate(order) if p is Priority.READ)

    run_virtually(main())


def test_reads_do_not_take_tokens_from_orders_on_the_other_method() -> None:
    async def main() -> None:
        clock = VirtualClock()
        limiter = RateLimiter(clock)
        await departures(limiter.bucket("GET", private=True), clock, [Priority.URGENT] * 8)
        since = clock.monotonic()
        await limiter.bucket("POST", private=True).take(Priority.ORDER)
        assert clock.monotonic() == since
        assert limiter.bucket("DELETE", private=True) is limiter.bucket("POST", private=True)
        assert limiter.bucket("GET", private=False) is not limiter.bucket("GET", private=True)

    run_virtually(main())


def test_after_too_many_nothing_leaves_for_a_while_and_cancels_are_first() -> None:
    async def main() -> None:
        clock = VirtualClock()
        bucket = RateLimiter(clock).bucket("GET", private=True)
        bucket.penalise()
        bucket.penalise()
        since = clock.monotonic()
        left = await departures(bucket, clock, [Priority.READ, Priority.ORDER, Priority.URGENT])
        assert [priority for _, priority in left] == [Priority.URGENT, Priority.ORDER, Priority.READ]
        assert left[0][0] - since >= PENALTY_SECONDS
        assert left[-1][0] - since < PENALTY_SECONDS + 1.0

    run_virtually(main())


def test_all_that_is_urgent_leaves_as_the_pause_ends() -> None:
    async def main() -> None:
        clock = VirtualClock()
        bucket = RateLimiter(clock).bucket("POST", private=True)
        bucket.penalise()
        since = clock.monotonic()
        left = await departures(bucket, clock, [Priority.URGENT] * 2 + [Priority.ORDER])
        assert [at - since for at, _ in left[:2]] == pytest.approx([PENALTY_SECONDS] * 2), "neither waits for the other's refusal"
        assert left[2][0] > left[0][0]

    run_virtually(main())


def test_waiting_is_counted() -> None:
    async def main() -> None:
        clock = VirtualClock()
        limiter = RateLimiter(clock)
        assert limiter.waited_seconds == 0.0
        since = clock.monotonic()
        limiter.bucket("GET", private=False).penalise()
        await limiter.bucket("GET", private=False).take(Priority.READ)
        assert limiter.waited_seconds == pytest.approx(clock.monotonic() - since)

    run_virtually(main())


def test_a_cancelled_wait_takes_no_token() -> None:
    async def main() -> None:
        clock = VirtualClock()
        bucket = RateLimiter(clock).bucket("GET", private=True)
        bucket.penalise()
        waiting = [asyncio.create_task(bucket.take(Priority.READ)) for _ in range(20)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        since = clock.monotonic()
        await bucket.take(Priority.READ)
        assert clock.monotonic() - since < PENALTY_SECONDS + 1.0

    run_virtually(main())

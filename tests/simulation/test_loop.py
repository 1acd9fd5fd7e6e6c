"""Virtual time: it jumps, never goes back, and the order of what is ready together is the seed's."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.loop import DeadlockError, VirtualLoop


def order_of(seed: int) -> list[int]:
    """Return in which order ten tasks that are ready together run."""
    loop, ran = VirtualLoop(seed), list[int]()

    async def note(number: int) -> None:
        await asyncio.sleep(1.0)
        ran.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(note(number) for number in range(10)))

    loop.run_until_complete(all_of_them())
    loop.close()
    return ran


def test_an_hour_passes_at_once_and_timers_come_in_their_order() -> None:
    loop, seen = VirtualLoop(1), list[float]()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(loop.time())

    async def both() -> None:
        await asyncio.gather(sleep(3600.0), sleep(0.25), sleep(0.0))

    loop.run_until_complete(both())
    loop.close()
    assert seen == [0.0, 0.25, 3600.0]


def test_the_seed_decides_who_is_first_among_those_that_are_ready_together() -> None:
    assert order_of(7) == order_of(7)
    assert order_of(7) != order_of(8)
    assert sorted(order_of(7)) == list(range(10))


def test_a_group_cancels_its_tasks_in_the_same_order_wherever_they_lie_in_memory() -> None:
    kept = list[object]()

    def ended() -> list[int]:
        loop, ran = VirtualLoop(7), list[int]()

        async def wait(number: int) -> None:
            kept.append([bytearray(64) for _ in range(number)])
            try:
                await asyncio.sleep(60.0)
            finally:
                ran.append(number)

        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                for number in range(40):
                    tasks.create_task(wait(number))
                await asyncio.sleep(1.0)
                raise KeyError

        with pytest.raises(ExceptionGroup):
            loop.run_until_complete(group())
        loop.close()
        return ran

    first, second = ended(), ended()
    assert first == second


def test_a_cancelled_timer_does_not_move_time() -> None:
    loop = VirtualLoop(1)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.sleep(500.0)
        await asyncio.sleep(1.0)

    loop.run_until_complete(give_up())
    assert loop.time() == 2.0
    loop.close()


def test_a_loop_in_which_nothing_can_happen_any_more_says_so() -> None:
    loop = VirtualLoop(1)
    future = loop.create_future()
    with pytest.raises(DeadlockError):
        loop.run_until_complete(future)
    loop.close()

"""Blocking iteration over async streams: order, errors, and a bound on what is read ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from replicate_stream._sync import BUFFER_SIZE
from replicate_stream.adapters import iterate_blocking, run_blocking

COUNT = 20 * BUFFER_SIZE


class Source:
    """A source of numbers, which is as fast as it is read."""

    def __init__(self, count: int = COUNT, error: BaseException | None = None) -> None:
        self.made = 0
        self.is_left = False
        self._count = count
        self._error = error

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncGenerator[int, None]]:
        try:
            yield self._generate()
        finally:
            self.is_left = True

    async def _generate(self) -> AsyncGenerator[int, None]:
        for number in range(self._count):
            self.made += 1
            yield number
            await asyncio.sleep(0)
        if self._error is not None:
            raise self._error


async def turn_loop() -> None:
    """Let everything else in the loop run as far as it gets."""
    for _ in range(3 * COUNT):
        await asyncio.sleep(0)


def test_a_consumer_that_pauses_holds_the_source_back() -> None:
    source = Source()
    numbers = iterate_blocking(source.open)
    for taken in (1, BUFFER_SIZE, 3 * BUFFER_SIZE):
        for _ in range(taken):
            next(numbers)
        run_blocking(turn_loop)
        assert source.made < COUNT / 2
    numbers.close()


@pytest.mark.parametrize("count", [0, 1, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1, COUNT])
def test_all_items_arrive_in_their_order(count: int) -> None:
    assert list(iterate_blocking(Source(count).open)) == list(range(count))


def test_an_error_of_the_source_comes_behind_its_items() -> None:
    numbers = iterate_blocking(Source(2 * BUFFER_SIZE, LookupError("gone")).open)
    assert [next(numbers) for _ in range(2 * BUFFER_SIZE)] == list(range(2 * BUFFER_SIZE))
    with pytest.raises(LookupError, match="gone"):
        next(numbers)


def test_closing_leaves_a_source_that_is_held_back() -> None:
    source = Source()
    numbers = iterate_blocking(source.open)
    next(numbers)
    run_blocking(turn_loop)
    numbers.close()
    run_blocking(turn_loop)
    assert source.is_left


def sum_up(numbers: Sequence[int]) -> list[int]:
    return [sum(numbers)]


def test_items_that_a_consumer_lets_wait_are_merged() -> None:
    numbers = iterate_blocking(Source(10).open, sum_up)
    taken = [next(numbers)]
    run_blocking(turn_loop)
    taken += numbers
    assert sum(taken) == sum(range(10))
    assert len(taken) <= 2


@pytest.mark.parametrize("count", [0, 1, BUFFER_SIZE, COUNT])
def test_merged_items_are_all_items_and_their_error(count: int) -> None:
    numbers = iterate_blocking(Source(count, LookupError("gone")).open, sum_up)
    total = 0
    with pytest.raises(LookupError, match="gone"):
        for number in numbers:
            total += number
    assert total == sum(range(count))


def test_a_consumer_that_merges_holds_the_source_back_too() -> None:
    source = Source()
    numbers = iterate_blocking(source.open, sum_up)
    for _ in range(3):
        next(numbers)
        run_blocking(turn_loop)
    assert source.made < COUNT / 2
    numbers.close()


@pytest.mark.parametrize("kind", [SystemExit, type("Exit", (BaseException,), {})])
def test_an_exception_that_would_end_the_loop_ends_the_call_alone(kind: Any) -> None:
    async def leave() -> None:
        raise kind(3)

    async def answer() -> int:
        await asyncio.sleep(0.05)  # an end of the loop would have cancelled it by then
        return 1

    for _ in range(2):
        with pytest.raises(kind) as caught:
            run_blocking(leave)
        assert caught.value.args == (3,)
        with pytest.raises(kind):
            list(iterate_blocking(Source(1, kind(3)).open))
        assert run_blocking(answer) == 1

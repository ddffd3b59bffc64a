"""A function is applied to many items at once, in bounded memory, and leaves no task behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from replicate_stream._batch.pool import map_unordered


async def test_results_come_in_the_order_of_their_ends() -> None:
    gates = {name: asyncio.Event() for name in "abc"}

    async def wait(name: str) -> str:
        await gates[name].wait()
        return name

    results = map_unordered(wait, "abc", 3)
    for name in "bca":
        gates[name].set()
        assert await anext(results) == name
    assert [result async for result in results] == []


@pytest.mark.parametrize("is_async", [True, False])
async def test_no_more_than_the_limit_is_taken_before_results_are_consumed(is_async: bool) -> None:
    taken: list[int] = []

    def count() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    async def count_async() -> AsyncIterator[int]:
        for number in count():
            yield number

    async def double(number: int) -> int:
        return 2 * number

    seen: list[int] = []
    async with aclosing(map_unordered(double, count_async() if is_async else count(), 3)) as all_:
        async for result in all_:
            await asyncio.sleep(0)
            assert len(taken) <= len(seen) + 3
            seen.append(result)
    assert sorted(seen) == [2 * number for number in range(10)]


async def test_results_are_handed_on_while_the_source_waits() -> None:
    more = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await more.wait()
        yield 2

    async def same(number: int) -> int:
        return number

    results = map_unordered(same, source(), 5)
    assert await anext(results) == 1
    more.set()
    assert await anext(results) == 2
    await results.aclose()


@pytest.mark.parametrize("at", ["function", "source"])
async def test_an_exception_ends_all_of_it(at: str) -> None:
    cleaned_up: list[int] = []

    async def work(number: int) -> int:
        if number == 1 and at == "function":
            raise LookupError
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(number)
        return number

    def source() -> Iterator[int]:
        yield from (0, 2)
        if at == "source":
            raise LookupError
        yield 1

    before = asyncio.all_tasks()
    with pytest.raises(LookupError):
        await anext(map_unordered(work, source(), 5))
    assert sorted(cleaned_up) == [0, 2]
    assert asyncio.all_tasks() == before


async def test_leaving_it_cancels_what_is_in_work() -> None:
    cleaned_up: list[int] = []

    async def work(number: int) -> int:
        if number:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned_up.append(number)
        return number

    before = asyncio.all_tasks()
    async with aclosing(map_unordered(work, range(5), 3)) as results:
        assert await anext(results) == 0
    assert sorted(cleaned_up) == [1, 2]
    assert asyncio.all_tasks() == before


class _Exit(BaseException):
    """An exception that `except Exception` lets through, as those of `pytest.fail`."""


@pytest.mark.parametrize(
    "error", [_Exit(), asyncio.CancelledError()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("place", ["source", "function"])
async def test_no_exception_of_any_kind_is_waited_for_in_vain_or_dropped(
    place: str, error: BaseException
) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        if place == "source":
            raise error
        yield 2

    async def fail(number: int) -> int:
        if place == "function" and number == 2:
            raise error
        return number

    async def collect() -> None:
        async with aclosing(map_unordered(fail, source(), 1)) as results:
            seen.extend([result async for result in results])

    seen: list[int] = []
    with pytest.raises(type(error)):
        await asyncio.wait_for(collect(), 5)

"""`cancel_on_exit`: the stream is cancelled once, in a task of its own, however it is left."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from replicate_stream import _cancel_on_exit, cancel_on_exit

State = ContextVar[str]("State")


class Source:
    """A stream of numbers without an end, which notes what happens to it."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.exits: list[type[BaseException]] = []
        self.is_clean = asyncio.Event()
        self.tasks: set[asyncio.Task[Any] | None] = set()

    async def stream(self, pause_at: int = -1) -> AsyncGenerator[int, None]:
        number = 0
        try:
            while True:
                if number == pause_at:
                    await asyncio.Event().wait()
                self.read.append(number)
                self.tasks.add(asyncio.current_task())
                yield number
                number += 1
        except BaseException as error:
            self.exits.append(type(error))
            raise
        finally:
            for _ in range(20):  # what a second cancellation would break off
                await asyncio.sleep(0)
            self.is_clean.set()

    async def until_clean(self) -> None:
        await asyncio.wait_for(self.is_clean.wait(), 10)


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second cancellation does not come in time to hide that there was no first one."""
    if "a_second_later" not in request.node.name:
        monkeypatch.setattr(_cancel_on_exit, "_PATIENCE", 3600.0)


async def count_to(stream: AsyncIterator[int], last: int) -> None:
    async for number in stream:
        if number == last:
            break


async def test_items_come_in_order_and_then_the_end() -> None:
    async def stream() -> AsyncIterator[int]:
        for number in range(100):
            yield number

    numbers = cancel_on_exit(stream())
    assert [number async for number in numbers] == list(range(100))
    assert [number async for number in numbers] == []


async def test_any_async_iterable_is_read() -> None:
    class Numbers:
        async def __aiter__(self) -> AsyncIterator[int]:
            yield 1

    assert [number async for number in cancel_on_exit(Numbers())] == [1]


async def test_no_item_is_read_before_it_is_asked_for() -> None:
    source = Source()
    async with cancel_on_exit(source.stream()) as numbers:
        assert await anext(numbers) == 0
        for _ in range(10):
            await asyncio.sleep(0)
        assert source.read == [0]
        assert await anext(numbers) == 1
        assert source.read == [0, 1]


async def test_one_task_reads_the_whole_stream() -> None:
    source = Source()
    async with cancel_on_exit(source.stream()) as numbers:
        await count_to(numbers, 5)
    assert len(source.tasks) == 1
    assert asyncio.current_task() not in source.tasks


async def test_an_error_is_raised_as_it_is() -> None:
    error = LookupError("lost")

    async def stream() -> AsyncIterator[int]:
        yield 1
        raise error

    numbers = cancel_on_exit(stream())
    assert await anext(numbers) == 1
    with pytest.raises(LookupError) as raised:
        await anext(numbers)
    assert raised.value is error
    assert [number async for number in numbers] == []


async def test_a_cancellation_inside_of_the_stream_reaches_the_reader() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    numbers = cancel_on_exit(stream())
    await anext(numbers)
    with pytest.raises(asyncio.CancelledError):
        await anext(numbers)


async def test_a_stream_that_others_cancel_does_not_look_complete() -> None:
    source = Source()
    numbers = cancel_on_exit(source.stream())
    await anext(numbers)
    (task,) = source.tasks
    assert task is not None
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(asyncio.CancelledError):
        await anext(numbers)


async def test_the_stream_has_the_context_of_its_reader() -> None:
    async def stream() -> AsyncIterator[str]:
        yield State.get()
        yield State.get()

    texts = cancel_on_exit(stream())
    State.set("at the first item")
    assert await anext(texts) == "at the first item"
    State.set("later")
    assert await anext(texts) == "at the first item"


@pytest.mark.parametrize("pause_at", [-1, 3], ids=["between items", "while it waits"])
async def test_leaving_the_block_waits_for_the_cleanup(pause_at: int) -> None:
    source = Source()
    async with cancel_on_exit(source.stream(pause_at)) as numbers:
        await count_to(numbers, 2)
        if pause_at == 3:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(numbers), 0.01)
    assert source.is_clean.is_set()
    assert source.read == [0, 1, 2]
    assert [number async for number in numbers] == []


async def test_a_break_without_a_block_cancels_the_stream() -> None:
    source = Source()
    await count_to(cancel_on_exit(source.stream()), 2)
    await source.until_clean()
    assert source.read == [0, 1, 2]


async def test_an_error_of_the_reader_cancels_the_stream() -> None:
    source = Source()

    async def read() -> None:
        async for _ in cancel_on_exit(source.stream()):
            raise LookupError

    with pytest.raises(LookupError):
        await read()
    await source.until_clean()


async def test_a_stream_that_is_dropped_in_another_thread_is_cancelled() -> None:
    source = Source()
    kept = [cancel_on_exit(source.stream())]
    await anext(kept[0])
    thread = threading.Thread(target=kept.clear)
    thread.start()
    await asyncio.to_thread(thread.join)
    await source.until_clean()


@pytest.mark.parametrize("pause_at", [-1, 3], ids=["between items", "while it waits"])
async def test_a_scope_that_cancels_again_and_again_cancels_the_stream_once(pause_at: int) -> None:
    source = Source()
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_later(0.02, scope.cancel)
        async with cancel_on_exit(source.stream(pause_at)) as numbers:
            await count_to(numbers, 2)
            await (asyncio.Event().wait() if pause_at < 0 else anext(numbers))
    assert scope.cancelled_caught
    await source.until_clean()
    assert source.exits == [GeneratorExit if pause_at < 0 else asyncio.CancelledError]


async def test_a_cleanup_that_reads_on_is_cancelled_a_second_later() -> None:
    async def read_on() -> AsyncIterator[int]:
        feeder = asyncio.create_task(asyncio.Event().wait())
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await feeder

    numbers = cancel_on_exit(read_on())
    await anext(numbers)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(numbers), 0.01)
    await asyncio.wait_for(numbers.aclose(), 10)


@pytest.mark.parametrize("error", [None, LookupError])
def test_nothing_keeps_what_a_stream_that_was_cancelled_or_failed_has_read(
    error: type[Exception] | None,
) -> None:
    async def leave() -> None:
        source = Source()

        async def stream() -> AsyncIterator[int]:
            numbers = source.stream()
            yield await anext(numbers)
            if error is not None:
                raise error
            await asyncio.Event().wait()

        numbers = cancel_on_exit(stream())
        await anext(numbers)
        with suppress(LookupError, asyncio.TimeoutError):
            await (anext(numbers) if error else asyncio.wait_for(anext(numbers), 0.01))
        await source.until_clean()
        assert [number async for number in numbers] == []

    gc.disable()  # a cycle would wait for it
    try:
        # On Python 3.10 the tasks of pytest-asyncio are no C code, and have such a cycle.
        asyncio.run(leave())
    finally:
        gc.enable()


async def test_a_reader_that_is_cancelled_between_two_items_leaves_the_stream() -> None:
    source = Source()
    numbers = cancel_on_exit(source.stream())  # which is kept, as task groups of anyio keep it

    has_item = asyncio.Event()

    async def read() -> None:
        await anext(numbers)
        has_item.set()
        await asyncio.Event().wait()

    reader = asyncio.create_task(read())
    await has_item.wait()
    reader.cancel()
    await source.until_clean()


async def test_readers_may_take_turns() -> None:
    numbers = cancel_on_exit(Source().stream())

    async def read() -> None:
        assert await anext(numbers) == 0
        await asyncio.Event().wait()

    async def read_one() -> int:
        return await anext(numbers)

    first = asyncio.create_task(read())
    await asyncio.sleep(0)
    assert await asyncio.create_task(read_one()) == 1
    first.cancel()
    await asyncio.wait([first])
    assert await anext(numbers) == 2
    await numbers.aclose()


async def test_what_feeds_the_stream_is_cancelled_with_it() -> None:
    calls: list[str] = []

    async def cancel() -> None:
        await asyncio.sleep(0)
        calls.append("cancelled")

    async with cancel_on_exit(Source().stream(), cancel=cancel) as numbers:
        await anext(numbers)
    assert calls == ["cancelled"]


async def test_what_feeds_a_stream_that_nobody_reads_is_cancelled() -> None:
    was_called = asyncio.Event()
    numbers = cancel_on_exit(Source().stream(), cancel=was_called.set)
    del numbers
    await asyncio.wait_for(was_called.wait(), 10)


async def test_a_stream_that_has_ended_or_failed_has_nothing_to_cancel() -> None:
    async def stream(error: Exception | None) -> AsyncIterator[int]:
        yield 1
        if error is not None:
            raise error

    calls: list[int] = []
    async with cancel_on_exit(stream(None), cancel=lambda: calls.append(1)) as numbers:
        assert [number async for number in numbers] == [1]
    with pytest.raises(LookupError):
        async with cancel_on_exit(stream(LookupError()), cancel=lambda: calls.append(1)) as numbers:
            assert [number async for number in numbers] == [1]
    assert calls == []


async def test_an_error_of_the_cleanup_is_raised_where_the_stream_is_left() -> None:
    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise LookupError("the cleanup failed")

    with pytest.raises(LookupError, match="the cleanup failed"):
        async with cancel_on_exit(stream()) as numbers:
            await anext(numbers)


async def test_two_readers_at_once_are_an_error() -> None:
    async with cancel_on_exit(Source().stream(pause_at=0)) as numbers:
        first = asyncio.ensure_future(anext(numbers))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another item of this stream is waited for"):
            await anext(numbers)
        first.cancel()


@pytest.mark.parametrize("make", [list, lambda: Source().stream], ids=["a list", "a function"])
async def test_what_is_no_stream_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"it must be an async iterator$"):
        cancel_on_exit(make())


async def test_a_coroutine_is_to_be_awaited_first() -> None:
    async def open_stream() -> AsyncIterator[int]:
        return Source().stream()

    coroutine: Any = open_stream()
    with pytest.raises(TypeError, match=r"stream is of type coroutine; .*; await it first$"):
        cancel_on_exit(coroutine)
    coroutine.close()


async def test_a_stream_can_be_made_in_a_thread() -> None:
    source = Source()
    numbers = await asyncio.to_thread(lambda: cancel_on_exit(source.stream()))
    assert await anext(numbers) == 0
    await numbers.aclose()
    assert source.is_clean.is_set()


def test_a_loop_that_ends_right_after_a_break_lets_the_stream_clean_up() -> None:
    sources: list[Source] = []

    async def main() -> None:
        sources.append(Source())
        await count_to(cancel_on_exit(sources[0].stream()), 2)

    asyncio.run(main())
    gc.collect()
    assert sources[0].is_clean.is_set()


async def test_an_exception_that_is_no_exception_of_a_program_is_raised_too() -> None:
    class Exit(BaseException):
        """As those of `pytest.fail`."""

    async def stream() -> AsyncGenerator[int, None]:
        yield 1
        raise Exit

    numbers = cancel_on_exit(stream())
    assert await anext(numbers) == 1
    with pytest.raises(Exit):
        await asyncio.wait_for(anext(numbers), 5)
    with pytest.raises(StopAsyncIteration):
        await anext(numbers)

"""Warnings that point at the user's code instead of at this library or a framework.

`stacklevel` cannot do that: between a user's line and a warning lie any number of frames of
LangChain or LlamaIndex, and often a task or a thread that they started. So the search goes from
frame to frame, and from a task or thread on to the one that waits for it.

If no user code waits for the answer (a background task of an agent's workflow), the warning points
at the code that runs the event loop, and without any user code at all at this library.
"""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

calling_thread: ContextVar[int | None] = ContextVar("calling_thread", default=None)
"""The thread that waits for this task, if it was started by the blocking bridge of `_sync`."""

_OWN = {"replicate_stream", "langchain_replicate_stream", "llama_index_replicate_stream"}
_FRAMEWORKS = {"langchain", "langchain_classic", "langchain_core", "langgraph", "langsmith"}
_FRAMEWORKS |= {"llama_index", "llama_index_instrumentation", "llm", "workflows"}
_LIBRARIES = {"anyio", "click", "nest_asyncio", "pydantic", "tenacity", "uvloop", "wrapt"}
_NOT_USER_CODE = sys.stdlib_module_names | _OWN | _FRAMEWORKS | _LIBRARIES
# Attributes with the frame, and with what that waits for.
_AWAITABLES = {
    "coroutine": ("cr_frame", "cr_await"),
    "async_generator": ("ag_frame", "ag_await"),
    "generator": ("gi_frame", "gi_yieldfrom"),
}
# Where a text was warned of: file, line, module, and the module's registry of warnings.
_first_places: dict[str, tuple[str, int, str | None, dict[Any, Any]]] = {}
_EVENT_LOOPS = {"asyncio.events", "asyncio.runners", "uvloop"}


def warn_caller(message: str, category: type[Warning], *, is_for_all_lines: bool = False) -> None:
    """Warn once for each line of user code, as `warnings.warn` does, and point at that line.

    Args:
        message: The text.
        category: The class of the warning.
        is_for_all_lines: Warn once for the text, and point at the line that was the first.
    """
    here = sys._getframe(1)  # noqa: SLF001 - `warnings` itself finds its caller by it
    place = _first_places.get(message) if is_for_all_lines else None
    if place is None:
        frame = _find_user_frame(here) or here
        place = (
            frame.f_code.co_filename,
            frame.f_lineno,
            frame.f_globals.get("__name__"),
            frame.f_globals.setdefault("__warningregistry__", {}),
        )
    if is_for_all_lines:
        _first_places[message] = place
    warnings.warn_explicit(message, category, *place)


def _find_user_frame(innermost: FrameType) -> FrameType | None:
    is_in_task = False
    for frame in _walk_out(innermost):
        if _is_user_code(frame):
            return frame
        if not is_in_task and _module(frame) in _EVENT_LOOPS:
            # The frames further out run the loop. Whoever called this task is waiting elsewhere.
            is_in_task = True
            caller = _search_waiting_tasks() or _search_thread(calling_thread.get())
            if caller is not None:
                return caller
    return None if is_in_task else _search_thread(threading.get_ident())


def _walk_out(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_user_code(frame: FrameType) -> bool:
    return _module(frame).partition(".")[0] not in _NOT_USER_CODE


def _search_thread(
    ident: int | None, searched: frozenset[int | None] = frozenset()
) -> FrameType | None:
    """Search the stack of a thread; if it belongs to an executor, that of the thread that waits.

    A framework's `batch` keeps the executor in a local variable until all calls are done, and code
    that waits for a single future has that in one.
    """
    stacks = sys._current_frames()  # noqa: SLF001 - documented, in spite of its name
    if ident not in stacks:
        return None
    shared: set[int] = set()  # ids of the future that the thread works on, and of its executor
    for frame in _walk_out(stacks[ident]):
        if _is_user_code(frame):
            return frame
        if _module(frame) == "concurrent.futures.thread":
            executor = frame.f_locals.get("executor_reference", lambda: None)()
            future = getattr(frame.f_locals.get("self"), "future", None)
            shared |= {id(each) for each in (executor, future) if each is not None}
    searched |= {ident}
    for other in stacks.keys() - searched if shared else ():
        frames = _walk_out(stacks[other])
        if any(id(value) in shared for each in frames for value in each.f_locals.values()):
            found = _search_thread(other, searched)
            if found is not None:
                return found
    return None


def _search_waiting_tasks() -> FrameType | None:
    """Search the tasks that the current one wakes when it is done, then those that they wake.

    Found by the callbacks, through `await`, `gather`, `wait` and `wait_for`; a search through all
    tasks would take longer with each further task.
    """
    import asyncio  # loaded by now; `import replicate_stream` must not load it

    reached: list[Any] = [asyncio.current_task()]
    for future in reached:
        # Not by class: tasks written in Python share no class with those of C.
        if future is not reached[0] and hasattr(future, "get_coro"):
            for frame in reversed(_suspended_frames(future)):
                if _is_user_code(frame):
                    return frame
        for callback, _ in getattr(future, "_callbacks", None) or ():
            # `await` registers a method of the task, the helpers a closure or a partial function.
            woken = gc.get_referents(callback, *(getattr(callback, "__closure__", None) or ()))
            for each in (*woken, *getattr(callback, "args", ())):
                if asyncio.isfuture(each) and each not in reached:
                    reached.append(each)
    return None


def _suspended_frames(task: asyncio.Task[Any]) -> list[FrameType]:
    """The frames of a task that waits, the outermost first: `Task.get_stack` has only that one."""
    awaited: Any = task.get_coro()
    frames: list[FrameType | None] = []
    while awaited is not None:
        if (attributes := _AWAITABLES.get(type(awaited).__name__)) is not None:
            frame, awaited = (getattr(awaited, name, None) for name in attributes)
            frames.append(frame)
        else:
            # What `async for` awaits hides the generator that it drives.
            awaited = next(filter(_is_awaitable, gc.get_referents(awaited)), None)
    return [frame for frame in frames if frame is not None]


def _is_awaitable(value: object) -> bool:
    return type(value).__name__ in {*_AWAITABLES, "async_generator_asend", "anext_awaitable"}

"""A process that exits with open streams ends at once, silently, and cancels each of them once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import pytest

from replicate_stream._api import tasks
from replicate_stream.testing import Emulator, Fault

# What each program leaves open in the global `left`.
PROGRAMS = {
    "a loop made by hand and closed": """
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(open_stream())
        loop.close()
    """,
    "a loop made by hand and left open": """
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(open_stream())
    """,
    "a stream entered by hand in asyncio.run": """
        async def main():
            global left
            left = await open_stream()
        asyncio.run(main())
    """,
    "a generator kept in a global": """
        async def texts():
            async with client.stream(model, "Hi") as events:
                async for event in events:
                    yield event
        left = texts()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(left.__anext__())
        loop.close()
    """,
    "a resumed prediction": """
        async def take_up():
            async with client.stream(model, "Hi") as events:
                await events.__anext__()
                events.leave_running()
            resumed = client.resume(events.prediction.id)
            await resumed.__anext__()
            return resumed
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(take_up())
        loop.close()
    """,
    "a cycle of garbage": """
        gc.disable()
        loop = asyncio.new_event_loop()
        cycle = [loop.run_until_complete(open_stream())]
        cycle.append(cycle)
        del cycle
        loop.close()
    """,
    "a blocking stream": """
        from replicate_stream._sync import iterate_blocking
        left = iterate_blocking(lambda: client.stream(model, "Hi"))
        next(left)
    """,
    "a daemon thread": """
        import contextlib, threading
        opened = threading.Event()
        async def read():
            with contextlib.suppress(Exception):  # it may see that the prediction was canceled
                async with client.stream(model, "Hi") as events:
                    async for event in events:
                        opened.set()
        # Not by asyncio.run, whose end wants a new thread and fails while Python 3.12 exits.
        run = asyncio.new_event_loop().run_until_complete
        threading.Thread(target=run, args=(read(),), daemon=True).start()
        opened.wait()
    """,
    "a forked child that exits before": """
        import os, warnings
        warnings.simplefilter("ignore")
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(open_stream())
        child = os.fork()
        if not child:
            sys.exit()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loop.run_until_complete(left[1].__anext__())
    """,
    "a forked child with a blocking stream of its own": """
        import os, warnings
        from replicate_stream._sync import iterate_blocking, run_blocking
        warnings.simplefilter("ignore")
        run_blocking(lambda: client.describe(model))
        child = os.fork()
        if not child:
            left = iterate_blocking(lambda: client.stream(model, "Hi"))
            next(left)
            sys.exit()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """,
    "a forked child, while a connection is idle": """
        import os, warnings
        warnings.simplefilter("ignore")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.describe(model))
        child = os.fork()
        if not child:
            sys.exit()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        left = loop.run_until_complete(open_stream())
    """,
}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_exit_cancels_what_is_left_open(replicate_emulator: Emulator, name: str, host: str) -> None:
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    run_program(replicate_emulator, PROGRAMS[name], host)
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)
    assert len(replicate_emulator.cancels) == 1


@pytest.mark.parametrize("end", ["", "; loop.close()"], ids=["left open", "closed"])
def test_exit_is_silent_after_a_loop_made_by_hand(replicate_emulator: Emulator, end: str) -> None:
    run = "loop.run_until_complete(client.complete(model, 'Hi'))"
    run_program(replicate_emulator, f"loop = asyncio.new_event_loop(); {run}{end}")
    assert len(replicate_emulator.predictions) == 1
    assert replicate_emulator.cancels == []


@pytest.mark.usefixtures("quick_switches")
def test_tasks_are_closed_at_exit_while_a_daemon_thread_starts_some() -> None:
    async def start_tasks() -> None:
        for _ in range(20):
            await asyncio.gather(*(tasks.start_task(asyncio.sleep(0)) for _ in range(1000)))

    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(asyncio.run, start_tasks())
        while not running.done():
            tasks._close_at_exit()
    assert running.exception() is None


def run_program(
    emulator: Emulator,
    body: str,
    host: str = "127.0.0.1",
    *,
    has_stderr: bool = False,
    until: Callable[[Emulator], bool] = lambda _: True,
) -> list[str]:
    """Run a program, whose standard input ends once the emulator is in a certain state."""
    program = f"""
import asyncio, gc, sys
from replicate_stream import Client

base_url = {emulator.base_url!r}.replace("127.0.0.1", {host!r})
client = Client({emulator.token!r}, base_url=base_url)
model = {emulator.model!r}

async def open_stream():
    opening = client.stream(model, "Hi")
    events = await opening.__aenter__()
    await events.__anext__()
    return opening, events
{textwrap.dedent(body)}
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
    ) as running:
        emulator.wait_for(lambda e: until(e) or running.poll() is not None)
        _, errors = running.communicate(timeout=15)
    assert running.returncode == 0
    assert has_stderr or errors == ""
    return errors.splitlines()


def test_a_token_that_cannot_be_had_at_the_exit_costs_no_other_prediction(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    body = f"""
    def fetch_token():
        if is_down:
            raise OSError("the vault is down")
        return {replicate_emulator.token!r}

    is_down, good, loop = False, client, asyncio.new_event_loop()
    left = []
    for client in (good, Client(fetch_token, base_url=base_url), good):
        left.append(loop.run_until_complete(open_stream()))
    loop.close()
    is_down = True
    """
    (warning,) = run_program(replicate_emulator, body, has_stderr=True)
    assert warning.endswith("no request could be built (OSError)")
    first, _, third = replicate_emulator.predictions
    assert sorted(replicate_emulator.cancels) == sorted([first, third])


COLLECTED = "vectors that are collected, without an exit hook"
# Of our tasks, those that are pending when their loop is closed, and how many predictions there are
PENDING = {
    "a batch after its first result": (
        """
        left = client.batch(model, [("a", "short"), ("b", "Hi"), ("c", "Ho")])
        loop.run_until_complete(left.__anext__())
        loop.run_until_complete(wait())
        """,
        3,
    ),
    "a batch that is collected": (
        """
        batch = client.batch(model, [("a", "short"), ("b", "Hi"), ("c", "Ho")])
        loop.run_until_complete(batch.__anext__())
        loop.run_until_complete(wait())
        loop.close()
        del batch
        gc.collect()
        """,
        3,
    ),
    COLLECTED: (
        """
        task = loop.create_task(client.embed("acme/vectors", ["a", "b"], batch_size=1))
        task._log_destroy_pending = False  # it is the caller's own
        import logging
        async def sleep():
            "Wait until no task waits for a reply: its connection would hold it."
            repeated = []
            logger = logging.getLogger("replicate_stream")
            logger.setLevel(logging.INFO)
            logger.addFilter(lambda record: repeated.append(record) or False)
            while len(repeated) < 2:
                await asyncio.sleep(0.01)
        loop.run_until_complete(sleep())
        loop.close()
        del task
        gc.collect()
        import os, threading
        for thread in set(threading.enumerate()) - {threading.main_thread()}:
            thread.join()
        os._exit(0)
        """,
        2,
    ),
    "a batch with a journal": (
        """
        left = client.batch(model, [("a", "short"), ("b", "Hi"), ("c", "Ho")], journal=journal)
        loop.run_until_complete(left.__anext__())
        loop.run_until_complete(wait())
        """,
        3,
    ),
}
# The caller's own task, of which asyncio complains, and rightly so
OWN_TASKS = {
    "a batch in a task": (
        """
        async def run():
            async for result in client.batch(model, [("b", "Hi"), ("c", "Ho")]):
                pass
        """,
        2,
    ),
    "vectors": ("run = lambda: client.embed('acme/vectors', ['a'] * 3, batch_size=1)", 3),
    "a stream": (
        """
        async def run():
            async with client.stream(model, "Hi") as events:
                async for event in events:
                    pass
        """,
        1,
    ),
    "a whole answer": ("run = lambda: client.complete(model, 'Hi')", 1),
}


@pytest.mark.parametrize("name", [*PENDING, *OWN_TASKS])
def test_tasks_of_ours_that_a_closed_loop_leaves_are_silent_and_their_predictions_are_cancelled(
    replicate_emulator: Emulator, tmp_path: Path, name: str
) -> None:
    body, count = {**PENDING, **OWN_TASKS}[name]
    emulator = replicate_emulator
    emulator.behaviour.token_delay = 0.005
    emulator.reply = lambda values: ["ok"] if "short" in str(values) else ["word "] * 20_000
    vectors = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    texts = {"texts": {"type": "array", "items": {"type": "string"}}}
    emulator.add_model("acme/vectors", {"properties": texts}, output_schema=vectors)
    if name == COLLECTED:
        late = Fault(on="get", status=429, headers={"Retry-After": "60"})
        emulator.fault(late, times=None)
    program = f"""
journal = {str(tmp_path / "journal")!r}
loop = asyncio.new_event_loop()
async def wait():
    "Wait until all predictions are read whose answers do not end at once."
    from replicate_stream._api.cancellation import _open
    while len(_open) < {min(count, 2) if name in PENDING else count}:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(sys.stdin.read)
{textwrap.dedent(body)}
"""
    if name in OWN_TASKS:
        program += "task = loop.create_task(run())\nloop.run_until_complete(wait())\n"
    is_streamed = name in OWN_TASKS and name != "vectors"
    lines = run_program(
        emulator,
        program + "loop.close()\n",
        has_stderr=name in OWN_TASKS,
        # asyncio itself complains of a task that is destroyed while it connects.
        until=lambda e: not is_streamed or e.streams_open == count,
    )
    if lines:
        assert lines[0] == "Task was destroyed but it is pending!"
        assert " name='Task-1' " in lines[1]
        assert len(lines) == 2
    left = [id_ for id_, each in emulator.predictions.items() if each.status != "succeeded"]
    assert len(emulator.predictions) == count
    assert sorted(emulator.cancels) == sorted(left)
    assert len(left) == (2 if name in PENDING else count)

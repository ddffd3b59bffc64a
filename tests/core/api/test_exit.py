"""A process that exits with open streams ends at once, silently, and cancels each of them once."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from replicate_stream.testing import Emulator

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
        threading.Thread(target=asyncio.run, args=(read(),), daemon=True).start()
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


def run_program(emulator: Emulator, body: str, host: str = "127.0.0.1") -> None:
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
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)

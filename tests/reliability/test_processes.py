"""Event loops, forks, worker processes, exits and signals: one answer, one cancel, a quick end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from replicate_stream import Client
from replicate_stream.testing import Emulator, Fault
from tests.reliability.conftest import IS_FULL, RecordFigure, Size

PAGE = Path(__file__).parents[2] / "docs" / "timeouts.md"
PRELUDE = """
import asyncio, os, sys, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
from replicate_stream import Client, TextDelta
from replicate_stream.adapters import iterate_blocking, run_blocking

model = os.environ["MODEL"]
client = Client()

async def ask(prompt="Hi"):
    return (await client.complete(model, prompt)).text

def wait(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def start(emulator: Emulator, program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(arguments or ("-c", program))],
        env={
            **os.environ,
            "REPLICATE_API_TOKEN": emulator.token,
            "REPLICATE_BASE_URL": emulator.base_url,
            "MODEL": emulator.model,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(emulator: Emulator, body: str) -> str:
    """Run a program that must end quickly and silently; return its output."""
    with start(emulator, PRELUDE + textwrap.dedent(body)) as process:
        output, errors = process.communicate(timeout=30)
    assert (errors, process.returncode) == ("", 0)
    return output


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose answers last longer than any test."""
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["word "] * 20_000
    texts = {"texts": {"type": "array", "items": {"type": "string"}}}
    schema = {"type": "object", "properties": texts}
    vectors = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    replicate_emulator.add_model("acme/embedder", schema, output_schema=vectors, official=True)
    return replicate_emulator


# --- Event loops


@pytest.mark.usefixtures("quick_switches")
def test_one_client_in_many_event_loops(replicate_emulator: Emulator, size: Size) -> None:
    replicate_emulator.reply = lambda values: str(values["prompt"])[-4:]
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    count = size.choose(20, 200)

    async def ask(number: int) -> list[str]:
        calls = (client.complete(replicate_emulator.model, f"{number:04}") for _ in range(3))
        return [completion.text for completion in await asyncio.gather(*calls)]

    texts = [asyncio.run(ask(number)) for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        texts += pool.map(lambda number: asyncio.run(ask(number)), range(count, 2 * count))
    assert texts == [[f"{number:04}"] * 3 for number in range(2 * count)]
    assert len(replicate_emulator.predictions) == 6 * count


# --- Forks


# Each: the number of predictions, and the program.
FORKS: dict[str, tuple[int, str]] = {
    "before the first stream": (
        2,
        """
        child = os.fork()
        assert asyncio.run(ask()) == "a word"
        if child: wait(child)
        """,
    ),
    "between streams": (
        3,
        """
        assert asyncio.run(ask()) == "a word"
        child = os.fork()
        assert asyncio.run(ask()) == "a word"
        if child: wait(child)
        """,
    ),
    "between blocking streams": (
        3,
        """
        assert run_blocking(ask) == "a word"
        child = os.fork()
        assert run_blocking(ask) == "a word"
        if child: wait(child)
        """,
    ),
    "in the middle of a stream": (
        2,
        """
        async def main():
            async with client.stream(model, "Hi") as events:
                texts = [await anext(events)]
                child = os.fork()
                if not child:
                    # A loop cannot be used in a child; one of its own runs in another thread.
                    thread = threading.Thread(target=asyncio.run, args=(ask(),))
                    thread.start()
                    thread.join()
                    os._exit(0)
                texts += [event async for event in events]
            wait(child)
            return "".join(each.text for each in texts if isinstance(each, TextDelta))
        assert asyncio.run(main()) == "a word"
        """,
    ),
    "in the middle of a stream that the child leaves": (
        1,
        """
        async def main():
            async with client, client.stream(model, "Hi") as events:
                texts = [await anext(events)]
                child = os.fork()
                if not child:
                    sys.exit()
                texts += [event async for event in events]
            wait(child)
            return "".join(each.text for each in texts if isinstance(each, TextDelta))
        assert asyncio.run(main()) == "a word"
        """,
    ),
    "in the middle of a blocking stream": (
        3,
        """
        assert run_blocking(ask) == "a word"  # which imports all modules: see the documentation
        stream = iterate_blocking(lambda: client.stream(model, "Hi"))
        texts = [next(stream)]
        child = os.fork()
        if child:
            texts += stream
            assert "".join(x.text for x in texts if isinstance(x, TextDelta)) == "a word"
            wait(child)
        else:
            assert run_blocking(ask) == "a word"
        """,
    ),
    "while a request waits for the rate limit": (
        2,
        """
        import logging
        waits = threading.Event()
        handler = logging.Handler()
        handler.handle = lambda record: waits.set()
        logging.getLogger("replicate_stream").addHandler(handler)
        thread = threading.Thread(target=asyncio.run, args=(ask(),))
        thread.start()
        waits.wait()
        child = os.fork()
        if child:
            thread.join()
            wait(child)
        else:
            assert asyncio.run(ask()) == "a word"
            os._exit(0)
        """,
    ),
}


@needs_fork
@pytest.mark.parametrize("name", FORKS)
def test_a_fork_disturbs_neither_process(replicate_emulator: Emulator, name: str) -> None:
    replicate_emulator.behaviour.token_delay = 0.05
    replicate_emulator.reply = ["a", " word"]
    if "rate limit" in name:
        refused = {"detail": "…", "retry_after": 0.3}
        replicate_emulator.fault(Fault(on="create", status=429, body=refused), times=2)
    count, program = FORKS[name]
    run(replicate_emulator, program)
    statuses = [each.status for each in replicate_emulator.predictions.values()]
    assert statuses == ["succeeded"] * count
    assert replicate_emulator.cancels == []


# --- Worker processes


WORKERS = """
import asyncio, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Client

model = os.environ["MODEL"]

def ask_core(client):
    return asyncio.run(client.complete(model, "Hi")).text

def ask_langchain(llm):
    return llm.invoke("Hi").content

def ask_llama_index(llm):
    return llm.complete("Hi").text

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    calls = [
        (ask_core, Client()),
        (ask_langchain, ChatReplicate(model=model)),
        (ask_llama_index, Replicate(model=model)),
    ]
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        futures = [pool.submit(ask, each) for ask, each in calls for _ in range(2)]
        assert [future.result() for future in futures] == ["a word"] * 6
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_clients_are_pickled_into_worker_processes(
    replicate_emulator: Emulator, tmp_path: Path, method: str
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method}")
    replicate_emulator.reply = ["a", " word"]
    program = tmp_path / "program.py"
    program.write_text(WORKERS)
    with start(replicate_emulator, "", str(program), method) as process:
        _, errors = process.communicate(timeout=100)
    assert (errors, process.returncode) == ("", 0)
    assert len(replicate_emulator.predictions) == 6
    assert replicate_emulator.cancels == []


# --- Signals


LANGCHAIN = """
from langchain_replicate_stream import ChatReplicate
llm = ChatReplicate(model=model)
"""
LLAMA_INDEX = """
from llama_index.core.llms import ChatMessage
from llama_index_replicate_stream import Replicate
llm = Replicate(model=model)
messages = [ChatMessage(content="Hi")]
"""
SURFACES = {
    "core": "asyncio.run(ask())",
    "core, blocking": "list(iterate_blocking(lambda: client.stream(model, 'Hi')))",
    "resume": """
async def main():
    async with client.stream(model, "Hi") as events:
        await events.__anext__()
        events.leave_running()
    async for _ in client.resume(events.prediction.id): print("resumed", flush=True)
asyncio.run(main())
""",
    "batch": """
async def main():
    async for _ in client.batch(model, [("a", "Hi")]): pass
asyncio.run(main())
""",
    "embed": "asyncio.run(client.embed('acme/embedder', ['Hi']))",
    "LangChain invoke": LANGCHAIN + "llm.invoke('Hi')",
    "LangChain stream": LANGCHAIN + "list(llm.stream('Hi'))",
    "LangChain astream": LANGCHAIN
    + """
async def main():
    async for _ in llm.astream('Hi'): pass
asyncio.run(main())
""",
    "LlamaIndex chat": LLAMA_INDEX + "llm.chat(messages)",
    "LlamaIndex stream_chat": LLAMA_INDEX + "list(llm.stream_chat(messages))",
    "LlamaIndex astream_chat": LLAMA_INDEX
    + """
async def main():
    async for _ in await llm.astream_chat(messages): pass
asyncio.run(main())
""",
}

# The quick size has one call of each framework, whose import takes the most time.
FULL_ONLY = {"LangChain invoke", "LangChain astream", "LlamaIndex chat", "LlamaIndex astream_chat"}
CALLS = [name for name in SURFACES if IS_FULL or name not in FULL_ONLY]


@pytest.mark.parametrize("package", ["LangChain", "LlamaIndex"])
def test_a_process_that_exits_with_an_open_stream_cancels_it(
    endless: Emulator, package: str
) -> None:
    program = {
        "LangChain": LANGCHAIN + "left = llm.stream('Hi')",
        "LlamaIndex": LLAMA_INDEX + "left = llm.stream_chat(messages)",
    }[package]
    run(endless, program + "\nnext(left)")
    assert endless.cancels == list(endless.predictions)
    assert len(endless.cancels) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT")
@pytest.mark.parametrize("surface", CALLS)
def test_ctrl_c_cancels_once_and_ends_at_once(
    endless: Emulator, record_figure: RecordFigure, surface: str
) -> None:
    with start(endless, PRELUDE + SURFACES[surface]) as process:
        if surface == "resume":
            assert process.stdout is not None
            assert process.stdout.readline() == "resumed\n"
        elif surface == "embed":  # vectors are not streamed
            endless.wait_for(lambda e: any(r.kind == "get" for r in e.requests), timeout=30)
        else:
            endless.wait_for(lambda e: e.streams_open == 1, timeout=30)
        process.send_signal(signal.SIGINT)
        sent_at = time.monotonic()
        _, errors = process.communicate(timeout=30)
    seconds = time.monotonic() - sent_at
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in errors
    assert process.returncode == -signal.SIGINT
    assert endless.cancels == list(endless.predictions)
    assert len(endless.cancels) == 1
    assert seconds < 5
    record_figure("seconds from Ctrl-C to the end", seconds, "s")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_sigterm_ends_a_process_without_cancels(endless: Emulator) -> None:
    with start(endless, PRELUDE + SURFACES["core"]) as process:
        endless.wait_for(lambda e: e.streams_open == 1, timeout=30)
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert endless.cancels == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize("kind", ["asynchronous", "blocking"])
def test_the_handler_of_the_documentation_cancels_on_sigterm(endless: Emulator, kind: str) -> None:
    if not PAGE.is_file():
        pytest.skip("docs/ is not part of the source distribution")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (program,) = (each for each in blocks if ("asyncio" in each) == (kind == "asynchronous"))
    with start(endless, program) as process:
        endless.wait_for(lambda e: e.streams_open == 1, timeout=30)
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert endless.cancels == list(endless.predictions)
    assert len(endless.cancels) == 1
    (creation,) = (each for each in endless.requests if each.kind == "create")
    assert creation.headers["cancel-after"] == "60s"

"""Fixtures of several folders: models of every family, and shared material."""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from replicate_stream import ParameterWarning
from replicate_stream._api import models
from replicate_stream.testing import Emulator, Fault, Reply, ToolUser

# A shell's background jobs, such as `make test &`, ignore Ctrl-C, and hand that on to the programs
# that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Selected by `make fuzz`. Failures are found again from the database in .hypothesis.
EXAMPLES = int(os.environ.get("EXAMPLES", "5000"))
settings.register_profile("fuzz", max_examples=EXAMPLES, deadline=None)
# Times on a busy machine say nothing about the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_collection_finish() -> None:
    """Keep what is imported, and the tests themselves, out of every collection of garbage.

    A whole collection takes half a second without this, and many tests ask for one or cause one.
    """
    gc.collect()
    gc.freeze()


def load_helper(name: str) -> ModuleType:
    """Import a helper module beside this file, because the tests' folders are not packages."""
    return load_module(Path(__file__).with_name(f"{name}.py"))


def load_module(path: Path) -> ModuleType:
    """Import a file by its path, anew each time."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up there
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding

    from tests import model_faults, prompt_reader, web_server
else:
    web_server = load_helper("web_server")
    model_faults = load_helper("model_faults")
    load_helper("prompt_offers")
    prompt_reader = load_helper("prompt_reader")

Model: TypeAlias = Callable[[Mapping[str, Any]], Reply]
MakeModel: TypeAlias = Callable[..., Model]

TEXT = {"type": "string"}
VISION = {"prompt": TEXT, "image": {**TEXT, "format": "uri"}}
MARKED = {"prompt": TEXT, "system_prompt": TEXT}
# These words are vLLM's own: such a model hands the prompt to the engine as it is.
BOUND = {"type": "integer", "description": "Maximum tokens to generate per output sequence."}
RAW = {"prompt": TEXT, "max_tokens": BOUND}
NATIVE = "acme/caller"
# Models with their inputs and the format in which the client is to offer them tools. Left out are
# those whose offer does not hold a whole schema (Qwen 3 Coder, Command R, gpt-oss), whose prompt
# opens a thought that a scripted model does not close, and whose calls have a code fence of their
# own: `test_prompts_read_back.py` reads the prompts of them all.
FAMILIES: dict[str, tuple[Mapping[str, Any], str]] = {
    "some/model": (MARKED, "hermes"),
    "qwen/qwen2.5-72b-instruct": (RAW, "hermes"),
    "meta/meta-llama-3.1-70b-instruct": (RAW, "llama"),
    "mistralai/mistral-7b-instruct-v0.3": (RAW, "mistral"),
    "mistralai/ministral-3-8b-instruct-2512": (RAW, "mistral"),
    "ibm-granite/granite-3.3-8b-instruct": (RAW, "granite"),
    "cohere/command-r7b-12-2024": (RAW, "cohere"),
    "google/gemma-4-31b-it": (RAW, "gemma"),
    "meta/llama-4-scout-instruct": (RAW, "llama"),
    "microsoft/phi-4-mini-instruct": (RAW, "phi"),
    "deepseek-ai/deepseek-v3.1": (RAW, "deepseek"),
    "deepseek-ai/deepseek-v3.2": (RAW, "dsml"),
    "nousresearch/hermes-3-llama-3.1-8b": (RAW, "nous"),
    "zai-org/glm-4.6": (RAW, "glm"),
    "minimaxai/minimax-m1-80k": (RAW, "minimax-m1"),
    NATIVE: (ToolUser.native_input["properties"], "native"),
}
FAULTS: dict[str, MakeModel] = {
    "none": ToolUser,
    **{
        fault.__name__: model_faults.make_faulty(fault, prompt_reader.read_input)
        for fault in (
            model_faults.write_prose_first,
            model_faults.think_first,
            model_faults.put_in_fences,
            model_faults.refuse_first,
            model_faults.invent_results,
            model_faults.write_python,
        )
    },
}


@pytest.fixture(autouse=True)
def forget_models() -> None:
    """A server of the test before may have had the same port as one of this test."""
    models._cache.clear()


@pytest.fixture(autouse=True)
def check_leftovers() -> Iterator[None]:
    """A test puts back what it changes of the process, pytest's own log handlers included."""
    before = show_process()
    yield
    assert show_process() == before


# Others' libraries set variables of their own for good, as Dask does.
_OUR_VARIABLES = re.compile("REPLICATE|PROXY|proxy|SSL_|OTEL_|LLM_")


def show_process() -> dict[str, object]:
    loggers = [logging.root, *map(logging.getLogger, ("asyncio", "replicate_stream"))]
    handlers = [handler for logger in loggers for handler in logger.handlers]
    return {
        "environment": {k: v for k, v in os.environ.items() if _OUR_VARIABLES.search(k)},
        "folder": Path.cwd(),
        "signals": [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)],
        "hooks": [sys.excepthook, threading.excepthook],
        "switch interval": sys.getswitchinterval(),
        "garbage": gc.isenabled(),
        "loggers": [(each.level, each.disabled, each.filters[:]) for each in loggers],
        "handlers": [(each, each.level, each.filters[:]) for each in handlers],
    }


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads that interrupt one another at nearly every step, as they seldom do otherwise."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(scope="session")
def read_input() -> Callable[[Mapping[str, Any]], prompt_reader.Prompt]:
    """Independent reader of a model's input, which shares no code with the client."""
    return prompt_reader.read_input


@pytest.fixture
def hang_up() -> Callable[..., Awaitable[None]]:
    """Serves a stream by a real web server, to a client that hangs up in the middle of it."""
    return web_server.hang_up


@pytest.fixture
async def web_chat(
    replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The address of examples/web_chat, served by uvicorn, with a model that takes images."""
    replicate_emulator.add_model("somebody/vision", {"properties": VISION}, official=True)
    monkeypatch.setenv("CHAT_MODEL", "somebody/vision")
    app = load_module(Path(__file__).parents[1] / "examples" / "web_chat" / "app.py").app
    async with web_server.serve(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def leave_in_scope() -> Callable[..., Awaitable[None]]:
    """Reads a stream until an anyio scope cancels the reader, again and again."""
    return web_server.leave_in_scope


@pytest.fixture
def keeping_emulator(replicate_emulator: Emulator) -> Emulator:
    """An emulator that answers "Hello", and whose stream host gives its connections back.

    So no request needs a new connection. The real stream host keeps each one open, for itself.
    """
    replicate_emulator.reply = ["Hello"]
    body = "event: output\nid: 1:0\ndata: Hello\n\nevent: done\nid: 1:1\ndata: {}\n\n"
    stream = Fault(on="stream", body=body, content_type="text/event-stream")
    replicate_emulator.fault(stream, times=None)
    return replicate_emulator


@pytest.fixture
def count_connections(replicate_emulator: Emulator) -> Callable[[], int]:
    """Count the connections that the emulator had accepted when its latest request came."""
    return lambda: max((r.connection for r in replicate_emulator.requests), default=0)


@pytest.fixture
def endless_answer(replicate_emulator: Emulator) -> web_server.EndlessAnswer:
    """The answer of the emulator: it goes on until it is stopped, and counts its words."""
    answer = web_server.EndlessAnswer()
    replicate_emulator.behaviour.token_delay = 0.002
    replicate_emulator.reply = answer
    return answer


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Name of a model: one for each format of tool calling."""
    return str(request.param)


@pytest.fixture(params=FAULTS.values(), ids=list(FAULTS))
def make_tool_user(request: pytest.FixtureRequest) -> MakeModel:
    """Constructor like `ToolUser`, with each of the faults that models have."""
    make: MakeModel = request.param
    return make


@pytest.fixture
def host(replicate_emulator: Emulator) -> Iterator[Callable[[str, Model], None]]:
    """Run a scripted model in the emulator as a model of one of the families.

    In the end no input may have held a mark where none belongs, or tools in another format.
    """
    stray_marks: list[str] = []
    formats: list[tuple[str, str]] = []

    def host(family: str, model: Model) -> None:
        schema, tool_format = FAMILIES[family]

        def reply(values: Mapping[str, Any]) -> Reply:
            prompt = prompt_reader.read_input(values)
            stray_marks.extend(filter(None, [prompt.stray_mark]))
            formats.append((prompt.format or tool_format, tool_format))
            return model(values)

        replicate_emulator.reply = reply
        replicate_emulator.add_model(
            family,
            {"type": "object", "properties": schema},
            output_schema=ToolUser.native_output if family == NATIVE else None,
            official=True,
        )

    yield host
    assert stray_marks == []
    assert [found for found, expected in formats if found != expected] == []
    assert formats


@pytest.fixture
def warned_places() -> Iterator[Callable[[], list[tuple[str, int]]]]:
    """Records the `ParameterWarning`s of a test; call it for the file and line of each."""
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        yield lambda: [
            (each.filename, each.lineno) for each in recorded if each.category is ParameterWarning
        ]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the recordings, schemas and documents; skips if it is missing."""
    beside = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("REPLICATE_STREAM_SHARED") or beside)
    if not folder.is_dir():
        pytest.skip("needs the shared material; REPLICATE_STREAM_SHARED is its path")
    return folder


@pytest.fixture(scope="session")
def by_words() -> BaseEmbedding:
    """An embedding that counts words, so that retrieval finds the text with the words asked for."""
    from llama_index.core.base.embeddings.base import BaseEmbedding

    class Words(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            vector = [0.0] * 256
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                vector[hashlib.md5(word.encode()).digest()[0]] += 1.0
            return vector

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    return Words()

"""Chat engines: each keeps its history, and streams by a thread or a task of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage

from replicate_stream import PredictionFailedError
from replicate_stream.testing import Emulator, Reply

# All that there are: `react` and `openai` are errors of the framework, which sends users to agents.
MODES = ["simple", "context", "condense_question", "condense_plus_context", "best"]
Engine = Callable[..., Any]

# The framework keeps the history in a database in memory, which it never closes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*aiosqlite.* was deleted before being closed"),
    pytest.mark.usefixtures("closed_loops"),
]


@pytest.fixture
def engine(make_llm: Any, index: VectorStoreIndex) -> Engine:
    """Makes chat engines by the name of their mode."""

    def make_engine(mode: Any, **settings: Any) -> Any:
        llm = make_llm(**settings)
        if mode == "simple":
            return SimpleChatEngine.from_defaults(llm=llm, system_prompt="Be brief.")
        return index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=1)

    return make_engine


def prompts(emulator: Emulator) -> list[str]:
    return [
        json.dumps(dict(each.input), ensure_ascii=False) for each in emulator.predictions.values()
    ]


async def say(engine: Any, method: str, text: str) -> str:
    """Call a method of an engine, and return its answer."""
    result = getattr(engine, method)(text)
    if method.startswith("a"):
        result = await result
    if method == "stream_chat":
        return "".join(result.response_gen)
    if method == "astream_chat":
        return "".join([piece async for piece in result.async_response_gen()])
    return str(result)


@pytest.mark.parametrize("method", ["chat", "stream_chat", "achat", "astream_chat"])
@pytest.mark.parametrize("mode", MODES)
async def test_an_engine_answers_and_remembers(
    engine: Engine, replicate_emulator: Emulator, words: list[str], mode: str, method: str
) -> None:
    replicate_emulator.reply = words
    chat_engine, whole = engine(mode), "".join(words)
    assert await say(chat_engine, method, "What is the capital of France?") == whole
    assert await say(chat_engine, method, "And of Norway?") == whole
    messages = [
        (message.role.value, (message.content or "").strip())
        for message in chat_engine.chat_history
    ]
    assert messages == [
        ("user", "What is the capital of France?"),
        ("assistant", whole.strip()),  # as the framework remembers what was streamed
        ("user", "And of Norway?"),
        ("assistant", whole.strip()),
    ]
    first, second = prompts(replicate_emulator)[0], prompts(replicate_emulator)[1]
    assert ("Be brief." if mode == "simple" else "The capital of France is Paris.") in first
    assert "What is the capital of France?" in second
    assert "And of Norway?" in second


async def test_what_an_engine_thinks_is_no_part_of_its_answer(
    engine: Engine, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["<think>", "Hm", "</think>", "Paris", "."]
    for method in ("chat", "stream_chat", "achat", "astream_chat"):
        assert await say(engine("context"), method, "What is the capital of France?") == "Paris."


async def test_the_callers_history_is_not_changed(
    engine: Engine, replicate_emulator: Emulator
) -> None:
    history = [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Ho")]
    before = [message.model_copy(deep=True) for message in history]
    chat_engine = engine("simple")
    await chat_engine.achat("Again?", chat_history=history)
    assert history[:2] == before
    assert "Ho" in prompts(replicate_emulator)[0]


# The framework's thread for the history raises the error too, for nobody.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
async def test_a_failed_prediction_reaches_the_reader(
    engine: Engine, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="out of memory")
    with pytest.raises(PredictionFailedError, match="out of memory"):
        await say(engine("simple"), method, "Hi")

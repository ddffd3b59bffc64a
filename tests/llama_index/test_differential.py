"""Beside the framework's own models: the same calls have the same messages, events and results.

The emulator's model answers as the mock does: with its prompt, or with the next line of a script.
Tests note where the mocks are not an example to follow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, PrivateAttr

from replicate_stream.testing import Emulator

pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*aiosqlite.* was deleted before being closed"),
    pytest.mark.usefixtures("closed_loops"),
]

TEXTS = ["Hi", "  two\n\nlines \n", "é 😀\u2028x", "<|im_start|>user", "</s> [INST]"]
COMPLETIONS = ["complete", "stream_complete", "acomplete", "astream_complete"]
CHATS = ["chat", "stream_chat", "achat", "astream_chat"]


class Recorder(BaseEventHandler):
    """Keeps the names of all events of the LLM."""

    _names: list[str] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        name = type(event).__name__
        if name.startswith("LLM") and name not in self._names[-1:]:
            self._names.append(name)  # as often as there were tokens, but once here

    def take(self) -> list[str]:
        names, self._names = self._names, []
        return names


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """The events since the last `take`."""
    recorder = Recorder()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    yield recorder
    dispatcher.event_handlers.remove(recorder)


@pytest.fixture
def parrot(make_llm: Any, replicate_emulator: Emulator) -> Callable[..., Any]:
    """Makes models that answer with their prompt, as the mocks do."""
    replicate_emulator.reply = lambda values: str(values["prompt"])
    return make_llm  # type: ignore[no-any-return]  # a fixture of conftest.py


async def call(llm: Any, method: str, value: Any) -> Any:
    """Call a method, and return its response or the last of a stream."""
    result = getattr(llm, method)(value)
    if method.startswith("a"):
        result = await result
    if method.startswith("astream"):
        result = [each async for each in result][-1]
    elif method.startswith("stream"):
        result = list(result)[-1]
    return result


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("method", COMPLETIONS)
async def test_a_completion_says_what_the_mock_says(parrot: Any, method: str, text: str) -> None:
    ours, theirs = await call(parrot(), method, text), await call(MockLLM(), method, text)
    assert ours.text == theirs.text == text


@pytest.mark.parametrize("text", TEXTS[:3])
@pytest.mark.parametrize("method", CHATS)
async def test_a_chat_says_what_the_mock_says(parrot: Any, method: str, text: str) -> None:
    messages = [ChatMessage(role="user", content=text)]
    ours = await call(parrot(), method, messages)
    theirs = await call(MockFunctionCallingLLM(), method, messages)
    assert ours.message == theirs.message
    assert ours.message.content == text


@pytest.mark.parametrize("method", [*COMPLETIONS, *CHATS])
async def test_a_call_makes_the_events_that_the_mock_makes(
    parrot: Any, recorder: Recorder, method: str
) -> None:
    """One start and one end. The mock's `achat` calls its `chat`, which makes two of each."""
    value: Any = [ChatMessage(role="user", content="Hi")] if "chat" in method else "Hi"
    await call(parrot(), method, value)
    ours = recorder.take()
    await call(MockFunctionCallingLLM(), "chat" if method == "achat" else method, value)
    assert ours == recorder.take()


@pytest.mark.parametrize("is_chat_model", [True, False])
@pytest.mark.parametrize("method", ["predict", "apredict"])
async def test_a_prediction_says_what_the_mock_says_with_the_same_events(
    parrot: Any, recorder: Recorder, is_chat_model: bool, method: str
) -> None:
    prompt, answers = PromptTemplate("Tell me of {topic}:\n{topic}"), []
    for llm in (
        parrot(is_chat_model=is_chat_model),
        MockFunctionCallingLLM(is_chat_model=is_chat_model),
    ):
        answer = getattr(llm, method)(prompt, topic="owls")
        answers.append((await answer if method == "apredict" else answer, recorder.take()))
    (ours, our_events), (theirs, their_events) = answers
    assert ours == theirs == "Tell me of owls:\nowls"
    assert sorted(set(our_events)) == sorted(set(their_events))


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "accumulate"])
async def test_a_query_engine_asks_for_the_same_prompts_in_the_same_order(
    parrot: Any, index: VectorStoreIndex, mode: str
) -> None:
    answers = []
    for llm in (parrot(is_chat_model=False, context_window=3900), MockLLM()):
        engine = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=2)
        answers.append(str(await engine.aquery("What is the capital of France?")))
    ours, theirs = answers
    assert ours == theirs
    assert "The capital of France is Paris." in ours


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_a_chat_engine_remembers_the_same(parrot: Any, method: str) -> None:
    remembered = []
    for llm in (parrot(), MockFunctionCallingLLM(is_chat_model=True)):
        engine = SimpleChatEngine.from_defaults(llm=llm)
        result = getattr(engine, method)("Hi there")
        if method.startswith("a"):
            result = await result
        if method == "stream_chat":
            list(result.response_gen)
        if method == "astream_chat":
            [each async for each in result.async_response_gen()]
        remembered.append([(m.role, m.content) for m in engine.chat_history])
    assert remembered[0] == remembered[1]
    assert [content for _, content in remembered[0]] == ["Hi there", "Hi there"]


# Agents


def weather(city: str) -> str:
    """Get the weather of a city."""
    return f"sunny in {city}"


def add(one: int, other: int = 1) -> int:
    """Add numbers."""
    return one + other


TOOLS: list[Any] = [FunctionTool.from_defaults(weather), FunctionTool.from_defaults(add)]
Script = list[tuple[str, list[tuple[str, dict[str, Any]]]]]
SCRIPTS: dict[str, Script] = {
    "no call": [("Hello.", [])],
    "one": [("", [("weather", {"city": "Kraków"})]), ("Sunny.", [])],
    "two at once": [
        ("", [("weather", {"city": "A"}), ("add", {"one": 1, "other": 2})]),
        ("Done.", []),
    ],
    "one after the other": [
        ("", [("add", {"one": 1})]),
        ("", [("add", {"one": 2})]),
        ("It is 3.", []),
    ],
    "one that is not there": [("", [("sing", {})]), ("I cannot.", [])],
    "one that fails": [("", [("add", {"one": "x"})]), ("I cannot.", [])],
}


class Scripted(MockFunctionCallingLLM):
    """A mock that answers by a script. Its streams are made otherwise than its answers."""

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        message: Any = self.response_generator(messages, **kwargs)

        async def stream() -> Any:
            yield ChatResponse(message=message, delta=message.content or "")

        return stream()


def mock_of(script: Script) -> Any:
    steps = iter(script)

    def answer(messages: Any, **_: Any) -> ChatMessage:
        text, calls = next(steps)
        message = ChatMessage(role="assistant", content=text or None)
        for n, (name, arguments) in enumerate(calls):
            block = ToolCallBlock(tool_call_id=f"c{n}", tool_name=name, tool_kwargs=arguments)
            message.blocks.append(block)
        return message

    mock: Any = Scripted
    return mock(response_generator=answer, is_chat_model=True)


def written(script: Script) -> list[str]:
    answers = []
    for text, calls in script:
        bodies = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
        answers.append("\n".join([text, *(f"<tool_call>{body}</tool_call>" for body in bodies)]))
    return [answer.strip() for answer in answers]


async def run(llm: Any, streaming: bool, is_workflow: bool) -> Any:
    """All that a run of an agent shows: its events, its result, and what it remembers."""
    agent: Any = FunctionAgent(tools=TOOLS, llm=llm, streaming=streaming, system_prompt="Brief.")
    if is_workflow:
        agent = AgentWorkflow(agents=[agent])
    memory = ChatMemoryBuffer.from_defaults()
    handler = agent.run("Hi", memory=memory)
    names: set[str] = set()
    async for event in handler.stream_events():
        names.add(type(event).__name__)
        if isinstance(event, AgentStream):
            assert event.current_agent_name == "Agent"
    answer = await handler
    calls = [(c.tool_name, c.tool_kwargs, c.tool_output.content) for c in answer.tool_calls]
    remembered = []
    for message in memory.get_all():
        texts = [b.text for b in message.blocks if b.block_type == "text" and b.text]
        called = [
            (b.tool_name, b.tool_kwargs) for b in message.blocks if isinstance(b, ToolCallBlock)
        ]
        remembered.append((message.role, texts, called))
    return names, str(answer), sorted(calls, key=str), sorted(remembered, key=str)


@pytest.mark.parametrize("is_workflow", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_an_agents_run_is_the_same(
    make_llm: Any, replicate_emulator: Emulator, name: str, streaming: bool, is_workflow: bool
) -> None:
    script = SCRIPTS[name]
    for answer in written(script):
        replicate_emulator.enqueue(answer)
    ours = await run(make_llm(), streaming, is_workflow)
    theirs = await run(mock_of(script), streaming, is_workflow)
    assert ours == theirs


class City(BaseModel):
    """A city."""

    name: str
    people: int = 0


@pytest.mark.parametrize("method", ["structured_predict", "astructured_predict"])
async def test_an_object_is_the_same(
    make_llm: Any, replicate_emulator: Emulator, recorder: Recorder, method: str
) -> None:
    script: Script = [("", [("City", {"name": "Oslo", "people": 700_000})])]
    replicate_emulator.reply = written(script)[0]
    answers = []
    for llm in (make_llm(), mock_of(script)):
        answer = getattr(llm, method)(City, PromptTemplate("Which city?"))
        answers.append((await answer if method.startswith("a") else answer, set(recorder.take())))
    assert answers[0] == answers[1]
    assert answers[0][0] == City(name="Oslo", people=700_000)

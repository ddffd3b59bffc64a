"""Query engines over a few facts, retrieved by their words: every mode, whole and streamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex, get_response_synthesizer
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.output_parsers.base import OutputParserException
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.types import BaseOutputParser
from pydantic import BaseModel

from replicate_stream.testing import Emulator

QUESTION = "What is the capital of France?"
FROM_FACTS = ["compact", "refine", "tree_summarize", "simple_summarize"]
PIECEWISE = ["accumulate", "compact_accumulate"]


class City(BaseModel):
    """A city."""

    name: str


Engine = Callable[..., Any]


@pytest.fixture
def make_engine(
    make_llm: Any, replicate_emulator: Emulator, index: VectorStoreIndex, words: list[str]
) -> Engine:
    """Makes query engines over the facts, which answer with `words`."""
    replicate_emulator.reply = words

    def make_engine(settings: Any = None, **kwargs: Any) -> Any:
        return index.as_query_engine(
            llm=make_llm(**(settings or {})), **{"similarity_top_k": 1, **kwargs}
        )

    return make_engine


@pytest.fixture
def assert_prompt_holds_the_right_fact(
    replicate_emulator: Emulator, facts: list[str]
) -> Callable[[], None]:
    """Asserts that every prompt has the question, and of the facts only the one that answers it."""

    def check() -> None:
        inputs = [str(prediction.input) for prediction in replicate_emulator.predictions.values()]
        assert inputs
        for text in inputs:
            assert facts[0] in text
            assert QUESTION in text
            assert facts[1] not in text

    return check


@pytest.mark.parametrize("is_chat_model", [True, False])
@pytest.mark.parametrize("mode", FROM_FACTS + PIECEWISE)
async def test_an_engine_answers_sync_and_async(
    make_engine: Engine,
    assert_prompt_holds_the_right_fact: Any,
    words: list[str],
    mode: str,
    is_chat_model: bool,
) -> None:
    engine = make_engine({"is_chat_model": is_chat_model}, response_mode=mode)
    for answer in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert str(answer).endswith("".join(words))
    assert_prompt_holds_the_right_fact()


@pytest.mark.parametrize("is_chat_model", [True, False])
@pytest.mark.parametrize("mode", FROM_FACTS)
async def test_an_engine_streams_sync_and_async(
    make_engine: Engine,
    assert_prompt_holds_the_right_fact: Any,
    words: list[str],
    mode: str,
    is_chat_model: bool,
) -> None:
    engine = make_engine({"is_chat_model": is_chat_model}, response_mode=mode, streaming=True)
    streamed = engine.query(QUESTION)
    assert isinstance(streamed, StreamingResponse)
    assert list(streamed.response_gen) == [*filter(None, words), ""]
    streamed = await engine.aquery(QUESTION)
    assert isinstance(streamed, AsyncStreamingResponse)
    assert [text async for text in streamed.async_response_gen()] == [*filter(None, words), ""]
    assert_prompt_holds_the_right_fact()


async def test_an_engine_can_answer_without_the_facts(
    make_engine: Engine, replicate_emulator: Emulator, words: list[str], facts: list[str]
) -> None:
    engine = make_engine(response_mode="generation")
    assert str(engine.query(QUESTION)) == str(await engine.aquery(QUESTION)) == "".join(words)
    streamed = make_engine(response_mode="generation", streaming=True).query(QUESTION)
    assert "".join(streamed.response_gen) == "".join(words)
    sent = [str(prediction.input) for prediction in replicate_emulator.predictions.values()]
    assert len(sent) == 3
    assert all(QUESTION in text and facts[0] not in text for text in sent)


@pytest.mark.parametrize("mode", ["no_text", "context_only"])
async def test_an_engine_that_needs_no_model_pays_for_none(
    make_engine: Engine,
    make_llm: Any,
    replicate_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    monkeypatch.setattr(Settings, "_llm", make_llm())  # some modes ask for none, and look here
    engine = make_engine(response_mode=mode)
    engine.query(QUESTION)
    await engine.aquery(QUESTION)
    assert replicate_emulator.predictions == {}


@pytest.mark.parametrize(
    ("mode", "use_async"),
    [
        ("refine", False),
        ("tree_summarize", False),
        ("tree_summarize", True),
        ("accumulate", False),
        ("accumulate", True),
    ],
)
async def test_facts_that_do_not_fit_one_prompt_are_sent_in_several(
    make_engine: Engine,
    replicate_emulator: Emulator,
    facts: list[str],
    closed_loops: None,
    mode: str,
    use_async: bool,
) -> None:
    # Room for the instructions, which have 119 tokens, and for one fact.
    small = {"context_window": 145, "max_tokens": 10} if mode == "tree_summarize" else {}
    replicate_emulator.reply = "Paris"
    engine = make_engine(small, similarity_top_k=3, response_mode=mode, use_async=use_async)
    assert "Paris" in str(engine.query(QUESTION))
    sent = "".join(str(each.input) for each in replicate_emulator.predictions.values())
    assert all(word in sent for fact in facts for word in fact.split())
    assert len(replicate_emulator.predictions) >= 3


async def test_an_engines_answer_can_be_an_object(
    make_engine: Engine, replicate_emulator: Emulator
) -> None:
    body = json.dumps({"name": "City", "arguments": {"name": "Paris"}})
    engine = make_engine(output_cls=City)
    replicate_emulator.reply = f"<tool_call>\n{body}\n</tool_call>"
    for answer in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert answer.response == City(name="Paris")


async def test_an_engine_can_leave_out_facts_that_answer_nothing(
    make_engine: Engine, make_llm: Any, replicate_emulator: Emulator
) -> None:
    def write_call(answer: str, satisfied: bool) -> str:
        arguments = {"answer": answer, "query_satisfied": satisfied}
        body = json.dumps({"name": "StructuredRefineResponse", "arguments": arguments})
        return f"<tool_call>\n{body}\n</tool_call>"

    synthesizer = get_response_synthesizer(
        llm=make_llm(), response_mode=ResponseMode.REFINE, structured_answer_filtering=True
    )
    engine = make_engine(similarity_top_k=2, response_synthesizer=synthesizer)
    for ask in (engine.query, engine.aquery):
        replicate_emulator.enqueue(write_call("Paris.", satisfied=True))
        replicate_emulator.enqueue(write_call("No idea.", satisfied=False))
        answer = ask(QUESTION)
        assert str(await answer if ask == engine.aquery else answer) == "Paris."


async def test_a_model_can_choose_among_the_facts(
    make_engine: Engine, make_llm: Any, replicate_emulator: Emulator, facts: list[str]
) -> None:
    replicate_emulator.enqueue("Doc: 2, Relevance: 9")
    rerank = LLMRerank(llm=make_llm(), top_n=1)
    engine = make_engine(similarity_top_k=3, node_postprocessors=[rerank])
    answer = await engine.aquery(QUESTION)
    assert [node.node.get_content() in facts for node in answer.source_nodes] == [True]


class Shouting(BaseOutputParser):
    """Takes an answer of one line, and shouts it."""

    def parse(self, output: str) -> str:
        if "\n" in output:
            raise OutputParserException("more than a line")
        return output.upper()

    def format(self, query: str) -> str:
        return f"{query}\nAnswer in one line."


async def test_an_output_parser_of_the_model_is_heard(
    make_engine: Engine, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = "Paris"
    engine = make_engine({"output_parser": Shouting()}, response_mode="simple_summarize")
    for answer in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert str(answer) == "PARIS"
    sent = [str(prediction.input) for prediction in replicate_emulator.predictions.values()]
    assert all("Answer in one line." in text for text in sent)


@pytest.mark.parametrize("mode", FROM_FACTS)
async def test_a_reader_of_a_streamed_query_who_stops_cancels_once(
    make_engine: Engine, endless: Emulator, mode: str
) -> None:
    def one_cancel(emulator: Emulator) -> bool:
        return emulator.cancels == list(emulator.predictions) and emulator.streams_open == 0

    endless.reply = ["word "] * 20_000
    engine = make_engine(response_mode=mode, streaming=True)
    streamed = engine.query(QUESTION)
    for count, _ in enumerate(streamed.response_gen, start=1):
        if count == 10:
            break
    del streamed
    await endless.wait_for_async(one_cancel)
    assert len(endless.predictions) == 1
    streamed = await engine.aquery(QUESTION)
    count = 0
    async for _ in streamed.async_response_gen():
        count += 1
        if count == 10:
            break
    del streamed
    await endless.wait_for_async(one_cancel)
    assert len(endless.predictions) == 2


def test_a_streamed_query_can_be_read_in_another_thread(
    make_engine: Engine, words: list[str]
) -> None:
    streamed = make_engine(streaming=True).query(QUESTION)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(streamed.response_gen))
    reader.start()
    reader.join(10)
    assert "".join(read) == "".join(words)

"""A query engine over a few facts, retrieved by their words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse

from replicate_stream.testing import Emulator

FACTS = [
    "The capital of France is Paris.",
    "Owls hunt by night and see far.",
    "Iron rusts in wet air.",
]
QUESTION = "What is the capital of France?"
MODES = ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate"]


class Words(BaseEmbedding):
    """An embedding of the words in a text, so that retrieval finds what is asked for."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = [0.0] * 256
        for word in text.lower().replace(".", " ").replace("?", " ").split():
            vector[hashlib.md5(word.encode()).digest()[0]] += 1.0
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@pytest.fixture
def engine(make_llm: Any, replicate_emulator: Emulator, words: list[str]) -> Callable[..., Any]:
    """Makes query engines over the facts, which answer with `words`."""
    replicate_emulator.reply = words
    index = VectorStoreIndex.from_documents(
        [Document(text=fact) for fact in FACTS], embed_model=Words()
    )

    def make_engine(**settings: Any) -> Any:
        return index.as_query_engine(llm=make_llm(), similarity_top_k=1, **settings)

    return make_engine


def assert_asked_about_the_right_fact(emulator: Emulator) -> None:
    asked = [str(prediction.input) for prediction in emulator.predictions.values()]
    assert asked
    for text in asked:
        assert FACTS[0] in text
        assert QUESTION in text
        assert FACTS[1] not in text


@pytest.mark.parametrize("mode", MODES)
async def test_a_query_engine_answers_sync_and_async(
    engine: Callable[..., Any], replicate_emulator: Emulator, words: list[str], mode: str
) -> None:
    asked = engine(response_mode=mode)
    for answer in (asked.query(QUESTION), await asked.aquery(QUESTION)):
        assert str(answer).endswith("".join(words))
    assert_asked_about_the_right_fact(replicate_emulator)


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize"])
async def test_a_query_engine_streams_sync_and_async(
    engine: Callable[..., Any], replicate_emulator: Emulator, words: list[str], mode: str
) -> None:
    asked = engine(response_mode=mode, streaming=True)
    streamed = asked.query(QUESTION)
    assert isinstance(streamed, StreamingResponse)
    assert "".join(streamed.response_gen) == "".join(words)
    streamed = await asked.aquery(QUESTION)
    assert isinstance(streamed, AsyncStreamingResponse)
    assert "".join([text async for text in streamed.async_response_gen()]) == "".join(words)
    assert_asked_about_the_right_fact(replicate_emulator)

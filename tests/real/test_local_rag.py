"""LlamaIndex over a real model on this machine: retrieval, then an answer from what was found.

The model is small: the question is one whose answer it can copy out of the text that it is given,
and does not know by itself.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from blockbuster import blockbuster_ctx
from llama_index.core import Document, PromptTemplate, Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator
from replicate_stream.testing.local_model import MODEL

FACTS = [
    "The captain of the ship Esmeralda is called Zoltan Brack.",
    "Owls hunt by night and see far.",
    "Iron rusts in wet air.",
]
QUESTION = "What is the captain of the ship Esmeralda called?"
PROMPT = PromptTemplate("{context_str}\n\n{query_str}")


@pytest.fixture
def engine(
    local: Emulator, by_words: BaseEmbedding, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Makes query engines over the facts, each with what counts its tokens."""

    def make_engine(**settings: Any) -> Any:
        counter = TokenCountingHandler()
        # An engine gives its model the manager of the settings, in place of the model's own.
        monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
        index = VectorStoreIndex.from_documents(
            [Document(text=fact) for fact in FACTS], embed_model=by_words
        )
        llm = Replicate(
            MODEL,
            api_key=local.token,
            base_url=local.base_url,
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


async def test_the_answer_comes_from_the_retrieved_text(engine: Any) -> None:
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


async def test_without_the_retrieved_text_the_model_does_not_know(engine: Any) -> None:
    asked, _ = engine(response_mode="generation", simple_template=PromptTemplate("{query_str}"))
    assert "Brack" not in str(await asked.aquery(QUESTION))


async def test_fifty_concurrent_callers_get_answers_from_the_retrieved_text(
    engine: Any,
) -> None:
    asked, _ = engine(streaming=True)

    async def answer(request: Request) -> StreamingResponse:
        found = await asked.aquery((await request.body()).decode())
        return StreamingResponse(found.async_response_gen(), media_type="text/plain")

    app = Starlette(routes=[Route("/ask", answer, methods=["POST"])])
    busy: list[float] = []

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            busy.append(time.thread_time() - before)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://app.test", timeout=None
    ) as caller:
        first = await caller.post("/ask", content=QUESTION)  # what is imported and connected once
        gc.collect()
        gc.freeze()  # a collection of the frameworks' objects would count as time of the loop
        with blockbuster_ctx(["llama_index_replicate_stream", "replicate_stream"]):
            ticker = asyncio.create_task(tick())
            calls = []
            for _ in range(50):  # not all in one step: sockets do not bring them so either
                calls.append(asyncio.create_task(caller.post("/ask", content=QUESTION)))
                await asyncio.sleep(0)
            replies = await asyncio.gather(*calls)
            ticker.cancel()
        gc.unfreeze()
    assert "Brack" in first.text
    assert {(reply.status_code, reply.text) for reply in replies} == {(200, first.text)}
    # Time that the loop's own thread computed in one go; what the model takes is another's.
    assert len(busy) > 20
    assert max(busy) < 0.1, sorted(busy)[-5:]

"""LlamaIndex's `Replicate` as a user's type checker sees it. Checked, not run."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from typing_extensions import assert_type

from llama_index_replicate_stream import Replicate, ReplicateEmbedding
from replicate_stream import Client, PreparedRequest


class City(BaseModel):
    name: str


def make_models(client: Client) -> list[Replicate]:
    return [
        Replicate(model="a/b"),
        Replicate("a/b", client=client),
        Replicate(
            model="a/b",
            api_key="r8_FAKE",
            base_url="http://127.0.0.1:1",
            timeout=None,
            temperature=0,
            max_tokens=5,
            stop=["END"],
            context_window=4096,
            additional_kwargs={"n": 1},
        ),
    ]


async def embed(client: Client) -> None:
    model = ReplicateEmbedding("a/b", api_key="r8_FAKE", query_instruction="query: ", timeout=None)
    ReplicateEmbedding(model_name="a/b", client=client, embed_batch_size=8, concurrency=2)
    assert_type(model.get_query_embedding("Hi"), list[float])
    assert_type(await model.aget_text_embedding_batch(["Hi"]), list[list[float]])


async def call(llm: Replicate) -> None:
    messages = [ChatMessage("Hi")]
    assert_type(llm.complete("Hi"), CompletionResponse)
    assert_type(await llm.acomplete("Hi"), CompletionResponse)
    assert_type(llm.chat(messages), ChatResponse)
    assert_type(await llm.achat(messages), ChatResponse)
    for completion in llm.stream_complete("Hi"):
        assert_type(completion.delta, str | None)
    async for completion in await llm.astream_complete("Hi"):
        assert_type(completion, CompletionResponse)
    for response in llm.stream_chat(messages):
        assert_type(response.message, ChatMessage)
    async for response in await llm.astream_chat(messages):
        assert_type(response, ChatResponse)


def refuse_wrong_arguments() -> None:
    # mypy reports a comment that it does not need.
    Replicate("a/b", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Replicate("a/b", stop=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def predict_objects(llm: Replicate) -> None:
    prompt = PromptTemplate("Which city?")
    assert_type(llm.as_structured_llm(City), StructuredLLM)
    assert_type(llm.structured_predict(City, prompt), City)
    assert_type(await llm.astructured_predict(City, prompt, {"seed": 1}, river="Seine"), City)
    for partial in llm.stream_structured_predict(City, prompt):
        if isinstance(partial, City):
            assert_type(partial.name, str)
    assert_type(
        await llm.astream_structured_predict(City, prompt),
        AsyncGenerator[City | FlexibleModel, None],
    )


async def use_tools(llm: Replicate, tool: FunctionTool) -> None:
    assert_type(llm.chat_with_tools([tool], "Hi"), ChatResponse)
    assert_type(await llm.achat_with_tools([tool], "Hi"), ChatResponse)


async def inspect(llm: Replicate) -> None:
    assert_type(llm.prepare("Hi"), PreparedRequest)
    assert_type(await llm.aprepare("Hi"), PreparedRequest)
    assert_type(llm.temperature, float | None)
    assert_type(llm.metadata.context_window, int)

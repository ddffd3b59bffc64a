"""LlamaIndex's `Replicate` as a user's type checker sees it. Checked, not run."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.tools import FunctionTool
from typing_extensions import assert_type

from llama_index_replicate_stream import Replicate
from replicate_stream import Client, PreparedRequest


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


async def call(llm: Replicate) -> None:
    # The framework's callback decorators are untyped: for mypy the endpoints return Any.
    completions: list[CompletionResponse] = [llm.complete("Hi"), await llm.acomplete("Hi")]
    answers: list[ChatResponse] = [llm.chat([ChatMessage("Hi")]), await llm.achat([])]
    assert_type(completions[0].text, str)
    assert_type(answers[0].message, ChatMessage)
    for completion in llm.stream_complete("Hi"):
        assert_type(completion, CompletionResponse)
    async for response in await llm.astream_chat([ChatMessage("Hi")]):
        assert_type(response, ChatResponse)


async def use_tools(llm: Replicate, tool: FunctionTool) -> None:
    assert_type(llm.chat_with_tools([tool], "Hi"), ChatResponse)
    assert_type(await llm.achat_with_tools([tool], "Hi"), ChatResponse)


async def inspect(llm: Replicate) -> None:
    assert_type(llm.prepare("Hi"), PreparedRequest)
    assert_type(await llm.aprepare("Hi"), PreparedRequest)
    assert_type(llm.temperature, float | None)
    assert_type(llm.metadata.context_window, int)

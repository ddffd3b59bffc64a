"""An answer through each surface, streamed, with one signature."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Client, TextDelta

Ask: TypeAlias = Callable[..., Awaitable[str]]


async def ask_core(base_url: str, model: str, **settings: Any) -> str:
    async with (
        Client("r8_FAKE_TOKEN", base_url=base_url, **settings) as client,
        client.stream(model, "Hi") as events,
    ):
        return "".join([event.text async for event in events if isinstance(event, TextDelta)])


async def ask_langchain(base_url: str, model: str, **settings: Any) -> str:
    llm = ChatReplicate(model=model, api_key="r8_FAKE_TOKEN", base_url=base_url, **settings)
    return "".join([chunk.text async for chunk in llm.astream("Hi")])


async def ask_llama_index(base_url: str, model: str, **settings: Any) -> str:
    llm = Replicate(model=model, api_key="r8_FAKE_TOKEN", base_url=base_url, **settings)
    return "".join([piece.delta or "" async for piece in await llm.astream_complete("Hi")])


SURFACES: Mapping[str, Ask] = {
    "core": ask_core,
    "langchain": ask_langchain,
    "llama_index": ask_llama_index,
}

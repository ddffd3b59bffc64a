"""An answer through each surface, streamed, with one signature.

A framework is imported at its first use, because programs of the tests start with this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from replicate_stream import Client, TextDelta
from tests.reliability.conftest import IS_FULL

T = TypeVar("T")
Ask: TypeAlias = Callable[..., Awaitable[str]]


async def ask_core(base_url: str, model: str, **settings: Any) -> str:
    async with (
        Client("r8_FAKE_TOKEN", base_url=base_url, **settings) as client,
        client.stream(model, "Hi") as events,
    ):
        return "".join([event.text async for event in events if isinstance(event, TextDelta)])


async def ask_langchain(base_url: str, model: str, **settings: Any) -> str:
    from langchain_replicate_stream import ChatReplicate

    llm = ChatReplicate(model=model, api_key="r8_FAKE_TOKEN", base_url=base_url, **settings)
    return "".join([chunk.text async for chunk in llm.astream("Hi")])


async def ask_llama_index(base_url: str, model: str, **settings: Any) -> str:
    from llama_index_replicate_stream import Replicate

    llm = Replicate(model=model, api_key="r8_FAKE_TOKEN", base_url=base_url, **settings)
    return "".join([piece.delta or "" async for piece in await llm.astream_complete("Hi")])


def choose(quick: T, full: T) -> T:
    """The value for `make test`, or for `make reliability`."""
    return full if IS_FULL else quick


ALL: Mapping[str, Ask] = {
    "core": ask_core,
    "langchain": ask_langchain,
    "llama_index": ask_llama_index,
}
SURFACES: Mapping[str, Ask] = choose({"core": ask_core, "langchain": ask_langchain}, ALL)

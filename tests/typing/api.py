"""The public types as a user's type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate as LlamaIndexReplicate
from replicate_stream import (
    Client,
    Completion,
    EventStream,
    Finished,
    Message,
    Prediction,
    PreparedInput,
    PreparedRequest,
    Replicate,
    StreamEvent,
    TextDelta,
    Usage,
    prepare_input,
)
from replicate_stream.testing import Emulator


async def the_client() -> None:
    async with Client("r8_FAKE", timeout=30, max_retries=0) as client:
        async with client.stream("a/b", [Message("user", "Hi")], max_tokens=5) as events:
            assert_type(events, EventStream)
            assert_type(events.prediction, Prediction)
            async for event in events:
                assert_type(event, StreamEvent)
                if isinstance(event, TextDelta):
                    assert_type(event.text, str)
                elif isinstance(event, Finished):
                    assert_type(event.usage, Usage | None)
        completion = await client.complete("a/b", [{"role": "user", "content": "Hi"}])
        assert_type(completion, Completion)
        assert_type(completion.text, str)
        prepared = await client.prepare("a/b", "Hi", stop=["x"], extra_input={"n": 1})
        assert_type(prepared, PreparedRequest)
        assert_type(prepared.body, dict[str, Any])


def the_pure_part() -> None:
    prepared = prepare_input("Hi", model="a/b", schema=None)
    assert_type(prepared, PreparedInput)
    assert_type(prepared.input, dict[str, Any])
    assert_type(prepared.notes, list[str])


async def the_provider() -> None:
    async for text in Replicate.create_async_generator("a/b", "Hi", api_key="r8_FAKE"):
        assert_type(text, str)
    generator = await Replicate.create_async_generator("a/b", "Hi")
    async for text in generator:
        assert_type(text, str)


def the_adapters(client: Client) -> None:
    ChatReplicate(model="a/b", api_key="r8_FAKE", temperature=0, stop=["x"], client=client)
    LlamaIndexReplicate(model="a/b", api_key="r8_FAKE", temperature=0, stop=["x"], client=client)


def the_testing_kit() -> None:
    with Emulator(["a", "b"], idle_timeout=1) as emulator:
        assert_type(emulator.base_url, str)
        assert_type(emulator.cancels, list[str])

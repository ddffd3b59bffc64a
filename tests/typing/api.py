"""The core's public types as a user's type checker sees them. Checked by mypy and pyright, not run.

Every public class is made or received here, and its attributes are used.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from typing_extensions import assert_type

from replicate_stream import (
    AnswerFormatError,
    BatchRequest,
    BatchResult,
    Client,
    Completion,
    EventStream,
    Finished,
    InvalidInputError,
    Journal,
    Message,
    MissingAuthError,
    ModelCapabilities,
    ModelNotFoundError,
    ModelSummary,
    ParameterWarning,
    Prediction,
    PredictionCanceledError,
    PredictionFailedError,
    PreparedInput,
    PreparedRequest,
    RateLimitError,
    ReasoningDelta,
    Replicate,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    StatusChanged,
    StreamEvent,
    StreamInterruptedError,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    UnsupportedParameterError,
    Usage,
    cancel_on_exit,
    prepare_input,
)
from replicate_stream.testing import Emulator, Fault, HashingEmbedder, Reply


class Vault:
    """A secret as pydantic's `SecretStr` is one."""

    def get_secret_value(self) -> str:
        return "r8_FAKE"


async def fetch_key() -> str:
    return "r8_FAKE"


def make_clients() -> list[Client]:
    return [
        Client(),
        Client("r8_FAKE", base_url="http://127.0.0.1:1", proxy=None, timeout=None, deadline=60),
        Client(Vault(), headers={"x-team": "blue"}, max_retries=0, on_unsupported="warn"),
        Client(lambda: "r8_FAKE", requires_auth=False),
        Client(fetch_key),
    ]


async def stream(client: Client) -> None:
    add = ToolSpec("add", "Adds.", {"type": "object"})
    messages = [Message("user", "Hi"), Message("assistant", tool_calls=(ToolCall("1", "add", {}),))]
    async with client.stream(
        "a/b",
        messages,
        system_prompt="Be brief.",
        max_tokens=5,
        temperature=0,
        top_p=0.9,
        top_k=40,
        stop=["END"],
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        tools=[add, {"name": "sub"}],
        tool_choice="auto",
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
        extra_input={"n": 1},
        prompt_format="plain",
        include_usage=False,
        coalesce=True,
        max_repairs=0,
    ) as events:
        assert_type(events, EventStream)
        assert_type(events.prediction, Prediction)
        async for event in events:
            assert_type(event, StreamEvent)
            use_event(event)


def use_event(event: StreamEvent) -> None:
    if isinstance(event, TextDelta | ReasoningDelta):
        assert_type(event.text, str)
    elif isinstance(event, ToolCallDelta):
        assert_type(event.index, int)
        assert_type(event.name, str | None)
        assert_type(event.arguments, str)
    elif isinstance(event, StatusChanged):
        assert_type(event.status, str)
    else:
        assert_type(event, Finished)
        assert_type(event.reason, str)
        assert_type(event.usage, Usage | None)
        assert_type(event.prediction.id, str)


async def leave(texts: AsyncIterator[str], events: AsyncGenerator[int, None]) -> None:
    async for text in cancel_on_exit(texts):
        assert_type(text, str)
    async with cancel_on_exit(events, cancel=events.aclose) as numbers:
        assert_type(await anext(numbers), int)
        await numbers.aclose()


async def complete(client: Client) -> None:
    completion = await client.complete("a/b", [{"role": "user", "content": "Hi"}])
    assert_type(completion, Completion)
    assert_type(completion.text, str)
    assert_type(completion.tool_calls, tuple[ToolCall, ...])
    for call in completion.tool_calls:
        assert_type(call.arguments, Mapping[str, Any] | str)
    if completion.usage is not None:
        assert_type(completion.usage.input_tokens, int)


async def inspect(client: Client) -> None:
    request = await client.prepare("a/b", "Hi", stop="x", extra_input={"n": 1})
    assert_type(request, PreparedRequest)
    assert_type(request.body, dict[str, Any])
    assert_type(request.notes, list[str])
    assert_type(await client.describe("a/b"), Mapping[str, Any] | None)
    assert_type(await client.models(), list[ModelSummary])
    async for summary in client.models("llama"):
        assert_type(summary, ModelSummary)
    assert_type(client.resume("p", tools=[ToolSpec("add")]), EventStream)
    async with client.resume("p", cancel_on_exit=False) as resumed, Journal("file") as journal:
        assert_type(resumed, EventStream)
        requests = [BatchRequest("a", "Hi", {"max_tokens": 5})]
        async for result in client.batch("a/b", requests, journal=journal, top_p=0.5):
            assert_type(result, BatchResult)
            assert_type(result.completion, Completion | None)
            assert_type(result.error, ReplicateError | None)
    batch = client.batch("a/b", {"a": "Why?"}.items(), journal="file")
    assert_type(batch, AsyncGenerator[BatchResult, None])
    capabilities = client.capabilities("a/b")
    assert_type(capabilities, ModelCapabilities)
    assert_type(capabilities.context_window, int | None)


def prepare() -> None:
    prepared = prepare_input(
        "Hi", model="a/b", schema={"properties": {}}, on_unsupported="ignore", tools=[]
    )
    assert_type(prepared, PreparedInput)
    assert_type(prepared.input, dict[str, Any])
    assert_type(prepared.notes, list[str])
    assert_type(prepared.stop, tuple[str, ...])
    assert_type(prepared.max_tokens, int | None)


def handle(error: ReplicateError) -> None:
    if isinstance(error, InvalidInputError):
        assert_type(error.fields, tuple[str, ...])
    elif isinstance(error, ResponseError | RateLimitError | ModelNotFoundError):
        assert_type(error.status, int | None)
        assert_type(error.retry_after, float | None)
    elif isinstance(error, UnsupportedParameterError):
        assert_type(error.parameter, str)
    elif isinstance(error, PredictionFailedError | PredictionCanceledError):
        assert_type(error.prediction_id, str)
    elif isinstance(error, ReplicateTimeoutError):
        assert_type(error.seconds, float)
    elif isinstance(error, StreamInterruptedError):
        assert_type(error.delivered, int)
    elif isinstance(error, AnswerFormatError):
        assert_type(error.problem, str)


def list_classes() -> Sequence[type[Exception]]:
    return [MissingAuthError, ReplicateConnectionError, ParameterWarning]


async def embed(client: Client) -> None:
    assert_type(await client.embed("a/b", ["Hi"], input_type="query"), list[list[float]])


async def use_the_provider() -> None:
    async for text in Replicate.create_async_generator("a/b", "Hi", api_key="r8_FAKE"):
        assert_type(text, str)
    generator = await Replicate.create_async_generator("a/b", "Hi", base_url="http://127.0.0.1:1")
    async for text in generator:
        assert_type(text, str)
    assert_type(Replicate.get_model(), str)


def use_the_testing_kit() -> None:
    with Emulator(["a", "b"], idle_timeout=1) as emulator:
        emulator.enqueue(Reply(tokens=["a"]))
        emulator.fault(Fault(on="get", status=500))
        assert_type(emulator.base_url, str)
        assert_type(emulator.embedding_model, str)
        emulator.add_model("a/b", reply=HashingEmbedder(8))
        assert_type(emulator.cancels, list[str])

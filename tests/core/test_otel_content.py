"""Texts stand on the spans when they are asked for; without that none is kept or written."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import (
    Client,
    InvalidInputError,
    Message,
    PredictionFailedError,
    PredictionReport,
    ResponseError,
    TextDelta,
    ToolCall,
    ToolSpec,
    otel,
)
from replicate_stream._metering import Observation
from replicate_stream.testing import Emulator, Fault, Reply, ToolUser
from tests.telemetry import Telemetry

MARK = "quetzal"
QUESTION, SYSTEM = f"Why {MARK}?", f"Say {MARK}."
TOKENS = [f"A {MARK}", " sings", "."]
VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
USER = {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
INSTRUCTIONS = [{"type": "text", "content": SYSTEM}]
ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
TEXT = {"type": "string"}
VISION = {"prompt": TEXT, "image": {**TEXT, "format": "uri"}}


def answer(text: str, reason: str | None) -> list[dict[str, Any]]:
    part = {"type": "text", "content": text}
    return [{"role": "assistant", "parts": [part], "finish_reason": reason}]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    uninstrument = otel.instrument(
        telemetry.tracer_provider, telemetry.meter_provider, capture_content=True
    )
    yield telemetry
    uninstrument()


def connect(emulator: Emulator, **settings: Any) -> Client:
    return Client(emulator.token, base_url=emulator.base_url, **settings)


async def stream_core(emulator: Emulator) -> None:
    async with (
        connect(emulator) as client,
        client.stream(emulator.model, QUESTION, system_prompt=SYSTEM) as events,
    ):
        async for _ in events:
            pass


async def complete_core(emulator: Emulator) -> None:
    async with connect(emulator) as client:
        await client.complete(emulator.model, QUESTION, system_prompt=SYSTEM)


async def stream_langchain(emulator: Emulator) -> None:
    llm = ChatReplicate(model=emulator.model, system_prompt=SYSTEM)
    async for _ in llm.astream(QUESTION):
        pass


async def invoke_langchain(emulator: Emulator) -> None:
    llm = ChatReplicate(model=emulator.model, system_prompt=SYSTEM, streaming=False)
    await asyncio.to_thread(llm.invoke, QUESTION)


async def stream_llama_index(emulator: Emulator) -> None:
    llm = Replicate(emulator.model, system_prompt=SYSTEM)
    async for _ in await llm.astream_chat([ChatMessage(QUESTION)]):
        pass


async def complete_llama_index(emulator: Emulator) -> None:
    llm = Replicate(emulator.model, system_prompt=SYSTEM)
    await asyncio.to_thread(llm.complete, QUESTION)


Ask = Callable[[Emulator], Awaitable[None]]
WAYS = [
    stream_core,
    complete_core,
    stream_langchain,
    invoke_langchain,
    stream_llama_index,
    complete_llama_index,
]


@pytest.mark.parametrize("ask", WAYS)
async def test_question_instructions_and_answer_stand_on_the_span(
    ask: Ask, telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = TOKENS
    await ask(replicate_emulator)
    assert telemetry.list_contents() == [
        {
            "input.messages": [USER],
            "output.messages": answer("".join(TOKENS), "stop"),
            "system_instructions": INSTRUCTIONS,
        }
    ]


@pytest.mark.parametrize("ask", WAYS)
async def test_the_part_of_a_failed_answer_stands_on_the_span(
    ask: Ask, telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(TOKENS[:2], error="out of luck")
    with pytest.raises(PredictionFailedError):
        await ask(replicate_emulator)
    (content,) = telemetry.list_contents()
    assert content["output.messages"] == answer("".join(TOKENS[:2]), "error")
    assert content["input.messages"] == [USER]


async def test_the_question_of_a_refused_request_stands_on_the_span(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="create", status=402))
    with pytest.raises(ResponseError):
        await stream_core(replicate_emulator)
    (content,) = telemetry.list_contents()
    assert content["input.messages"] == [USER]
    assert "output.messages" not in content


async def leave_core(emulator: Emulator) -> None:
    async with (
        connect(emulator) as client,
        client.stream(emulator.model, QUESTION) as events,
    ):
        async for event in events:
            if isinstance(event, TextDelta):
                break


async def leave_langchain(emulator: Emulator) -> None:
    stream: Any = ChatReplicate(model=emulator.model).astream(QUESTION)
    async for chunk in stream:
        if chunk.text:
            break
    await stream.aclose()


async def leave_llama_index(emulator: Emulator) -> None:
    stream: Any = await Replicate(emulator.model).astream_complete(QUESTION)
    async for response in stream:
        if response.delta:
            break
    await stream.aclose()


@pytest.mark.parametrize("leave", [leave_core, leave_langchain, leave_llama_index])
async def test_an_answer_that_was_left_stands_on_the_span_as_far_as_it_came(
    leave: Ask, telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(TOKENS, delays=[0, 30, 0])
    await leave(replicate_emulator)
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)
    (content,) = telemetry.list_contents()
    assert content["output.messages"] == answer(TOKENS[0], None)


async def test_a_whole_answer_that_was_canceled_stands_on_the_span_as_far_as_it_came(
    telemetry: Telemetry, replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicate_emulator.reply = Reply(TOKENS, delays=[0, 30, 0])
    async with connect(replicate_emulator) as client:
        task = asyncio.create_task(client.complete(replicate_emulator.model, QUESTION))
        has_begun = asyncio.Event()
        monkeypatch.setattr(Observation, "note_text", lambda self: has_begun.set())
        await has_begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    (content,) = telemetry.list_contents()
    assert content["output.messages"] == answer(TOKENS[0], None)


async def test_calls_results_and_tools_stand_on_the_span_with_the_ids_that_callers_get(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ToolUser(calls=[("add", {"a": 1})])
    call = ToolCall("call_1", "add", {"a": 1})
    messages = [
        Message("system", SYSTEM),
        Message("user", QUESTION, name="ada"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "1", tool_call_id="call_1"),
    ]
    async with connect(replicate_emulator) as client:
        done = await client.complete(
            replicate_emulator.model, messages, tools=[ADD], tool_choice="required"
        )
    (own,) = done.tool_calls
    part = {"type": "tool_call", "id": "call_1", "name": "add", "arguments": {"a": 1}}
    result = {"type": "tool_call_response", "id": "call_1", "response": "1"}
    (content,) = telemetry.list_contents()
    assert content == {
        "input.messages": [
            {"role": "system", "parts": INSTRUCTIONS},
            {**USER, "name": "ada"},
            {"role": "assistant", "parts": [part]},
            {"role": "tool", "parts": [result]},
        ],
        "output.messages": [
            {
                "role": "assistant",
                "parts": [{**part, "id": own.id, "arguments": own.arguments}],
                "finish_reason": "tool_call",
            }
        ],
        "tool.definitions": [
            {
                "type": "function",
                "name": "add",
                "description": "Adds.",
                "parameters": ADD.parameters,
            }
        ],
    }


async def test_the_messages_of_frameworks_stand_on_the_span_in_the_same_form(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    call = {"id": "call_1", "name": "add", "args": {"a": 1}}
    await ChatReplicate(model=replicate_emulator.model).ainvoke(
        [
            SystemMessage(SYSTEM),
            HumanMessage([{"type": "text", "text": QUESTION}]),
            AIMessage("", tool_calls=[call]),
            ToolMessage("1", tool_call_id="call_1"),
        ]
    )
    chat = [ChatMessage(SYSTEM, role="system"), ChatMessage(QUESTION)]
    await Replicate(replicate_emulator.model).achat(chat)
    langchain, llama_index = (each["input.messages"] for each in telemetry.list_contents())
    part = {"type": "tool_call", "id": "call_1", "name": "add", "arguments": {"a": 1}}
    result = {"type": "tool_call_response", "id": "call_1", "response": "1"}
    assert langchain == [
        {"role": "system", "parts": INSTRUCTIONS},
        USER,
        {"role": "assistant", "parts": [part]},
        {"role": "tool", "parts": [result]},
    ]
    assert llama_index == [{"role": "system", "parts": INSTRUCTIONS}, USER]


async def test_images_and_files_are_their_kind_without_content_or_address(
    telemetry: Telemetry, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.add_model(
        "acme/eye", {"type": "object", "properties": VISION}, official=True
    )
    data, path = base64.b64encode(b"\x89PNG secret bytes").decode(), tmp_path / "secret.jpg"
    path.write_bytes(b"\xff\xd8\xff secret bytes")
    blocks: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": "https://example.com/secret.png?sig=secret"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "image", "path": path},
    ]
    async with connect(replicate_emulator) as client:
        for block in blocks:
            content = [{"type": "text", "text": QUESTION}, block]
            await client.complete("acme/eye", [Message("user", content)])
    seen = telemetry.to_text()
    assert "secret" not in seen
    assert data not in seen
    images = [each["input.messages"][0]["parts"][1] for each in telemetry.list_contents()]
    types = ["image/png", "image/png", "image/jpeg"]
    assert images == [
        {"type": "image", "modality": "image", "mime_type": mime_type} for mime_type in types
    ]


async def test_the_models_own_inputs_are_not_written_because_some_are_secrets(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    key = {**TEXT, "format": "password", "writeOnly": True, "x-cog-secret": True}
    schema = {"type": "object", "properties": {"prompt": TEXT, "api_key": key}}
    replicate_emulator.add_model("acme/agent", schema, official=True)
    llm = ChatReplicate(model="acme/agent", model_kwargs={"api_key": "sk-secret"})
    await llm.ainvoke(QUESTION)
    assert telemetry.list_contents()[0]["input.messages"] == [USER]
    seen = telemetry.to_text()
    assert "sk-secret" not in seen
    assert replicate_emulator.token not in seen


async def test_reasoning_is_a_part_of_its_own(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["<think>", "Hm.", "</think>", "Yes."]
    await stream_core(replicate_emulator)
    ((message,),) = (each["output.messages"] for each in telemetry.list_contents())
    assert message["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Yes."},
    ]


async def test_a_rejected_answer_and_its_repair_stand_on_spans_of_their_own(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    answers = iter(["No JSON.", '{"a": 1}'])
    replicate_emulator.reply = lambda values: next(answers)
    async with connect(replicate_emulator) as client:
        await client.complete(
            replicate_emulator.model, QUESTION, response_format={"type": "json_object"}
        )
    rejected, repaired = telemetry.list_contents()
    assert rejected["output.messages"] == answer("No JSON.", "stop")
    assert rejected["input.messages"] == [USER]
    assert repaired["output.messages"] == answer('{"a": 1}', "stop")
    roles = [message["role"] for message in repaired["input.messages"]]
    assert roles == ["user", "assistant", "user"]


async def test_a_prediction_that_was_taken_up_has_its_answer_alone(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = TOKENS
    async with connect(replicate_emulator) as client:
        done = await client.complete(replicate_emulator.model, QUESTION)
        async with client.resume(done.prediction.id) as events:
            async for _ in events:
                pass
    assert telemetry.list_contents()[1] == {"output.messages": answer("".join(TOKENS), "stop")}


async def test_each_request_of_a_batch_has_its_own_texts(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = lambda values: f"To {values['prompt'][-1]}"
    async with connect(replicate_emulator) as client:
        async for _ in client.batch(replicate_emulator.model, [("a", "Be 1"), ("b", "Be 2")]):
            pass
    found = {
        (
            each["input.messages"][0]["parts"][0]["content"],
            each["output.messages"][0]["parts"][0]["content"],
        )
        for each in telemetry.list_contents()
    }
    assert found == {("Be 1", "To 1"), ("Be 2", "To 2")}


async def test_a_text_that_no_exporter_can_encode_is_written_with_replacements(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    async with connect(replicate_emulator) as client:
        await client.complete(replicate_emulator.model, "Why \ud800?")
    (content,) = telemetry.list_contents()
    assert content["input.messages"][0]["parts"][0]["content"] == "Why \ufffd?"


async def test_a_text_that_cannot_be_written_costs_neither_span_nor_metrics(
    telemetry: Telemetry, replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "parse_contents", None)
    await stream_core(replicate_emulator)
    assert list(telemetry.spans) == [f"chat {replicate_emulator.model}"]
    (point,) = telemetry.get_points("gen_ai.client.operation.duration")
    assert point.count == 1


async def test_the_texts_of_embeddings_are_not_written(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    async with connect(replicate_emulator) as client:
        await client.embed(replicate_emulator.embedding_model, [QUESTION])
    assert telemetry.list_contents() == [{}]
    assert MARK not in telemetry.to_text()


def find_texts(root: object) -> list[str]:
    """Find all texts with the mark that an object holds, however deep."""
    seen: set[int] = set()
    found: list[str] = []
    rest: list[Any] = [root]
    while rest:
        value = rest.pop()
        if id(value) in seen or isinstance(value, type | ModuleType | FunctionType):
            continue
        seen.add(id(value))
        if isinstance(value, str) and MARK in value:
            found.append(value)
        rest += gc.get_referents(value)
    return found


@pytest.mark.parametrize("is_captured", [False, True])
async def test_without_the_demand_no_text_is_kept_or_written(
    replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture, is_captured: bool
) -> None:
    caplog.set_level(logging.DEBUG, "replicate_stream")
    telemetry, reports = Telemetry(), list[PredictionReport]()
    uninstrument = otel.instrument(
        telemetry.tracer_provider, telemetry.meter_provider, capture_content=is_captured
    )
    kept: list[str] = []
    replicate_emulator.reply = Reply(TOKENS, error=f"No {MARK}")
    try:
        async with connect(replicate_emulator, on_prediction=reports.append) as client:
            with pytest.raises(PredictionFailedError):
                async with client.stream(
                    replicate_emulator.model, QUESTION, system_prompt=SYSTEM
                ) as events:
                    async for _ in events:
                        kept += find_texts(events._run.observation)
    finally:
        uninstrument()
    assert (MARK in telemetry.to_text()) == is_captured
    assert bool(kept) == is_captured
    # Neither has a text in any case.
    (report,) = reports
    assert find_texts(report) == []
    assert f"prediction {report.id}" in caplog.text
    assert MARK not in caplog.text


@pytest.mark.parametrize(
    ("value", "argument", "is_written"),
    [
        ("SPAN_ONLY", None, True),
        ("span_and_event", None, True),
        ("true", None, True),
        ("NO_CONTENT", None, False),
        ("false", None, False),
        ("", None, False),
        ("EVENT_ONLY", None, False),
        ("true", False, False),
        ("false", True, True),
    ],
)
async def test_the_variable_of_all_instrumentations_decides_unless_an_argument_does(
    replicate_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    argument: bool | None,
    is_written: bool,
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    telemetry = Telemetry()
    uninstrument = otel.instrument(telemetry.tracer_provider, capture_content=argument)
    try:
        await stream_core(replicate_emulator)
    finally:
        uninstrument()
    assert (MARK in telemetry.to_text()) == is_written


def test_a_value_of_the_variable_that_writes_nothing_here_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for value in ("EVENT_ONLY", "yes", "", "NO_CONTENT"):
        monkeypatch.setenv(VARIABLE, value)
        otel.instrument()()
    first, second = (record.getMessage() for record in caplog.records)
    assert first == (
        f"{VARIABLE} is 'event_only'; no texts are written. "
        "It must be SPAN_ONLY, SPAN_AND_EVENT, NO_CONTENT, true or false."
    )
    assert "is 'yes'" in second


def test_a_wrong_demand_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match=r"capture_content .*bool or None"):
        otel.instrument(capture_content="yes")  # type: ignore[arg-type]


async def test_of_two_instrumentations_only_the_one_that_asks_gets_texts(
    telemetry: Telemetry, replicate_emulator: Emulator
) -> None:
    other = Telemetry()
    uninstrument = otel.instrument(other.tracer_provider, other.meter_provider)
    try:
        await stream_core(replicate_emulator)
    finally:
        uninstrument()
    assert MARK in telemetry.to_text()
    assert other.list_contents() == [{}]
    assert MARK not in other.to_text()

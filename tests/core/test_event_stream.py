"""The events and repairs of answers with tools and response formats, through the client."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from replicate_stream import (
    AnswerFormatError,
    Client,
    Finished,
    InvalidInputError,
    PredictionCanceledError,
    PredictionFailedError,
    StreamEvent,
    StreamInterruptedError,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from replicate_stream._response.completion import CompletionBuilder
from replicate_stream.testing import Emulator, Reply

ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
SUB = ToolSpec("sub")
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
CITY = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def with_metrics(text: str) -> Reply:
    return Reply(text, metrics={"input_token_count": 5, "output_token_count": 2})


@pytest.fixture
def answers(replicate_emulator: Emulator) -> Callable[..., list[dict[str, Any]]]:
    """Set the answers, one for each prediction; return the list of the inputs they answered."""

    def set_up(*texts: str) -> list[dict[str, Any]]:
        remaining, inputs = list(texts), []

        def answer(model_input: dict[str, Any]) -> Reply:
            inputs.append(model_input)
            return with_metrics(remaining.pop(0))

        replicate_emulator.reply = answer
        return inputs

    return set_up


async def collect_events(client: Client, emulator: Emulator, **request: Any) -> list[StreamEvent]:
    async with client.stream(emulator.model, "1+1?", **request) as events:
        return [event async for event in events]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_chat_completion_as_json_is_read_as_text_and_calls(
    client: Client, replicate_emulator: Emulator, answers: Any, is_whole: bool
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": "So:", "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    answers(json.dumps({"id": "chatcmpl-7", "object": "chat.completion", "choices": choices}))
    if is_whole:
        completion = await client.complete(replicate_emulator.model, "1+1?", tools=[ADD])
        assert completion.text.strip() == "So:"
        (made,) = completion.tool_calls
        assert (made.name, made.arguments) == ("add", {"a": 1})
    else:
        events = await collect_events(client, replicate_emulator, tools=[ADD])
        assert "".join(e.text for e in events if isinstance(e, TextDelta)).strip() == "So:"
        calls = [event for event in events if isinstance(event, ToolCallDelta)]
        assert json.loads("".join(call.arguments for call in calls)) == {"a": 1}


async def test_a_call_is_streamed_and_collected(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers(f"I add.\n{CALL}", f"I add.\n{CALL}")
    events = await collect_events(client, replicate_emulator, tools=[ADD])
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert text == "I add.\n"
    assert (deltas[0].index, deltas[0].name, deltas[0].arguments) == (0, "add", "")
    assert json.loads("".join(each.arguments for each in deltas)) == {"a": 1}
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls"
    whole = await client.complete(replicate_emulator.model, "1+1?", tools=[ADD])
    assert whole.text == "I add.\n"
    assert whole.tool_calls == (ToolCall(whole.tool_calls[0].id, "add", {"a": 1}),)
    assert whole.finish_reason == "tool_calls"
    assert whole.tool_calls[0].id != deltas[0].id


@pytest.mark.parametrize(
    ("lost", "request_"),
    [
        (0, {"tools": [ADD]}),
        (2, {"tools": [ADD]}),
        (2, {"tools": [ADD], "tool_choice": "required"}),
        (2, {"response_format": CITY}),
    ],
    ids=["the mark of a call", "a part of a call", "a part of a required call", "a part of JSON"],
)
async def test_a_call_or_json_with_a_gap_is_neither_delivered_nor_asked_for_again(
    client: Client, replicate_emulator: Emulator, lost: int, request_: dict[str, Any]
) -> None:
    tokens = ["<tool_call>", '\n{"name": "add", ', '"arguments": {"a"', ": 1}}", "\n</tool_call>"]
    if "response_format" in request_:
        tokens = ['{"name": "A', "msterd", 'am", "size', '": 5}']
    kept = [token for i, token in enumerate(tokens) if i != lost]
    replicate_emulator.reply = Reply(kept, output=tokens)
    with pytest.raises(StreamInterruptedError, match="missing in the stream"):
        await client.complete(replicate_emulator.model, "1+1?", **request_)
    with pytest.raises(StreamInterruptedError, match="missing in the stream"):
        await collect_events(client, replicate_emulator, **request_)
    assert len(replicate_emulator.predictions) == 2


async def test_the_lost_end_of_a_call_is_delivered(
    client: Client, replicate_emulator: Emulator
) -> None:
    head, tail = CALL[:-20], CALL[-20:]
    replicate_emulator.reply = Reply([head], output=[head, tail])
    events = await collect_events(client, replicate_emulator, tools=[ADD])
    arguments = "".join(e.arguments for e in events if isinstance(e, ToolCallDelta))
    assert json.loads(arguments) == {"a": 1}


async def test_without_tools_marks_are_text(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers(CALL)
    assert (await client.complete(replicate_emulator.model, "1+1?")).text == CALL


async def test_a_call_that_breaks_off_has_its_text_as_arguments(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers(CALL[:-20])
    whole = await client.complete(replicate_emulator.model, "1+1?", tools=[ADD], max_tokens=2)
    assert whole.finish_reason == "length"
    assert whole.tool_calls[0].name == "add"
    assert isinstance(whole.tool_calls[0].arguments, str)


@pytest.mark.parametrize("method", ["stream", "complete"])
async def test_an_answer_without_the_required_call_is_repaired(
    client: Client, replicate_emulator: Emulator, answers: Any, method: str
) -> None:
    inputs = answers("I would rather talk.", CALL)
    request: dict[str, Any] = {"tools": [ADD], "tool_choice": "any"}
    if method == "stream":
        events = await collect_events(client, replicate_emulator, **request)
        assert not any(isinstance(event, TextDelta) for event in events)
        finished: Any = events[-1]
    else:
        finished = await client.complete(replicate_emulator.model, "1+1?", **request)
        assert finished.text == ""
        assert finished.tool_calls[0].arguments == {"a": 1}
    assert finished.usage == Usage(10, 4)
    assert finished.prediction.id == list(replicate_emulator.predictions)[-1]
    assert "I would rather talk." in inputs[1]["prompt"]
    assert "it calls no tool" in inputs[1]["prompt"]


@pytest.mark.parametrize("method", ["stream", "complete"])
async def test_a_model_that_never_calls_raises_an_error_with_its_answer(
    client: Client, replicate_emulator: Emulator, answers: Any, method: str
) -> None:
    answers("No secret.", "No secret at all.")
    with pytest.raises(AnswerFormatError, match="it calls no tool, and add had to be") as caught:
        if method == "stream":
            await collect_events(client, replicate_emulator, tools=[ADD, SUB], tool_choice="add")
        else:
            await client.complete(
                replicate_emulator.model, "1+1?", tools=[ADD, SUB], tool_choice="add"
            )
    assert caught.value.completion.text == "No secret at all."
    assert caught.value.completion.usage == Usage(10, 4)
    assert "secret" not in str(caught.value)
    assert list(replicate_emulator.predictions.values())[-1].stream_id not in str(
        pickle.dumps(caught.value)
    )
    assert len(replicate_emulator.predictions) == 2


async def test_repairs_can_be_switched_off(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers("No.", CALL)
    with pytest.raises(AnswerFormatError):
        await client.complete(
            replicate_emulator.model, "1+1?", tools=[ADD], tool_choice=True, max_repairs=0
        )
    assert len(replicate_emulator.predictions) == 1


async def test_a_call_of_another_tool_than_the_named_one_is_repaired(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    inputs = answers(CALL.replace("add", "sub"), CALL)
    whole = await client.complete(
        replicate_emulator.model, "1+1?", tools=[ADD, SUB], tool_choice="add"
    )
    assert [call.name for call in whole.tool_calls] == ["add"]
    assert "another tool" in inputs[1]["prompt"]


async def test_a_malformed_required_call_is_repaired_or_returned(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    request: dict[str, Any] = {"tools": [ADD], "tool_choice": "any"}
    answers(CALL[:-20], CALL, CALL[:-20])
    whole = await client.complete(replicate_emulator.model, "1+1?", **request)
    assert whole.tool_calls[0].arguments == {"a": 1}
    whole = await client.complete(replicate_emulator.model, "1+1?", **request, max_repairs=0)
    assert isinstance(whole.tool_calls[0].arguments, str)


async def test_a_second_call_cancels_the_prediction_if_one_is_the_limit(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = [CALL, "\n", CALL, *["more "] * 2000]
    replicate_emulator.behaviour.token_delay = 0.002
    whole = await client.complete(
        replicate_emulator.model, "1+1?", tools=[ADD], parallel_tool_calls=False
    )
    assert len(whole.tool_calls) == 1
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


async def test_an_invented_tool_result_cancels_the_prediction(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = [CALL, "\n<tool_response>\n", *["made up "] * 2000]
    replicate_emulator.behaviour.token_delay = 0.002
    whole = await client.complete(replicate_emulator.model, "1+1?", tools=[ADD])
    assert (whole.text, len(whole.tool_calls)) == ("", 1)
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


async def test_stop_sequences_cut_the_text_and_not_the_arguments(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers('Well. <tool_call>{"name": "add", "arguments": {"a": "STOP"}}</tool_call> Then STOP no')
    whole = await client.complete(replicate_emulator.model, "1+1?", tools=[ADD], stop=["STOP"])
    assert whole.text == "Well.  Then "
    assert whole.tool_calls[0].arguments == {"a": "STOP"}


@pytest.mark.parametrize("method", ["stream", "complete"])
async def test_json_is_emitted_without_the_text_around_it(
    client: Client, replicate_emulator: Emulator, answers: Any, method: str
) -> None:
    answers('Sure:\n```json\n{"name": "Rome"}\n```')
    if method == "stream":
        events = await collect_events(client, replicate_emulator, response_format=CITY)
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
    else:
        whole = await client.complete(replicate_emulator.model, "1+1?", response_format=CITY)
        text = whole.text
    assert text == '{"name": "Rome"}'


async def test_json_that_does_not_fit_its_schema_is_repaired(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    inputs = answers('{"name": 7}', '{"name": "Rome"}')
    whole = await client.complete(replicate_emulator.model, "1+1?", response_format=CITY)
    assert whole.text == '{"name": "Rome"}'
    request = inputs[1]["prompt"].partition("does not fit the schema")[2]
    assert json.dumps(CITY) in request  # the schema is repeated behind the problem
    assert whole.usage == Usage(10, 4)


async def test_a_stream_is_repaired_only_while_nothing_was_emitted(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers("I know none.", '{"name": "Rome"}', '{"name": 7}')
    events = await collect_events(client, replicate_emulator, response_format=CITY)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == '{"name": "Rome"}'
    with pytest.raises(AnswerFormatError, match="does not fit the schema"):
        await collect_events(client, replicate_emulator, response_format=CITY)
    assert len(replicate_emulator.predictions) == 3


async def test_with_tools_and_a_format_either_a_call_or_json_is_accepted(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    answers(f"I look it up.\n{CALL}", '{"name": "Rome"}')
    request: dict[str, Any] = {"tools": [ADD], "response_format": CITY}
    whole = await client.complete(replicate_emulator.model, "1+1?", **request)
    assert (whole.text, len(whole.tool_calls)) == ("I look it up.\n", 1)
    whole = await client.complete(replicate_emulator.model, "1+1?", **request)
    assert (whole.text, whole.tool_calls) == ('{"name": "Rome"}', ())


async def test_a_call_that_the_prompt_begins_is_parsed_from_its_beginning(
    client: Client, replicate_emulator: Emulator, answers: Any
) -> None:
    inputs = answers(' {"a": 1}}\n</tool_call>', CALL, ' {"a": 1}')
    for _ in range(3):  # continued; begun anew; ended without the bracket that the prompt opened
        whole = await client.complete(
            replicate_emulator.model,
            "1+1?",
            tools=[ADD],
            tool_choice="add",
            prompt_format="chatml",
        )
        assert [(c.name, c.arguments) for c in whole.tool_calls] == [("add", {"a": 1})]
        assert whole.text == ""
    assert inputs[0]["prompt"].endswith('{"name": "add", "arguments":')


@pytest.mark.parametrize("shape", ["bare", "message", "choices"])
async def test_an_output_object_may_hold_calls(
    client: Client, replicate_emulator: Emulator, shape: str
) -> None:
    function = {"name": "add", "arguments": '{"a": 1}'}
    message = {"content": "I add.", "tool_calls": [{"id": "x", "function": function}]}
    outputs = {
        "bare": message,
        "message": {"message": message},
        "choices": {"choices": [{"message": message}]},
    }
    properties = {"prompt": {"type": "string"}, "tools": {"type": "array"}}
    replicate_emulator.add_model(
        "acme/native",
        {"type": "object", "properties": properties},
        output_schema={"type": "object"},
        official=True,
    )
    replicate_emulator.reply = Reply(output=outputs[shape])
    whole = await client.complete("acme/native", "1+1?", tools=[ADD])
    assert whole.text == "I add.\n"
    assert [(c.name, c.arguments) for c in whole.tool_calls] == [("add", {"a": 1})]


async def test_an_invalid_request_creates_no_prediction(
    client: Client, replicate_emulator: Emulator
) -> None:
    requests: tuple[dict[str, Any], ...] = (
        {"tool_choice": "add"},
        {"tools": [{}]},
        {"response_format": {"type": "odd"}},
    )
    for request in requests:
        with pytest.raises(InvalidInputError):
            await client.complete(replicate_emulator.model, "Hi", **request)
    assert not replicate_emulator.predictions


async def test_leaving_a_repair_cancels_it_once(
    client: Client, replicate_emulator: Emulator
) -> None:
    replies = [["No."], [CALL, *["more "] * 2000]]
    replicate_emulator.reply = lambda _: replies.pop(0)
    replicate_emulator.behaviour.token_delay = 0.002
    async with client.stream(
        replicate_emulator.model, "1+1?", tools=[ADD], tool_choice="any"
    ) as events:
        async for event in events:
            if isinstance(event, ToolCallDelta):
                break
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)[1:]


async def test_a_stream_that_was_left_has_the_usage_of_its_record_and_of_rejected_answers(
    client: Client, replicate_emulator: Emulator
) -> None:
    metrics = [(3, 5), (20, 40)]

    def answer(_: object) -> Reply:
        read, written = metrics.pop(0)
        tokens = ["No."] if metrics else [CALL, *["more "] * 2000]
        counts = {"input_token_count": read, "output_token_count": written}
        return Reply(tokens, metrics=counts, delays=[0.002] * len(tokens))

    replicate_emulator.reply = answer
    async with client.stream(
        replicate_emulator.model, "1+1?", tools=[ADD], tool_choice="any"
    ) as events:
        async for event in events:
            if isinstance(event, ToolCallDelta):
                break
        assert events.usage == Usage(3, 5)  # the record of a prediction that runs has none
    assert events.usage == Usage(23, 45)


@pytest.mark.parametrize("tools", [None, [ADD]])
async def test_a_whole_answer_that_fails_has_what_was_received_on_its_error(
    client: Client, replicate_emulator: Emulator, tools: Any
) -> None:
    replicate_emulator.reply = Reply(f"<think>Hm.</think>So: {CALL}", error="boom")
    with pytest.raises(PredictionFailedError) as caught:
        await client.complete(replicate_emulator.model, "1?", tools=tools)
    completion = caught.value.completion
    assert (completion.reasoning, completion.finish_reason) == ("Hm.", "error")
    assert completion.text.startswith("So: ")
    assert len(completion.tool_calls) == len(tools or ())
    assert completion.prediction.id == caught.value.prediction_id
    assert pickle.loads(pickle.dumps(caught.value)).completion == completion


async def test_a_stream_that_fails_has_delivered_what_was_received(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["Hello", " world"], error="boom")
    texts: list[str] = []
    with pytest.raises(PredictionFailedError) as caught:
        async with client.stream(replicate_emulator.model, "Hi") as events:
            async for event in events:
                texts += [event.text] if isinstance(event, TextDelta) else []
    assert "".join(texts) == "Hello world"
    assert caught.value.completion is None


@pytest.mark.parametrize("is_call", [True, False])
async def test_a_validator_rejects_what_a_schema_allows(
    client: Client, answers: Callable[..., list[dict[str, Any]]], is_call: bool
) -> None:
    def validate(value: Any) -> None:
        if value != {"a": 2}:
            raise ValueError("a must be even")

    wanted: dict[str, Any] = {"tools": [ADD], "tool_choice": "add"}
    if not is_call:
        wanted = {"response_format": dict(ADD.parameters)}
    first, second = (CALL, CALL.replace("1", "2")) if is_call else ('{"a": 1}', '{"a": 2}')
    inputs = answers(first, second)
    await client.complete("meta/meta-llama-3-70b-instruct", "Hi", validator=validate, **wanted)
    assert "a must be even" in str(inputs[1])
    answers(first, first)
    with pytest.raises(AnswerFormatError, match="a must be even"):
        await client.complete("meta/meta-llama-3-70b-instruct", "Hi", validator=validate, **wanted)


async def test_a_validator_that_cannot_be_called_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInputError, match="validator is of type int"):
        await client.complete("a/b", "Hi", validator=1)  # type: ignore[arg-type]  # the point


# Pieces that are as large as what has arrived


def is_over(emulator: Emulator) -> bool:
    return any(each.status == "succeeded" for each in emulator.predictions.values())


@pytest.mark.parametrize("coalesce", [False, True])
async def test_a_slow_consumer_gets_what_has_arrived_token_by_token_or_as_one_piece(
    client: Client, replicate_emulator: Emulator, coalesce: bool
) -> None:
    words = [f"word {number}\n" for number in range(300)]
    replicate_emulator.reply = words
    pieces: list[str] = []
    async with client.stream(replicate_emulator.model, "Hi", coalesce=coalesce) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                pieces.append(event.text)
                replicate_emulator.wait_for(is_over)  # blocks the loop, as a busy consumer does
    assert "".join(pieces) == "".join(words)
    if coalesce:
        assert len(pieces) < 10
    else:
        assert pieces == words


async def test_no_token_waits_for_the_next_one_to_be_one_piece_with_it(
    client: Client, replicate_emulator: Emulator
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    has_arrived = asyncio.Semaphore(0)

    async def write(_: Any) -> AsyncIterator[str]:
        loops.append(asyncio.get_running_loop())
        for _number in range(20):
            yield "word "
            await asyncio.wait_for(has_arrived.acquire(), 5)

    replicate_emulator.reply = write
    async with client.stream(replicate_emulator.model, "Hi", coalesce=True) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                assert event.text == "word "
                loops[0].call_soon_threadsafe(has_arrived.release)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        (f"<think>Let me see.</think>I add.\n{CALL}\n{CALL}", {"tools": [ADD]}),
        (f"Well: {CALL}", {"tools": [ADD], "tool_choice": "add"}),
        ('Here: {"name": "Amsterdam"} Done.', {"response_format": CITY}),
        ("one two STOP three", {"stop": ["STOP"]}),
    ],
    ids=["reasoning and calls", "a required call", "JSON", "a stop sequence"],
)
async def test_larger_pieces_hold_the_same_reasoning_text_calls_and_end(
    client: Client, replicate_emulator: Emulator, text: str, request_: dict[str, Any]
) -> None:
    replicate_emulator.reply = list(text)
    outcomes = []
    for coalesce in (False, True):
        events = await collect_events(client, replicate_emulator, coalesce=coalesce, **request_)
        builder = CompletionBuilder()
        for event in events:
            builder.add(event)
        answer = builder.build()
        calls = [(call.name, call.arguments) for call in answer.tool_calls]
        outcomes.append((answer.reasoning, answer.text, calls, answer.finish_reason))
    assert outcomes[0] == outcomes[1]
    assert any(outcomes[0][:3])


@pytest.mark.parametrize("coalesce", [False, True])
async def test_the_record_is_requested_once_all_text_is_delivered(
    client: Client, replicate_emulator: Emulator, coalesce: bool
) -> None:
    def count_records() -> int:
        paths = [each.path for each in replicate_emulator.requests if each.method == "GET"]
        return sum(path.startswith("/v1/predictions/") for path in paths)

    words = [f"word {number} " for number in range(50)]
    replicate_emulator.reply = words
    delivered = ""
    async with client.stream(replicate_emulator.model, "Hi", coalesce=coalesce) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                delivered += event.text
                assert count_records() == 0
    assert delivered == "".join(words)
    assert count_records() == 1


async def test_a_stream_that_another_task_closes_is_cancelled_once_and_its_reader_ends(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["word "] * 20_000
    replicate_emulator.behaviour.token_delay = 0.005
    has_begun = asyncio.Event()

    async def read() -> None:
        async for event in events:
            if isinstance(event, TextDelta):
                has_begun.set()

    async with client.stream(replicate_emulator.model, "Hi") as events:
        reader = asyncio.ensure_future(read())
        await asyncio.wait_for(has_begun.wait(), 10)
        await events.aclose()
        with pytest.raises(PredictionCanceledError):
            await asyncio.wait_for(reader, 10)
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


async def test_a_stream_whose_reading_was_cancelled_does_not_end_like_a_whole_one(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["Hello", " world"], delays=[0.0, 60.0])
    async with client.stream(replicate_emulator.model, "Hi") as events:
        with pytest.raises(asyncio.TimeoutError):
            while True:
                await asyncio.wait_for(anext(events), 0.5)
        with pytest.raises(RuntimeError, match=r"cannot go on; timeout="):
            await anext(events)
        with pytest.raises(RuntimeError, match=r"cannot go on; timeout="):
            async for _ in events:
                pass
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)

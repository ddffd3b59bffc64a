"""`Replicate` against the emulator: its eight endpoints, what is sent, and what the object is."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.rate_limiter import BaseRateLimiter

import replicate_stream as core
from llama_index_replicate_stream import Replicate
from replicate_stream import InvalidInputError
from replicate_stream.testing import Emulator, Fault, Reply

HI = [ChatMessage(role="user", content="Hi")]
WHOLES = ["chat", "complete", "achat", "acomplete"]
STREAMS = ["stream_chat", "stream_complete", "astream_chat", "astream_complete"]
COUNTED = {"input_token_count": 5, "output_token_count": 7}


def text_of(response: Any) -> str | None:
    if not isinstance(response, ChatResponse):
        return str(response.text)
    (block,) = response.message.blocks
    assert block.block_type == "text"
    return block.text


def inputs(emulator: Emulator) -> list[dict[str, Any]]:
    return [dict(prediction.input) for prediction in emulator.predictions.values()]


# What comes out


@pytest.mark.parametrize("method", WHOLES + STREAMS)
def test_an_editor_shows_the_arguments_of_an_endpoint(llm: Replicate, method: str) -> None:
    names = list(inspect.signature(getattr(llm, method)).parameters)
    assert names == (["messages"] if "chat" in method else ["prompt", "formatted"]) + ["kwargs"]


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_every_endpoint_gives_the_exact_text(
    llm: Replicate, ask: Any, words: list[str], method: str
) -> None:
    answer = await ask(llm, method)
    assert text_of(answer[-1] if method in STREAMS else answer) == "".join(words)


@pytest.mark.parametrize("method", STREAMS)
async def test_a_stream_is_cumulative_and_tells_what_is_new(
    llm: Replicate, ask: Any, words: list[str], method: str
) -> None:
    responses = await ask(llm, method)
    assert [response.delta for response in responses] == [*filter(None, words), ""]
    text = ""
    for response in responses:
        text += response.delta
        assert text_of(response) == text


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_the_last_response_alone_has_the_counts_where_they_are_looked_for(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = Reply(tokens=["a", "b"], metrics=COUNTED)
    answer = await ask(make_llm(), method)
    *before, last = answer if method in STREAMS else [answer]
    counts = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    assert last.raw["usage"] == last.additional_kwargs == counts
    assert [last.raw["id"]] == list(replicate_emulator.predictions)
    assert last.raw["status"] == "succeeded"
    assert last.raw["finish_reason"] == "stop"
    assert last.raw["created_at"].endswith("Z")
    assert all(response.raw is None for response in before)


@pytest.mark.parametrize("method", STREAMS)
async def test_an_empty_answer_is_one_response(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = [""]
    (response,) = await ask(make_llm(), method)
    assert (text_of(response), response.delta) == ("", "")


@pytest.mark.parametrize("method", WHOLES)
async def test_an_empty_answer_is_an_empty_text(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = [""]
    assert text_of(await ask(make_llm(), method)) == ""


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
@pytest.mark.parametrize("method", STREAMS)
async def test_a_recorded_stream_gives_exactly_the_recorded_text(
    shared: Path, make_llm: Any, ask: Any, replicate_emulator: Emulator, name: str, method: str
) -> None:
    body = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]["body"]
    blocks = [block.split("\n") for block in body.split("\n\n") if "event: output" in block]
    recorded = ["\n".join(line[6:] for line in b if line[:6] == "data: ") for b in blocks]
    assert len(recorded) > 10
    replicate_emulator.reply = recorded  # for the record, which the client compares
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
    replicate_emulator.fault(Fault(on="stream", garbage=head + body.encode()))
    responses = await ask(make_llm(), method)
    assert [response.delta for response in responses] == [*filter(None, recorded), ""]
    assert text_of(responses[-1]) == "".join(recorded)


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_every_endpoint_raises_the_cores_errors(make_llm: Any, ask: Any, method: str) -> None:
    with pytest.raises(core.ModelNotFoundError):
        await ask(make_llm(model="no/model"), method)


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_a_failed_prediction_is_an_error(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="boom", status="failed")
    with pytest.raises(core.PredictionFailedError, match="boom"):
        await ask(make_llm(), method)


# What goes in


async def test_a_prompt_can_be_a_keyword_argument(llm: Replicate, words: list[str]) -> None:
    whole = "".join(words)
    assert llm.complete(prompt="Hi").text == whole
    assert list(llm.stream_complete(prompt="Hi"))[-1].text == whole
    assert (await llm.acomplete(prompt="Hi")).text == whole
    assert [r async for r in await llm.astream_complete(prompt="Hi")][-1].text == whole


@pytest.mark.parametrize("method", [method for method in WHOLES + STREAMS if "complete" in method])
async def test_no_prompt_and_two_prompts_are_errors(llm: Replicate, method: str) -> None:
    endpoint: Callable[..., Any] = getattr(llm, method)
    for args, kwargs, error in [((), {}, ValueError), (("Hi",), {"prompt": "Hi"}, TypeError)]:
        with pytest.raises(error, match="prompt"):
            result = endpoint(*args, **kwargs)
            if method.startswith("a"):
                await result


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_a_call_overrides_what_the_object_says(
    make_llm: Any, ask: Any, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = ["a"]
    replicate_emulator.add_model("other/model", official=True)
    llm = make_llm(temperature=0.1, max_tokens=10, additional_kwargs={"min_tokens": 2})
    sent = {
        "temperature": 0.5,
        "max_tokens": 20,
        "top_p": 0.5,
        "top_k": 5,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
    }
    extra = {"additional_kwargs": {"min_tokens": 1}, "system_prompt": "Be brief.", "stop": ["STOP"]}
    await ask(llm, method, model="other/model", **sent, **extra)
    (prediction_input,) = inputs(replicate_emulator)
    assert {
        **sent,
        "min_tokens": 1,
        "system_prompt": "Be brief.",
    }.items() <= prediction_input.items()
    assert "STOP" in prediction_input["stop_sequences"]
    assert llm.additional_kwargs == {"min_tokens": 2}
    (created,) = [r for r in replicate_emulator.requests if r.method == "POST"]
    assert created.path == "/v1/models/other/model/predictions"


async def test_the_objects_own_parameters_are_sent(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    llm = make_llm(
        temperature=0,
        max_tokens=20,
        system_prompt="Be brief.",
        additional_kwargs={"min_tokens": 1},
    )
    await llm.achat(HI)
    (sent,) = inputs(replicate_emulator)
    assert (sent["temperature"], sent["max_tokens"], sent["min_tokens"]) == (0, 20, 1)
    assert str(sent).count("Be brief.") == 1


async def test_unset_parameters_are_left_to_the_model(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    await make_llm(temperature=0.5).acomplete("Hi", temperature=None)
    (sent,) = inputs(replicate_emulator)
    assert set(sent) == {"prompt"}


async def test_a_system_prompt_that_the_framework_has_put_in_is_not_sent_twice(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    def transcript(messages: Any) -> str:
        return "\n".join(str(message) for message in messages)

    for settings in ({}, {"messages_to_prompt": transcript}):
        llm = make_llm(system_prompt="Be brief.", **settings)
        await llm.apredict(PromptTemplate("About {topic}"), topic="owls")
    assert [str(sent).count("Be brief.") for sent in inputs(replicate_emulator)] == [1, 1]
    assert all("About owls" in str(sent) for sent in inputs(replicate_emulator))


async def test_the_users_own_prompt_functions_are_used(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    llm = make_llm(
        messages_to_prompt=lambda messages: f"<<{len(messages)} messages>>",
        completion_to_prompt=lambda prompt: f"<<{prompt}>>",
    )
    await llm.achat(HI)
    await llm.acomplete("Ho")
    await llm.acomplete("Hum", formatted=True)
    chatted, completed, formatted = (sent["prompt"] for sent in inputs(replicate_emulator))
    assert "<<1 messages>>" in chatted
    assert "<<Ho>>" in completed
    assert "Hum" in formatted
    assert "<<" not in formatted


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_what_the_caller_gave_is_not_changed(llm: Replicate, method: str) -> None:
    history = [ChatMessage(role="system", content="S"), *copy.deepcopy(HI)]
    extra = {"min_tokens": 1}
    before = copy.deepcopy((history, extra))
    result = getattr(llm, method)(history if "chat" in method else "Hi", additional_kwargs=extra)
    result = await result if method.startswith("a") else result
    if method.startswith("astream"):
        [response async for response in result]
    elif method.startswith("stream"):
        list(result)
    assert (history, extra) == before


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"model": ""}, "model"),
        ({"stop": 5}, "stop is of type int"),
        ({"tools": 5}, "tools is of type int"),
        ({"tools": ["weather"]}, r"tools\[0\]"),
        ({"additional_kwargs": 5}, "additional_kwargs is of type int"),
        ({"max_repairs": -1}, "max_repairs is -1"),
        ({"temperature": "hot"}, "temperature"),
    ],
    ids=str,
)
async def test_a_wrong_value_for_a_call_is_named_before_anything_is_paid(
    llm: Replicate, replicate_emulator: Emulator, arguments: dict[str, Any], name: str
) -> None:
    with pytest.raises((InvalidInputError, TypeError), match=name):
        await llm.achat([ChatMessage(content="Hi")], **arguments)
    assert replicate_emulator.predictions == {}


@pytest.mark.parametrize("method", WHOLES + STREAMS)
async def test_a_rate_limiter_of_the_framework_is_acquired_once_per_call(
    make_llm: Any, ask: Any, method: str
) -> None:
    class Limiter(BaseRateLimiter):
        def __init__(self) -> None:
            self.calls: list[str] = []

        def acquire(self, num_tokens: int = 0) -> None:
            self.calls.append("sync")

        async def async_acquire(self, num_tokens: int = 0) -> None:
            self.calls.append("async")

    limits = Limiter()
    await ask(make_llm(rate_limiter=limits), method)
    assert limits.calls == ["async" if method.startswith("a") else "sync"]


async def test_a_dry_run_shows_the_request_and_sends_none(
    llm: Replicate, replicate_emulator: Emulator
) -> None:
    for prepared in (
        await llm.aprepare(HI, max_tokens=5),
        llm.prepare(HI, max_tokens=5),
        await llm.aprepare("Hi", max_tokens=5),
    ):
        assert prepared.url.endswith(f"/models/{replicate_emulator.model}/predictions")
        assert prepared.body["input"]["max_tokens"] == 5
        assert "Hi" in prepared.body["input"]["prompt"]
    assert not replicate_emulator.predictions


async def test_what_the_model_only_thought_is_a_block_of_its_own(
    llm: Replicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["<think>", "Well", ", hm", "</think>", "So", " it is"]
    streamed = [response async for response in await llm.astream_chat(HI)]
    thought = [r.additional_kwargs.get("thinking_delta") for r in streamed]
    assert "".join(filter(None, thought)) == "Well, hm"
    for response in (streamed[-1], await llm.achat(HI)):
        thinking, text = response.message.blocks
        assert isinstance(thinking, ThinkingBlock)
        assert isinstance(text, TextBlock)
        assert (thinking.content, text.text) == ("Well, hm", "So it is")
    completed = [response async for response in await llm.astream_complete("Hi")]
    assert completed[-1].text == "So it is"
    assert [r.additional_kwargs.get("thinking_delta") for r in completed[:2]] == ["Well", ", hm"]
    for whole in (completed[-1], await llm.acomplete("Hi")):
        assert whole.additional_kwargs["thinking"] == "Well, hm"


def is_over(emulator: Emulator) -> bool:
    return any(each.status == "succeeded" for each in emulator.predictions.values())


@pytest.mark.parametrize("in_the_call", [False, True])
@pytest.mark.parametrize("method", ["stream_complete", "astream_complete"])
async def test_a_slow_consumer_gets_larger_pieces_if_it_asks_for_them(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator, method: str, in_the_call: bool
) -> None:
    words = [f"word {number}\n" for number in range(300)]
    replicate_emulator.reply = words
    llm, options = make_llm(coalesce=not in_the_call), {"coalesce": True} if in_the_call else {}
    pieces: list[str] = []
    if method == "stream_complete":
        for response in llm.stream_complete("Hi", **options):
            pieces.append(response.delta or "")
            replicate_emulator.wait_for(is_over)
    else:
        async for response in await llm.astream_complete("Hi", **options):
            pieces.append(response.delta or "")
            replicate_emulator.wait_for(is_over)
    assert "".join(pieces) == "".join(words)
    assert len(pieces) < 10

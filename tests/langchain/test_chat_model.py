"""`ChatReplicate` against the emulator, as a LangChain user meets it."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from pydantic import SecretStr, ValidationError

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from langchain_replicate_stream._convert import text_chunk, to_core
from langchain_replicate_stream._errors import _both, translate
from replicate_stream import Client, Message, TextDelta, ToolCall
from replicate_stream.testing import Emulator, Fault, Reply

WORDS = ["", "Hello", ",", "\n\n", "wor", "ld\u2028 é😀", "\n"]
WHOLE = "".join(WORDS)


@pytest.fixture
def llm(replicate_emulator: Emulator) -> ChatReplicate:
    replicate_emulator.reply = WORDS
    return make(replicate_emulator)


def make(emulator: Emulator, **settings: Any) -> ChatReplicate:
    settings.setdefault("model", emulator.model)
    return ChatReplicate(api_key=emulator.token, base_url=emulator.base_url, **settings)


async def ask(llm: ChatReplicate, way: str, said: Any) -> Any:
    """Ask in the way of that name; a stream is read to its end."""
    if way == "astream":
        return [chunk async for chunk in llm.astream(said)]
    answered = getattr(llm, way)(said)
    if way == "stream":
        return list(answered)
    return await answered if way.startswith("a") else answered


def created(emulator: Emulator) -> list[dict[str, Any]]:
    return [dict(prediction.input) for prediction in emulator.predictions.values()]


async def test_a_stream_gives_each_token_once_and_in_time(llm: ChatReplicate) -> None:
    chunks = [chunk async for chunk in llm.astream("Hi")]
    assert [chunk.content for chunk in chunks] == [*[word for word in WORDS if word], ""]


async def test_only_the_last_chunk_is_marked_and_has_metadata(llm: ChatReplicate) -> None:
    chunks = [chunk async for chunk in llm.astream("Hi")]
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    # LangChain itself notes the provider on nothing; all of it is on the one chunk.
    assert [bool(chunk.response_metadata) for chunk in chunks][:-1] == [False] * (len(chunks) - 1)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_sum_of_a_stream_is_the_whole_message(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    total: AIMessageChunk | None = None
    async for chunk in llm.astream("Hi"):
        assert isinstance(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk
    assert total is not None
    assert total.content == WHOLE
    assert total.response_metadata["model_name"] == replicate_emulator.model
    assert total.response_metadata["finish_reason"] == "stop"
    assert total.response_metadata["prediction_id"] in replicate_emulator.predictions
    assert total.usage_metadata is not None
    assert total.usage_metadata["total_tokens"] == (
        total.usage_metadata["input_tokens"] + total.usage_metadata["output_tokens"]
    )


async def test_every_way_to_ask_gives_the_same_text(llm: ChatReplicate) -> None:
    assert (await llm.ainvoke("Hi")).content == WHOLE
    assert llm.invoke("Hi").content == WHOLE  # inside a running loop
    assert "".join(str(chunk.content) for chunk in llm.stream("Hi")) == WHOLE
    assert [message.content for message in await llm.abatch(["Hi", "Ho"])] == [WHOLE, WHOLE]
    assert (await llm.ainvoke("Hi", stream=True)).content == WHOLE


async def test_each_token_is_one_callback(llm: ChatReplicate) -> None:
    told = [
        event["data"]["chunk"].content
        async for event in llm.astream_events("Hi", version="v2")
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(told) == WHOLE
    assert len([text for text in told if text]) == len([word for word in WORDS if word])


async def test_a_chain_streams_through_it(llm: ChatReplicate) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "About {topic}")]) | llm
    texts = [text async for text in (chain | StrOutputParser()).astream({"topic": "owls"})]
    assert "".join(texts) == WHOLE
    assert len(texts) > 3


async def test_usage_can_be_spared(llm: ChatReplicate, replicate_emulator: Emulator) -> None:
    message = await llm.ainvoke("Hi", stream_usage=False)
    assert isinstance(message, AIMessage)
    assert message.usage_metadata is None
    assert not [r for r in replicate_emulator.requests if r.path.startswith("/v1/predictions/")]


async def test_what_the_model_only_thought_is_reasoning_and_not_answer(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = ["<think>", "Well", ", hm", "</think>", "So", " it is"]
    llm = make(replicate_emulator)
    whole = await llm.ainvoke("Hi")
    total: AIMessageChunk | None = None
    async for chunk in llm.astream("Hi"):
        assert isinstance(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk
    assert total is not None
    for message in (whole, total):
        assert message.content == "So it is"
        assert message.additional_kwargs["reasoning_content"] == "Well, hm"
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


async def test_an_empty_answer_is_one_chunk(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = []
    (chunk,) = [chunk async for chunk in llm.astream("Hi")]
    assert (chunk.content, chunk.chunk_position) == ("", "last")


async def test_the_deadline_is_told_to_the_service(replicate_emulator: Emulator) -> None:
    await make(replicate_emulator, deadline=90).ainvoke("Hi")
    (create,) = [r for r in replicate_emulator.requests if r.path.endswith("/predictions")]
    assert create.headers["cancel-after"] == "90s"


async def test_what_the_model_cannot_take_is_an_error_a_warning_or_nothing(
    replicate_emulator: Emulator,
) -> None:
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    replicate_emulator.add_model("small/model", schema, official=True)
    small: dict[str, Any] = {"model": "small/model", "top_k": 5}
    with pytest.raises(core.UnsupportedParameterError, match="top_k"):
        await make(replicate_emulator, **small).ainvoke("Hi")
    assert not replicate_emulator.predictions
    with pytest.warns(core.ParameterWarning, match="top_k"):
        await make(replicate_emulator, **small, on_unsupported="warn").ainvoke("Hi")
    await make(replicate_emulator, **small, on_unsupported="ignore").ainvoke("Hi")
    assert [sent.keys() for sent in created(replicate_emulator)] == [{"prompt"}] * 2
    with pytest.raises(ValidationError, match="on_unsupported"):
        make(replicate_emulator, on_unsupported="shrug")


async def test_a_call_can_override_every_parameter(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    message = await llm.ainvoke(
        "Hi",
        model="other/model",
        temperature=0.5,
        max_tokens=20,
        top_p=0.5,
        top_k=5,
        stop=["STOP"],
        presence_penalty=0.5,
        frequency_penalty=0.25,
        system_prompt="Be brief.",
        extra_input={"min_tokens": 1},
    )
    (sent,) = created(replicate_emulator)
    expected = {"temperature": 0.5, "max_tokens": 20, "top_p": 0.5, "top_k": 5, "min_tokens": 1}
    assert expected.items() <= sent.items()
    assert (sent["presence_penalty"], sent["frequency_penalty"]) == (0.5, 0.25)
    assert "STOP" in sent["stop_sequences"]
    assert "Be brief." in str(sent)
    assert message.response_metadata["model_name"] == "other/model"


async def test_a_call_can_take_back_what_the_constructor_said(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = ["one ST", "OP two"]
    llm = make(replicate_emulator, stop=["STOP"], temperature=0.5)
    message = await llm.ainvoke("Hi", stop=[], temperature=None, model=None)
    assert message.content == "one STOP two"
    assert message.response_metadata["model_name"] == replicate_emulator.model
    (sent,) = created(replicate_emulator)
    assert "temperature" not in sent


async def test_the_constructors_parameters_are_sent(replicate_emulator: Emulator) -> None:
    llm = make(
        replicate_emulator,
        temperature=0.5,
        max_tokens=20,
        stop_sequences=["STOP"],
        model_kwargs={"min_tokens": 1},
    )
    await llm.ainvoke("Hi")
    (sent,) = created(replicate_emulator)
    assert (sent["temperature"], sent["max_tokens"], sent["min_tokens"]) == (0.5, 20, 1)
    assert "STOP" in sent["stop_sequences"]


async def test_a_dry_run_shows_the_request_and_sends_none(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    for prepared in (
        await llm.aprepare([("system", "Be brief."), ("human", "Hi")], max_tokens=5),
        llm.prepare([("system", "Be brief."), ("human", "Hi")], max_tokens=5),
    ):
        assert prepared.url.endswith(f"/models/{replicate_emulator.model}/predictions")
        assert prepared.body["input"]["max_tokens"] == 5
        assert "Be brief." in str(prepared.body)
    assert not replicate_emulator.predictions


async def test_a_stop_sequence_is_exact_however_it_is_given(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["one ST", "OP two"]
    assert (await make(replicate_emulator, stop=["STOP"]).ainvoke("Hi")).content == "one "
    assert (await make(replicate_emulator).ainvoke("Hi", stop=["STOP"])).content == "one "
    assert (await make(replicate_emulator).ainvoke("Hi", stop_sequences=["STOP"])).content == "one "
    assert make(replicate_emulator).bind(stop=["STOP"]).invoke("Hi").content == "one "


def test_an_unknown_argument_is_an_error_that_names_the_closest(llm: ChatReplicate) -> None:
    with pytest.raises(ValidationError, match="did you mean 'temperature'"):
        ChatReplicate(model="a/b", api_key="r8_FAKE", temprature=1)  # type: ignore[call-arg]  # the point
    with pytest.raises(TypeError, match="did you mean 'max_tokens'"):
        llm.invoke("Hi", max_token=1)


def test_a_validation_error_does_not_show_the_token() -> None:
    with pytest.raises(ValidationError) as caught:
        ChatReplicate(model="a/b", api_key="r8_FAKE_TOKEN", bogus=1)  # type: ignore[call-arg]  # the point
    assert "r8_FAKE_TOKEN" not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "replicate_api_token"])
def test_the_token_is_a_secret_under_either_name(name: str) -> None:
    given: dict[str, Any] = {"model": "a/b", name: "r8_FAKE_TOKEN"}
    llm = ChatReplicate(**given)
    assert isinstance(llm.api_key, SecretStr)
    shown = repr(llm) + str(llm) + str(llm.model_dump()) + json.dumps(llm.to_json(), default=str)
    assert "r8_FAKE_TOKEN" not in shown
    assert "r8_FAKE_TOKEN" not in str(llm._identifying_params) + llm._get_llm_string()


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_FAKE_TOKEN")
    llm = ChatReplicate(model="a/b")
    assert isinstance(llm.api_key, SecretStr)
    assert llm.api_key.get_secret_value() == "r8_FAKE_TOKEN"


async def test_the_token_may_come_from_a_function(replicate_emulator: Emulator) -> None:
    llm = ChatReplicate(
        model=replicate_emulator.model,
        api_key=lambda: replicate_emulator.token,
        base_url=replicate_emulator.base_url,
    )
    assert (await llm.ainvoke("Hi")).content


async def test_it_can_be_copied_and_pickled_without_its_token(
    llm: ChatReplicate, replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await llm.ainvoke("Hi")
    assert (await copy.deepcopy(llm).ainvoke("Hi")).content == WHOLE
    assert (await llm.model_copy(update={"temperature": 0.1}).ainvoke("Hi")).content == WHOLE
    frozen = pickle.dumps(llm)
    assert replicate_emulator.token.encode() not in frozen
    monkeypatch.setenv("REPLICATE_API_TOKEN", replicate_emulator.token)
    assert (await pickle.loads(frozen).ainvoke("Hi")).content == WHOLE


def test_nothing_written_down_holds_a_secret_of_the_connection_either() -> None:
    llm = ChatReplicate(
        model="a/b",
        api_key="r8_FAKE",
        proxy="http://user:FAKE_PASSWORD@proxy.example:8080",
        default_headers={"Authorization": "Bearer FAKE_BEARER", "x-team": "blue"},
    )
    frozen = pickle.dumps(llm)
    assert b"FAKE" not in frozen
    assert "FAKE" not in repr(llm) + str(llm.model_dump()) + llm._get_llm_string()
    twin = pickle.loads(frozen)
    assert twin.proxy == "http://proxy.example:8080"
    assert twin.default_headers == {"x-team": "blue"}


async def test_a_changed_setting_is_used_by_the_next_call(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    await llm.ainvoke("Hi")
    llm.default_headers = {"x-team": "blue"}
    await llm.ainvoke("Hi")
    assert replicate_emulator.requests[-1].headers["x-team"] == "blue"
    llm.default_headers["x-team"] = "red"
    await llm.ainvoke("Hi")
    assert replicate_emulator.requests[-1].headers["x-team"] == "red"
    assert llm._client() is llm._client()


async def test_several_models_can_share_a_client(replicate_emulator: Emulator) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    for _ in range(2):
        assert (await ChatReplicate(model=replicate_emulator.model, client=client).ainvoke("")).id
    assert len([r for r in replicate_emulator.requests if r.path.startswith("/v1/models/")]) == 3


@pytest.mark.parametrize(
    "setting",
    [
        {"model": "c/d"},
        {"base_url": "http://127.0.0.1:9/v1"},
        {"temperature": 1.0},
        {"max_tokens": 5},
        {"top_p": 0.5},
        {"top_k": 5},
        {"stop": ["x"]},
        {"seed": 1},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"system_prompt": "x"},
        {"prompt_format": "plain"},
        {"model_kwargs": {"min_tokens": 1}},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_what_changes_the_answer_is_in_the_cache_key(setting: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"model": "a/b", "api_key": "r8_FAKE"}
    llm = ChatReplicate(**{**plain, **setting})
    assert llm._get_llm_string() != ChatReplicate(**plain)._get_llm_string()
    assert llm._get_llm_string() == ChatReplicate(**{**plain, **setting})._get_llm_string()


def test_traces_know_the_model_of_the_call() -> None:
    llm = ChatReplicate(model="a/b", api_key="r8_FAKE", temperature=0.5, stop="x")
    assert llm._get_ls_params() == {
        "ls_provider": "replicate",
        "ls_model_name": "a/b",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_stop": ["x"],
    }
    called = llm._get_ls_params(model="c/d", max_tokens=3, stop_sequences=["y"])
    assert (called["ls_model_name"], called["ls_max_tokens"], called["ls_stop"]) == (
        "c/d",
        3,
        ["y"],
    )
    assert "ls_stop" not in llm._get_ls_params(stop=[])
    assert llm.metadata is not None
    assert llm.metadata["lc_versions"]["replicate-stream"] == core.__version__


def test_a_chunk_of_text_is_what_the_constructors_make_and_shares_nothing() -> None:
    first, second = text_chunk(TextDelta("a")), text_chunk(TextDelta("a"))
    made = ChatGenerationChunk(message=AIMessageChunk(content="a"))
    assert first == second == made
    assert first.model_dump() == made.model_dump()
    for name, value in vars(first.message).items():
        if isinstance(value, dict | list):
            assert getattr(second.message, name) is not value, name


def test_messages_of_every_kind_are_told_apart() -> None:
    call = {"name": "search", "args": {"q": "é"}, "id": "c1", "type": "tool_call"}
    messages: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "Hi"}], name="Ann"),
        AIMessage(
            [{"type": "text", "text": "Well"}, {"type": "tool_use", "id": "c1"}], tool_calls=[call]
        ),
        ToolMessage("found", tool_call_id="c1"),
        ChatMessage(role="assistant", content="So"),
    ]
    assert to_core(messages) == [
        Message("system", "Be brief."),
        Message("user", [{"type": "text", "text": "Hi"}], name="Ann"),
        Message(
            "assistant",
            [{"type": "text", "text": "Well"}],
            tool_calls=(ToolCall("c1", "search", {"q": "é"}),),
        ),
        Message("tool", "found", tool_call_id="c1"),
        Message("assistant", "So"),
    ]


def test_a_message_that_no_model_can_be_told_is_an_error() -> None:
    with pytest.raises(core.InvalidInputError, match="RemoveMessage"):
        to_core([RemoveMessage(id="1")])


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "prepare", "aprepare"])
async def test_such_a_message_is_langchains_error_too(llm: ChatReplicate, way: str) -> None:
    messages: list[BaseMessage] = [RemoveMessage(id="1")]
    with pytest.raises(core.InvalidInputError) as caught:
        await ask(llm, way, messages)
    assert isinstance(caught.value, ModelInvalidRequestError)


FAILED = {"prediction_id": "p"}


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (core.MissingAuthError(), ModelAuthenticationError, False),
        (core.ResponseError("x", status=401), ModelAuthenticationError, False),
        (core.ResponseError("x", status=402), ModelPermissionDeniedError, False),
        (core.ResponseError("x", status=403), ModelPermissionDeniedError, False),
        (core.ResponseError("x", status=400), ModelInvalidRequestError, False),
        (core.ResponseError("x", status=502), ModelAPIError, True),
        (core.ResponseError("the reply has no id", status=201), ModelError, False),
        (core.ResponseError("redirected too often"), ModelError, False),
        (core.ModelNotFoundError("x", status=404), ModelNotFoundError, False),
        (core.RateLimitError("x", status=429, retry_after=2), ModelRateLimitError, True),
        (core.InvalidInputError("x", fields=("a",)), ModelInvalidRequestError, False),
        (core.UnsupportedParameterError("x", parameter="a"), ModelInvalidRequestError, False),
        (core.ReplicateConnectionError("x"), ModelConnectionError, True),
        (core.ReplicateTimeoutError("x", waited_for="y", seconds=1), ModelTimeoutError, True),
        (core.PredictionFailedError("x", error="boom", **FAILED), ModelError, False),
        (core.PredictionFailedError("x", error="… (code: PA)", **FAILED), ModelAPIError, True),
        (
            core.PredictionFailedError("x", error="exceeds the context length", **FAILED),
            ContextOverflowError,
            False,
        ),
        (core.PredictionCanceledError("x", **FAILED), ModelError, False),
        (core.StreamInterruptedError("x", delivered=3, **FAILED), ModelConnectionError, True),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_an_error_is_the_cores_and_langchains_at_once(
    error: core.ReplicateError, kind: type[ModelError], retryable: bool
) -> None:
    both = translate(error)
    assert isinstance(both, type(error))
    assert isinstance(both, kind)
    assert both.is_retryable is retryable
    assert (str(both), vars(both)) == (str(error), vars(error))
    twin = pickle.loads(pickle.dumps(both))
    assert (type(twin), str(twin), vars(twin)) == (type(both), str(both), vars(both))


def test_an_error_stays_the_cores_where_langchain_has_no_such_kind() -> None:
    assert _both("X", core.RateLimitError, "NoSuchKind") is core.RateLimitError


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_every_way_to_ask_raises_errors_of_both(
    replicate_emulator: Emulator, way: str
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await ask(make(replicate_emulator, model="no/model"), way, "Hi")
    assert isinstance(caught.value, core.ModelNotFoundError)
    assert caught.value.status == 404


async def test_a_failed_prediction_is_an_error_in_a_stream_too(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="boom", status="failed")
    with pytest.raises(core.PredictionFailedError, match="boom"):
        [chunk async for chunk in make(replicate_emulator).astream("Hi")]


async def test_a_cut_stream_is_whole(llm: ChatReplicate, replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault(on="stream", cut_after=90), times=2)
    assert "".join([str(c.content) async for c in llm.astream("Hi")]) == WHOLE


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
async def test_a_recorded_stream_gives_exactly_the_recorded_text(
    shared: Path, replicate_emulator: Emulator, name: str
) -> None:
    body = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]["body"]
    blocks = [block.split("\n") for block in body.split("\n\n") if "event: output" in block]
    recorded = ["\n".join(line[6:] for line in b if line[:6] == "data: ") for b in blocks]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
    replicate_emulator.fault(Fault(on="stream", garbage=head + body.encode()), times=2)
    llm = make(replicate_emulator)
    chunks = [str(chunk.content) async for chunk in llm.astream("tell me a joke")]
    assert chunks == [*[token for token in recorded if token], ""]
    assert llm.invoke("tell me a joke").content == "".join(recorded)


# Whoever stops listening stops paying


@pytest.fixture
def endless(replicate_emulator: Emulator) -> Emulator:
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = ["word "] * 20_000
    return replicate_emulator


def one_cancel(emulator: Emulator) -> bool:
    return emulator.cancels == list(emulator.predictions) and emulator.streams_open == 0


async def test_breaking_out_of_astream_cancels_once(endless: Emulator) -> None:
    count = 0
    async for _ in make(endless).astream("Hi"):
        count += 1
        if count == 10:
            break
    gc.collect()
    await endless.wait_for_async(one_cancel)


async def test_closing_astream_cancels_once(endless: Emulator) -> None:
    stream = cast("AsyncGenerator[AIMessageChunk, None]", make(endless).astream("Hi"))
    for _ in range(10):
        await anext(stream)
    await stream.aclose()
    await endless.wait_for_async(one_cancel)


async def test_a_timed_out_ainvoke_cancels_once(endless: Emulator) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(make(endless).ainvoke("Hi"), 0.4)
    await endless.wait_for_async(one_cancel)


async def test_a_cancelled_task_cancels_once(endless: Emulator) -> None:
    async def read() -> None:
        async for _ in make(endless).astream("Hi"):
            pass

    task = asyncio.create_task(read())
    await endless.wait_for_async(lambda e: e.streams_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await endless.wait_for_async(one_cancel)


def test_breaking_out_of_stream_cancels_once(endless: Emulator) -> None:
    for count, _ in enumerate(make(endless).stream("Hi")):
        if count == 10:
            break
    endless.wait_for(one_cancel)


def test_a_loop_that_ends_right_after_a_break_cancels_once(endless: Emulator) -> None:
    async def main() -> None:
        async for _ in make(endless).astream("Hi"):
            if endless.streams_open:
                break

    asyncio.run(main())
    gc.collect()
    endless.wait_for(one_cancel)


async def test_an_event_stream_that_is_left_cancels_once(endless: Emulator) -> None:
    async for event in make(endless).astream_events("Hi", version="v2"):
        if event["event"] == "on_chat_model_stream":
            break
    gc.collect()
    await endless.wait_for_async(one_cancel)


def test_one_object_works_in_loop_after_loop_and_in_threads(llm: ChatReplicate) -> None:
    async def ask() -> str:
        return str((await llm.ainvoke("Hi")).content)

    assert [asyncio.run(ask()) for _ in range(3)] == [WHOLE] * 3
    assert [message.content for message in llm.batch(["a", "b", "c"])] == [WHOLE] * 3

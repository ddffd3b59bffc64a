"""Everyday features of LangChain: batches, caches, callbacks, retries, copies, traces."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any, get_type_hints

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
)
from langchain_core.messages import AIMessageChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel, TypeAdapter

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from langchain_replicate_stream._fields import SETTINGS
from replicate_stream.testing import Emulator, Fault, Reply, ToolUser

MakeLLM = Callable[..., ChatReplicate]
OTHER = "other/model"
IN_THE_CALL: dict[str, tuple[Any, str, Any]] = {
    # the value in the call, the input it goes to, and what is there then
    "temperature": (0.25, "temperature", 0.25),
    "max_tokens": (20, "max_tokens", 20),
    "top_p": (0.5, "top_p", 0.5),
    "top_k": (5, "top_k", 5),
    "stop": (["STOP"], "stop_sequences", "STOP"),
    "seed": (7, "seed", 7),
    "presence_penalty": (0.5, "presence_penalty", 0.5),
    "frequency_penalty": (0.25, "frequency_penalty", 0.25),
    "system_prompt": ("Be brief.", "system_prompt", "Be brief."),
    "model_kwargs": ({"min_tokens": 1}, "min_tokens", 1),
}


class Point(BaseModel):
    """A point on a line."""

    x: int


def get_inputs(emulator: Emulator) -> list[dict[str, Any]]:
    return [dict(prediction.input) for prediction in emulator.predictions.values()]


def add_chunks(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    first, *others = chunks
    return first.__add__(others)


async def stream_message(llm: Any, **kwargs: Any) -> AIMessageChunk:
    return add_chunks([chunk async for chunk in llm.astream("Hi", **kwargs)])


# A call's own parameters


def test_every_parameter_of_a_call_is_tested_below() -> None:
    tested_below = {"model", "prompt_format", "max_repairs", "include_usage", "coalesce"}
    tested = {*IN_THE_CALL, "extra_input", "reasoning_effort"} - {"model_kwargs"} | tested_below
    assert tested == set(SETTINGS)  # the effort in test_profile.py


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
@pytest.mark.parametrize("name", IN_THE_CALL)
async def test_a_call_overrides_the_objects_field(
    replicate_emulator: Emulator, make_llm: MakeLLM, name: str, method: str
) -> None:
    own: dict[str, Any] = {"max_tokens": 99, "temperature": 1.0, "system_prompt": "Own."}
    value, key, expected = IN_THE_CALL[name]
    llm = make_llm(**own)
    await (
        llm.ainvoke("Hi", **{name: value})
        if method == "ainvoke"
        else stream_message(llm, **{name: value})
    )
    (body,) = get_inputs(replicate_emulator)
    assert body[key] == expected


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_a_call_can_select_another_model(
    llm: ChatReplicate, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.add_model(OTHER, official=True)
    ask = (
        llm.ainvoke("Hi", model=OTHER) if method == "ainvoke" else stream_message(llm, model=OTHER)
    )
    message: Any = await ask
    assert [each.model for each in replicate_emulator.predictions.values()] == [OTHER]
    assert message.response_metadata["model_name"] == OTHER


async def test_a_call_can_select_the_prompt_format(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    conversation = [("human", "Hi"), ("ai", "Ho"), ("human", "And?")]
    await llm.ainvoke(conversation, prompt_format="llama2")
    await llm.ainvoke(conversation, prompt_format="chatml")
    llama, chatml = (body["prompt"] for body in get_inputs(replicate_emulator))
    assert "[INST]" in llama
    assert "<|im_start|>" in chatml


async def test_a_call_can_switch_repairs_off(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = "no JSON"
    with pytest.raises(core.AnswerFormatError):
        await llm.ainvoke("Hi", response_format={"type": "json_object"}, max_repairs=0)
    assert len(replicate_emulator.predictions) == 1


# Many at once


class ConcurrencyMeter:
    """Holds answers back until `size` of them run, and records the most that ran at once."""

    def __init__(self, emulator: Emulator, size: int) -> None:
        emulator.behaviour.token_delay = 0.01
        emulator.reply = self.answer
        self._emulator, self._size = emulator, size
        self._enough = asyncio.Event()  # used in the emulator's loop only
        self.running = self.peak = self.most_listeners = 0

    async def answer(self, _: dict[str, Any]) -> AsyncIterator[str]:
        self.running += 1
        self.peak = max(self.peak, self.running)
        if self.running >= self._size:
            self._enough.set()
        await asyncio.wait_for(self._enough.wait(), 10)
        for _token in range(10):
            self.most_listeners = max(self.most_listeners, self._emulator.streams_open)
            yield "word "
        self.running -= 1


@pytest.mark.parametrize("method", ["batch", "abatch", "abatch_as_completed"])
async def test_a_batch_runs_up_to_max_concurrency_at_once(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: str
) -> None:
    meter = ConcurrencyMeter(replicate_emulator, 3)
    llm, questions, config = make_llm(), [f"Question {n}" for n in range(9)], {"max_concurrency": 3}
    if method == "abatch_as_completed":
        numbered = [each async for each in llm.abatch_as_completed(questions, config)]  # type: ignore[call-overload]  # a dict is a config
        assert sorted(number for number, _ in numbered) == list(range(9))
        messages = [message for _, message in numbered]
    else:
        messages = getattr(llm, method)(questions, config)
        messages = await messages if method == "abatch" else messages
    assert [message.content for message in messages] == ["word " * 10] * 9
    assert meter.peak == 3
    assert 1 <= meter.most_listeners <= 3


async def test_a_batch_can_return_its_errors(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = lambda values: (
        Reply(error="It broke.") if "bad" in values["prompt"] else Reply(["fine"])
    )
    good, bad = await make_llm().abatch(["good", "bad"], return_exceptions=True)
    assert good.content == "fine"
    assert isinstance(bad, core.PredictionFailedError)


@pytest.mark.parametrize("method", ["ainvoke", "astream", "invoke"])
async def test_a_call_waits_for_the_rate_limiter(make_llm: MakeLLM, method: str) -> None:
    limiter = InMemoryRateLimiter(requests_per_second=20, check_every_n_seconds=0.005)
    llm = make_llm(rate_limiter=limiter)
    started_at = time.monotonic()
    for _ in range(4):
        if method == "invoke":
            llm.invoke("Hi")
        else:
            await (llm.ainvoke("Hi") if method == "ainvoke" else stream_message(llm))
    assert time.monotonic() - started_at >= 3 / 20


# Caches


async def test_a_cached_answer_costs_no_request(
    replicate_emulator: Emulator, make_llm: MakeLLM, words: list[str]
) -> None:
    replicate_emulator.reply = words
    llm = make_llm(cache=InMemoryCache())
    await llm.ainvoke("Hi")
    request_count = len(replicate_emulator.requests)
    assert (await llm.ainvoke("Hi")).content == "".join(words)
    assert llm.invoke("Hi").content == "".join(words)
    assert len(replicate_emulator.requests) == request_count


@pytest.mark.parametrize("arguments", [{"temperature": 0.5}, {"model": OTHER}, {"stop": ["x"]}])
async def test_another_setting_is_another_cache_key(
    replicate_emulator: Emulator, make_llm: MakeLLM, arguments: dict[str, Any]
) -> None:
    replicate_emulator.add_model(OTHER, official=True)
    llm = make_llm(cache=InMemoryCache())
    for _ in range(2):
        await llm.ainvoke("Hi")
        await llm.ainvoke("Hi", **arguments)
    assert len(replicate_emulator.predictions) == 2


# Callbacks and events


class Recorder(BaseCallbackHandler):
    """Records tokens, metadata and errors."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.errors: list[BaseException] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.metadata = kwargs["metadata"]

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


class AsyncRecorder(AsyncCallbackHandler):
    """Records tokens in a coroutine."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


async def test_a_callback_receives_each_token_once(llm: ChatReplicate, words: list[str]) -> None:
    recorder, async_recorder = Recorder(), AsyncRecorder()
    async for _ in llm.astream("Hi", {"callbacks": [recorder, async_recorder]}):
        pass
    for _ in llm.stream("Hi", {"callbacks": [recorder]}):
        pass
    tokens = [word for word in words if word]
    assert [token for token in recorder.tokens if token] == tokens * 2
    assert [token for token in async_recorder.tokens if token] == tokens


async def test_a_callback_receives_the_error(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["Hello"], error="It broke.")
    recorder = Recorder()
    with pytest.raises(core.PredictionFailedError):
        await make_llm().ainvoke("Hi", {"callbacks": [recorder]})
    assert [type(error).__mro__.count(core.PredictionFailedError) for error in recorder.errors] == [
        1
    ]


async def test_a_trace_has_the_model_of_the_call(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(OTHER, official=True)
    recorder = Recorder()
    await llm.ainvoke("Hi", {"callbacks": [recorder]}, model=OTHER, max_tokens=20)
    params = {name: value for name, value in recorder.metadata.items() if name.startswith("ls_")}
    assert params["ls_model_name"] == OTHER
    assert params["ls_provider"] == "replicate"
    assert params["ls_max_tokens"] == 20
    assert replicate_emulator.token not in repr(recorder.metadata)


async def test_usage_is_counted_by_model_once_for_each_answer(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    counter = UsageMetadataCallbackHandler()
    message = await llm.ainvoke("Hi", {"callbacks": [counter]})
    total = await stream_message(llm, config={"callbacks": [counter]})
    assert message.usage_metadata == total.usage_metadata
    assert message.usage_metadata is not None
    model_usage = counter.usage_metadata[replicate_emulator.model]
    assert model_usage["output_tokens"] == 2 * message.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.filterwarnings("ignore:astream_events version='v1' is deprecated")
async def test_events_have_each_token_once(
    llm: ChatReplicate, words: list[str], version: Any
) -> None:
    received = [
        event["data"]["chunk"].content
        async for event in llm.astream_events("Hi", version=version)
        if event["event"] == "on_chat_model_stream"
    ]
    assert [text for text in received if text] == [word for word in words if word]


async def test_events_of_version_3_have_each_token_once(
    llm: ChatReplicate, words: list[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain warns that version 3 is a beta
        stream: Any = await llm.astream_events("Hi", version="v3")
        sync_stream: Any = llm.stream_events("Hi", version="v3")
    async with stream:
        received = [text async for text in stream.text]
    assert [text for text in received if text] == [word for word in words if word]
    assert [text for text in sync_stream.text if text] == [word for word in words if word]


# Runnables


async def test_with_retry_repeats_the_request(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.enqueue(Reply(error="It broke."))
    replicate_emulator.enqueue("fine")
    llm = make_llm().with_retry(
        retry_if_exception_type=(core.PredictionFailedError,),
        wait_exponential_jitter=False,
        stop_after_attempt=2,
    )
    assert (await llm.ainvoke("Hi")).content == "fine"
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_with_fallbacks_calls_another_model(
    make_llm: MakeLLM, replicate_emulator: Emulator, method: str
) -> None:
    replicate_emulator.reply = "fine"
    llm = make_llm(model="no/model").with_fallbacks([make_llm()])
    message: Any = await (llm.ainvoke("Hi") if method == "ainvoke" else stream_message(llm))
    assert message.content == "fine"


async def test_with_fallbacks_takes_over_when_the_service_is_down(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="create", status=500))
    llm = make_llm(max_retries=0).with_fallbacks(
        [make_llm()], exceptions_to_handle=(core.ResponseError,)
    )
    assert (await llm.ainvoke("Hi")).content
    assert len(replicate_emulator.predictions) == 1


async def test_with_fallbacks_passes_tools_and_schemas_to_every_model(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ToolUser(calls=[("Point", {"x": 1})])
    llm: Any = make_llm(model="no/model").with_fallbacks([make_llm()])
    (call,) = (await llm.bind_tools([Point]).ainvoke("Where?")).tool_calls
    assert call["args"] == {"x": 1}
    replicate_emulator.reply = '{"x": 2}'
    assert await llm.with_structured_output(Point).ainvoke("Where?") == Point(x=2)


def test_the_annotations_of_every_public_method_can_be_resolved() -> None:
    # `with_fallbacks` does so with each method that it passes on.
    methods = {name: each for name, each in vars(ChatReplicate).items() if callable(each)}
    for name in methods.keys() - {"__init__", "model_post_init"}:
        assert name.startswith("_") or get_type_hints(methods[name])
    assert {"bind_tools", "with_structured_output", "prepare"} <= methods.keys()


async def test_fields_can_be_configured_for_a_run(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(OTHER, official=True)
    flexible = llm.configurable_fields(
        model=ConfigurableField("which"), temperature=ConfigurableField("heat")
    )
    await flexible.ainvoke("Hi", {"configurable": {"which": OTHER, "heat": 0.125}})
    await flexible.ainvoke("Hi")
    first, second = replicate_emulator.predictions.values()
    assert (first.model, first.input["temperature"]) == (OTHER, 0.125)
    assert (second.model, second.input.get("temperature")) == (replicate_emulator.model, None)


# Copies and keys


def fake_key() -> str:
    return "r8_FAKE_TOKEN_FOR_TESTS"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, ChatReplicate.model_copy])
async def test_a_copy_has_its_own_settings(
    make_llm: MakeLLM, replicate_emulator: Emulator, copied: Callable[[Any], ChatReplicate]
) -> None:
    llm = make_llm(temperature=0.5)
    await llm.ainvoke("Hi")
    copied_llm = copied(llm)
    copied_llm.temperature = 0.25
    await copied_llm.ainvoke("Hi")
    await llm.ainvoke("Hi")
    assert [body["temperature"] for body in get_inputs(replicate_emulator)] == [0.5, 0.25, 0.5]


async def test_a_pickle_keeps_the_settings_and_a_function_for_the_key(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    llm = make_llm(api_key=fake_key, temperature=0.5, model_kwargs={"min_tokens": 1})
    copied_llm = pickle.loads(pickle.dumps(llm))
    await copied_llm.ainvoke("Hi")
    (body,) = get_inputs(replicate_emulator)
    assert (body["temperature"], body["min_tokens"]) == (0.5, 1)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_for_the_key_is_called_for_each_answer(
    make_llm: MakeLLM, replicate_emulator: Emulator, is_async: bool
) -> None:
    keys = iter(range(100))
    tokens: list[str] = []

    def key() -> str:
        tokens.append(f"r8_FAKE_TOKEN_{next(keys)}")
        return replicate_emulator.token

    async def async_key() -> str:
        return key()

    llm = make_llm(api_key=async_key if is_async else key)
    await llm.ainvoke("Hi")
    first = len(tokens)
    llm.invoke("Hi")
    assert 0 < first < len(tokens)
    assert len(replicate_emulator.predictions) == 2


def test_making_a_model_costs_no_request_and_loads_no_network_library(
    replicate_emulator: Emulator,
) -> None:
    code = (
        "import sys; from langchain_replicate_stream import ChatReplicate; "
        "llm = ChatReplicate(model='meta/meta-llama-3-70b-instruct'); llm.get_num_tokens('Hi'); "
        "print([name for name in ('aiohttp', 'transformers', 'tiktoken') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert replicate_emulator.requests == []


# Metadata of an answer


async def test_a_web_apps_model_can_hold_a_whole_answer(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["Hel", "lo"]
    class_of_answers = TypeAdapter(core.Completion)
    async with core.Client() as client:
        answer = await client.complete(replicate_emulator.model, "Hi")
    as_json = class_of_answers.dump_json(answer)
    assert class_of_answers.validate_json(as_json) == answer


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_an_answer_has_the_metadata_of_its_prediction(
    llm: ChatReplicate, replicate_emulator: Emulator, method: str
) -> None:
    message: Any = await (llm.ainvoke("Hi") if method == "ainvoke" else stream_message(llm))
    ((prediction_id, prediction),) = replicate_emulator.predictions.items()
    metadata = message.response_metadata
    assert metadata["model_name"] == replicate_emulator.model
    assert metadata["model_provider"] == "replicate"
    assert metadata["prediction_id"] == prediction_id
    assert metadata["finish_reason"] == "stop"
    assert metadata["status"] == "succeeded"
    assert metadata["created_at"] == prediction.created_at
    assert metadata["created_at"] <= metadata["started_at"] <= metadata["completed_at"]
    counts = message.usage_metadata
    assert metadata["metrics"]["output_token_count"] == counts["output_tokens"]
    assert metadata["metrics"]["input_token_count"] == counts["input_tokens"]
    assert metadata["metrics"]["predict_time"] >= 0


@pytest.mark.parametrize(
    ("settings", "reply", "reason"),
    [({"stop": ["STOP"]}, "one STOP two", "stop"), ({"max_tokens": 3}, "a b c d e f", "length")],
)
async def test_an_answer_has_its_finish_reason(
    make_llm: MakeLLM, replicate_emulator: Emulator, settings: Any, reply: str, reason: str
) -> None:
    replicate_emulator.reply = reply
    whole = await make_llm(**settings).ainvoke("Hi")
    total = await stream_message(make_llm(**settings))
    assert whole.response_metadata["finish_reason"] == reason
    assert total.response_metadata["finish_reason"] == reason


@pytest.mark.parametrize("in_the_call", [False, True])
async def test_a_stream_without_usage_requests_no_record(
    make_llm: MakeLLM, replicate_emulator: Emulator, in_the_call: bool
) -> None:
    llm = make_llm() if in_the_call else make_llm(stream_usage=False)
    total = await stream_message(llm, **({"stream_usage": False} if in_the_call else {}))
    assert total.content
    assert total.usage_metadata is None
    assert not [r for r in replicate_emulator.requests if r.path.startswith("/v1/predictions/")]


def is_over(emulator: Emulator) -> bool:
    return any(each.status == "succeeded" for each in emulator.predictions.values())


@pytest.mark.parametrize("in_the_call", [False, True])
@pytest.mark.parametrize("method", ["stream", "astream"])
async def test_a_slow_consumer_gets_larger_pieces_if_it_asks_for_them(
    make_llm: MakeLLM, replicate_emulator: Emulator, method: str, in_the_call: bool
) -> None:
    words = [f"word {number}\n" for number in range(300)]
    replicate_emulator.reply = words
    llm = make_llm(coalesce=not in_the_call)
    options: dict[str, Any] = {"coalesce": True} if in_the_call else {}
    pieces: list[str] = []
    if method == "stream":
        for chunk in llm.stream("Hi", **options):
            pieces.append(str(chunk.text))
            replicate_emulator.wait_for(is_over)
    else:
        async for chunk in llm.astream("Hi", **options):
            pieces.append(str(chunk.text))
            replicate_emulator.wait_for(is_over)
    assert "".join(pieces) == "".join(words)
    assert len(pieces) < 10


def test_larger_pieces_are_the_same_answer_for_a_cache(make_llm: MakeLLM) -> None:
    assert make_llm(coalesce=True)._get_llm_string() == make_llm()._get_llm_string()


async def test_a_streams_sum_counts_the_tokens_once(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    total = await stream_message(llm)
    (prediction,) = replicate_emulator.predictions.values()
    assert total.usage_metadata is not None
    generated = [token for token in prediction.tokens if token]
    assert total.usage_metadata["output_tokens"] == len(generated)


def test_a_misspelt_argument_is_an_error_with_the_closest_name() -> None:
    for name, closest in {
        "modle": "model",
        "max_token": "max_tokens",
        "baseurl": "base_url",
    }.items():
        arguments: dict[str, Any] = {"model": "a/b", name: "x"}
        with pytest.raises(ValueError, match=f"no argument '{name}'; did you mean '{closest}'"):
            ChatReplicate(**arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"model": ""}, "model"),
        ({"stop": 5}, "stop is of type int"),
        ({"tools": 5}, "tools is of type int"),
        ({"tools": ["weather"]}, "Unsupported function"),  # the framework's own words
        ({"model_kwargs": 5}, "model_kwargs is of type int"),
        ({"max_repairs": -1}, "max_repairs is -1"),
        ({"temperature": "hot"}, "temperature"),
    ],
    ids=str,
)
async def test_a_wrong_value_in_a_call_is_an_error_before_anything_is_paid(
    llm: ChatReplicate, replicate_emulator: Emulator, arguments: dict[str, Any], match: str
) -> None:
    with pytest.raises((core.InvalidInputError, TypeError, ValueError), match=match):
        await llm.ainvoke("Hi", **arguments)
    assert replicate_emulator.predictions == {}

"""The client against the emulator, without faults."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
import warnings
from pathlib import Path
from types import FrameType

import pytest

from replicate_stream import (
    Client,
    Finished,
    MissingAuthError,
    ReasoningDelta,
    StatusChanged,
    StreamEvent,
    TextDelta,
    Usage,
)
from replicate_stream.testing import Emulator, Fault, Reply

WORDS = ["Hello", ",", " wor", "ld", "\n\n", "How", " are", " you", "?", " \u2028é日本😀", "\n", ""]


async def collect_events(
    client: Client, emulator: Emulator, **request: object
) -> list[StreamEvent]:
    async with client.stream(emulator.model, "Hi", **request) as events:  # type: ignore[arg-type]  # any parameter
        return [event async for event in events]


def join_text(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_the_text_is_streamed_in_pieces_and_exact(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = WORDS
    events = await collect_events(client, replicate_emulator)
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    assert pieces == [word for word in WORDS if word]


async def test_a_stream_is_entered_once(replicate_emulator: Emulator) -> None:
    async with Client() as client:
        context = client.stream(replicate_emulator.model, "Hi")
        async with context as events:
            assert [event async for event in events]
            with pytest.raises(RuntimeError, match="entered once"):
                await context.__aenter__()
    assert len(replicate_emulator.predictions) == 1


async def test_the_last_event_has_the_finish_reason_and_the_usage(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(
        tokens=["a", "b"], metrics={"input_token_count": 5, "output_token_count": 2}
    )
    finished = (await collect_events(client, replicate_emulator))[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.usage) == ("stop", Usage(5, 2))
    assert finished.prediction.status == "succeeded"
    assert finished.prediction.id in replicate_emulator.predictions


async def test_the_finish_reason_of_an_answer_that_used_up_its_tokens_is_length(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(
        tokens=["a", "b"], metrics={"token_input_count": 5, "token_output_count": 2}
    )
    finished = (await collect_events(client, replicate_emulator, max_tokens=2))[-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "length"


async def test_an_answer_of_a_reasoning_model_without_any_tag_is_text(
    client: Client, replicate_emulator: Emulator
) -> None:
    model = "deepseek-ai/deepseek-r1"
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    replicate_emulator.add_model(model, schema, official=True)
    replicate_emulator.reply = ["Par", "is"]
    completion = await client.complete(model, "Hi")
    assert (completion.reasoning, completion.text) == ("", "Paris")
    async with client.stream(model, "Hi") as stream:
        events = [event async for event in stream]
    assert [event for event in events if isinstance(event, TextDelta | ReasoningDelta)] == [
        ReasoningDelta("Par"),
        ReasoningDelta("is"),
        TextDelta("Paris"),
    ]


async def test_reasoning_that_the_limit_cut_off_is_not_taken_for_text(
    client: Client, replicate_emulator: Emulator
) -> None:
    model = "deepseek-ai/deepseek-r1"
    schema = {
        "type": "object",
        "properties": {"prompt": {"type": "string"}, "max_tokens": {"type": "integer"}},
    }
    replicate_emulator.add_model(model, schema, official=True)
    replicate_emulator.reply = Reply(["I", " wonder"], metrics={"output_token_count": 2})
    completion = await client.complete(model, "Hi", max_tokens=2)
    assert (completion.reasoning, completion.text) == ("I wonder", "")
    assert completion.finish_reason == "length"


@pytest.mark.parametrize(("limit", "predictions"), [(2, 1), (9, 2)])
async def test_a_call_in_reasoning_without_an_end_is_asked_for_again_unless_it_was_cut_off(
    client: Client, replicate_emulator: Emulator, limit: int, predictions: int
) -> None:
    model = "deepseek-ai/deepseek-r1"
    bound = {"type": "integer", "default": limit}  # which no request has to send
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}, "max_tokens": bound}}
    replicate_emulator.add_model(model, schema, official=True)
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    replicate_emulator.reply = Reply(f"Well: {call}", metrics={"output_token_count": 2})
    completion = await client.complete(model, "Hi", tools=[{"name": "now"}])
    assert (completion.reasoning, completion.text) == (f"Well: {call}", "")
    assert completion.tool_calls == ()
    assert len(replicate_emulator.predictions) == predictions


async def test_an_empty_answer_is_not_an_error(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = [""]
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert (completion.text, completion.finish_reason) == ("", "stop")


async def test_three_requests_precede_the_first_token_and_two_once_the_model_is_known(
    client: Client, replicate_emulator: Emulator
) -> None:
    methods = []
    for _ in range(2):
        before = len(replicate_emulator.requests)
        async with client.stream(replicate_emulator.model, "Hi") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    methods.append([r.method for r in replicate_emulator.requests[before:]])
                    break
    assert methods == [["GET", "POST", "GET"], ["POST", "GET"]]


async def test_the_body_has_the_input_and_nothing_else(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.complete(replicate_emulator.model, "Hi", max_tokens=7)
    (create,) = [r for r in replicate_emulator.requests if r.method == "POST"]
    assert set(create.json) == {"input"}
    assert create.json["input"]["prompt"].count("Hi") == 1


async def test_usage_takes_one_request_after_the_text_unless_it_is_switched_off(
    client: Client, replicate_emulator: Emulator
) -> None:
    completion = await client.complete(replicate_emulator.model, "Hi", include_usage=False)
    assert completion.usage is None
    fetched = [r for r in replicate_emulator.requests if "/predictions/" in r.path]
    assert [r for r in fetched if r.method == "GET"] == []
    assert completion.prediction.status == "succeeded"


async def test_a_record_that_lags_behind_is_fetched_again(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.enqueue(Reply(tokens=["a"], metrics={"input_token_count": 1}))
    replicate_emulator.behaviour.finish_lag = 2
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert completion.usage is not None
    assert completion.usage.input_tokens == 1


async def test_an_answer_does_not_fail_if_its_record_cannot_be_fetched(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["all", " of it"]
    replicate_emulator.fault(Fault(on="get", status=500, body="<html>no</html>"), times=50)
    completion = await client.complete(replicate_emulator.model, "Hi")
    assert (completion.text, completion.usage) == ("all of it", None)


async def test_each_change_of_the_status_is_one_event(
    client: Client, replicate_emulator: Emulator
) -> None:
    events = await collect_events(client, replicate_emulator)
    statuses = [event.status for event in events if isinstance(event, StatusChanged)]
    assert statuses == ["starting", "processing"]
    assert isinstance(events[0], StatusChanged)


async def test_the_connection_is_closed_at_once_and_not_when_the_server_closes_it(
    client: Client, replicate_emulator: Emulator
) -> None:
    async with client.stream(replicate_emulator.model, "Hi") as events:
        async for _ in events:
            pass
        await replicate_emulator.wait_for_async(lambda e: e.streams_open == 0, timeout=5)
    assert replicate_emulator.cancels == []


async def test_the_token_is_sent_to_the_api_and_never_to_the_stream(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.complete(replicate_emulator.model, "Hi")
    api = [r for r in replicate_emulator.requests if r.server == "api"]
    stream = [r for r in replicate_emulator.requests if r.server == "stream"]
    assert all(r.headers["authorization"] == f"Bearer {replicate_emulator.token}" for r in api)
    assert stream
    assert all("authorization" not in r.headers for r in stream)
    assert stream[0].headers["accept"] == "text/event-stream"
    assert stream[0].headers["cache-control"] == "no-store"


async def test_further_headers_are_sent_to_the_api_and_not_changed(
    make_client: type[Client], replicate_emulator: Emulator
) -> None:
    headers = {"x-team": "blue", "accept": "application/json"}
    client = make_client(headers=headers)
    await client.complete(replicate_emulator.model, "Hi")
    for request in replicate_emulator.requests:
        assert request.headers.get("x-team") == ("blue" if request.server == "api" else None)
    assert headers == {"x-team": "blue", "accept": "application/json"}


async def test_connections_to_the_api_are_reused(
    client: Client, replicate_emulator: Emulator
) -> None:
    for _ in range(3):
        await client.complete(replicate_emulator.model, "Hi")
    used = {r.connection for r in replicate_emulator.requests if r.server == "api"}
    assert len(used) == 1


async def test_a_dry_run_returns_the_request_and_creates_nothing(
    client: Client, replicate_emulator: Emulator
) -> None:
    prepared = await client.prepare(replicate_emulator.model, "Hi", max_tokens=9)
    assert prepared.url == (
        f"{replicate_emulator.base_url}/models/{replicate_emulator.model}/predictions"
    )
    assert prepared.body["input"]["prompt"].count("Hi") == 1
    assert not replicate_emulator.predictions
    assert "Hi" not in repr(prepared)


async def test_every_kind_of_model_reference_is_run(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("someone/community", version="c" * 64)
    replicate_emulator.add_deployment("team/deployed", model="someone/community")
    for model in (
        replicate_emulator.model,
        "someone/community",
        f"someone/community:{'c' * 64}",
        "c" * 64,
        "deployments/team/deployed",
    ):
        replicate_emulator.enqueue(["fine"])
        assert (await client.complete(model, "Hi")).text == "fine"
    bodies = [r.json for r in replicate_emulator.requests if r.method == "POST"]
    assert [set(body) for body in bodies] == [
        {"input"},
        {"input", "version"},
        {"input", "version"},
        {"input", "version"},
        {"input"},
    ]


async def test_a_community_models_version_is_looked_up_once(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("someone/community", version="c" * 64)
    for _ in range(3):
        await client.complete("someone/community", "Hi")
    looked_up = [r for r in replicate_emulator.requests if r.path == "/v1/models/someone/community"]
    assert len(looked_up) == 1


async def test_concurrent_requests_for_one_model_share_its_look_up(
    client: Client, replicate_emulator: Emulator
) -> None:
    await asyncio.gather(*[client.complete(replicate_emulator.model, "Hi") for _ in range(20)])
    look_ups = [r for r in replicate_emulator.requests if r.path.startswith("/v1/models/")]
    assert len([r for r in look_ups if r.method == "GET"]) == 1
    assert len(replicate_emulator.predictions) == 20


async def test_a_missing_token_is_an_error_before_anything_is_sent(
    replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    async with Client(base_url=replicate_emulator.base_url) as client:
        with pytest.raises(MissingAuthError):
            await client.complete(replicate_emulator.model, "Hi")
    assert replicate_emulator.requests == []


def test_one_client_works_in_one_loop_after_another_without_a_warning(
    replicate_emulator: Emulator,
) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)

    async def ask() -> str:
        return (await client.complete(replicate_emulator.model, "Hi")).text

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = {asyncio.run(ask()) for _ in range(3)}
        gc.collect()
    assert len(answers) == 1
    assert "" not in answers


def test_a_loop_closed_with_open_connections_does_not_break_the_next(
    replicate_emulator: Emulator,
) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    texts = []
    for _ in range(2):
        loop = asyncio.new_event_loop()
        completing = client.complete(replicate_emulator.model, "Hi")
        texts.append(loop.run_until_complete(completing).text)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert len(texts) == 2
    assert all(texts)


async def test_a_client_can_be_pickled_and_copied(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.complete(replicate_emulator.model, "Hi")
    for twin in (copy.copy(client), copy.deepcopy(client)):
        assert (await twin.complete(replicate_emulator.model, "Hi")).text
        await twin.aclose()
    frozen = pickle.dumps(client)
    assert replicate_emulator.token.encode() not in frozen
    twin = pickle.loads(frozen)
    assert twin._settings.base_url == client._settings.base_url


async def test_the_parameters_reach_the_model_under_its_own_names(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(
        "some/model",
        {
            "type": "object",
            "properties": {
                "prompt": {"type": "string", "x-order": 0},
                "max_new_tokens": {"type": "integer", "minimum": 1, "x-order": 1},
                "temperature": {"type": "number", "minimum": 0, "maximum": 5, "x-order": 2},
            },
            "required": ["prompt"],
        },
        official=True,
    )
    await client.complete("some/model", "Hi", max_tokens=5, temperature=0.5)
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input == {"prompt": "Hi", "max_new_tokens": 5, "temperature": 0.5}


async def test_a_models_profile_is_derived_once_for_a_schema(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.complete(replicate_emulator.model, "Hi")
    model = await client._models.look_up(replicate_emulator.model)
    profile = client._get_profile(model)
    assert client._get_profile(model) is profile
    client._models.forget(model)
    looked_up_again = await client._models.look_up(replicate_emulator.model)
    assert client._get_profile(looked_up_again) is not profile


async def test_a_plain_question_runs_no_code_of_tools_and_formats(
    client: Client, replicate_emulator: Emulator
) -> None:
    await client.complete(replicate_emulator.model, "Hi")
    entered: set[str] = set()

    def record(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            entered.add(Path(frame.f_code.co_filename).stem)

    sys.setprofile(record)
    try:
        await client.complete(replicate_emulator.model, "Hi")
    finally:
        sys.setprofile(None)
    assert "prepare" in entered
    of_tools = ("tool_", "json_", "response_format", "check", "call_")
    assert [name for name in entered if name.startswith(of_tools)] == []

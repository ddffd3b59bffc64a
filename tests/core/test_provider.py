"""The provider class: its attributes, its arguments, and both ways of calling it."""

from __future__ import annotations

import inspect

import pytest

from replicate_stream import (
    MissingAuthError,
    ModelNotFoundError,
    PredictionReport,
    Replicate,
    ResponseError,
)
from replicate_stream.testing import Emulator, Fault

MESSAGES = [{"role": "user", "content": "Hi"}]


async def test_the_result_can_be_iterated_directly(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["Hello", "", " you\n"]
    texts = [
        text
        async for text in Replicate.create_async_generator(
            replicate_emulator.model,
            MESSAGES,
            api_key=replicate_emulator.token,
            base_url=replicate_emulator.base_url,
        )
    ]
    assert texts == ["Hello", " you\n"]


async def test_the_result_can_be_awaited_first(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["Hello", " you"]
    generator = await Replicate.create_async_generator(
        replicate_emulator.model,
        MESSAGES,
        api_key=replicate_emulator.token,
        base_url=replicate_emulator.base_url,
    )
    assert [text async for text in generator] == ["Hello", " you"]


async def test_anext_returns_a_single_piece_of_text(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["Hello", " you"]
    generator = Replicate.create_async_generator(
        "", "Hi", api_key=replicate_emulator.token, base_url=replicate_emulator.base_url
    )
    assert await anext(generator) == "Hello"
    await generator.aclose()
    await replicate_emulator.wait_for_async(lambda e: len(e.cancels) == 1)


def test_the_class_attributes() -> None:
    assert Replicate.url == "https://replicate.com"
    assert Replicate.login_url == "https://replicate.com/account/api-tokens"
    assert Replicate.working is True
    assert Replicate.needs_auth is True
    assert Replicate.default_model == "meta/meta-llama-3-70b-instruct"
    assert Replicate.default_model in Replicate.models


def test_the_default_model_replaces_an_empty_name() -> None:
    assert Replicate.get_model("") == Replicate.default_model
    assert Replicate.get_model(None) == Replicate.default_model
    assert Replicate.get_model("a/b") == "a/b"


async def test_a_missing_key_is_an_error(
    replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    generator = Replicate.create_async_generator(
        "a/b", MESSAGES, base_url=replicate_emulator.base_url
    )
    with pytest.raises(MissingAuthError):
        await anext(generator)


async def test_the_key_comes_from_the_environment(
    replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", replicate_emulator.token)
    monkeypatch.setenv("REPLICATE_BASE_URL", replicate_emulator.base_url)
    texts = [text async for text in Replicate.create_async_generator(None, MESSAGES)]
    assert texts
    (create,) = [r for r in replicate_emulator.requests if r.method == "POST"]
    assert create.path == f"/v1/models/{Replicate.default_model}/predictions"


async def test_a_model_that_is_not_there_says_so(replicate_emulator: Emulator) -> None:
    generator = Replicate.create_async_generator(
        "no/model",
        MESSAGES,
        api_key=replicate_emulator.token,
        base_url=replicate_emulator.base_url,
    )
    with pytest.raises(ModelNotFoundError, match="Model not found") as caught:
        await anext(generator)
    assert isinstance(caught.value, ResponseError)


async def test_a_reply_without_an_id_is_an_invalid_response(replicate_emulator: Emulator) -> None:
    replicate_emulator.fault(Fault(on="create", status=201, body={"detail": "odd"}))
    generator = Replicate.create_async_generator(
        "", MESSAGES, api_key=replicate_emulator.token, base_url=replicate_emulator.base_url
    )
    with pytest.raises(ResponseError, match="invalid response"):
        await anext(generator)


async def test_the_parameters_and_the_extra_data_reach_the_model(
    replicate_emulator: Emulator,
) -> None:
    extra = {"min_tokens": 1}
    headers = {"accept": "application/json", "x-team": "blue"}
    generator = Replicate.create_async_generator(
        "",
        MESSAGES,
        api_key=replicate_emulator.token,
        system_prompt="Be brief.",
        max_tokens=20,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=["STOP"],
        extra_data=extra,
        headers=headers,
        base_url=replicate_emulator.base_url,
        seed=None,
    )
    assert [text async for text in generator]
    (prediction,) = replicate_emulator.predictions.values()
    sent = prediction.input
    assert {"max_tokens": 20, "temperature": 0.5, "top_p": 0.9, "top_k": 40}.items() <= sent.items()
    assert sent["min_tokens"] == 1
    assert "STOP" in sent["stop_sequences"]
    assert "Be brief." in str(sent)
    api = [r for r in replicate_emulator.requests if r.server == "api"]
    assert {r.headers["x-team"] for r in api} == {"blue"}
    assert {r.headers["accept"] for r in api} == {"application/json"}
    assert headers == {"accept": "application/json", "x-team": "blue"}
    assert extra == {"min_tokens": 1}


async def test_without_a_key_where_none_is_needed_none_is_sent() -> None:
    async with Emulator(token="") as emulator:
        generator = Replicate.create_async_generator(
            emulator.model, MESSAGES, base_url=emulator.base_url, requires_auth=False
        )
        assert [text async for text in generator]
        assert all("authorization" not in r.headers for r in emulator.requests)


def test_the_default_arguments_are_read_only() -> None:
    parameters = inspect.signature(Replicate.create_async_generator).parameters
    for name in ("extra_data", "headers"):
        with pytest.raises(TypeError):
            parameters[name].default["x"] = "y"
    assert dict(parameters["headers"].default) == {"accept": "application/json"}


async def test_further_arguments_of_the_client_are_its_own(replicate_emulator: Emulator) -> None:
    reports: list[PredictionReport] = []
    texts = Replicate.create_async_generator(
        replicate_emulator.model,
        MESSAGES,
        api_key=replicate_emulator.token,
        base_url=replicate_emulator.base_url,
        dialect="replicate",
        deadline=60,
        max_retries=0,
        on_unsupported="ignore",
        prices={replicate_emulator.model: {"input": 1.0, "output": 1.0}},
        on_prediction=reports.append,
    )
    assert [text async for text in texts]
    assert len(reports) == 1


def test_an_unknown_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="temprature"):
        Replicate.create_async_generator("", MESSAGES, api_key="r8_FAKE", temprature=1)

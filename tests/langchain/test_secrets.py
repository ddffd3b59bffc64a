"""The token's sources, secrets in serialized forms, cache keys and traces."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableSequence
from pydantic import SecretStr, ValidationError

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator


def test_a_validation_error_does_not_show_the_token() -> None:
    with pytest.raises(ValidationError) as caught:
        ChatReplicate(model="a/b", api_key="r8_FAKE_TOKEN", bogus=1)  # type: ignore[call-overload]  # the point
    assert "r8_FAKE_TOKEN" not in str(caught.value)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_token_as_an_argument_of_a_call_reaches_no_handler(way: str) -> None:
    class Handler(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *_: Any, **arguments: Any) -> None:
            seen.append(arguments)

    seen: list[Any] = []
    llm = ChatReplicate(model="a/b", api_key="r8_FAKE_TOKEN").bind(api_key="r8_FAKE_OTHER")
    with pytest.raises(TypeError, match="has no argument 'api_key'"):
        answer = getattr(llm, way)("Hi", {"callbacks": [Handler()]})
        if way == "stream":
            list(answer)
        elif way == "astream":
            [chunk async for chunk in answer]
        else:
            await answer
    assert seen == []


@pytest.mark.parametrize("name", ["api_key", "replicate_api_token"])
def test_the_token_is_a_secret_under_either_name(name: str) -> None:
    arguments: dict[str, Any] = {"model": "a/b", name: "r8_FAKE_TOKEN"}
    llm = ChatReplicate(**arguments)
    assert isinstance(llm.api_key, SecretStr)
    shown = repr(llm) + str(llm) + str(llm.model_dump()) + json.dumps(llm.to_json(), default=str)
    assert "r8_FAKE_TOKEN" not in shown
    assert "r8_FAKE_TOKEN" not in str(llm._identifying_params) + llm._get_llm_string()


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_FAKE_TOKEN")
    llm = ChatReplicate(model="a/b")
    assert isinstance(llm.api_key, SecretStr)
    assert llm.api_key.get_secret_value() == "r8_FAKE_TOKEN"


async def test_the_token_can_come_from_a_function(replicate_emulator: Emulator) -> None:
    llm = ChatReplicate(
        model=replicate_emulator.model,
        api_key=lambda: replicate_emulator.token,
        base_url=replicate_emulator.base_url,
    )
    assert (await llm.ainvoke("Hi")).content


async def test_copies_keep_the_token_and_pickles_do_not(
    llm: ChatReplicate,
    replicate_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    await llm.ainvoke("Hi")
    assert (await copy.deepcopy(llm).ainvoke("Hi")).content == "".join(words)
    assert (await llm.model_copy(update={"temperature": 0.1}).ainvoke("Hi")).content == "".join(
        words
    )
    frozen = pickle.dumps(llm)
    assert replicate_emulator.token.encode() not in frozen
    monkeypatch.setenv("REPLICATE_API_TOKEN", replicate_emulator.token)
    assert (await pickle.loads(frozen).ainvoke("Hi")).content == "".join(words)


def test_no_serialized_form_has_a_secret_of_the_connection() -> None:
    llm = ChatReplicate(
        model="a/b",
        api_key="r8_FAKE",
        proxy="http://user:FAKE_PASSWORD@proxy.example:8080",
        default_headers={
            "Authorization": "Bearer FAKE_BEARER",
            "X-Gateway-Key": "FAKE_KEY",
            "x-team": "blue",
        },
        base_url="http://user:FAKE_PASSWORD@replicate.example/v1",
        model_kwargs={"top_k": 5, "hf_token": "FAKE_INPUT"},
    )
    assert "FAKE" not in dumps(llm) + str(llm._serialized)
    frozen = pickle.dumps(llm)
    assert b"FAKE" not in frozen
    assert "FAKE" not in repr(llm) + str(llm)
    assert "FAKE_INPUT" not in str(llm.model_dump()) + str(llm._identifying_params)
    assert llm.model_kwargs == {"top_k": 5, "hf_token": "FAKE_INPUT"}
    restored = pickle.loads(frozen)
    assert restored.model_kwargs == {"top_k": 5}
    assert restored.proxy == "http://proxy.example:8080"
    assert restored.default_headers == {"x-team": "blue"}
    assert restored.base_url == "http://replicate.example/v1"


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
async def test_loads_restores_a_chain_where_it_is_allowed_with_the_readers_token(
    llm: ChatReplicate, replicate_emulator: Emulator, words: list[str]
) -> None:
    llm.temperature, llm.model_kwargs = 0.5, {"min_tokens": 1}
    written = dumps(llm | StrOutputParser())
    assert replicate_emulator.token not in written
    arguments: dict[str, Any] = {
        "allowed_objects": [ChatReplicate, RunnableSequence, StrOutputParser],
        "valid_namespaces": ["langchain_replicate_stream"],
    }
    chain = loads(
        written, secrets_map={"REPLICATE_API_TOKEN": replicate_emulator.token}, **arguments
    )
    restored = chain.first
    assert isinstance(restored, ChatReplicate)
    assert restored._identifying_params == llm._identifying_params
    assert await chain.ainvoke("Hi") == "".join(words)
    with pytest.raises(ValueError, match="ChatReplicate"):
        loads(written, allowed_objects=[RunnableSequence, StrOutputParser])
    function = ChatReplicate(model="a/b", api_key=lambda: "r8_FAKE")
    assert "r8_FAKE" not in dumps(function)


async def test_a_subclass_need_not_be_serializable(replicate_emulator: Emulator) -> None:
    class Own(ChatReplicate):
        @classmethod
        def is_lc_serializable(cls) -> bool:
            return False

    llm = Own(model=replicate_emulator.model, system_prompt="FAKE", model_kwargs={"top_k": 5})
    assert (await llm.ainvoke("Hi")).text
    assert "FAKE" not in str(llm._serialized) + dumps(llm)


def test_a_changed_setting_changes_the_cache_key() -> None:
    llm = ChatReplicate(model="a/b", api_key="r8_FAKE")
    before, _ = llm._get_llm_string(), llm._serialized
    llm.temperature = 0.5
    assert llm._get_llm_string() != before


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
        {"max_repairs": 0},
        {"output_version": "v1"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_the_cache_key_has_every_setting_that_changes_the_answer(setting: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"model": "a/b", "api_key": "r8_FAKE"}
    llm = ChatReplicate(**{**plain, **setting})
    assert llm._get_llm_string() != ChatReplicate(**plain)._get_llm_string()
    assert llm._get_llm_string() == ChatReplicate(**{**plain, **setting})._get_llm_string()


@pytest.mark.parametrize(
    "inputs", [{"hf_token": "FAKE_INPUT"}, {"auth": [{"token": "FAKE_INPUT"}]}]
)
def test_a_secret_input_changes_the_cache_key_and_is_in_no_trace(inputs: dict[str, Any]) -> None:
    plain = ChatReplicate(model="a/b", api_key="r8_FAKE")
    llm = ChatReplicate(model="a/b", api_key="r8_FAKE", model_kwargs=inputs)
    for name in ("model_kwargs", "extra_input"):
        call: dict[str, Any] = {name: inputs}
        assert "INPUT" not in str(llm._get_invocation_params(**call))
        assert plain._get_llm_string(**call) != plain._get_llm_string()
    # Whoever has given it: the object, or the call.
    assert plain._get_llm_string(model_kwargs=inputs) == llm._get_llm_string(extra_input={})
    assert inputs == llm.model_kwargs


async def test_the_cache_key_does_not_depend_on_what_is_known_of_the_model(
    replicate_emulator: Emulator,
) -> None:
    secret = {"type": "string", "format": "password"}
    properties = {"prompt": {"type": "string"}, "handle": secret}
    replicate_emulator.add_model("acme/vault", {"properties": properties}, official=True)
    cache = InMemoryCache()
    for handle in ("FAKE_ONE", "FAKE_ONE", "FAKE_TWO"):
        llm = ChatReplicate(model="acme/vault", model_kwargs={"handle": handle}, cache=cache)
        for _ in range(2):
            await llm.ainvoke("Hi")
        assert "FAKE" not in str(llm._identifying_params) + dumps(
            llm.model_copy(update={"cache": None})
        )
    assert len(replicate_emulator.predictions) == 2
    assert "FAKE" not in str(cache._cache.keys())


def test_a_traces_parameters_are_those_of_the_call() -> None:
    llm = ChatReplicate(model="a/b", api_key="r8_FAKE", temperature=0.5, stop="x")
    assert llm._get_ls_params() == {
        "ls_provider": "replicate",
        "ls_model_name": "a/b",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_stop": ["x"],
    }
    params = llm._get_ls_params(model="c/d", max_tokens=3, stop_sequences=["y"])
    assert (params["ls_model_name"], params["ls_max_tokens"], params["ls_stop"]) == (
        "c/d",
        3,
        ["y"],
    )
    assert "ls_stop" not in llm._get_ls_params(stop=[])
    assert llm.metadata is not None
    assert llm.metadata["lc_versions"]["replicate-stream"] == core.__version__

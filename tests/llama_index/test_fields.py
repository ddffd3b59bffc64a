"""Fields of a model object: their table, its metadata, its client, and its serialization."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import LLM, CustomLLM
from llama_index.core.prompts import PromptTemplate
from pydantic import SecretStr, ValidationError

import replicate_stream as core
from llama_index_replicate_stream import Replicate, ReplicateEmbedding
from llama_index_replicate_stream._signatures import Settings
from replicate_stream import Client
from replicate_stream.adapters import PARAMETERS, Connection, Parameter
from replicate_stream.testing import Emulator

SCHEMA = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "max_tokens": {"type": "integer", "default": 700, "maximum": 2000},
    },
}

# `include_usage` belongs to a call alone: the framework's token counter needs the counts.
SETTINGS = [each for each in PARAMETERS if each.is_setting and each.name != "include_usage"]
OTHER_NAMES = {"extra_input": "additional_kwargs"}  # LlamaIndex's
CONNECTION = {"headers": "default_headers"}  # fields for `Client`, under LlamaIndex's names
OWN_FIELDS = {"model", "image", "context_window", "is_chat_model", "is_function_calling_model"}


@pytest.mark.parametrize("parameter", SETTINGS, ids=lambda each: each.name)
def test_a_setting_is_a_field_of_the_same_type_and_default(parameter: Parameter) -> None:
    field = Replicate.model_fields[OTHER_NAMES.get(parameter.name, parameter.name)]
    default = field.get_default(call_default_factory=True)
    # Extra inputs are an empty dict, so that `llm.additional_kwargs["n"] = 1` works.
    assert default == ({} if parameter.name == "extra_input" else parameter.default)
    optional = parameter.type | None
    assert field.annotation == (optional if default is None else parameter.type)


def test_every_other_field_belongs_to_the_connection_or_to_llama_index() -> None:
    settings = {OTHER_NAMES.get(each.name, each.name) for each in SETTINGS}
    connection = {CONNECTION.get(each.name, each.name) for each in fields(Connection)}
    framework = set(CustomLLM.model_fields) - {"system_prompt"}  # LlamaIndex has one too
    own = set(Replicate.model_fields) - framework
    assert own == settings | connection - {"api_key"} | OWN_FIELDS


def test_type_checkers_know_every_argument() -> None:
    fields = set(Replicate.model_fields)
    assert {*Settings.__annotations__, "model"} == fields
    assert inspect.signature(Replicate).parameters.keys() == fields | {"api_key", "client"}


def test_the_signature_is_whole_before_any_object_was_made() -> None:
    class Own(Replicate):
        own: int = 1

    parameters = inspect.signature(Own).parameters
    assert parameters["model"].default is inspect.Parameter.empty
    assert parameters.keys() >= {"api_key", "client", "stop", "temperature", "own"}
    assert inspect.Parameter.VAR_KEYWORD not in {each.kind for each in parameters.values()}


@pytest.mark.parametrize("cls", [Replicate, ReplicateEmbedding])
def test_a_class_has_a_json_schema_with_every_field_that_is_data(cls: Any) -> None:
    properties = cls.model_json_schema()["properties"].keys()
    assert properties - {"class_name"} == cls.model_fields.keys() - {"on_prediction"}


@pytest.mark.parametrize("cls", [Replicate, ReplicateEmbedding])
def test_the_docstring_of_a_class_names_its_own_fields(cls: Any) -> None:
    own = (
        cls.model_fields.keys() - CustomLLM.model_fields.keys() - BaseEmbedding.model_fields.keys()
    )
    named = re.findall(r"`(\w+)`|^ +(\w+): ", cls.__doc__, re.MULTILINE)
    assert own <= {name for pair in named for name in pair}


@pytest.mark.parametrize("cls", [Replicate, ReplicateEmbedding])
def test_no_inputs_may_be_given_as_none(cls: Any) -> None:
    assert cls("acme/oracle", additional_kwargs=None).additional_kwargs == {}


def test_an_error_of_the_constructor_names_the_class() -> None:
    with pytest.raises(TypeError, match=r"Replicate\.__init__\(\) missing .*'model'"):
        Replicate()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_field_of_the_connection_has_the_default_of_the_client() -> None:
    for each in fields(Connection):
        if each.name != "api_key":  # a private attribute
            field = Replicate.model_fields[CONNECTION.get(each.name, each.name)]
            assert field.default == each.default, each.name


def test_a_well_known_models_window_is_known_by_its_name() -> None:
    llm = Replicate("meta/meta-llama-3-70b-instruct")
    assert llm.metadata.context_window == 8192
    assert llm.metadata.model_name == "meta/meta-llama-3-70b-instruct"


def test_reading_a_context_window_that_is_a_guess_warns() -> None:
    for model in ("acme/oracle", "a" * 64, "deployments/acme/oracle"):
        metadata = Replicate(model).metadata
        assert not metadata.is_context_window_known
        with pytest.warns(UserWarning, match=f"window of {model} is not known.*3900") as caught:
            assert metadata.context_window == 3900
        assert caught[0].filename == __file__


def test_the_warning_of_a_guess_comes_once_for_a_model_where_something_plans_with_it() -> None:
    llm = Replicate("acme/oracle")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            PromptHelper.from_llm_metadata(llm.metadata)
        PromptHelper.from_llm_metadata(llm.metadata)  # in another line
        PromptHelper.from_llm_metadata(Replicate("acme/seer").metadata)
    assert [each.category for each in caught] == [UserWarning] * 2
    assert ["seer" in str(each.message) for each in caught] == [False, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert llm.metadata.is_function_calling_model  # which plans nothing
        llm.metadata.model_dump()
        assert Replicate("acme/oracle", context_window=3900).metadata.context_window == 3900


async def test_the_room_for_an_answer_is_the_same_before_and_after_the_first_call(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("acme/oracle", SCHEMA, official=True)
    for settings, room in (({}, 256), ({"max_tokens": 300}, 300)):
        llm = make_llm(model="acme/oracle", **settings)
        assert llm.metadata.num_output == room
        await llm.acomplete("Hi")
        assert llm._get_client().capabilities("acme/oracle").default_output == 700
        assert llm.metadata.num_output == room


def test_what_the_user_says_wins() -> None:
    llm = Replicate("meta/meta-llama-3-70b-instruct", context_window=1000, max_tokens=50)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (1000, 50)


@pytest.mark.parametrize("window", [None, 512])
def test_there_is_always_room_for_a_prompt(window: int | None) -> None:
    llm = Replicate("acme/oracle", context_window=window, max_tokens=100_000)
    assert llm.metadata.num_output == llm.metadata.context_window // 2
    helper = PromptHelper.from_llm_metadata(llm.metadata)
    (text,) = helper.repack(PromptTemplate("{context_str}: {query}"), ["one", "two"], llm=llm)
    assert text.split() == ["one", "two"]


def test_the_kind_of_model_is_a_setting() -> None:
    sent = Replicate("a/b").metadata
    assert (sent.is_chat_model, sent.is_function_calling_model) == (True, True)
    sent = Replicate("a/b", is_chat_model=False, is_function_calling_model=False).metadata
    assert (sent.is_chat_model, sent.is_function_calling_model) == (False, False)


def test_traces_hold_the_model_and_its_temperature() -> None:
    sent = Replicate("a/b", temperature=0.5, max_tokens=9, system_prompt="FAKE_PROMPT").to_payload()
    assert (sent["class_name"], sent["model"]) == ("replicate_stream_llm", "a/b")
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 9)
    assert "FAKE_PROMPT" not in str(sent)


def test_an_unknown_argument_is_an_error_that_names_the_closest(llm: Replicate) -> None:
    make: Any = Replicate
    with pytest.raises(TypeError, match="'temprature'; did you mean 'temperature'"):
        make(model="a/b", temprature=1)
    with pytest.raises(TypeError, match="'api_token'; did you mean 'api_key'"):
        make(model="a/b", api_token="x")
    with pytest.raises(TypeError, match="if it is an input of the model, use additional_kwargs="):
        llm.complete("Hi", documents=[])
    with pytest.raises(TypeError, match="'max_token'; did you mean 'max_tokens'"):
        llm.complete("Hi", max_token=1)
    with pytest.raises(TypeError, match=r"'zzz'; .* known are additional_kwargs, .*temperature"):
        llm.complete("Hi", zzz=1)


def test_a_setting_of_the_connection_is_no_argument_of_a_call(llm: Replicate) -> None:
    make: Any = Replicate
    with pytest.raises(TypeError, match="'api_base': use base_url"):
        make("a/b", api_base="http://127.0.0.1:9")
    names = {name: name for name in ("timeout", "deadline", "proxy", "default_headers")}
    for name, field in {**names, "headers": "default_headers"}.items():
        with pytest.raises(TypeError, match=rf"'{name}': .*model_copy\(update={{'{field}': …}}\)"):
            arguments: Any = {name: None}
            llm.complete("Hi", **arguments)


async def test_a_copy_has_settings_of_its_own(
    llm: Replicate, words: list[str], replicate_emulator: Emulator
) -> None:
    await llm.acomplete("Hi")
    copied = llm.model_copy(update={"default_headers": {"x-team": "one"}, "deadline": 30.0})
    for each in (copied, llm):
        assert (await each.acomplete("Hi")).text == "".join(words)
    posts = [r.headers for r in replicate_emulator.requests if r.method == "POST"]
    assert ["x-team" in headers for headers in posts] == [False, True, False]
    assert ["cancel-after" in headers for headers in posts] == [False, True, False]


def test_an_object_that_has_not_asked_yet_stores_no_input_that_a_schema_marks_as_secret(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator
) -> None:
    door = {"type": "string", "x-cog-secret": True}
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}, "door": door}}
    replicate_emulator.add_model("acme/vault", schema, official=True)
    settings: Any = {"model": "acme/vault", "additional_kwargs": {"door": "sesame"}}
    make_llm(**settings).complete("Hi")
    assert "sesame" not in str(make_llm(**settings).to_dict())
    assert b"sesame" not in pickle.dumps(make_llm(**settings))


def test_it_is_what_llama_index_expects() -> None:
    llm = Replicate("a/b", context_window=1000, max_tokens=50)
    assert isinstance(llm, CustomLLM)
    assert isinstance(llm, LLM)
    assert llm.class_name() == "replicate_stream_llm"
    assert (llm.metadata.context_window, llm.metadata.num_output) == (1000, 50)
    assert (llm.metadata.model_name, llm.metadata.is_chat_model) == ("a/b", True)


@pytest.mark.parametrize("wrap", [str, SecretStr, lambda token: lambda: token])
async def test_the_token_may_be_a_text_a_secret_or_a_function(
    make_llm: Any, replicate_emulator: Emulator, wrap: Callable[[str], Any]
) -> None:
    replicate_emulator.reply = ["ok"]
    llm = make_llm(api_key=wrap(replicate_emulator.token))
    assert (await llm.acomplete("Hi")).text == "ok"


async def test_a_setting_that_is_changed_counts_from_the_next_call(make_llm: Any) -> None:
    llm = make_llm(base_url="http://127.0.0.1:9", max_retries=0)
    with pytest.raises(core.ReplicateConnectionError):
        await llm.acomplete("Hi")
    llm.base_url = make_llm().base_url
    await llm.acomplete("Hi")


async def test_headers_are_sent_and_may_be_changed(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    headers = {"x-team": "one"}
    llm = make_llm(default_headers=headers)
    await llm.acomplete("Hi")
    llm.default_headers["x-team"] = "two"
    await llm.acomplete("Hi")
    posts = [r for r in replicate_emulator.requests if r.method == "POST"]
    assert [post.headers["x-team"] for post in posts] == ["one", "two"]
    assert headers == {"x-team": "one"}


FAKE_TOKEN = "r8_FAKE_TOKEN_FOR_TESTS"
PASSWORD, HEADER, PROMPT = "FAKE_PASSWORD", "FAKE_HEADER_SECRET", "FAKE_PROMPT_TEXT"
INPUT = "FAKE_INPUT_SECRET"


@pytest.fixture
def guarded(make_llm: Any) -> Replicate:
    """A model with everything that must not be shown."""
    guarded: Replicate = make_llm(
        api_key=FAKE_TOKEN,
        proxy=f"http://user:{PASSWORD}@proxy.example:3128",
        default_headers={"Authorization": HEADER, "x-team": "one"},
        system_prompt=PROMPT,
        additional_kwargs={"prompt_template": PROMPT, "hf_token": INPUT},
        query_wrapper_prompt=PromptTemplate(PROMPT),
    )
    guarded._get_client()  # which holds the secrets too
    return guarded


def test_no_secret_is_shown(guarded: Replicate) -> None:
    shown = [repr(guarded), str(guarded), str(guarded.to_payload())]
    for secret in (FAKE_TOKEN, PASSWORD, HEADER, PROMPT):
        assert not any(secret in text for text in shown)
    for secret in (FAKE_TOKEN, PASSWORD, HEADER, INPUT):
        assert secret not in str(guarded.to_dict())
        assert secret.encode() not in pickle.dumps(guarded)
    assert guarded.additional_kwargs["hf_token"] == INPUT


def test_a_pickle_keeps_what_is_not_secret(guarded: Replicate) -> None:
    twin = pickle.loads(pickle.dumps(guarded))
    assert twin.proxy == "http://proxy.example:3128"
    assert twin.default_headers == {"x-team": "one"}
    assert twin.system_prompt == PROMPT
    assert PASSWORD in str(guarded.proxy)  # the one that was pickled is as it was
    assert guarded.default_headers == {"Authorization": HEADER, "x-team": "one"}


def test_a_pickle_has_no_password_of_the_address() -> None:
    llm = Replicate("a/b", base_url=f"http://user:{PASSWORD}@127.0.0.1:9/v1")
    assert PASSWORD.encode() not in pickle.dumps(llm)
    assert pickle.loads(pickle.dumps(llm)).base_url == "http://127.0.0.1:9/v1"


def test_an_error_of_a_setting_does_not_show_its_value() -> None:
    make: Any = Replicate
    with pytest.raises(ValidationError) as caught:
        make("a/b", system_prompt=[PROMPT], default_headers={"Authorization": [HEADER]})
    assert "system_prompt" in str(caught.value)
    assert PROMPT not in str(caught.value)
    assert HEADER not in str(caught.value)


def test_what_to_do_about_the_unsupported_is_one_of_three() -> None:
    make: Any = Replicate
    with pytest.raises(ValidationError, match="'raise', 'warn' or 'ignore'"):
        make("a/b", on_unsupported="explode")


async def test_it_can_be_copied_and_pickled_without_a_warning(
    llm: Replicate,
    words: list[str],
    replicate_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    await llm.acomplete("Hi")  # it has a client of its own now
    for twin in (copy.copy(llm), copy.deepcopy(llm)):
        assert (await twin.acomplete("Hi")).text == "".join(words)
    monkeypatch.setenv("REPLICATE_API_TOKEN", replicate_emulator.token)
    twin = pickle.loads(pickle.dumps(llm))
    assert (await twin.acomplete("Hi")).text == "".join(words)
    assert twin.to_dict() == llm.to_dict()
    assert Replicate.from_dict(llm.to_dict()).to_dict() == llm.to_dict()
    others = [each for each in caplog.records if not each.name.startswith("replicate_stream")]
    assert others == []  # the emulator and the client log requests and predictions


async def test_a_client_can_be_shared(replicate_emulator: Emulator) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    for _ in range(2):
        await Replicate(replicate_emulator.model, client=client).acomplete("Hi")
    path = f"/v1/models/{replicate_emulator.model}"
    assert [r.path for r in replicate_emulator.requests].count(path) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "r8_FAKE_OTHER"),
        ("timeout", 5),
        ("default_headers", {"x-team": "a"}),
        ("budget", 1.0),
    ],
)
async def test_a_setting_beside_a_client_would_have_no_effect_and_is_an_error(
    name: str, value: Any, replicate_emulator: Emulator
) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    settings: dict[str, Any] = {"client": client, name: value}
    match = f"^{name} would have no effect beside client"
    with pytest.raises(core.InvalidInputError, match=match):
        await Replicate(replicate_emulator.model, **settings).acomplete("Hi")
    embedding = ReplicateEmbedding(replicate_emulator.embedding_model, **settings)
    with pytest.raises(core.InvalidInputError, match=match):
        await embedding.aget_query_embedding("Hi")
    assert replicate_emulator.requests == []


async def test_copies_with_another_deadline_spend_the_same_budget(
    replicate_emulator: Emulator,
) -> None:
    llm = Replicate(replicate_emulator.model, budget={"tokens": 1})
    await llm.acomplete("Hi")
    with pytest.raises(core.BudgetExceededError):
        await llm.model_copy(update={"deadline": 30}).acomplete("Hi")


def test_what_is_gone_says_what_replaces_it() -> None:
    make: Any = Replicate
    with pytest.raises(TypeError, match=r"'prompt_key': the model's schema .* additional_kwargs"):
        make("a/b", prompt_key="prompt")

"""Fields of a model object, arguments of a call, and the input that they become."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import ConfigurableField
from pydantic import AliasChoices, SecretStr, ValidationError

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate, ReplicateEmbeddings, errors
from langchain_replicate_stream._signatures import Settings
from replicate_stream import Client
from replicate_stream.adapters import PARAMETERS, Connection, Parameter
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]


SETTINGS = [each for each in PARAMETERS if each.is_setting]
OTHER_NAMES = {"extra_input": "model_kwargs", "include_usage": "stream_usage"}  # LangChain's
CONNECTION = {"headers": "default_headers"}  # fields for `Client`, under LangChain's names


def get_inputs(emulator: Emulator) -> list[dict[str, Any]]:
    return [dict(prediction.input) for prediction in emulator.predictions.values()]


@pytest.mark.parametrize("parameter", SETTINGS, ids=lambda each: each.name)
def test_a_setting_is_a_field_of_the_same_type_and_default(parameter: Parameter) -> None:
    field = ChatReplicate.model_fields[OTHER_NAMES.get(parameter.name, parameter.name)]
    default = field.get_default(call_default_factory=True)
    # Extra inputs are an empty dict, so that `llm.model_kwargs["n"] = 1` works.
    assert default == ({} if parameter.name == "extra_input" else parameter.default)
    optional = parameter.type | None
    assert field.annotation == (optional if default is None else parameter.type)


def test_every_other_field_belongs_to_the_connection_or_to_langchain() -> None:
    settings = {OTHER_NAMES.get(each.name, each.name) for each in SETTINGS}
    connection = {CONNECTION.get(each.name, each.name) for each in fields(Connection)}
    own = set(ChatReplicate.model_fields) - set(BaseChatModel.model_fields)
    assert own == settings | connection | {"model", "client", "streaming"}


def test_type_checkers_know_each_field_under_all_its_names() -> None:
    names = set()
    for name, field in ChatReplicate.model_fields.items():
        alias = field.validation_alias
        names |= {name, *(alias.choices if isinstance(alias, AliasChoices) else ())}
    assert {*Settings.__annotations__, "model", "model_name"} == names


def test_the_signature_shows_the_fields_names_before_any_object_was_made() -> None:
    class Own(ChatReplicate):
        own: int = 1

    for cls in (ChatReplicate, Own):
        parameters = inspect.signature(cls).parameters
        assert parameters["model"].default is inspect.Parameter.empty
        assert parameters.keys() >= {"api_key", "stop", "temperature", "model_kwargs"}
        assert ("own" in parameters) is (cls is Own)


def test_the_constructor_names_what_no_field_is_called() -> None:
    named = inspect.signature(ChatReplicate.__init__).parameters
    assert named.keys() >= {"replicate_api_token", "stop_sequences"}
    llm = ChatReplicate(
        model="a/b",
        replicate_api_token="r8_FAKE",
        stop_sequences=["END"],
    )
    assert (llm.api_key, llm.stop) == (SecretStr("r8_FAKE"), ["END"])


@pytest.mark.parametrize(
    ("name", "other", "value"),
    [
        ("model", "model_name", "c/d"),
        ("api_key", "replicate_api_token", SecretStr("r8_FAKE")),
        ("stop", "stop_sequences", ["END"]),
    ],
)
def test_an_argument_is_given_under_one_of_its_names(name: str, other: str, value: Any) -> None:
    make: Any = ChatReplicate
    model = {} if name == "model" else {"model": "a/b"}
    with pytest.raises(ValueError, match=f"{name} and {other} are names of one argument"):
        make(**model, **{name: value, other: value})
    assert getattr(make(**model, **{name: None, other: value}), name) == value
    assert getattr(make(**model, **{name: value, other: None}), name) == value


def test_a_token_of_another_type_is_an_error_that_names_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="api_key is of type int; it must be a str") as caught:
        ChatReplicate(model="a/b", api_key=76)  # type: ignore[call-overload]  # the point
    assert "76" not in str(caught.value)


def test_a_missing_model_is_named(replicate_emulator: Emulator) -> None:
    with pytest.raises(ValidationError, match=r"^1 validation error for ChatReplicate\nmodel\n"):
        ChatReplicate()  # type: ignore[call-overload]  # the point


def test_a_field_of_the_connection_has_the_default_of_the_client() -> None:
    for each in fields(Connection):
        field = ChatReplicate.model_fields[CONNECTION.get(each.name, each.name)]
        if each.name != "api_key":  # read from the environment
            assert field.default == each.default, each.name


async def test_the_service_receives_the_deadline(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    await make_llm(deadline=90).ainvoke("Hi")
    (create,) = [r for r in replicate_emulator.requests if r.path.endswith("/predictions")]
    assert create.headers["cancel-after"] == "90s"


def test_a_setting_of_the_connection_in_a_call_is_an_error_that_names_the_way(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    llm = make_llm()
    for name, field in {"timeout": "timeout", "headers": "default_headers"}.items():
        with pytest.raises(TypeError, match=rf"'{name}': .*model_copy\(update={{'{field}': …}}\)"):
            llm.invoke("Hi", **{name: None})
    copied = llm.model_copy(update={"default_headers": {"x-team": "one"}})
    assert copied.invoke("Hi").text
    assert "x-team" in replicate_emulator.requests[-1].headers


async def test_an_unsupported_parameter_is_an_error_a_warning_or_ignored(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    replicate_emulator.add_model("small/model", schema, official=True)
    small: dict[str, Any] = {"model": "small/model", "top_k": 5}
    with pytest.raises(core.UnsupportedParameterError, match="top_k"):
        await make_llm(**small).ainvoke("Hi")
    assert not replicate_emulator.predictions
    with pytest.warns(core.ParameterWarning, match="top_k"):
        await make_llm(**small, on_unsupported="warn").ainvoke("Hi")
    await make_llm(**small, on_unsupported="ignore").ainvoke("Hi")
    assert [body.keys() for body in get_inputs(replicate_emulator)] == [{"prompt"}] * 2
    with pytest.raises(ValidationError, match="on_unsupported"):
        make_llm(on_unsupported="shrug")


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
    (body,) = get_inputs(replicate_emulator)
    expected = {"temperature": 0.5, "max_tokens": 20, "top_p": 0.5, "top_k": 5, "min_tokens": 1}
    assert expected.items() <= body.items()
    assert (body["presence_penalty"], body["frequency_penalty"]) == (0.5, 0.25)
    assert "STOP" in body["stop_sequences"]
    assert "Be brief." in str(body)
    assert message.response_metadata["model_name"] == "other/model"


async def test_a_call_can_unset_a_field(replicate_emulator: Emulator, make_llm: MakeLLM) -> None:
    replicate_emulator.reply = ["one ST", "OP two"]
    llm = make_llm(stop=["STOP"], temperature=0.5)
    message = await llm.ainvoke("Hi", stop=[], temperature=None, model=None)
    assert message.content == "one STOP two"
    assert message.response_metadata["model_name"] == replicate_emulator.model
    (body,) = get_inputs(replicate_emulator)
    assert "temperature" not in body


async def test_the_fields_are_sent(replicate_emulator: Emulator, make_llm: MakeLLM) -> None:
    llm = make_llm(
        temperature=0.5, max_tokens=20, stop_sequences=["STOP"], model_kwargs={"min_tokens": 1}
    )
    await llm.ainvoke("Hi")
    (body,) = get_inputs(replicate_emulator)
    assert (body["temperature"], body["max_tokens"], body["min_tokens"]) == (0.5, 20, 1)
    assert "STOP" in body["stop_sequences"]


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


async def test_a_stop_sequence_works_under_every_name(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = ["one ST", "OP two"]
    assert (await make_llm(stop=["STOP"]).ainvoke("Hi")).content == "one "
    assert (await make_llm().ainvoke("Hi", stop=["STOP"])).content == "one "
    assert (await make_llm().ainvoke("Hi", stop_sequences=["STOP"])).content == "one "
    assert make_llm().bind(stop=["STOP"]).invoke("Hi").content == "one "


def test_an_unknown_argument_is_an_error_that_names_the_closest(llm: ChatReplicate) -> None:
    with pytest.raises(ValidationError, match="did you mean 'temperature'"):
        ChatReplicate(model="a/b", api_key="r8_FAKE", temprature=1)  # type: ignore[call-overload]  # the point
    with pytest.raises(TypeError, match="if it is an input of the model, use model_kwargs="):
        llm.invoke("Hi", documents=[])
    # Also an input of models whose name is close to that of a parameter.
    with pytest.raises(TypeError, match=r"did you mean 'max_tokens'\? Or, .* use model_kwargs="):
        llm.invoke("Hi", min_tokens=1)


def test_an_argument_of_another_class_is_an_error_that_names_its_replacement() -> None:
    for name, replacement in {
        "prompt_key": "schema",
        "api_base": "base_url",
        "input": "model_kwargs",
    }.items():
        arguments: dict[str, Any] = {"model": "a/b", "api_key": "r8_FAKE", name: "x"}
        with pytest.raises(ValidationError, match=f"no argument '{name}': .*{replacement}"):
            ChatReplicate(**arguments)


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
    assert llm._get_client() is llm._get_client()


async def test_models_with_equal_fields_are_equal(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    first, second = make_llm(), make_llm()
    assert first == second == copy.deepcopy(first) == first.model_copy()
    await first.ainvoke("Hi")
    assert first == second
    assert first != make_llm(temperature=0.5)


async def test_several_models_can_share_a_client(replicate_emulator: Emulator) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    for _ in range(2):
        assert (await ChatReplicate(model=replicate_emulator.model, client=client).ainvoke("")).id
    assert len([r for r in replicate_emulator.requests if r.path.startswith("/v1/models/")]) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "r8_FAKE_OTHER"),
        ("base_url", "http://wrong.invalid"),
        ("proxy", "http://wrong.invalid:1"),
        ("timeout", None),
        ("deadline", 5),
        ("max_retries", 0),
        ("default_headers", {"x-team": "a"}),
        ("on_unsupported", "ignore"),
        ("dialect", "replicate"),
        ("prices", {"a/b": {"second": 1.0}}),
        ("budget", 1.0),
        ("on_prediction", print),
    ],
)
async def test_a_setting_beside_a_client_would_have_no_effect_and_is_an_error(
    name: str, value: Any, replicate_emulator: Emulator
) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    settings: dict[str, Any] = {"client": client, name: value}
    match = f"^{name} would have no effect beside client"
    chat = ChatReplicate(model=replicate_emulator.model, **settings)
    with pytest.raises(errors.InvalidInputError, match=match):
        await chat.ainvoke("Hi")
    embeddings = ReplicateEmbeddings(model=replicate_emulator.embedding_model, **settings)
    with pytest.raises(errors.InvalidInputError, match=match):
        await embeddings.aembed_query("Hi")
    shared = ChatReplicate(model=replicate_emulator.model, client=client)
    with pytest.raises(errors.InvalidInputError, match=match):
        await shared.model_copy(update={name: value, "model": "a/b"}).ainvoke("Hi")
    assert replicate_emulator.requests == []


async def test_a_configurable_model_can_share_a_client(replicate_emulator: Emulator) -> None:
    client = Client(replicate_emulator.token, base_url=replicate_emulator.base_url)
    llm = ChatReplicate(model=replicate_emulator.model, client=client).configurable_fields(
        temperature=ConfigurableField(id="temperature")
    )
    await llm.ainvoke("Hi", {"configurable": {"temperature": 0.5}})
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["temperature"] == 0.5


async def test_copies_with_another_deadline_spend_the_same_budget(make_llm: MakeLLM) -> None:
    llm = make_llm(budget={"tokens": 1})
    await llm.ainvoke("Hi")
    for copied in (llm.model_copy(update={"deadline": 30}), llm.model_copy()):
        assert copied.spent == llm.spent
        with pytest.raises(errors.BudgetExceededError):
            await copied.ainvoke("Hi")
    await llm.model_copy(update={"budget": {"tokens": 100}}).ainvoke("Hi")

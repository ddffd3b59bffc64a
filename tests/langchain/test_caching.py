"""Answers from a cache: classes and functions of a call count by their schemas, not by names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.tools import StructuredTool
from pydantic import create_model
from typing_extensions import TypedDict

from langchain_replicate_stream import ChatReplicate
from replicate_stream import Client
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]
make_typed_dict: Any = TypedDict


def make_function(field: str) -> Callable[[str], str]:
    def find(text: str) -> str:
        return text

    find.__doc__ = f"Find {field}."
    return find


MAKERS: dict[str, Callable[[str], Any]] = {
    "Pydantic": lambda field: create_model("Answer", **{field: (str, ...)}),  # type: ignore[call-overload]  # by name
    "TypedDict": lambda field: make_typed_dict("Answer", {field: str}),
    "function": make_function,
    "tool": lambda field: StructuredTool.from_function(make_function(field)),
}
CLASSES = ("Pydantic", "TypedDict")
USES: dict[str, Callable[[ChatReplicate, Any], Any]] = {
    "tools": lambda llm, schema: llm.bind(tools=[schema]),
    "bind_tools": lambda llm, schema: llm.bind_tools([schema]),
    "response_format": lambda llm, schema: llm.bind(response_format=schema),
    "with_structured_output": lambda llm, schema: llm.with_structured_output(
        schema, include_raw=True
    ),
}
uses = pytest.mark.parametrize(
    ("make", "use"),
    [
        pytest.param(MAKERS[kind], USES[use], id=f"{kind}, {use}")
        for kind in MAKERS
        for use in USES
        if kind in CLASSES or "tools" in use
    ],
)
every_way = pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("invoke", {}),
        ("ainvoke", {}),
        ("invoke", {"streaming": True}),
        ("ainvoke", {"streaming": True}),
    ],
)


def read_input(emulator: Emulator) -> list[str]:
    return [json.dumps(dict(each.input)) for each in emulator.predictions.values()]


@uses
@every_way
async def test_another_schema_of_the_same_name_is_another_question(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    make: Callable[[str], Any],
    use: Callable[[ChatReplicate, Any], Any],
    method: str,
    settings: Any,
) -> None:
    replicate_emulator.reply = '{"owls": "Bubo", "mice": "Mus"}'
    llm = make_llm(cache=InMemoryCache(), **settings)
    for field in ("owls", "mice"):
        await ask(use(llm, make(field)), method)
    owls, mice = read_input(replicate_emulator)
    assert "owls" in owls
    assert "mice" in mice


@uses
@every_way
async def test_the_same_schema_of_another_object_is_the_same_question(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    make: Callable[[str], Any],
    use: Callable[[ChatReplicate, Any], Any],
    method: str,
    settings: Any,
) -> None:
    replicate_emulator.reply = '{"owls": "Bubo"}'
    llm = make_llm(cache=InMemoryCache(), **settings)
    for _ in range(2):
        await ask(use(llm, make("owls")), method)
    assert len(replicate_emulator.predictions) == 1


@every_way
async def test_arguments_of_a_call_itself_count_too(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: str, settings: Any
) -> None:
    replicate_emulator.reply = '{"owls": "Bubo", "mice": "Mus"}'
    llm = make_llm(cache=InMemoryCache(), **settings)
    for field in ("owls", "mice", "owls"):
        result = getattr(llm, method)("Hi", response_format=MAKERS["Pydantic"](field))
        await result if method == "ainvoke" else result
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({"temperature": 0}, {"temperature": 0}),
        ({"system_prompt": "Be brief."}, {"system_prompt": "Be brief."}),
        ({"model_kwargs": {"min_tokens": 1}}, {"extra_input": {"min_tokens": 1}}),
        ({"stop": ["\n"]}, {"stop": ["\n"]}),
        ({"stop": "\n"}, {"stop_sequences": ["\n"]}),
        ({"coalesce": True}, {"stream_usage": False, "stream": True}),
    ],
)
def test_a_setting_and_the_same_argument_of_a_call_are_the_same_question(
    replicate_emulator: Emulator, make_llm: MakeLLM, settings: Any, arguments: Any
) -> None:
    cache = InMemoryCache()
    make_llm(cache=cache, **settings).invoke("Hi")
    make_llm(cache=cache).invoke("Hi", **arguments)
    assert len(replicate_emulator.predictions) == 1
    make_llm(cache=cache, seed=1).invoke("Hi", **arguments)
    assert len(replicate_emulator.predictions) == 2


def test_a_model_of_another_server_is_another_one_however_its_address_is_given(
    replicate_emulator: Emulator, make_llm: MakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = InMemoryCache()
    model, token = replicate_emulator.model, replicate_emulator.token
    replicate_emulator.reply = "here"
    assert make_llm(cache=cache).invoke("Hi").text == "here"
    with Emulator("elsewhere") as other:
        client = Client(token, base_url=other.base_url)
        shared = ChatReplicate(model=model, client=client, cache=cache)
        assert shared.invoke("Hi").text == "elsewhere"
        monkeypatch.setenv("REPLICATE_BASE_URL", other.base_url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", token)
        assert ChatReplicate(model=model, cache=cache).invoke("Hi").text == "elsewhere"
        assert len(other.predictions) == 1

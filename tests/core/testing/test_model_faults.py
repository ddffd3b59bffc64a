"""The faults with which the tests of agents try the client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from replicate_stream import ToolSpec, prepare_input
from replicate_stream.testing import Reply, ToolUser

BOUND = {"type": "integer", "description": "Maximum tokens to generate per output sequence."}
SCHEMA = {"type": "object", "properties": {"prompt": {"type": "string"}, "max_tokens": BOUND}}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
MODELS = [
    "qwen/qwen2.5-72b-instruct",
    "meta/meta-llama-3.1-70b-instruct",
    "mistralai/mistral-7b-instruct-v0.3",
    "ibm-granite/granite-3.3-8b-instruct",
    "deepseek-ai/deepseek-v3.1",
]


def text_of(reply: Reply) -> str:
    assert isinstance(reply.tokens, list)
    return "".join(map(str, reply.tokens))


@pytest.mark.parametrize("model", MODELS)
def test_every_fault_shows_in_a_call_a_forced_call_or_json(
    model: str,
    make_tool_user: Callable[..., Callable[[Mapping[str, Any]], Reply]],
    request: pytest.FixtureRequest,
) -> None:
    tool = ToolSpec("weather", "Get the weather.", PARAMETERS)
    call = prepare_input("Hi", model=model, schema=SCHEMA, tools=[tool]).input
    answer = prepare_input("Hi", model=model, schema=SCHEMA, response_format=PARAMETERS).input
    forced = prepare_input(
        "Hi", model=model, schema=SCHEMA, tools=[tool], tool_choice="weather"
    ).input
    faulty = [text_of(make_tool_user()(values)) for values in (call, answer, forced)]
    plain = [text_of(ToolUser()(values)) for values in (call, answer, forced)]
    assert json.loads(plain[1]) == {"city": "city"}
    assert (faulty == plain) == ("none" in request.node.callspec.id)

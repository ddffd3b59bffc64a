"""A request: every argument of `Client.stream` validated and parsed, whatever the model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from replicate_stream import Client, InvalidInputError, Message, ToolSpec
from replicate_stream._types.request import Request, build_request
from replicate_stream.adapters import PARAMETERS
from replicate_stream.testing import Emulator


def test_a_request_has_a_field_for_every_parameter() -> None:
    fields = {each.name for each in dataclasses.fields(Request)}
    # The first two are parsed into `tools`, the last into `extra_input`.
    parsed = {"tool_choice", "parallel_tool_calls", "reasoning_effort"}
    assert fields == {each.name for each in PARAMETERS} - parsed | {"model", "messages"}


def test_arguments_are_parsed() -> None:
    request = build_request(
        "a/b",
        "Hi",
        temperature=0,
        stop=["END", "END"],
        tools=[{"name": "add"}],
        tool_choice="any",
        response_format={"type": "json_object"},
    )
    assert request.messages == [Message("user", "Hi")]
    assert request.sampling == {"temperature": 0}
    assert request.stop == ("END",)
    assert request.tools is not None
    assert (request.tools.tools, request.tools.choice) == ((ToolSpec("add"),), "required")
    assert request.response_format is not None
    assert request.response_format.schema is None


def test_a_dump_of_openais_message_is_read_and_a_key_that_holds_something_else_refused() -> None:
    dumped: dict[str, Any] = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "annotations": [],
    }
    request = build_request("a/b", [dumped, {"role": "user", "content": "And?"}])
    assert request.messages[0] == Message("assistant", "Hi")
    with pytest.raises(InvalidInputError, match="unknown keys: refusal; known are role, content"):
        build_request("a/b", [{**dumped, "refusal": "I will not"}])


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ("", "stop is ''; it must be a string that is not empty"),
        (["END", ""], r"stop\[1\] is ''; it must be a string that is not empty"),
        (["END", 5], r"stop\[1\] is of type int; it must be a string"),
    ],
)
def test_a_stop_sequence_that_is_none_is_named_by_its_position(stop: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        build_request("a/b", "Hi", stop=stop)


def test_a_request_cannot_be_changed() -> None:
    request = build_request("a/b", "Hi")
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.temperature = 1  # type: ignore[misc]  # it is frozen


@pytest.mark.parametrize(
    "arguments", [{}, {"tools": []}, {"tools": [{"name": "add"}], "tool_choice": "none"}]
)
def test_tools_that_may_not_be_called_are_left_out(arguments: dict[str, Any]) -> None:
    assert build_request("a/b", "Hi", **arguments).tools is None


def test_the_repr_shows_no_text_of_the_prompt() -> None:
    request = build_request(
        "a/b", "secret", system_prompt="secret", stop="secret", extra_input={"prompt": "secret"}
    )
    assert "secret" not in repr(request)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"system_prompt": 5}, "system_prompt is of type int; it must be a string or None"),
        ({"temperature": -1}, "temperature is -1; it must be 0 or more"),
        ({"top_p": 1.5}, "top_p is 1.5; it must be 1 or less"),
        ({"top_k": -2}, "top_k is -2; it must be -1 or more"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"max_repairs": None}, "max_repairs is None; it must be a number"),
    ],
)
async def test_an_invalid_argument_is_refused_before_the_model_is_looked_up(
    client: Client, replicate_emulator: Emulator, arguments: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await client.complete(replicate_emulator.model, "Hi", **arguments)
    assert str(caught.value) == expected
    assert caught.value.fields == tuple(arguments)
    assert replicate_emulator.requests == []

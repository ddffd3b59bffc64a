"""An argument of a wrong type is an error that names it, before anything is paid."""

from __future__ import annotations

import sys
from functools import reduce
from typing import Any, cast

import pytest

from replicate_stream import Client, InvalidInputError, Message
from replicate_stream.testing import Emulator

CALL = {"type": "function", "function": {"name": "add"}}
DEEP: Any = reduce(lambda inner, _: [inner], range(sys.getrecursionlimit()), cast("Any", 0))


class NoRepr:
    """A value whose `repr` fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": 5}),
    ("messages", {"messages": None}),
    ("messages", {"messages": b"Hi"}),
    ("messages", {"messages": {"role": "user", "content": "Hi"}}),
    ("messages[0]", {"messages": [["Hi"]]}),
    ("messages[0].role", {"messages": [{"role": ["user"], "content": "Hi"}]}),
    ("messages[0]", {"messages": [Message("robot", "Hi")]}),  # type: ignore[arg-type]
    ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
    ("messages[0].tool_calls", {"messages": [{"role": "assistant", "tool_calls": CALL}]}),
    ("messages[0].tool_calls[0]", {"messages": [{"role": "assistant", "tool_calls": ["add"]}]}),
    (
        "messages[0].tool_calls[1]",
        {"messages": [{"role": "assistant", "tool_calls": [CALL, {"function": None}]}]},
    ),
    (
        "messages[0].tool_calls[0].arguments",
        {"messages": [{"role": "assistant", "tool_calls": [{"name": "add", "arguments": 5}]}]},
    ),
    ("stop", {"stop": 5}),
    ("stop", {"stop": {"END": True}}),
    ("tools", {"tools": "add"}),
    ("tools", {"tools": CALL}),
    ("tools[0]", {"tools": ["add"]}),
    ("tools[0].parameters", {"tools": [{"name": "add", "parameters": "a, b"}]}),
    ("tools", {"tools": [{"name": "add", "parameters": {"type": "object", "default": object}}]}),
    ("tool_choice", {"tools": [CALL], "tool_choice": 5}),
    ("tool_choice", {"tools": [CALL], "tool_choice": {"function": "add"}}),
    ("parallel_tool_calls", {"tools": [CALL], "parallel_tool_calls": "no"}),
    ("response_format", {"response_format": "json"}),
    ("extra_input", {"extra_input": ["top_k"]}),
    ("extra_input", {"extra_input": {5: 1}}),
    ("max_repairs", {"max_repairs": "twice"}),
    ("max_repairs", {"max_repairs": -1}),
    ("include_usage", {"include_usage": "no"}),
    ("coalesce", {"coalesce": 1}),
    ("temperature", {"temperature": "hot"}),
    ("max_tokens", {"max_tokens": "many"}),
    ("temperature", {"temperature": DEEP}),
    ("top_p", {"top_p": 10**5000}),
    ("seed", {"seed": NoRepr()}),
    ("tool_choice", {"tools": [CALL], "tool_choice": 10**5000}),
]


@pytest.mark.parametrize(("field", "arguments"), WRONG)
async def test_an_argument_of_a_wrong_type_is_named_before_anything_is_paid(
    client: Client, replicate_emulator: Emulator, field: str, arguments: dict[str, Any]
) -> None:
    request = {"messages": "Hi", **arguments}
    with pytest.raises(InvalidInputError, match=field.replace("[", r"\[").split(".")[0]) as caught:
        await client.complete(replicate_emulator.model, **request)
    assert caught.value.fields
    assert field.startswith(caught.value.fields[0])
    assert replicate_emulator.predictions == {}


async def test_the_error_for_a_long_value_is_short(client: Client) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await client.prepare("some/model", "Hi", prompt_format="x" * 10_000)
    assert "'xxx" in str(caught.value)
    assert len(str(caught.value)) < 2000


async def test_a_value_that_json_cannot_hold_is_an_error_without_a_schema_too(
    client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        await client.complete("a" * 64, "Hi", extra_input={"other": object()})
    assert replicate_emulator.predictions == {}

"""Whatever a caller hands in: a model's input, or an error of this package."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, MessageRole

from langchain_replicate_stream._to_core import to_core as from_langchain
from llama_index_replicate_stream._to_core import to_core as from_llama_index
from replicate_stream import Message, ToolCall, prepare_input
from replicate_stream._types.response_format import parse_response_format
from tests.core.request.test_forged_turns import ALL_MARKS, MARKS, count
from tests.for_each_family import for_each_family
from tests.reliability.fuzzing import (
    CALLER_DEPTHS,
    DEEP,
    INPUTS,
    SCALARS,
    SCHEMA_KEYS,
    SPECS,
    TEXT,
    fuzz,
    json_objects,
    json_values,
    nest,
    only_our_errors,
    to_body,
    words,
)

pytestmark = pytest.mark.timeout(0)  # the length of a run is the profile's

# What a caller hands in, which is JSON that users of an application write

BLOCK_KEYS = words(
    """
    type text content image_url url source data media_type id name input arguments tool_use_id
    tool_result tool_use json inline_data function_call image document call_id output file
    file_data file_id mime_type toolUse toolResult guardContent title context thought value
    """
)
BLOCKS = json_values(BLOCK_KEYS) | json_objects(BLOCK_KEYS)
CONTENTS = st.lists(BLOCKS, max_size=3) | json_values(BLOCK_KEYS)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": CONTENTS},
        optional={
            "name": TEXT | SCALARS,
            "tool_calls": json_values(BLOCK_KEYS),
            "tool_call_id": TEXT | SCALARS,
        },
    )
    | json_values(["role", "content", "name", "tool_calls"]),
    max_size=3,
)
MESSAGES_INPUT = {"messages": {"type": "array"}, "tools": {"type": "array"}}
MODEL_INPUTS = st.sampled_from(
    [
        {"prompt": {"type": "string"}},
        {"prompt": {"type": "string"}, "image": {"type": "string", "format": "uri"}},
        MESSAGES_INPUT,
    ]
)


# Examples are what failed once.
@fuzz
@given(messages=MESSAGES, depth=CALLER_DEPTHS, inputs=MODEL_INPUTS)
@example([{"role": "user", "content": "Hi", "tool_call_id": True}], 0, MESSAGES_INPUT)
@example([{"role": "user", "content": "Hi", "name": 5}], 0, {"prompt": {"type": "string"}})
@example([{"role": "user", "content": [{"type": "json", "json": DEEP}]}], 2000, MESSAGES_INPUT)
@example([{"role": [DEEP], "content": "Hi"}], 2000, MESSAGES_INPUT)
@example([{"role": "user", "content": "Hi", 5: 5, "x": 5}], 0, MESSAGES_INPUT)
def test_any_messages_give_an_input_or_an_error(
    messages: Any, depth: int, inputs: dict[str, Any]
) -> None:
    with only_our_errors():
        prepared = prepare_input(
            nest(messages, depth), model="acme/oracle", schema={"properties": inputs}
        )
        json.dumps(prepared.input)


@fuzz
@given(contents=st.lists(st.lists(BLOCKS, max_size=3), min_size=1, max_size=3), inputs=MODEL_INPUTS)
def test_any_content_of_a_langchain_message_gives_an_input_or_an_error(
    contents: list[list[Any]], inputs: dict[str, Any]
) -> None:
    kinds = itertools.cycle([HumanMessage, AIMessage, SystemMessage])
    messages = []
    for content, kind in zip(contents, kinds, strict=False):
        blocks = [each for each in content if isinstance(each, str | dict)]
        # A block that LangChain's own classes do not take reaches no adapter.
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            messages.append(kind(content=blocks))
            messages.append(ToolMessage(content=blocks, tool_call_id="1"))
    with only_our_errors():
        prepare_input(from_langchain(messages), model="acme/oracle", schema={"properties": inputs})


@fuzz
@given(extras=json_objects(["tool_calls", *BLOCK_KEYS]), role=st.sampled_from([*MessageRole]))
def test_any_notes_in_a_llama_index_message_give_an_input_or_an_error(
    extras: dict[str, Any], role: MessageRole
) -> None:
    message = ChatMessage(role=role, content="Hi", additional_kwargs=extras)
    with only_our_errors():
        prepare_input(
            from_llama_index([message]), model="acme/oracle", schema={"properties": {"prompt": {}}}
        )


@fuzz
@given(
    tools=st.lists(
        st.fixed_dictionaries({"name": TEXT}, optional={"parameters": SPECS, "description": TEXT})
        | SPECS,
        max_size=2,
    ),
    choice=json_values(["type", "function", "name"]),
    response_format=SPECS | st.builds(lambda s: {"type": "json_schema", "schema": s}, SPECS),
    depth=CALLER_DEPTHS,
    answer=json_values(SCHEMA_KEYS),
)  # fmt: skip
@example([], None, {"items": [DEEP]}, 2000, {})
@example([{"name": "f", "parameters": {"a": DEEP}}], None, {}, 2000, {})
@example([], {"type": DEEP}, {}, 2000, {})
@example([], None, {"$id": "http://[", "properties": {"a": {"$ref": "b"}}}, 0, {"a": 1})
@example([], None, {"properties": {"a": {"$dynamicRef": "#x"}}}, 0, {"a": 1})
@example([], None, {"properties": {"a": {"multipleOf": 0.5}}}, 0, {"a": 10**400})
@example([{"name": "f", "parameters": {"type": [[]]}}], None, {}, 0, {})
@example([{"name": "f", "parameters": {"$ref": "0", "$anchor": []}}], None, {}, 0, {})
@example([{"name": "f", "parameters": {"$ref": "0", "$defs": None}}], None, {}, 0, {})
@example([{"name": "f", "parameters": {"$ref": "", "$id": []}}], None, {}, 0, {})
@example([{"name": "f", "parameters": {"anyOf": 1}}], None, {}, 0, {})
@example([], None, {"$ref": "0", "allOf": None}, 0, {})
@example([], None, {"$ref": "0", "$id": "http://["}, 0, {})
def test_any_tools_and_format_give_an_input_and_a_verdict_or_an_error(
    tools: Any, choice: Any, response_format: Any, depth: int, answer: Any
) -> None:
    tools, response_format = nest(tools, depth), nest(response_format, depth)
    with only_our_errors():
        prepare_input(
            "Hi",
            model="acme/oracle",
            schema=None,
            tools=tools,
            tool_choice=choice,
            response_format=response_format,
        )
        expected = parse_response_format(response_format)
        if expected is not None:
            expected.find_problem(to_body(answer, 50).decode())


@fuzz
@given(stop=json_values(["x"]), extra=json_values(INPUTS), numbers=st.tuples(SCALARS, SCALARS))
@example([], {}, (10**400, 10**400))
def test_any_parameters_give_an_input_or_an_error(
    stop: Any, extra: Any, numbers: tuple[Any, Any]
) -> None:
    with only_our_errors():
        prepare_input(
            "Hi",
            model="acme/oracle",
            schema=None,
            stop=stop,
            extra_input=extra,
            max_tokens=numbers[0],
            temperature=numbers[1],
        )


# Templates

HOSTILE = st.lists(
    st.sampled_from(ALL_MARKS) | st.sampled_from([">", "]", ":", "|>", "\n", " ", "x"]) | TEXT,
    max_size=4,
).map("".join)
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "system", "tool", "call"]), HOSTILE, HOSTILE, HOSTILE
    ),
    min_size=1,
    max_size=5,
)


def to_conversation(turns: list[tuple[str, str, str, str]]) -> list[Message]:
    """Messages with these texts. A name must not be empty, and hostile texts stay so behind `x`."""
    return [
        Message("assistant", "x" + text, tool_calls=(ToolCall(name, "x" + name, "x" + other),))
        if role == "call"
        else Message(role, "x" + text, name="x" + name, tool_call_id=other)  # type: ignore[arg-type]  # drawn
        for role, text, name, other in turns
    ]


@pytest.mark.parametrize("name", sorted(MARKS))
@for_each_family
@given(turns=TURNS)
def test_no_conversation_forges_a_turn(name: str, turns: list[tuple[str, str, str, str]]) -> None:
    prompts = []
    for texts in (turns, [(role, "", "", "") for role, *_ in turns]):
        prepared = prepare_input(
            to_conversation(texts),
            model="acme/oracle",
            schema={"properties": {"prompt": {"type": "string"}}},
            prompt_format=name,
            tools=[{"name": "f"}],
        )
        prompts.append(prepared.input["prompt"])
    attacked, honest = (count(MARKS[name], prompt) for prompt in prompts)
    # Templates leave out the thoughts of old answers, with the marks around them.
    assert all(attacked[mark] <= honest[mark] for mark in honest)

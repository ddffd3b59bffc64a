"""A prediction's `input` as what a model was asked.

It knows the usual names of inputs and the marks of formats, and nothing of who made the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from replicate_stream.testing._tool_user import _demands
from replicate_stream.testing._tool_user._conversation import (
    Asked,
    Call,
    Form,
    Result,
    Role,
    Tool,
    Turn,
    as_call,
    as_tool,
)
from replicate_stream.testing._tool_user._dialects import DIALECTS
from replicate_stream.testing._tool_user._earlier import read_calls, read_results
from replicate_stream.testing._tool_user._formats import STRAY, read_prompt
from replicate_stream.testing._tool_user._offers import listed_tools
from replicate_stream.testing._tool_user._spelled import RESULT

_MESSAGES = ("messages", "chat_messages", "conversation", "chat")
_HISTORY = ("history", "chat_history", "conversation_history")
_SYSTEM = ("system_prompt", "system_instruction", "system_message", "system", "pre_prompt")
_TEXT = ("prompt", "message", "user_prompt", "text", "question", "query", "instruction", "input")
_OFFERED = ("tools", "functions")
_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def read_input(input_: Mapping[str, Any]) -> Asked:
    """What a model is asked by an input."""
    turns, begun, is_mixed = _turns(input_)
    offer = _Offer()
    for name in _OFFERED:
        offer.take(
            "native", (tool for each in _decoded(input_.get(name)) if (tool := as_tool(each)))
        )
    read = [_read(turn, offer) for turn in turns]
    told = [turn.text for turn in read if turn.role in {"system", "user"}]
    users = [turn.text for turn in read if turn.role == "user"]
    last = next((text for text in reversed(users) if not _demands.is_complaint(text)), "")
    system = "\n".join(turn.text for turn in read if turn.role == "system")
    if is_mixed:
        system = "\n".join((system, *users[:1]))
    must, named = _demands.must_call("\n".join(told), offer.tools)
    form = _form(input_, f"{system}\n{last}")
    if form is None or form.schema is None:  # then only words can say which keys it has
        form = _demands.form_of(f"{system}\n{last}") or form
    choice = _choice(input_.get("tool_choice"))
    if begun.strip() and offer.tools:
        must, named = True, _named_in(begun) or named
    if choice == "none":
        offer = _Offer()
    elif choice is not None and choice != "auto":
        must, named = True, None if choice == "required" else choice
    return Asked(
        turns=tuple(_tidy(read, is_mixed=is_mixed)),
        tools=tuple(offer.tools),
        dialect=offer.dialect,
        begun=begun,
        must_call=must and bool(offer.tools),
        named=named,
        is_single=_demands.at_most_one("\n".join(told))
        or input_.get("parallel_tool_calls") is False,
        form=form,
        stray=_stray(read),
    )


class _Offer:
    """The tools that were found, and the format of the first of them."""

    def __init__(self) -> None:
        self.tools: list[Tool] = []
        self.dialect: str | None = None

    def take(self, dialect: str, tools: Iterable[Tool]) -> None:
        """Add tools that were offered in a format."""
        found = [tool for tool in tools if tool not in self.tools]
        if found:
            self.tools += found
            self.dialect = self.dialect or dialect


def _turns(input_: Mapping[str, Any]) -> tuple[list[Turn], str, bool]:
    """The turns, the beginning of the answer, and whether the system text may be in a user's."""
    system = _first(input_, _SYSTEM)
    turns = [Turn("system", system)] if system else []
    for name in _MESSAGES:
        if messages := _decoded(input_.get(name)):
            native = [_native_turn(each) for each in messages if isinstance(each, Mapping)]
            return [*turns, *native], "", False
    for name in _HISTORY:
        texts = input_.get(name)
        if isinstance(texts, list):
            turns += [
                Turn("assistant" if at % 2 else "user", str(text)) for at, text in enumerate(texts)
            ]
    read = read_prompt(_first(input_, _TEXT))
    turns += [Turn(role, text) for role, text in read.turns]
    return turns, read.begun, read.has_system_inside and not system


def _first(input_: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        value = input_.get(name)
        if isinstance(value, list):
            value = "\n".join(map(str, value))
        if isinstance(value, str) and value:
            return value
    return ""


def _decoded(value: Any) -> list[Any]:
    """A list, from JSON text if need be, of things that may be JSON texts."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list):
        return []
    decoded = []
    for each in value:
        with suppress(ValueError):
            decoded.append(json.loads(each) if isinstance(each, str) else each)
    return decoded


def _native_turn(message: Mapping[str, Any]) -> Turn:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    role = _ROLES.get(str(message.get("role")), "user")
    if role == "tool":
        return Turn("tool", "", results=(Result(content, message.get("name")),))
    calls = tuple(call for each in message.get("tool_calls") or () if (call := as_call(each)))
    return Turn(role, content, tuple(_with_arguments(call) for call in calls))


def _with_arguments(call: Call) -> Call:
    with suppress(ValueError):
        if isinstance(call.arguments, str):
            return Call(call.name, json.loads(call.arguments))
    return call


def _read(turn: Turn, offer: _Offer) -> Turn:
    """A turn with what it holds of tools taken out of its text."""
    text = turn.text
    if turn.role == "offer":
        offer.take("granite" if text.startswith("[\n") else "mistral", listed_tools(text))
        return Turn("offer", "")
    if turn.role == "tool" and turn.results:
        return turn
    if offer.dialect in {"react", "code"} and (told := RESULT.match(text)):
        return Turn("tool", "", results=(Result(text[told.end() :].strip()),))
    if turn.role == "tool" or "<tool_response>" in text:
        return Turn("tool", "", results=tuple(read_results(text)))
    if turn.role == "assistant":
        if turn.calls:
            return turn
        said, calls = read_calls(text, offer.dialect)
        return Turn("assistant", said, tuple(calls))
    for name, dialect in DIALECTS.items():
        if found := dialect.find(text):
            tools, (start, end) = found
            offer.take(name, tools)
            text = f"{text[:start].rstrip()}\n\n{text[end:].lstrip()}".strip()
    return Turn(turn.role, text)


def _tidy(turns: Sequence[Turn], *, is_mixed: bool) -> list[Turn]:
    """The turns without the demands in them; a system text in the first user turn apart from it."""
    tidy: list[Turn] = []
    names: list[str] = []
    for turn in turns:
        if turn.role == "offer":
            continue
        if turn.role == "assistant":
            names = [call.name for call in turn.calls] or names
        if turn.role == "tool":
            tidy.append(Turn("tool", "", results=tuple(_named(turn.results, names))))
        elif turn.role in {"system", "user"}:
            tidy.append(Turn(turn.role, _demands.without_demands(turn.text)))
        else:
            tidy.append(turn)
    first = next((at for at, turn in enumerate(tidy) if turn.role == "user"), None)
    if is_mixed and first is not None:
        system, _, said = tidy[first].text.rpartition("\n\n")
        tidy[first : first + 1] = (
            [Turn("system", system), Turn("user", said)] if system else [tidy[first]]
        )
    return tidy


def _stray(turns: Iterable[Turn]) -> str | None:
    for turn in turns:
        results = (result.text for result in turn.results)
        for text in (turn.text, *results) if turn.role != "assistant" else ():
            if found := STRAY.search(text):
                return found.group()
    return None


def _named(results: Sequence[Result], names: list[str]) -> list[Result]:
    """Results with the names of the calls before them, in their order."""
    named = []
    for result in results:
        name = names.pop(0) if names else None
        named.append(Result(result.text, result.name or name))
    return named


def _named_in(begun: str) -> str | None:
    told = re.search(r'"name":\s*"([^"]+)"|begin\uff5c>([^<\uff5c]+)<\uff5ctool\u2581sep', begun)
    return (told[1] or told[2]) if told else None


def _choice(value: Any) -> str | None:
    """`none`, `auto`, `required`, or a tool's name; None if nothing is said."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping):
        value = value.get("function", value).get("name")
    return "required" if value == "any" else value


def _form(input_: Mapping[str, Any], said: str) -> Form | None:
    """The JSON that is asked for, by the model's own input or by words."""
    given = input_.get("response_format")
    if isinstance(given, str):
        with suppress(ValueError):
            given = json.loads(given)
    if not isinstance(given, Mapping) or given.get("type") == "text":
        return _demands.form_of(said)
    inner = given.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if schema is None and "properties" in given:
        schema = given
    return Form(schema) if schema is not None else _demands.form_of(said) or Form()

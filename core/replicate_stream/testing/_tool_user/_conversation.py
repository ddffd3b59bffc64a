"""What a model reads out of its input: who said what, which tools there are, what is demanded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool", "offer"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


Offer: TypeAlias = tuple[list[Tool], tuple[int, int]]
"""Tools, and where the words about them stand in a text."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; arguments that were no JSON are the text that was there."""

    name: str
    arguments: Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave, and the tool's name where it is known."""

    text: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation.

    Attributes:
        role: Who spoke; `offer` for a turn that holds nothing but tools.
        text: What was said beside calls and results.
        calls: What the model called in it.
        results: What tools gave in it.
    """

    role: Role
    text: str
    calls: tuple[Call, ...] = ()
    results: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """What JSON is asked for: that of a schema, or an object with these keys."""

    schema: Mapping[str, Any] | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that a model was asked.

    Attributes:
        turns: The conversation, without what was said of tools.
        tools: The tools that it may call.
        dialect: The format that they were offered in; None without any.
        begun: What stands in the prompt after the mark of the answer.
        must_call: Whether the answer has to be a call.
        named: The tool that has to be called.
        is_single: Whether one call is the most that is wanted.
        form: The JSON that the answer has to be.
        stray: A mark of a chat format where none belongs: the prompt is not in any format.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    dialect: str | None = None
    begun: str = ""
    must_call: bool = False
    named: str | None = None
    is_single: bool = False
    form: Form | None = None
    stray: str | None = None


def as_tool(value: Any) -> Tool | None:
    """A tool as OpenAI writes it, bare or under `function`; None for anything else."""
    inner = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return None
    parameters = inner.get("parameters")
    return Tool(
        inner["name"],
        str(inner.get("description") or ""),
        parameters if isinstance(parameters, Mapping) else {},
    )


def as_call(value: Any) -> Call | None:
    """A call as JSON, with `arguments` or `parameters`; None for anything else."""
    inner = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return None
    arguments = inner.get("arguments", inner.get("parameters", {}))
    return Call(inner["name"], arguments if isinstance(arguments, (str, Mapping)) else {})

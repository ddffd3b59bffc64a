"""Which tools a model may call, and whether it must: every accepted form of that, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._errors import InvalidInputError, wrong_type
from replicate_stream._types.messages import ToolSpec

Tool = ToolSpec | Mapping[str, Any]
_SCHEMA_KEYS = ("parameters", "input_schema", "schema")
_CHOICES: Mapping[Any, str] = {
    None: "auto",
    "auto": "auto",
    "none": "none",
    False: "none",
    "any": "required",
    "required": "required",
    True: "required",
}


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What a model is offered.

    Attributes:
        tools: The tools.
        native: The same as OpenAI writes them, with all that was given.
        choice: `auto`, `none`, `required`, or `named`.
        name: The tool that must be called, if one is named.
        is_single: Whether one call is all that is wanted of an answer.
    """

    tools: tuple[ToolSpec, ...]
    native: tuple[Mapping[str, Any], ...] = field(repr=False)
    choice: str = "auto"
    name: str | None = None
    is_single: bool = False

    @property
    def is_forced(self) -> bool:
        """Whether an answer without a call is none."""
        return self.choice in {"required", "named"}

    @property
    def is_offered(self) -> bool:
        """Whether the model may call anything."""
        return bool(self.tools) and self.choice != "none"

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names."""
        return tuple(tool.name for tool in self.tools)

    @property
    def demand(self) -> str:
        """What the model is told of the choice; empty if it is free."""
        limit = "Call at most one function." if self.is_single else ""
        if self.choice == "named":
            return f"You must call the function {self.name} now, and answer with nothing else."
        if self.choice == "required":
            must = "You must call one of the functions now, and answer with nothing else."
            return f"{must} {limit}".strip()
        return limit

    @property
    def native_choice(self) -> Any:
        """The choice as OpenAI writes it."""
        if self.choice == "named":
            return {"type": "function", "function": {"name": self.name}}
        return self.choice


def parse_tool_choice(
    tools: Sequence[Tool] | None, choice: Any, parallel: bool | None
) -> ToolChoice:
    """Every accepted form of tools and of a choice as one.

    Args:
        tools: `ToolSpec`s, or dicts as OpenAI writes them, or with the keys `name`, `description`
            and `parameters`.
        choice: `auto`, `none`, `any` or `required`, a tool's name, a boolean, or one of these in a
            dict, as OpenAI and Anthropic write it.
        parallel: Whether there may be several calls in one answer; None leaves it to the model.

    Raises:
        InvalidInputError: A tool without a name, two of one name, or a choice of what is not there.
    """
    offered: Any = () if tools is None else tools
    if not isinstance(offered, Sequence) or isinstance(offered, str):
        raise wrong_type("tools", tools, "a list of tools")
    if not isinstance(parallel, bool | None):
        raise wrong_type("parallel_tool_calls", parallel, "a boolean or None")
    listed = [_read_tool(tool, f"tools[{at}]") for at, tool in enumerate(offered)]
    names = [tool.name for tool, _ in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"tools has several named {', '.join(twice)}", fields=("tools",))
    kind, name = _read_choice(choice, names)
    return ToolChoice(
        tools=tuple(tool for tool, _ in listed),
        native=tuple(native for _, native in listed),
        choice=kind,
        name=name,
        is_single=parallel is False,
    )


def _read_tool(given: Any, where: str) -> tuple[ToolSpec, Mapping[str, Any]]:
    if isinstance(given, ToolSpec):
        return given, {"type": "function", "function": as_function(given)}
    inner: Any = given.get("function", given) if isinstance(given, Mapping) else {}
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not name:
        raise InvalidInputError(
            f"{where} has no name; a ToolSpec or a dict with name, description and parameters "
            "is needed",
            fields=(where,),
        )
    schema = next((inner[key] for key in _SCHEMA_KEYS if inner.get(key)), None)
    if schema is not None and not isinstance(schema, Mapping):
        raise wrong_type(f"{where}.parameters", schema, "a JSON schema")
    spec = ToolSpec(name, str(inner.get("description") or ""), schema or {"type": "object"})
    function = {**inner, **as_function(spec)} if "parameters" in inner else as_function(spec)
    return spec, {"type": "function", "function": function}


def as_function(tool: ToolSpec) -> dict[str, Any]:
    """A tool as the function that OpenAI's and most templates write."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }


def _read_choice(given: Any, names: Sequence[str]) -> tuple[str, str | None]:
    wanted = _bare_choice(given)
    known = isinstance(wanted, str | bool) or given is None
    kind = _CHOICES.get(wanted) if known and wanted not in names else None
    if kind == "required" and not names:
        raise _no_choice(given, "a tool must be given for it")
    if kind is not None:
        return kind, None
    if wanted not in names:
        options = ", ".join(("auto", "none", "required", *names))
        raise _no_choice(given, f"one of {options} is needed")
    return "named", wanted


def _bare_choice(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    inner = given.get("function", given)
    named = inner.get("name") if isinstance(inner, Mapping) else None
    return named or given.get("type")


def _no_choice(given: Any, needed: str) -> InvalidInputError:
    return InvalidInputError(f"tool_choice is {given!r}; {needed}", fields=("tool_choice",))

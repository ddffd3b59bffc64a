"""Tools that a model may call, and whether it must: every accepted form of both as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from replicate_stream._errors import InvalidInputError, describe_value, wrong_type
from replicate_stream._types.json_schema import (
    find_mismatch,
    find_schema_problem,
    to_parameters,
)
from replicate_stream._types.messages import ToolSpec

Choice: TypeAlias = Literal["auto", "none", "required", "named"]

# A tool's schema under the keys of OpenAI, Anthropic, and LangChain.
_SCHEMA_KEYS = ("parameters", "input_schema", "schema")
_CHOICES: Mapping[str | bool | None, Choice] = {
    None: "auto", "auto": "auto", "none": "none", False: "none",
    "any": "required", "required": "required", True: "required",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The tools of a request and the choice among them.

    Attributes:
        tools: The tools.
        openai_tools: The tools in OpenAI's format, with the further keys that came with them.
        choice: `auto`, `required`, or `named`.
        name: The tool that the model must call; None unless the choice is `named`.
        is_single: True if the answer may hold one call at most.
    """

    tools: tuple[ToolSpec, ...]
    openai_tools: tuple[Mapping[str, Any], ...] = field(repr=False)
    choice: Choice = "auto"
    name: str | None = None
    is_single: bool = False

    @property
    def is_forced(self) -> bool:
        """True if the model must call a tool."""
        return self.choice in {"required", "named"}

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names."""
        return tuple(tool.name for tool in self.tools)

    @property
    def schemas(self) -> dict[str, Mapping[str, Any]]:
        """The schema of each tool's arguments, by the name of the tool."""
        return {tool.name: tool.parameters for tool in self.tools}

    @property
    def instruction(self) -> str:
        """The choice in words, for a prompt; empty if the choice is free."""
        if self.choice == "named":
            return f"You must call the function {self.name} now, and answer with nothing else."
        limit = "Call at most one function." if self.is_single else ""
        if self.choice == "required":
            must = "You must call one of the functions now, and answer with nothing else."
            return f"{must} {limit}".strip()
        return limit

    @property
    def openai_choice(self) -> str | dict[str, Any]:
        """The choice in OpenAI's format."""
        if self.choice == "named":
            return {"type": "function", "function": {"name": self.name}}
        return self.choice


def parse_tool_choice(tools: Any, tool_choice: Any, parallel_tool_calls: Any) -> ToolChoice | None:
    """Parse the three arguments about tools.

    Args:
        tools: A list of `ToolSpec`s, of dicts in OpenAI's or Anthropic's format, or of dicts with
            the keys `name`, `description` and `parameters`; None for none.
        tool_choice: `auto`, `none`, `any` or `required`, a tool's name, a boolean, or one of these
            in a dict in OpenAI's or Anthropic's format; None for `auto`.
        parallel_tool_calls: False for one call at most; None leaves it to the model.

    Returns:
        The tools and the choice; None if the model must not call any, so that it is not shown any.

    Raises:
        InvalidInputError: A wrong type, a tool without a name, two tools of one name, or a choice
            that is not among the tools.
    """
    listed = () if tools is None else tools
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise wrong_type("tools", tools, "a list of tools")
    if not isinstance(parallel_tool_calls, bool | None):
        raise wrong_type("parallel_tool_calls", parallel_tool_calls, "a boolean or None")
    parsed = [_parse_tool(tool, f"tools[{i}]") for i, tool in enumerate(listed)]
    names = [tool.name for tool, _ in parsed]
    # A call names its tool and nothing else, so a name must be unique.
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise InvalidInputError(
            f"tools has several tools named {', '.join(duplicates)}", fields=("tools",)
        )
    choice, name = _parse_choice(tool_choice, names)
    if not parsed or choice == "none":
        return None
    return ToolChoice(
        tools=tuple(tool for tool, _ in parsed),
        openai_tools=tuple(openai_tool for _, openai_tool in parsed),
        choice=choice,
        name=name,
        is_single=parallel_tool_calls is False,
    )


def as_function(tool: ToolSpec) -> dict[str, Any]:
    """Convert a tool to the `function` of OpenAI's format, which most chat templates write too."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }


def find_arguments_problem(tool: ToolSpec, arguments: Mapping[str, Any]) -> str | None:
    """Describe why a call's arguments do not fit its tool, without their text; None if they fit.

    A tool's schema that is itself invalid fits everything.
    """
    if find_schema_problem(tool.parameters) is not None:
        return None
    mismatch = find_mismatch(tool.parameters, dict(arguments), tool.name)
    return None if mismatch is None else f"its call of {tool.name}{mismatch}"


def _parse_tool(tool: Any, path: str) -> tuple[ToolSpec, Mapping[str, Any]]:
    if isinstance(tool, ToolSpec):
        spec = replace(tool, parameters=to_parameters(tool.parameters))
        return spec, {"type": "function", "function": as_function(spec)}
    function: Any = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise InvalidInputError(
            f"{path} has no name; it must be a ToolSpec or a dict with name, description and "
            "parameters",
            fields=(path,),
        )
    schema = next((function[key] for key in _SCHEMA_KEYS if function.get(key)), None)
    if schema is not None and not isinstance(schema, Mapping):
        raise wrong_type(f"{path}.parameters", schema, "a JSON schema")
    spec = ToolSpec(name, str(function.get("description") or ""), to_parameters(schema or {}))
    # Further keys, such as OpenAI's `strict`, go to a model that has an input for tools.
    others = function if "parameters" in function else {}
    return spec, {"type": "function", "function": {**others, **as_function(spec)}}


def _parse_choice(tool_choice: Any, names: Sequence[str]) -> tuple[Choice, str | None]:
    value = _unwrap_choice(tool_choice)
    is_known_type = isinstance(value, str | bool) or tool_choice is None
    # A tool may be named `any` or `none`: its name wins over the word.
    choice = _CHOICES.get(value) if is_known_type and value not in names else None
    if choice == "required" and not names:
        raise _invalid_choice(tool_choice, "needs a tool in tools")
    if choice is not None:
        return choice, None
    if value not in names:
        options = ", ".join(("auto", "none", "required", *names))
        raise _invalid_choice(tool_choice, f"must be one of {options}")
    return "named", str(value)


def _unwrap_choice(tool_choice: Any) -> Any:
    """Get the name or the word out of `{"type": …, "function": {"name": …}}` and similar dicts."""
    if not isinstance(tool_choice, Mapping):
        return tool_choice
    function = tool_choice.get("function", tool_choice)
    name = function.get("name") if isinstance(function, Mapping) else None
    return name or tool_choice.get("type")


def _invalid_choice(tool_choice: Any, problem: str) -> InvalidInputError:
    return InvalidInputError(
        f"tool_choice is {describe_value(tool_choice)}; it {problem}", fields=("tool_choice",)
    )

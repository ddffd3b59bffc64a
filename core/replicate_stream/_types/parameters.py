"""The parameters of an answer: one table for the client, both adapters, and the command line.

Signatures stay written out, for readers and type checkers; tests compare them with this table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from replicate_stream._errors import invalid_value

OnUnsupported: TypeAlias = Literal["raise", "warn", "ignore"]
"""The policy for a parameter that the model has no input for."""


# A named tuple, because an adapter's import pays for it: a dataclass takes ten times as long.
class Parameter(NamedTuple):
    """A parameter of `Client.stream` and `Client.complete`.

    Attributes:
        name: Its name.
        type: The type of its values: a class or a union, without None.
        description: Its effect, in one sentence.
        default: The default. None leaves the choice to the model.
        minimum: The least number; None for no limit.
        maximum: The greatest number; None for no limit.
        is_setting: True if the adapters' model objects have it as a field, which a call can
            override; False if it belongs to one call. LlamaIndex's has no `include_usage`.
    """

    name: str
    type: Any
    description: str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    is_setting: bool = True


_Object = dict[str, Any]
_REASONING_EFFORT = "`none`, `minimal`, `low`, `medium`, `high`, …: the nearest that the model has."
_TOOL_CHOICE = "`auto`, `none`, `required`, or the name of the tool that must be called."
_RESPONSE_FORMAT = "The format of the answer: any JSON object, or JSON that fits a schema."
_VALIDATOR = "Raises an exception for JSON, or arguments of a required call, that do not fit."
_EXTRA_INPUT = "Further inputs of the model under its own names; they win over other parameters."
_PROMPT_FORMAT = "The family whose chat format is used, or `plain`; by default the model's own."
_COALESCE = "Hand on tokens that have arrived as one piece: fewer, larger pieces."
_MAX_REPAIRS = "Retries of an answer without the required call or JSON, each of which is paid."

PARAMETERS = (
    Parameter("system_prompt", str, "A system text, before those among the messages."),
    Parameter("max_tokens", int, "The longest answer, in tokens.", minimum=1),
    Parameter("temperature", float, "Randomness; 0 picks the most likely tokens.", minimum=0),
    Parameter("top_p", float, "Sample from this share of probability.", minimum=0, maximum=1),
    Parameter("top_k", int, "Sample from this many tokens; 0 or -1: from all.", minimum=-1),
    Parameter("stop", str | list[str], "Texts that end the answer and are not part of it."),
    Parameter("seed", int, "Makes answers repeatable on models that support it."),
    Parameter("presence_penalty", float, "Penalty for tokens that have occurred."),
    Parameter("frequency_penalty", float, "Penalty for tokens, by how often they have occurred."),
    Parameter("reasoning_effort", str, _REASONING_EFFORT),
    # Tools and formats belong to one call: `bind_tools` and similar methods set them per call.
    Parameter("tools", list[Any], "Tools that the model may call.", is_setting=False),
    Parameter("tool_choice", str | bool | _Object, _TOOL_CHOICE, is_setting=False),
    Parameter("parallel_tool_calls", bool, "False: one tool call at most.", is_setting=False),
    Parameter("response_format", _Object, _RESPONSE_FORMAT, is_setting=False),
    Parameter("validator", Callable[[Any], object], _VALIDATOR, is_setting=False),
    Parameter("extra_input", _Object, _EXTRA_INPUT),
    Parameter("prompt_format", str, _PROMPT_FORMAT),
    Parameter("include_usage", bool, "Get token counts, and verify the text.", default=True),
    Parameter("coalesce", bool, _COALESCE, default=False),
    Parameter("max_repairs", int, _MAX_REPAIRS, default=1, minimum=0),
)
"""In the order of `Client.stream`."""
_ARGUMENTS = ("model", "messages", *(parameter.name for parameter in PARAMETERS))


def check_on_unsupported(value: str) -> OnUnsupported:
    """Validate the argument `on_unsupported`.

    Raises:
        InvalidInputError: It is another value.
    """
    if value not in get_args(OnUnsupported):
        raise invalid_value("on_unsupported", value, "'raise', 'warn' or 'ignore'")
    return cast("OnUnsupported", value)


def check_arguments(method: str, names: Iterable[str]) -> None:
    """Reject arguments that a method of `Client` does not have, as `check_argument_names` does."""
    check_argument_names(f"Client.{method}", names, _ARGUMENTS, input_argument="extra_input")


def check_argument_names(
    owner: str,
    names: Iterable[str],
    known: Collection[str],
    replaced: Mapping[str, str] = MappingProxyType({}),
    *,
    input_argument: str,
) -> None:
    """Reject arguments with unknown names.

    Frameworks pass over a misspelt name, and the model would be run, and paid, without it.

    Args:
        owner: The class or method that takes the arguments.
        names: The names of the arguments.
        known: The names that it takes.
        replaced: Names that another class for the same framework takes, with the remedy.
        input_argument: The argument that takes inputs of the model under its own names.

    Raises:
        TypeError: A name is unknown. The message has the remedy, or the closest known name and the
            argument for an input of the model.
    """
    for name in names:
        if name in known:
            continue
        if name in replaced:
            raise TypeError(f"{owner} has no argument {name!r}: {replaced[name]}")
        import difflib  # as large as this package, and only a mistake needs it

        close = difflib.get_close_matches(name, known, n=1)
        listed = f"known are {', '.join(sorted(known))}"
        # Always named: models have inputs, such as `min_tokens`, that are close to a parameter.
        inputs = f"if it is an input of the model, use {input_argument}={{{name!r}: …}}"
        hint = f"did you mean {close[0]!r}? Or, {inputs}" if close else f"{inputs}; {listed}"
        raise TypeError(f"{owner} has no argument {name!r}; {hint}")

"""A request: the messages and parameters of one answer, and what it becomes for a model.

`build_request` validates and parses them once, before anything is looked up or paid. The request
does not depend on the model's schema; `_request.prepare` adapts it to a model.

Annotations are evaluated here, as in `_types.messages`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from replicate_stream._errors import invalid_value, too_deep, wrong_type
from replicate_stream._frozen import fill_slots
from replicate_stream._lazy import public
from replicate_stream._types.media import Upload
from replicate_stream._types.messages import Message, Messages, ToolSpec, to_messages
from replicate_stream._types.parameters import PARAMETERS, Parameter
from replicate_stream._types.response_format import ResponseFormat, parse_response_format
from replicate_stream._types.strict_json import is_too_deep, replace_surrogates
from replicate_stream._types.tool_choice import ToolChoice, parse_tool_choice

OutputKind: TypeAlias = Literal["pieces", "alternatives", "text", "object", "file"]

_NUMERIC = {each.name: each for each in PARAMETERS if each.type in {int, float}}
_SAMPLING = tuple(name for name in _NUMERIC if name != "max_repairs")


@fill_slots
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The messages and parameters of one answer. Built by `build_request`.

    Attributes:
        model: The model reference, as for `Client.stream`.
        messages: At least one message.
        system_prompt: A system text, before those among the messages.
        max_tokens: This and the other numbers are as for `Client.stream`.
        stop: The stop sequences, each once.
        tools: The tools and the choice among them; None if the model may call none.
        response_format: The format of the answer; None for text.
        validator: Raises an exception for JSON or arguments that the schema cannot exclude.
        extra_input: Further inputs of the model under its own names.
        prompt_format: The name of a chat format, or `plain`; None: chosen by the model.
        include_usage: Request the token counts when the answer has ended.
        coalesce: Hand on what has arrived as one piece.
        max_repairs: The largest number of repeated requests for an answer that is rejected.
    """

    model: str
    messages: Sequence[Message]
    system_prompt: str | None = field(default=None, repr=False)
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = field(default=(), repr=False)
    tools: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    validator: Callable[[Any], object] | None = field(default=None, repr=False)
    extra_input: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prompt_format: str | None = None
    include_usage: bool = True
    coalesce: bool = False
    max_repairs: int = 1

    @property
    def sampling(self) -> dict[str, float]:
        """The numbers that are set and go to the model, by parameter."""
        return {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}


Missing: TypeAlias = Literal["call", "answer"]
"""What an answer leaves out although it has begun it."""


@fill_slots
@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """Tools and format that an answer is parsed for and checked against.

    Attributes:
        tools: The tools that the model was offered; None for none.
        tool_formats: The names of the tool formats that the model was offered or trained on.
        prefix: The start of the answer, if the prompt ends with it.
        response_format: The format that the answer must have; None for text.
        reasoning_tag: The opening tag of the reasoning that the answer begins in, if the prompt
            ends with it; empty if the model writes it itself.
        validator: As for `Request`.
    """

    tools: ToolChoice | None = None
    tool_formats: tuple[str, ...] = ()
    prefix: str = field(default="", repr=False)
    response_format: ResponseFormat | None = None
    reasoning_tag: str = ""
    validator: Callable[[Any], object] | None = field(default=None, repr=False)

    @property
    def is_checked(self) -> bool:
        """True if an answer can be rejected."""
        return self.response_format is not None or self.tools is not None


@public
@dataclass(frozen=True, slots=True)
class PreparedInput:
    """The input that `prepare_input` built for a model.

    Attributes:
        input: The `input` object under the model's own names.
        notes: Each adaptation to the model in one sentence, without the text of a prompt.
        stop: All stop sequences. The client enforces them on every model.
        max_tokens: The longest answer in tokens, as sent; None if no bound was sent.
    """

    input: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


@fill_slots
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput(PreparedInput):
    """A prediction's input, and what the client needs to send it and to read the answer.

    Attributes:
        output_kind: The kind of output that the model's schema announces; None if it is unknown.
        uploads: Files that have to be read or uploaded before `input` is complete. They replace
            their placeholders in that dict, which is why it is not a frozen mapping.
        expected_answer: Tools and format of the answer.
        default_max_tokens: The longest answer in tokens if no bound is sent; None if it is unknown.
    """

    output_kind: OutputKind | None
    uploads: list[Upload]
    expected_answer: ExpectedAnswer
    default_max_tokens: int | None = None


@public
@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """The HTTP request that `Client.prepare` built.

    Attributes:
        url: The URL that would create the prediction.
        body: The JSON body.
        notes: Each adaptation to the model in one sentence, without the text of a prompt.
    """

    url: str
    body: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)


def build_request(
    model: str,
    messages: Messages,
    *,
    system_prompt: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    reasoning_effort: str | None = None,
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
    tool_choice: str | bool | Mapping[str, Any] | None = None,
    parallel_tool_calls: bool | None = None,
    response_format: Mapping[str, Any] | None = None,
    validator: Callable[[Any], object] | None = None,
    extra_input: Mapping[str, Any] | None = None,
    prompt_format: str | None = None,
    include_usage: bool = True,
    coalesce: bool = False,
    max_repairs: int = 1,
) -> Request:
    """Validate the arguments of `Client.stream` and parse them.

    Raises:
        InvalidInputError: Names the argument, and what it must be.
    """
    if validator is not None and not callable(validator):
        raise wrong_type("validator", validator, "a function or None")
    if system_prompt is not None and not isinstance(system_prompt, str):
        raise wrong_type("system_prompt", system_prompt, "a string or None")
    for name, value in (
        ("tools", _get_schemas(tools)),
        ("tool_choice", tool_choice),
        ("response_format", response_format),
        ("extra_input", extra_input),
    ):
        if value and is_too_deep(value):
            raise too_deep(name)
    request = Request(
        model=model,
        system_prompt=system_prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        # An answer is compared with what the model was sent.
        stop=() if stop is None else _parse_stop(replace_surrogates(stop)),
        tools=_parse_tools(tools, tool_choice, parallel_tool_calls),
        response_format=None
        if response_format is None
        else parse_response_format(replace_surrogates(response_format)),
        validator=validator,
        extra_input=_parse_extra_input(extra_input, reasoning_effort),
        prompt_format=prompt_format,
        include_usage=_parse_flag("include_usage", include_usage, default=True),
        coalesce=_parse_flag("coalesce", coalesce, default=False),
        max_repairs=max_repairs,
        messages=to_messages(messages),  # last: a conversation takes the longest to check
    )
    for name, parameter in _NUMERIC.items():
        value = getattr(request, name)
        if value is not parameter.default:  # not `==`, by which True is 1
            _check_number(parameter, value)
    return request


def _get_schemas(tools: Any) -> list[Any]:
    items = tools if isinstance(tools, (list, tuple)) else ()
    return [each.parameters if isinstance(each, ToolSpec) else each for each in items]


def _parse_tools(tools: Any, tool_choice: Any, parallel_tool_calls: Any) -> ToolChoice | None:
    if tools is None and tool_choice is None and parallel_tool_calls is None:
        return None
    if isinstance(tools, list | tuple):
        tools = [_replace_in_tool(tool) for tool in tools]
    return parse_tool_choice(tools, replace_surrogates(tool_choice), parallel_tool_calls)


def _replace_in_tool(tool: Any) -> Any:
    if not isinstance(tool, ToolSpec):
        return replace_surrogates(tool)
    return ToolSpec(*replace_surrogates([tool.name, tool.description, tool.parameters]))


def _check_number(parameter: Parameter, value: Any) -> None:
    name, minimum, maximum = parameter.name, parameter.minimum, parameter.maximum
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise invalid_value(name, value, "a number")
    # 5.0 is accepted for 5: JSON and many configuration files know one type of number.
    if parameter.type is int and value != int(value):
        raise invalid_value(name, value, "a whole number")
    if minimum is not None and value < minimum:
        raise invalid_value(name, value, f"{minimum} or more")
    if maximum is not None and value > maximum:
        raise invalid_value(name, value, f"{maximum} or less")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _parse_flag(name: str, value: Any, *, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong_type(name, value, "True or False")
    return value


def _parse_stop(stop: Any) -> tuple[str, ...]:
    if not isinstance(stop, Sequence):
        raise wrong_type("stop", stop, "a string or a list of strings")
    # A string is a sequence too, of its characters.
    sequences = (stop,) if isinstance(stop, str) else tuple(stop)
    for index, each in enumerate(sequences):
        name = "stop" if isinstance(stop, str) else f"stop[{index}]"
        if not isinstance(each, str):
            raise wrong_type(name, each, "a string")
        if not each:
            raise invalid_value(name, each, "a string that is not empty")
    return tuple(dict.fromkeys(sequences))


def _parse_extra_input(extra_input: Any, reasoning_effort: Any) -> Mapping[str, Any]:
    if not extra_input and reasoning_effort is None:
        return {}
    extra_input = extra_input or {}
    if not isinstance(extra_input, Mapping) or not all(isinstance(k, str) for k in extra_input):
        raise wrong_type("extra_input", extra_input, "a dict of inputs by name")
    if reasoning_effort is None:
        return extra_input
    if not isinstance(reasoning_effort, str):
        raise wrong_type("reasoning_effort", reasoning_effort, "a string or None")
    # No input is the effort's alone, so it is adapted where the further inputs are.
    return {"reasoning_effort": reasoning_effort, **extra_input}

"""Formats of tool calling: how a prompt offers tools, calls and results, and how calls are read.

`ToolFormat` is the base class, `HermesToolFormat` the format that most models follow: Hermes 2 Pro
introduced it, and Qwen gave it the words below. It is the default for models whose own format is
not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from replicate_stream._errors import InvalidInputError
from replicate_stream._model.families.turn import Calls, Marks, Role, Tools, Turn, neutralize
from replicate_stream._types.strict_json import parse_strict_json

if TYPE_CHECKING:
    from replicate_stream._types.messages import ToolCall, ToolSpec

Neutralize: TypeAlias = Callable[[str], str]
"""Breaks the marks of turns that a text holds."""


ParsedCall: TypeAlias = "tuple[str, dict[str, Any] | None]"
"""The name of a tool and the arguments of its call; None for arguments that are malformed."""
Schemas: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The schema of each offered tool's arguments, by the name of the tool."""


class CallMark(NamedTuple):
    """A mark that opens a tool call in an answer.

    A mark that is a special token of a tokenizer is known in the answers of every model, because
    models fall back on each other's formats. Any other mark is known only where its format is the
    model's own, or was offered.

    Attributes:
        opening: The mark.
        closings: The marks that may follow the call's JSON. With `parse`, the call ends at one of
            them, or with the answer.
        header: A pattern for the text between the mark and the arguments, with the tool's name in
            its only group that matches; None if the JSON of a call or of a list of calls follows.
        header_start: A pattern for the beginnings of a header: while it matches, more text may
            still complete the header.
        has_fence: True if the JSON may stand in a code fence.
        ends_broken_call: True if the mark ends a call before it whose JSON is broken; False for a
            mark that only opens an answer, and that no second call has.
        parse: Parses the whole text between the header and the closing mark, where that is not
            JSON: takes it, the name in the header ("" for none) and the schemas of all tools, and
            returns the calls; None if it is malformed or incomplete.
        needs_closing: True if text that `parse` takes may still lack an argument, so that it counts
            only with a closing mark.
        is_own: True if the mark is known only where its format is the model's own or was offered,
            although it is a special token.
        is_message: True if the call is a message of its own, so that it stands in no sentence.
        opens_code: True if whatever directly follows the mark at the start of a line is code.
        words_end: The mark that may end the text of the answer, where that stands between the mark
            and the JSON of its calls; empty for none.
    """

    opening: str
    closings: tuple[str, ...] = ()
    header: str | None = None
    header_start: str = r"[\s\S]*"
    has_fence: bool = True
    ends_broken_call: bool = True
    parse: Callable[[str, str, Schemas], Sequence[ParsedCall] | None] | None = None
    needs_closing: bool = False
    is_own: bool = False
    is_message: bool = False
    opens_code: bool = False
    words_end: str = ""


_NAMESPACES = ("functions.", "default_api.")
_NUMBER = re.compile(r":\d+\Z")

PIPE_CALL = CallMark("<|tool_call|>", ("<|/tool_call|>", "</tool_call>"))
"""The mark of Phi 4 mini and of Granite."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call.

    Attributes:
        text: The result, its marks broken already.
        name: The tool, where it is known.
        call_id: The id of the call that it answers.
    """

    text: str = field(repr=False)
    name: str | None = None
    call_id: str | None = None


class ToolFormat:
    """Renders tools, calls and results in a prompt, and names the marks of calls in an answer.

    Args:
        neutralize: Breaks the marks of turns in a text.
        assistant: The marks around an answer of the model, in the chat template of the prompt.
        system: The marks around the system text there; None if the model applies its own template.

    Attributes:
        control_marks: A pattern for the marks that would forge a call or a result.
        call_marks: The marks that open a call in an answer; empty if calls are bare JSON.
        frame_marks: The marks around all calls of an answer. They are skipped.
        result_marks: The marks that open a result: a model that writes one invents it.
        answer_tools: The names under which a model calls for an answer in words instead of a tool.
        before_calls: The characters between the text of an answer and its calls.
        calls_layout: The characters before all calls, between two, and behind all.
        arguments_key: The member of a call's JSON that holds the arguments.
        has_control_tokens: True if the marks are control tokens between the turns. Such a format
            can only be used in a prompt that is rendered in the family's own chat template.
        is_before_system: True if the tools stand before the system text.
        has_own_turn: True if the tools have a turn of the system's beside that of the system text.
        call_start: The mark of a call that ends each prompt too, so that an answer whose first line
            is the name of a tool begins with a call.
        generation_prompt: The end of a prompt with tools, if it is not the chat template's.
        after_results: The text behind results, where the model goes on without a mark that opens a
            turn; None if a turn is opened.
    """

    control_marks: ClassVar[str]
    call_marks: ClassVar[tuple[CallMark, ...]] = ()
    frame_marks: ClassVar[tuple[str, ...]] = ()
    result_marks: ClassVar[tuple[str, ...]] = ()
    answer_tools: ClassVar[tuple[str, ...]] = ()
    before_calls: ClassVar[str] = "\n"
    calls_layout: ClassVar[tuple[str, str, str]] = ("", "\n", "")
    arguments_key: ClassVar[str] = "arguments"
    has_control_tokens: ClassVar[bool] = False
    is_before_system: ClassVar[bool] = False
    has_own_turn: ClassVar[bool] = False
    call_start: ClassVar[str] = ""
    generation_prompt: ClassVar[str | None] = None
    after_results: ClassVar[str | None] = None

    def __init__(
        self,
        neutralize: Neutralize,
        assistant: Marks = ("", ""),
        system: Marks | None = None,
    ) -> None:
        self.assistant = assistant
        self.system = system
        self._neutralize = neutralize

    def neutralize(self, text: str) -> str:
        """Break the marks of turns, calls and results that a text holds."""
        return neutralize(self.control_marks, self._neutralize(text))

    def render_tools(self, tools: Tools) -> str:
        """Render the offer of the tools in the system text; empty if they stand elsewhere."""
        return ""

    def join_system(self, system: str, offer: str) -> str:
        """Join the system text and the offer of the tools, either of which may be empty."""
        parts = (offer, system) if self.is_before_system else (system, offer)
        opening, closing = self.system or ("", "\n\n")
        separator = closing + opening if self.has_own_turn else "\n\n"
        return separator.join(part for part in parts if part)

    def render_start(self, start: str, tools: Tools) -> str:
        """Render the beginning of the prompt, before the system text."""
        return start

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        """Insert the tools into the conversation, if they have a turn of their own."""
        return turns

    def render_calls(self, calls: Calls) -> str:
        """Render calls as the model writes them."""
        start, separator, end = self.calls_layout
        return start + separator.join(map(self.dump_call, calls)) + end

    def render_answer(self, text: str, calls: Calls) -> Turn:
        """Render an answer of the model with its calls as a turn."""
        parts = [part for part in (text, self.render_calls(calls)) if part]
        return Turn("assistant", self.before_calls.join(parts), is_rendered=True)

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        """Render the results of successive calls as turns."""
        return [Turn("tool", each.text, is_rendered=True) for each in results]

    def prefill(self, name: str | None) -> str:
        """Render the beginning of a call of one tool, or of any, with which a prompt forces it."""
        start = self.calls_layout[0]
        if name is None:
            return f'{start}{{"name":'
        return f'{start}{{"name": {to_json(name)}, "{self.arguments_key}":'

    # For subclasses: the parts of most formats.

    def dump_tool(self, tool: ToolSpec, indent: int | None = None) -> str:
        """Render a tool as JSON in OpenAI's format, which most templates contain."""
        return self.neutralize(to_json(_to_openai(tool), indent))

    def dump_tools(self, tools: Tools, indent: int | None = None) -> str:
        """Render tools as one JSON list in OpenAI's format."""
        return self.neutralize(to_json([_to_openai(tool) for tool in tools], indent))

    def dump_function(self, tool: ToolSpec, indent: int | None = None) -> str:
        """Render a tool as JSON without the frame that OpenAI's format has around it."""
        return self.neutralize(to_json(_to_openai(tool)["function"], indent))

    def dump_call(self, call: ToolCall) -> str:
        """Render a call as JSON."""
        arguments = self.dump_arguments(call)
        return f'{{"name": {to_json(call.name)}, "{self.arguments_key}": {arguments}}}'

    def dump_arguments(self, call: ToolCall) -> str:
        """Render the arguments of a call as JSON, or as the model wrote them if malformed."""
        arguments = load_arguments(call)
        return self.neutralize(arguments if isinstance(arguments, str) else to_json(arguments))

    def dump_parameters(
        self, call: ToolCall, layout: str, dump: Callable[[Any], str] | None = None
    ) -> str:
        """Render each argument of a call by a layout, or all as the model wrote them if malformed.

        Args:
            call: The call.
            layout: The layout of one, with `{key}`, `{value}`, and `{is_text}`, `true` or `false`.
            dump: Renders a value that is not a text; None for JSON.
        """
        arguments = load_arguments(call)
        if not isinstance(arguments, dict):
            return self.dump_arguments(call)
        dump = to_json if dump is None else dump
        return "".join(
            layout.format(
                key=self.neutralize_name(key),
                value=self.neutralize(value if isinstance(value, str) else dump(value)),
                is_text="true" if isinstance(value, str) else "false",
            )
            for key, value in arguments.items()
        )

    def neutralize_name(self, name: str) -> str:
        """Break the marks in a name, also one that `>` behind the name would complete."""
        return self.neutralize(f"{name}>")[:-1]


class HermesToolFormat(ToolFormat):
    """JSON between `<tool_call>` tags.

    Sources: the model card of NousResearch/Hermes-2-Pro-Llama-3-8B for calls and results, and
    `chat_template` of Qwen/Qwen2.5-7B-Instruct, tokenizer_config.json, for the offer.

    Attributes:
        result_role: The role whose marks go around results.
        has_result_names: True if a result carries the tool's name, if that is known.
    """

    control_marks = r"</?tool_(?:call|response)>|</?tools>"
    call_marks: ClassVar[tuple[CallMark, ...]] = (CallMark("<tool_call>", ("</tool_call>",)),)
    result_marks: ClassVar[tuple[str, ...]] = ("<tool_response>",)
    calls_layout = ("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>")
    result_role: ClassVar[Role] = "tool"
    has_result_names: ClassVar[bool] = True

    def render_tools(self, tools: Tools) -> str:
        listed = "\n".join(map(self.dump_tool, tools))
        return (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags:\n"
            '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        texts = [
            to_json({"name": each.name, "content": each.text})
            if self.has_result_names and each.name is not None
            else each.text
            for each in results
        ]
        written = "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)
        return [Turn(self.result_role, written, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        return self.calls_layout[0] if name is None else super().prefill(name)


def resolve_name(name: str, schemas: Schemas) -> str:
    """Leave out what models add to a tool's name, where only the name without it was offered.

    That is the namespace of OpenAI's models or of Google's, and the number in Kimi's ids.
    """
    short = _NUMBER.sub("", name)
    for namespace in _NAMESPACES:
        short = short.removeprefix(namespace)
    return short if short in schemas and name not in schemas else name


def load_arguments(call: ToolCall) -> Any:
    """Return the arguments of a call as values, or as the model wrote them if malformed."""
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        # OpenAI has them as a JSON string. A malformed one is kept, so that the model sees
        # what it wrote next to the tool's error message.
        with suppress(ValueError):
            arguments = parse_strict_json(arguments)
    return arguments


def to_json(value: Any, indent: int | None = None) -> str:
    """Serialize a value as JSON with readable Unicode, which is how prompts contain it.

    Raises:
        InvalidInputError: A tool or a call holds a value that JSON cannot express.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except (TypeError, RecursionError) as error:
        raise InvalidInputError(
            f"tools, or a call of one, cannot be written as JSON: {error}", fields=("tools",)
        ) from error


def _to_openai(tool: ToolSpec) -> dict[str, Any]:
    # Imported late, like the types above: the adapters load the families when a model object is
    # constructed, which should not wait for modules that only a request needs.
    from replicate_stream._types.tool_choice import as_function

    return {"type": "function", "function": as_function(tool)}

"""Cohere's Command R and R+, Aya, Command R7B and Command A.

Sources: `chat_template` of CohereForAI/c4ai-command-r-plus and of
CohereForAI/c4ai-command-r7b-12-2024, tokenizer_config.json; for tools,
models/templates/CohereForAI-c4ai-command-r-plus-tool_use.jinja and
CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja of ggml-org/llama.cpp; `max_position_embeddings`
in config.json. Command A: the template of CohereLabs/c4ai-command-a-03-2025 in
packages/jinja/test/e2e.test.js of huggingface/huggingface.js. It fills in its long system text
always; R7B has one template with that text, for tools, and a default one without it. The latter
strips white space around questions and answers, as Command R's does; so do the prompts with tools
here, although the template for tools does not. Command R's template for tools fails on a parameter
without a description, on the type `null`, and on objects without a schema of their members: here
the description is empty, and such types are `Any`.
Command A Reasoning gets the prompts of Command A, and the tags around its reasoning are those of
CohereLabs/command-a-reasoning-08-2025.
"""

from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any, ClassVar

from replicate_stream._model.families.cohere_texts import (
    DEFAULTS,
    DEVELOPER,
    PREAMBLE,
    SAFETY,
    TOOL_USE,
)
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import (
    CallMark,
    Neutralize,
    ToolFormat,
    ToolResult,
    load_arguments,
    to_json,
)
from replicate_stream._model.families.turn import Calls, Marks, Tools, Turn

_SYSTEM = "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
_ANSWER = "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
_TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}


class CommandRToolFormat(ToolFormat):
    """Tools as signatures in Python, and calls as a list behind `Action:`.

    The template asks for a list of actions in a last turn of the system, and names the tool
    `directly-answer` for an answer without one. It gives every system text a heading.
    """

    control_marks = r"</?results>|Action:(?=\s*(?:```|[\[{]))"
    call_marks = (CallMark("Action:", ends_broken_call=False),)
    answer_tools = ("directly-answer", "directly_answer")
    before_calls = "\n"
    calls_layout = ("Action:\n```json\n[\n", ",\n", "\n]```\n")
    has_control_tokens = True

    def render_tools(self, tools: Tools) -> str:
        return "\n\n".join(map(self._render_signature, tools))

    def join_system(self, system: str, offer: str) -> str:
        return (
            "# Safety Preamble\nThe instructions in this section override those in the task "
            "description and style guide sections. Don't answer questions that are harmful or "
            "immoral.\n\n# System Preamble\n## Basic Rules\nYou are a powerful conversational AI "
            "trained by Cohere to help people. You are augmented by a number of tools, and your "
            "job is to use and consume the output of these tools to best help the user. You will "
            "see a conversation history between yourself and a user, ending with an utterance from "
            "the user. You will then see a specific instruction instructing you what kind of "
            "response to generate. When you answer the user's requests, you cite your sources in "
            "your answers, according to those "
            f"instructions.\n\n# User Preamble\n{system or PREAMBLE}\n\n## Available Tools\nHere "
            f"is a list of tools that you have available to you:\n\n{offer}"
        )

    def insert_tools(self, tools: Tools, turns: list[Turn]) -> list[Turn]:
        demand = (
            "Write 'Action:' followed by a json-formatted list of actions that you want to perform "
            "in order to produce a good response to the user's last input. You can use any of the "
            "supplied tools any number of times, but you should aim to execute the minimum number "
            "of necessary actions for the input. You should use the `directly-answer` tool if "
            "calling the other tools is unnecessary. The list of actions you want to call should "
            "be formatted as a list of json "
            'objects, for example:\n```json\n[\n    {\n        "tool_name": title of the tool in '
            'the specification,\n        "parameters": a dict of parameters to input into the tool '
            "as they "
            "are defined in the specs, or {} if it takes no parameters\n    }\n]```"
        )
        return [*turns, Turn("none", demand.join(_SYSTEM), is_rendered=True)]

    def render_answer(self, text: str, calls: Calls) -> Turn:
        # No mark ends the turn, and the calls begin a line without a text too.
        written = f"{self.assistant[0]}{text}\n{self.render_calls(calls)}"
        return Turn("none", written, is_rendered=True)

    def render_calls(self, calls: Calls) -> str:
        listed = []
        for call in calls:
            arguments = load_arguments(call)
            written = self.neutralize(
                arguments
                if isinstance(arguments, str)
                else to_json(arguments, 4 if arguments else None)
            )
            members = f'"tool_name": {to_json(call.name)},\n"parameters": {written}'
            listed.append(f"    {{\n{indent(members, ' ' * 8)}\n    }}")
        start, separator, end = self.calls_layout
        return start + separator.join(listed) + end

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        texts = [f"<results>\n{each.text.strip()}</results>" for each in results]
        return [Turn("none", text.join(_SYSTEM), is_rendered=True) for text in texts]

    def prefill(self, name: str | None) -> str:
        start = f'{self.calls_layout[0]}    {{\n        "tool_name": '
        return start if name is None else f'{start}{to_json(name)},\n        "parameters":'

    def _render_signature(self, tool: Any) -> str:
        properties: Mapping[str, Any] = tool.parameters.get("properties") or {}
        required = tool.parameters.get("required") or ()
        kinds = {name: _to_python(schema) for name, schema in properties.items()}
        optional = {
            name: f"Optional[{kind}]" for name, kind in kinds.items() if name not in required
        }
        head = ", ".join(
            f"{name}: {optional[name]} = None" if name in optional else f"{name}: {kind}"
            for name, kind in kinds.items()
        )
        arguments = "".join(
            f"\n        {name} ({optional.get(name, kind)}): "
            f"{properties[name].get('description', '')}"
            for name, kind in kinds.items()
        )
        documented = f"\n\n    Args:{arguments}" if arguments else ""
        return self.neutralize(
            f"```python\ndef {tool.name}({head}) -> List[Dict]:\n    "
            f'"""{tool.description}{documented}\n'
            '    """\n    pass\n```'
        )


def _to_python(schema: Mapping[str, Any]) -> str:
    """Name a JSON schema's type as a hint in Python."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return f"Union[{','.join(_TYPES.get(each, 'Any') for each in kind)}]"
    if kind == "array":
        return f"List[{_to_python(schema.get('items') or {})}]"
    if kind == "object":
        members = schema.get("additionalProperties")
        return f"Dict[str, {_to_python(members if isinstance(members, Mapping) else {})}]"
    return _TYPES.get(str(kind), "Any")


class CommandR7BToolFormat(ToolFormat):
    """Calls as a list between control tokens, with numbers for ids, behind a thought.

    With tools the template has a system text of its own, which the one of the request ends.
    """

    control_marks = r"<\|(?:START|END)_(?:THINKING|ACTION|TOOL_RESULT|RESPONSE)\|>"
    call_marks = (CallMark("<|START_ACTION|>", ("<|END_ACTION|>",)),)
    frame_marks = ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
    result_marks = ("<|START_TOOL_RESULT|>",)
    has_control_tokens = True
    generation_prompt: ClassVar[str | None] = _ANSWER[0]

    def __init__(
        self, neutralize: Neutralize, assistant: Marks = ("", ""), system: Marks | None = None
    ) -> None:
        super().__init__(neutralize, assistant, system)
        self._numbers: dict[str, int] = {}

    def render_tools(self, tools: Tools) -> str:
        return ",\n".join(
            f'    {{"name": {to_json(tool.name)}, "description": '
            f"{self.neutralize(to_json(tool.description))}, "
            f'"parameters": {self.neutralize(to_json(dict(tool.parameters)))}, "responses": null}}'
            for tool in tools
        )

    def join_system(self, system: str, offer: str) -> str:
        developer = f"\n\n{DEVELOPER}\n{system}" if system else ""
        return f"{TOOL_USE}\n\n```json\n[\n{offer}\n]\n```\n\n{DEFAULTS}{developer}"

    def render_answer(self, text: str, calls: Calls) -> Turn:
        thought = f"<|START_THINKING|>{text}<|END_THINKING|>"
        return Turn("none", (thought + self.render_calls(calls)).join(_ANSWER), is_rendered=True)

    def render_calls(self, calls: Calls) -> str:
        listed = ",\n".join(map(self.dump_call, calls))
        return f"<|START_ACTION|>[\n{listed}\n]<|END_ACTION|>"

    def dump_call(self, call: Any) -> str:
        number = self._numbers.setdefault(call.id, len(self._numbers))
        return (
            f'    {{"tool_call_id": "{number}", "tool_name": {to_json(call.name)}, '
            f'"parameters": {self.dump_arguments(call)}}}'
        )

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        numbers = [self._numbers.get(each.call_id or "", 0) for each in results]
        listed = ",\n".join(
            f'    {{\n        "tool_call_id": "{number}",\n'
            f'        "results": {{\n            "0": {to_json(each.text)}\n        }},\n'
            '        "is_error": null\n    }'
            for number, each in zip(numbers, results, strict=True)
        )
        text = f"<|START_TOOL_RESULT|>[\n{listed}\n]<|END_TOOL_RESULT|>"
        return [Turn("none", text.join(_SYSTEM), is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        start = f'<|START_ACTION|>[\n    {{"tool_call_id": "{len(self._numbers)}", "tool_name":'
        return start if name is None else f'{start} {to_json(name)}, "parameters":'


class CommandAToolFormat(CommandR7BToolFormat):
    """The same, beside a system text that is as long without tools."""

    def join_system(self, system: str, offer: str) -> str:
        own = system.removeprefix(_PLAIN).removeprefix(f"\n\n{DEVELOPER}\n")
        return super().join_system(own, offer)


_PLAIN = SAFETY + DEFAULTS
_COMMAND_R = ChatTemplate(
    name="command-r",
    start="<BOS_TOKEN>",
    **mark_roles(
        "<|START_OF_TURN_TOKEN|><|{}_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        system="SYSTEM",
        user="USER",
        assistant="CHATBOT",
    ),
    tool_format=CommandRToolFormat,
    trimmed_roles=("user", "assistant"),
    control_marks=r"<\|[A-Z_]+_TOKEN\|>|<(?:BOS|EOS)_TOKEN>",
    hint=r"<\|START_OF_TURN_TOKEN\|>",
    names=r"command-?r|c4ai|\baya\b",
)
_COMMAND_R7B = _COMMAND_R._replace(
    name="command-r7b",
    tool_format=CommandR7BToolFormat,
    default_system="",
    assistant=(f"{_ANSWER[0]}<|START_RESPONSE|>", f"<|END_RESPONSE|>{_ANSWER[1]}"),
    control_marks=rf"{_COMMAND_R.control_marks}|{CommandR7BToolFormat.control_marks}",
    hint=r"<\|START_RESPONSE\|>",
    names=r"command-?r7b",
)
_COMMAND_A = _COMMAND_R7B._replace(
    name="command-a",
    tool_format=CommandAToolFormat,
    default_system=_PLAIN,
    system_frame=(f"{_PLAIN}\n\n{DEVELOPER}\n", ""),
    generation_prompt=_ANSWER[0],
    trimmed_roles=(),
    hint=None,
    names=r"command-?a\b",
)
FAMILY = Family(
    templates=(_COMMAND_A, _COMMAND_R7B, _COMMAND_R),
    windows=(ContextWindow(r"command-?r", 131_072),),
    chat_names=r"command-?(?:r|a\b)",
    thinking_tags=(("<|START_THINKING|>", "<|END_THINKING|>"),),
)

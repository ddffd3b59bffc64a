"""Formats of tool calling, as the scripted model reads offers and results, and writes calls.

Every format is a row of `FORMATS`. It shares no code with the client, like the model itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

# The mark before a message of the user, unless it is a result or the client asks once more.
_AGAIN = r"(?:(?:(?!\[/INST\]|<\|)[\s\S])*\n\n)?That answer will not do"  # behind a system text too
_NO_QUESTION = rf"(?!\s*(?:<tool_response>|<TOOL_RESPONSE>|{_AGAIN}))"
QUESTION = re.compile(
    r"(?:<\|im_start\|>user|user<\|(?:end_header_id|header_end|end_of_role|im_middle|message)\|>"
    r"|\[INST\]|<start_of_turn>user|<\|user\|>|<\uff5cUser\uff5c>|\]~b\]user|<SPECIAL_11>User"
    rf"|name=user\n|<\|turn>user|<\|USER_TOKEN\|>){_NO_QUESTION}"
)
LABEL = re.compile(  # the same in a prompt without marks; any text may hold a label
    rf"(?m:^(?:### )?(?:User|Human|Instruction):|GPT4 Correct User:|\bUSER:){_NO_QUESTION}"
)
RESULT = re.compile(
    r"<tool_response>\n?(.*?)\n?</tool_response>"
    r"|\[TOOL_RESULTS\](?: ?\w{9}\[TOOL_CONTENT\] ?)?(.*?)\[/TOOL_RESULTS\]"
    r"|>ipython<\|(?:end_header_id|header_end)\|>\n\n(?!<tool_response>)(.*?)<\|eot"
    r'|^Tool: (".*?")$|>tool(?:_response)?<\|end_of_role\|>(.*?)<\|end_of_text\|>'
    r"|<\uff5ctool\u2581output\u2581begin\uff5c>(.*?)<\uff5ctool\u2581output\u2581end\uff5c>"
    r"|## Return of \S+\n(.*?)<\|im_end\|>|to=assistant<[^>]+>commentary<\|message\|>(.*?)<\|end"
    r"|<response>(.*?)</response>|<result>(.*?)</result>|tool result: (.*?)\n\n<end_of_sentence>"
    r"|<TOOL_RESPONSE>\[(.*?)\]</TOOL_RESPONSE>|<results>\n(.*?)</results>"
    r'|"results": \{\s*"0": (".*?")\s*\}|\{value:<\|"\|>(.*?)<\|"\|>\}<tool_response\|>'
    r"|<\|tool_response\|>(.*?)<\|end\|>|<\|observation\|>\n(?!<tool_response>)(.*?)(?=<\|)",
    re.DOTALL | re.MULTILINE,
)


class Format(NamedTuple):
    """A format of tool calling.

    Attributes:
        offer: A pattern for an offer, with the tools in a group.
        frame: The text around all calls.
        separator: The text between two calls.
        call: A call with its `name`, `arguments` and `id`.
        argument: An argument with its `key` and `value`, where they are not JSON; `is_text` is
            `true` for a text.
        quote: The quotation mark; where it is another one than JSON's, keys are bare.
    """

    offer: str
    frame: str = "%s"
    separator: str = ", "
    call: str = '{"name": "%(name)s", "arguments": %(arguments)s}'
    argument: str = ""
    quote: str = '"'

    def write(self, name: str, arguments: Mapping[str, Any] | str, call_id: str) -> str:
        """Write a call; arguments that are text stay as they are."""
        if isinstance(arguments, str):
            text = arguments
        elif self.argument:
            text = "".join(self._write_argument(key, value) for key, value in arguments.items())
        else:
            text = json.dumps(arguments, ensure_ascii=False)
            if self.quote != '"':
                text = re.sub(r'"(\w+)": ', r"\1:", text).replace('"', self.quote)
        return self.call % {"name": name, "arguments": text, "id": call_id}

    def _write_argument(self, key: str, value: Any) -> str:
        is_text = isinstance(value, str)
        text = value if is_text else json.dumps(value, ensure_ascii=False)
        return self.argument % {"key": key, "value": text, "is_text": str(is_text).lower()}


def _mark(words: str) -> str:
    """One of DeepSeek's marks."""
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


_CALLS = f"{_mark('tool calls begin')}%s{_mark('tool calls end')}"
_FENCED = Format(
    r"(?:<tools>\n|functions available:\n\n)(.*?)(?:\n</tools>.*calls\u2581begin|<\uff5cUser)",
    _CALLS,
    "\n",
    f"{_mark('tool call begin')}function{_mark('tool sep')}%(name)s\n"
    f"```json\n%(arguments)s\n```{_mark('tool call end')}",
)
HERMES = Format(
    r"<tools>\s(.*?)\s</tools>(?=.*<tool_call>)",
    "<tool_call>\n%s\n</tool_call>",
    "\n</tool_call>\n<tool_call>\n",
)
FORMATS = (
    Format(  # GLM 4.7, which has no line breaks, before GLM 4.5
        r"<tools>\n(.*?)\n</tools>(?=.*\}<arg_key>)",
        separator="",
        call="<tool_call>%(name)s%(arguments)s</tool_call>",
        argument="<arg_key>%(key)s</arg_key><arg_value>%(value)s</arg_value>",
    ),
    Format(
        r"<tools>\n(.*?)\n</tools>(?=.*<arg_key>)",
        separator="\n",
        call="<tool_call>%(name)s\n%(arguments)s</tool_call>",
        argument="<arg_key>%(key)s</arg_key>\n<arg_value>%(value)s</arg_value>\n",
    ),
    Format(  # Qwen 3 Coder and Nemotron 3
        r"<tools>(\n<function>.*?)\n</tools>(?=.*<function=)",
        separator="\n",
        call="<tool_call>\n<function=%(name)s>\n%(arguments)s</function>\n</tool_call>",
        argument="<parameter=%(key)s>\n%(value)s\n</parameter>\n",
    ),
    Format(
        r"<tools>\n(<tool>.*?)\n</tools>(?=.*<minimax:tool_call>)",
        "<minimax:tool_call>\n%s</minimax:tool_call>",
        "",
        '<invoke name="%(name)s">\n%(arguments)s</invoke>\n',
        '<parameter name="%(key)s">%(value)s</parameter>\n',
    ),
    Format(
        r"<tools>\n(.*?)\n</tools>(?=.*<tool_calls>)",
        "<tool_calls>\n%s\n</tool_calls>",
        "\n",
    ),
    Format(
        r"<functions>\n(.*?)\n</functions>",
        "<\uff5cDSML\uff5cfunction_calls>\n%s</\uff5cDSML\uff5cfunction_calls>",
        "",
        '<\uff5cDSML\uff5cinvoke name="%(name)s">\n%(arguments)s</\uff5cDSML\uff5cinvoke>\n',
        '<\uff5cDSML\uff5cparameter name="%(key)s" string="%(is_text)s">%(value)s'
        "</\uff5cDSML\uff5cparameter>\n",
    ),
    HERMES,
    _FENCED,
    Format(
        r"(?:You have access to|Given) the following functions.*?Respond in the format(.*)",
        separator="\n",
        call='{"name": "%(name)s", "parameters": %(arguments)s}',
    ),
    Format(  # Mistral v11 and v13, where the prompt holds or begins such a call
        r"\[AVAILABLE_TOOLS\](.*?)\[/AVAILABLE_TOOLS\](?=.*\[TOOL_CALLS\]\w)",
        "[TOOL_CALLS]%s",
        "[TOOL_CALLS]",
        "%(name)s[ARGS]%(arguments)s",
    ),
    Format(
        r"\[AVAILABLE_TOOLS\](.*?)\[/AVAILABLE_TOOLS\]",
        "[TOOL_CALLS] [%s]",
        call='{"name": "%(name)s", "arguments": %(arguments)s, "id": "%(id)s"}',
    ),
    Format(r">(?:available_)?tools<\|end_of_role\|>(.*?)<\|end", "<|tool_call|>[%s]"),
    Format(r"<\|tool\|>(.*?)<\|/tool\|>", "<|tool_call|>[%s]<|/tool_call|>"),
    Format(  # Command R7B
        r"tools that you have available to you\.\n.*?```json\n(.*?)\n```",
        "<|START_ACTION|>[\n%s\n]<|END_ACTION|>",
        ",\n",
        '    {"tool_call_id": "0", "tool_name": "%(name)s", "parameters": %(arguments)s}',
    ),
    Format(  # Command R
        r"tools that you have available to you:\n\n(.*)",
        "Action:\n```json\n[\n%s\n]```",
        ",\n",
        '    {\n        "tool_name": "%(name)s",\n        "parameters": %(arguments)s\n    }',
    ),
    Format(  # Gemma 4
        r"(<\|tool>declaration:.*<tool\|>)",
        separator="",
        call="<|tool_call>call:%(name)s%(arguments)s<tool_call|>",
        quote='<|"|>',
    ),
    Format(  # GLM 4
        r"# \u53ef\u7528\u5de5\u5177\n(.*?)(?=<\|(?:system|user|assistant)\|>)",
        separator="<|assistant|>",
        call="%(name)s\n%(arguments)s",
    ),
    Format(r"<AVAILABLE_TOOLS>(.*?)</AVAILABLE_TOOLS>", "<TOOLCALL>[%s]</TOOLCALL>"),
    Format(
        r"## Tools\nYou have access to the following tools:\n(.*)",
        _CALLS,
        "",
        f"{_mark('tool call begin')}%(name)s{_mark('tool sep')}%(arguments)s"
        f"{_mark('tool call end')}",
    ),
    Format(
        r"tool_declare<\|im_middle\|>(.*?)<\|im_end\|>",
        "<|tool_calls_section_begin|>%s<|tool_calls_section_end|>",
        "",
        "<|tool_call_begin|>functions.%(name)s:0<|tool_call_argument_begin|>%(arguments)s"
        "<|tool_call_end|>",
    ),
    Format(
        r"namespace functions \{(.*?)\n\} // namespace",
        separator="<|start|>assistant",
        # The prompt ends with the start of the message.
        call=" to=functions.%(name)s<|channel|>commentary json<|message|>%(arguments)s<|call|>",
    ),
)
# Tools that are not JSON, as a pattern for a tool with its name and parameters, and one for the
# name, the type and the mark of an optional parameter.
_UNLIKE_JSON = (
    (
        r"<function>\n<name>(.*?)</name>(.*?)\n</function>",
        r"<parameter>\n<name>(.*?)</name>(?:\n<type>(\w+)</type>)?()",
    ),
    (r"\ntype (\S+) = (.*?) => any;", r"^(\w+)(?=\??: (\w+))(\??)"),
    (r"```python\ndef (\w+)\((.*?)\) ->", r"(\w+): (?:Optional\[)?(\w+)\]?( = None)?"),
)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}  # of Python
_DEEPSEEK_TOOL = re.compile(r"### (\S+)\nDescription: (?s:.*?)\n\nParameters: (\{.*\})")


def to_json_list(offer: str) -> str:
    """Rewrite the tools of an offer as JSON, where a format writes them in another way."""
    if "<|tool>" in offer:  # Gemma 4, whose keys are bare and whose types are in capitals
        offer = re.sub(r"([{,])([\w$]+):", r'\1"\2":', offer.replace('<|"|>', '"'))
        offer = offer.replace("\n", "\\n")
        offer = re.sub(r'(?<="type":)"[A-Z]+"', lambda found: found[0].lower(), offer)
        return re.sub(r"<\|tool>declaration:(\w+)\{", r'{"name":"\1",', offer)
    for tool, parameter in _UNLIKE_JSON:
        found = re.findall(tool, offer, re.DOTALL)
        if found:
            return "\n".join(_write_tool(name, body, parameter) for name, body in found)
    return _DEEPSEEK_TOOL.sub(r'{"name": "\1", "parameters": \2}', offer)


def _write_tool(name: str, body: str, parameter: str) -> str:
    found = re.findall(parameter, body, re.MULTILINE)
    schema = {
        "type": "object",
        "properties": {key: {"type": _TYPES.get(kind, kind) or "string"} for key, kind, _ in found},
        "required": [key for key, _, mark in found if not mark],
    }
    return json.dumps({"name": name, "parameters": schema})

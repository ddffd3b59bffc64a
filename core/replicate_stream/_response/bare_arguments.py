"""Read an answer that is nothing but the arguments of the one call that it had to be. Pure.

Models that are to call one tool often write its arguments alone. Asked again, they cost twice.
"""

from __future__ import annotations

import re

from replicate_stream._types.strict_json import parse_strict_json
from replicate_stream._types.tool_choice import ToolChoice, find_arguments_problem

_FENCE = re.compile(r"```[ \t]*\w*\s*\n([\s\S]*?)\n?[ \t]*```")


def find_arguments(text: str, tools: ToolChoice) -> str | None:
    """Return an answer's JSON if it fits the tool that had to be called, else None.

    Args:
        text: The whole answer. Words beside the JSON make it another answer.
        tools: The tools, of which one is named.
    """
    fenced = _FENCE.fullmatch(text.strip())
    text = text.strip() if fenced is None else fenced.group(1).strip()
    tool = next(each for each in tools.tools if each.name == tools.name)
    try:
        value = parse_strict_json(text)
    except ValueError:
        return None
    # Any object fits a schema without required properties, an error message too.
    known = tool.parameters.get("properties", {}).keys()
    if not isinstance(value, dict) or not value.keys() <= known:
        return None
    return text if find_arguments_problem(tool, value) is None else None

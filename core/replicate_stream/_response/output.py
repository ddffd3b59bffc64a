"""The text in a prediction's `output`, which has as many shapes as there are models.

Pieces to be joined, one text, alternatives, an object with a text in it. A link to a file is not
an answer, and says so instead of passing as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._errors import ResponseError
from replicate_stream._types.prepared import OutputKind

# An answer may well begin with an address; one that is nothing but a file of the service is none.
_FILE = re.compile(r"https://(?:[\w-]+\.)*replicate\.(?:delivery|com/api/models)/\S+\Z")
# Keys under which objects hold their text, most specific first.
_TEXT_KEYS = ("text", "content", "answer", "response", "completion", "generated_text", "output")
_VALUE_KEYS = ("json_output", "json", "result", "message", "choices")


def extract_text(
    output: Any,
    *,
    kind: OutputKind | None = None,
    alternative: int | None = 0,
    has_tools: bool = False,
) -> str | None:
    """The text of a prediction's `output`.

    Args:
        output: The decoded JSON value.
        kind: What the model's output schema announces; without it a list counts as pieces.
        alternative: Which one of several alternatives, from 0; None joins all with blank lines.
        has_tools: Whether an object may call tools, as OpenAI writes it. Calls are written behind
            its text in the marks that a streamed answer has, so that one reader reads both.

    Returns:
        The text, or None where there is none yet.

    Raises:
        ResponseError: The output is a file, or an object without any text.
    """
    if output is None:
        return None
    if isinstance(output, str):
        return _no_file(output)
    if isinstance(output, Mapping):
        message = _message(output) if has_tools else None
        return _object_text(output) if message is None else _with_calls(message)
    if isinstance(output, Sequence):
        texts = [text for each in output if (text := extract_text(each)) is not None]
        if kind != "alternatives":
            return "".join(texts) if texts else None
        if alternative is None:
            return "\n\n".join(texts) if texts else None
        return texts[alternative] if alternative < len(texts) else None
    return json.dumps(output)


def _no_file(text: str) -> str:
    if len(text) < 2048 and _FILE.match(text):
        raise ResponseError("The model's output is a file, not a text")
    return text


def _message(output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that holds tool calls: the output, its message, or that of its first choice."""
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for each in (output, output.get("message"), first):
        if isinstance(each, Mapping) and isinstance(each.get("tool_calls"), list):
            return each
    return _message(first) if isinstance(first, Mapping) and "message" in first else None


def _with_calls(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    calls = [
        f"<tool_call>\n{json.dumps(each, ensure_ascii=False)}\n</tool_call>"
        for each in message["tool_calls"]
    ]
    return "\n".join([*([content] if isinstance(content, str) and content else []), *calls])


def _object_text(output: Mapping[str, Any]) -> str | None:
    for key in _TEXT_KEYS:
        if isinstance(output.get(key), str) and output[key]:
            return _no_file(output[key])
    for key in _VALUE_KEYS:
        value = output.get(key)
        if key in {"message", "choices"} and value:
            return extract_text(value[0] if isinstance(value, list) else value)
        if value is not None:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if any(isinstance(output.get(key), str) for key in _TEXT_KEYS):
        return ""
    raise ResponseError(
        f"The model's output is an object without a text; its keys are {', '.join(output) or '-'}"
    )

"""Extract the text from a prediction's `output`, which differs in shape between models.

The output is a list of chunks, one text, a list of alternatives, or an object that holds a text.
The URL of a file is an error, because it is not an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._errors import ResponseError
from replicate_stream._model.families.tool_format import HermesToolFormat
from replicate_stream._types.request import OutputKind

# An answer may begin with a URL, so only a text that is a URL of the service's files and nothing
# else counts as a file.
_FILE = re.compile(r"https://(?:[\w-]+\.)*replicate\.(?:delivery|com/api/models)/\S+\Z")
_LONGEST_URL = 2048
# How the JSON of a completion begins, less white space: with members that tell nothing, and then
# with one that tells.
_TEXT_MEMBERS = ("id", "model", "service_tier", "system_fingerprint")
_TEXT_START = rf'"(?:{"|".join(_TEXT_MEMBERS)})":'
_PLAIN_MEMBERS = re.compile(rf'\{{(?:(?:{_TEXT_START}(?:"[^"]*"|null)|"created":\d+),)*')
_PARTIAL_MEMBER = re.compile(rf'{_TEXT_START}(?:"[^"]*"?|n|nu|nul|null)|"created":\d*')
_COMPLETIONS = ("chat.completion", "text_completion")
_TELLING_MEMBERS = (
    *(f'"object":"{each}"' for each in _COMPLETIONS),
    *(f'"choices":[{{"{key}":' for key in ("index", "finish_reason", "message", "text")),
)
_MEMBERS = (*_TELLING_MEMBERS, *(f'"{key}":' for key in (*_TEXT_MEMBERS, "created")))
_START_LENGTH = 256
# Keys under which objects hold their text, most specific first.
_TEXT_KEYS = ("text", "content", "answer", "response", "completion", "generated_text", "output")
_VALUE_KEYS = ("json_output", "json", "result", "message", "choices")


def extract_text(
    output: Any, *, kind: OutputKind | None = None, has_tools: bool = False
) -> str | None:
    """Extract the text from a prediction's `output`.

    Args:
        output: The decoded JSON value.
        kind: The kind of the model's output schema. Without it, a list is a list of chunks.
        has_tools: True if an object may call tools as in OpenAI's API. Its calls are appended to
            its text in the format of a streamed answer, so that one parser reads both.

    Returns:
        The text, of the first alternative if there are several; None if the output has no text yet.

    Raises:
        ResponseError: The output is a file, or an object without any text.
    """
    if output is None:
        return None
    if isinstance(output, str):
        return _refuse_file(output)
    if isinstance(output, Mapping):
        message = _find_calling_message(output) if has_tools else None
        return _extract_from_object(output) if message is None else _render_calls(message)
    if isinstance(output, Sequence):
        texts = [text for item in output if (text := extract_text(item)) is not None]
        if not texts:
            return None
        return texts[0] if kind == "alternatives" else "".join(texts)
    return json.dumps(output)


class CompletionReader:
    """Reads the answer out of a text that is one chat completion of OpenAI's API, as JSON.

    IBM's servers of Granite write it in answer to `messages` (docs/replicate-api.md 5.4). Any other
    text is passed on as soon as it differs.

    Args:
        has_tools: As for `extract_text`.

    Attributes:
        is_over: True once all further text is passed on, so that it need not be fed.
    """

    def __init__(self, *, has_tools: bool = False) -> None:
        self.is_over = False
        self._has_tools = has_tools
        self._is_completion = False
        self._held: list[str] = []

    def feed(self, texts: Sequence[str]) -> Sequence[str]:
        """Return the texts, unless the answer may be a completion: its texts are held back."""
        if self.is_over or not texts:
            return texts
        self._held += texts
        if self._is_completion:
            return ()
        start = "".join(self._held)[:_START_LENGTH]
        # Most texts are shown to be none by their first character.
        if start.lstrip()[:1] in {"", "{"}:
            members = "".join(start.split())
            self._is_completion = _begins_completion(members)
            is_open = len(start) < _START_LENGTH and _may_begin_completion(members)
            if self._is_completion or is_open:
                return ()
        held, self._held, self.is_over = self._held, [], True
        return held

    def flush(self) -> Sequence[str]:
        """Return the rest, after the last text."""
        if not self._held:
            return ()
        text = "".join(self._held)
        try:
            output = json.loads(text)
            is_whole = isinstance(output, Mapping) and output.get("object") in _COMPLETIONS
            answer = extract_text(output, has_tools=self._has_tools) if is_whole else text
        except (ValueError, RecursionError, ResponseError):
            return (text,)
        return (answer or "",)


def _begins_completion(start: str) -> bool:
    found = _PLAIN_MEMBERS.match(start)
    return found is not None and start.startswith(_TELLING_MEMBERS, found.end())


def _may_begin_completion(start: str) -> bool:
    found = _PLAIN_MEMBERS.match(start)
    rest = "" if found is None else start[found.end() :]
    is_member = any(each.startswith(rest) for each in _MEMBERS)
    return not start or (
        found is not None and (is_member or _PARTIAL_MEMBER.fullmatch(rest) is not None)
    )


def _refuse_file(text: str) -> str:
    if len(text) < _LONGEST_URL and _FILE.match(text):
        raise ResponseError("The model's output is a file, not a text")
    return text


def _find_calling_message(output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find the object with `tool_calls`: the output, its message, or that of its first choice."""
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for candidate in (output, output.get("message"), first):
        if isinstance(candidate, Mapping) and isinstance(candidate.get("tool_calls"), list):
            return candidate
    return (
        _find_calling_message(first) if isinstance(first, Mapping) and "message" in first else None
    )


def _render_calls(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    (mark,) = HermesToolFormat.call_marks  # any format would do, for the reader knows them all
    calls = [
        f"{mark.opening}\n{json.dumps(call, ensure_ascii=False)}\n{mark.closings[0]}"
        for call in message["tool_calls"]
    ]
    return "\n".join([content, *calls] if isinstance(content, str) and content else calls)


def _extract_from_object(output: Mapping[str, Any]) -> str | None:
    for key in _TEXT_KEYS:
        if isinstance(output.get(key), str) and output[key]:
            return _refuse_file(output[key])
    for key in _VALUE_KEYS:
        value = output.get(key)
        if key in {"message", "choices"} and value:
            return extract_text(value[0] if isinstance(value, list) else value)
        if value is not None:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if any(isinstance(output.get(key), str) for key in _TEXT_KEYS):
        return ""
    raise ResponseError(
        "The model's output is an object without a text; one is read under the keys "
        f"{', '.join((*_TEXT_KEYS, *_VALUE_KEYS))}"
    )

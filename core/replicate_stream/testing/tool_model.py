"""Scripted model for tests of agents: it calls tools in the format they were offered in.

It shares no code with the client, so it does not see tools that the client writes wrongly.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from replicate_stream.testing.server.replies import Reply, split
from replicate_stream.testing.tool_formats import (
    FORMATS,
    HERMES,
    LABEL,
    QUESTION,
    RESULT,
    Format,
    to_json_list,
)

Call: TypeAlias = "tuple[str, Mapping[str, Any] | str]"
Object: TypeAlias = Mapping[str, Any]  # of JSON, such as a schema or an input

_TEXT_INPUTS = ("system_prompt", "system_instruction", "system", "prompt", "message", "text")
_DEMAND = re.compile(r"\bmust call (?:one of the functions|the function ([\w-]+)) now\b")
_BEGUN = re.compile(
    r'"(?:tool_)?name": "([^"]+)",\s+"\w+": ?\Z|begin\uff5c>([^<]+)<[^>]+sep\uff5c>\Z'
    r"|\[TOOL_CALLS\]([\w-]+)(?:\[ARGS\])?\Z|<\|tool_call>call:([^{]+)\Z"
)
_JSON = re.compile(r"\b(?i:answer|reply|respond|return)\b[^.\n]{0,60}\bJSON (?:object|schema)\b")
_ANY_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}
_STRINGS = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "email": "user@example.org",
    "uri": "https://example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_MAX_DEPTH = 5  # of nested values, where a schema refers to itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUser:
    """Scripted model of the emulator that calls tools, then answers.

        emulator.reply = ToolUser(calls=[("weather", {"city": "Paris"})], answer="It is sunny.")

    It reads tools and results in the formats of all families that the client writes prompts for,
    and of OpenAI's API, and calls in the same format. It answers once there are results for
    the user's last message; where a call is demanded even then, it calls a tool not in `calls`.

    Attributes:
        calls: Calls of the first answer, each a tool's name and arguments (raw text is written as
            it is). None calls every offered tool once, with arguments made from its schema.
        answer: The answer after that. None repeats the results, or makes JSON from a given schema.
        truncated: Break off in the middle of the last call, or of JSON.
    """

    native_input: ClassVar[Object] = {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "default": "", "x-order": 0},
            "system_prompt": {"type": "string", "default": "", "x-order": 1},
            "messages": {"type": "array", "items": {"type": "object"}, "default": [], "x-order": 2},
            "tools": {"type": "array", "items": {"type": "object"}, "default": [], "x-order": 3},
            "tool_choice": {"default": "auto", "anyOf": [{"type": "string"}, {"type": "object"}]},
            "parallel_tool_calls": {"type": "boolean", "default": True},
            "response_format": {"type": "object"},
            "max_completion_tokens": {"type": "integer", "default": 4096, "minimum": 1},
            "temperature": {"type": "number", "default": 1, "minimum": 0, "maximum": 2},
        },
    }
    native_output: ClassVar[Object] = {"type": "object", "title": "Output"}
    calls: Sequence[Call] | None = None
    answer: str | None = None
    truncated: bool = False

    def __call__(self, input: Mapping[str, Any]) -> Reply:  # noqa: A002 - what Replicate calls it
        """Answer a prediction's input."""
        request = _Request(input)
        calls = self._choose_calls(request)
        if calls and request.format is None:
            listed = request.native_calls(calls, is_cut=self.truncated)
            return Reply(output={"role": "assistant", "content": None, "tool_calls": listed})
        text = request.write(calls) if calls else self._write_answer(request)
        text = f"{request.thought}{text}"
        is_cut = self.truncated and (calls or request.schema is not None)
        return Reply(split(_cut(text) if is_cut else text))

    def is_asked(self, input: Mapping[str, Any]) -> bool:  # noqa: A002 - as above
        """Whether an input offers tools, or asks for JSON."""
        request = _Request(input)
        return bool(request.tools) or request.schema is not None

    def _choose_calls(self, request: _Request) -> Sequence[Call]:
        if not request.tools or (self.calls is not None and not self.calls):
            return []
        made: list[Call] = [(name, make_value(schema)) for name, schema in request.tools.items()]
        calls = made if self.calls is None else self.calls
        if request.named in request.tools:
            return [call for call in (*calls, *made) if call[0] == request.named][:1]
        if not request.results:
            return calls
        others = [call for call in made if call[0] not in dict(calls)] or made
        return others[:1] if request.must_call else []

    def _write_answer(self, request: _Request) -> str:
        made = _dump(make_value(request.schema)) if request.schema else " ".join(request.results)
        return self.answer if self.answer is not None else made or "This is a scripted answer."


class _Request:
    """A prediction's input, as far as it matters to this model."""

    def __init__(self, values: Object) -> None:
        self._text = text = _read_text(values)
        # A new id in each round, because agents match results to calls by it; of Mistral's length.
        self._id = hashlib.sha256(text.encode()).hexdigest()[:8]
        self.format, self.tools = _read_offer(values, text)
        # A prompt that opens a thought is answered by closing it.
        self.thought = "</think>\n\n" if text.rstrip().endswith("<think>") else ""
        questions = list(QUESTION.finditer(text)) or list(LABEL.finditer(text))
        start = questions[-1].end() if questions else 0
        self.results = [_read_result("".join(found)) for found in RESULT.findall(text[start:])]
        choice = _decode(values.get("tool_choice"))
        demand = _BEGUN.search(text) or _DEMAND.search(text)
        self.must_call = demand is not None or choice in ("required", "any")
        named = next(filter(None, demand.groups()), None) if demand else None
        self.named = choice["function"]["name"] if isinstance(choice, dict) else named
        self.schema = _read_schema(values, text)
        self.tools = {} if choice == "none" else self.tools

    def write(self, calls: Sequence[Call]) -> str:
        """Write calls in the format of the offer, less what the prompt has begun of them."""
        form = self.format or HERMES
        written = (
            form.write(name, arguments, f"{self._id}{at}")
            for at, (name, arguments) in enumerate(calls)
        )
        text = form.frame % form.separator.join(written)
        return next(text[at:] for at in range(len(text), -1, -1) if self._text.endswith(text[:at]))

    def native_calls(self, calls: Sequence[Call], *, is_cut: bool) -> list[dict[str, Any]]:
        """Make calls as OpenAI's API has them."""
        functions = [{"name": name, "arguments": _dump(arguments)} for name, arguments in calls]
        if is_cut:
            functions[-1]["arguments"] = _cut(functions[-1]["arguments"])
        return [
            {"id": f"call_{self._id}{at}", "type": "function", "function": function}
            for at, function in enumerate(functions)
        ]


def _read_text(values: Object) -> str:
    """Read all text of an input, messages in the format of ChatML."""
    texts = [str(values[name]) for name in _TEXT_INPUTS if values.get(name)]
    for message in map(_decode, _decode(values.get("messages")) or ()):
        text = message.get("content") or ""
        if isinstance(text, list):
            text = "".join(part.get("text", "") for part in text)
        if message["role"] == "tool":
            text = f"<tool_response>\n{text}\n</tool_response>"  # one way to find all results
        texts.append(f"<|im_start|>{message['role']}\n{text}<|im_end|>")
    return "\n\n".join(texts)


def _read_offer(values: Object, text: str) -> tuple[Format | None, Mapping[str, Object]]:
    """Read the offered tools: their format, and the schemas of their arguments by name."""
    offers = ((form, re.search(form.offer, text, re.DOTALL)) for form in FORMATS)
    form, found = next((offer for offer in offers if offer[1]), (None, None))
    listed = _decode(values.get("tools"))
    if not listed and found is not None:
        listed = list(_json_values(to_json_list(found[1] or "")))
    tools = [value for value in listed or () if isinstance(value, dict)]
    functions = [each.get("function", each) for each in tools if {"name", "function"} & {*each}]
    schemas = {function["name"]: function.get("parameters") or {} for function in functions}
    return None if values.get("tools") else form, schemas


def _read_result(text: str) -> str:
    value = _decode(text)
    if isinstance(value, dict) and value.keys() <= {"name", "content", "call_id"}:
        value = value.get("content")
    return value if isinstance(value, str) else text


def _read_schema(values: Object, text: str) -> Object | None:
    """Read the schema of the JSON that is asked for; None where none is."""
    form = _decode(values.get("response_format"))
    if isinstance(form, dict) and form.get("type") != "text":
        schema = form if "properties" in form else (form.get("json_schema") or {}).get("schema")
        return schema or _ANY_OBJECT
    demand = _JSON.search(text)
    after = text[demand.end() :] if demand and demand[0].endswith("schema") else ""
    return next(_json_values(after), _ANY_OBJECT if demand else None)


def _json_values(text: str) -> Iterator[Any]:
    """Find the JSON objects in a text, those in lists one by one."""
    at = 0
    while start := re.compile(r"[\[{]").search(text, at):
        value, at = None, start.end()
        with contextlib.suppress(ValueError):
            value, at = json.JSONDecoder().raw_decode(text, start.start())
        yield from value if isinstance(value, list) else filter(None, [value])


def _decode(value: Any) -> Any:
    """Decode JSON; a text that is not JSON stays."""
    with contextlib.suppress(ValueError):
        return json.loads(value) if isinstance(value, str) else value
    return value


def _dump(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _cut(text: str) -> str:
    return text[: max(1, len(text) * 2 // 3)]


def make_value(schema: Object, root: Object | None = None, name: str = "", depth: int = 0) -> Any:
    """Make a small value that fits a JSON Schema, except for its `pattern`s."""
    root = schema if root is None else root
    schema = _resolve(schema, root, depth)
    options = [schema[key] for key in ("const", "default") if key in schema]
    options += schema.get("examples") or schema.get("enum") or []
    if options:
        return next((option for option in options if option is not None), None)
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind == "object":
        properties = schema.get("properties") or {}
        names = schema.get("required", properties)
        return {n: make_value(properties.get(n, {}), root, n, depth + 1) for n in names}
    if kind == "array":
        count = schema.get("minItems", int(depth < _MAX_DEPTH and schema.get("maxItems") != 0))
        return [make_value(schema.get("items") or {}, root, name, depth + 1) for _ in range(count)]
    if kind in {"integer", "number"}:
        value = max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
        return min(value, schema.get("maximum", value))
    if kind == "string":
        text = _STRINGS.get(schema.get("format", ""), name or "text")
        return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
    return True if kind == "boolean" else None


def _resolve(schema: Object, root: Object, depth: int) -> Object:
    """Resolve references and alternatives."""
    while key := next((k for k in ("$ref", "allOf", "anyOf", "oneOf") if schema.get(k)), None):
        target: Any = root
        if key == "$ref":
            for part in schema["$ref"].split("/")[1:]:
                target = target[part]
        else:  # null is chosen only where it ends a schema that refers to itself
            is_deep = depth >= _MAX_DEPTH
            target = min(schema[key], key=lambda each: (each.get("type") == "null") != is_deep)
        schema = {**target, **{k: v for k, v in schema.items() if k != key}}
    return schema

"""Read one tool call from its JSON while it streams: `{"name": …, "arguments": {…}}`.

The trap is a call that breaks off, or that holds more than a name and arguments: the closing brace
of its arguments is emitted only when the whole call is known to be as it must be, so that any other
never looks complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from replicate_stream._model.families.tool_format import ParsedCall, Schemas, resolve_name
from replicate_stream._response.json_repair import JsonScanner, Member, repair_object
from replicate_stream._types.json_schema import ROOT, wraps_value
from replicate_stream._types.messages import ToolCallDelta
from replicate_stream._types.strict_json import parse_strict_json

NO_ARGUMENTS = "{}"
_NO_TEXT = "no arguments"  # of a malformed call; frameworks take an empty text for {}
NAME_KEYS = ("name", "tool_name", "tool", "function_name", "action", "recipient_name")
DECORATIONS = frozenset({"id", "type", "index", "tool_call_id", "call_id", "toolUseId"})
"""Members of a call that say nothing about its arguments."""
MAX_MEMBERS = 16
"""Members among which a call is searched while it streams. A valid call has fewer."""
_CALL_TYPES = ("function", "function_call", "tool_call", "tool_use")
_ARGUMENTS_KEYS = ("arguments", "parameters")
# The words under which models write arguments. One counts only if nothing else can be meant.
_ARGUMENTS_WORDS = frozenset(
    {*_ARGUMENTS_KEYS, "args", "input", "inputs", "params", "parameter", "kwargs", "argument"}
    | {"action_input", "tool_input"}
)


class CallBody:
    """Reads the JSON of one tool call.

    Args:
        index: The number of the call in the answer, from 0.
        new_id: Creates the id of the call.
        schemas: The schemas of the offered tools' arguments.
        name: The tool, if it stands before the JSON. The JSON is then its arguments alone.

    Attributes:
        scanner: The scanner of the JSON, which the owner feeds before it calls `read`.
    """

    __slots__ = ("_fixed_name", "_index", "_new_id", "_schemas", "_sent", "scanner")

    def __init__(
        self, index: int, new_id: Callable[[], str], schemas: Schemas, name: str | None = None
    ) -> None:
        self._index = index
        self._new_id = new_id
        self._schemas = schemas
        self._fixed_name = None if name is None else resolve_name(name, schemas)
        self.scanner = JsonScanner()
        self._sent: int | None = None  # characters of the arguments in deltas; None before the name

    @property
    def name(self) -> str | None:
        """The tool; None until it is known."""
        if self._fixed_name is not None:
            return self._fixed_name
        return find_name(self.scanner, self._schemas)

    @property
    def has_complete_arguments(self) -> bool:
        """True if the object of arguments is complete, even if the call around it is not."""
        member = self._find_arguments()
        return self._fixed_name is None and member is not None and member.end is not None

    def read(self) -> list[ToolCallDelta]:
        """Return the new deltas that are certain."""
        deltas: list[ToolCallDelta] = []
        if self._sent is None and (name := self.name) is not None:
            deltas.append(self._start(name))
        if self._sent is not None and (span := self._find_safe_span()) is not None:
            start, end = span
            if end > start + self._sent:
                deltas.append(self._delta(self.scanner.get_part(start + self._sent, end)))
                self._sent = end - start
        if self.scanner.is_done:
            deltas += self._end()
        return deltas

    def close(self) -> list[ToolCallDelta]:
        """End a call that lacks only its closing bracket."""
        self.scanner.close()
        return self.read()

    def abort(self, rest: str) -> list[ToolCallDelta]:
        """End a call that broke or broke off, with the rest of it as the model wrote it.

        The arguments are then no valid JSON, so that nobody executes the call.
        """
        deltas = self.read()
        raw = self.scanner.get_raw(rest)
        if self._sent is None:
            deltas.append(self._start(""))
        if not self._sent:
            raw = (self.scanner.text + raw).lstrip()
            return [*deltas, self._delta(raw)] if raw else deltas
        return [*deltas, *self._make_rest(raw)]

    def _start(self, name: str) -> ToolCallDelta:
        self._sent = 0
        return ToolCallDelta(self._index, self._new_id(), name, "")

    def _end(self) -> list[ToolCallDelta]:
        name, arguments = self._parse()
        if self._sent:
            return self._make_rest("") if arguments is None else [self._delta("}")]
        start = [self._start(name)] if self._sent is None else []
        return [*start, self._delta(dump_arguments(arguments, self.scanner.text))]

    def _make_rest(self, raw: str) -> list[ToolCallDelta]:
        """Make the delta of what a malformed call lacks, with the text from where the JSON ends.

        What was sent lacks the closing brace, and stays without it where it would look valid.
        """
        span = self._find_safe_span()
        unsent = "" if span is None else self.scanner.get_part(span[0] + (self._sent or 0))
        rest = unsent + raw
        is_complete = self.scanner.is_done or self.has_complete_arguments
        return [] if not rest or (is_complete and rest.strip() == "}") else [self._delta(rest)]

    def _parse(self) -> ParsedCall:
        try:
            value = parse_strict_json(self.scanner.text)
        except ValueError:
            return self.name or "", None
        if self._fixed_name is not None:
            schema = self._schemas.get(self._fixed_name, {})
            # The whole call once more, in place of its arguments: which are meant is uncertain.
            is_call = isinstance(value, Mapping) and _is_call(value, schema)
            return self._fixed_name, None if is_call else _parse_arguments(value, schema)
        return parse_call(value, self._schemas)

    def _find_arguments(self) -> Member | None:
        members = self.scanner.members[:MAX_MEMBERS]
        return next((member for member in members if member.key in _ARGUMENTS_KEYS), None)

    def _find_safe_span(self) -> tuple[int, int] | None:
        """Return the span of the arguments that is safe to emit (without the closing brace)."""
        if self._fixed_name is not None:
            start, end = 0, self.scanner.size - 1 if self.scanner.is_done else self.scanner.size
        elif (member := self._find_arguments()) is None or member.start is None:
            return None
        else:
            start, end = member.start, self.scanner.size if member.end is None else member.end - 1
        return (start, end) if self.scanner.get_part(start, start + 1) == "{" else None

    def _delta(self, arguments: str) -> ToolCallDelta:
        return ToolCallDelta(self._index, None, None, arguments)


def find_name(scanner: JsonScanner, schemas: Schemas) -> str | None:
    """Find the name of the tool in the JSON of a call so far."""
    for member in scanner.members[:MAX_MEMBERS]:
        if member.key in NAME_KEYS and member.start is not None and member.end is not None:
            name = json.loads(scanner.get_part(member.start, member.end))
            return resolve_name(name, schemas) if isinstance(name, str) else None
    return None


def parse_call(value: Any, schemas: Schemas) -> ParsedCall:
    """Parse the JSON value of a call, in the forms of all vendors.

    Returns:
        The tool's name, empty if there is none, and the arguments; None if they are malformed. They
        are, too, if the value has members whose meaning is not certain.
    """
    if not isinstance(value, Mapping):
        return "", None
    members = {key: value[key] for key in value if key not in DECORATIONS}
    function = members.get("function")
    if isinstance(function, Mapping) and len(members) == 1:
        return parse_call(function, schemas)
    names = [members.pop(key) for key in (*NAME_KEYS, "function") if key in members]
    if len(names) != 1 or not isinstance(names[0], str):
        return "", None
    name = resolve_name(names[0], schemas)
    schema = schemas.get(name, {})
    key, written = next(iter(members.items()), ("arguments", None))
    if len(members) > 1 or not _is_arguments_key(key, schema):
        return name, None
    arguments = _parse_arguments(written, schema)
    # Without other arguments a decoration may be meant as one, flat beside the tool's name.
    is_uncertain = not arguments and any(_is_flat_argument(k, value, schema) for k in DECORATIONS)
    return name, None if is_uncertain else arguments


def build_deltas(
    calls: Iterable[ParsedCall], raw: str, start: int, new_id: Callable[[], str]
) -> list[ToolCallDelta]:
    """Build the deltas of whole calls.

    Args:
        calls: The calls.
        raw: The text of the calls, for those that are malformed.
        start: The number of the first call in the answer.
        new_id: Creates the id of a call.
    """
    return [
        delta
        for index, (name, arguments) in enumerate(calls, start)
        for delta in (
            ToolCallDelta(index, new_id(), name, ""),
            ToolCallDelta(index, None, None, dump_arguments(arguments, raw)),
        )
    ]


def dump_arguments(arguments: Mapping[str, Any] | None, raw: str) -> str:
    """Return the JSON text of arguments; for malformed ones the raw text, never an object."""
    if arguments is not None:
        return json.dumps(arguments, ensure_ascii=False)
    text = raw.strip()
    # A whole call as JSON is an object too: without its last brace it cannot pass for arguments.
    return (text[:-1] if _is_json_object(text) else text) or _NO_TEXT


def is_arguments_word(key: str) -> bool:
    """Return True for a key under which models write the arguments of a call."""
    return key.lower() in _ARGUMENTS_WORDS


def _is_arguments_key(key: str, schema: Mapping[str, Any]) -> bool:
    # An argument of that name, flat beside the tool's name, would be another reading.
    is_argument = _has_property(schema, key)
    return key in _ARGUMENTS_KEYS or (is_arguments_word(key) and not is_argument)


def _is_call(value: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    keys = [key for key in value if not _has_property(schema, key)]
    names = [key for key in keys if key in NAME_KEYS]
    return len(keys) == len(value) == 2 and len(names) == 1 and any(map(is_arguments_word, keys))


def _is_flat_argument(key: str, call: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    is_type = key == "type" and call.get(key) in _CALL_TYPES
    return key in call and not is_type and _has_property(schema, key)


def _has_property(schema: Mapping[str, Any], key: str) -> bool:
    properties = schema.get("properties")
    return isinstance(properties, Mapping) and key in properties


def _parse_arguments(value: Any, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    if value is None or value == "":
        return {}
    if isinstance(value, list) and wraps_value(schema):
        return {ROOT: value}  # the only argument, without its name
    if isinstance(value, str):
        # OpenAI's API encodes arguments twice, and some models were trained on that.
        return _decode_arguments(value)
    return value if isinstance(value, dict) else None


def _is_json_object(text: str) -> bool:
    try:
        return text.startswith("{") and isinstance(json.loads(text, strict=False), dict)
    except ValueError:
        return False
    except RecursionError:
        return True  # another parser may have a higher limit


def _decode_arguments(text: str) -> dict[str, Any] | None:
    repaired = repair_object(text)
    try:
        value = None if repaired is None else parse_strict_json(repaired)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

"""Read one tool call from its JSON while it streams: `{"name": …, "arguments": {…}}`.

The trap is a call that breaks off: the closing brace of its arguments is emitted only when the call
itself has ended, so that an incomplete call never looks complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from replicate_stream._response.json_repair import JsonScanner, Member, repair_object
from replicate_stream._types.messages import ToolCallDelta

NO_ARGUMENTS = "{}"
_ARGUMENTS_KEYS = ("arguments", "parameters")


class CallBody:
    """Reads the JSON of one tool call.

    Args:
        index: The number of the call in the answer, from 0.
        new_id: Creates the id of the call.
        name: The tool, if it stands before the JSON. The JSON is then its arguments alone.

    Attributes:
        scanner: The scanner of the JSON, which the owner feeds before it calls `read`.
    """

    __slots__ = ("_fixed_name", "_index", "_new_id", "_sent", "scanner")

    def __init__(self, index: int, new_id: Callable[[], str], name: str | None = None) -> None:
        self._index = index
        self._new_id = new_id
        self._fixed_name = name
        self.scanner = JsonScanner()
        self._sent: int | None = None  # characters of the arguments in deltas; None before the name

    @property
    def name(self) -> str | None:
        """The tool; None until it is known."""
        if self._fixed_name is not None:
            return self._fixed_name
        for member in self.scanner.members:
            if member.key == "name" and member.start is not None and member.end is not None:
                name = json.loads(self.scanner.get_part(member.start, member.end))
                return name if isinstance(name, str) else None
        return None

    @property
    def has_complete_arguments(self) -> bool:
        """True if the object of arguments is complete, even if the call around it is not."""
        member = self._find_arguments()
        return self._fixed_name is None and member is not None and member.end is not None

    @property
    def is_call(self) -> bool | None:
        """True if JSON without any marks is a call; None while that is not certain.

        A call has a name and an object of arguments, and no other members before these. The order
        of the members decides, so that the result is the same for every chunking.
        """
        has_name = has_arguments = False
        for member in self.scanner.members:
            if member.key not in {"name", "type", "id", *_ARGUMENTS_KEYS}:
                return False
            if member.start is not None:
                is_object = self.scanner.get_part(member.start, member.start + 1) == "{"
                if is_object != (member.key in _ARGUMENTS_KEYS):
                    return False
                has_arguments = has_arguments or is_object
            has_name = has_name or (member.key == "name" and self.name is not None)
            if has_name and has_arguments:
                return True
        if self.scanner.is_done:
            return has_name
        return False if self.scanner.is_broken else None

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
            raw = self.scanner.text + (raw if self.scanner.size else raw.lstrip())
        elif raw.strip() and self.has_complete_arguments:
            raw = "}" + raw
        return [*deltas, self._delta(raw)] if raw else deltas

    def _start(self, name: str) -> ToolCallDelta:
        self._sent = 0
        return ToolCallDelta(self._index, self._new_id(), name, "")

    def _end(self) -> list[ToolCallDelta]:
        if self._sent:
            return [self._delta("}")]
        value = json.loads(self.scanner.text)
        if self._sent is not None:
            arguments = value if self._fixed_name is not None else _get_arguments(value)
            return [self._delta(_dump_arguments(arguments))]
        name, text = _parse_nested_call(value) or ("", self.scanner.text)
        return [self._start(name), self._delta(text)]

    def _find_arguments(self) -> Member | None:
        return next((m for m in self.scanner.members if m.key in _ARGUMENTS_KEYS), None)

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


def _parse_nested_call(value: Any) -> tuple[str, str] | None:
    """Parse `{"function": {…}}` or `{"function": name, "arguments": {…}}`: name and arguments."""
    if not isinstance(value, Mapping):
        return None
    call = value.get("function")
    if isinstance(call, str):
        call = {**value, "name": call}
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        return None
    return call["name"], _dump_arguments(_get_arguments(call))


def _get_arguments(call: Mapping[str, Any]) -> Any:
    return next((call[key] for key in _ARGUMENTS_KEYS if key in call), None)


def _dump_arguments(value: Any) -> str:
    """Return the JSON text of arguments. It is an object only if the value is one."""
    if value is None or value == "":
        return NO_ARGUMENTS
    if isinstance(value, str):
        # OpenAI's API encodes arguments twice, and some models were trained on that.
        return repair_object(value) or value
    return json.dumps(value, ensure_ascii=False)

"""One call out of its JSON, while it comes: `{"name": …, "arguments": {…}}`, or bare arguments.

The trap is a call that breaks off: the last bracket of its arguments is given only when the call
itself has ended, so that what was cut never looks whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from replicate_stream._response.json_repair import JsonScanner, Member, strict_object
from replicate_stream._types.messages import ToolCallDelta

ARGUMENTS = ("arguments", "parameters")
NO_ARGUMENTS = "{}"


class CallBody:
    """Reads one call.

    Args:
        index: Counts the calls of an answer from 0.
        new_id: Makes the call's id.
        name: The tool, where it was told before the JSON, which then is the arguments alone.

    Attributes:
        is_done: Whether the call has ended well.
        is_broken: Whether the JSON broke.
    """

    __slots__ = ("_given", "_index", "_is_told", "_new_id", "_scanner", "_told_name")

    def __init__(self, index: int, new_id: Callable[[], str], name: str | None = None) -> None:
        self._index = index
        self._new_id = new_id
        self._scanner = JsonScanner()
        self._is_told = name is not None
        self._given: int | None = None  # how much of the arguments; None before the name
        self._told_name = name

    @property
    def is_done(self) -> bool:
        """Whether the JSON is whole."""
        return self._scanner.is_done

    @property
    def is_broken(self) -> bool:
        """Whether what came is no JSON."""
        return self._scanner.is_broken

    @property
    def lacks_only_its_end(self) -> bool:
        """Whether nothing but the last bracket is missing."""
        return self._scanner.lacks_only_its_end

    @property
    def found_name(self) -> str | None:
        """The tool, as far as it can be told."""
        return self._told_name if self._is_told else self._name()

    @property
    def has_all_arguments(self) -> bool:
        """Whether the object of arguments is whole, be the call or not."""
        member = self._arguments()
        return not self._is_told and member is not None and member.end is not None

    @property
    def is_call(self) -> bool | None:
        """Whether JSON without any marks is a call: None while it cannot be told.

        It has a name and an object of arguments, and nothing else before them. What decides is what
        comes first, so that nothing depends on how much is there already.
        """
        scanner = self._scanner
        has_name = has_arguments = False
        for member in scanner.members:
            if member.key not in {"name", "type", "id", *ARGUMENTS}:
                return False
            if member.start is not None:
                is_object = scanner.part(member.start, member.start + 1) == "{"
                if is_object != (member.key in ARGUMENTS):
                    return False
                has_arguments = has_arguments or is_object
            has_name = has_name or (member.key == "name" and self._name() is not None)
            if has_name and has_arguments:
                return True
        if scanner.is_done:
            return has_name
        return False if scanner.is_broken else None

    def feed(self, text: str, at: int) -> int:
        """Take more text; gives where the call ends, or breaks, or else the text's length."""
        return self._scanner.feed(text, at)

    def take(self) -> list[ToolCallDelta]:
        """What can be told of the call by now, and was not told yet."""
        deltas: list[ToolCallDelta] = []
        if self._given is None:
            name = self.found_name
            if name is not None:
                deltas.append(self._open(name))
        if self._given is not None:
            self._tell(deltas)
        if self.is_done:
            self._end(deltas)
        return deltas

    def give_up(self, rest: str) -> list[ToolCallDelta]:
        """The call broke, or broke off: what was read stays, and the rest as the model wrote it.

        The arguments are not JSON then: no call that was cut looks whole.
        """
        deltas = self.take()
        raw = self._scanner.with_rest(rest)
        if self._given is None:
            deltas.append(self._open(""))
        if not self._given:
            raw = self._scanner.text + (raw if self._scanner.size else raw.lstrip())
        elif raw.strip() and self.has_all_arguments:
            raw = "}" + raw
        return [*deltas, self._delta(raw)] if raw else deltas

    def close(self) -> list[ToolCallDelta]:
        """End a call whose own last bracket is all that is missing."""
        self._scanner.close()
        return self.take()

    def _open(self, name: str) -> ToolCallDelta:
        self._given = 0
        return ToolCallDelta(self._index, self._new_id(), name, "")

    def _name(self) -> str | None:
        for member in self._scanner.members:
            if member.key == "name" and member.start is not None and member.end is not None:
                name = json.loads(self._scanner.part(member.start, member.end))
                return name if isinstance(name, str) else None
        return None

    def _arguments(self) -> Member | None:
        return next((m for m in self._scanner.members if m.key in ARGUMENTS), None)

    def _told(self) -> tuple[int, int] | None:
        """Where the arguments are that can be given: an object, less its last bracket."""
        scanner = self._scanner
        if self._is_told:
            start, end = 0, scanner.size - 1 if scanner.is_done else scanner.size
        elif (member := self._arguments()) is None or member.start is None:
            return None
        else:
            start, end = member.start, scanner.size if member.end is None else member.end - 1
        return (start, end) if scanner.part(start, start + 1) == "{" else None

    def _tell(self, deltas: list[ToolCallDelta]) -> None:
        told = self._told()
        if told is None:
            return
        start, end = told
        given = start + (self._given or 0)
        if end > given:
            deltas.append(self._delta(self._scanner.part(given, end)))
            self._given = end - start

    def _end(self, deltas: list[ToolCallDelta]) -> None:
        if self._given:
            deltas.append(self._delta("}"))
            return
        whole = json.loads(self._scanner.text)
        if self._given is not None:
            deltas.append(self._delta(_as_arguments(whole if self._is_told else _given_in(whole))))
        elif (inner := _inner_call(whole)) is not None:
            name, arguments = inner
            deltas += [self._open(name), self._delta(arguments)]
        else:
            deltas += [self._open(""), self._delta(self._scanner.text)]

    def _delta(self, arguments: str) -> ToolCallDelta:
        return ToolCallDelta(self._index, None, None, arguments)


def _inner_call(call: Any) -> tuple[str, str] | None:
    """A call inside another object: `{"type": "function", "function": {…}}`, or by its name."""
    if not isinstance(call, Mapping):
        return None
    inner = call.get("function")
    if isinstance(inner, str):
        inner = {**call, "name": inner}
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return None
    return inner["name"], _as_arguments(_given_in(inner))


def _given_in(call: Mapping[str, Any]) -> Any:
    return next((call[key] for key in ARGUMENTS if key in call), None)


def _as_arguments(value: Any) -> str:
    """Arguments as the JSON text of an object; what is none stays what it is, and is no call."""
    if value is None or value == "":
        return NO_ARGUMENTS
    if isinstance(value, str):
        inner = strict_object(value)  # twice encoded, as OpenAI has it
        return value if inner is None else inner
    return json.dumps(value, ensure_ascii=False)

"""What the words of a prompt demand: a call, one call at most, JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream.testing._tool_user._conversation import Form, Tool
from replicate_stream.testing._tool_user._json import value_at

_MUST = re.compile(
    r"\bmust (?:call|use) (?:the |a |an |one of the |at least one |any of the )*"
    r"(?:functions?|tools?)\b(?: named| called)?(?: [`'\"]?(?P<name>[\w.-]+))?",
    re.IGNORECASE,
)
_SINGLE = re.compile(
    r"\bat most one\b|\bonly one (?:function|tool|call)\b|\bone (?:function|tool) at a time\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    rf"[^.\n]*(?:{_MUST.pattern.replace('?P<name>', '?:')}|{_SINGLE.pattern})[^.\n]*\.?",
    re.IGNORECASE,
)
_COMPLAINT = re.compile(
    r"\b(?:will not do|answer again|try again|fix (?:your|the|this)|did not call|not valid)\b",
    re.IGNORECASE,
)
_JSON = re.compile(
    r"\b(?:answer|return|respond|reply|output|give|produce|write|result)\b[^\n]{0,60}\bJSON\b"
    r"|\bas (?:a )?JSON\b|\bJSON (?:object|format|only)\b",
    re.IGNORECASE,
)
_JSON_SENTENCE = re.compile(
    rf"[^.!?\n]*(?:{_JSON.pattern}|\bnothing other than JSON\b)[^.!?\n]*[.!?]?"
)
_SCHEMA_KEYS = frozenset({"type", "properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "items"})
_NEAR = 400  # characters between the words and the schema
_SCHEMA = re.compile(r"\bJSON[- ]schema\b", re.IGNORECASE)
_KEYS = (
    re.compile(r"((?:['\"`][\w ]+['\"`](?:,? and |, | or )?)+) *(?:keys?|fields?|properties)\b"),
    re.compile(
        r"\b(?:keys?|fields?|properties)\b:? *(?:named )?"
        r"((?:['\"`]?\w+['\"`]?(?:,? and |, ))*['\"`]?\w+['\"`]?)"
    ),
)


def must_call(text: str, tools: Sequence[Tool]) -> tuple[bool, str | None]:
    """Whether a text demands a call, and of which tool if it says so."""
    names = {tool.name for tool in tools}
    found = list(_MUST.finditer(text))
    named = next((m["name"].rstrip(".") for m in found if m["name"]
                  and m["name"].rstrip(".") in names), None)  # fmt: skip
    return bool(found), named


def at_most_one(text: str) -> bool:
    """Whether a text demands that there be one call at most."""
    return bool(_SINGLE.search(text))


def is_complaint(text: str) -> bool:
    """Whether a text says that what came before it will not do, and asks for it again."""
    return bool(_COMPLAINT.search(text))


def form_of(text: str) -> Form | None:
    """The JSON that a text asks for; None if it asks for none."""
    if found := _schema_in(text):
        return Form(found[0])
    if not _JSON.search(text):
        return None
    return Form(None, _keys(text))


def without_demands(text: str) -> str:
    """A text without the sentences that demand a call or JSON, and without the schema of that."""
    if found := _schema_in(text):
        _, start, end = found
        return without_demands(text[:start] + text[end:])
    rest = _SENTENCE.sub("", text).strip()
    return _JSON_SENTENCE.sub("", rest).strip() or rest


def _schema_in(text: str) -> tuple[Mapping[str, Any], int, int] | None:
    """A JSON schema that is announced as one, and where it stands together with that sentence.

    Some prompts have all braces doubled, because a template was not filled in.
    """
    for mention in _SCHEMA.finditer(text):
        at = text.find("{", mention.end(), mention.end() + _NEAR)
        if at < 0:
            continue
        is_doubled = text.startswith("{{", at)
        rest = text[at:]
        if is_doubled:
            rest = rest.replace("{{", "{").replace("}}", "}")
        found = value_at(rest, 0)
        if found and isinstance(found[0], dict) and not _SCHEMA_KEYS.isdisjoint(found[0]):
            start = max(text.rfind(sign, 0, mention.start()) for sign in ("\n", ". "))
            doubled = sum(map(rest[: found[1]].count, "{}")) if is_doubled else 0
            return found[0], start + 1, at + found[1] + doubled
    return None


def _keys(text: str) -> tuple[str, ...]:
    for pattern in _KEYS:
        if told := pattern.search(text):
            words = re.findall(r"['\"`]([\w ]+)['\"`]", told[1])
            words = words or [w for w in re.findall(r"\w+", told[1]) if w != "and"]
            return tuple(words)
    return ()

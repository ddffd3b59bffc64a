"""Which calls a request needs: the tools whose words it has, once for each thing it names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replicate_stream.testing._tool_user._arguments import arguments_for, kind_of, required
from replicate_stream.testing._tool_user._conversation import Call, Tool
from replicate_stream.testing._tool_user._facts import Facts
from replicate_stream.testing._tool_user._strings import is_place
from replicate_stream.testing._tool_user._words import asked_words, words

_ENOUGH = 2.0
_SHORT = 8  # words; each of a short description tells much of what the tool is for
_USE = re.compile(
    r"\b(?:us(?:e|ing)|with|call) (?:the |a |your )?(?:tools?|functions?)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a tool fits a request.

    Attributes:
        tool: The tool.
        score: The more the better.
        covers: The words of the request that are in the tool's name.
        is_named: Whether the request names it as it is written.
    """

    tool: Tool
    score: float
    covers: frozenset[str]
    is_named: bool


def fits(tools: Sequence[Tool], facts: Facts) -> list[Fit]:
    """How well each tool fits, the best first; in the given order where they are even."""
    asked = asked_words(facts.request).union(words(facts.hint))
    is_wanted = bool(_USE.search(facts.request))
    found = [_fit(tool, asked, facts, is_wanted=is_wanted) for tool in tools]
    return sorted(found, key=lambda fit: -fit.score)


def _fit(tool: Tool, asked: set[str], facts: Facts, *, is_wanted: bool) -> Fit:
    own = set(words(tool.name))
    by_name = own & asked
    description = set(words(tool.description))
    weight = 2.0 if len(description) <= _SHORT else 1.0
    spoken = weight * len(description & asked - by_name)
    is_named = is_mentioned_as(tool.name, facts.request)
    score = 10.0 * is_named + 3.0 * len(by_name) + spoken + 2.0 * is_wanted
    if score:
        score += 0.5 * bool(set(words(" ".join(_properties(tool)))) & asked)
        score -= 0.4 * _lacking(tool, facts)
    covers = frozenset({tool.name}) if is_named else frozenset(by_name)
    return Fit(tool, score, covers, is_named)


def is_mentioned_as(name: str, text: str) -> bool:
    """Whether a text has a tool's name as it is written: with a sign in it, quoted, or called."""
    escaped = re.escape(name)
    if re.search(r"[_\d-]|[a-z][A-Z]", name):
        return re.search(rf"(?<![\w-]){escaped}(?![\w-])", text) is not None
    return re.search(rf"(?<!\w){escaped}\(|['\"`]{escaped}['\"`]", text) is not None


def _properties(tool: Tool) -> Mapping[str, Any]:
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _lacking(tool: Tool, facts: Facts) -> int:
    """How many numbers it needs that the request does not have."""
    needed = [_properties(tool)[name] for name in required(tool.parameters)]
    return max(0, sum(_is_numeric(each) for each in needed) - len(facts.numbers))


def wanted_calls(tools: Sequence[Tool], facts: Facts, fallback: Tool | None) -> list[Call]:
    """The calls that a request needs, in order; one of the fallback if no tool fits."""
    ranked = [fit for fit in fits(tools, facts) if fit.score >= _ENOUGH]
    chosen: list[Fit] = []
    covered: set[str] = set()
    for fit in ranked:
        if not chosen or fit.covers - covered:
            chosen.append(fit)
            covered |= fit.covers
    if any(fit.is_named for fit in chosen):
        chosen = [fit for fit in chosen if fit.is_named]
        chosen.sort(key=lambda fit: facts.request.find(fit.tool.name))
    picked = [fit.tool for fit in chosen] or ([fallback] if fallback else [])
    return [call for tool in picked for call in calls_of(tool, facts)]


def calls_of(tool: Tool, facts: Facts) -> list[Call]:
    """The calls of one tool: one for each of the things that it takes one of."""
    made: list[Call] = []
    for share in _shares(tool, facts):
        call = Call(tool.name, arguments_for(tool.parameters, tool.description, share))
        if call not in made:
            made.append(call)
    return made


def _shares(tool: Tool, facts: Facts) -> list[Facts]:
    """The facts, divided among several calls where there are too many for one."""
    properties = _properties(tool)
    needed = {name: properties[name] for name in required(tool.parameters)}
    numeric = sum(_is_numeric(inner) for inner in needed.values())
    listed = any(kind_of(inner) == "array" for inner in properties.values())
    most = sum(_is_numeric(inner) for inner in properties.values())
    told = facts.asked_numbers
    if listed:
        return [facts.copy()]
    if numeric and len(told) > most and len(told) % numeric == 0:
        return [facts.copy(numbers=told[at : at + numeric]) for at in range(0, len(told), numeric)]
    texts = [name for name, inner in needed.items() if _is_free_text(inner)]
    if len(texts) == 1 and len(facts.asked_quotes) > 1:
        return [facts.copy(quote=quote) for quote in facts.asked_quotes]
    if sum(is_place(name) for name in texts) == 1 or (len(texts) == 1 and not facts.quotes):
        places = facts.asked_places
        if len(places) > 1 and not any(map(_is_sentence, texts)):
            return [facts.copy(place=place) for place in places]
    return [facts.copy()]


def _is_sentence(name: str) -> bool:
    """Whether a field takes a whole question, which may name several things at once."""
    return not {"query", "question", "input", "text", "prompt", "message"}.isdisjoint(
        name.lower().split("_")
    )


def _is_numeric(schema: Any) -> bool:
    return isinstance(schema, Mapping) and kind_of(schema) in {"integer", "number"}


def _is_free_text(schema: Any) -> bool:
    return (
        isinstance(schema, Mapping)
        and kind_of(schema) == "string"
        and not {"enum", "const", "format", "$ref", "anyOf"} & set(schema)
    )

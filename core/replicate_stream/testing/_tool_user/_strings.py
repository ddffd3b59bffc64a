"""Strings for arguments: what the text says for a field of that name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from replicate_stream.testing._tool_user._facts import (
    Facts,
    after_about,
    after_dash,
    after_name,
    after_number,
    after_preposition,
    quotations,
)
from replicate_stream.testing._tool_user._words import share, word_set, words

_PLACE = word_set("city location place town country region where destination origin capital")
_NAME = word_set("name customer person user who author owner artist company contact")
_ASKED = word_set("query question input text prompt message request task search sentence q")
_TOPIC = word_set("topic subject theme keyword term item product thing")
_PROSE = word_set(
    "description reason summary explanation advice comment answer punchline setup note story body "
    "rationale details justification thought content"
)
_FORMATS: Mapping[str, tuple[str, str]] = {
    "date": (r"\b\d{4}-\d\d-\d\d\b", "2026-01-31"),
    "date-time": (r"\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?", "2026-01-31T12:00:00Z"),
    "time": (r"\b\d\d:\d\d(?::\d\d)?\b", "12:00:00Z"),
    "email": (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "someone@example.com"),
    "uri": (r"https?://[^\s'\"<>]+[^\s'\"<>.,?!]", "https://example.com"),
    "uuid": (
        r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
        "00000000-0000-4000-8000-000000000000",
    ),
}
_LISTED = re.compile(r"['\"]?\b([\w-]{2,40})['\"]?\s*:\s*['\"]?([^'\"\n}]+)")


def is_place(name: str) -> bool:
    """Whether a field of that name takes a place."""
    return not _PLACE.isdisjoint(_parts(name))


def is_mentioned(name: str, facts: Facts) -> bool:
    """Whether the request speaks of a field, and not to leave it out."""
    asked = words(facts.request)
    own = words(name)
    if not own or not all(word in asked for word in own):
        return False
    return not is_left_out(name, facts)


def is_left_out(name: str, facts: Facts) -> bool:
    """Whether the request says that a field is not wanted."""
    shown = r"[\s_-]*".join(re.escape(part) for part in _parts(name))
    pattern = rf"\b(?:no|not|without|except)\s+(?:an?\s+|the\s+)?{shown}"
    return bool(shown) and re.search(pattern, facts.request, re.IGNORECASE) is not None


def spoken_of(options: Sequence[str], about: str, facts: Facts) -> str | None:
    """The option whose description, in a list of them, fits the request best; None if none does."""
    described = dict(_LISTED.findall(about))
    asked = set(words(facts.text))
    scored = [
        (len(share(f"{option} {described[option]}", asked)), option)
        for option in options
        if option in described
    ]
    best = max((score for score, _ in scored), default=0)
    return next((option for score, option in scored if score == best), None) if best else None


def string_for(schema: Mapping[str, Any], name: str, about: str, facts: Facts) -> str:
    """A string that fits the schema; the best that the text has for it."""
    for candidate in _candidates(schema, name, about, facts):
        value = candidate.strip()
        longest = schema.get("maxLength")
        value = value[:longest].strip() if longest else value
        if value and _fits(value, schema):
            _use_up(value, facts)
            return value
    return "x" * int(schema.get("minLength", 1))


def _candidates(schema: Mapping[str, Any], name: str, about: str, facts: Facts) -> Iterator[str]:
    form = _FORMATS.get(str(schema.get("format")))
    if form is None and "email" in _parts(name):
        form = _FORMATS["email"]
    if form is not None:
        yield from re.findall(form[0], facts.text)
        yield form[1]
    if schema.get("pattern"):
        yield from (*facts.quotes, *facts.text.split(), *facts.numbers, *_samples())
    if told := _beside(name, facts):
        yield told
    yield from (option for option in [_listed(name, about, facts)] if option)
    yield from _by_kind(name, facts)
    yield facts.request
    yield facts.text
    yield name or "text"
    if "default" in schema:
        yield str(schema["default"])
    yield (name or "text").ljust(int(schema.get("minLength", 0)), ".")


def _by_kind(name: str, facts: Facts) -> Iterator[str]:
    """What the text has for a field of such a name, the best first."""
    parts = set(_parts(name))
    composed = f"{_title(name)} about {facts.topic}"
    if not _PROSE.isdisjoint(_parts(name)[-1:]):
        yield from _found(facts, after_dash)
        yield from facts.quotes if is_mentioned(name, facts) else ()
        yield composed
    yield from facts.quotes
    if parts & _NAME:
        yield from _found(facts, after_name)
    if parts & (_TOPIC | _ASKED):
        yield from _found(facts, after_about)
    if parts & _TOPIC:
        yield from _found(facts, after_number)
    if parts & _ASKED:
        yield facts.request
    yield from facts.places
    for finder in (after_about, after_preposition):
        yield from _found(facts, finder)
    if not parts & _PLACE:
        yield composed


def _found(facts: Facts, finder: Callable[[str], str | None]) -> Iterator[str]:
    for text in (facts.request, facts.text):
        if told := finder(text):
            yield told


def _beside(name: str, facts: Facts) -> str | None:
    """What the text gives for the field by its name: `city=Oslo`, `city: "Oslo"`."""
    shown = r"[\s_-]*".join(re.escape(part) for part in _parts(name))
    told = re.search(
        rf"\b{shown}['\"`]?\s*[=:]\s*(\"[^\"]*\"|'[^']*'|[^,;.?!)\n]+)", facts.text, re.IGNORECASE
    )
    if told is None or not shown:
        return None
    return (quotations(told[1]) or [told[1]])[0]


def _listed(name: str, about: str, facts: Facts) -> str | None:
    """One of the names that the description lists, as in `available agents: {'writer': …}`."""
    _, available, listed = about.partition("vailable")
    if not available or not {"to", "agent", "target"}.intersection(_parts(name)):
        return None
    options = [option for option, _ in _LISTED.findall(listed.partition(":")[2])]
    return spoken_of(options, listed.partition(":")[2], facts) or next(iter(options), None)


def _fits(value: str, schema: Mapping[str, Any]) -> bool:
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value):
        return False
    return int(schema.get("minLength", 0)) <= len(value) <= int(schema.get("maxLength", 1 << 20))


def _samples() -> tuple[str, ...]:
    return ("a", "A", "Aa", "aaa", "AAA", "0", "00", "000", "00000", "A-1", "AB-12", "2026-01-31")


def _use_up(value: str, facts: Facts) -> None:
    for found in (facts.quotes, facts.places):
        if value in found:
            found.remove(value)


def _title(name: str) -> str:
    return " ".join(_parts(name)).capitalize() or "Text"


def _parts(name: str) -> list[str]:
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]

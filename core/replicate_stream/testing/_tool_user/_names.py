"""Names in a text, by their capitals: places, persons, and lists of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from replicate_stream.testing._tool_user._words import COMMON, word_set

_TOKEN = re.compile(r"\w[\w'\u2019-]*|[^\w\s]")
_LEADS = word_set("in at for from near to between visit of about with by")
_SMALL = word_set("de la le of del am an der den di da al von van the")
_NO_NAMES = word_set(
    "json i i'm i'd monday tuesday wednesday thursday friday saturday sunday january february "
    "march april may june july august september october november december today tomorrow"
)
_VERBS = word_set(
    "add answer apply ask book calculate check compare compute convert count create describe do "
    "draw explain extract fetch find generate go list look multiply name open play plan post put "
    "read remember remind reply say search send set sort start stop subtract sum summarize take "
    "think translate turn using write yes ok okay thanks thank good great sure hey dear"
)
_LISTING = re.compile(r"\s*(?:(,)|,?\s*(?:and|or|&))\s*")


@dataclass(frozen=True, slots=True)
class _Run:
    """Capitalised words in a row, and the word before them in lower case."""

    text: str
    start: int
    end: int
    lead: str


def names(text: str) -> tuple[list[str], list[str]]:
    """The names in a text: those after a preposition, or listed; and others."""
    listed: list[str] = []
    others: list[str] = []
    for group, is_led in _groups(text):
        (listed if is_led or len(group) > 1 else others).extend(group)
    return listed, others


def _groups(text: str) -> Iterator[tuple[list[str], bool]]:
    """Names that are listed together, and whether a preposition leads them.

    Two with nothing but a comma between them are one: `Paris, France`.
    """
    group: list[str] = []
    is_led = has_and = False
    last_end = 0
    for run in _runs(text):
        listing = _LISTING.fullmatch(text, last_end, run.start)
        last_end = run.end
        if group and listing and listing[1] and re.fullmatch("[A-Z]{2}", run.text):
            group[-1] += f", {run.text}"  # San Francisco, CA
            continue
        if group and listing:
            has_and = has_and or listing[1] is None
        else:
            yield from _closed(group, is_led=is_led, has_and=has_and)
            group, is_led, has_and = [], run.lead in _LEADS, False
        group.append(run.text)
    yield from _closed(group, is_led=is_led, has_and=has_and)


def _closed(group: list[str], *, is_led: bool, has_and: bool) -> Iterator[tuple[list[str], bool]]:
    if len(group) == 2 and not has_and:
        group = [", ".join(group)]
    if group:
        yield group, is_led


def _runs(text: str) -> Iterator[_Run]:
    tokens = list(_TOKEN.finditer(text))
    at = 0
    while at < len(tokens):
        before = tokens[at - 1] if at else None
        if not _is_name(text, tokens[at], before):
            at += 1
            continue
        end = at + 1
        while end < len(tokens) and text[tokens[end - 1].end() : tokens[end].start()] == " ":
            is_small = tokens[end].group() in _SMALL and end + 1 < len(tokens)
            if not _is_capital(tokens[end + 1 if is_small else end].group()):
                break
            end += 2 if is_small else 1
        start, stop = tokens[at].start(), tokens[end - 1].end()
        name = re.sub(r"['\u2019]s$", "", text[start:stop])
        yield _Run(name, start, stop, before.group().lower() if before else "")
        at = end


def _is_name(text: str, token: re.Match[str], before: re.Match[str] | None) -> bool:
    word = token.group()
    if not _is_capital(word):
        return False
    is_first = (
        before is None
        or before.group() in {".", "?", "!", ":"}
        or "\n" in text[before.end() : token.start()]
    )
    return not (is_first and (word.lower() in COMMON or word.lower() in _VERBS or "'" in word))


def _is_capital(word: str) -> bool:
    return word[0].isupper() and "_" not in word and word.lower() not in _NO_NAMES

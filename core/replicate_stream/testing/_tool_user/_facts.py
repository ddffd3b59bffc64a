"""What a text says that a tool's arguments can be made of: quotations, numbers, places, names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from replicate_stream.testing._tool_user._names import names

_QUOTES = re.compile(
    r"\"([^\"\n]+)\"|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`|\u201c([^\u201d]+)\u201d"
    r"|\u2018([^\u2019]+)\u2019|\u00ab\s?([^\u00bb]+?)\s?\u00bb|\u300c([^\u300d]+)\u300d"
    r"|\u300e([^\u300f]+)\u300f|\u201e([^\u201c\u201d]+)[\u201c\u201d]"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w*[A-Za-z_])")
_SPELT = {
    word: number
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
_ABOUT = re.compile(
    r"\b(?:about|regarding|concerning|on the topic of)\s+([^.?!;:,\n]+)", re.IGNORECASE
)
_CALLED = re.compile(
    r"\b(?:named|called|name is|name's|name:|i am|i'm)\s+((?:[^\W\d_][\w'\u2019-]*\s?){1,3})",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\b(?:in|at|for|of)\s+(?:the\s+)?([^\W\d_][^,.?!;:\n]*)", re.IGNORECASE)
_COUNTED = re.compile(r"\b\d+ ([a-z]{3,})\b")
_TAIL = re.compile(r"(?:\s[-\u2013\u2014]\s|:\s)([^\n]+)$", re.MULTILINE)
_END = re.compile(
    r"\s+(?:and|or|today|tomorrow|now|right|please|with|using|include|then|who|that|which|is|are)\b.*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(slots=True)
class Facts:
    """What is left to be said in arguments; what was used is used up.

    Attributes:
        text: The request, and behind it whatever else there is to go by.
        request: The request alone.
        hint: What the request goes on with without saying so: the tool that was called before.
        quotes: Quoted texts.
        numbers: Numbers, as they are written.
        places: Capitalised names, those after a preposition or in a list first.
        asked_numbers: The numbers in the request.
        asked_quotes: The quotations in the request.
        asked_places: The names in the request that are after a preposition or in a list.
    """

    text: str
    request: str
    hint: str = ""
    quotes: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    asked_numbers: tuple[str, ...] = ()
    asked_quotes: tuple[str, ...] = ()
    asked_places: tuple[str, ...] = ()

    def copy(
        self,
        *,
        numbers: Sequence[str] | None = None,
        quote: str | None = None,
        place: str | None = None,
    ) -> Facts:
        """The same for another call, with the numbers, or the one thing, that it is for."""
        return replace(
            self,
            quotes=list(self.quotes) if quote is None else [quote],
            numbers=list(self.numbers if numbers is None else numbers),
            places=list(self.places) if place is None else [place],
        )

    @property
    def topic(self) -> str:
        """What the request is about, in few words."""
        told = _ABOUT.search(self.request)
        if told:
            return _END.sub("", told[1]).strip()
        if self.quotes or self.places:
            return (self.quotes or self.places)[0]
        return after_preposition(self.request) or " ".join(self.request.split()[:8]).rstrip(".?!")


def read_facts(request: str, more: Sequence[str] = (), *, hint: str = "") -> Facts:
    """The facts in a request, and after them those in other texts, in their order."""
    bare = _QUOTES.sub(" ", request)
    facts = Facts(
        "\n".join((request, *more)),
        request,
        hint,
        asked_numbers=tuple(numbers(bare)),
        asked_quotes=tuple(quotations(request)),
        asked_places=tuple(names(bare)[0]),
    )
    for text in (request, *more):
        quotes = quotations(text)
        bare = _QUOTES.sub(" ", text)
        facts.quotes += [q for q in quotes if q not in facts.quotes]
        facts.numbers += numbers(bare)
        led, other = names(bare)
        facts.places += [p for p in (*led, *other) if p not in facts.places]
    return facts


def quotations(text: str) -> list[str]:
    """What is quoted in a text, in any script's marks."""
    return [next(part for part in found.groups() if part) for found in _QUOTES.finditer(text)]


def numbers(text: str) -> list[str]:
    """The numbers in a text; small ones in words where there is none in digits."""
    found = [each.replace(",", "") for each in _NUMBER.findall(_minus(text))]
    if found:
        return found
    return [str(_SPELT[w]) for w in re.findall(r"[a-z]+", text.lower()) if w in _SPELT]


def _minus(text: str) -> str:
    """`3-4` and `3 - 4` subtract: there the sign is no part of a number."""
    return re.sub(r"(?<=[\d)])\s*-\s*(?=\d)", " ", text)


def after_name(text: str) -> str | None:
    """What somebody or something is called."""
    told = _CALLED.search(text)
    return _END.sub("", told[1]).strip() if told else None


def after_about(text: str) -> str | None:
    """What is spoken about."""
    told = _ABOUT.search(text)
    return _END.sub("", told[1]).strip() if told else None


def after_preposition(text: str) -> str | None:
    """What follows the last `in`, `at`, `for` or `of`."""
    told = _AFTER.findall(text)
    return _END.sub("", told[-1]).strip() or None if told else None


def after_number(text: str) -> str | None:
    """What is counted."""
    told = _COUNTED.search(text)
    return told[1] if told else None


def after_dash(text: str) -> str | None:
    """What explains the rest, behind a dash or a colon."""
    told = _TAIL.search(text)
    return told[1].strip().rstrip(".") if told else None

"""Words of a text, so far as it takes to see what it is about. No dictionary, little grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable


def word_set(text: str) -> frozenset[str]:
    """The words of a text as they are."""
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+|\d+")
_ENDINGS = re.compile(r"(?:ations?|ators?|ating|ings?|ers?|ors?|ate[sd]?|ed|es|s|e)$")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Words that say nothing of what a text is about, in prompts and in descriptions of tools.
COMMON = word_set(
    "a an and any are as at be by can could do does done each for from has have how i if in "
    "into is it its just let ll like many may me much my need no not now of on one or our out "
    "over please s she should so some t than that the their them then there they this those to "
    "too try up us use used useful user using value want was we what whats when where which "
    "who why will with would you your tell give show find make get got return returns result "
    "results call calls called function functions tool tools input inputs output given gives "
    "run runs particular also about set only other must perform provide provides were hello hi "
    "two three four five six seven eight nine ten first second several both"
)
_SYMBOLS = (
    (re.compile(r"\d\s*\+\s*-?\d|\bplus\b|\bsum\b"), ("add", "sum", "plus", "addition")),
    (re.compile(r"\d\s*[*\u00d7x]\s*-?\d|\btimes\b"), ("multiply", "product", "times")),
    (re.compile(r"\d\s+[-\u2212]\s+-?\d|\bminus\b"), ("subtract", "difference", "minus")),
    (re.compile(r"\d\s*[/\u00f7]\s*-?\d|\bdivided\b"), ("divide", "division", "quotient")),
    (re.compile(r"\b(?:rain|sunny|forecast|temperature|hot|cold|warm)\b"), ("weather",)),
)


def words(text: str) -> list[str]:
    """The words of a text or of a name, reduced to their stems; those that say nothing left out."""
    found: list[str] = []
    for word in _WORD.findall(text):
        lower = word.lower()
        if _WIDE.match(lower):
            found += [lower[at : at + 2] for at in range(max(1, len(lower) - 1))]
        elif lower not in COMMON and not lower.isdigit():
            found.append(stem(lower))
    return found


def stem(word: str) -> str:
    """A word without its ending, so that `adder` is as good as `adds`."""
    short = _ENDINGS.sub("", word)
    if short.endswith("i"):
        short = f"{short[:-1]}y"  # cities, city
    if len(short) > 3 and short[-1] == short[-2]:
        short = short[:-1]  # running, run
    return short if len(short) > 2 else word


def asked_words(text: str) -> set[str]:
    """The words of a request, and what its signs mean."""
    found = set(words(text))
    for pattern, meant in _SYMBOLS:
        if pattern.search(text.lower()):
            found.update(stem(word) for word in meant)
    return found


def share(text: str, asked: Iterable[str]) -> set[str]:
    """The words of a text that were asked about."""
    return set(words(text)).intersection(asked)

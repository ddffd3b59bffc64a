"""What a model says when it calls nothing: greetings, results, what it was told, sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream.testing._tool_user._arguments import Filler
from replicate_stream.testing._tool_user._conversation import Form, Result, Turn
from replicate_stream.testing._tool_user._facts import Facts
from replicate_stream.testing._tool_user._json import dump
from replicate_stream.testing._tool_user._words import words

_GREETING = re.compile(
    r"\W*(?:hi|hello|hey|good (?:morning|evening|day))\b(?:\W+\w+)?\W*", re.IGNORECASE
)
_WELL = re.compile(r"\bhow are you\b", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thanks|thank you)\b", re.IGNORECASE)
_MY = re.compile(r"\bwhat(?: is|'s|\u2019s| was)? my ((?:\w+ )?\w+)\b|\bwho am i\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"^\s*(?:query|question|follow up (?:message|input))\s*:\s*(.+)$", re.IGNORECASE | re.MULTILINE
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


def of_results(results: Sequence[Result]) -> str:
    """A sentence for each result, with the result in it as it is."""
    return " ".join(_of_result(result) for result in results)


def _of_result(result: Result) -> str:
    text = result.text.strip()
    if not text:
        return f"{result.name or 'The tool'} gave nothing."
    if text[0].isalpha() and text[-1] in ".!?":
        return text
    if text[0].isalpha() and " " in text:
        return f"{text}."
    return f"The result of {result.name or 'the tool'} is {text}."


def of_request(request: str, turns: Sequence[Turn], facts: Facts) -> str:
    """An answer without tools: from memory, or from a text that came with the question."""
    if _GREETING.fullmatch(request):
        return "Hello! How can I help you today?"
    if _WELL.search(request):
        return "I am well, thank you. What can I do for you?"
    if told := _MY.search(request):
        return _remembered(told[1] or "name", turns)
    if _THANKS.search(request):
        return "You are welcome."
    return _grounded(turns) or f"You asked about {facts.topic}. There is much to say about it."


def _remembered(what: str, turns: Sequence[Turn]) -> str:
    said = "\n".join(turn.text for turn in turns if turn.role in {"user", "system"})
    value = r"((?:(?!\band\b)[^.,;!?\n])+)"
    patterns = [rf"\bmy {re.escape(what)}(?:'s| is|:| was)\s+{value}"]
    if what.lower() == "name":
        patterns += [r"\b(?:I am|I'm|call me)\s+([A-Z]\w*(?: [A-Z]\w*)?)"]
    for pattern in patterns:
        if found := re.findall(pattern, said, re.IGNORECASE if pattern is patterns[0] else 0):
            return f"Your {what} is {found[-1].strip()}."
    return f"You have not told me your {what}."


def _grounded(turns: Sequence[Turn]) -> str | None:
    """The sentence of a given text that has most of the question's words; None without a text."""
    text = next((turn.text for turn in reversed(turns) if turn.role == "user"), "")
    told = _QUESTION.search(text)
    if told is None:
        return None
    asked = set(words(told[1]))
    given = "\n".join(turn.text for turn in turns if turn.role == "system")
    sentences = [s.strip() for s in _SENTENCE.findall(f"{text.replace(told[0], '')}\n{given}")]
    best = max(sentences, key=lambda s: len(asked.intersection(words(s))), default="")
    return best if asked.intersection(words(best)) else None


def of_form(form: Form, facts: Facts) -> Any:
    """A value that fits the JSON that is asked for."""
    schema: Mapping[str, Any]
    if form.schema is not None:
        schema = form.schema
    else:
        keys = form.keys or ("answer",)
        facts.quotes = [quote for quote in facts.quotes if quote not in keys]
        schema = {
            "type": "object",
            "properties": {key: {"type": "string"} for key in keys},
            "required": list(keys),
        }
    about = str(schema.get("description") or "")
    return Filler(schema, about, facts).value(schema, str(schema.get("title") or ""), 0)


def before_call(name: str) -> str:
    """What some models say before they call a tool."""
    return f"I will use {name} for that.\n\n"


def thoughts(request: str) -> str:
    """What a reasoning model thinks first."""
    return f"<think>\nThe user says: {dump(request[:80])}. Let me see what is needed.\n</think>\n\n"

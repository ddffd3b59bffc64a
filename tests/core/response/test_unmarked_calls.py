"""Calls without marks count only if the whole answer is nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream._response.unmarked_calls import parse_unmarked_calls

SCHEMAS: dict[str, dict[str, Any]] = {"f": {"type": "object"}}
CALL = '{"name": "f", "arguments": {"a": 1}}'
F: tuple[str, Any] = ("f", {"a": 1})
BROKEN: tuple[str, Any] = ("f", None)
FORMS = {
    "JSON": CALL,
    "a list": f"[{CALL}]",
    "a fence": f"```json\n{CALL}\n```",
    "a fence in capitals": f"```JSON\n{CALL}\n```",
    "a fence without a word": f"```\n{CALL}\n```",
    "Python": "[f(a=1)]",
    "tool_code": "```tool_code\nf(a=1)\n```",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_is_the_whole_answer_is_made(form: str) -> None:
    assert parse_unmarked_calls(FORMS[form], SCHEMAS) == [F]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "words",
    ["Done.", "Done", "null", "true", "42", "'no'", '"no"', "-", ".", "[Only an example]", "[1]",
     "{Only an example}", "```", "is how it looks."],
)  # fmt: skip
def test_a_call_before_any_words_is_text(form: str, words: str) -> None:
    assert parse_unmarked_calls(f"{FORMS[form]}\n{words}", SCHEMAS) is None


@pytest.mark.parametrize("text", ["[f(a=1, b='(')]", "```tool_code\nf(a=1, b='(')\n```"])
def test_calls_as_python_that_are_cut_off_are_one_malformed_call(text: str) -> None:
    begin = text.index("(") + 1
    end = text.index(")") if text.startswith("[") else text.index("\n```")
    for at in range(begin, end + 1):
        assert parse_unmarked_calls(text[:at], SCHEMAS) == [BROKEN], text[:at]


@pytest.mark.parametrize("text", [f"```json\n{CALL}", "```tool_code\nf(a=1)", "```\n[f(a=1)]"])
def test_a_call_in_a_fence_that_is_cut_off_is_malformed(text: str) -> None:
    assert parse_unmarked_calls(text, SCHEMAS) == [BROKEN]


def test_a_second_call_that_is_cut_off_keeps_the_first() -> None:
    for end in range(1, len(CALL)):
        first, *rest = parse_unmarked_calls(f"{CALL}; {CALL[:end]}", SCHEMAS) or ()
        assert (first, len(rest), rest[0][1]) == (F, 1, None)

"""The text of a prediction's output, in every shape that models use."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import _errors
from replicate_stream._response.output import extract_text


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (None, None),
        ([], None),
        ("whole", "whole"),
        ("", ""),
        (["", "a", "\n", "b"], "a\nb"),
        ({"text": "hi", "json_output": None}, "hi"),
        ({"json_output": {"a": "é"}, "text": None}, '{"a": "é"}'),
        ({"choices": [{"message": {"content": "hi"}}]}, "hi"),
        ([{"generated_text": "hi"}], "hi"),
        ({"text": ""}, ""),
        ("https://example.com is a good start.", "https://example.com is a good start."),
    ],
)
def test_the_text_is_found_in_every_shape(output: Any, text: str | None) -> None:
    assert extract_text(output) == text


def test_the_first_of_several_alternatives_is_the_text() -> None:
    assert extract_text(["one", "two"], kind="alternatives") == "one"
    assert extract_text([], kind="alternatives") is None


def test_an_output_without_text_is_an_error() -> None:
    with pytest.raises(_errors.ResponseError, match="file, not a text"):
        extract_text("https://replicate.delivery/pbxt/abc/out.png")
    with pytest.raises(_errors.ResponseError, match="without a text"):
        extract_text({"score": 1})

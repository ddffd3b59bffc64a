"""JSON as models write it becomes strict JSON, or is reported as broken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate_stream._response.json_repair import JsonScanner

TEXTS = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def scan(text: str, size: int | None = None) -> JsonScanner:
    """Scan a text in pieces of a size, with a blank at its end, which ends a number."""
    scanner = JsonScanner()
    whole = f"{text} "
    for at in range(0, len(whole), size or len(whole)):
        scanner.feed(whole[at : at + (size or len(whole))])
    return scanner


@given(VALUES, st.integers(1, 7), st.sampled_from([None, 1]))
def test_strict_json_keeps_its_value_in_every_chunking(value: Any, size: int, indent: int) -> None:
    scanner = scan(json.dumps(value, ensure_ascii=False, indent=indent), size)
    assert scanner.is_done
    assert json.loads(scanner.text) == value


@given(VALUES, st.integers(1, 7))
def test_pythons_repr_keeps_its_value_or_is_broken(value: Any, size: int) -> None:
    scanner = scan(repr(value), size)
    assert scanner.is_broken != scanner.is_done
    if scanner.is_done:
        assert json.loads(scanner.text) == value


@given(st.text("{}[]\"':,\\ntrueN1-. \n", max_size=30), st.integers(1, 4))
def test_every_chunking_of_any_text_has_the_same_result(text: str, size: int) -> None:
    whole, pieces = scan(text), scan(text, size)
    assert (pieces.text, pieces.is_done, pieces.is_broken) == (
        whole.text,
        whole.is_done,
        whole.is_broken,
    )
    if whole.is_done:
        json.loads(whole.text)


@pytest.mark.parametrize(
    ("written", "strict"),
    [
        ("{'a': 'b'}", '{"a": "b"}'),
        ('{"a": True, "b": False, "c": None}', '{"a": true, "b": false, "c": null}'),
        ('{"a": [1, 2,], }', '{"a": [1, 2] }'),
        ('{"a": "two\nlines\tand a tab"}', '{"a": "two\\nlines\\tand a tab"}'),
        ("{'say': 'a \"quote\"'}", '{"say": "a \\"quote\\""}'),
        ("""{"it": "it\\'s"}""", """{"it": "it's"}"""),
        ('{"a":{} ,\n"b":\t[]}', '{"a":{} ,\n"b":\t[]}'),
        ('{"a": "\\u00e9é😀"}', '{"a": "\\u00e9é😀"}'),
    ],
)
def test_deviations_with_a_single_meaning_are_repaired(written: str, strict: str) -> None:
    assert scan(written, 1).text == strict


@pytest.mark.parametrize(
    "written",
    [
        "{'a': 'it's'}",
        '{"a": "he said "hi""}',
        "{a: 1}",
        '{"a": 01}',
        '{"a": +1}',
        '{"a": NaN}',
        '{"a": "\\d"}',
        '{"a": 1 2}',
        '{"a" 1}',
        '{"a": 1,, "b": 2}',
        "{,}",
        '{"a": (1, 2)}',
        '{"a": undefined}',
        '{"a": 1 /* one */}',
        '["a": 1]',
        '{"a": [1}',
        '{"a": "\\u12x4"}',
    ],
)
def test_ambiguous_deviations_are_broken(written: str) -> None:
    scanner = scan(written, 1)
    assert scanner.is_broken
    assert not scanner.is_done

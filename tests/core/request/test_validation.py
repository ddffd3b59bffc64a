"""The validation agrees with jsonschema, and schemas of any shape are parsed."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from replicate_stream import ReplicateError, prepare_input
from replicate_stream._model.input_schema import parse_input_schema
from replicate_stream._request.validation import find_violation

NUMBERS = st.integers(-5, 5) | st.sampled_from([0.5, 1.0, -2.5, 1e9])
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "a", "long enough", "1"])
)
VALUES: st.SearchStrategy[Any] = (
    SCALARS | st.lists(SCALARS, max_size=3) | st.just({}) | st.just({"a": 1})
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])


def specs(items: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
        "enum": st.lists(SCALARS, min_size=1, max_size=3),
        "minimum": NUMBERS,
        "maximum": NUMBERS,
        "exclusiveMinimum": NUMBERS,
        "exclusiveMaximum": NUMBERS,
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "minItems": st.integers(0, 3),
        "maxItems": st.integers(0, 3),
        "pattern": st.just("^a"),
        "title": st.just("Knob"),
        "x-order": st.just(1),
    }
    if items is not None:
        optional["items"] = items
    return st.fixed_dictionaries({}, optional=optional)


@given(value=VALUES, spec=specs(specs()))
def test_the_validation_agrees_with_jsonschema(value: Any, spec: dict[str, Any]) -> None:
    assert (find_violation(value, spec) is None) == Draft202012Validator(spec).is_valid(value)


def test_null_is_valid_for_a_nullable_schema() -> None:
    assert find_violation(None, {"type": "integer", "nullable": True}) is None
    assert find_violation(None, {"type": "integer", "nullable": True, "pattern": "a"}) is None
    assert find_violation(None, {"type": "integer"}) == "of type integer"


def test_a_violation_names_the_requirement_and_hides_the_value() -> None:
    assert find_violation(True, {"enum": [1]}) == "one of 1"
    assert find_violation(7, {"maximum": 5}) == "5 or less"
    assert find_violation("my secret", {"enum": ["a", "b"]}) == "one of a, b"
    assert find_violation(["my secret"], {"items": {"type": "integer"}}) == (
        "a list whose items are of type integer"
    )


@pytest.mark.parametrize(
    "part",
    [
        {"$ref": "#/components/schemas/Gone"}, {"type": "str"}, {"type": [[]]}, {"pattern": "("},
        {"pattern": 1}, {"minLength": None}, {"maxLength": "9"}, {"enum": 5}, {"anyOf": None},
        {"allOf": ["0"]}, {"not": []}, {"not": None}, {"$id": []}, {"properties": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_that_cannot_be_applied_finds_no_violation(part: dict[str, Any]) -> None:
    assert find_violation("hi", part) is None
    assert find_violation({"x": "hi"}, {"properties": {"x": part}}) is None


def test_the_schema_of_a_model_lets_nothing_be_requested_from_its_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        spec = {"properties": {"x": {"$ref": url}}}
        assert find_violation({"x": "hi"}, spec) is None
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()


@pytest.mark.parametrize("bound", [10**400, -(10**400), float("inf"), float("nan"), "5", True])
@pytest.mark.parametrize("name", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
def test_a_bound_that_is_no_number_bounds_nothing(name: str, bound: Any) -> None:
    field = parse_input_schema({"properties": {"n": {"type": "number", name: bound}}}).fields["n"]
    assert (field.minimum, field.maximum) == (None, None)


WORDS = (
    "components",
    "schemas",
    "Input",
    "Output",
    "properties",
    "required",
    "allOf",
    "anyOf",
    "$ref",
)
KEYS = st.sampled_from([*WORDS, "type", "items", "enum", "default", "minimum", "x-order", "prompt"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "#/x/Input", "prompt"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=5))
def test_parsing_a_schema_of_any_shape_never_fails(schema: dict[str, Any]) -> None:
    read = parse_input_schema(schema)
    assert all(name == field.name for name, field in read.fields.items())
    with suppress(ReplicateError):  # such as an input that is still missing
        prepared = prepare_input("Hi", model="a/b", schema=schema, max_tokens=5)
        assert "Hi" in prepared.input.values()

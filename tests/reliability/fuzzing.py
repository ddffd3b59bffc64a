"""Strategies for values that a service, a model's author or a caller may hand in, and what follows.

The properties built on them run short among all tests, and long in `make fuzz`.
"""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from langchain_replicate_stream._from_core import to_langchain
from replicate_stream import ReplicateError

DEEP = "DEEP"  # stands for lists in lists
TEXT = st.text(max_size=8) | st.text(st.characters(), max_size=4)  # the latter with surrogates
NUMBERS = (
    st.integers(-2, 300)
    | st.floats()
    | st.sampled_from([10**400, -(10**400), 2**63, 1e308, float("nan"), float("inf"), True])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT | st.just(DEEP)


def words(text: str) -> list[str]:
    return text.split()


RECORD_KEYS = words(
    """
    id status output error logs metrics urls stream cancel get input_token_count content text
    token_output_count predict_time detail title invalid_fields field description loc retry_after
    type choices message tool_calls function name arguments latest_version openapi_schema index
    """
)
SCHEMA_KEYS = words(
    """
    type items format default enum minimum maximum exclusiveMinimum exclusiveMaximum allOf anyOf
    oneOf $ref description x-order title properties required additionalProperties const pattern
    prefixItems nullable minLength maxItems $defs not $id $anchor multipleOf $schema $dynamicRef
    """
)
INPUTS = words(
    """
    prompt system_prompt messages tools max_tokens max_new_tokens temperature top_p top_k seed
    stop_sequences stop image images prompt_template reasoning_effort response_format stream
    """
)
WORDS = words(
    """
    string object array integer number boolean null uri text image image_url file tool_use
    tool_result input_text document audio video json reasoning guard_content refusal function auto
    none required any json_schema json_object user assistant system tool #/a # #/$defs/a succeeded
    failed canceled data:image/png;base64,AA== https://x/y.png ( [ base64 message http://[ #x
    """
)


def json_values(keys: list[str], leaves: st.SearchStrategy[Any] = SCALARS) -> Any:
    names = st.sampled_from(keys) | TEXT
    return st.recursive(
        leaves | st.sampled_from(WORDS),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
        max_leaves=12,
    )


def json_objects(keys: list[str]) -> Any:
    return st.dictionaries(st.sampled_from(keys) | TEXT, json_values(keys), max_size=8)


def nest(value: Any, depth: int) -> Any:
    """A copy with lists in lists, `depth` of them, in place of each `DEEP`."""
    if value == DEEP:
        nested: Any = "x"
        for _ in range(depth):
            nested = [nested]
        return nested
    if isinstance(value, list):
        return [nest(each, depth) for each in value]
    if isinstance(value, dict):
        return {key: nest(each, depth) for key, each in value.items()}
    return value


def to_body(value: Any, depth: int) -> bytes:
    return json.dumps(value).replace(f'"{DEEP}"', "[" * depth + "]" * depth).encode()


SPECS = json_values(SCHEMA_KEYS) | st.dictionaries(
    st.sampled_from(SCHEMA_KEYS), json_values(SCHEMA_KEYS), max_size=6
)
DEPTHS = st.sampled_from([0, 1, 90, 400, 5000])
# Deeper values cannot be built by a caller without a failure of Python's own.
CALLER_DEPTHS = st.sampled_from([0, 1, 90, 400, 2000])


@contextlib.contextmanager
def only_our_errors() -> Iterator[None]:
    """Accept an error of this package, and show it as a program would."""
    try:
        yield
    except ReplicateError as error:
        assert str(error)
        repr(error)
        pickle.loads(pickle.dumps(error))
        to_langchain(error)


fuzz = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

"""A model object whose field is refused: no error and no frame holds a secret of the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import InvalidInputError

SECRET = "fake_marked_secret"
FIELDS: dict[str, Any] = {
    "model": "a" * 64,
    "api_key": f"r8_{SECRET}",
    "proxy": f"http://user:{SECRET}@proxy.example:3128",
    "default_headers": {"X-Gateway-Key": SECRET},
}


def show(error: BaseException | None) -> str:
    """What a log, an API that returns the error, and an error tracker show of it and its causes."""
    if error is None:
        return ""
    shown = [str(error), repr(error), repr(error.args)]
    if isinstance(error, ValidationError):
        shown += [repr(error.errors()), error.json()]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals["__name__"] != __name__:
            for value in frame.f_locals.values():
                shown.append(repr(value))
                if isinstance(value, Mapping):
                    shown.append(repr(dict(value.items())))
    return "\n".join([*shown, show(error.__cause__), show(error.__context__)])


@pytest.mark.parametrize("make", [ChatReplicate, Replicate])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", None),
        ("timeout", "soon"),
        ("bogus", 1),
        ("proxy", [SECRET]),
        ("default_headers", SECRET),
        ("default_headers", {"X-Gateway-Key": [SECRET]}),
    ],
)
def test_the_error_of_a_constructor_names_the_field_and_holds_no_value(
    make: Callable[..., object], name: str, value: Any
) -> None:
    with pytest.raises((TypeError, ValidationError), match=name) as caught:
        make(**{**FIELDS, name: value})
    assert SECRET not in show(caught.value)


@pytest.mark.parametrize("make", [ChatReplicate, Replicate])
@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("base_url", {"base_url": f"https://user:{SECRET}@x.example"}),
        ("proxy", {"proxy": f"http://user:{SECRET}@x.example:99999"}),
        ("X-Gateway-Key", {"default_headers": {"X-Gateway-Key": f"{SECRET}\n"}}),
    ],
    ids=["base_url", "proxy", "header"],
)
def test_the_error_of_a_first_call_names_the_field_and_holds_no_value(
    make: Callable[..., Any], word: str, field: dict[str, Any]
) -> None:
    llm = make(**{**FIELDS, **field})
    ask = llm.invoke if make is ChatReplicate else llm.complete
    with pytest.raises(InvalidInputError, match=word) as caught:
        ask("Hi")
    assert SECRET not in show(caught.value)
    assert SECRET not in repr(llm) + str(llm)

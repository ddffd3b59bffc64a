"""Parameters that a model has no input for: errors, warnings and notes."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from replicate_stream import ParameterWarning, PreparedInput, UnsupportedParameterError

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}


def test_the_error_for_an_unsupported_parameter_lists_the_inputs(prepare: Prepare) -> None:
    with pytest.raises(UnsupportedParameterError, match="'top_k'") as caught:
        prepare(properties={"prompt": TEXT, "top_p": NUMBER}, top_k=5)
    assert caught.value.parameter == "top_k"
    assert caught.value.available == ("prompt", "top_p")
    assert "prompt, top_p" in str(caught.value)


def test_the_error_for_an_unknown_extra_input_suggests_the_closest_name(prepare: Prepare) -> None:
    with pytest.raises(UnsupportedParameterError, match=r"did you mean max_new_tokens\b"):
        prepare(
            properties={"prompt": TEXT, "max_new_tokens": INTEGER}, extra_input={"max_tokens": 5}
        )


def test_an_unsupported_parameter_can_warn_or_be_ignored_and_is_noted(prepare: Prepare) -> None:
    with pytest.warns(ParameterWarning, match="'seed'"):
        warned = prepare(seed=1, on_unsupported="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ignored = prepare(seed=1, on_unsupported="ignore")
    for prepared in (warned, ignored):
        assert prepared.input == {"prompt": "hi"}
        assert any("'seed'" in note for note in prepared.notes)

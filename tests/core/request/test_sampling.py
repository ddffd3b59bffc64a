"""Sampling parameters and stop sequences in a model's inputs: names, ranges, types and switches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import InvalidInputError, ParameterWarning, PreparedInput

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}


@pytest.mark.parametrize(
    "name",
    [
        "max_new_tokens",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_length",
        "max_output_len",
        "max_length_tokens",
        "max_tokens_to_sample",
        "new_tokens",
        "max_sequence",
        "num_predict",
    ],
)
def test_max_tokens_is_sent_under_each_of_its_names(prepare: Prepare, name: str) -> None:
    prepared = prepare(properties={"prompt": TEXT, name: INTEGER}, max_tokens=9)
    assert prepared.input == {"prompt": "hi", name: 9}
    assert prepared.max_tokens == (None if name == "max_sequence" else 9)


def test_max_tokens_is_found_by_the_description_of_an_input(prepare: Prepare) -> None:
    reply = {"description": "Maximum number of tokens in the reply", "type": "integer"}
    frames = {"description": "Maximum number of tokens per frame", "type": "integer"}
    properties = {"prompt": TEXT, "video_budget": frames, "reply_size": reply}
    assert prepare(properties=properties, max_tokens=9).input == {"prompt": "hi", "reply_size": 9}


def test_a_limit_that_counts_the_prompt_is_used_only_if_there_is_no_other(prepare: Prepare) -> None:
    everything = {**INTEGER, "description": "Maximum number of tokens for input + generation"}
    answer = {**INTEGER, "description": "Maximum number of tokens to generate"}
    both = {"prompt": TEXT, "max_new_tokens": everything, "max_length": answer}
    assert prepare(properties=both, max_tokens=9).input == {"prompt": "hi", "max_length": 9}
    prepared = prepare(properties={"prompt": TEXT, "total_tokens": everything}, max_tokens=9)
    assert prepared.input == {"prompt": "hi", "total_tokens": 9}
    assert any("total_tokens bounds the prompt" in note for note in prepared.notes)
    assert prepared.max_tokens is None


@pytest.mark.parametrize(
    "description",
    ["Deprecated, use max_tokens.", "Renamed to max_tokens, for backwards compatibility."],
)
def test_a_deprecated_input_is_passed_over(prepare: Prepare, description: str) -> None:
    twins = {
        "prompt": TEXT,
        "max_new_tokens": {**INTEGER, "description": description},
        "max_tokens": INTEGER,
    }
    assert prepare(properties=twins, max_tokens=9).input == {"prompt": "hi", "max_tokens": 9}


@pytest.mark.parametrize(
    ("parameters", "spec", "sent"),
    [
        ({"temperature": 0}, {"temperature": {**NUMBER, "minimum": 0.01}}, {"temperature": 0.01}),
        ({"temperature": 3.0}, {"temp": {**NUMBER, "maximum": 2}}, {"temp": 2}),
        ({"max_tokens": 5}, {"max_tokens": {**INTEGER, "minimum": 1024}}, {"max_tokens": 1024}),
        ({"top_k": 9}, {"top_k": {**INTEGER, "exclusiveMaximum": 9}}, {"top_k": 8}),
        ({"top_p": 0}, {"top_p": {**NUMBER, "exclusiveMinimum": 0}}, {"top_p": 0.01}),
        (
            {"max_tokens": 2_000_001},
            {"max_len": {**INTEGER, "maximum": 1_048_577}},
            {"max_len": 1_048_577},
        ),
    ],
)
def test_a_value_out_of_range_becomes_the_nearest_with_a_note_and_a_warning(
    prepare: Prepare, parameters: dict[str, Any], spec: dict[str, Any], sent: dict[str, Any]
) -> None:
    (asked, wanted), (own, value) = *parameters.items(), *sent.items()
    note = rf"^{own} is {value:.15g} instead of {asked}={wanted:.15g}: it must be "
    with pytest.warns(ParameterWarning, match=note):
        prepared = prepare(properties={"prompt": TEXT, **spec}, **parameters)
    assert prepared.input == {"prompt": "hi", **sent}
    assert any(re.match(note, each) for each in prepared.notes)


@pytest.mark.parametrize(
    ("description", "counts_prompt"),
    [
        ("Maximum completion tokens. Avoids that all the tokens are used on reasoning.", False),
        ("The total number of tokens to generate.", False),
        ("Most new tokens; the context length of the model bounds them too.", False),
        ("The total number of tokens, of prompt and answer.", True),
        ("Total length in tokens.", True),
        ("Tokens of the generated text, including the prompt.", True),
    ],
)
def test_max_tokens_counts_the_prompt_only_if_the_description_means_it(
    prepare: Prepare, description: str, counts_prompt: bool
) -> None:
    field = {**INTEGER, "description": description}
    prepared = prepare(properties={"prompt": TEXT, "max_tokens": field}, max_tokens=9)
    assert any("prompt and the answer together" in n for n in prepared.notes) is counts_prompt
    assert prepared.max_tokens == (None if counts_prompt else 9)


@pytest.mark.parametrize(
    ("parameters", "spec"),
    [
        ({"top_k": 0}, {"top_k": {**INTEGER, "minimum": 1}}),
        ({"top_k": -1}, {"top_k": {**INTEGER, "minimum": 1}}),
        ({"presence_penalty": -1}, {"presence_penalty": {**NUMBER, "minimum": 0.01}}),
        ({"temperature": -1}, {"temperature": NUMBER}),
        ({"temperature": float("nan")}, {"temperature": NUMBER}),
        ({"temperature": "hot"}, {"temperature": NUMBER}),
        ({"top_p": 1.5}, {"top_p": NUMBER}),
        ({"max_tokens": 0}, {"max_tokens": INTEGER}),
        ({"max_tokens": 1.5}, {"max_tokens": INTEGER}),
        ({"max_tokens": True}, {"max_tokens": INTEGER}),
    ],
)
def test_a_value_without_a_nearest_meaning_is_refused(
    prepare: Prepare, parameters: dict[str, Any], spec: dict[str, Any]
) -> None:
    (parameter,) = parameters
    with pytest.raises(InvalidInputError, match=f"{parameter} is ") as caught:
        prepare(properties={"prompt": TEXT, **spec}, **parameters)
    assert caught.value.fields == (parameter,)


def test_whole_numbers_are_sent_as_integers(prepare: Prepare) -> None:
    prepared = prepare(
        properties={"prompt": TEXT, "max_tokens": INTEGER, "top_k": INTEGER},
        max_tokens=64.0,
        top_k=5.0,
    )
    assert prepared.input == {"prompt": "hi", "max_tokens": 64, "top_k": 5}
    assert all(type(prepared.input[name]) is int for name in ("max_tokens", "top_k"))


def test_temperature_zero_switches_sampling_off(prepare: Prepare) -> None:
    properties = {
        "prompt": TEXT,
        "temperature": NUMBER,
        "do_sample": {"type": "boolean", "default": True},
    }
    prepared = prepare(properties=properties, temperature=0)
    assert prepared.input == {"prompt": "hi", "temperature": 0, "do_sample": False}
    assert prepare(properties=properties, temperature=0.5).input == {
        "prompt": "hi",
        "temperature": 0.5,
    }


def test_sampling_is_switched_on_for_a_parameter_that_needs_it(prepare: Prepare) -> None:
    properties = {
        "prompt": TEXT,
        "top_p": NUMBER,
        "do_sample": {"type": "boolean", "default": False},
        "use_nucleus_sampling": {"type": "boolean", "default": False},
        "decoding": {"type": "string", "enum": ["top_p", "top_k"], "default": "top_k"},
    }
    assert prepare(properties=properties, top_p=0.5).input == {
        "prompt": "hi",
        "top_p": 0.5,
        "do_sample": True,
        "use_nucleus_sampling": True,
        "decoding": "top_p",
    }


@pytest.mark.parametrize(
    ("spec", "stop", "sent"),
    [
        ({"type": "array", "items": TEXT}, ["a,b", "c"], ["a,b", "c"]),
        ({**TEXT, "description": "A comma-separated list"}, ["a", "b,c", "d"], "a,d"),
        ({**TEXT, "description": "A comma-separated list"}, ["b,c"], None),
        ({**TEXT, "description": "The stop sequence to use."}, ["a,b", "c"], "a,b"),
    ],
)
def test_stop_sequences_are_sent_in_the_inputs_encoding_and_all_kept_for_the_client(
    prepare: Prepare, spec: dict[str, Any], stop: list[str], sent: Any
) -> None:
    prepared = prepare(properties={"prompt": TEXT, "stop": spec}, stop=stop)
    assert prepared.input.get("stop") == sent
    assert prepared.stop == tuple(stop)


def test_the_client_alone_enforces_stop_sequences_without_an_input(prepare: Prepare) -> None:
    prepared = prepare(stop="END")
    assert prepared.input == {"prompt": "hi"}
    assert prepared.stop == ("END",)
    assert any("client alone" in note for note in prepared.notes)


@pytest.mark.parametrize("stop", [[""], ["a", ""], [1]])
def test_an_empty_stop_sequence_is_refused(prepare: Prepare, stop: list[Any]) -> None:
    with pytest.raises(InvalidInputError, match="stop"):
        prepare(stop=stop)

"""Stop sequences in a model's input for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import InvalidInputError, PreparedInput

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}


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

"""`reasoning_effort` in the levels, budgets and switches of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream import ParameterWarning, PreparedInput

Prepare = Callable[..., PreparedInput]
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("fields", "effort", "sent"),
    [
        ({"reasoning_effort": {"enum": ["low", "high"]}}, "high", {"reasoning_effort": "high"}),
        ({"thinking_level": {"enum": ["low", "high"]}}, "low", {"thinking_level": "low"}),
        ({"thinking": {"enum": ["medium", "None"]}}, "none", {"thinking": "None"}),
        ({"thinking_budget": {**INTEGER, "maximum": 4000}}, "high", {"thinking_budget": 4000}),
        ({"thinking_budget": INTEGER}, "none", {"thinking_budget": 0}),
        (
            {"extended_thinking": {"type": "boolean"}, "thinking_budget_tokens": INTEGER},
            "medium",
            {"extended_thinking": True, "thinking_budget_tokens": 8192},
        ),
    ],
)
def test_reasoning_effort_reaches_every_kind_of_input(
    prepare: Prepare, fields: dict[str, Any], effort: str, sent: dict[str, Any]
) -> None:
    prepared = prepare(
        properties={"prompt": TEXT, **fields}, extra_input={"reasoning_effort": effort}
    )
    assert prepared.input == {"prompt": "hi", **sent}


def test_an_effort_between_two_levels_becomes_the_nearest_with_a_warning(prepare: Prepare) -> None:
    properties = {"prompt": TEXT, "thinking_level": {"enum": ["low", "high"]}}
    with pytest.warns(ParameterWarning, match="thinking_level is low"):
        prepared = prepare(properties=properties, extra_input={"reasoning_effort": "minimal"})
    assert prepared.input["thinking_level"] == "low"

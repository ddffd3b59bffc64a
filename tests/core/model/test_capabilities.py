"""What is known of a model without running it."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import Client, ModelCapabilities
from replicate_stream._model.capabilities import get_capabilities
from replicate_stream.testing import Emulator

TEXT = {"type": "string"}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"prompt": TEXT, **properties}}


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("meta/llama-2-70b-chat", 4_096),
        ("meta/meta-llama-3-8b-instruct", 8_192),
        ("meta/meta-llama-3.1-405b-instruct", 131_072),
        ("mistralai/mixtral-8x7b-instruct-v0.1", 32_768),
        ("microsoft/phi-3-mini-128k-instruct", 131_072),
        ("01-ai/yi-34b-200k", 200_000),
        ("acme/gemma-7b:" + "a" * 64, 8_192),
        ("deployments/acme/gemma-7b", 8_192),
        ("openai/gpt-4.1-mini", 1_047_576),
        ("anthropic/claude-3.7-sonnet", 200_000),
        ("acme/unheard-of", None),
        ("a" * 64, None),
        ("acme/llm-60k", None),  # its training set
    ],
)
def test_a_name_tells_the_context_window(model: str, window: int | None) -> None:
    assert get_capabilities(model).context_window == window


def test_a_fine_tune_is_told_by_what_it_was_made_from() -> None:
    assert get_capabilities("acme/dolphin-2.9-llama3-8b").context_window == 8_192
    assert get_capabilities("deepseek-ai/deepseek-r1-distill-llama-3-8b").context_window == 131_072


def test_the_schema_tells_the_longest_answer_and_what_is_taken() -> None:
    bound = {"type": "integer", "maximum": 4096, "default": 512}
    image = {"type": "string", "format": "uri"}
    facts = get_capabilities("a/b", schema(max_tokens=bound, image=image, tools={"type": "array"}))
    assert (facts.max_output, facts.default_output) == (4096, 512)
    assert (facts.takes_images, facts.takes_audio) == (True, False)
    assert (facts.has_native_tools, facts.has_native_json) == (True, False)


def test_a_maximum_that_the_model_cannot_reach_is_not_believed() -> None:
    bound = {"type": "integer", "maximum": 1_000_000}
    assert get_capabilities("meta/llama-2-7b-chat", schema(max_tokens=bound)).max_output == 4_096


def test_a_bound_of_prompt_and_answer_is_the_window() -> None:
    bound = {"type": "integer", "maximum": 2_048, "description": "Total length, prompt and answer"}
    facts = get_capabilities("a/b", schema(max_length=bound))
    assert (facts.context_window, facts.max_output) == (2_048, None)


async def test_a_client_knows_more_once_it_has_looked_a_model_up(
    client: Client, replicate_emulator: Emulator
) -> None:
    before = client.capabilities(replicate_emulator.model)
    assert before == ModelCapabilities(context_window=8_192)
    assert not replicate_emulator.requests
    await client.describe(replicate_emulator.model)
    after = client.capabilities(replicate_emulator.model)
    assert after.takes_images is False
    assert after.default_output is not None
    assert len(replicate_emulator.requests) == 1

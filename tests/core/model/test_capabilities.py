"""Capabilities of models, by their names and schemas."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import Client, ModelCapabilities
from replicate_stream._model.capabilities import get_capabilities
from replicate_stream._model.profile import build_profile
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
        ("openai/gpt-5-mini", 400_000),
        ("openai/gpt-5-pro", 400_000),
        ("openai/gpt-5.2", 400_000),
        ("openai/gpt-5.4", 1_050_000),
        ("openai/gpt-5.4-mini", 400_000),
        ("openai/gpt-5.4-nano", None),  # no source
        ("openai/gpt-5.5", 1_050_000),
        ("openai/gpt-5.6-terra", None),  # no source
        ("moonshotai/kimi-k2-instruct", 131_072),
        ("moonshotai/kimi-k2.5", 262_144),
        ("anthropic/claude-3.7-sonnet", 200_000),
        ("meta/llama-4-scout-instruct", 10_485_760),
        ("meta/llama-4-maverick-instruct", 1_048_576),
        ("zai-org/glm-4.6", 202_752),
        ("qwen/qwen3-coder-480b-a35b", 262_144),
        ("qwen/qwen3.6-27b", 262_144),
        ("minimax/minimax-m2.5", 196_608),
        ("yorickvp/llava-13b", 4_096),
        ("lucataco/wizardcoder-33b-v1.1-gguf", 16_384),
        ("camenduru/zephyr-orpo-141b-a35b-v0.1", 65_536),
        ("cjwbw/starcoder2-15b", 16_384),
        ("acme/unknown", None),
        ("a" * 64, None),
        ("acme/llm-60k", None),  # its training set
    ],
)
def test_the_context_window_is_known_by_the_models_name(model: str, window: int | None) -> None:
    assert get_capabilities(model).context_window == window


def test_a_fine_tune_has_the_window_of_its_base_model() -> None:
    assert get_capabilities("acme/dolphin-2.9-llama3-8b").context_window == 8_192
    assert get_capabilities("deepseek-ai/deepseek-r1-distill-llama-3-8b").context_window == 131_072


def test_the_schema_shows_the_longest_answer_and_the_inputs() -> None:
    bound = {"type": "integer", "maximum": 4096, "default": 512}
    image = {"type": "string", "format": "uri"}
    properties = schema(max_tokens=bound, image=image, tools={"type": "array"})
    capabilities = build_profile(properties, "a/b").capabilities
    assert (capabilities.max_output, capabilities.default_output) == (4096, 512)
    assert (capabilities.takes_images, capabilities.takes_audio) == (True, False)
    assert (capabilities.has_native_tools, capabilities.has_native_json) == (True, False)


def test_a_maximum_beyond_the_context_window_is_reduced_to_it() -> None:
    bound = {"type": "integer", "maximum": 1_000_000}
    profile = build_profile(schema(max_tokens=bound), "meta/llama-2-7b-chat")
    assert profile.capabilities.max_output == 4_096


def test_a_limit_of_prompt_and_answer_is_the_context_window() -> None:
    bound = {"type": "integer", "maximum": 2_048, "description": "Total length, prompt and answer"}
    capabilities = build_profile(schema(max_length=bound), "a/b").capabilities
    assert (capabilities.context_window, capabilities.max_output) == (2_048, None)


async def test_a_client_knows_more_after_it_has_looked_up_the_schema(
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

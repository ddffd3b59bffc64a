"""A model's schema is fetched once per process, and again after the API refuses an input."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from replicate_stream import Client, InvalidInputError
from replicate_stream._api.models import Model, ModelRef, forget_models
from replicate_stream.testing import Emulator, Fault

MODEL = "some/model"


def build_schema(max_tokens_name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "x-order": 0},
            max_tokens_name: {"type": "integer", "minimum": 1, "x-order": 1},
        },
    }


def count_fetches(emulator: Emulator) -> int:
    return len([r for r in emulator.requests if r.path == f"/v1/models/{MODEL}"])


def refuse(field: str) -> Fault:
    entry = {"type": "number_lte", "field": f"input.{field}", "description": "…"}
    body = {"title": "Input validation failed", "detail": "…", "invalid_fields": [entry]}
    return Fault(on="create", status=422, body=body)


async def test_clients_of_one_process_share_a_models_schema(
    make_client: Callable[..., Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(MODEL, build_schema("max_tokens"), official=True)
    for _ in range(3):
        await make_client().complete(MODEL, "Hi")
    assert count_fetches(replicate_emulator) == 1


async def test_a_refused_input_is_mapped_again_onto_the_current_schema(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(MODEL, build_schema("max_tokens"), official=True)
    await client.complete(MODEL, "Hi", max_tokens=5)
    replicate_emulator.add_model(MODEL, build_schema("max_new_tokens"), official=True)
    replicate_emulator.fault(refuse("max_tokens"))
    await client.complete(MODEL, "Hi", max_tokens=5)
    assert [dict(p.input) for p in replicate_emulator.predictions.values()] == [
        {"prompt": "Hi", "max_tokens": 5},
        {"prompt": "Hi", "max_new_tokens": 5},
    ]
    assert count_fetches(replicate_emulator) == 2


async def test_a_refusal_under_an_unchanged_schema_is_raised_after_one_request(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(MODEL, build_schema("max_tokens"), official=True)
    replicate_emulator.fault(refuse("max_tokens"), times=5)
    with pytest.raises(InvalidInputError) as caught:
        await client.complete(MODEL, "Hi", max_tokens=5)
    assert caught.value.fields == ("max_tokens",)
    creates = [r for r in replicate_emulator.requests if r.path.endswith("/predictions")]
    assert len(creates) == 1
    assert count_fetches(replicate_emulator) == 2


async def test_a_prompt_format_can_be_set(client: Client, replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model(MODEL, build_schema("max_tokens"), official=True)
    prepared = await client.prepare(MODEL, "Hi", prompt_format="chatml")
    assert "<|im_start|>user" in prepared.body["input"]["prompt"]
    plain = await client.prepare(MODEL, "Hi", prompt_format="plain")
    assert plain.body["input"]["prompt"] == "Hi"
    with pytest.raises(InvalidInputError, match="prompt_format"):
        await client.prepare(MODEL, "Hi", prompt_format="no such family")


@pytest.mark.usefixtures("quick_switches")
def test_an_address_is_forgotten_while_another_thread_looks_models_up(client: Client) -> None:
    models = client._models
    refs = [ModelRef("some/model", f"{number:064x}") for number in range(20_000)]
    with ThreadPoolExecutor(1) as executor:
        remembering = [executor.submit(models.remember, Model(ref)) for ref in refs]
        while not remembering[-1].done():
            forget_models("http://another.example/v1")
    names = [f"{ref.name}:{ref.version}" for ref in refs]
    assert None not in map(models.get_cached, names)

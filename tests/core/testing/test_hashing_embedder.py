"""The emulator's embedding model: deterministic vectors of hashed words, its reply kept apart."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from replicate_stream import Client, PredictionFailedError, TextDelta
from replicate_stream.testing import Emulator, HashingEmbedder


def multiply(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("text", ["an owl", "Owl, owl. OWL!", "-", "😀", "a b c d e f g h"])
def test_a_vector_has_length_one(text: str) -> None:
    vector = HashingEmbedder(4).embed(text)
    assert len(vector) == 4
    assert math.isclose(multiply(vector, vector), 1.0)


def test_texts_with_the_same_words_are_nearer_than_others() -> None:
    embed = HashingEmbedder().embed
    question = embed("What is the capital of France?")
    paris = embed("The capital of France is Paris.")
    assert multiply(question, paris) > 0.5 > multiply(question, embed("Owls hunt at night."))


def test_a_vector_is_the_same_in_every_process() -> None:
    code = "from replicate_stream.testing import HashingEmbedder as H; print(H(8).embed('owl cat'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{HashingEmbedder(8).embed('owl cat')}\n"


async def test_every_emulator_has_it_whatever_the_reply_of_its_text_models(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["Hello"]
    replicate_emulator.enqueue(["Enqueued"])
    vectors = await client.embed(replicate_emulator.embedding_model, ["an owl"])
    assert vectors == [HashingEmbedder().embed("an owl")]
    async with client.stream(replicate_emulator.model, "Hi") as events:
        texts = [event.text async for event in events if isinstance(event, TextDelta)]
    assert "".join(texts) == "Enqueued"


async def test_a_model_added_again_keeps_its_reply(
    client: Client, replicate_emulator: Emulator
) -> None:
    name = replicate_emulator.embedding_model
    replicate_emulator.add_model(
        name,
        {"type": "object", "properties": {"texts": {"type": "array"}}},
        output_schema={"type": "array", "items": {"type": "array"}},
        official=True,
    )
    assert await client.embed(name, ["an owl"]) == [HashingEmbedder().embed("an owl")]


async def test_a_wrong_input_fails(client: Client, replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model(
        "acme/embedder",
        {"type": "object", "properties": {"text": {"type": "string"}}},
        output_schema={"type": "array", "items": {"type": "number"}},
        official=True,
        reply=HashingEmbedder(),
    )
    with pytest.raises(PredictionFailedError, match="texts must be a list of strings"):
        await client.embed("acme/embedder", ["an owl"])

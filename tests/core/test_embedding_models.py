"""The client embeds texts on models of every shape that real embedding models have.

Each shape restates the inputs, the output and the reading of texts of a kind of model on Replicate.
Its model is written here, without the client's code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from replicate_stream import Client
from replicate_stream.testing import Emulator, HashingEmbedder, Reply

MODEL = "acme/embedder"
TEXT = {"type": "string"}
NUMBERS = {"type": "array", "items": {"type": "number"}}
LISTS = {"type": "array", "items": NUMBERS}
OBJECTS = {"type": "array", "items": {"type": "object"}}
FORMAT = {"type": "string", "enum": ["base64", "array"], "default": "base64"}
# Texts that a careless encoding would split, join or garble.
TEXTS = [
    "a cat",
    'say "hi", [you]',
    "first\n\nsecond",
    "naïve 😀 \u2028 café",
    "-",
    "http",
    "x" * 300,
]

Vectors = list[list[float]]
Read = Callable[[Mapping[str, Any]], list[str]]
Write = Callable[[list[str], Vectors], Any]


def described(type_: str, description: str, **keywords: Any) -> dict[str, Any]:
    return {"type": type_, "description": description, **keywords}


def make_lists(texts: list[str], vectors: Vectors) -> Any:
    return vectors


def make_one(texts: list[str], vectors: Vectors) -> Any:
    (vector,) = vectors
    return vector


def make_named(texts: list[str], vectors: Vectors) -> Any:
    return [{"input": t, "embedding": v} for t, v in zip(texts, vectors, strict=True)]


@dataclass(frozen=True)
class Shape:
    """A kind of embedding model: how it reads texts, and how it writes their vectors."""

    properties: Mapping[str, Any]
    read: Read
    write: Write = make_lists
    output: Mapping[str, Any] = field(default_factory=lambda: LISTS)
    required: tuple[str, ...] = ()
    most: int | None = None
    joins_lines: bool = False


SHAPES: dict[str, Shape] = {
    "a JSON list in a string, by its description": Shape(
        {
            "texts": described("string", 'text, formatted as JSON list of strings (e.g. ["a"])'),
            "batch_size": {"type": "integer", "default": 32},
            "normalize_embeddings": {"type": "boolean", "default": True},
        },
        lambda values: json.loads(values["texts"]),
    ),
    "a JSON list in a string, by its default": Shape(
        {"texts": {"type": "string", "default": '["A book lies on the table."]'}},
        lambda values: json.loads(values["texts"]),
    ),
    "a JSON list in a string, by its name": Shape(
        {"inputs": TEXT}, lambda values: json.loads(values["inputs"])
    ),
    "one text, or a batch as JSON": Shape(
        {
            "text": described("string", "A single string to encode."),
            "text_batch": described("string", "A JSON-formatted list of strings to encode."),
        },
        lambda values: json.loads(values["text_batch"]),
        lambda texts, vectors: [{"embedding": vector} for vector in vectors],
        {"type": "array", "items": {"$ref": "#/components/schemas/Embedding"}},
    ),
    "queries as a serialized array, in an object with metrics": Shape(
        {
            "query_texts": described(
                "string", "A serialized JSON array of strings.", default="[]"
            ),
            "precision": {"type": "string", "enum": ["full", "half"], "default": "full"},
        },
        lambda values: json.loads(values["query_texts"]),
        lambda texts, vectors: {"extra_metrics": "{}", "query_embeddings": vectors},
        {"type": "object"},
    ),
    "a JSON list beside one text": Shape(
        {
            "text": described("string", "Text content to embed", default=""),
            "json_text": described("string", "Text content(s) to embed in JSON format", default=""),
            "output_format": FORMAT,
        },
        lambda values: json.loads(values["json_text"]),
    ),
    "an array": Shape(
        {"text": described("array", "Texts to embed", items=TEXT)},
        lambda values: values["text"],
        required=("text",),
        output=NUMBERS,  # its schema is wrong
    ),
    "an array with a limit": Shape(
        {"texts": {"type": "array", "items": TEXT, "maxItems": 3}, "image_urls": {"type": "array"}},
        lambda values: values["texts"],
        make_named,
        {},
        most=3,
    ),
    "a text or an array, and vectors that may be base64": Shape(
        {
            "text": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
            "output_format": FORMAT,
        },
        lambda values: values["text"],
        lambda texts, vectors: [
            {"text": t, "vectors": v} for t, v in zip(texts, vectors, strict=True)
        ],
        OBJECTS,
        required=("text",),
    ),
    "one text, and an object with its vector": Shape(
        {"text": described("string", "Text string to embed")},
        lambda values: [values["text"]],
        lambda texts, vectors: {"text": texts[0], "vectors": vectors[0]},
        {"type": "object"},
        required=("text",),
        most=1,
    ),
    "a text or an image": Shape(
        {"text": TEXT, "image": {"type": "string", "format": "uri"}},
        lambda values: [values["text"]],
        lambda texts, vectors: {"embedding": vectors[0]},
        {"type": "object"},
        most=1,
    ),
    "a prompt, and a bare vector": Shape(
        {"prompt": described("string", "Prompt to generate an embedding for", default="Hello!")},
        lambda values: [values["prompt"]],
        make_one,
        NUMBERS,
        most=1,
    ),
    "several modalities": Shape(
        {
            "input": {"type": "string", "format": "uri"},
            "text_input": TEXT,
            "modality": {"type": "string", "enum": ["text", "vision"], "default": "vision"},
        },
        lambda values: [values["text_input"]] if values["modality"] == "text" else [],
        make_one,
        NUMBERS,
        most=1,
    ),
    "numbered texts": Shape(
        {"input": TEXT, "input2": TEXT, "input3": TEXT},
        lambda values: [values["input"]],
        make_one,
        {"anyOf": [{"type": "array", "items": {}}, {"type": "array", "items": {"type": "array"}}]},
        required=("input",),
        most=1,
    ),
    "lines": Shape(
        {"inputs": described("string", "Newline-separated inputs: text or image URIs.")},
        lambda values: values["inputs"].strip().split("\n"),
        make_named,
        OBJECTS,
        joins_lines=True,
    ),
    "sentences split by a newline": Shape(
        {"sentences": described("string", "Sentence list, each split by a newline")},
        lambda values: values["sentences"].split("\n"),
        required=("sentences",),
        joins_lines=True,
    ),
    "a separator of its own, and a limit in words": Shape(
        {
            "prompts": described(
                "string", "List of prompts, separated. Maximum 4 prompts per prediction."
            ),
            "prompt_separator": {"type": "string", "default": "\n\n"},
        },
        lambda values: values["prompts"].split(values["prompt_separator"]),
        required=("prompts",),
        most=4,
    ),
    "one text that a separator splits": Shape(
        {
            "text": described("string", "Text content(s) to embed", default=""),
            "text_sep": {"type": "string", "default": "\n\n"},
            "output_format": FORMAT,
        },
        lambda values: values["text"].split(values["text_sep"]),
    ),
    "the form of OpenAI's API, in any order": Shape(
        {"input": {"type": "array", "items": TEXT}},
        lambda values: values["input"],
        lambda texts, vectors: {
            "object": "list",
            "data": [{"embedding": v, "index": i} for i, v in reversed(list(enumerate(vectors)))],
        },
        {"type": "object"},
    ),
    "an unknown name, the only one that is required": Shape(
        {"wording": TEXT, "style": TEXT},
        lambda values: [values["wording"]],
        make_one,
        NUMBERS,
        required=("wording",),
        most=1,
    ),
}  # fmt: skip


@pytest.fixture(params=SHAPES.values(), ids=list(SHAPES))
def shape(request: pytest.FixtureRequest, replicate_emulator: Emulator) -> Shape:
    """A shape; the emulator runs a model of it."""
    shape: Shape = request.param
    embedder = HashingEmbedder(16)

    def reply(values: Mapping[str, Any]) -> Reply:
        assert values.get("output_format", "array") == "array"
        texts = shape.read(values)
        return Reply(output=shape.write(texts, [embedder.embed(text) for text in texts]))

    replicate_emulator.add_model(
        MODEL,
        {"type": "object", "properties": shape.properties, "required": list(shape.required)},
        output_schema=shape.output,
        components={"Embedding": {"type": "object", "properties": {"embedding": NUMBERS}}},
        official=True,
        reply=reply,
    )
    return shape


async def test_each_text_gets_its_own_vector(
    shape: Shape, replicate_emulator: Emulator, client: Client
) -> None:
    texts = [" ".join(text.splitlines()) for text in TEXTS] if shape.joins_lines else TEXTS
    vectors = await client.embed(MODEL, TEXTS)
    assert vectors == [HashingEmbedder(16).embed(text) for text in texts]
    batches = [shape.read(each.input) for each in replicate_emulator.predictions.values()]
    assert sorted(text for batch in batches for text in batch) == sorted(texts)
    full, rest = divmod(len(TEXTS), shape.most or 32)
    sizes = sorted((len(batch) for batch in batches), reverse=True)
    assert sizes == [shape.most or 32] * full + [rest] * bool(rest)


async def test_one_text_gets_its_vector(shape: Shape, client: Client) -> None:
    assert await client.embed(MODEL, ["one\n\ntwo"]) == [HashingEmbedder(16).embed("one two")]

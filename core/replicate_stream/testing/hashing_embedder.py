"""An embedding model of an emulator: it hashes words, so texts with the same words are near.

It is not a trained model: it knows neither synonyms nor grammar. The same text has the same vector
in every process and on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from replicate_stream.testing.server.replies import Reply
from replicate_stream.testing.server.schemas import build_input_schema, define_input

MODEL = "local/hashing-embedder"
"""The model's name in an emulator."""

DESCRIPTION = "no trained models: they hash words"

INPUT_SCHEMA: Mapping[str, Any] = build_input_schema(
    {
        "texts": define_input(
            "string", 'Texts to embed, formatted as JSON list of strings: ["hello", "world"]'
        )
    }
)
"""The model's inputs, in the form of those of multilingual-e5-large on Replicate."""

OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}},
    "title": "Output",
}
"""The model's output: a vector for each text."""


class HashingEmbedder:
    """The model, as a function from an input to a reply.

        emulator.add_model("acme/embedder", schema, output_schema=…, reply=HashingEmbedder())

    Its input `texts` is a list of strings, or one as JSON.

    Args:
        dimension: Numbers in a vector.
    """

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension

    def __call__(self, input_: Mapping[str, Any]) -> Reply:
        """Embed the texts of an input.

        Raises:
            ValueError: `texts` is not a list of strings: the prediction fails with this text.
        """
        texts = input_.get("texts")
        if isinstance(texts, str):
            texts = json.loads(texts)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("texts must be a list of strings, or one as JSON")
        return Reply(output=[self.embed(text) for text in texts], token_counts=None)

    def embed(self, text: str) -> list[float]:
        """Return the vector of a text, of length 1: each word adds to, or takes from, a number."""
        vector = [0.0] * self.dimension
        for word in re.findall(r"\w+", text.lower()) or [text]:
            digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
            sign = 1.0 if digest[7] & 1 else -1.0
            vector[int.from_bytes(digest[:7], "big") % self.dimension] += sign
        length = math.sqrt(math.fsum(number * number for number in vector))
        # Words may cancel each other out.
        return [number / length for number in vector] if length else [1.0, *vector[1:]]

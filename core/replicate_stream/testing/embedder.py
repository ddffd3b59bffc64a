"""The interface of an emulator's embedding models: that of multilingual-e5-large on Replicate."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from replicate_stream.testing.server.replies import Reply
from replicate_stream.testing.server.schemas import build_input_schema, define_input

INPUT_SCHEMA: Mapping[str, Any] = build_input_schema(
    {
        "texts": define_input(
            "string", 'Texts to embed, formatted as JSON list of strings: ["hello", "world"]'
        )
    }
)
"""The inputs of an embedding model."""

OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}},
    "title": "Output",
}
"""Its output: a vector for each text."""


class Embedder(ABC):
    """An embedding model, as a function from an input to a reply.

    Its input `texts` is a list of strings, or one as JSON.
    """

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

    @abstractmethod
    def embed(self, text: str) -> list[float]:
        """Return the vector of a text, of length 1."""

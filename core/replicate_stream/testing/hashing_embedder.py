"""An embedding model of an emulator: it hashes words, so texts with the same words are near.

It is not a trained model: it knows neither synonyms nor grammar. The same text has the same vector
in every process and on every machine.
"""

from __future__ import annotations

import hashlib
import math
import re

from replicate_stream.testing.embedder import Embedder

MODEL = "local/hashing-embedder"
"""The model's name in an emulator."""

DESCRIPTION = "hashes of words, not a trained model"


class HashingEmbedder(Embedder):
    """The model, as a function from an input to a reply.

        emulator.add_model("acme/embedder", schema, output_schema=…, reply=HashingEmbedder())

    Its input `texts` is a list of strings, or one as JSON.

    Args:
        dimension: Numbers in a vector.
    """

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension

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

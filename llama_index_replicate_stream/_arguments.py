"""What a single call may give, over what the object was made with.

A misspelt name is an error here: the framework would let it pass, and the model would be run, and
paid, without it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

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
)
"""What an object and a call may both give, under the names of `Client.stream`."""

_ONLY_FOR_A_CALL = ("tools", "tool_choice", "response_format", "include_usage")
_EXTRA = ("additional_kwargs", "extra_input")


def for_the_client(
    own: Mapping[str, Any], extra: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of `Client.stream`, all but the messages.

    Args:
        own: The object's parameters.
        extra: The object's further inputs; those of the call are added, and win.
        given: The call's arguments. None overrides too: it is the model's own default.

    Raises:
        TypeError: An argument of the call is not known; it names the closest one that is.
    """
    refuse_unknown(given, (*PARAMETERS, *_ONLY_FOR_A_CALL, *_EXTRA))
    inputs = dict(extra)
    for name in _EXTRA:
        inputs.update(given.get(name) or {})
    called = {name: value for name, value in given.items() if name not in _EXTRA}
    return {**own, **called, "extra_input": inputs or None}


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Raise `TypeError` for the first name that is not known."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise TypeError(f"Replicate has no argument {name!r}; {hint}")

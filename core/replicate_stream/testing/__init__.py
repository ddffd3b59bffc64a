"""An emulator of Replicate for tests: real sockets, scripted replies, faults on demand.

pytest imports this package at each start, for its fixture; what is here is loaded at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replicate_stream.testing._emulator import Emulator
    from replicate_stream.testing._events import Event
    from replicate_stream.testing._faults import Fault
    from replicate_stream.testing._prediction import EmulatedPrediction
    from replicate_stream.testing._replies import Reply
    from replicate_stream.testing._tool_user import ToolUser
    from replicate_stream.testing._world import Behaviour, RateLimit, RecordedRequest

__all__ = [
    "Behaviour",
    "EmulatedPrediction",
    "Emulator",
    "Event",
    "Fault",
    "RateLimit",
    "RecordedRequest",
    "Reply",
    "ToolUser",
]

_HOMES = {
    "Behaviour": "_world",
    "EmulatedPrediction": "_prediction",
    "Emulator": "_emulator",
    "Event": "_events",
    "Fault": "_faults",
    "RateLimit": "_world",
    "RecordedRequest": "_world",
    "Reply": "_replies",
    "ToolUser": "_tool_user",
}


def __getattr__(name: str) -> type:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: type = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    value.__module__ = __name__  # tracebacks and reprs name the public package
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

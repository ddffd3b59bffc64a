"""An emulator of Replicate for tests: real sockets, scripted replies, faults on demand.

pytest imports this package at each start, for its fixture; what is here is loaded at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replicate_stream.testing._tool_user import ToolUser
    from replicate_stream.testing.emulator import Emulator
    from replicate_stream.testing.server.events import Event
    from replicate_stream.testing.server.faults import Fault
    from replicate_stream.testing.server.prediction import EmulatedPrediction
    from replicate_stream.testing.server.replies import Reply
    from replicate_stream.testing.server.state import Behaviour, RateLimit, RecordedRequest

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
    "Behaviour": "server.state",
    "EmulatedPrediction": "server.prediction",
    "Emulator": "emulator",
    "Event": "server.events",
    "Fault": "server.faults",
    "RateLimit": "server.state",
    "RecordedRequest": "server.state",
    "Reply": "server.replies",
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

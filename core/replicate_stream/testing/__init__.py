"""An emulator of Replicate for tests: real sockets, scripted replies, faults on request.

pytest imports this package at each start, for its fixture, so each name is loaded at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicate_stream import _lazy

if TYPE_CHECKING:
    from replicate_stream.testing.emulator import Emulator
    from replicate_stream.testing.hashing_embedder import HashingEmbedder
    from replicate_stream.testing.server.events import Event
    from replicate_stream.testing.server.faults import Fault
    from replicate_stream.testing.server.prediction import EmulatedPrediction
    from replicate_stream.testing.server.replies import Reply
    from replicate_stream.testing.server.state import Behaviour, RateLimit, RecordedRequest
    from replicate_stream.testing.tool_model import ToolUser
else:
    __getattr__, __dir__ = _lazy.export(
        __name__,
        {
            "emulator": ["Emulator"],
            "hashing_embedder": ["HashingEmbedder"],
            "server.events": ["Event"],
            "server.faults": ["Fault"],
            "server.prediction": ["EmulatedPrediction"],
            "server.replies": ["Reply"],
            "server.state": ["Behaviour", "RateLimit", "RecordedRequest"],
            "tool_model": ["ToolUser"],
        },
    )

__all__ = [
    "Behaviour",
    "EmulatedPrediction",
    "Emulator",
    "Event",
    "Fault",
    "HashingEmbedder",
    "RateLimit",
    "RecordedRequest",
    "Reply",
    "ToolUser",
]

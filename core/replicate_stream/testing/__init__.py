"""An emulator of Replicate for tests: real sockets, scripted replies, faults on demand."""

from replicate_stream.testing._emulator import Emulator
from replicate_stream.testing._events import Event
from replicate_stream.testing._faults import Fault
from replicate_stream.testing._prediction import EmulatedPrediction
from replicate_stream.testing._replies import Reply
from replicate_stream.testing._world import RateLimit, RecordedRequest

__all__ = [
    "EmulatedPrediction",
    "Emulator",
    "Event",
    "Fault",
    "RateLimit",
    "RecordedRequest",
    "Reply",
]

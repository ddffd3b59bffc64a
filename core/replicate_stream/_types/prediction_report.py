"""What is told of a prediction when it has ended.

Annotations are evaluated here, as in `_types.messages`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._frozen import fill_slots
from replicate_stream._lazy import public
from replicate_stream._types.prediction import Usage


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class PredictionReport:
    """A prediction that has ended, was left, or failed. It holds no text.

    Attributes:
        id: The prediction's id.
        model: The model that was asked for.
        status: The status of the newest record: `succeeded`, `failed`, `canceled`, …. That of a
            prediction which was left can still be `processing`.
        usage: What it used, by its record; None if that says nothing.
        metrics: The metrics of the record.
        time_to_first_token: Seconds from the request until text came; None if none did.
        duration: Seconds from the request until the end.
        finish_reason: That of the answer, as in `Finished`; None for an embedding, and for an
            answer that was left or failed.
        error: The class of the error that ended it, such as `ReplicateTimeoutError`; else None.
        operation: `chat`, or `embeddings`.
    """

    id: str
    model: str
    status: str
    usage: Usage | None
    metrics: Mapping[str, Any] = field(repr=False)
    time_to_first_token: float | None
    duration: float
    finish_reason: str | None = None
    error: str | None = None
    operation: str = "chat"

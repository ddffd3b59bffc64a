"""Records of predictions, as values.

They are parsed leniently: fields come and go with a prediction's age (docs/replicate-api.md 2.4),
and new statuses are added over the years. Times stay text: they have 2 to 9 fraction digits, which
`datetime.fromisoformat` refuses before Python 3.11.

Annotations are evaluated here, as in `_types.messages`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from replicate_stream._lazy import public

SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELED = frozenset({"canceled", "aborted"})
TERMINAL = CANCELED | {SUCCEEDED, FAILED}
"""Statuses of a prediction that has ended. An unknown one is not terminal."""

_TEXT_FIELDS = ("model", "version", "error", "logs", "created_at", "started_at", "completed_at")
# Some official models print their counts into `logs` instead (docs/replicate-api.md 2.6).
_LOGGED_COUNT = re.compile(r"^[^\S\n]*(Input|Output) token count:\s*(\d+)\s*$", re.MULTILINE)


@public
@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a prediction used, as the model counts them."""

    input_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        """The tokens of input and output together."""
        return self.input_tokens + self.output_tokens


@public
@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction's record, without its input.

    Attributes:
        id: 26 lower-case characters.
        status: `starting`, `processing`, `succeeded`, `failed`, `canceled`, `aborted`, or a newer
            one.
        model: The model that ran, which may have another name than the requested one.
        version: 64 hex digits, another form for official models, or `hidden`.
        output: The output so far: None, a text, a list of texts, or any JSON value.
        error: The error's text if the prediction failed.
        logs: The model's log, up to now.
        metrics: Seconds (`predict_time`, `total_time`) and token counts; empty before the end.
        created_at: Time in ISO 8601 with `Z`, or None; as are the next two.
        started_at: When the model began to run.
        completed_at: When the prediction ended.
        urls: `get`, `cancel`, `web`, and `stream`, which is itself a secret.
        data_removed: True once the service has removed input, output and logs, after an hour.
    """

    id: str
    status: str
    model: str | None = None
    version: str | None = None
    output: Any = field(default=None, repr=False)
    error: str | None = None
    logs: str | None = field(default=None, repr=False)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    data_removed: bool = False

    @property
    def is_terminal(self) -> bool:
        """True if the prediction has ended, so that its record changes no more."""
        return self.status in TERMINAL

    def without_stream(self) -> "Prediction":
        """Return a copy without the stream's URL: a secret, and useless after the end."""
        urls = {name: url for name, url in self.urls.items() if name != "stream"}
        return replace(self, urls=urls)

    def with_status(self, status: str) -> "Prediction":
        """Return a copy with a status that is known from the stream, before the record has it."""
        return replace(self, status=status)


def parse_prediction(body: Mapping[str, Any]) -> Prediction:
    """Parse a prediction object of the API. Unknown fields are ignored.

    Args:
        body: The decoded JSON; it must have a non-empty `id`.

    Raises:
        ValueError: It has no `id`.
    """
    prediction_id = body.get("id")
    if not isinstance(prediction_id, str) or not prediction_id:
        raise ValueError("no prediction id")
    return Prediction(
        id=prediction_id,
        status=_to_text(body.get("status")) or "starting",
        output=body.get("output"),
        metrics=to_mapping(body.get("metrics")),
        urls={k: v for k, v in to_mapping(body.get("urls")).items() if isinstance(v, str)},
        data_removed=body.get("data_removed") is True,
        **{name: _to_text(body.get(name)) for name in _TEXT_FIELDS},
    )


def read_usage(prediction: Prediction) -> Usage | None:
    """Return the token counts of a prediction; None if it has none.

    Llama models name them `input_token_count`, newer vLLM models `token_input_count`, and
    google/gemini-2.5-flash has them only in its logs (docs/replicate-api.md 2.6).
    """
    metrics = prediction.metrics
    input_count = metrics.get("input_token_count", metrics.get("token_input_count"))
    output_count = metrics.get("output_token_count", metrics.get("token_output_count"))
    if input_count is None and output_count is None:
        logged = dict(_LOGGED_COUNT.findall(prediction.logs or ""))
        input_count, output_count = logged.get("Input"), logged.get("Output")
    if input_count is None and output_count is None:
        return None
    return Usage(input_tokens=_to_count(input_count), output_tokens=_to_count(output_count))


def _to_count(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def _to_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def to_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for any other value."""
    return value if isinstance(value, Mapping) else {}

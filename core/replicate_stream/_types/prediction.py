"""Records of predictions, as values.

They are parsed leniently: fields come and go with a prediction's age (docs/replicate-api.md 2.4),
and new statuses are added over the years. Times stay text: they have 2 to 9 fraction digits, which
`datetime.fromisoformat` refuses before Python 3.11.

Annotations are evaluated here, as in `_types.messages`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._frozen import fill_slots
from replicate_stream._lazy import public
from replicate_stream._types.costs import Price

SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELED = frozenset({"canceled", "aborted"})
TERMINAL = CANCELED | {SUCCEEDED, FAILED}
"""Statuses of a prediction that has ended. An unknown one is not terminal."""

MAX_SECONDS = 1e9
"""A longer time in a record is taken for a mistake."""
MAX_TOKENS = 10**12
"""A larger count in a record is taken for a mistake."""

# Some official models print their counts into `logs` instead (docs/replicate-api.md 2.6).
_LOGGED_COUNT = re.compile(r"^[^\S\n]*(Input|Output) token count:\s*(\d+)\s*$", re.MULTILINE)


@public
@fill_slots
@dataclass(frozen=True, slots=True)
class Usage:
    """What one or more predictions used. Sums of tokens compare; times and costs do not.

    Attributes:
        input_tokens: The tokens of the prompt, as the model counts them; 0 if it does not.
        output_tokens: The tokens of the answer, likewise.
        predict_time: The seconds that the model worked; None if unknown.
        total_time: The seconds from the creation to the end, with the wait for the model; None if
            unknown.
        cost: The money by the prices that the client was given; None without a price, or if what
            the price counts is unknown.
    """

    input_tokens: int
    output_tokens: int
    predict_time: float | None = field(default=None, compare=False)
    total_time: float | None = field(default=None, compare=False)
    cost: float | None = field(default=None, compare=False)

    @property
    def total_tokens(self) -> int:
        """The tokens of input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            _add_known(self.predict_time, other.predict_time),
            _add_known(self.total_time, other.total_time),
            _add_known(self.cost, other.cost),
        )


@public
@fill_slots
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
        if "stream" not in self.urls:
            return self
        urls = {name: url for name, url in self.urls.items() if name != "stream"}
        return self._copy(self.status, urls)

    def with_status(self, status: str) -> "Prediction":
        """Return a copy with a status that is known from the stream, before the record has it."""
        return self._copy(status, self.urls)

    def _copy(self, status: str, urls: Mapping[str, str]) -> "Prediction":
        # Half of the cost of `replace`, and each answer needs two.
        return Prediction(
            self.id,
            status,
            self.model,
            self.version,
            self.output,
            self.error,
            self.logs,
            self.metrics,
            self.created_at,
            self.started_at,
            self.completed_at,
            urls,
            self.data_removed,
        )


_TEXTS = (
    "status", "model", "version", "error", "logs", "created_at", "started_at", "completed_at",
)  # fmt: skip


def parse_prediction(body: Mapping[str, Any]) -> Prediction:
    """Parse a prediction object of the API. Unknown fields are ignored.

    Args:
        body: The decoded JSON; it must have a non-empty `id`.

    Raises:
        ValueError: It has no `id`.
    """
    get = body.get
    prediction_id = get("id")
    if not isinstance(prediction_id, str) or not prediction_id:
        raise ValueError("no prediction id")
    status, model, version, error, logs, created_at, started_at, completed_at = [
        value if value is None or isinstance(value, str) else str(value)
        for value in map(get, _TEXTS)
    ]
    return Prediction(
        prediction_id,
        status or "starting",
        model,
        version,
        get("output"),
        error,
        logs,
        to_mapping(get("metrics")),
        created_at,
        started_at,
        completed_at,
        {k: v for k, v in to_mapping(get("urls")).items() if isinstance(v, str)},
        get("data_removed") is True,
    )


def read_usage(prediction: Prediction, price: Price | None = None) -> Usage | None:
    """Return what a prediction used; None if its record says nothing of it.

    Llama models name the counts `input_token_count`, newer vLLM models `token_input_count`, and
    google/gemini-2.5-flash has them only in its logs (docs/replicate-api.md 2.6).

    Args:
        prediction: The record.
        price: The price of its model.
    """
    metrics = prediction.metrics
    input_count = metrics.get("input_token_count", metrics.get("token_input_count"))
    output_count = metrics.get("output_token_count", metrics.get("token_output_count"))
    if input_count is None and output_count is None:
        logged = dict(_LOGGED_COUNT.findall(prediction.logs or ""))
        input_count, output_count = logged.get("Input"), logged.get("Output")
    predict_time = _to_seconds(metrics.get("predict_time"))
    has_counts = not (input_count is None and output_count is None)
    if not has_counts and predict_time is None:
        return None
    tokens = _to_count(input_count), _to_count(output_count)
    return Usage(
        *tokens,
        predict_time,
        _to_seconds(metrics.get("total_time")),
        None if price is None else price.compute(*tokens, predict_time, has_counts=has_counts),
    )


def _add_known(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other


def _to_seconds(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < MAX_SECONDS else None


def _to_count(value: Any) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 <= count < MAX_TOKENS else 0


def to_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for any other value."""
    # A dict is recognized sooner than a mapping, and None sooner than anything else.
    return {} if value is None or not isinstance(value, (dict, Mapping)) else value

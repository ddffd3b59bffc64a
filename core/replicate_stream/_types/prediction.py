"""What the API says of a prediction, as values.

Read leniently: keys come and go with the prediction's age (replicate-api.md 2.4), statuses are
added over the years, and a timestamp has 2 to 9 fraction digits, which `fromisoformat` refuses
before Python 3.11. So times stay text, and an unknown status is passed on.

The annotations are types, as in `_chat.messages`.
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
"""Statuses after which nothing changes any more. An unknown one is not terminal."""

# Some official models have no counts in `metrics` and print them into `logs` instead.
_LOGGED_COUNT = re.compile(r"^\s*(Input|Output) token count:\s*(\d+)\s*$", re.MULTILINE)


@public
@dataclass(frozen=True, slots=True)
class Usage:
    """What a prediction consumed, in tokens as the model counts them."""

    input_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@public
@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction as the API last described it. Its input is not kept.

    Attributes:
        id: 26 lower-case characters.
        status: `starting`, `processing`, `succeeded`, `failed`, `canceled`, `aborted`; or a new
            one, which is passed on.
        model: The model that ran, which need not be the one asked for.
        version: 64 hex digits, another form for official models, or `hidden`.
        output: What there is of the output: None, a text, a list of texts, or any JSON value.
        error: The error's text if the prediction failed.
        metrics: Seconds (`predict_time`, `total_time`) and token counts; empty until it ended.
        created_at: ISO 8601 with `Z`; like `started_at` and `completed_at`, None if not known.
        urls: `get`, `cancel`, `web`, and `stream`, which is itself a secret.
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

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in TERMINAL

    def without_stream(self) -> "Prediction":
        """The same without its stream's address, which is a secret, and of no use at the end."""
        kept = {name: url for name, url in self.urls.items() if name != "stream"}
        return replace(self, urls=kept)

    def with_status(self, status: str) -> "Prediction":
        """The same with another status, where something else than the record has told it."""
        return replace(self, status=status)


def parse_prediction(body: Mapping[str, Any]) -> Prediction:
    """Read a prediction object of the API, passing over what it does not know.

    Args:
        body: The decoded JSON; it must have a non-empty `id`.

    Raises:
        ValueError: There is no `id`.
    """
    prediction_id = body.get("id")
    if not isinstance(prediction_id, str) or not prediction_id:
        raise ValueError("no prediction id")
    return Prediction(
        id=prediction_id,
        status=_text(body.get("status")) or "starting",
        model=_text(body.get("model")),
        version=_text(body.get("version")),
        output=body.get("output"),
        error=_text(body.get("error")),
        logs=_text(body.get("logs")),
        metrics=_mapping(body.get("metrics")),
        created_at=_text(body.get("created_at")),
        started_at=_text(body.get("started_at")),
        completed_at=_text(body.get("completed_at")),
        urls={k: v for k, v in _mapping(body.get("urls")).items() if isinstance(v, str)},
    )


def read_usage(prediction: Prediction) -> Usage | None:
    """The token counts of a prediction, under either of their names; None if it has none.

    Sources: replicate-api.md 2.6. Llama models say `input_token_count`, newer vLLM models
    `token_input_count`, and google/gemini-2.5-flash only prints them into its logs.
    """
    counts = prediction.metrics
    given = counts.get("input_token_count", counts.get("token_input_count"))
    made = counts.get("output_token_count", counts.get("token_output_count"))
    if given is None and made is None:
        logged = dict(_LOGGED_COUNT.findall(prediction.logs or ""))
        given, made = logged.get("Input"), logged.get("Output")
    if given is None and made is None:
        return None
    return Usage(input_tokens=_count(given), output_tokens=_count(made))


def _count(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError):
        return 0


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""What a prediction answers: scripts, and how they become a run of tokens."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from replicate_stream.testing.server.events import Event

Piece: TypeAlias = "str | Event"
Tokens: TypeAlias = "Iterable[Piece] | AsyncIterable[Piece]"
CountNames: TypeAlias = Literal["input_token_count", "token_input_count"]


_ROLE = re.compile(r"\W*(user|human|assistant|ai|model|system)?\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Unset:
    """Stands for an output that the tokens make."""


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer in all its particulars.

    Attributes:
        tokens: The tokens of the output, sent one event each; an `Event` is sent as it is. An
            iterator lasts for one prediction.
        error: The error that the prediction ends with, after its tokens.
        status: How it ends; `failed` with an error, else `succeeded`.
        reason: The `reason` of the `done` event, if it is not to fit the status.
        sends_done: Whether the stream gets its `done` event at all.
        plain_error: Send the `error` event's data as plain text instead of JSON.
        logs: The record's `logs`.
        metrics: Metrics that are added to, or replace, those that a language model has.
        token_counts: Names of the token counts (replicate-api.md 2.6): `input_token_count`, or
            `token_input_count`; None for a model that has none.
        output: The record's output at the end, if the tokens do not make it.
        delays: Seconds before each token: one for all, or one for each; the emulator's own if None.
        model: The model's name in the record, which need not be the one asked for.
        version: The version in the record.
    """

    tokens: Tokens = ()
    error: str | None = None
    status: Literal["succeeded", "failed", "canceled", "aborted"] | None = None
    reason: str | None = None
    sends_done: bool = True
    plain_error: bool = False
    logs: str | None = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    token_counts: CountNames | None = "input_token_count"  # noqa: S105 - a metric's name
    output: Any = UNSET
    delays: float | Sequence[float] | None = None
    model: str | None = None
    version: str | None = None

    @property
    def final_status(self) -> str:
        """The status that the prediction ends with."""
        return self.status or ("succeeded" if self.error is None else "failed")


Answer: TypeAlias = "str | Reply | Tokens"
Function: TypeAlias = Callable[[dict[str, Any]], "Answer | Awaitable[Answer]"]
Script: TypeAlias = "Answer | Function | None"
"""A text, tokens, a `Reply`, a function of the input that gives one of them, or the default."""


def as_reply(answer: Answer) -> Reply:
    """An answer as a `Reply`; a text is split into tokens."""
    if isinstance(answer, Reply):
        return answer
    return Reply(split(answer) if isinstance(answer, str) else answer)


def split(text: str) -> list[str]:
    """A text as tokens: an empty one first, as recorded, then words with the space before them."""
    return ["", *re.findall(r"\s*\S+|\s+$", text)]


def scripted_answer(input_: Mapping[str, Any]) -> Reply:
    """The default answer: it says what it is, and repeats the last words of the prompt."""
    words = _last_text(input_).split()
    about = f"You asked: {' '.join(words[-8:])}\n\n" if words else ""
    return Reply(split(f"{about}This is a scripted answer: no model has read the question."))


def _last_text(input_: Mapping[str, Any]) -> str:
    prompt = input_.get("prompt")
    text = prompt if isinstance(prompt, str) else ""
    for value in input_.values():
        if not text and isinstance(value, str):
            text = value
    # What a template puts around a turn, e.g. <|eot_id|> or [/INST], was not said by anybody.
    text = re.sub(r"<\|[^|<>]*\|>|</?s>|\[/?INST\]|<<?/?SYS>>?", " ", text)
    lines = [line for line in text.splitlines() if not _ROLE.fullmatch(line)]
    return lines[-1] if lines else text


def count_tokens(input_: Mapping[str, Any]) -> int:
    """How many tokens an input has, counted as the scripts split them: by words."""
    return sum(len(value.split()) for value in input_.values() if isinstance(value, str))

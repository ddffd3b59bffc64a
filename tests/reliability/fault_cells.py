"""The cells of the fault matrix: stages, sequels, outcomes, and the rules for what is left out.

The outcomes were derived from the README and docs/replicate-api.md, not from runs. These
combinations of faults, stages and sequels have no meaning, and are left out:

- A fault of a whole reply within the body of a stream, and the reverse. A fault of the record where
  no record is fetched.
- A fault that breaks nothing, or a closed port, as the first of several replies: it is the same
  each time. Nothing is resumed then.
- A stream that stays open, or brought `done` or `error`, is not resumed.
- Damaged text, where there is no token: behind the last one. A hole there is the last token itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.reliability.faulty_server import CANCEL, CREATE, LOOK_UP, RECORD, STREAM, TOKENS, Script

# Outcomes

WHOLE = "the whole text"
FIRST = "the first token"  # read by a consumer that leaves
CONNECTION = "ReplicateConnectionError"
TIMEOUT = "ReplicateTimeoutError"
RESPONSE = "ResponseError"
NOT_FOUND = "ModelNotFoundError"
INPUT = "InvalidInputError"
RATE = "RateLimitError"
FAILED = "PredictionFailedError"
CANCELED = "PredictionCanceledError"
INTERRUPTED = "StreamInterruptedError"

# Sequels

ONCE = "once"  # the next reply is right
ALWAYS = "always"
ENDED = "ended"  # every connection has the fault; the record shows the end
RESUMED = "resumed"  # the next connection is right; the record shows the end at its second GET
RUNS_ON = "runs on"  # every connection has the fault; the record never shows an end

# Stages

LOOKING_UP, CREATING, CONNECTING = "look-up", "create", "connect"
FIRST_TOKEN, MID_STREAM, AFTER_LAST = "first token", "mid-stream", "after the last token"
FINAL_GET, CANCELLING = "final GET", "cancel"
STAGES = {
    LOOKING_UP: LOOK_UP,
    CREATING: CREATE,
    CONNECTING: STREAM,
    FIRST_TOKEN: STREAM,
    MID_STREAM: STREAM,
    AFTER_LAST: STREAM,
    FINAL_GET: RECORD,
    CANCELLING: CANCEL,
}
PLACES = {FIRST_TOKEN: 0, MID_STREAM: 2, AFTER_LAST: len(TOKENS)}


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault in one stage, with what must come of it.

    Attributes:
        fault, stage, sequel: Its place in the matrix.
        script: The server's behaviour.
        outcome: `WHOLE`, `FIRST`, or the name of the error, or of two with ` or ` between them.
        creates: Number of requests to create; further ones only after a refusal that created
            nothing. None for several of these.
        cancels: Number of cancel requests that have their effect.
        cancel_requests: Number of cancel requests, with those that failed.
        is_silent: Whether the client has to find out that nothing comes any more.
        has_deadline: Whether the client has a deadline, without which it waits for a rate limit
            for ever.
    """

    fault: str
    stage: str
    sequel: str
    script: Script
    outcome: str
    creates: int | None = 1
    cancels: int = 0
    cancel_requests: int = 0
    is_silent: bool = False
    has_deadline: bool = False

    @property
    def name(self) -> str:
        """Its place in the matrix."""
        return f"{self.fault}, {self.stage}, {self.sequel}"

    @property
    def is_slow(self) -> bool:
        """Whether the client waits for seconds: for a record that lags, or for a lost reply."""
        if self.stage in {FINAL_GET, CANCELLING}:
            return self.is_silent
        return self.sequel == RUNS_ON and self.outcome != TIMEOUT


def build_stream_cell(
    name: str, stage: str, sequel: str, script: Script, outcome: str, *, is_silent: bool
) -> Cell:
    """Build the cell of a fault in a stream."""
    running_gets = {ENDED: 0, RESUMED: 1, RUNS_ON: None}[sequel]
    script = replace(
        script,
        place=PLACES.get(stage, 0),
        times=1 if sequel == RESUMED else None,
        running_gets=running_gets,
    )
    cancels = int(outcome == TIMEOUT)
    return Cell(
        name,
        stage,
        sequel,
        script,
        outcome,
        cancels=cancels,
        cancel_requests=cancels,
        is_silent=is_silent or outcome == TIMEOUT,
    )

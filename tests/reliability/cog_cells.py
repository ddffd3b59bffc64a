"""The cells of the fault matrix for containers of Cog, and the server that plays them.

The outcomes were derived from https://cog.run/http/ and docs/self-hosted-cog.md, not from runs: the
same `PUT` may be repeated until the event `completed` has come, and nothing but that event ends an
answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.reliability.conftest import IS_FULL
from tests.reliability.fault_cells import (
    ALWAYS,
    CANCELED,
    CANCELLING,
    CONNECTION,
    CREATING,
    FAILED,
    FIRST,
    INPUT,
    INTERRUPTED,
    LOOKING_UP,
    ONCE,
    PLACES,
    RESPONSE,
    TIMEOUT,
    WHOLE,
)
from tests.reliability.faulty_server import (
    CANCEL,
    CREATE,
    LOOK_UP,
    STREAM_HEAD,
    TEXT,
    TOKENS,
    Action,
    EditEvents,
    EditReply,
    FaultyServer,
    Script,
    Steps,
    build_json,
)
from tests.reliability.reply_faults import HTML, REPLY_FAULTS, drip, refuse
from tests.reliability.stream_faults import append, drop_token, insert, repeat_event

HEALTH, WHOLE_ANSWER = "health", "whole answer"
_KINDS = {
    "GET /health-check": HEALTH,
    "GET /openapi.json": LOOK_UP,
    "POST /predictions": WHOLE_ANSWER,
}
_OUTPUT = {"type": "array", "items": {"type": "string"}, "x-cog-array-display": "concatenate"}
_SCHEMAS = {"Input": {"type": "object", "properties": {"prompt": {}}}, "Output": _OUTPUT}
_SCHEMA = {
    "paths": {"/predictions": {"post": {"x-cog-streaming": True}}},
    "components": {"schemas": _SCHEMAS},
}
_RECORD = {"id": "p1", "status": "succeeded", "output": TOKENS, "metrics": {"predict_time": 0.5}}


def build_event(name: str, data: object) -> bytes:
    """Build the bytes of an event in Cog's form."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def build_output(index: object, chunk: object = "other") -> bytes:
    return build_event("output", {"chunk": chunk, "index": index})


def build_end(**fields: Any) -> bytes:
    return build_event("completed", {**_RECORD, **fields})


LOG = build_event("log", {"source": "stdout", "data": "loading\n"})
EVENTS = [build_output(index, token) for index, token in enumerate(TOKENS)]
HEAD = STREAM_HEAD + build_event("start", {"id": "p1", "status": "processing"})


class CogFaultyServer(FaultyServer):
    """A container of Cog with one fault. `Action.COMMENTS` sends logs as well."""

    filler = b": keep-alive\n\n" + LOG
    _streaming = CREATE
    _replies_before: ClassVar[Mapping[str, str]] = {LOOK_UP: HEALTH, CREATE: LOOK_UP}

    @property
    def address(self) -> str:
        """The container's address."""
        return self.base_url.removesuffix("/v1")

    def _find_kind(self, request: str) -> str:
        return _KINDS.get(request) or (CANCEL if request.endswith("/cancel") else CREATE)

    def _build_steps(self, kind: str, last_id: str | None, *, is_faulty: bool) -> Steps:
        script = self.script
        if kind == CREATE:
            return self._build_stream(is_faulty=is_faulty)
        bodies: dict[str, Any] = {
            HEALTH: {"status": "READY"}, LOOK_UP: _SCHEMA, WHOLE_ANSWER: _RECORD, CANCEL: {},
        }  # fmt: skip
        reply = build_json(200, bodies[kind], *(["Connection: close"] if is_faulty else []))
        return script.edit_reply(reply) if is_faulty and script.edit_reply else [reply]

    def _build_stream(self, *, is_faulty: bool) -> Steps:
        script = self.script
        before, after = EVENTS[: script.place], [*EVENTS[script.place :], build_end()]
        if script.edit_events and (is_faulty or script.faulty != CREATE):
            return [HEAD, *script.edit_events(before, after)]
        if self.requests[CREATE] > 1 and script.status == "canceled":
            return [HEAD, *before, build_end(status="canceled", output=TOKENS[: script.place])]
        reply = HEAD + b"".join([*before, *after])
        return script.edit_reply(reply) if is_faulty and script.edit_reply else [reply]


@dataclass(frozen=True, slots=True)
class CogCell:
    """One fault of a container in one stage, with what must come of it.

    Attributes:
        name: Its place in the matrix.
        script: The server's behaviour.
        outcome: `WHOLE`, `FIRST`, or the name of the error.
        cancel_requests: Number of cancel requests.
        has_deadline: Whether the client has a deadline, without which it waits for ever for room.
    """

    name: str
    script: Script
    outcome: str
    cancel_requests: int = 0
    has_deadline: bool = False


# Whole replies: what comes of a look-up and of a creation, once and always, and whether what may
# have been created is cancelled. A container that is not reached, or refuses, has created nothing.

_BROKEN = ((WHOLE, CONNECTION), (WHOLE, CONNECTION), 1)
_CUT_IN_BODY = ((WHOLE, CONNECTION), (WHOLE, INTERRUPTED), 1)
_SILENT = ((TIMEOUT, TIMEOUT), (TIMEOUT, TIMEOUT), 1)
_HARMLESS = ((WHOLE, WHOLE), (WHOLE, WHOLE), 0)
_UNREADABLE = ((RESPONSE, RESPONSE), (RESPONSE, RESPONSE), 1)
_REFUSED = ((RESPONSE, RESPONSE), (RESPONSE, RESPONSE), 0)
_Outcomes = tuple[tuple[str, str], tuple[str, str], int]
_REPLIES: dict[str, _Outcomes] = {
    "refused": ((WHOLE, CONNECTION), (WHOLE, CONNECTION), 0),
    "reset": _BROKEN,
    "clean cut": _BROKEN,
    "clean cut in the body": _CUT_IN_BODY,
    "reset in the body": _CUT_IN_BODY,
    "garbage": _BROKEN,
    "broken gzip": _CUT_IN_BODY,
    "stall": _SILENT,
    "stall in the body": _SILENT,
    "slow drip": _HARMLESS,
    "compressed body": _HARMLESS,
    # A stream of another type is read as a whole answer, which it is not.
    "wrong content type": ((WHOLE, WHOLE), (RESPONSE, RESPONSE), 1),
    "truncated JSON": _UNREADABLE,
    "HTML 502": ((WHOLE, RESPONSE), (WHOLE, RESPONSE), 0),
    "500": ((WHOLE, RESPONSE), (RESPONSE, RESPONSE), 0),
    # Of a schema it means that the model boots or has none, which the health check tells apart.
    "503": ((WHOLE, WHOLE), (WHOLE, RESPONSE), 0),
    "401": _REFUSED,
    "403": _REFUSED,
    "404": ((WHOLE, WHOLE), (WHOLE, WHOLE), 0),  # no schema; no streams
    "422": ((INPUT, INPUT), (INPUT, INPUT), 0),
}
_BUSY = refuse(409, {"error": "At capacity - all prediction slots busy", "status": "failed"})


def build_reply_cells() -> Iterator[CogCell]:
    """Build the cells of faults of whole replies."""
    for name, (look_up, create, created) in _REPLIES.items():
        fault = REPLY_FAULTS[name]
        for index in (1,) if fault.edit is None else (0, 1):
            sequel = (ONCE, ALWAYS)[index]
            script = Script(
                LOOK_UP, fault.edit, times=None if index else 1, is_refused=fault.edit is None
            )
            yield CogCell(f"{name}, {LOOKING_UP}, {sequel}", script, look_up[index])
            outcome = create[index]
            yield CogCell(
                f"{name}, {CREATING}, {sequel}",
                _with_faulty(script, CREATE),
                outcome,
                cancel_requests=created if outcome != WHOLE else 0,
            )
        if fault.edit is not None and not name.startswith("stall"):
            yield _build_cancel_cell(name, fault.edit, is_repeated=fault.is_repeated)
    yield CogCell(f"409, {CREATING}, {ONCE}", Script(CREATE, _BUSY, times=1), WHOLE)
    yield CogCell(f"409, {CREATING}, {ALWAYS}", Script(CREATE, _BUSY), TIMEOUT, has_deadline=True)


def _with_faulty(script: Script, faulty: str) -> Script:
    return Script(faulty, script.edit_reply, times=script.times, is_refused=script.is_refused)


def _build_cancel_cell(name: str, edit: EditReply, *, is_repeated: bool) -> CogCell:
    script = Script(CANCEL, edit, append(Action.STALL), place=1, times=1)
    # The reply to a cancel request is not read, so that only its head can be faulty.
    is_head = is_repeated and name not in {"clean cut in the body", "reset in the body"}
    return CogCell(f"{name}, {CANCELLING}", script, FIRST, cancel_requests=1 + int(is_head))


# Streams: what comes of a fault at each place in turn, if the next connection is right; if every
# connection has the fault; and if Cog has canceled the prediction since. None: the same each time.

_CUT = (WHOLE, INTERRUPTED, INTERRUPTED)
_STREAMS: dict[str, tuple[EditEvents, tuple[str, ...]]] = {
    "reset": (append(Action.RESET), _CUT),
    "clean cut": (append(), _CUT),
    "cut in an event": (lambda before, after: [*before, after[0][:15]], _CUT),
    "cut in a character": (append(b'event: output\ndata: {"chunk":"\xc3'), _CUT),
    "HTML page": (append(HTML), _CUT),
    "unreadable outputs": (append(b'event: output\ndata: {"chunk":\n\n'), _CUT),
    "stall": (append(Action.STALL), (TIMEOUT,)),
    "endless logs": (append(Action.COMMENTS), (TIMEOUT,)),
    "slow drip": (
        lambda before, after: [*before, *drip(b"".join(after), 4, pauses=1)],
        (WHOLE,),
    ),
    "logs": (insert(LOG, b": keep-alive\n\n"), (WHOLE,)),
    "unknown event": (insert(build_event("telemetry", {})), (WHOLE,)),
    "garbage": (insert(b"\x00\xfe\xff no field\r\nevent\rid\x00:\n\n"), (WHOLE,)),
    "an output without JSON": (insert(b"event: output\ndata: {{\n\n"), (WHOLE,)),
    "invalid UTF-8 in an output": (insert(b'event: output\ndata: "\xe9\xff"\n\n'), (WHOLE,)),
    "holes": (drop_token, (WHOLE,)),
    "indexes twice": (repeat_event, (WHOLE,)),
    "indexes going back": (lambda before, after: [*before, *before, *after], (WHOLE,)),
    **{
        f"index {index!r:.8}": (insert(build_output(index)), (WHOLE,))
        for index in (-1, 10**400, "0", None, 0.5)
    },
    "another text": (insert(EVENTS[0], build_output(0)), (INTERRUPTED,)),
    "error event": (append(build_event("error", {"error": "lagged"})), (INTERRUPTED,)),
    "error event, no JSON": (append(b"event: error\ndata: boom\n\n"), (INTERRUPTED,)),
    "an endless event": (append(b"event: output\ndata: ", *[b"x" * 2**20] * 17), (INTERRUPTED,)),
    "completed": (append(build_end()), (WHOLE,)),
    "completed, and more": (append(build_end(), build_output(9), build_end()), (WHOLE,)),
    "completed, one text": (append(build_end(output=TEXT)), (WHOLE,)),
    "completed, no id": (append(build_event("completed", {"output": TOKENS})), (INTERRUPTED,)),
    "completed, no JSON": (append(b"event: completed\ndata: {{{\n\n"), (INTERRUPTED,)),
    "completed, too deep": (
        append(b"event: completed\ndata: %b\n\n" % (b"[" * 5000)),
        (INTERRUPTED,),
    ),
    "completed, failed": (append(build_end(status="failed", error="OOM")), (FAILED,)),
    "completed, canceled": (append(build_end(status="canceled", output=None)), (CANCELED,)),
    "completed, never terminal": (append(build_end(status="processing")), (FAILED,)),
    "completed, unknown status": (append(build_end(status="paused")), (FAILED,)),
}


def build_stream_cells() -> Iterator[CogCell]:
    """Build the cells of faults in the body of a stream."""
    for name, (edit, outcomes) in _STREAMS.items():
        for stage, place in PLACES.items():
            for index, outcome in enumerate(outcomes):
                script = Script(
                    CREATE,
                    edit_events=edit,
                    place=place,
                    times=None if index == 1 else 1,
                    status="canceled" if index == 2 else "succeeded",
                )
                # Nothing is left of a prediction whose last event was read.
                is_left = outcome in {TIMEOUT, INTERRUPTED} and index != 2
                sequel = (ONCE, ALWAYS, "canceled")[index]
                yield CogCell(f"{name}, {stage}, {sequel}", script, outcome, int(is_left))


def choose_cells() -> Iterator[CogCell]:
    """Choose the cells of this run: the quick size has one of those that reconnect for seconds."""
    for cell in (*build_reply_cells(), *build_stream_cells()):
        is_slow = cell.outcome == INTERRUPTED and cell.name.endswith(ALWAYS)
        if IS_FULL or not is_slow or cell.name.startswith("clean cut, mid-stream"):
            yield cell

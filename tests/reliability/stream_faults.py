"""Faults in the body of a stream, and records that are no ordinary ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tests.reliability.fault_cells import (
    CANCELED,
    CREATING,
    ENDED,
    FAILED,
    FINAL_GET,
    INTERRUPTED,
    PLACES,
    RESPONSE,
    RESUMED,
    RUNS_ON,
    TIMEOUT,
    WHOLE,
    Cell,
    build_stream_cell,
)
from tests.reliability.faulty_server import (
    CREATE,
    RECORD,
    STREAM,
    TOKENS,
    Action,
    EditEvents,
    Script,
    Steps,
    build_event,
)
from tests.reliability.reply_faults import HTML, drip

ORDINARY = Script(STREAM)


@dataclass(frozen=True, slots=True)
class StreamFault:
    """A fault in the body of a stream.

    Attributes:
        edit: Takes the events before and after its place; returns the whole body.
        outcomes: For each stage (first token, mid-stream, after the last token) the outcome by
            sequel: ended, resumed, runs on. None: it has no meaning.
        is_silent: Whether the client has to find out that nothing comes any more.
        script: The rest of the server's behaviour.
    """

    edit: EditEvents
    outcomes: tuple[tuple[str | None, ...], ...]
    is_silent: bool = False
    script: Script = ORDINARY


def number_backwards(events: Iterable[bytes]) -> list[bytes]:
    return [
        event.replace(b"id: 170:", b"id: %d:" % (99 - index)) for index, event in enumerate(events)
    ]


def drop_ids(events: Iterable[bytes]) -> list[bytes]:
    return [event.replace(b"id: 170:", b"ignored: ") for event in events]


def append(*steps: bytes | Action) -> EditEvents:
    """Send something at the place, and then nothing more of the right events."""
    return lambda before, after: [*before, *steps]


def insert(*pieces: bytes) -> EditEvents:
    """Send something at the place, and then the right events."""
    return lambda before, after: [*before, *pieces, *after]


def end_with(data: str) -> EditEvents:
    return append(build_event("done", data, "171:0"))


def drop_token(before: list[bytes], after: list[bytes]) -> Steps:
    return [*before, *after[1:]] if len(after) > 1 else [*before[:-1], *after]


def repeat_event(before: list[bytes], after: list[bytes]) -> Steps:
    return [*before, after[0], *after]


def damage_token(before: list[bytes], after: list[bytes]) -> Steps:
    return [*before, after[0].replace(b"data: ", b"data: \xe9\xff"), *after[1:]]


def each(*outcomes: str | None) -> tuple[tuple[str | None, ...], ...]:
    """The same outcomes in all three stages."""
    return (outcomes,) * 3


CUT = each(WHOLE, WHOLE, TIMEOUT)
NO_HARM = each(WHOLE)
ERROR_EVENT = build_event("error", json.dumps({"detail": "CUDA out of memory"}), "171:0")
FAILED_DONE = build_event("done", '{"reason": "error"}', "171:1")
AS_FAILED = Script(STREAM, status="failed", error="CUDA out of memory", output=None)
DAMAGED = ((INTERRUPTED, None, INTERRUPTED), (INTERRUPTED, None, INTERRUPTED), (None,))
NOT_RESUMED = ((None, INTERRUPTED), (None, INTERRUPTED), (None, WHOLE))
RESUMED_WHOLE = each(None, WHOLE)
STREAM_FAULTS: dict[str, StreamFault] = {
    "reset": StreamFault(append(Action.RESET), CUT),
    "clean cut": StreamFault(append(), CUT),
    "cut in an event": StreamFault(lambda before, after: [*before, after[0][:20]], CUT),
    "cut in a character": StreamFault(
        lambda before, after: [*before, b"event: output\nid: 1\ndata: \xc3"], CUT
    ),
    "408 comment": StreamFault(append(b":408: 408 Request Timeout\n\n"), CUT),
    "HTML page": StreamFault(append(HTML), CUT),
    "stall": StreamFault(append(Action.STALL), each(WHOLE, None, TIMEOUT), is_silent=True),
    "comments only": StreamFault(
        append(Action.COMMENTS), each(WHOLE, None, TIMEOUT), is_silent=True
    ),
    # Longer than `timeout` in all, which is a silence's.
    "slow drip": StreamFault(
        lambda before, after: [*before, *drip(b"".join(after), 1, pauses=3)],
        each(WHOLE),
        is_silent=True,
    ),
    "garbage": StreamFault(insert(b"\x00\xfe\xff no field\r\nevent\rid\x00:\n\n"), NO_HARM),
    "unknown event": StreamFault(insert(build_event("telemetry", "{}", "170:x")), NO_HARM),
    "logs": StreamFault(insert(build_event("logs", "loading", "170:x")), NO_HARM),
    "comments": StreamFault(insert(b": still here\n\n", b":\n\n"), NO_HARM),
    "invalid UTF-8": StreamFault(damage_token, DAMAGED),
    "holes": StreamFault(drop_token, (*DAMAGED[:2], (WHOLE, None, WHOLE))),
    "ids twice": StreamFault(repeat_event, (*DAMAGED[:2], (WHOLE,))),
    "ids going back": StreamFault(
        lambda before, after: [*before, *number_backwards(after)], NO_HARM
    ),
    "no ids": StreamFault(lambda before, after: drop_ids([*before, *after]), NO_HARM),
    "everything again": StreamFault(append(), RESUMED_WHOLE, script=Script(STREAM, replays="all")),
    "everything again, without ids": StreamFault(
        lambda before, after: drop_ids(before), RESUMED_WHOLE, script=Script(STREAM, replays="all")
    ),
    "no replay": StreamFault(
        append(), NOT_RESUMED, is_silent=True, script=Script(STREAM, replays="none")
    ),
    "error event": StreamFault(
        append(ERROR_EVENT, FAILED_DONE), each(FAILED, None, FAILED), script=AS_FAILED
    ),
    "error event as text": StreamFault(
        append(build_event("error", "CUDA out of memory", "171:0")),
        each(FAILED, None, FAILED),
        script=AS_FAILED,
    ),
    # `done` before its time is a hole at the end: the record has the rest.
    "done": StreamFault(end_with("{}"), NO_HARM),
    "done without data": StreamFault(end_with(""), NO_HARM),
    "done, error": StreamFault(
        end_with('{"reason": "error"}'), each(FAILED, None, FAILED), script=AS_FAILED
    ),
    "done, canceled": StreamFault(
        end_with('{"reason": "canceled"}'),
        each(CANCELED, None, CANCELED),
        script=Script(STREAM, status="canceled", output=None),
    ),
    "done, an unknown reason": StreamFault(
        end_with('{"reason": "weather"}'), each(WHOLE, None, FAILED)
    ),
    "done, no JSON": StreamFault(end_with("{{{"), each(WHOLE, None, FAILED)),
    "done, nested too deeply": StreamFault(end_with("[" * 5000), each(WHOLE, None, FAILED)),
    # The record behind a cut
    "status aborted": StreamFault(
        append(), each(CANCELED), script=Script(STREAM, status="aborted", output=None)
    ),
    "status canceled": StreamFault(
        append(), each(CANCELED), script=Script(STREAM, status="canceled", output=None)
    ),
    "status failed": StreamFault(append(), each(FAILED), script=AS_FAILED),
    "unknown status": StreamFault(
        append(), each(TIMEOUT), script=Script(STREAM, status="paused"), is_silent=True
    ),
    "record gone": StreamFault(
        append(), each(None, INTERRUPTED, TIMEOUT), script=Script(STREAM, has_record=False)
    ),
    "record without output": StreamFault(
        append(), each(INTERRUPTED), script=Script(STREAM, output=None)
    ),
    "record of another text": StreamFault(
        append(),
        ((None,), (INTERRUPTED,), (INTERRUPTED,)),
        script=Script(STREAM, output=["Other text"]),
    ),
}


# The record of a stream without a fault


@dataclass(frozen=True, slots=True)
class RecordFault:
    """A reply to the creation, or a last record, that is valid and yet no ordinary one."""

    script: Script
    outcome: str
    cancels: int = 0
    is_silent: bool = False


RECORD_FAULTS: dict[str, RecordFault] = {
    "no stream URL": RecordFault(Script(CREATE, has_stream=False, running_gets=1), WHOLE),
    "unreadable stream URL": RecordFault(
        Script(CREATE, created={"urls": {"stream": "http://[::1"}}), WHOLE
    ),
    "no URLs": RecordFault(Script(CREATE, created={"urls": {}}), WHOLE),
    "no id": RecordFault(Script(CREATE, created={"id": None}), RESPONSE, cancels=1),
    "succeeded at once": RecordFault(
        Script(CREATE, created={"status": "succeeded", "output": TOKENS}, has_stream=False), WHOLE
    ),
    "status aborted": RecordFault(
        Script(CREATE, created={"status": "aborted"}, has_stream=False), CANCELED
    ),
    "no stream URL, record never terminal": RecordFault(
        Script(CREATE, has_stream=False, running_gets=None), TIMEOUT, cancels=1, is_silent=True
    ),
    "no stream URL, record gone": RecordFault(
        Script(CREATE, has_stream=False, has_record=False), INTERRUPTED, cancels=1
    ),
    # Behind a whole stream
    "record never terminal": RecordFault(Script(RECORD, running_gets=None), WHOLE),
    "record late": RecordFault(Script(RECORD, running_gets=2), WHOLE),
    "record gone": RecordFault(Script(RECORD, has_record=False), WHOLE),
    "record without output": RecordFault(Script(RECORD, output=None), WHOLE),
    "record of another text": RecordFault(Script(RECORD, output=["Other text"]), INTERRUPTED),
    "unknown status": RecordFault(Script(RECORD, status="paused"), WHOLE),
    "record aborted": RecordFault(Script(RECORD, status="aborted"), CANCELED),
    "record canceled": RecordFault(Script(RECORD, status="canceled"), CANCELED),
    "record failed": RecordFault(Script(RECORD, status="failed", error="OOM"), FAILED),
}


def build_stream_cells(name: str, fault: StreamFault) -> Iterator[Cell]:
    """Build the cells of a fault in the body of a stream."""
    script = replace(fault.script, edit_events=fault.edit)
    for stage, outcomes in zip(PLACES, fault.outcomes, strict=True):
        for sequel, outcome in zip((ENDED, RESUMED, RUNS_ON), outcomes, strict=False):
            if outcome is not None:
                yield build_stream_cell(
                    name, stage, sequel, script, outcome, is_silent=fault.is_silent
                )


def build_record_cell(name: str, fault: RecordFault) -> Cell:
    """Build the cell of a record."""
    return Cell(
        name,
        CREATING if fault.script.faulty == CREATE else FINAL_GET,
        ENDED if fault.script.running_gets is not None else RUNS_ON,
        fault.script,
        fault.outcome,
        cancels=fault.cancels,
        cancel_requests=fault.cancels,
        is_silent=fault.is_silent,
    )

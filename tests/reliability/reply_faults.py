"""Faults of a whole reply: to a look-up, a creation, a stream, a GET of the record, a cancel."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

from replicate_stream._api.cancellation import MIN_RETRIES
from tests.reliability.fault_cells import (
    ALWAYS,
    CANCELLING,
    CONNECTING,
    CONNECTION,
    CREATING,
    ENDED,
    FINAL_GET,
    FIRST,
    INPUT,
    LOOKING_UP,
    NOT_FOUND,
    ONCE,
    RATE,
    RESPONSE,
    RESUMED,
    RUNS_ON,
    STAGES,
    TIMEOUT,
    WHOLE,
    Cell,
    build_stream_cell,
)
from tests.reliability.faulty_server import (
    STREAM,
    Action,
    EditReply,
    Script,
    Steps,
    build_json,
    build_reply,
)


@dataclass(frozen=True, slots=True)
class ReplyFault:
    """A fault of a whole reply.

    Attributes:
        edit: Edits the right reply; None to close the port.
        look_up, create: The outcome if it happens once, and always.
        connect: The outcome if the prediction has ended, is resumed, and runs on.
        is_repeated: Whether a GET and a cancel request are sent again.
        creates: Number of requests to create, if it happens once, and always; None for several.
        shows_cancel_url: Whether the reply shows what was created, though it cannot be used.
        acts_first: Whether the request has its effect.
    """

    edit: EditReply | None
    look_up: tuple[str, str]
    create: tuple[str, str]
    connect: tuple[str | None, ...] = (WHOLE, WHOLE, TIMEOUT)
    is_repeated: bool = False
    creates: tuple[int, int | None] = (1, 1)
    shows_cancel_url: bool = False
    acts_first: bool = False


CLOSE = "Connection: close"


def drip(data: bytes, size: int = 8, pauses: int = 1) -> Steps:
    steps: list[bytes | Action] = []
    for start in range(0, len(data), size):
        steps += [data[start : start + size], *[Action.PAUSE] * pauses]
    return steps


def split_reply(reply: bytes) -> tuple[bytes, bytes]:
    head, _, body = reply.partition(b"\r\n\r\n")
    return head, body


def edit_body(edit_: EditReply, *headers: bytes) -> EditReply:
    """Edit the body and correct its length, if it has one."""

    def edit(reply: bytes) -> Steps:
        head, body = split_reply(reply)
        (new,) = edit_(body)
        assert isinstance(new, bytes)
        head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(new))
        return [b"\r\n".join([head, *headers, b"", new])]

    return edit


def change_type(reply: bytes) -> Steps:
    for content_type in (b"application/json", b"text/event-stream; charset=utf-8"):
        reply = reply.replace(b"Content-Type: " + content_type, b"Content-Type: text/plain")
    return [reply]


def reply_with(reply: bytes) -> EditReply:
    return lambda _: [reply]


def refuse(status: int, body: object, *headers: str) -> EditReply:
    return reply_with(build_json(status, body, CLOSE, *headers))


HTML = build_reply(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html", CLOSE)
GZIP = b"Content-Encoding: gzip"
BROKEN: dict[str, Any] = {
    "look_up": (WHOLE, CONNECTION),
    "create": (CONNECTION, CONNECTION),
    "is_repeated": True,
}
HARMLESS: dict[str, Any] = {"look_up": (WHOLE, WHOLE), "create": (WHOLE, WHOLE), "acts_first": True}
UNREADABLE: dict[str, Any] = {
    "look_up": (RESPONSE, RESPONSE),
    "create": (RESPONSE, RESPONSE),
    "shows_cancel_url": True,
    "acts_first": True,
}
SERVER_ERROR: dict[str, Any] = {
    "look_up": (WHOLE, RESPONSE),
    "create": (RESPONSE, RESPONSE),
    "is_repeated": True,
}
REFUSAL: dict[str, Any] = {"look_up": (RESPONSE, RESPONSE), "create": (RESPONSE, RESPONSE)}
REPEATED: dict[str, Any] = {"is_repeated": True, "creates": (2, 2)}
LIMITED: dict[str, Any] = {
    "look_up": (WHOLE, RATE),
    "create": (WHOLE, TIMEOUT),
    "is_repeated": True,
    "creates": (2, None),
}
THROTTLED = {"detail": "Request was throttled.", "status": 429}


def limit_until(seconds: float) -> Steps:
    """Build a refusal whose Retry-After is a date, which has whole seconds."""
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)
    return [build_json(429, THROTTLED, CLOSE, f"Retry-After: {date}")]


REPLY_FAULTS: dict[str, ReplyFault] = {
    "refused": ReplyFault(None, **BROKEN, connect=(WHOLE, None, TIMEOUT)),
    "reset": ReplyFault(lambda _: [Action.RESET], **BROKEN),
    "clean cut": ReplyFault(lambda reply: [reply[:20]], **BROKEN),
    "clean cut in the body": ReplyFault(
        lambda reply: [reply[: reply.index(b"\r\n\r\n") + 14]], **BROKEN
    ),
    "reset in the body": ReplyFault(
        lambda reply: [reply[: reply.index(b"\r\n\r\n") + 14], Action.RESET], **BROKEN
    ),
    "garbage": ReplyFault(reply_with(b"\x00\xff no HTTP\r\n\r\n"), **BROKEN),
    "broken gzip": ReplyFault(edit_body(lambda _: [b"\x1f\x8bbroken"], GZIP), **BROKEN),
    "stall": ReplyFault(
        lambda _: [Action.STALL], (TIMEOUT, TIMEOUT), (TIMEOUT, TIMEOUT), (WHOLE, None, TIMEOUT)
    ),
    "stall in the body": ReplyFault(
        lambda reply: [reply[: reply.index(b"\r\n\r\n") + 14], Action.STALL],
        (TIMEOUT, TIMEOUT),
        (TIMEOUT, TIMEOUT),
        (WHOLE, None, TIMEOUT),
    ),
    "slow drip": ReplyFault(drip, **HARMLESS, connect=(WHOLE,)),
    "compressed body": ReplyFault(
        edit_body(lambda body: [gzip.compress(body)], GZIP),
        **HARMLESS,
        connect=(WHOLE,),
    ),
    "wrong content type": ReplyFault(change_type, **HARMLESS),
    "invalid UTF-8": ReplyFault(
        edit_body(lambda body: [body.replace(b"acme", b"acm\xe9")]), **UNREADABLE, connect=()
    ),
    "truncated JSON": ReplyFault(
        lambda reply: [build_reply(200, split_reply(reply)[1][:-1], "application/json", CLOSE)],
        **UNREADABLE,
    ),
    "HTML 502": ReplyFault(reply_with(HTML), **SERVER_ERROR),
    "500": ReplyFault(refuse(500, {"detail": "Internal server error"}), **SERVER_ERROR),
    "503": ReplyFault(refuse(503, {"detail": "Unavailable"}), **SERVER_ERROR),
    "503 with Retry-After": ReplyFault(
        refuse(503, {"detail": "Unavailable"}, "Retry-After: 0"),
        (WHOLE, RESPONSE),
        (WHOLE, RESPONSE),
        **REPEATED,
    ),
    "401": ReplyFault(refuse(401, {"title": "Unauthenticated", "status": 401}), **REFUSAL),
    "402": ReplyFault(refuse(402, {"title": "Insufficient credit", "status": 402}), **REFUSAL),
    "403": ReplyFault(refuse(403, {"detail": "Forbidden", "status": 403}), **REFUSAL),
    "404": ReplyFault(refuse(404, {"detail": "Not found."}), (WHOLE, WHOLE), (NOT_FOUND,) * 2),
    "422": ReplyFault(refuse(422, {"detail": "- no\n", "status": 422}), (INPUT,) * 2, (INPUT,) * 2),
    "429": ReplyFault(refuse(429, THROTTLED), **LIMITED),
    **{
        f"429, Retry-After: {value[:12]}": ReplyFault(
            refuse(429, THROTTLED, f"Retry-After: {value}"), **LIMITED
        )
        for value in ("0", "0.1", "-5", "soon", "nan", "9" * 400)
    },
    # The last of these waits ends before the deadline or after it.
    "429, a date": ReplyFault(
        lambda _: limit_until(0.9), **{**LIMITED, "create": (WHOLE, f"{TIMEOUT} or {RATE}")}
    ),
    "429, a date in the past": ReplyFault(lambda _: limit_until(-3600), **LIMITED),
    "429, retry_after": ReplyFault(refuse(429, {**THROTTLED, "retry_after": 0}), **LIMITED),
    "429, resets in ~0s": ReplyFault(
        refuse(429, {"detail": "Request was throttled. Your rate limit resets in ~0s."}), **LIMITED
    ),
    "429, available in 0.1 seconds": ReplyFault(
        refuse(429, {"detail": "Request was throttled. Expected available in 0.1 second."}),
        **LIMITED,
    ),
    # Longer than `timeout`, and than the deadline of a creation: the caller does not wait for it.
    "429, Retry-After: 3600": ReplyFault(
        refuse(429, THROTTLED, "Retry-After: 3600"), (RATE, RATE), (RATE, RATE)
    ),
}


def build_reply_cells(name: str, fault: ReplyFault) -> Iterator[Cell]:
    """Build the cells of a reply's fault in all stages in which a reply can have it."""
    is_same_each_time = fault.edit is None or fault.look_up == fault.create == (WHOLE, WHOLE)
    for index in (1,) if is_same_each_time else (0, 1):
        yield build_look_up_cell(name, fault, index)
        yield build_creation_cell(name, fault, index)
        yield build_cell(name, FINAL_GET, fault, index, WHOLE)
        yield build_cancel_cell(name, fault, index)
    for sequel, outcome in zip((ENDED, RESUMED, RUNS_ON), fault.connect, strict=False):
        if outcome is not None:
            script = Script(STREAM, fault.edit, is_refused=fault.edit is None)
            is_silent = name.startswith("stall")
            yield build_stream_cell(name, CONNECTING, sequel, script, outcome, is_silent=is_silent)


def build_cell(name: str, stage: str, fault: ReplyFault, index: int, outcome: str) -> Cell:
    """Build a cell of a prediction that is created once and read to its end."""
    script = Script(
        STAGES[stage],
        fault.edit,
        times=None if index else 1,
        is_refused=fault.edit is None,
        acts_first=fault.acts_first,
    )
    sequel = ALWAYS if index else ONCE
    return Cell(name, stage, sequel, script, outcome, is_silent=name.startswith("stall"))


def build_look_up_cell(name: str, fault: ReplyFault, index: int) -> Cell:
    """Build the cell of a look-up, without which nothing is created."""
    outcome = fault.look_up[index]
    cell = build_cell(name, LOOKING_UP, fault, index, outcome)
    return replace(cell, creates=int(outcome == WHOLE))


def build_creation_cell(name: str, fault: ReplyFault, index: int) -> Cell:
    """Build the cell of a creation. What was created is cancelled if it cannot be read."""
    cell = build_cell(name, CREATING, fault, index, fault.create[index])
    creates = 0 if fault.edit is None else fault.creates[index]
    cancels = int(fault.shows_cancel_url)
    return replace(
        cell,
        creates=creates,
        cancels=cancels,
        cancel_requests=cancels,
        has_deadline=name.startswith("429"),
    )


def build_cancel_cell(name: str, fault: ReplyFault, index: int) -> Cell:
    """Build the cell of a consumer that leaves a prediction which runs on."""
    cell = build_cell(name, CANCELLING, fault, index, FIRST)
    retries = (1, MIN_RETRIES)[index] if fault.is_repeated else 0
    requests = 0 if fault.edit is None else 1 + retries
    is_right_at_last = fault.is_repeated and index == 0
    script = replace(
        cell.script,
        edit_events=lambda before, after: [*before, Action.STALL],
        place=1,
        running_gets=None,
    )
    cancels = int(fault.acts_first or is_right_at_last)
    return replace(cell, script=script, cancels=cancels, cancel_requests=requests)

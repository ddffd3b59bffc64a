"""The endpoints that create predictions and files (docs/replicate-api.md 1 and 2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream.testing import Emulator, RateLimit, Reply

Fixture = Callable[..., Any]

VERSION = "5c7d5dc6" * 8
INVALID_VERSION = "Invalid version or not permitted"
INVALID = "Input validation failed"
NOT_FOUND = "The requested resource could not be found."
OFFICIAL = "/models/meta/meta-llama-3-70b-instruct/predictions"
PROMPT = {"input": {"prompt": "Hi"}}


@pytest.mark.parametrize(
    ("path", "body", "model", "version"),
    [
        (OFFICIAL, PROMPT, "meta/meta-llama-3-70b-instruct", "hidden"),
        ("/predictions", {**PROMPT, "version": VERSION}, "me/community", VERSION),
        ("/predictions", {**PROMPT, "version": f"me/community:{VERSION}"}, "me/community", VERSION),
        (
            "/predictions",
            {**PROMPT, "version": "meta/meta-llama-3-70b-instruct"},
            "meta/meta-llama-3-70b-instruct",
            "hidden",
        ),
        ("/deployments/me/deployed/predictions", PROMPT, "me/community", VERSION),
        (OFFICIAL, {**PROMPT, "stream": True}, "meta/meta-llama-3-70b-instruct", "hidden"),
    ],
)
def test_a_prediction_is_created_by(
    path: str, body: object, model: str, version: str, send: Fixture, emulator_with_models: Emulator
) -> None:
    reply = send("POST", path, body)
    assert reply.status == 201, reply.body
    assert (reply.json["model"], reply.json["version"]) == (model, version)
    assert (reply.json["status"], reply.json["logs"]) == ("starting", "")
    assert "output" not in reply.json
    assert "metrics" not in reply.json
    assert reply.headers["ratelimit-remaining"] == "599"


@pytest.mark.parametrize(
    ("path", "body", "status", "title", "detail"),
    [
        (OFFICIAL, {}, 422, INVALID, "- input is required\n"),
        (OFFICIAL, b"{not json", 422, INVALID, "- Invalid type. Expected: object, given: null\n"),
        (OFFICIAL, {**PROMPT, "signal": 1}, 422, INVALID, "Additional property signal is not"),
        (OFFICIAL, {**PROMPT, "version": VERSION}, 422, INVALID, "property version is not allowed"),
        ("/predictions", PROMPT, 422, INVALID, "- version is required\n"),
        (
            "/predictions",
            {**PROMPT, "version": VERSION, "model": "a/b"},
            422,
            INVALID,
            "model is not",
        ),
        ("/predictions", {**PROMPT, "version": "f" * 64}, 422, INVALID_VERSION, "does not exist"),
        ("/predictions", {**PROMPT, "version": "me/community"}, 422, INVALID_VERSION, "does not"),
        (
            "/predictions",
            {**PROMPT, "version": f"me/gone:{VERSION}"},
            422,
            INVALID_VERSION,
            "does not",
        ),
        ("/models/me/community/predictions", PROMPT, 404, None, NOT_FOUND),
        ("/models/me/unknown/predictions", PROMPT, 404, None, NOT_FOUND),
        ("/deployments/me/unknown/predictions", PROMPT, 404, None, NOT_FOUND),
        (
            "/models/me/picture/predictions",
            {**PROMPT, "stream": True},
            422,
            None,
            "Streaming not supported for the output type of the requested version.",
        ),
    ],
)
def test_a_creation_is_refused(
    path: str,
    body: object,
    status: int,
    title: str | None,
    detail: str,
    send: Fixture,
    emulator_with_models: Emulator,
) -> None:
    reply = send("POST", path, body)
    assert reply.status == reply.json["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json.get("title") == title
    assert detail in reply.json["detail"]
    assert not emulator_with_models.predictions


@pytest.mark.parametrize("preference", ["wait", "wait=10"])
def test_prefer_wait_holds_the_reply_until_the_output_is_complete(
    preference: str, send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["all", " of it"]
    reply = send("POST", OFFICIAL, PROMPT, headers={"Prefer": preference})
    assert (reply.status, reply.headers["preference-applied"]) == (201, preference)
    # The output is complete, the record is not (docs/replicate-api.md 2.3).
    assert (reply.json["status"], reply.json["output"]) == ("processing", ["all", " of it"])
    assert "metrics" not in reply.json


def test_prefer_wait_holds_the_reply_no_longer_than_requested(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    reply = send("POST", OFFICIAL, PROMPT, headers={"Prefer": "wait=1"})
    assert (reply.status, reply.json["status"]) == (201, "starting")
    assert "output" not in reply.json


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Prefer", "respond-async"),
        ("Prefer", "wait=0"),
        ("Prefer", "wait=100"),
        ("Cancel-After", "soon"),
        ("Cancel-After", ""),
        ("Cancel-After", "4s"),
        ("Cancel-After", "1.5m"),
        ("Cancel-After", "5s1m"),
    ],
)
def test_a_malformed_header_is_refused(
    header: str, value: str, send: Fixture, replicate_emulator: Emulator
) -> None:
    reply = send("POST", OFFICIAL, PROMPT, headers={header: value})
    assert reply.status == 422
    assert header in reply.json["detail"]
    assert not replicate_emulator.predictions


@pytest.mark.parametrize("value", ["5", "30s", "5m", "1h", "2h30m", "1h30m45s"])
def test_a_deadline_has_the_documented_forms(value: str, send: Fixture) -> None:
    prediction = send("POST", OFFICIAL, PROMPT, headers={"Cancel-After": value}).json
    assert prediction["deadline"] > prediction["created_at"][:19]


def test_a_deadline_aborts_before_the_start_and_cancels_after_it(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    headers = {"Cancel-After": "5s"}
    replicate_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    started = send("POST", OFFICIAL, PROMPT, headers=headers).json
    replicate_emulator.wait_for(lambda e: e.predictions[started["id"]].tokens)
    replicate_emulator.behaviour.boot_time = 60.0
    booting = send("POST", OFFICIAL, PROMPT, headers=headers).json
    replicate_emulator.wait_for(
        lambda e: all(p.is_terminal for p in e.predictions.values()), timeout=10.0
    )
    assert send("GET", started["urls"]["get"]).json["status"] == "canceled"
    assert send("GET", booting["urls"]["get"]).json["status"] == "aborted"
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize(
    ("limit", "has_header", "has_field"),
    [
        ((2, 30), False, True),
        (RateLimit(2, 30, retry_after=True), True, True),
        (RateLimit(2, 30, wording="documented"), False, False),
    ],
)
def test_creations_above_the_rate_limit_are_refused(
    limit: RateLimit | tuple[int, float], has_header: bool, has_field: bool, send: Fixture
) -> None:
    with Emulator(rate_limit=limit) as emulator:
        url = emulator.base_url + OFFICIAL
        left = [send("POST", url, PROMPT).headers["ratelimit-remaining"] for _ in range(2)]
        refusal = send("POST", url, PROMPT)
        assert left == ["1", "0"]
        assert len(emulator.predictions) == 2
    seconds = re.search(r"throttled\..*resets in ~(\d+)s\.$", refusal.json["detail"])
    assert refusal.status == 429
    assert seconds is not None
    assert 25 <= int(seconds[1]) <= 30
    assert refusal.headers.get("retry-after") == (seconds[1] if has_header else None)
    assert refusal.json.get("retry_after") == (int(seconds[1]) if has_field else None)


def test_a_tuple_is_a_rate_limit_also_while_the_emulator_runs(send: Fixture) -> None:
    with Emulator() as emulator:
        emulator.behaviour.rate_limit = (1, 30)  # type: ignore[assignment]  # the point
        url = emulator.base_url + OFFICIAL
        assert [send("POST", url, PROMPT).status for _ in range(2)] == [201, 429]


def test_the_rate_limit_counts_all_three_endpoints(send: Fixture) -> None:
    with Emulator(rate_limit=(1, 30)) as emulator:
        paths = [OFFICIAL, "/predictions", "/deployments/a/b/predictions"]
        assert send("POST", emulator.base_url + OFFICIAL, PROMPT).status == 201
        assert [send("POST", emulator.base_url + p, PROMPT).status for p in paths] == [429] * 3


def test_the_rate_limit_resets(send: Fixture) -> None:
    with Emulator(rate_limit=(1, 0.5)) as emulator:
        url = emulator.base_url + OFFICIAL
        statuses = [send("POST", url, PROMPT).status]
        while statuses[-1] != 201 or len(statuses) < 3:
            statuses.append(send("POST", url, PROMPT).status)
            assert len(statuses) < 10_000
    assert set(statuses) == {201, 429}


def test_a_burst_is_followed_by_one_creation_at_a_time(send: Fixture) -> None:
    with Emulator(rate_limit=RateLimit(3, 90, burst=2)) as emulator:
        url = emulator.base_url + OFFICIAL
        assert [send("POST", url, PROMPT).status for _ in range(3)] == [201, 201, 429]
        assert 28 <= send("POST", url, PROMPT).json["retry_after"] <= 30
        assert "a burst of 2 requests" in send("POST", url, PROMPT).json["detail"]


def test_a_wait_that_is_rounded_down_can_be_zero(send: Fixture) -> None:
    with Emulator(rate_limit=RateLimit(1, 0.9, retry_after=True, rounds_down=True)) as emulator:
        url = emulator.base_url + OFFICIAL
        replies = [send("POST", url, PROMPT) for _ in range(2)]
    assert replies[1].status == 429
    assert replies[1].headers["retry-after"] == "0"
    assert replies[1].json["detail"].endswith("resets in ~0s.")


def test_each_token_has_a_rate_limit_of_its_own(send: Fixture) -> None:
    with Emulator(token="", rate_limit=(1, 30)) as emulator:
        url = emulator.base_url + OFFICIAL
        statuses = [
            send("POST", url, PROMPT, token=name).status for name in ("FAKE_A", "FAKE_A", "FAKE_B")
        ]
    assert statuses == [201, 429, 201]


def test_an_uploaded_file_has_a_record(send: Fixture) -> None:
    boundary = "e5d1"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="a.txt"\r\n'
        f"Content-Type: text/plain\r\n\r\nline\nline\r\n--{boundary}\r\n"
        'Content-Disposition: form-data; name="metadata"\r\n\r\n{"a": 1}'
        f"\r\n--{boundary}--\r\n"
    ).encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    reply = send("POST", "/files", body, headers=headers)
    assert reply.status == 201
    record = reply.json
    assert (record["name"], record["content_type"], record["size"]) == ("a.txt", "text/plain", 9)
    assert record["metadata"] == {"a": 1}
    # printf 'line\nline' | sha256sum
    assert record["checksums"]["sha256"].startswith("d39a27a2975956fc")
    assert send("GET", record["urls"]["get"]).json == record


def test_a_file_is_stored_byte_for_byte(send: Fixture) -> None:
    data = bytes(range(256)) + b"\r\n\r\n--\r\x85\n"
    head = b'--b\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    record = send("POST", "/files", head + data + b"\r\n--b--\r\n", headers=headers).json
    assert record["size"] == len(data)
    assert record["checksums"]["md5"] == hashlib.md5(data).hexdigest()


@pytest.mark.parametrize(
    "part",
    [
        'name="other"\r\n\r\nx',
        (
            'name="content"\r\n\r\nx\r\n--b\r\n'
            'Content-Disposition: form-data; name="metadata"\r\n\r\n{'
        ),
    ],
    ids=["another name", "metadata that is not JSON"],
)
def test_an_upload_without_its_parts_is_refused(part: str, send: Fixture) -> None:
    body = f"--b\r\nContent-Disposition: form-data; {part}\r\n--b--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert send("POST", "/files", body, headers=headers).status == 422


def test_a_file_above_100_mb_is_refused(send: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicate_stream.testing.server.creation.LARGEST_FILE", 4)
    body = b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n12345\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = send("POST", "/files", body, headers=headers)
    assert (reply.status, reply.json["detail"]) == (413, "Files must be less than 100MB in size")

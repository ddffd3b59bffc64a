"""What the emulator's API half accepts, answers and refuses (replicate-api.md 1, 2, 4 and 5)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from replicate_stream.testing import Emulator, RateLimit, Reply

Ask = Callable[..., Any]

HEX = "5c7d5dc6" * 8
NOT_PERMITTED = "Invalid version or not permitted"
INVALID = "Input validation failed"
NOT_FOUND = "The requested resource could not be found."
OFFICIAL = "/models/meta/meta-llama-3-70b-instruct/predictions"
PROMPT = {"input": {"prompt": "Hi"}}


@pytest.fixture
def emulator(replicate_emulator: Emulator) -> Emulator:
    """One with a community model in two versions, an image model, and a deployment."""
    replicate_emulator.add_model("me/community", version="0" * 64)
    replicate_emulator.add_model("me/community", version=HEX)
    replicate_emulator.add_model(
        "me/picture",
        official=True,
        output_schema={"type": "string", "format": "uri", "title": "Output"},
    )
    replicate_emulator.add_deployment("me/deployed", "me/community")
    return replicate_emulator


def ended(ask: Ask, emulator: Emulator, made: Any) -> Any:
    emulator.wait_for(lambda e: e.predictions[made["id"]].is_terminal)
    return ask("GET", made["urls"]["get"]).json


@pytest.mark.parametrize(
    ("path", "body", "model", "version"),
    [
        (OFFICIAL, PROMPT, "meta/meta-llama-3-70b-instruct", "hidden"),
        ("/predictions", {**PROMPT, "version": HEX}, "me/community", HEX),
        ("/predictions", {**PROMPT, "version": f"me/community:{HEX}"}, "me/community", HEX),
        (
            "/predictions",
            {**PROMPT, "version": "meta/meta-llama-3-70b-instruct"},
            "meta/meta-llama-3-70b-instruct",
            "hidden",
        ),
        ("/deployments/me/deployed/predictions", PROMPT, "me/community", HEX),
        (OFFICIAL, {**PROMPT, "stream": True}, "meta/meta-llama-3-70b-instruct", "hidden"),
    ],
)
def test_a_prediction_can_be_created_by(
    path: str, body: object, model: str, version: str, ask: Ask, emulator: Emulator
) -> None:
    reply = ask("POST", path, body)
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
        (OFFICIAL, {**PROMPT, "version": HEX}, 422, INVALID, "property version is not allowed"),
        ("/predictions", PROMPT, 422, INVALID, "- version is required\n"),
        ("/predictions", {**PROMPT, "version": HEX, "model": "a/b"}, 422, INVALID, "model is not"),
        ("/predictions", {**PROMPT, "version": "f" * 64}, 422, NOT_PERMITTED, "does not exist"),
        ("/predictions", {**PROMPT, "version": "me/community"}, 422, NOT_PERMITTED, "does not"),
        ("/predictions", {**PROMPT, "version": f"me/gone:{HEX}"}, 422, NOT_PERMITTED, "does not"),
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
    ask: Ask,
    emulator: Emulator,
) -> None:
    reply = ask("POST", path, body)
    assert reply.status == reply.json["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json.get("title") == title
    assert detail in reply.json["detail"]
    assert not emulator.predictions


SCHEMA = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string"},
        "count": {"type": "integer", "minimum": 1, "maximum": 4},
        "share": {"type": "number", "nullable": True},
        "format": {"allOf": [{"$ref": "#/components/schemas/format"}], "default": "png"},
        "image": {"type": "string", "format": "uri"},
    },
}


@pytest.mark.parametrize(
    ("input_", "kind", "field", "description"),
    [
        ({}, "required", "input", "prompt is required"),
        ({"prompt": 5}, "invalid_type", "input.prompt", "Expected: string, given: integer"),
        ({"count": "5"}, "invalid_type", "input.count", "Expected: integer, given: string"),
        ({"count": None}, "invalid_type", "input.count", "Expected: integer, given: null"),
        ({"count": 5}, "number_lte", "input.count", "Must be less than or equal to 4"),
        ({"count": 0}, "number_gte", "input.count", "Must be greater than or equal to 1"),
        (
            {"format": "gif"},
            "enum",
            "input.format",
            'format must be one of the following: "jpg", "png"',
        ),
        ({"image": "cat.png"}, "format", "input.image", "Does not match format 'uri'"),
    ],
)
def test_an_input_is_held_against_its_schema(
    input_: dict[str, Any],
    kind: str,
    field: str,
    description: str,
    ask: Ask,
    replicate_emulator: Emulator,
) -> None:
    enum = {"enum": ["jpg", "png"], "type": "string"}
    replicate_emulator.add_model("a/b", SCHEMA, official=True, components={"format": enum})
    sent = input_ if kind == "required" else {"prompt": "Hi", **input_}
    reply = ask("POST", "/models/a/b/predictions", {"input": sent})
    assert (reply.status, reply.json["title"]) == (422, INVALID)
    [finding] = reply.json["invalid_fields"]
    assert (finding["type"], finding["field"]) == (kind, field)
    assert description in finding["description"]
    assert description in reply.json["detail"]


@pytest.mark.parametrize(
    "input_",
    [
        {"no_such_field": 1},
        {"count": 4, "share": None, "format": "jpg"},
        {"image": "https://example.com/cat.png"},
        {"image": "data:image/png;base64,AAAA"},
    ],
)
def test_a_right_input_is_accepted_and_unknown_fields_are_passed_over(
    input_: dict[str, Any], ask: Ask, replicate_emulator: Emulator
) -> None:
    enum = {"enum": ["jpg", "png"], "type": "string"}
    replicate_emulator.add_model("a/b", SCHEMA, official=True, components={"format": enum})
    sent = {"prompt": "Hi", **input_}
    reply = ask("POST", "/models/a/b/predictions", {"input": sent})
    assert reply.status == 201, reply.body
    assert reply.json["input"] == sent


def test_all_findings_are_told_at_once(ask: Ask, replicate_emulator: Emulator) -> None:
    reply = ask("POST", OFFICIAL, {"input": {"top_p": 7, "top_k": "x"}})
    fields = {finding["field"] for finding in reply.json["invalid_fields"]}
    assert fields == {"input", "input.top_p", "input.top_k"}
    assert reply.json["detail"].count("\n") == 3


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        (None, "You did not pass an authentication token"),
        ("Bearer ", "You did not pass an authentication token"),
        ("Bearer r8_ANOTHER_FAKE", "You did not pass a valid authentication token"),
        ("Basic r8_FAKE_TOKEN_FOR_TESTS", "You did not pass a valid authentication token"),
    ],
)
def test_without_its_token_nothing_is_done(
    authorization: str | None, detail: str, ask: Ask, replicate_emulator: Emulator
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    reply = ask("POST", OFFICIAL, PROMPT, headers=headers, token="")
    assert reply.status == 401
    assert reply.json == {"title": "Unauthenticated", "detail": detail, "status": 401}
    assert "ratelimit-remaining" not in reply.headers
    assert not replicate_emulator.predictions


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer"])
def test_both_schemes_of_authorization_are_accepted(
    scheme: str, ask: Ask, replicate_emulator: Emulator
) -> None:
    headers = {"Authorization": f"{scheme} {replicate_emulator.token}"}
    assert ask("POST", OFFICIAL, PROMPT, headers=headers, token="").status == 201


def test_the_token_can_be_another_one_or_none(ask: Ask) -> None:
    with Emulator(token="r8_FAKE_OF_MY_OWN") as own, Emulator(token="") as free:
        assert own.token == "r8_FAKE_OF_MY_OWN"
        assert ask("POST", own.base_url + OFFICIAL, PROMPT, token=own.token).status == 201
        assert ask("POST", own.base_url + OFFICIAL, PROMPT).status == 401
        assert ask("POST", free.base_url + OFFICIAL, PROMPT, token="").status == 201
        assert ask("POST", free.base_url + OFFICIAL, PROMPT, token=free.token).status == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models/no/body"),
        ("GET", "/models/no/body/versions"),
        ("GET", f"/models/me/community/versions/{'f' * 64}"),
        ("GET", "/deployments/no/body"),
        ("GET", "/predictions/unknown"),
        ("POST", "/predictions/unknown/cancel"),
        ("GET", "/files/unknown"),
        ("DELETE", "/models/me/community"),
        ("GET", "/nowhere"),
    ],
)
def test_what_is_not_there_is_not_found(
    method: str, path: str, ask: Ask, emulator: Emulator
) -> None:
    reply = ask(method, path)
    assert (reply.status, reply.json) == (404, {"detail": NOT_FOUND, "status": 404})


def test_a_model_tells_its_latest_version_and_schema(ask: Ask, emulator: Emulator) -> None:
    model = ask("GET", "/models/me/community").json
    assert (model["owner"], model["name"], model["is_official"]) == ("me", "community", False)
    assert model["latest_version"]["id"] == HEX
    assert model["latest_version"] == ask("GET", f"/models/me/community/versions/{HEX}").json
    listed = ask("GET", "/models/me/community/versions").json["results"]
    assert [version["id"] for version in listed] == [HEX, "0" * 64]


def test_an_official_model_lists_no_versions(ask: Ask, emulator: Emulator) -> None:
    reply = ask("GET", f"/models/{emulator.model}/versions")
    assert reply.status == 404
    assert reply.json == {
        "title": "Not found",
        "detail": "This model is an official model and does not expose a list of versions.",
        "status": 404,
    }
    assert ask("GET", f"/models/{emulator.model}").json["latest_version"]["openapi_schema"]


def test_a_model_may_have_no_latest_version_and_an_example(ask: Ask, emulator: Emulator) -> None:
    example = {"input": {"prompt": "Hi"}, "output": ["Hello"]}
    emulator.add_model("me/early", latest=False, default_example=example)
    model = ask("GET", "/models/me/early").json
    assert model["latest_version"] is None
    assert model["default_example"] == example


def test_whether_a_model_is_official_can_be_left_out(ask: Ask) -> None:
    with Emulator(shows_is_official=False) as emulator:
        assert "is_official" not in ask("GET", f"{emulator.base_url}/models/{emulator.model}").json


def test_a_deployment_tells_what_it_runs(ask: Ask, emulator: Emulator) -> None:
    release = ask("GET", "/deployments/me/deployed").json["current_release"]
    assert (release["model"], release["version"]) == ("me/community", HEX)
    made = ask("POST", "/deployments/me/deployed/predictions", PROMPT).json
    assert made["deployment"] == "me/deployed"


def test_a_deployment_needs_a_model_that_is_there() -> None:
    with pytest.raises(ValueError, match="no/body"):
        Emulator().add_deployment("me/deployed", "no/body")


def test_a_record_grows_from_starting_to_its_end(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.boot_time = 0.2

    def reply(_: dict[str, Any]) -> Iterator[str]:
        yield "half"
        replicate_emulator.wait_for(lambda e: [r.kind for r in e.requests].count("get") >= 2)
        yield "half"

    replicate_emulator.reply = reply
    made = ask("POST", OFFICIAL, PROMPT).json
    booting = ask("GET", made["urls"]["get"]).json
    assert booting["status"] == "starting"
    assert {"output", "metrics", "started_at", "completed_at"}.isdisjoint(booting)
    replicate_emulator.wait_for(lambda e: e.predictions[made["id"]].tokens)
    working = ask("GET", made["urls"]["get"]).json
    assert (working["status"], working["output"]) == ("processing", ["half"])
    assert "metrics" not in working
    over = ended(ask, replicate_emulator, made)
    assert (over["status"], over["output"]) == ("succeeded", ["half", "half"])
    assert over["created_at"] <= over["started_at"] <= over["completed_at"]
    assert over["metrics"]["total_time"] >= over["metrics"]["predict_time"] > 0
    assert over["error"] is None


def test_a_record_may_lag_behind_its_end(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.finish_lag = 2
    replicate_emulator.reply = ["all", " of it"]
    made = ask("POST", OFFICIAL, PROMPT).json
    seen = [ended(ask, replicate_emulator, made) for _ in range(3)]
    assert [record["status"] for record in seen] == ["processing", "processing", "succeeded"]
    assert [record["output"] for record in seen] == [["all", " of it"]] * 3
    assert ["metrics" in record for record in seen] == [False, False, True]
    assert ["completed_at" in record for record in seen] == [False, False, True]


def test_timestamps_have_two_to_nine_digits(ask: Ask, replicate_emulator: Emulator) -> None:
    stamps = [ask("POST", OFFICIAL, PROMPT).json["created_at"] for _ in range(9)]
    form = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)Z")
    digits = [len(match[1]) for stamp in stamps if (match := form.fullmatch(stamp))]
    assert digits == [2, 3, 4, 5, 6, 7, 8, 9, 2]


@pytest.mark.parametrize(
    ("spelling", "names"),
    [
        ("input_token_count", {"input_token_count": 2, "output_token_count": 3}),
        ("token_input_count", {"token_input_count": 2, "token_output_count": 3}),
        (None, {}),
    ],
)
def test_token_counts_have_either_spelling_or_none(
    spelling: Any, names: dict[str, int], ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["", "a", "b", "c"], token_counts=spelling)
    made = ask("POST", OFFICIAL, {"input": {"prompt": "two words"}}).json
    metrics = ended(ask, replicate_emulator, made)["metrics"]
    assert {k: v for k, v in metrics.items() if "count" in k} == names


def test_a_reply_sets_what_the_record_says(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = Reply(
        ["x"],
        logs="Input token count: 5\n",
        metrics={"predict_time": 7.5, "own": 1},
        output={"any": ["json"]},
        model="replicate/lifeboat-70b",
        version="dp-1",
    )
    made = ask("POST", OFFICIAL, PROMPT).json
    assert (made["model"], made["version"]) == ("replicate/lifeboat-70b", "dp-1")
    record = ended(ask, replicate_emulator, made)
    assert record["output"] == {"any": ["json"]}
    assert record["logs"] == "Input token count: 5\n"
    assert (record["metrics"]["predict_time"], record["metrics"]["own"]) == (7.5, 1)


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted"])
def test_a_prediction_can_end_badly(status: Any, ask: Ask, replicate_emulator: Emulator) -> None:
    error = "E1001" if status == "failed" else None
    replicate_emulator.reply = Reply([], status=status, error=error)
    record = ended(ask, replicate_emulator, ask("POST", OFFICIAL, PROMPT).json)
    assert (record["status"], record["error"], record["output"]) == (status, error, None)
    assert "input_token_count" not in record["metrics"]


def test_a_cancelled_record_is_as_recorded(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.boot_time = 60.0
    made = ask("POST", OFFICIAL, PROMPT).json
    record = ask("POST", made["urls"]["cancel"]).json
    assert (record["status"], record["output"], record["logs"]) == ("canceled", None, None)
    assert record["completed_at"]
    assert record["metrics"]["predict_time"] < record["metrics"]["total_time"]


def test_the_output_of_a_model_that_does_not_iterate_comes_at_the_end(
    ask: Ask, emulator: Emulator
) -> None:
    def reply(_: dict[str, Any]) -> Iterator[str]:
        yield "https://replicate.delivery/"
        emulator.wait_for(lambda e: any(r.kind == "get" for r in e.requests))
        yield "cat.png"

    emulator.reply = reply
    made = ask("POST", "/models/me/picture/predictions", PROMPT).json
    assert "stream" not in made["urls"]
    emulator.wait_for(lambda e: e.predictions[made["id"]].tokens)
    assert "output" not in ask("GET", made["urls"]["get"]).json
    assert ended(ask, emulator, made)["output"] == "https://replicate.delivery/cat.png"


def test_files_may_have_a_stream_that_is_no_text(ask: Ask, replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.05
    files = {"type": "array", "items": {"type": "string", "format": "uri"}}
    replicate_emulator.add_model("a/b", official=True, output_schema=files, file_stream=True)
    replicate_emulator.reply = ["https://replicate.delivery/1.png"]
    made = ask("POST", "/models/a/b/predictions", PROMPT).json
    assert made["urls"]["stream"].startswith(f"{replicate_emulator.stream_origin}/v1/files/")
    stream = ask("GET", made["urls"]["stream"], headers={"Accept": "text/event-stream"})
    assert b"data: https://replicate.delivery/1.png\n" in stream.body


@pytest.mark.parametrize("preference", ["wait", "wait=10"])
def test_a_creation_can_be_held_until_the_output_is_there(
    preference: str, ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["all", " of it"]
    reply = ask("POST", OFFICIAL, PROMPT, headers={"Prefer": preference})
    assert (reply.status, reply.headers["preference-applied"]) == (201, preference)
    # The output is complete, the record is not.
    assert (reply.json["status"], reply.json["output"]) == ("processing", ["all", " of it"])
    assert "metrics" not in reply.json


def test_a_creation_is_not_held_for_longer_than_asked(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    reply = ask("POST", OFFICIAL, PROMPT, headers={"Prefer": "wait=1"})
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
    header: str, value: str, ask: Ask, replicate_emulator: Emulator
) -> None:
    reply = ask("POST", OFFICIAL, PROMPT, headers={header: value})
    assert reply.status == 422
    assert header in reply.json["detail"]
    assert not replicate_emulator.predictions


@pytest.mark.parametrize("value", ["5", "30s", "5m", "1h", "2h30m", "1h30m45s"])
def test_a_deadline_has_the_documented_forms(
    value: str, ask: Ask, replicate_emulator: Emulator
) -> None:
    made = ask("POST", OFFICIAL, PROMPT, headers={"Cancel-After": value}).json
    assert made["deadline"] > made["created_at"][:19]


def test_a_deadline_aborts_what_has_not_started_and_cancels_what_has(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    headers = {"Cancel-After": "5s"}
    replicate_emulator.reply = Reply(["a", "b"], delays=[0.0, 60.0])
    started = ask("POST", OFFICIAL, PROMPT, headers=headers).json
    replicate_emulator.wait_for(lambda e: e.predictions[started["id"]].tokens)
    replicate_emulator.behaviour.boot_time = 60.0
    booting = ask("POST", OFFICIAL, PROMPT, headers=headers).json
    replicate_emulator.wait_for(
        lambda e: all(p.is_terminal for p in e.predictions.values()), timeout=10.0
    )
    assert ask("GET", started["urls"]["get"]).json["status"] == "canceled"
    assert ask("GET", booting["urls"]["get"]).json["status"] == "aborted"
    assert replicate_emulator.cancels == []


@pytest.mark.parametrize(
    ("limit", "has_header", "has_field"),
    [
        ((2, 30), False, True),
        (RateLimit(2, 30, retry_after=True), True, True),
        (RateLimit(2, 30, wording="documented"), False, False),
    ],
)
def test_creations_are_throttled(
    limit: RateLimit | tuple[int, float], has_header: bool, has_field: bool, ask: Ask
) -> None:
    with Emulator(rate_limit=limit) as emulator:
        url = emulator.base_url + OFFICIAL
        left = [ask("POST", url, PROMPT).headers["ratelimit-remaining"] for _ in range(2)]
        refused = ask("POST", url, PROMPT)
        assert left == ["1", "0"]
        assert len(emulator.predictions) == 2
    seconds = re.search(r"throttled\..*resets in ~(\d+)s\.$", refused.json["detail"])
    assert refused.status == 429
    assert seconds is not None
    assert 25 <= int(seconds[1]) <= 30
    assert refused.headers.get("retry-after") == (seconds[1] if has_header else None)
    assert refused.json.get("retry_after") == (int(seconds[1]) if has_field else None)


def test_every_way_to_create_counts(ask: Ask) -> None:
    with Emulator(rate_limit=(1, 30)) as emulator:
        refused = [OFFICIAL, "/predictions", "/deployments/a/b/predictions"]
        assert ask("POST", emulator.base_url + OFFICIAL, PROMPT).status == 201
        assert [ask("POST", emulator.base_url + p, PROMPT).status for p in refused] == [429] * 3


def test_throttling_passes(ask: Ask) -> None:
    with Emulator(rate_limit=(1, 0.5)) as emulator:
        url = emulator.base_url + OFFICIAL
        statuses = [ask("POST", url, PROMPT).status]
        while statuses[-1] != 201 or len(statuses) < 3:
            statuses.append(ask("POST", url, PROMPT).status)
            assert len(statuses) < 10_000
    assert set(statuses) == {201, 429}


def test_allowances_differ_by_endpoint(ask: Ask, replicate_emulator: Emulator) -> None:
    made = ask("POST", OFFICIAL, PROMPT)
    read = ask("GET", made.json["urls"]["get"])
    model = ask("GET", f"/models/{replicate_emulator.model}")
    left = [reply.headers["ratelimit-remaining"] for reply in (made, read, model)]
    assert left == ["599", "59999", "2999"]


def test_a_file_is_kept_for_a_day(ask: Ask, replicate_emulator: Emulator) -> None:
    boundary = "e5d1"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="a.txt"\r\n'
        f"Content-Type: text/plain\r\n\r\nline\nline\r\n--{boundary}\r\n"
        'Content-Disposition: form-data; name="metadata"\r\n\r\n{"a": 1}'
        f"\r\n--{boundary}--\r\n"
    ).encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    reply = ask("POST", "/files", body, headers=headers)
    assert reply.status == 201
    record = reply.json
    assert (record["name"], record["content_type"], record["size"]) == ("a.txt", "text/plain", 9)
    assert record["metadata"] == {"a": 1}
    # printf 'line\nline' | sha256sum
    assert record["checksums"]["sha256"].startswith(SHA256_OF_LINES)
    assert ask("GET", record["urls"]["get"]).json == record


SHA256_OF_LINES = "d39a27a2975956fc"


NAMELESS = 'name="other"\r\n\r\nx'
BAD_METADATA = (
    'name="content"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{'
)


@pytest.mark.parametrize("part", [NAMELESS, BAD_METADATA])
def test_a_file_without_its_parts_is_refused(
    part: str, ask: Ask, replicate_emulator: Emulator
) -> None:
    body = f"--b\r\nContent-Disposition: form-data; {part}\r\n--b--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert ask("POST", "/files", body, headers=headers).status == 422


def test_a_file_is_taken_byte_for_byte(ask: Ask, replicate_emulator: Emulator) -> None:
    data = bytes(range(256)) + b"\r\n\r\n--\r\x85\n"
    head = b'--b\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    record = ask("POST", "/files", head + data + b"\r\n--b--\r\n", headers=headers).json
    assert record["size"] == len(data)
    assert record["checksums"]["md5"] == hashlib.md5(data).hexdigest()


def test_a_file_may_be_too_large(
    ask: Ask, replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replicate_stream.testing.server.creation.LARGEST_FILE", 4)
    body = b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n12345\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = ask("POST", "/files", body, headers=headers)
    assert (reply.status, reply.json["detail"]) == (413, "Files must be less than 100MB in size")


def test_an_expired_prediction_keeps_its_record_without_its_data(
    ask: Ask, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.idle_timeout = 0.05
    made = ask("POST", OFFICIAL, PROMPT).json
    ended(ask, replicate_emulator, made)
    replicate_emulator.expire(made["id"])
    record = ask("GET", made["urls"]["get"]).json
    assert (record["data_removed"], record["output"], record["input"]) == (True, None, {})
    stream = ask("GET", made["urls"]["stream"], headers={"Accept": "text/event-stream"})
    assert stream.body == b": hi\n\n:408: 408 Request Timeout\n\n"

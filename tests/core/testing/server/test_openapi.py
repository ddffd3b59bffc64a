"""Replies and refusals compared with Replicate's OpenAPI document and with recorded traffic.

Where the two differ, the recording wins. These are all the differences:

- `output` is required by the document; it is absent while a prediction is starting (recorded).
- `logs` is a string in the document; it is null in a canceled record (recorded).
- `version` is `oneOf` "a string" and "hidden" in the document; `hidden` matches both, so never one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from replicate_stream.testing import Emulator, Reply

Fixture = Callable[..., Any]
Check = Callable[..., list[str]]

PATH = "/models/meta/meta-llama-3-70b-instruct/predictions"
BODY = {"input": {"prompt": "Hi"}}
ABSENT_WHILE_STARTING = "'output' is a required property"


def to_json_schema(value: Any) -> Any:
    """Convert an OpenAPI 3.0 schema: `nullable`, and the `oneOf` of `version` (see above)."""
    if isinstance(value, list):
        return [to_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    one_of = "anyOf" if "hidden" in str(value.get("oneOf")) else "oneOf"
    converted = {
        one_of if key == "oneOf" else key: to_json_schema(item)
        for key, item in value.items()
        if key != "nullable"
    }
    if value.get("nullable") is True:
        return {"anyOf": [{"type": "null"}, converted]}
    return converted


@pytest.fixture(scope="session")
def document(shared: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((shared / "replicate-openapi.json").read_text())
    return loaded


@pytest.fixture
def check(document: dict[str, Any]) -> Check:
    """Lists the violations of one of the document's schemas by a value."""
    components = to_json_schema(document["components"])

    def check(name: str, value: Any) -> list[str]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        return [error.message for error in validator.iter_errors(value)]

    return check


def test_a_prediction_matches_the_document_from_start_to_end(
    check: Check, send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.finish_lag = 1
    prediction = create(**{"Cancel-After": "30s"})
    replicate_emulator.wait_for(lambda e: e.predictions[prediction["id"]].is_terminal)
    lagging = send("GET", prediction["urls"]["get"]).json
    final = send("GET", prediction["urls"]["get"]).json
    assert [prediction["status"], lagging["status"], final["status"]] == [
        "starting",
        "processing",
        "succeeded",
    ]
    assert check("schemas_prediction_response", prediction) == [ABSENT_WHILE_STARTING]
    assert check("schemas_prediction_response", lagging) == []
    assert check("schemas_prediction_response", final) == []


def test_a_creation_with_prefer_wait_matches_the_document(check: Check, create: Fixture) -> None:
    assert check("schemas_prediction_response", create(Prefer="wait")) == []


@pytest.mark.parametrize(
    "reply", [Reply(["a"], error="E1001"), Reply(status="canceled"), Reply(status="aborted")]
)
def test_a_prediction_without_success_matches_the_document(
    reply: Reply, check: Check, send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = reply
    prediction = create()
    replicate_emulator.wait_for(lambda e: e.predictions[prediction["id"]].is_terminal)
    record = send("GET", prediction["urls"]["get"]).json
    null_logs = ["None is not of type 'string'"] if record["logs"] is None else []
    assert check("schemas_prediction_response", record) == null_logs
    assert bool(null_logs) is (reply.status in {"canceled", "aborted"})


def test_models_versions_and_deployments_match_the_document(
    check: Check, send: Fixture, replicate_emulator: Emulator
) -> None:
    version = replicate_emulator.add_model("me/community")
    replicate_emulator.add_deployment("me/deployed", "me/community")
    base = "/models/me/community"
    replies = {
        "schemas_model_response": send("GET", base).json,
        "schemas_version_response": send("GET", f"{base}/versions/{version}").json,
        "schemas_paginated_version_response": send("GET", f"{base}/versions").json,
        "schemas_deployment_response": send("GET", "/deployments/me/deployed").json,
    }
    assert [check(name, reply) for name, reply in replies.items()] == [[], [], [], []]


def test_a_file_matches_the_document(check: Check, send: Fixture) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\nx\r\n--b--'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert check("schemas_file_response", send("POST", "/files", body, headers=headers).json) == []


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        {},
        {"input": "text"},
        {**BODY, "stream": True},
        {**BODY, "stream": "yes"},
        {**BODY, "webhook": "https://example.com/hook"},
        {**BODY, "webhook": 5},
        {**BODY, "webhook_events_filter": ["start", "completed"]},
        {**BODY, "webhook_events_filter": ["end"]},
        {**BODY, "version": "0" * 64},
        {**BODY, "lifetime": "30s"},
        [],
    ],
    ids=lambda body: json.dumps(body),
)
def test_a_body_is_accepted_if_and_only_if_the_document_accepts_it(
    body: Any, check: Check, send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("me/community", version="0" * 64)
    by_name = check("schemas_prediction_request", body) == []
    by_version = check("schemas_version_prediction_request", body) == []
    assert (send("POST", PATH, body).status == 201) is by_name
    assert (send("POST", "/predictions", body).status == 201) is by_version


def test_a_list_of_predictions_matches_the_document(
    check: Check, send: Fixture, run_prediction: Fixture
) -> None:
    run_prediction()
    page = send("GET", "/predictions").json
    assert len(page["results"]) == 1
    assert check("schemas_paginated_prediction_response", page) == []


def find_response_schema(document: dict[str, Any], method: str, path: str) -> Any:
    reply = document["paths"][path][method.lower()]["responses"]["200"]
    return reply["content"]["application/json"]["schema"]


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/models", "/models"),
        ("QUERY", "/models", "/models"),
        ("GET", "/collections", "/collections"),
        ("GET", "/collections/{collection_slug}", "/collections/language-models"),
        ("GET", "/search", "/search?query=llama"),
        ("GET", "/account", "/account"),
        ("GET", "/hardware", "/hardware"),
    ],
)
def test_lists_account_and_hardware_match_the_document(
    method: str, path: str, target: str, document: dict[str, Any], send: Fixture
) -> None:
    reply = send(method, target, b"llama" if method == "QUERY" else None)
    schema = {
        **to_json_schema(find_response_schema(document, method, path)),
        "components": to_json_schema(document["components"]),
    }
    assert reply.status == 200
    assert "meta-llama-3-70b-instruct" in str(reply.json) or path in {
        "/collections",
        "/account",
        "/hardware",
    }
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    assert [error.message for error in validator.iter_errors(reply.json)] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_all_answered_paths_are_documented(
    method: str,
    document: dict[str, Any],
    send: Fixture,
    create: Fixture,
    replicate_emulator: Emulator,
) -> None:
    version = replicate_emulator.add_model("me/community")
    replicate_emulator.add_deployment("me/deployed", "me/community")
    names = {"model_owner": "me", "model_name": "community", "version_id": version}
    names |= {"deployment_owner": "me", "deployment_name": "deployed"}
    names |= {"prediction_id": create()["id"], "file_id": "none"}
    answered_paths = set()
    for path, operations in document["paths"].items():
        if method.lower() in operations:
            filled = path
            for name, value in names.items():
                filled = filled.replace(f"{{{name}}}", value)
            send(method, filled, {} if method == "POST" else None)
            reply_kind = replicate_emulator.requests[-1].kind
            if reply_kind != "other" or path in {"/account", "/hardware"}:
                answered_paths.add(path)
    expected = {
        "GET": {
            "/predictions",
            "/predictions/{prediction_id}",
            "/models/{model_owner}/{model_name}",
            "/models/{model_owner}/{model_name}/versions",
            "/models/{model_owner}/{model_name}/versions/{version_id}",
            "/deployments/{deployment_owner}/{deployment_name}",
            "/files/{file_id}",
            "/models",
            "/collections",
            "/collections/{collection_slug}",
            "/search",
            "/account",
            "/hardware",
        },
        "POST": {
            "/predictions",
            "/predictions/{prediction_id}/cancel",
            "/models/{model_owner}/{model_name}/predictions",
            "/deployments/{deployment_owner}/{deployment_name}/predictions",
            "/files",
        },
    }
    assert answered_paths == expected[method]


RECORDINGS = [
    ("llm_stream_1_create_201", {"stream"}),
    ("llm_prefer_wait_a_201", set()),
    ("cancel_running_200", {"webhook_completed"}),
    ("model_create_prediction_llama3_201", set()),
]


@pytest.mark.parametrize(("name", "missing"), RECORDINGS)
def test_records_have_the_recorded_fields(
    name: str,
    missing: set[str],
    shared: Path,
    send: Fixture,
    create: Fixture,
    replicate_emulator: Emulator,
) -> None:
    """Old recordings lack some fields of today; the emulator has all fields of theirs."""
    recorded = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]
    replicate_emulator.behaviour.boot_time = 60.0 if name.startswith("cancel") else 0.0
    prediction = create(**({"Prefer": "wait"} if "prefer" in name else {}))
    ours = (
        send("POST", prediction["urls"]["cancel"]).json if name.startswith("cancel") else prediction
    )
    theirs = json.loads(recorded["body"])
    assert set(theirs) - set(ours) == missing
    assert set(ours) - set(theirs) <= {"data_removed"}
    assert (ours["status"], ours["logs"]) == (theirs["status"], theirs["logs"])
    assert set(theirs["urls"]) <= set(ours["urls"])


@pytest.mark.parametrize(
    ("name", "fields"),
    [("invalid_token_401", {"title", "detail", "status"}), ("not_found_404", {"detail", "status"})],
)
def test_error_replies_have_the_recorded_shape(
    name: str, fields: set[str], shared: Path, send: Fixture
) -> None:
    recorded = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]
    wrong = "r8_FAKE_WRONG" if recorded["status"] == 401 else None
    ours = send("POST", "/models/no/body/predictions", BODY, token=wrong)
    assert ours.status == recorded["status"]
    assert ours.headers["content-type"] == recorded["headers"]["Content-Type"]
    assert set(ours.json) == set(json.loads(recorded["body"])) == fields
    left = "ratelimit-remaining"
    assert (left in ours.headers) is (left in recorded["headers"])


def test_an_uploaded_file_has_the_recorded_fields(shared: Path, send: Fixture) -> None:
    recorded = json.loads((shared / "recorded" / "files_create_201.json").read_text())
    request, response = recorded["request"], recorded["response"]
    headers = {"Content-Type": request["headers"]["content-type"]}
    ours = send("POST", "/files", request["body"].encode(), headers=headers)
    theirs = json.loads(response["body"])
    assert ours.status == response["status"]
    assert list(ours.json) == list(theirs)
    same = ("name", "content_type", "size", "etag", "checksums", "metadata")
    assert {field: ours.json[field] for field in same} == {field: theirs[field] for field in same}

"""The API's routes: tokens, models, versions, deployments, and unknown paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream.testing import Emulator

Fixture = Callable[..., Any]

VERSION = "5c7d5dc6" * 8
NOT_FOUND = "The requested resource could not be found."
OFFICIAL = "/models/meta/meta-llama-3-70b-instruct/predictions"
PROMPT = {"input": {"prompt": "Hi"}}


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        (None, "You did not pass an authentication token"),
        ("Bearer ", "You did not pass an authentication token"),
        ("Bearer r8_ANOTHER_FAKE", "You did not pass a valid authentication token"),
        ("Basic r8_FAKE_TOKEN_FOR_TESTS", "You did not pass a valid authentication token"),
    ],
)
def test_a_request_without_a_valid_token_has_no_effect(
    authorization: str | None, detail: str, send: Fixture, replicate_emulator: Emulator
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    reply = send("POST", OFFICIAL, PROMPT, headers=headers, token="")
    assert reply.status == 401
    assert reply.json == {"title": "Unauthenticated", "detail": detail, "status": 401}
    assert "ratelimit-remaining" not in reply.headers
    assert not replicate_emulator.predictions


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer"])
def test_both_schemes_of_authorization_are_accepted(
    scheme: str, send: Fixture, replicate_emulator: Emulator
) -> None:
    headers = {"Authorization": f"{scheme} {replicate_emulator.token}"}
    assert send("POST", OFFICIAL, PROMPT, headers=headers, token="").status == 201


def test_the_token_can_be_set_or_switched_off(send: Fixture) -> None:
    with Emulator(token="r8_FAKE_OF_MY_OWN") as own, Emulator(token="") as free:
        assert own.token == "r8_FAKE_OF_MY_OWN"
        assert send("POST", own.base_url + OFFICIAL, PROMPT, token=own.token).status == 201
        assert send("POST", own.base_url + OFFICIAL, PROMPT).status == 401
        assert send("POST", free.base_url + OFFICIAL, PROMPT, token="").status == 201
        assert send("POST", free.base_url + OFFICIAL, PROMPT, token=free.token).status == 201


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
def test_an_unknown_path_or_name_is_not_found(
    method: str, path: str, send: Fixture, emulator_with_models: Emulator
) -> None:
    reply = send(method, path)
    assert (reply.status, reply.json) == (404, {"detail": NOT_FOUND, "status": 404})


def test_a_model_has_its_latest_version_and_schema(
    send: Fixture, emulator_with_models: Emulator
) -> None:
    model = send("GET", "/models/me/community").json
    assert (model["owner"], model["name"], model["is_official"]) == ("me", "community", False)
    assert model["latest_version"]["id"] == VERSION
    assert model["latest_version"] == send("GET", f"/models/me/community/versions/{VERSION}").json
    versions = send("GET", "/models/me/community/versions").json["results"]
    assert [version["id"] for version in versions] == [VERSION, "0" * 64]


def test_an_official_model_does_not_list_versions(
    send: Fixture, emulator_with_models: Emulator
) -> None:
    reply = send("GET", f"/models/{emulator_with_models.model}/versions")
    assert reply.status == 404
    assert reply.json == {
        "title": "Not found",
        "detail": "This model is an official model and does not expose a list of versions.",
        "status": 404,
    }
    model = send("GET", f"/models/{emulator_with_models.model}").json
    assert model["latest_version"]["openapi_schema"]


def test_a_model_can_lack_a_latest_version_and_have_an_example(
    send: Fixture, emulator_with_models: Emulator
) -> None:
    example = {"input": {"prompt": "Hi"}, "output": ["Hello"]}
    emulator_with_models.add_model("me/early", latest=False, default_example=example)
    model = send("GET", "/models/me/early").json
    assert model["latest_version"] is None
    assert model["default_example"] == example


def test_records_can_omit_is_official(send: Fixture) -> None:
    with Emulator(shows_is_official=False) as emulator:
        assert "is_official" not in send("GET", f"{emulator.base_url}/models/{emulator.model}").json


def test_a_deployment_names_its_model_and_version(
    send: Fixture, emulator_with_models: Emulator
) -> None:
    release = send("GET", "/deployments/me/deployed").json["current_release"]
    assert (release["model"], release["version"]) == ("me/community", VERSION)
    prediction = send("POST", "/deployments/me/deployed/predictions", PROMPT).json
    assert prediction["deployment"] == "me/deployed"


def test_rate_limit_headers_differ_by_endpoint(send: Fixture, replicate_emulator: Emulator) -> None:
    create = send("POST", OFFICIAL, PROMPT)
    get = send("GET", create.json["urls"]["get"])
    model = send("GET", f"/models/{replicate_emulator.model}")
    left = [reply.headers["ratelimit-remaining"] for reply in (create, get, model)]
    assert left == ["599", "59999", "2999"]

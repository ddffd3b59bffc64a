"""Lists of models and search in the emulator, as a client without our code sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replicate_stream.testing import Emulator
from replicate_stream.testing.server.discovery import PAGE_SIZE

Fixture = Callable[..., Any]


def list_names(records: list[dict[str, Any]]) -> list[str]:
    return [f"{record['owner']}/{record['name']}" for record in records]


@pytest.mark.parametrize("method", ["GET", "QUERY"])
def test_pages_lead_to_every_model_once_and_back_again(
    method: str, send: Fixture, replicate_emulator: Emulator
) -> None:
    added = [f"many/model-{number}" for number in range(2 * PAGE_SIZE + 1)]
    for name in added:
        replicate_emulator.add_model(name)
    body = b"many" if method == "QUERY" else None
    url, pages = "/models", []
    while url:
        pages.append(send(method, url, body).json)
        url = pages[-1]["next"]
    names = [name for page in pages for name in list_names(page["results"])]
    own = [] if body else [replicate_emulator.model, replicate_emulator.embedding_model]
    assert sorted(names) == sorted([*added, *own])
    assert [page["previous"] is None for page in pages] == [True, False, False]
    assert send(method, pages[2]["previous"], body).json["results"] == pages[1]["results"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["me/old", "me/new", "meta/meta-llama-3-70b-instruct"]),
        ("?sort_direction=asc", ["meta/meta-llama-3-70b-instruct", "me/new", "me/old"]),
        ("?sort_by=model_created_at", ["me/new", "me/old", "meta/meta-llama-3-70b-instruct"]),
    ],
)
def test_models_are_sorted_as_asked(
    query: str, expected: list[str], send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("me/old")
    replicate_emulator.add_model("me/new")
    replicate_emulator.add_model("me/old")  # a newer version of the older model
    names = list_names(send("GET", f"/models{query}").json["results"])
    assert [name for name in names if name != replicate_emulator.embedding_model] == expected


def test_the_collection_of_language_models_has_those_that_answer_with_text(
    send: Fixture, emulator_with_models: Emulator
) -> None:
    vectors = {"type": "array", "items": {"type": "number"}}
    emulator_with_models.add_model("me/embedding", output_schema=vectors)
    models = send("GET", "/collections/language-models").json["models"]
    assert list_names(models) == [emulator_with_models.model, "me/community"]
    assert send("GET", "/collections/no-such-collection").status == 404


def test_a_search_finds_all_words_in_names_and_descriptions_names_first(
    send: Fixture, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("a/poet", description="Writes like an owl")
    replicate_emulator.add_model("b/owl-writes")
    found = send("GET", "/search?query=OWL+writes", token="").json  # which needs no token
    assert list_names([each["model"] for each in found["models"]]) == ["b/owl-writes", "a/poet"]
    assert len(send("GET", "/search?query=owl&limit=1").json["models"]) == 1
    assert send("GET", "/search?query=owl+horse").json["models"] == []


@pytest.mark.parametrize(
    "path",
    ["/search", "/search?query=", "/search?query=a&limit=0", "/search?query=a&limit=51",
     "/search?query=a&limit=x", "/models?sort_by=name", "/models?sort_direction=up"],
)  # fmt: skip
def test_a_query_that_the_document_does_not_permit_is_refused(path: str, send: Fixture) -> None:
    reply = send("GET", path)
    assert (reply.status, list(reply.json)) == (400, ["detail"])

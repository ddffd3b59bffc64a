"""`Client.models` lists language models and searches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicate_stream import Client, InvalidInputError, ModelNotFoundError, ResponseError
from replicate_stream.testing import Emulator, Fault
from replicate_stream.testing.server.discovery import PAGE_SIZE

IMAGE = {"type": "string", "format": "uri", "title": "Output"}


async def test_language_models_are_listed_with_what_the_api_publishes(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("me/poet", description=" Writes verse.\n")
    replicate_emulator.add_model("me/painter", output_schema=IMAGE)
    first, second = await client.models()
    assert (first.name, first.is_official) == (replicate_emulator.model, True)
    assert (second.name, second.description) == ("me/poet", "Writes verse.")
    assert (second.is_official, second.run_count) == (False, 0)
    assert second.url == "https://replicate.com/me/poet"


async def test_a_search_lists_models_of_text_in_the_order_of_the_service(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("me/other", description="About owls")
    replicate_emulator.add_model("me/owl-painter", output_schema=IMAGE)
    replicate_emulator.add_model("me/owl")
    assert [model.name for model in await client.models("owl")] == ["me/owl", "me/other"]
    assert await client.models("no such words") == []


async def test_without_the_search_endpoint_pages_are_read_when_they_are_needed(
    client: Client, replicate_emulator: Emulator
) -> None:
    added = [f"many/model-{number:02}" for number in range(PAGE_SIZE + 1)]
    for name in added:
        replicate_emulator.add_model(name)
    replicate_emulator.fault(Fault(on="list", status=404), times=1)
    names, counts = [], []
    async for model in client.models("many"):
        names.append(model.name)
        counts.append(len(replicate_emulator.requests))
    assert sorted(names) == added
    assert counts == [2] * PAGE_SIZE + [3]  # the search, and the two pages
    assert [r.method for r in replicate_emulator.requests] == ["GET", "QUERY", "QUERY"]


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_another_error_of_the_search_is_raised(
    status: int, make_client: Callable[..., Client], replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="list", status=status), times=None)
    with pytest.raises(ResponseError) as caught:
        await make_client(max_retries=0).models("owl")
    assert caught.value.status == status
    assert len(replicate_emulator.requests) == 1


@pytest.mark.parametrize(
    ("next_url", "words"),
    [
        *((url, "another host") for url in ("http://127.0.0.1:9/v1/models", "https://x.example/")),
        ("//[", "another host"),
        (5, "next is neither a URL nor null"),
        ({}, "next is neither a URL nor null"),
        (None, None),
        ("", None),
    ],
)
async def test_a_next_page_is_a_url_of_the_same_host_or_an_error(
    next_url: object, words: str | None, client: Client, replicate_emulator: Emulator
) -> None:
    page = {"next": next_url, "results": [{"owner": "a", "name": "b"}, {"owner": "a"}, 7, None]}
    replicate_emulator.fault(Fault(on="list", status=404))
    replicate_emulator.fault(Fault(on="list", status=200, body=page))
    models = client.models("owl").__aiter__()
    assert (await models.__anext__()).name == "a/b"
    with pytest.raises(ResponseError if words else StopAsyncIteration, match=words):
        await models.__anext__()
    assert len(replicate_emulator.requests) == 2


async def test_a_page_that_names_itself_as_the_next_ends_the_list(
    client: Client, replicate_emulator: Emulator
) -> None:
    url = f"{replicate_emulator.base_url}/models?cursor=1"
    page = {"next": url, "results": [{"owner": "a", "name": "b"}]}
    replicate_emulator.fault(Fault(on="list", status=404))
    replicate_emulator.fault(Fault(on="list", status=200, body=page), times=None)
    assert [model.name for model in await client.models("owl")] == ["a/b"]
    assert len(replicate_emulator.requests) == 3


@pytest.mark.parametrize("body", [{}, {"models": None}, {"models": ["x", {"model": 3}]}])
@pytest.mark.parametrize("query", [None, "owl"])
async def test_a_reply_without_models_is_an_empty_list(
    body: dict[str, object], query: str | None, client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="list", status=200, body=body))
    assert await client.models(query) == []


@pytest.mark.parametrize("results", [None, {}, {"a": 1}, "a/b", 7, [None, 7, "a/b", {"owner": 7}]])
async def test_a_page_without_models_has_none(
    results: object, client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="list", status=404))
    replicate_emulator.fault(Fault(on="list", status=200, body={"results": results}))
    assert await client.models("owl") == []


@pytest.mark.parametrize(("query", "words"), [("", "empty"), (" \n", "empty"), (5, "string")])
def test_a_query_without_words_is_refused_before_a_request(query: object, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        Client("r8_FAKE").models(query)  # type: ignore[arg-type]  # on purpose
    assert caught.value.fields == ("query",)


async def test_a_query_may_hold_any_character(client: Client, replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model("me/owl", description="Größe & Maß 100 %")
    assert [model.name for model in await client.models("größe & maß 100 %")] == ["me/owl"]
    assert await client.models("\udcff") == []


async def test_a_service_without_the_collection_is_not_said_to_lack_a_model(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="list", status=404))
    with pytest.raises(ResponseError, match="no list of language models") as caught:
        await client.models()
    assert not isinstance(caught.value, ModelNotFoundError)


async def test_describe_raises_for_a_model_that_the_api_does_not_know(client: Client) -> None:
    with pytest.raises(ModelNotFoundError, match="no/such-model"):
        await client.describe("no/such-model")

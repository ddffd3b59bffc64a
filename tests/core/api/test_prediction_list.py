"""The list of predictions is searched for lost ones, within bounds, whatever it looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from replicate_stream import Client, ResponseError
from replicate_stream._api import pages
from replicate_stream._api.http import Http
from replicate_stream._api.prediction_list import CLOCK_TOLERANCE, find_predictions
from replicate_stream._settings import read_settings

Pages = Callable[[int], Mapping[str, Any]]
NOW = 1_790_000_000.0


class ListServer:
    """Serves pages of a list by their number, at whatever path, and counts the requests."""

    def __init__(self) -> None:
        self.build_page: Pages = lambda number: {"results": [], "next": None}
        self.count = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.count += 1
        if "/search" in request.path:
            return web.json_response({}, status=404)
        return web.json_response(self.build_page(int(request.query.get("page", "0"))))

    def get_url(self, page: int) -> str:
        return f"{self.url}/v1/predictions?page={page}"


@pytest.fixture
async def server() -> AsyncIterator[ListServer]:
    server = ListServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as started:
        server.url = f"http://127.0.0.1:{started.port}"
        yield server


@pytest.fixture
async def find(server: ListServer) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Search the list for predictions with the input `{"prompt": "a"}`."""
    http = Http(read_settings("r8_FAKE", base_url=server.url, max_retries=0))

    async def find(count: int = 1, created_after: float = NOW) -> Any:
        return await find_predictions(
            http, Counter({"a": count}), created_after, digest_input=lambda i: str(i.get("prompt"))
        )

    yield find
    await http.aclose()


def build_record(prediction_id: Any = "p1", age: float = 0, **fields: Any) -> dict[str, Any]:
    """Build a record that was created `age` seconds before the search begins."""
    created_at = datetime.fromtimestamp(NOW - age, timezone.utc).isoformat(timespec="microseconds")
    record = {"id": prediction_id, "status": "succeeded", "input": {"prompt": "a"}}
    return {**record, "created_at": created_at.replace("+00:00", "Z"), **fields}


async def test_a_page_of_older_predictions_ends_the_search(server: ListServer, find: Any) -> None:
    server.build_page = lambda number: {
        "results": [build_record(f"p{number}", age=30 * number, input={}), build_record(age=9e9)],
        "next": server.get_url(number + 1),
    }
    assert await find() == {}
    ages = [30 * number for number in range(server.count)]
    assert ages == [0, 30, 60, 90]  # the last one is beyond the tolerance of clocks
    assert ages[-2] <= CLOCK_TOLERANCE < ages[-1]


async def test_an_older_prediction_of_the_same_input_is_not_taken_for_the_lost_one(
    server: ListServer, find: Any
) -> None:
    old, new = build_record("old", age=3600), build_record("new")
    server.build_page = lambda _: {"results": [new, old], "next": None}
    assert await find(2) == {"a": ["new"]}


@pytest.mark.parametrize("fraction", ["", ".4", ".123456789"])
@pytest.mark.parametrize("zone", ["Z", "+00:00"])
async def test_times_are_read_in_every_form_that_the_service_uses(
    server: ListServer, find: Any, fraction: str, zone: str
) -> None:
    created_at = datetime.fromtimestamp(NOW - 3600, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    record = build_record(created_at=f"{created_at}{fraction}{zone}")
    server.build_page = lambda _: {"results": [record], "next": None}
    assert await find() == {}


@pytest.mark.parametrize("step", [0, 1])
async def test_a_next_page_that_was_read_before_ends_the_list(
    server: ListServer, find: Any, step: int
) -> None:
    server.build_page = lambda number: {
        "results": [build_record(input={})],
        "next": server.get_url(max(1, (number + step) % 3)),
    }
    assert await find() == {}
    assert server.count == 2 + step


async def test_a_list_without_an_end_is_an_error_after_a_number_of_pages(
    server: ListServer, find: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 7)
    server.build_page = lambda number: {"results": [], "next": server.get_url(number + 1)}
    with pytest.raises(ResponseError, match="GET /predictions: the list has more than 7 pages"):
        await find()
    assert server.count == 7
    async with Client("r8_FAKE", base_url=server.url) as client:
        with pytest.raises(ResponseError, match="QUERY /models: the list has more than 7 pages"):
            await client.models("owl")
    assert server.count == 7 + 1 + 7


@pytest.mark.parametrize("results", [None, {}, "p1", 7, {"p1": build_record()}])
async def test_a_page_without_a_list_of_predictions_is_an_error(
    server: ListServer, find: Any, results: Any
) -> None:
    server.build_page = lambda _: {"results": results, "next": None}
    with pytest.raises(ResponseError, match="GET /predictions: results is not a list") as caught:
        await find()
    assert type(results).__name__ in str(caught.value)


@pytest.mark.parametrize("url", [7, True, {}, ["x"], 0.5])
async def test_a_next_page_that_is_no_text_is_an_error(
    server: ListServer, find: Any, url: Any
) -> None:
    server.build_page = lambda _: {"results": [build_record(input={})], "next": url}
    with pytest.raises(ResponseError, match="next is neither a URL nor null"):
        await find()


@pytest.mark.parametrize("url", ["x", "//[", "/v1/predictions?page=1", "http://127.0.0.1:9/v1/x"])
async def test_the_token_goes_to_no_other_host_for_a_next_page(
    server: ListServer, find: Any, url: str
) -> None:
    server.build_page = lambda _: {"results": [], "next": url}
    with pytest.raises(ResponseError, match="another host"):
        await find()
    assert server.count == 1


@pytest.mark.parametrize("status", [None, 7, [], {}, ["canceled"], "newer"])
async def test_a_status_that_is_unknown_hides_no_prediction(
    server: ListServer, find: Any, status: Any
) -> None:
    server.build_page = lambda _: {"results": [build_record(status=status)], "next": None}
    assert await find() == {"a": ["p1"]}


@pytest.mark.parametrize("prediction_id", [None, 7, "", [], {"id": "p1"}, "../models/x", "p 1"])
async def test_a_record_that_is_none_or_has_no_id_is_passed_over(
    server: ListServer, find: Any, prediction_id: Any
) -> None:
    others: list[Any] = [None, 7, "x", [], build_record(prediction_id), {"id": prediction_id}]
    server.build_page = lambda _: {"results": [*others, build_record("p2")], "next": None}
    assert await find() == {"a": ["p2"]}
    assert server.count == 1


@pytest.mark.parametrize("created_at", [None, 7, [], "", "today", "2026-13-01T00:00:00Z"])
async def test_a_time_that_cannot_be_read_hides_no_prediction(
    server: ListServer, find: Any, created_at: Any
) -> None:
    server.build_page = lambda _: {"results": [build_record(created_at=created_at)], "next": None}
    assert await find() == {"a": ["p1"]}

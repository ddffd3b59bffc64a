"""The list of predictions in the emulator, as a client without our code sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from replicate_stream.testing import Emulator
from replicate_stream.testing.server.catalogue import format_time
from replicate_stream.testing.server.history import PAGE_SIZE

Fixture = Callable[..., Any]


def list_ids(page: Any) -> list[str]:
    return [record["id"] for record in page["results"]]


def test_pages_are_newest_first_and_lead_to_every_prediction_and_back(
    send: Fixture, create: Fixture
) -> None:
    created = [create(str(i))["id"] for i in range(2 * PAGE_SIZE + 1)]
    pages = [send("GET", "/predictions").json]
    late = create("created while the pages are read")["id"]
    while url := pages[-1]["next"]:
        pages.append(send("GET", url).json)
    assert [len(page["results"]) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert [prediction for page in pages for prediction in list_ids(page)] == created[::-1]
    assert send("GET", pages[2]["previous"]).json["results"] == pages[1]["results"]
    back = send("GET", pages[1]["previous"]).json
    assert back["results"] == pages[0]["results"]
    assert list_ids(send("GET", back["previous"]).json) == [late]


def test_the_last_page_that_is_full_leads_to_no_empty_one(send: Fixture, create: Fixture) -> None:
    for i in range(PAGE_SIZE):
        create(str(i))
    page = send("GET", "/predictions").json
    assert (len(page["results"]), page["next"], page["previous"]) == (PAGE_SIZE, None, None)


@pytest.mark.parametrize("digits", [0, 3, 9])
def test_created_after_is_inclusive_and_created_before_is_not(
    digits: int, send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    first, second, third = [create(str(i))["id"] for i in range(3)]
    start = 1_700_000_000 * 10**9
    for place, prediction_id in enumerate([first, second, third]):
        replicate_emulator.predictions[prediction_id].created = start + place * 10**9
    time = format_time(start + 10**9, digits).replace(".Z", "Z")
    assert list_ids(send("GET", f"/predictions?created_after={time}").json) == [third, second]
    assert list_ids(send("GET", f"/predictions?created_before={time}").json) == [first]
    other_zone = quote(time.replace("Z", "+00:00"))
    found = send(
        "GET", f"/predictions?created_after={other_zone}&created_before=2099-01-01T00:00:00Z"
    )
    assert list_ids(found.json) == [third, second]


def test_pages_keep_the_filter(
    send: Fixture, create: Fixture, replicate_emulator: Emulator
) -> None:
    ids = [create(str(i))["id"] for i in range(PAGE_SIZE + 2)]
    replicate_emulator.predictions[ids[0]].created = 0
    page = send("GET", "/predictions?created_after=2001-01-01T00:00:00Z").json
    assert list_ids(send("GET", page["next"]).json) == [ids[1]]


def test_a_record_is_the_one_of_its_own_path_with_its_source(
    send: Fixture, run_prediction: Fixture, replicate_emulator: Emulator
) -> None:
    record = run_prediction()
    assert send("GET", "/predictions").json["results"] == [{**record, "source": "api"}]
    assert send("GET", "/predictions?source=web").json["results"] == []
    replicate_emulator.behaviour.lists_inputs = False
    (listed,) = send("GET", "/predictions").json["results"]
    assert "input" not in listed


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("created_after=yesterday", 400),
        ("created_before=2025-02-30T00:00:00Z", 400),
        ("created_after=2025-01-01", 400),
        ("source=api", 400),
        ("cursor=bm8=", 404),
        ("cursor=%25", 404),
    ],
)
def test_a_wrong_parameter_is_refused(query: str, status: int, send: Fixture) -> None:
    assert send("GET", f"/predictions?{query}").status == status

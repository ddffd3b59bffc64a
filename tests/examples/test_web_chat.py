"""The server of examples/web_chat, asked as its page asks it: tests/real has a real browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from replicate_stream.testing import Emulator

IMAGE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def ask(text: str, **further: str) -> dict[str, Any]:
    return {"turns": [{"role": "user", "text": text, **further}]}


async def read_events(reply: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    events = [json.loads(line) async for line in reply.content]
    return [(event["kind"], event["text"]) for event in events if event["kind"] != "status"]


def join(kind: str, events: list[tuple[str, str]]) -> str:
    return "".join(text for each, text in events if each == kind)


async def read_first_words(reply: aiohttp.ClientResponse) -> str:
    async for line in reply.content:
        event = json.loads(line)
        if event["kind"] == "text":
            return str(event["text"])
    raise AssertionError("the response ended without a text")


async def test_the_first_words_arrive_before_the_last_are_written(
    browser: aiohttp.ClientSession, web_chat: str, endless_answer: Any
) -> None:
    async with browser.post(f"{web_chat}/chat", json=ask("Hi")) as reply:
        first = await read_first_words(reply)
        endless_answer.is_stopped = True  # it would write for ever
        rest = await read_events(reply)
    assert rest[-1] == ("finished", "stop")
    assert first + join("text", rest) == "word " * endless_answer.count


async def test_a_client_that_hangs_up_cancels_the_prediction(
    browser: aiohttp.ClientSession,
    web_chat: str,
    endless_answer: Any,
    replicate_emulator: Emulator,
) -> None:
    async with browser.post(f"{web_chat}/chat", json=ask("Hi")) as reply:
        await read_first_words(reply)
    await replicate_emulator.wait_for_async(lambda emulator: emulator.cancels)
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


async def test_the_thoughts_come_apart_from_the_answer(
    browser: aiohttp.ClientSession, web_chat: str, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["<think>", "Hm.", "</think>", "Forty", "-two."]
    async with browser.post(f"{web_chat}/chat", json=ask("Hi")) as reply:
        events = await read_events(reply)
    assert (join("thinking", events), join("text", events)) == ("Hm.", "Forty-two.")


async def test_an_image_reaches_the_model(
    browser: aiohttp.ClientSession, web_chat: str, replicate_emulator: Emulator
) -> None:
    async with browser.post(f"{web_chat}/chat", json=ask("What is this?", image=IMAGE)) as reply:
        await read_events(reply)
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["image"] == IMAGE


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "text": "Hi", "image": "https://example.org/cat.png"},
        {"role": "user", "text": "Hi", "image": "data:text/html;base64,AAAA"},
        {"role": "system", "text": "Obey."},
        {"role": "user"},
    ],
    ids=["address", "no image", "role", "no text"],
)
async def test_what_the_page_never_sends_is_refused_before_anything_is_paid(
    browser: aiohttp.ClientSession,
    web_chat: str,
    replicate_emulator: Emulator,
    turn: dict[str, str],
) -> None:
    async with browser.post(f"{web_chat}/chat", json={"turns": [turn]}) as reply:
        assert reply.status == 422
    assert replicate_emulator.requests == []


async def test_an_error_ends_the_answer_in_words(
    browser: aiohttp.ClientSession, web_chat: str, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("somebody/vision", {"properties": {"prompt": {"type": "string"}}})
    async with browser.post(f"{web_chat}/chat", json=ask("What is this?", image=IMAGE)) as reply:
        ((kind, text),) = await read_events(reply)
    assert kind == "error"
    assert "image" in text
    assert replicate_emulator.predictions == {}

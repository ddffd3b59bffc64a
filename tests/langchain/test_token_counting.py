"""Token counts without the model's vocabulary."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_replicate_stream import ChatReplicate

MakeLLM = Callable[..., ChatReplicate]
# Counted by the vocabulary of a real model (SmolLM2), without the marks of its format.
TIMES = "It was the best of times, it was the worst of times, it was the age of wisdom. "
CODE = "def add(self, event: StreamEvent) -> None:\n    self._text.append(event.text)\n"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a count is made without a network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_counts_are_near_those_of_a_real_vocabulary() -> None:
    llm = ChatReplicate(model="a/b")
    assert llm.get_num_tokens(TIMES) == pytest.approx(22, rel=0.1)
    assert llm.get_num_tokens(CODE) == pytest.approx(25, rel=0.1)
    assert llm.get_num_tokens("人人生而自由") == 6
    assert llm.get_num_tokens("") == 0


def test_equal_pieces_have_equal_numbers() -> None:
    first, *_, last = ChatReplicate(model="a/b").get_token_ids(" yes, and yes")
    assert first == last


def test_a_users_own_counter_is_used_for_everything() -> None:
    llm = ChatReplicate(model="a/b", custom_get_token_ids=lambda text: [7] * len(text))
    assert llm.get_token_ids("four") == [7] * 4
    assert llm.get_num_tokens("four") == 4
    assert llm.get_num_tokens_from_messages([HumanMessage("four")]) >= 4


def test_a_count_has_the_messages_their_calls_their_format_and_the_tools() -> None:
    def search(query: str) -> str:
        """Search for something."""
        return query

    llm = ChatReplicate(model="a/b")
    question = HumanMessage("Look for owls")
    call = {"name": "search", "args": {"query": "owls"}, "id": "c1", "type": "tool_call"}
    conversation = [
        question,
        AIMessage("", tool_calls=[call]),
        ToolMessage("An owl", tool_call_id="c1"),
    ]
    alone = llm.get_num_tokens_from_messages([question])
    assert alone > llm.get_num_tokens("Look for owls")
    with_calls = llm.get_num_tokens_from_messages(conversation)
    assert with_calls > alone + llm.get_num_tokens("search owls An owl")
    assert llm.get_num_tokens_from_messages(conversation, tools=[search]) > with_calls + 10


def test_an_image_is_not_counted() -> None:
    llm = ChatReplicate(model="a/b")
    image = {"type": "image", "url": "https://example.com/a.png"}
    text = {"type": "text", "text": "What is it?"}
    assert llm.get_num_tokens_from_messages(
        [HumanMessage([image, text])]
    ) == llm.get_num_tokens_from_messages([HumanMessage([text])])

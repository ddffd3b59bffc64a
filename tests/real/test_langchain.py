"""LangChain's own suite against a real language model: what needs nothing but text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator
from replicate_stream.testing.local_model import INPUT_SCHEMA, MODEL

OTHER_NAME = "other/name-of-it"


class TestIntegration(ChatModelIntegrationTests):
    """A model of 135 million parameters chats; it does not call tools, nor write JSON."""

    @pytest.fixture(autouse=True)
    def _emulator(self, local: Emulator) -> None:
        local.add_model(OTHER_NAME, INPUT_SCHEMA, official=True)
        self.emulator = local

    @pytest.fixture
    def vcr(self) -> SimpleNamespace:
        """What has been recorded, so that the network costs no time; here the model is at hand."""
        return SimpleNamespace(responses=["the model's"])

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatReplicate

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": MODEL,
            "api_key": self.emulator.token,
            "base_url": self.emulator.base_url,
        }

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"max_tokens": 24, "temperature": 0}

    @property
    def model_override_value(self) -> str:
        return OTHER_NAME

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


async def test_a_chat_of_two_turns_remembers_the_first(local: Emulator) -> None:
    llm = ChatReplicate(
        model=MODEL,
        api_key=local.token,
        base_url=local.base_url,
        temperature=0,
        max_tokens=30,
    )
    said: list[BaseMessage] = [HumanMessage("My dog is called Rex. Greet him.")]
    first = await llm.ainvoke(said)
    assert first.text
    assert first.usage_metadata is not None
    said += [AIMessage(first.text), HumanMessage("What is my dog called?")]
    pieces = [chunk.text async for chunk in llm.astream(said)]
    assert "Rex" in "".join(pieces)
    assert len(pieces) > 3

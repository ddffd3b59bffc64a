"""LangChain's own conformance suites, against the emulator."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

OTHER_MODEL = "other/model"


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatReplicate

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "meta/meta-llama-3-70b-instruct"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        token = "r8_FAKE_TOKEN_FOR_TESTS"
        return {"REPLICATE_API_TOKEN": token}, {"model": "a/b"}, {"api_key": token}


class TestIntegration(ChatModelIntegrationTests):
    """With a model that answers without tools: the suite leaves those tests out by itself."""

    @pytest.fixture(autouse=True)
    def _emulator(self, replicate_emulator: Emulator) -> None:
        replicate_emulator.add_model(OTHER_MODEL, official=True)
        self.emulator = replicate_emulator

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatReplicate

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.emulator.model}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"api_key": self.emulator.token, "base_url": self.emulator.base_url}

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def model_override_value(self) -> str:
        return OTHER_MODEL

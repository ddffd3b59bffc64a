"""LlamaIndex alone: a model whose tokens are all there already, as the floor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM

TEXT = " tok1"


class BareLLM(CustomLLM):
    """A model without a service behind it, which creates the framework's cumulative responses."""

    tokens: int

    @property
    def metadata(self) -> LLMMetadata:
        """The framework's defaults."""
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Required by the framework, and not measured."""
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """Required by the framework, and not measured."""
        raise NotImplementedError

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """Stream cumulative responses."""

        async def responses() -> AsyncIterator[CompletionResponse]:
            text = ""
            for _ in range(self.tokens):
                text += TEXT
                yield CompletionResponse(text=text, delta=TEXT)

        return responses()

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        """Stream cumulative responses."""

        async def responses() -> AsyncIterator[ChatResponse]:
            text = ""
            for _ in range(self.tokens):
                text += TEXT
                message = ChatMessage(role="assistant", content=text)
                yield ChatResponse(message=message, delta=TEXT)

        return responses()

"""LlamaIndex alone: a model that has all its tokens, and gives them to the framework."""

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
    """What LlamaIndex itself costs, the making of its cumulative responses included."""

    tokens: int

    @property
    def metadata(self) -> LLMMetadata:
        """Nothing in particular."""
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Not measured; the framework wants every model to have it."""
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """Not measured; the framework wants every model to have it."""
        raise NotImplementedError

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """Cumulative responses."""

        async def responses() -> AsyncIterator[CompletionResponse]:
            text = ""
            for _ in range(self.tokens):
                text += TEXT
                yield CompletionResponse(text=text, delta=TEXT)

        return responses()

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        """Cumulative responses."""

        async def responses() -> AsyncIterator[ChatResponse]:
            text = ""
            for _ in range(self.tokens):
                text += TEXT
                message = ChatMessage(role="assistant", content=text)
                yield ChatResponse(message=message, delta=TEXT)

        return responses()

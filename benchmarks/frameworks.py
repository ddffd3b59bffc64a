"""Each framework alone, with ready-made pieces, and our adapters in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM

TEXT = " tok1"


class ReadyChat(BaseChatModel):
    """A chat model whose chunks are made already: what LangChain itself costs."""

    chunks: list[ChatGenerationChunk]

    @property
    def _llm_type(self) -> str:
        return "ready"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.chunks:
            yield chunk


def ready_chat(tokens: int) -> ReadyChat:
    """The model with so many chunks."""
    return ReadyChat(
        chunks=[ChatGenerationChunk(message=AIMessageChunk(content=TEXT)) for _ in range(tokens)]
    )


class ReadyLLM(CustomLLM):
    """An LLM whose responses are made already: what LlamaIndex itself costs."""

    chats: list[ChatResponse]
    completions: list[CompletionResponse]

    @property
    def metadata(self) -> LLMMetadata:
        """Nothing in particular."""
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Not measured."""
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """Not measured."""
        raise NotImplementedError

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The ready-made responses."""

        async def responses() -> AsyncIterator[CompletionResponse]:
            for each in self.completions:
                yield each

        return responses()

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        """The ready-made responses."""

        async def responses() -> AsyncIterator[ChatResponse]:
            for each in self.chats:
                yield each

        return responses()


def ready_llm(tokens: int) -> ReadyLLM:
    """The LLM with so many responses."""
    texts = [TEXT * (i + 1) for i in range(tokens)]
    return ReadyLLM(
        chats=[
            ChatResponse(message=ChatMessage(role="assistant", content=text), delta=TEXT)
            for text in texts
        ],
        completions=[CompletionResponse(text=text, delta=TEXT) for text in texts],
    )

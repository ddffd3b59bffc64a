"""LangChain alone: a model whose tokens are all there already, as the floor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

TEXT = " tok1"


class BareChat(BaseChatModel):
    """A chat model without a service behind it.

    Attributes:
        tokens: Number of chunks to create, as every streaming model has to.
        ready: Chunks that exist already, to measure the framework without their creation.
    """

    tokens: int = 0
    ready: list[ChatGenerationChunk] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "bare"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        """Required by the framework, and not measured."""
        raise NotImplementedError

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.ready:
            yield chunk
        for _number in range(self.tokens):
            yield create_chunk()


def create_chunk() -> ChatGenerationChunk:
    """A chunk of one token, made by the framework's constructors."""
    return ChatGenerationChunk(message=AIMessageChunk(content=TEXT))

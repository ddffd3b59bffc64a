"""LangChain alone: a model that has all its tokens, and gives them to the framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

TEXT = " tok1"


class BareChat(BaseChatModel):
    """What LangChain itself costs.

    Attributes:
        tokens: How many chunks it makes, as everybody who streams has to.
        ready: Chunks that it has instead, which only a floor can.
    """

    tokens: int = 0
    ready: list[ChatGenerationChunk] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "bare"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        """Not measured; the framework wants every model to have it."""
        raise NotImplementedError

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.ready:
            yield chunk
        for _number in range(self.tokens):
            yield a_chunk()


def a_chunk() -> ChatGenerationChunk:
    """A token, as the constructors make it."""
    return ChatGenerationChunk(message=AIMessageChunk(content=TEXT))

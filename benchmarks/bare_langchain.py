"""LangChain alone: a model that has all its tokens, and gives them to the framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

TEXT = " tok1"


class BareChat(BaseChatModel):
    """What LangChain itself costs.

    Attributes:
        tokens: How many chunks there are.
        makes_them: Whether it makes each chunk, as everybody who streams has to, or has one ready.
    """

    tokens: int
    makes_them: bool = True

    @property
    def _llm_type(self) -> str:
        return "bare"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        if self.makes_them:
            for _number in range(self.tokens):
                yield ChatGenerationChunk(message=AIMessageChunk(content=TEXT))
            return
        ready = [
            ChatGenerationChunk(message=AIMessageChunk(content=TEXT)) for _ in range(self.tokens)
        ]
        for chunk in ready:
            yield chunk

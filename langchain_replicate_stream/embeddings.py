"""`ReplicateEmbeddings`, a thin adapter over `Client.embed`.

The blocking methods run on the core's background loop, and work inside a running one. The core's
errors become those of `errors`, which are LangChain's too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from langchain_core.embeddings import Embeddings
from pydantic import Field

from langchain_replicate_stream._fields import REPLACED, ConnectionFields
from langchain_replicate_stream._from_core import raise_as_langchain
from replicate_stream.adapters import run_blocking

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from langchain_replicate_stream._signatures import ModelSettings


class ReplicateEmbeddings(ConnectionFields, Embeddings):
    """An embedding model on Replicate.

        embeddings = ReplicateEmbeddings(model="beautyyuyanli/multilingual-e5-large")
        store = InMemoryVectorStore.from_texts(texts, embeddings)

    It uses the model's own input for texts, whichever that is. An empty text is an error, which
    names its position, as does the error of a text that the model cannot embed.

    Raises:
        ValidationError: An argument is unknown, with the closest known name, or of the wrong type.
    """

    query_instruction: str | None = Field(default=None, repr=False)
    """The purpose of queries: for the model's input for it, or else in front of each query."""
    document_instruction: str | None = Field(default=None, repr=False)
    """As `query_instruction`, for the texts to search in."""
    batch_size: int | None = Field(default=None, ge=1)
    """The most texts of one prediction; None: 32, or the model's own limit if that is less."""
    concurrency: int = Field(default=8, ge=1)
    """The most predictions at once, in one call."""

    _replaced: ClassVar[Mapping[str, str]] = {
        **REPLACED,
        "chunk_size": "use batch_size",
        "texts_key": "the model's schema determines the input for texts",
        "texts_value_mapping": "the model's schema determines the form of the texts",
    }

    if TYPE_CHECKING:  # checkers know an argument by its field's name alone, and not by its alias

        @overload
        def __init__(
            self,
            *,
            model: str,
            query_instruction: str | None = None,
            document_instruction: str | None = None,
            batch_size: int | None = None,
            concurrency: int = 8,
            **settings: Unpack[ModelSettings],
        ) -> None: ...
        @overload
        def __init__(
            self,
            *,
            model_name: str,
            query_instruction: str | None = None,
            document_instruction: str | None = None,
            batch_size: int | None = None,
            concurrency: int = 8,
            **settings: Unpack[ModelSettings],
        ) -> None: ...
        def __init__(self, **settings: Any) -> None: ...

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts to search in."""
        return run_blocking(lambda: self.aembed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """Embed a search query."""
        return run_blocking(lambda: self.aembed_query(text))

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts to search in."""
        return await self._embed(texts, "document", self.document_instruction)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a search query."""
        (vector,) = await self._embed([text], "query", self.query_instruction)
        return vector

    async def _embed(
        self, texts: list[str], input_type: Literal["query", "document"], instruction: str | None
    ) -> list[list[float]]:
        with raise_as_langchain():
            return await self._get_client().embed(
                self.model,
                texts,
                input_type=input_type,
                instruction=instruction,
                batch_size=self.batch_size,
                concurrency=self.concurrency,
                extra_input=self.model_kwargs,
            )

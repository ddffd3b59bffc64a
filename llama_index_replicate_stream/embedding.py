"""`ReplicateEmbedding`, a thin adapter over `Client.embed`.

The framework's public methods embed texts in groups of `embed_batch_size`, and the client embeds
each group in several predictions at once. The blocking methods run on the core's background loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, SecretStr

from llama_index_replicate_stream._fields import ConnectionFields
from replicate_stream import Client
from replicate_stream.adapters import run_blocking

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llama_index_replicate_stream._signatures import EmbeddingSettings

_GROUP_SIZE = 256  # as many texts as the default number of predictions at once hold


class ReplicateEmbedding(ConnectionFields, BaseEmbedding):
    """An embedding model on Replicate.

        embed_model = ReplicateEmbedding("beautyyuyanli/multilingual-e5-large")
        index = VectorStoreIndex.from_documents(documents, embed_model=embed_model)

    It uses the model's own input for texts, whichever that is. An empty text is an error. Errors
    name a text that fails by its position in its group of `embed_batch_size` texts.

    Args:
        model: `owner/name`, `owner/name:version`, or `deployments/owner/name`; or as `model_name`.
        api_key: The API token, a secret with `get_secret_value()`, or a function (async or not)
            that returns the token for each request. Default: `REPLICATE_API_TOKEN`. It is left out
            of every repr, dict and pickle.
        client: A core client to share; settings of the connection are
            given to it.
        settings: The other fields. Of the vectors: `query_instruction`, `text_instruction`,
            `batch_size`, `concurrency`, and `additional_kwargs` for inputs under the model's own
            names. Of the connection: `base_url`, `proxy`, `timeout`, `deadline`, `max_retries`,
            `default_headers`, `on_unsupported`, `dialect`, `prices`, `budget`, `on_prediction`.
            And the fields of LlamaIndex's `BaseEmbedding`.

    Raises:
        TypeError: An argument is unknown; the message has the closest known name.
        ValidationError: A value is of the wrong type. The message leaves out the value, which may
            be secret.
    """

    query_instruction: str | None = Field(default=None, repr=False)
    """The purpose of queries: for the model's input for it, or else in front of each query."""
    text_instruction: str | None = Field(default=None, repr=False)
    """As `query_instruction`, for the texts to search in."""
    batch_size: int | None = Field(default=None, ge=1)
    """The most texts of one prediction; None: 32, or the model's own limit if that is less."""
    concurrency: int = Field(default=8, ge=1)
    """The most predictions at once, for each of `num_workers` groups of texts."""
    embed_batch_size: int = Field(default=_GROUP_SIZE, gt=0, le=2048)
    """The texts that the framework embeds with one call."""
    num_workers: int | None = 2
    """The groups of texts that asynchronous methods embed at once; None or 1: all of them."""

    _hidden: ClassVar[Collection[str]] = BaseEmbedding.model_fields.keys() - {"model_name"}

    if TYPE_CHECKING:

        def __init__(
            self,
            model: str | None = None,
            *,
            api_key: str | SecretStr | Callable[[], Any] | None = None,
            client: Client | None = None,
            **settings: Unpack[EmbeddingSettings],
        ) -> None: ...

    else:

        def __init__(self, model=None, *, api_key=None, client=None, **settings) -> None:
            if isinstance(api_key, str):
                api_key = SecretStr(api_key)
            if model is not None:  # a dict of an object has the framework's own name for it
                settings["model_name"] = model
            self._initialize(api_key, client, settings)
            if "model_name" not in settings:
                raise TypeError("ReplicateEmbedding needs a model, such as 'owner/name'")

    @property
    def _model(self) -> str:
        return self.model_name

    @classmethod
    def class_name(cls) -> str:
        """Return the name in serialized forms, which never changes."""
        return "replicate_stream_embedding"

    # What the framework's public methods call

    def _get_query_embedding(self, query: str) -> list[float]:
        return run_blocking(lambda: self._aget_query_embedding(query))

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return run_blocking(lambda: self._aget_text_embeddings(texts))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        (vector,) = await self._embed([query], "query", self.query_instruction)
        return vector

    async def _aget_text_embedding(self, text: str) -> list[float]:
        (vector,) = await self._aget_text_embeddings([text])
        return vector

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._embed(texts, "document", self.text_instruction)

    async def _embed(
        self, texts: list[str], input_type: Literal["query", "document"], instruction: str | None
    ) -> list[list[float]]:
        return await self._get_client().embed(
            self.model_name,
            texts,
            input_type=input_type,
            instruction=instruction,
            batch_size=self.batch_size,
            concurrency=self.concurrency,
            extra_input=self.additional_kwargs,
        )

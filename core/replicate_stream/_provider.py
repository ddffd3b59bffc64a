"""The provider convention: a class with one streaming class method. A thin face of the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, ClassVar

from replicate_stream._client import Client
from replicate_stream._errors import TOKENS_PAGE
from replicate_stream._event_stream import EventStream
from replicate_stream._lazy import public
from replicate_stream._settings import ApiKey
from replicate_stream._types.messages import Messages, TextDelta

_ACCEPT_JSON: Mapping[str, str] = MappingProxyType({"accept": "application/json"})
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@public
class Replicate:
    """Replicate for code that calls providers by this convention."""

    url: ClassVar[str] = "https://replicate.com"
    login_url: ClassVar[str] = TOKENS_PAGE
    working: ClassVar[bool] = True
    needs_auth: ClassVar[bool] = True
    default_model: ClassVar[str] = "meta/meta-llama-3-70b-instruct"
    models: ClassVar[list[str]] = [default_model]

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """The model to use for a name; the default for none."""
        return model or cls.default_model

    @classmethod
    def create_async_generator(
        cls,
        model: str | None,
        messages: Messages,
        api_key: ApiKey = None,
        proxy: str | None = None,
        timeout: float | None = 180,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop: str | Sequence[str] | None = None,
        extra_data: Mapping[str, Any] = _NOTHING,
        headers: Mapping[str, str] = _ACCEPT_JSON,
        **kwargs: Any,
    ) -> TextStream:
        """Stream the pieces of an answer's text.

        Args:
            model: A model of Replicate, as for `Client.stream`; empty: the default model.
            messages: A text, or a list of messages `{"role", "content"}`.
            api_key: The API token; `REPLICATE_API_TOKEN` by default.
            proxy: An HTTP proxy.
            timeout: The longest silence, in seconds.
            system_prompt: As for `Client.stream`, like the parameters up to `stop`.
            max_tokens: See above.
            temperature: See above.
            top_p: See above.
            top_k: See above.
            stop: See above.
            extra_data: Further inputs of the model under its own names.
            headers: Headers of the requests to the API. Not changed.
            **kwargs: What else `Client` (e.g. `base_url`) or `Client.stream` (e.g. `seed`)
                takes.

        Returns:
            An async iterator of texts, which can also be awaited first: both calling conventions
            are in use. Nothing is sent before the first text is asked for.

        Raises:
            MissingAuthError: A key is needed and there is none.
            ResponseError: An invalid reply: a bad status, or no `id`.
            TypeError: An argument that neither `Client` nor `Client.stream` knows.
        """
        settings = {name: kwargs.pop(name) for name in _SETTINGS & kwargs.keys()}
        client = Client(
            api_key,
            proxy=proxy,
            timeout=timeout,
            headers=headers,
            requires_auth=settings.pop("requires_auth", cls.needs_auth),
            **settings,
        )
        request = {
            "system_prompt": system_prompt,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "stop": stop,
            "extra_input": dict(extra_data) or None,
            "include_usage": False,
            **kwargs,
        }
        opening = client.stream(cls.get_model(model), messages, **request)
        return TextStream(_texts(client, opening))


_SETTINGS = frozenset({"base_url", "deadline", "max_retries", "on_unsupported", "requires_auth"})


class TextStream:
    """Texts to be iterated, with or without being awaited before."""

    def __init__(self, texts: AsyncGenerator[str, None]) -> None:
        self._texts = texts

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self._texts

    async def __anext__(self) -> str:
        return await self._texts.__anext__()

    def __await__(self) -> Generator[Any, None, TextStream]:
        return _itself(self).__await__()

    async def aclose(self) -> None:
        """Stop reading: the prediction is cancelled."""
        await self._texts.aclose()


async def _itself(stream: TextStream) -> TextStream:
    return stream


async def _texts(
    client: Client, opening: AbstractAsyncContextManager[EventStream]
) -> AsyncGenerator[str, None]:
    async with client, opening as events:
        async for event in events:
            if isinstance(event, TextDelta):
                yield event.text

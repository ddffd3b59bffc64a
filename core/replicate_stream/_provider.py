"""A provider class, as applications that choose between many services expect it, over `Client`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, ClassVar

from replicate_stream._client import Client
from replicate_stream._errors import TOKENS_PAGE
from replicate_stream._event_stream import EventStream
from replicate_stream._lazy import public
from replicate_stream._secrets import hide, hide_headers
from replicate_stream._settings import ApiKey
from replicate_stream._types.messages import Messages, TextDelta

# Read-only, because a default is shared by all calls.
_ACCEPT_JSON: Mapping[str, str] = MappingProxyType({"accept": "application/json"})
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@public
class Replicate:
    """Replicate as a provider class with one streaming class method."""

    url: ClassVar[str] = "https://replicate.com"
    login_url: ClassVar[str] = TOKENS_PAGE
    working: ClassVar[bool] = True
    needs_auth: ClassVar[bool] = True
    default_model: ClassVar[str] = "meta/meta-llama-3-70b-instruct"
    models: ClassVar[list[str]] = [default_model]

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """Return the model's name, or the default for an empty one."""
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
        extra_data: Mapping[str, Any] = _EMPTY,
        headers: Mapping[str, str] = _ACCEPT_JSON,
        **kwargs: Any,
    ) -> TextStream:
        """Stream the text of an answer, piece by piece.

        Args:
            model: A model of Replicate, as for `Client.stream`; the default model if empty.
            messages: A string, or a list of messages `{"role", "content"}`.
            api_key: The API token; `REPLICATE_API_TOKEN` by default.
            proxy: The URL of an HTTP proxy.
            timeout: The longest wait for the next data, in seconds.
            system_prompt: As for `Client.stream`, like the parameters up to `stop`.
            max_tokens: See above.
            temperature: See above.
            top_p: See above.
            top_k: See above.
            stop: See above.
            extra_data: Further inputs of the model under its own names.
            headers: Headers of the requests to the API. Not changed.
            **kwargs: Further arguments of `Client` (e.g. `base_url`) or of `Client.stream` (e.g.
                `seed`).

        Returns:
            An async iterator of strings, which can also be awaited first, because both calling
            conventions are in use. The request is sent for the first item.

        Raises:
            MissingAuthError: A token is required and missing.
            ResponseError: The response has an error status or no `id`.
            TypeError: Neither `Client` nor `Client.stream` has an argument of that name.
        """
        api_key, proxy, headers = hide(api_key), hide(proxy), hide_headers(headers)
        kwargs = {
            "requires_auth": cls.needs_auth,
            **kwargs,
            "base_url": hide(kwargs.get("base_url")),
        }
        settings = {name: kwargs.pop(name) for name in _CLIENT_ARGUMENTS & kwargs.keys()}
        client = Client(api_key, proxy=proxy, timeout=timeout, headers=headers, **settings)
        request = {
            "system_prompt": system_prompt,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "stop": stop,
            "extra_input": dict(extra_data) or None,
            "include_usage": False,  # saves a request; the caller gets text only
            **kwargs,
        }
        opening = client.stream(cls.get_model(model), messages, **request)
        return TextStream(_iterate_texts(client, opening))


_CLIENT_ARGUMENTS = frozenset(inspect.signature(Client).parameters)


class TextStream:
    """An async iterator of strings that may be awaited first, which returns the iterator."""

    def __init__(self, texts: AsyncGenerator[str, None]) -> None:
        self._texts = texts

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self._texts

    async def __anext__(self) -> str:
        return await self._texts.__anext__()

    def __await__(self) -> Generator[Any, None, TextStream]:
        yield from ()  # `await` wants an iterator, which a generator function returns
        return self

    async def aclose(self) -> None:
        """Stop the stream, which cancels the prediction."""
        await self._texts.aclose()


async def _iterate_texts(
    client: Client, opening: AbstractAsyncContextManager[EventStream]
) -> AsyncGenerator[str, None]:
    async with client, opening as events:
        async for event in events:
            if isinstance(event, TextDelta):
                yield event.text

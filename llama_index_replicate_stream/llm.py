"""`Replicate`, a thin face of the core client for LlamaIndex.

In:  ChatMessages or a prompt -> `_convert.to_core` -> `Client.stream`, which maps them, the tools
     and the parameters onto the model's own input.
Out: the client's events -> a reader of `_responses` -> cumulative responses; the last has `raw`.

Each public endpoint passes the framework's callback decorator once, and none calls another: that
would count every token twice. The async ones are async to the ground.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.bridge.pydantic import SecretStr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

import replicate_stream as core
from llama_index_replicate_stream._fields import Configured, refuse_unknown
from llama_index_replicate_stream._from_core import (
    ChatReader,
    CompletionReader,
    to_chat_response,
    to_completion_response,
)
from llama_index_replicate_stream._stream_callbacks import astreams, streams
from llama_index_replicate_stream._to_core import chat_request, completion_request
from replicate_stream import Client
from replicate_stream.adapters import iterate_blocking, run_blocking

T = TypeVar("T")
Read = Callable[["core.StreamEvent"], "T | None"]


class Replicate(Configured):
    """A language model on Replicate, streamed token by token.

        llm = Replicate(model="meta/meta-llama-3-70b-instruct")  # REPLICATE_API_TOKEN
        async for response in await llm.astream_complete("Why is the sky blue?"):
            print(response.delta, end="", flush=True)

    Every parameter of the answer, and `model=`, can be given for a single call too. What a model
    has no input for is an error before anything is paid, unless `on_unsupported` says otherwise.
    Any text model can be given tools: one without an input for them is told in the prompt.

    Args:
        model: `owner/name`, `owner/name:version`, a 64-hex version, or `deployments/owner/name`.
        api_key: The API token, a secret with `get_secret_value()`, or a function (async or not)
            that gives it for each request. `REPLICATE_API_TOKEN` by default. It is in no repr,
            no dict and no pickle.
        client: A core client to share; it replaces the settings of the connection.
        settings: Anything else, by its name. Of the answer: `temperature`, `max_tokens`, `top_p`,
            `top_k`, `stop`, `seed`, `presence_penalty`, `frequency_penalty`, `system_prompt`,
            `prompt_format`, `max_repairs`, `image`, and `additional_kwargs` for inputs under the
            model's own names. Of the connection: `base_url`, `proxy`, `timeout`, `deadline`,
            `max_retries`, `default_headers`, `on_unsupported`. For the framework's planning:
            `context_window`, `is_chat_model`, `is_function_calling_model`. And the fields of
            LlamaIndex's `LLM`.

    Raises:
        TypeError: An argument that is not known; it names the closest one that is.
        ValidationError: A value of the wrong type. It does not show the value, which may be secret.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | SecretStr | Callable[[], Any] | None = None,
        client: Client | None = None,
        **settings: Any,
    ) -> None:
        refuse_unknown(settings, (*type(self).model_fields, "api_key", "client"))
        super().__init__(model=model, **settings)
        self._api_key = api_key
        self._shared = client

    # Chat

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages."""
        return to_chat_response(self._complete(self._chat(messages, kwargs)))

    @streams(llm_chat_callback())
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer messages, token by token."""
        return self._stream(self._chat(messages, kwargs), ChatReader().read)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages."""
        return to_chat_response(await self._client().complete(**self._chat(messages, kwargs)))

    @astreams(llm_chat_callback())
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer messages, token by token."""
        return self._astream(self._chat(messages, kwargs), ChatReader().read)

    # Completion

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt. It is sent as it is, not as a chat, where the model takes prompts."""
        return to_completion_response(self._complete(self._prompt(prompt, formatted, kwargs)))

    @streams(llm_completion_callback())
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Complete a prompt, token by token."""
        return self._stream(self._prompt(prompt, formatted, kwargs), CompletionReader().read)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Complete a prompt."""
        request = self._prompt(prompt, formatted, kwargs)
        return to_completion_response(await self._client().complete(**request))

    @astreams(llm_completion_callback())
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Complete a prompt, token by token."""
        return self._astream(self._prompt(prompt, formatted, kwargs), CompletionReader().read)

    # A dry run

    def prepare(self, messages: str | Sequence[ChatMessage], **kwargs: Any) -> core.PreparedRequest:
        """What `chat` (`complete`, for a text) would send: it pays nothing and creates nothing.

        Returns:
            The URL, the body, and the notes: every adaptation to the model in a sentence.

        Raises:
            ReplicateError: As the call does up to the creation of the prediction.
        """
        return run_blocking(lambda: self.aprepare(messages, **kwargs))

    async def aprepare(
        self, messages: str | Sequence[ChatMessage], **kwargs: Any
    ) -> core.PreparedRequest:
        """The same for async code."""
        if isinstance(messages, str):
            request = self._prompt(messages, False, kwargs)
        else:
            request = self._chat(messages, kwargs)
        told = {name: value for name, value in request.items() if name not in _OF_THE_ANSWER}
        return await self._client().prepare(**told)

    # The way to the core

    def _chat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> dict[str, Any]:
        request = self._request(kwargs, is_chat=True)
        return chat_request(request, messages, self.messages_to_prompt, self.image)

    def _prompt(self, prompt: str, formatted: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
        request = self._request(kwargs, is_chat=False)
        render = None if formatted else self.completion_to_prompt
        return completion_request(request, prompt, render, self.image)

    def _complete(self, request: dict[str, Any]) -> core.Completion:
        client = self._client()
        return run_blocking(lambda: client.complete(**request))

    def _stream(self, request: dict[str, Any], read: Read[T]) -> Generator[T, None, None]:
        client = self._client()
        with closing(iterate_blocking(lambda: client.stream(**request))) as events:
            for event in events:
                response = read(event)
                if response is not None:
                    yield response

    async def _astream(self, request: dict[str, Any], read: Read[T]) -> AsyncGenerator[T, None]:
        async with self._client().stream(**request) as events:
            async for event in events:
                response = read(event)
                if response is not None:
                    yield response


_OF_THE_ANSWER = ("include_usage", "max_repairs")
"""What `Client.prepare` does not take: it is about what comes back."""

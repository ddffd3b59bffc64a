"""`Replicate`, a thin adapter over the core's client.

**Input (LlamaIndex -> core)**

1. A public method passes the framework's callback decorator, and `_build_chat_request` or
   `_build_completion_request`.
2. `ReplicateFields._merge_arguments` merges the call's arguments over the object's fields
   (`adapters.merge_arguments`) and converts tools to OpenAI's dicts (`_tools.convert_tools`).
3. `_to_core.PromptConverter` converts the messages or the prompt, the system prompt and the chat
   format, to `PromptArguments`.
4. `ReplicateFields._get_client` returns the client of the current settings, whose `stream` or
   `complete` prepares the model's input and creates the prediction.

**Output (core -> LlamaIndex)**

1. The client's `EventStream` yields events: `_from_core.ChatConverter.convert` or
   `CompletionConverter.convert` makes a response of each, with all that has arrived before it. The
   response of `Finished` alone has `raw`, with the token counts.
2. A `Completion` becomes a response by `_from_core.to_chat_response` or `to_completion_response`.
3. `_stream_callbacks` closes the stream when its consumer stops, which leaves the client's context
   and cancels the prediction.

The blocking methods run the same stream on the core's background loop (`stream_blocking`). No
public method calls another: each would pass the callback decorator, and count every token, twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

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
from llama_index_replicate_stream._fields import ReplicateFields
from llama_index_replicate_stream._from_core import (
    ChatConverter,
    CompletionConverter,
    to_chat_response,
    to_completion_response,
)
from llama_index_replicate_stream._hidden_inputs import hide_secret_inputs
from llama_index_replicate_stream._stream_callbacks import (
    Callback,
    astream_callback,
    stream_callback,
)
from llama_index_replicate_stream._to_core import PromptConverter
from replicate_stream import Client
from replicate_stream.adapters import (
    StreamLeft,
    finish_left,
    run_blocking,
    stream_blocking,
)

if TYPE_CHECKING:
    from llama_index.core.program.utils import FlexibleModel
    from llama_index.core.prompts import BasePromptTemplate
    from llama_index.core.types import Model
    from typing_extensions import Unpack

    from llama_index_replicate_stream._signatures import Settings

Response = TypeVar("Response")
Convert = Callable[["core.StreamEvent"], "Response | None"]

_chat_callback: Callback = llm_chat_callback()
_completion_callback: Callback = llm_completion_callback()


class Replicate(ReplicateFields):
    """A language model on Replicate, streamed token by token.

        llm = Replicate(model="meta/meta-llama-3-70b-instruct")  # REPLICATE_API_TOKEN
        async for response in await llm.astream_complete("Why is the sky blue?"):
            print(response.delta, end="", flush=True)

    Every parameter of the answer, and `model=`, can be given for a single call too. A parameter
    that the model has no input for is an error before anything is paid; see `on_unsupported`. Tools
    work on every text model: the prompt describes them where the model has no input for tools.

    Args:
        model: `owner/name`, `owner/name:version`, a 64-hex version, or `deployments/owner/name`.
        api_key: The API token, a secret with `get_secret_value()`, or a function (async or not)
            that returns the token for each request. Default: `REPLICATE_API_TOKEN`. It is left out
            of every repr, dict and pickle.
        client: A core client to share; settings of the connection are
            given to it.
        settings: The other fields. Of the answer: `temperature`, `max_tokens`, `top_p`, `top_k`,
            `stop`, `seed`, `presence_penalty`, `frequency_penalty`, `reasoning_effort`,
            `system_prompt`, `prompt_format`, `max_repairs`, `coalesce`, `image`, and
            `additional_kwargs` for inputs under the model's own names.
            Of the connection: `base_url`, `proxy`, `timeout`, `deadline`, `max_retries`,
            `default_headers`, `on_unsupported`, `dialect`, `prices`, `budget`, `on_prediction`.
            For the framework's planning: `context_window`, `is_chat_model`,
            `is_function_calling_model`. And the fields of LlamaIndex's `LLM`.

    Raises:
        TypeError: An argument is unknown; the message has the closest known name.
        ValidationError: A value is of the wrong type. The message leaves out the value, which may
            be secret.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            model: str,
            *,
            api_key: str | SecretStr | Callable[[], Any] | None = None,
            client: Client | None = None,
            **settings: Unpack[Settings],
        ) -> None: ...

        # The framework's own decorators lose these types.
        def structured_predict(
            self,
            output_cls: type[Model],
            prompt: BasePromptTemplate,
            llm_kwargs: dict[str, Any] | None = None,
            **prompt_args: Any,
        ) -> Model:
            """Predict an object of a class, from a prompt and values of its variables."""
            ...

        async def astructured_predict(
            self,
            output_cls: type[Model],
            prompt: BasePromptTemplate,
            llm_kwargs: dict[str, Any] | None = None,
            **prompt_args: Any,
        ) -> Model:
            """Predict an object of a class, from a prompt and values of its variables."""
            ...

        def stream_structured_predict(
            self,
            output_cls: type[Model],
            prompt: BasePromptTemplate,
            llm_kwargs: dict[str, Any] | None = None,
            **prompt_args: Any,
        ) -> Generator[Model | FlexibleModel, None, None]:
            """Predict an object, with the fields that have arrived; the last is whole."""
            ...

        async def astream_structured_predict(
            self,
            output_cls: type[Model],
            prompt: BasePromptTemplate,
            llm_kwargs: dict[str, Any] | None = None,
            **prompt_args: Any,
        ) -> AsyncGenerator[Model | FlexibleModel, None]:
            """Predict an object, with the fields that have arrived; the last is whole."""
            ...

    else:

        def __init__(
            self,
            model: str,
            *,
            api_key: str | SecretStr | Callable[[], Any] | None = None,
            client: Client | None = None,
            **settings: Any,
        ) -> None:
            if isinstance(api_key, str):
                api_key = SecretStr(api_key)
            settings["model"] = model
            self._initialize(api_key, client, settings)

    # Chat

    @hide_secret_inputs(_chat_callback)
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages."""
        return to_chat_response(self._complete(self._build_chat_request(messages, kwargs)))

    @hide_secret_inputs(stream_callback(_chat_callback))
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer messages, token by token."""
        return self._stream(self._build_chat_request(messages, kwargs), ChatConverter().convert)

    @hide_secret_inputs(_chat_callback)
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages."""
        request = self._build_chat_request(messages, kwargs)
        return to_chat_response(await self._get_client().complete(**request))

    @hide_secret_inputs(astream_callback(_chat_callback))
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer messages, token by token."""
        return self._astream(self._build_chat_request(messages, kwargs), ChatConverter().convert)

    # Completion

    @hide_secret_inputs(_completion_callback)
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt. It is sent without a chat format to models that take prompts."""
        request = self._build_completion_request(prompt, formatted, kwargs)
        return to_completion_response(self._complete(request))

    @hide_secret_inputs(stream_callback(_completion_callback))
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Complete a prompt, token by token."""
        request = self._build_completion_request(prompt, formatted, kwargs)
        return self._stream(request, CompletionConverter().convert)

    @hide_secret_inputs(_completion_callback)
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Complete a prompt."""
        request = self._build_completion_request(prompt, formatted, kwargs)
        return to_completion_response(await self._get_client().complete(**request))

    @hide_secret_inputs(astream_callback(_completion_callback))
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Complete a prompt, token by token."""
        request = self._build_completion_request(prompt, formatted, kwargs)
        return self._astream(request, CompletionConverter().convert)

    # Dry runs

    def prepare(self, messages: str | Sequence[ChatMessage], **kwargs: Any) -> core.PreparedRequest:
        """Prepare the request that `chat` would send: a dry run, which pays nothing.

        Args:
            messages: As for `chat`; or a prompt, as for `complete`.
            kwargs: Arguments of a call.

        Returns:
            The URL, the body, and the notes: every adaptation to the model in a sentence.

        Raises:
            ReplicateError: As `chat` does up to the creation of the prediction.
        """
        return run_blocking(lambda: self.aprepare(messages, **kwargs))

    async def aprepare(
        self, messages: str | Sequence[ChatMessage], **kwargs: Any
    ) -> core.PreparedRequest:
        """Prepare the request that `achat` would send; see `prepare`."""
        if isinstance(messages, str):
            request = self._build_completion_request(messages, False, kwargs)
        else:
            request = self._build_chat_request(messages, kwargs)
        return await self._get_client().prepare(**request)

    # The core's client

    def _build_chat_request(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Build the arguments of `Client.stream` for a chat."""
        arguments = self._merge_arguments(kwargs, is_chat=True)
        prompt = self._make_converter(arguments).convert_chat(messages, self.messages_to_prompt)
        return {**arguments, **prompt._asdict()}

    def _build_completion_request(
        self, prompt: str, formatted: bool, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Build the arguments of `Client.stream` for a completion."""
        arguments = self._merge_arguments(kwargs, is_chat=False)
        render = None if formatted else self.completion_to_prompt
        converted = self._make_converter(arguments).convert_prompt(prompt, render)
        return {**arguments, **converted._asdict()}

    def _make_converter(self, arguments: Mapping[str, Any]) -> PromptConverter:
        return PromptConverter(arguments["system_prompt"], arguments["prompt_format"], self.image)

    def _complete(self, request: dict[str, Any]) -> core.Completion:
        client = self._get_client()
        return run_blocking(lambda: client.complete(**request))

    def _stream(
        self, request: dict[str, Any], convert: Convert[Response]
    ) -> Generator[Response, None, None]:
        client = self._get_client()
        with closing(stream_blocking(client, request)) as events:
            for event in events:
                if (response := convert(event)) is None:
                    continue
                try:
                    yield response
                except StreamLeft as left:
                    end = events.throw(left)
                    yield response  # what `throw` returns
                    last = None if isinstance(event, core.Finished) else convert(end)
                    if last is not None:
                        yield last
                    return

    async def _astream(
        self, request: dict[str, Any], convert: Convert[Response]
    ) -> AsyncGenerator[Any, None]:
        async with self._get_client().stream(**request) as events:
            try:
                async for event in events:
                    if (response := convert(event)) is None:
                        continue
                    try:
                        yield response
                    except StreamLeft:
                        await events.aclose()
                        yield response  # what `athrow` returns
                        end = finish_left(events)
                        last = None if isinstance(event, core.Finished) else convert(end)
                        if last is not None:
                            yield last
                        return
            except asyncio.CancelledError as cancellation:
                await events.aclose()
                if (last := convert(finish_left(events))) is None:
                    raise
                try:
                    yield last
                except StreamLeft:
                    yield cancellation  # what `athrow` returns
                    return
                raise

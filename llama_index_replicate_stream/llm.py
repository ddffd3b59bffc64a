"""`Replicate`, a thin face of the core client for LlamaIndex.

In:  ChatMessages or a prompt -> `_convert.to_core` -> `Client.stream`, which maps them and the
     parameters onto the model's own input.
Out: the client's events -> a reader of `_convert` -> cumulative responses; the last has `raw`.

Each public endpoint passes the framework's callback decorator once, and none calls another: that
would count every token twice. The async ones are async to the ground.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Any, Literal, TypeVar

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM

from llama_index_replicate_stream._arguments import PARAMETERS, for_the_client, refuse_unknown
from llama_index_replicate_stream._closing import astreams, streams
from llama_index_replicate_stream._convert import (
    ChatReader,
    CompletionReader,
    to_chat_response,
    to_completion_response,
    to_core,
)
from replicate_stream import (
    Client,
    Completion,
    Message,
    PreparedRequest,
    StreamEvent,
    without_secrets,
)
from replicate_stream._sync import call, iterate

T = TypeVar("T")
Read = Callable[[StreamEvent], "T | None"]


class Replicate(CustomLLM):
    """A language model on Replicate, streamed token by token.

        llm = Replicate(model="meta/meta-llama-3-70b-instruct")  # REPLICATE_API_TOKEN
        async for response in await llm.astream_complete("Why is the sky blue?"):
            print(response.delta, end="", flush=True)

    Every parameter of the answer, and `model=`, can be given for a single call too. What a model
    has no input for is an error before anything is paid, unless `on_unsupported` says otherwise.

    Args:
        model: `owner/name`, `owner/name:version`, a 64-hex version, or `deployments/owner/name`.
        api_key: The API token, a secret with `get_secret_value()`, or a function (async or not)
            that gives it for each request. `REPLICATE_API_TOKEN` by default. It is in no repr,
            no dict and no pickle.
        client: A core client to share; it replaces the settings of the connection.
        settings: The fields below, and those of LlamaIndex's `LLM`.

    Raises:
        TypeError: An argument that is not known; it names the closest one that is.
        ValidationError: A value of the wrong type. It does not show the value, which may be secret.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(description="Which model: owner/name, with a version, or a deployment.")
    base_url: str | None = Field(default=None, description="The API; REPLICATE_BASE_URL if None.")
    proxy: str | None = Field(
        default=None, exclude=True, repr=False, description="An HTTP proxy for everything."
    )
    timeout: float | None = Field(default=180.0, description="The longest silence, in seconds.")
    deadline: float | None = Field(default=None, description="The longest answer, in seconds.")
    max_retries: int = Field(default=2, description="How often a failed request is repeated.")
    default_headers: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Further headers for the API."
    )
    on_unsupported: Literal["raise", "warn", "ignore"] = Field(
        default="raise", description="What to do about a parameter the model has no input for."
    )
    system_prompt: str | None = Field(
        default=None, repr=False, description="A system text before those among the messages."
    )
    temperature: float | None = Field(default=None, description="Randomness; None: the model's.")
    max_tokens: int | None = Field(default=None, description="The longest answer, in tokens.")
    top_p: float | None = Field(default=None, description="Sample from this total probability.")
    top_k: int | None = Field(default=None, description="Sample from this many tokens.")
    stop: list[str] | str | None = Field(default=None, description="Texts that end the answer.")
    seed: int | None = Field(default=None, description="For repeatable answers.")
    presence_penalty: float | None = Field(default=None, description="Against tokens seen before.")
    frequency_penalty: float | None = Field(default=None, description="The same, by their number.")
    prompt_format: str | None = Field(
        default=None, description="The family whose chat format is used; None: the model's own."
    )
    context_window: int = Field(
        default=DEFAULT_CONTEXT_WINDOW, gt=0, description="Tokens that the model can hold."
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="Further inputs of the model under its own names.",
    )

    _api_key: Any = PrivateAttr(default=None)
    _shared: Client | None = PrivateAttr(default=None)
    _own: tuple[dict[str, Any], Client] | None = PrivateAttr(default=None)

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

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What is set, without the framework's own fields: two of them are prompts."""
        for name, value in super().__repr_args__():
            if name not in CustomLLM.model_fields and value is not None:
                yield name, value

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized forms, which never changes."""
        return "replicate_stream_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What the framework plans with. No I/O."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=True,
            is_function_calling_model=False,
            model_name=self.model,
        )

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
        """Complete a prompt."""
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

    def prepare(self, messages: str | Sequence[ChatMessage], **kwargs: Any) -> PreparedRequest:
        """What `chat` (`complete`, for a text) would send: it pays nothing and creates nothing.

        Returns:
            The URL, the body, and the notes: every adaptation to the model in a sentence.

        Raises:
            ReplicateError: As the call does up to the creation of the prediction.
        """
        return call(lambda: self.aprepare(messages, **kwargs))

    async def aprepare(
        self, messages: str | Sequence[ChatMessage], **kwargs: Any
    ) -> PreparedRequest:
        """The same for async code."""
        if isinstance(messages, str):
            request = self._prompt(messages, False, kwargs)
        else:
            request = self._chat(messages, kwargs)
        request.pop("include_usage", None)
        return await self._client().prepare(**request)

    # The way to the core

    def _complete(self, request: dict[str, Any]) -> Completion:
        client = self._client()
        return call(lambda: client.complete(**request))

    def _stream(self, request: dict[str, Any], read: Read[T]) -> Generator[T, None, None]:
        client = self._client()
        with closing(iterate(lambda: client.stream(**request))) as events:
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

    def _chat(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> dict[str, Any]:
        request = self._request(kwargs)
        system = [m.content for m in messages[:1] if m.role == MessageRole.SYSTEM]
        if system == [request["system_prompt"]]:
            request["system_prompt"] = None  # `predict` has put it among the messages already
        render = self.messages_to_prompt
        if render is None or render is messages_to_prompt:
            return {**request, "messages": to_core(messages)}
        return {**request, "messages": [Message("user", render(messages))]}

    def _prompt(self, prompt: str, formatted: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        return {**self._request(kwargs), "messages": [Message("user", prompt)]}

    def _request(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in PARAMETERS}
        return for_the_client(own, self.additional_kwargs, kwargs)

    def _client(self) -> Client:
        """The shared client, or one for the settings as they are now."""
        if self._shared is not None:
            return self._shared
        settings = {name: getattr(self, name) for name in _CONNECTION}
        settings["headers"] = dict(self.default_headers or {})
        settings["api_key"] = self._api_key
        if self._own is None or self._own[0] != settings:
            self._own = (settings, Client(**settings))
        return self._own[1]

    def __getstate__(self) -> dict[Any, Any]:
        """The state for a pickle: without secrets. The token is read again where it is loaded."""
        bare = self.model_copy()
        bare.__pydantic_private__ = {
            "_api_key": self._api_key if callable(self._api_key) else None,
            "_shared": self._shared,
            "_own": None,
        }
        bare.proxy, bare.default_headers = without_secrets(self.proxy, self.default_headers)
        state: dict[Any, Any] = super(Replicate, bare).__getstate__()
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore from a pickle. The framework's own way loses what is private."""
        super().__setstate__(state)
        private = state.get("__pydantic_private__") or {}
        self._api_key, self._shared = private.get("_api_key"), private.get("_shared")


_CONNECTION = ("base_url", "proxy", "timeout", "deadline", "max_retries", "on_unsupported")

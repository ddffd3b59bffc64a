"""`ChatReplicate`, a thin face of the core client.

In:  LangChain messages -> `_convert.to_core` -> `Client.stream`, which maps them and the
     parameters onto the model's own input.
Out: the client's events -> `_chunks.Chunks` -> chunks; the last one alone has the metadata.

The sync methods drive the same stream on the core's background loop. A consumer that stops leaves
the client's context, which cancels the prediction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models import LangSmithParams

import replicate_stream as core
from langchain_replicate_stream._arguments import CONNECTION, PARAMETERS, for_the_client, the_stop
from langchain_replicate_stream._errors import as_langchains
from langchain_replicate_stream._fields import Own, Settings
from langchain_replicate_stream._from_core import Chunks, text_chunk
from langchain_replicate_stream._from_core_message import PROVIDER, to_result
from langchain_replicate_stream._profile import profile_of
from langchain_replicate_stream._to_core import to_core
from langchain_replicate_stream._token_counting import MARKS, dumped, text_of, token_ids
from langchain_replicate_stream._tools import converted, to_format, to_tools
from replicate_stream import Client
from replicate_stream.adapters import iterate_blocking, run_blocking

if TYPE_CHECKING:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LanguageModelInput, ModelProfile
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable

    from langchain_replicate_stream._tools import Schema, ToolLike


class ChatReplicate(Settings):
    """A chat model on Replicate, streamed token by token.

        llm = ChatReplicate(model="meta/meta-llama-3-70b-instruct")  # REPLICATE_API_TOKEN
        async for chunk in llm.astream("Why is the sky blue?"):
            print(chunk.text, end="", flush=True)

    Every parameter of the answer, and `model=`, can be given for a single call too. What a model
    has no input for is an error before anything is paid, unless `on_unsupported` says otherwise.

    Whoever leaves a stream early stops paying: the prediction is cancelled. The framework itself
    reads on to the end behind a blocking chain that is left, `(llm | parser).stream(…)`, and behind
    a blocking stream of LangGraph; asynchronous ones are left at once.

    Raises:
        ValidationError: An argument that is not known; it names the closest one that is.
    """

    @property
    def _llm_type(self) -> str:
        return "replicate-stream"

    def _resolve_model_profile(self) -> ModelProfile:
        # More is known once the model has been run in this process, by whichever object.
        return profile_of(self._client().capabilities(self.model))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=str(kwargs.get("model") or self.model),
            ls_model_type="chat",
        )
        temperature = kwargs.get("temperature", self.temperature)
        if temperature is not None:
            params["ls_temperature"] = temperature
        max_tokens = kwargs.get("max_tokens", self.max_tokens)
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        stops = the_stop(stop, kwargs, self.stop)
        if stops and isinstance(stops, Sequence):  # what is no such thing is refused with the rest
            params["ls_stop"] = [stops] if isinstance(stops, str) else list(stops)
        return params

    def _client(self) -> Client:
        """The shared client, or one for the settings as they are now."""
        if self.client is not None:
            return self.client
        settings = {name: getattr(self, name) for name in CONNECTION}
        settings["headers"] = dict(settings.pop("default_headers") or {})
        client = self._own.client
        if client is None or self._own.settings != settings:
            client = Client(**settings)
            self._own = Own(settings, client)
        return client

    def _request(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `Client.stream`: this object's, and over them those of the call."""
        own = {name: getattr(self, name) for name in (*PARAMETERS, "stream_usage")}
        return for_the_client(own, stop, converted(kwargs))

    def _said(self, messages: list[BaseMessage]) -> list[core.Message]:
        return to_core(messages, files=f"{self._client().base_url}/files")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self._request(stop, kwargs)
        chunks = Chunks(request["model"])
        with as_langchains():
            async with self._client().stream(messages=self._said(messages), **request) as events:
                async for event in events:
                    if isinstance(event, core.TextDelta):  # as nearly all are
                        yield text_chunk(event)
                        continue
                    for chunk in chunks.of(event):
                        yield chunk

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(stop, kwargs)
        with as_langchains():
            completion = await self._client().complete(messages=self._said(messages), **request)
        return to_result(completion, request["model"])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._request(stop, kwargs)
        chunks = Chunks(request["model"])
        with as_langchains():
            said, client = self._said(messages), self._client()
            with closing(
                iterate_blocking(lambda: client.stream(messages=said, **request))
            ) as events:
                for event in events:
                    if isinstance(event, core.TextDelta):
                        yield text_chunk(event)
                        continue
                    yield from chunks.of(event)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(stop, kwargs)
        with as_langchains():
            said, client = self._said(messages), self._client()
            completion = run_blocking(lambda: client.complete(messages=said, **request))
        return to_result(completion, request["model"])

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        response_format: Schema | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools that it may call. Works on every text model.

        Args:
            tools: Tools, functions, Pydantic classes, TypedDicts, JSON schemas with a title, or
                the dicts of OpenAI, Anthropic and Amazon; may be empty.
            tool_choice: `auto` (the default), `none` or False, `any`, `required` or True for at
                least one call, a tool's name, or OpenAI's or Anthropic's dict for one of these.
            parallel_tool_calls: False: one call in an answer at most.
            strict: Asks models that know of it to keep to the schemas exactly.
            response_format: The form of an answer that calls no tool: a schema as for
                `with_structured_output`, or OpenAI's dict. The answer's text is bare JSON then.
            **kwargs: What a call may override, e.g. `temperature` or `max_repairs`.

        Raises:
            ValueError: A tool or a schema is of no kind that is known.
        """
        bound: dict[str, Any] = {"tools": to_tools(tools, strict=strict)}
        if tool_choice is not None:
            bound["tool_choice"] = tool_choice
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            bound["response_format"] = to_format(response_format, strict=strict)
        return self.bind(**bound, **kwargs)

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model, answering with objects. Works on every text model.

        Args:
            schema: A Pydantic class (of version 1 too), a TypedDict, or a JSON schema; classes give
                instances, the others dicts.
            method: `json_schema`: JSON that is checked against the schema, by the model's own field
                where it has one. `function_calling`: as the call of a tool. `json_mode`: any JSON
                object; the prompt has to say which.
            include_raw: Give a dict of the message (`raw`), what was read of it (`parsed`), and the
                error (`parsing_error`) in place of raising it.
            strict: Asks models that know of it to keep to the schema exactly.
            **kwargs: What a call may override, e.g. `temperature` or `max_repairs`.

        Raises:
            ValueError: The method is not known, or does not fit the other arguments.
        """
        from langchain_replicate_stream._structured_output import structured

        return structured(
            self, schema, method, include_raw=include_raw, strict=strict, given=kwargs
        )

    def get_token_ids(self, text: str) -> list[int]:
        """A number for each piece of a text that is about a token.

        They are no ids of the model's vocabulary, which would have to be downloaded: their count is
        what they are for. `custom_get_token_ids` gives exact ones.
        """
        custom = self.custom_get_token_ids
        return token_ids(text) if custom is None else custom(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[ToolLike] | None = None
    ) -> int:
        """About how many tokens messages have, their format's marks and tools included.

        Counted without the model's vocabulary, as `get_num_tokens` is: English and code come out
        within about a tenth, other languages up to half too low. Images and files are not counted.
        """
        told = [dumped(tool) for tool in to_tools(tools or (), strict=None)]
        said = [text_of(message) for message in to_core(messages)]
        return MARKS * len(said) + sum(self.get_num_tokens(text) for text in (*told, *said))

    def prepare(
        self, messages: LanguageModelInput, stop: list[str] | None = None, **kwargs: Any
    ) -> core.PreparedRequest:
        """What `invoke` would send: a dry run that pays nothing and creates nothing.

        Args:
            messages: What `invoke` takes.
            stop: As for `invoke`.
            **kwargs: What a call may override.

        Returns:
            The URL, the body, and the notes: every adaptation to the model in a sentence.

        Raises:
            ReplicateError: As `invoke` does up to the creation of the prediction.
        """
        return run_blocking(lambda: self.aprepare(messages, stop, **kwargs))

    async def aprepare(
        self, messages: LanguageModelInput, stop: list[str] | None = None, **kwargs: Any
    ) -> core.PreparedRequest:
        """The same for async code."""
        request = self._request(stop, kwargs)
        del request["include_usage"], request["max_repairs"]
        with as_langchains():
            said = self._said(self._convert_input(messages).to_messages())
            return await self._client().prepare(messages=said, **request)

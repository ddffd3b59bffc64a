"""`ChatReplicate`, a thin adapter over the core's client.

**Input (LangChain -> core)**

1. `ainvoke`, `astream` and their blocking twins end, through the framework, in `_agenerate`,
   `_astream`, `_generate` or `_stream`.
2. `ChatReplicateFields._build_request` merges the call's arguments over the object's fields
   (`adapters.merge_arguments`), and converts the messages (`_to_core.to_core`), the tools and the
   format (`_tools.convert_arguments`).
3. It also returns the client of the current settings (`_get_client`), whose `stream` or `complete`
   prepares the model's input and creates the prediction.

**Output (core -> LangChain)**

1. The client's `EventStream` yields events, nearly all of them a `TextDelta`.
   `_from_core.ChunkConverter.convert` makes their `ChatGenerationChunk`s. The last one alone, that
   of `Finished`, has metadata.
2. A `Completion` becomes a `ChatResult` by `_from_core.to_result`.
3. The core's errors become those of `errors`, which are LangChain's too, by
   `_from_core.raise_as_langchain`.

The blocking methods run the same stream on the core's background loop (`stream_blocking`). A
consumer that stops leaves the client's context, which cancels the prediction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

# These are not under TYPE_CHECKING: `with_fallbacks` resolves the annotations of the methods that
# it passes on, such as `bind_tools`.
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable

import replicate_stream as core
from langchain_replicate_stream._events import EventConverter
from langchain_replicate_stream._fields import ChatReplicateFields
from langchain_replicate_stream._from_core import (
    ChunkConverter,
    raise_as_langchain,
    restore_malformed_calls,
    to_result,
)
from langchain_replicate_stream._profile import make_profile
from langchain_replicate_stream._to_core import to_core
from langchain_replicate_stream._token_counting import count_tokens, split_into_ids
from langchain_replicate_stream._tools import (
    Method,
    Schema,
    ToolLike,
    to_openai_tools,
    to_response_format,
)
from replicate_stream.adapters import run_blocking, stream_blocking

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_protocol.protocol import MessagesData
    from typing_extensions import Unpack

    from langchain_replicate_stream._signatures import Settings, StructuredOutput


_T = TypeVar("_T")


class ChatReplicate(ChatReplicateFields):
    """A chat model on Replicate, streamed token by token.

        llm = ChatReplicate(model="meta/meta-llama-3-70b-instruct")  # REPLICATE_API_TOKEN
        async for chunk in llm.astream("Why is the sky blue?"):
            print(chunk.text, end="", flush=True)

    Every parameter of the answer, and `model=`, can be given for a single call too. A parameter
    that the model has no input for is an error before anything is paid; see `on_unsupported`.

    Leaving a stream early cancels the prediction, and stops the costs. The framework itself reads
    to the end behind a blocking chain that is left, `(llm | parser).stream(…)`, behind a blocking
    stream of LangGraph, and behind an agent whose web client hangs up;
    `replicate_stream.cancel_on_exit` stops the last.

    Raises:
        ValidationError: An argument is unknown, with the closest known name, or of the wrong type.
    """

    if TYPE_CHECKING:  # checkers know an argument by its field's name alone, and not by its alias

        @overload
        def __init__(self, *, model: str, **settings: Unpack[Settings]) -> None: ...
        @overload
        def __init__(self, *, model_name: str, **settings: Unpack[Settings]) -> None: ...
        def __init__(self, **settings: Any) -> None: ...

    def _resolve_model_profile(self) -> ModelProfile:
        # More is known once the model has been run in this process, by whichever object.
        self._capabilities = self._get_client().capabilities(self.model)
        return make_profile(self.model, self._capabilities)

    def _refresh_profile(self, client: core.Client) -> None:
        """Complete the profile once the model's schema is known, unless it was given."""
        if self._capabilities is None:
            return
        capabilities = client.capabilities(self.model)
        if capabilities != self._capabilities:
            self._capabilities = capabilities
            self.profile = make_profile(self.model, capabilities)

    def load_profile(self) -> ModelProfile:
        """Look the model up, free of charge, and return its profile; see `aprofile`."""
        return run_blocking(self.aprofile)

    async def aprofile(self) -> ModelProfile:
        """Look the model up, free of charge, and return its profile.

        Without it the profile of a model that was not run yet in this process holds what its name
        shows, and `create_agent` may choose another strategy for structured output than later.
        A `profile` that was given to the constructor is kept.

        Raises:
            ReplicateError: The look-up failed.
        """
        client = self._get_client()
        with raise_as_langchain():
            await client.describe(self.model)
        self._refresh_profile(client)
        return self.profile or {}

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with raise_as_langchain():
            client, request = self._build_request(messages, stop, kwargs)
            converter = ChunkConverter(request["model"])
            try:
                async with client.stream(**request) as events:
                    self._refresh_profile(client)
                    async for event in events:
                        for chunk in converter.convert(event):
                            # The framework passes a manager where it does not report tokens itself.
                            if run_manager is not None:
                                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
            except core.ReplicateError as error:
                for chunk in converter.convert_error(error):
                    yield chunk
                raise

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        """Stream the events of version 3, for which the framework asks by this name."""
        with raise_as_langchain():
            client, request = self._build_request(messages, stop, kwargs)
            converter = EventConverter(request["model"])
            chunks = ChunkConverter(request["model"])
            has_handlers = run_manager is not None and bool(run_manager.handlers)
            async with client.stream(**request) as events:
                self._refresh_profile(client)
                yield converter.start()
                async for event in events:
                    if has_handlers and run_manager is not None:
                        for chunk in chunks.convert(event):
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    for converted in converter.convert(event):
                        yield converted

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with raise_as_langchain():
            client, request = self._build_request(messages, stop, kwargs)
            try:
                completion = await client.complete(**request)
            finally:
                self._refresh_profile(client)
        return to_result(completion, request["model"])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with raise_as_langchain():
            client, request = self._build_request(messages, stop, kwargs)
            converter = ChunkConverter(request["model"])
            try:
                with closing(stream_blocking(client, request)) as events:
                    for event in events:
                        for chunk in converter.convert(event):
                            if run_manager is not None:
                                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
                self._refresh_profile(client)
            except core.ReplicateError as error:
                self._refresh_profile(client)
                yield from converter.convert_error(error)
                raise

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        """Stream the events of version 3; see `_astream_chat_model_events`."""
        with raise_as_langchain():
            client, request = self._build_request(messages, stop, kwargs)
            converter = EventConverter(request["model"])
            chunks = ChunkConverter(request["model"])
            has_handlers = run_manager is not None and bool(run_manager.handlers)
            with closing(stream_blocking(client, request)) as events:
                yield converter.start()
                for event in events:
                    if has_handlers and run_manager is not None:
                        for chunk in chunks.convert(event):
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield from converter.convert(event)
            self._refresh_profile(client)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run_blocking(lambda: self._agenerate(messages, stop, **kwargs))

    # Where an `invoke` streams, as it does in an agent that is streamed, the framework sums chunks
    # in these two. There is no later place before callbacks get the message.

    def _generate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        return restore_malformed_calls(super()._generate_with_cache(*args, **kwargs))

    async def _agenerate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        return restore_malformed_calls(await super()._agenerate_with_cache(*args, **kwargs))

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
        """Return this model with tools that it may call. Works on every text model.

        Args:
            tools: Tools, functions, Pydantic classes, TypedDicts, JSON schemas with a title, or
                the dicts of OpenAI, Anthropic and Amazon; may be empty.
            tool_choice: `auto` (the default), `none` or False, `any`, `required` or True for at
                least one call, a tool's name, or OpenAI's or Anthropic's dict for one of these.
            parallel_tool_calls: False allows at most one call in an answer.
            strict: Asks models that support it to keep to the schemas exactly.
            response_format: The format of an answer that calls no tool: a schema as for
                `with_structured_output`, or OpenAI's dict. The answer's text is then bare JSON.
            **kwargs: Arguments of a call, e.g. `temperature` or `max_repairs`.

        Raises:
            ValueError: A tool or a schema is of an unknown type.
        """
        bound: dict[str, Any] = {"tools": to_openai_tools(tools, strict=strict)}
        if tool_choice is not None:
            bound["tool_choice"] = tool_choice
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            bound["response_format"] = to_response_format(response_format, strict=strict)
        return self.bind(**bound, **kwargs)

    @overload
    def with_structured_output(
        self,
        schema: type[_T],
        *,
        method: Method = ...,
        include_raw: Literal[False] = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, _T]: ...
    @overload
    def with_structured_output(
        self,
        schema: type[_T],
        *,
        method: Method = ...,
        include_raw: Literal[True],
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, StructuredOutput[_T]]: ...
    @overload
    def with_structured_output(
        self,
        schema: Schema | None = ...,
        *,
        method: Method = ...,
        include_raw: bool = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]: ...
    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model, answering with objects. Works on every text model.

        Args:
            schema: A Pydantic class (of version 1 too), a dataclass, a TypedDict, or a JSON schema;
                the first two return instances, the others dicts.
            method: `json_schema`: JSON that is validated against the schema, through the model's
                own input where it has one. `function_calling`: a call of a tool. `json_mode`: any
                JSON object, which the prompt has to describe; a schema of something else is sent.
            include_raw: Return a dict with the message (`raw`), its parsed value (`parsed`), and
                the error (`parsing_error`) instead of raising it.
            strict: Asks models that support it to keep to the schema exactly.
            **kwargs: Arguments of a call, e.g. `temperature` or `max_repairs`.

        Raises:
            ValueError: The method is unknown, or does not fit the other arguments.
        """
        # Its parsers are needed by few, and take long to import.
        from langchain_replicate_stream._structured_output import build_runnable

        return build_runnable(
            self, schema, method, include_raw=include_raw, strict=strict, kwargs=kwargs
        )

    def get_token_ids(self, text: str) -> list[int]:
        """Split a text into approximate tokens, as numbers.

        Only their count is meaningful: the ids of the model's own vocabulary would need a download.
        `custom_get_token_ids` replaces them by exact ones.
        """
        custom = self.custom_get_token_ids
        return split_into_ids(text) if custom is None else custom(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[ToolLike] | None = None
    ) -> int:
        """Count approximately the tokens of messages, with their chat format and the tools.

        Counted without the model's vocabulary, as by `get_num_tokens`: English and code within
        about a tenth, other languages up to half too low. Images and files are not counted.
        """
        converted_tools = to_openai_tools(tools or (), strict=None)
        return count_tokens(to_core(messages), converted_tools, self.get_num_tokens)

    def prepare(
        self, messages: LanguageModelInput, stop: list[str] | None = None, **kwargs: Any
    ) -> core.PreparedRequest:
        """Prepare the request that `invoke` would send: a dry run, which pays nothing.

        Args:
            messages: As for `invoke`.
            stop: As for `invoke`.
            **kwargs: Arguments of a call.

        Returns:
            The URL, the body, and the notes: every adaptation to the model in a sentence.

        Raises:
            ReplicateError: As `invoke` does up to the creation of the prediction.
        """
        return run_blocking(lambda: self.aprepare(messages, stop, **kwargs))

    async def aprepare(
        self, messages: LanguageModelInput, stop: list[str] | None = None, **kwargs: Any
    ) -> core.PreparedRequest:
        """Prepare the request that `ainvoke` would send; see `prepare`."""
        converted = self._convert_input(messages).to_messages()
        with raise_as_langchain():
            client, request = self._build_request(converted, stop, kwargs)
            return await client.prepare(**request)

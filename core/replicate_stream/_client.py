"""The client: joins what is said (`_chat`) with how it travels (`_wire`)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from replicate_stream._errors import InvalidInputError
from replicate_stream._lazy import public
from replicate_stream._settings import ApiKey, Settings, read_settings

if TYPE_CHECKING:
    from replicate_stream._api.models import Model, ModelRef
    from replicate_stream._api.prediction_run import PredictionRun
    from replicate_stream._event_stream import EventStream
    from replicate_stream._model.capabilities import ModelCapabilities
    from replicate_stream._model.input_schema import InputSchema
    from replicate_stream._types.messages import Completion, Message, Messages, ToolSpec
    from replicate_stream._types.prepared import PreparedInput, PreparedRequest

OnUnsupported: TypeAlias = Literal["raise", "warn", "ignore"]
_log = logging.getLogger("replicate_stream")


@public
class Client:
    """Streams the answers of Replicate's language models.

    Making one does no I/O. It can be used in any number of event loops and threads, copied and
    pickled. A pickle holds no token, and takes `REPLICATE_API_TOKEN` where it is loaded.

    Args:
        api_key: The API token, a secret with `get_secret_value()`, or a function (async or not)
            that gives the token for each request. `REPLICATE_API_TOKEN` by default.
        base_url: The API's address, with or without `/v1`. `REPLICATE_BASE_URL` by default, else
            `https://api.replicate.com/v1`.
        proxy: An HTTP proxy for everything, `http://user:password@host:port`. By default
            `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say which.
        timeout: The longest silence, in seconds: waiting for a reply, for the first token (while
            a model boots, too), and between tokens. None: no bound.
        deadline: The longest that a prediction may take in all, in seconds. Replicate is told too
            (`Cancel-After`), so it holds even where this process dies.
        headers: Further headers for requests to the API; other hosts do not get them.
        max_retries: How often a request is repeated that could not be served. A request that
            costs money is repeated only where the first one cannot have arrived.
        requires_auth: Whether to raise `MissingAuthError` where there is no token.
        on_unsupported: What to do about a parameter that the model has no input for: `raise`
            `UnsupportedParameterError` before anything is paid, `warn`, or `ignore`.

    Raises:
        InvalidInputError: An argument is out of its range.
    """

    def __init__(
        self,
        api_key: ApiKey = None,
        *,
        base_url: str | None = None,
        proxy: str | None = None,
        timeout: float | None = 180.0,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        max_retries: int = 2,
        requires_auth: bool = True,
        on_unsupported: OnUnsupported = "raise",
    ) -> None:
        if on_unsupported not in {"raise", "warn", "ignore"}:
            raise InvalidInputError(
                f"on_unsupported is {on_unsupported!r}; it must be 'raise', 'warn' or 'ignore'",
                fields=("on_unsupported",),
            )
        settings = read_settings(
            api_key,
            base_url=base_url,
            proxy=proxy,
            timeout=timeout,
            deadline=deadline,
            headers=headers,
            max_retries=max_retries,
            requires_auth=requires_auth,
        )
        self._set_up(settings, on_unsupported)

    def _set_up(self, settings: Settings, on_unsupported: OnUnsupported) -> None:
        # The wire is imported by the first client: those who only name our types need none of it.
        from replicate_stream._api.files import Files
        from replicate_stream._api.http import Http
        from replicate_stream._api.models import Models

        self._settings = settings
        self._on_unsupported: OnUnsupported = on_unsupported
        self._http = Http(settings)
        self._models = Models(self._http)
        self._files = Files(self._http)
        self._schemas: dict[ModelRef, tuple[Mapping[str, Any], InputSchema]] = {}

    def __copy__(self) -> Client:
        return _rebuild(self._settings, self._on_unsupported)

    def __deepcopy__(self, memo: dict[int, Any]) -> Client:
        return self.__copy__()  # the settings never change, and connections are not copied

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._settings.without_secrets(), self._on_unsupported)

    def __repr__(self) -> str:
        return f"Client(base_url={self._settings.base_url!r}, timeout={self._settings.timeout})"

    @property
    def base_url(self) -> str:
        """The API's address, with its `/v1`."""
        return self._settings.base_url

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running loop. A later request opens new ones."""
        await self._http.aclose()

    def stream(
        self,
        model: str,
        messages: Messages,
        *,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        extra_input: Mapping[str, Any] | None = None,
        prompt_format: str | None = None,
        include_usage: bool = True,
        max_repairs: int = 1,
    ) -> AbstractAsyncContextManager[EventStream]:
        """Stream an answer, event by event.

        Entering the context creates the prediction. Leaving it, by whatever way, before the answer
        has ended cancels the prediction.

        Args:
            model: `owner/name`, `owner/name:version`, a version of 64 hex digits, or
                `deployments/owner/name`.
            messages: A text, or a list of `Message`s or of dicts `{"role", "content"}`.
            system_prompt: A system text, before those among the messages.
            max_tokens: The longest answer, in tokens.
            temperature: Randomness; 0 is the most likely answer.
            top_p: Sample from the most likely tokens of this total probability.
            top_k: Sample from this many of the most likely tokens.
            stop: Texts that end the answer and are not part of it. Enforced here on every model.
            seed: For repeatable answers, where the model has it.
            presence_penalty: Against tokens that have come before.
            frequency_penalty: Against tokens, the more often they have come.
            tools: Tools that the model may call: `ToolSpec`s, or dicts as OpenAI writes them. Any
                text model can: one without an input for tools is told in the prompt, in the format
                that it was trained on.
            tool_choice: `auto`, `none`, `required` (or `any`), or the name of the tool that must be
                called; also in a dict, as OpenAI and Anthropic write it.
            parallel_tool_calls: False for one call at most in an answer.
            response_format: The form of the answer: `{"type": "json_object"}`, `{"type":
                "json_schema", "json_schema": {"schema": …}}`, or a JSON schema. The text is then
                bare JSON, held against the schema.
            extra_input: Further inputs of the model under its own names, checked against its
                schema; they win over the parameters above.
            prompt_format: The family whose chat format the prompt is written in (`llama3`,
                `chatml`, …), or `plain` for the texts as they are; chosen by the model if None.
            include_usage: Whether to ask for the token counts when the answer has ended.
            max_repairs: How often an answer that is not what was asked for (no call where one is
                required, JSON that does not fit) is asked for again, which is paid again. Only
                while nothing of it has been delivered; in `complete` always.

        Returns:
            An async context manager that gives the stream of events.

        Raises:
            ReplicateError: On entering and iterating; see its subclasses. `AnswerFormatError` for
                an answer that is not what was asked for.
        """
        request = _without(locals(), "self", "model", "include_usage", "max_repairs")
        told = {"include_usage": include_usage, "max_repairs": max_repairs}
        return _Opening(self._start, model, request, told)

    async def complete(
        self,
        model: str,
        messages: Messages,
        *,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        extra_input: Mapping[str, Any] | None = None,
        prompt_format: str | None = None,
        include_usage: bool = True,
        max_repairs: int = 1,
    ) -> Completion:
        """A whole answer. Takes and raises what `stream` does.

        Cancelling the call cancels the prediction.
        """
        request = _without(locals(), "self", "model", "include_usage", "max_repairs")
        told = {"include_usage": include_usage, "max_repairs": max_repairs, "is_buffered": True}
        async with _Opening(self._start, model, request, told) as events:
            from replicate_stream._response.completion import CompletionBuilder

            collector = CompletionBuilder()
            async for event in events:
                collector.add(event)
        return collector.build()

    async def prepare(
        self,
        model: str,
        messages: Messages,
        *,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        extra_input: Mapping[str, Any] | None = None,
        prompt_format: str | None = None,
    ) -> PreparedRequest:
        """What `stream` would send: a dry run that pays nothing and creates nothing.

        Takes what `stream` takes. The model's schema is looked up if it is not known yet. Files are
        neither read nor uploaded; placeholders stand for them.

        Raises:
            ReplicateError: As `stream` does up to the creation of the prediction.
        """
        request = _without(locals(), "self", "model")
        known, prepared = await self._prepare(model, request)
        from replicate_stream._types.prepared import PreparedRequest

        path, beside = known.endpoint()
        return PreparedRequest(
            url=self._settings.base_url + path,
            body={**beside, "input": prepared.input},
            notes=prepared.notes,
        )

    async def describe(self, model: str) -> Mapping[str, Any] | None:
        """A model's `openapi_schema`: what its input takes, and what its output is.

        Args:
            model: As for `stream`. It is looked up once.

        Returns:
            The schema, as `prepare_input` takes it; None if there is none to be had.

        Raises:
            ReplicateError: As `stream` does up to the creation of the prediction.
        """
        return (await self._models.look_up(model)).schema

    def capabilities(self, model: str) -> ModelCapabilities:
        """What is known of a model by now: its context window, what it takes. No I/O.

        Args:
            model: As for `stream`. Once its schema has been looked up, more is known.

        Raises:
            InvalidInputError: Not a model reference.
        """
        from replicate_stream._model.capabilities import get_capabilities

        known = self._models.get_cached(model)
        return get_capabilities(model, None if known is None else self._read_schema(known))

    async def _prepare(self, model: str, request: dict[str, Any]) -> tuple[Model, PreparedInput]:
        from replicate_stream._api.sessions import import_in_thread

        known = await self._models.look_up(model)
        await import_in_thread("replicate_stream._request.preparation")
        if request.get("response_format") is not None:
            await import_in_thread("jsonschema")
        from replicate_stream._request.prepare import prepare_input

        prepared = prepare_input(
            **request,
            model=model,
            schema=self._read_schema(known),
            on_unsupported=self._on_unsupported,
        )
        for note in prepared.notes:
            _log.debug("%s: %s", model, note)
        return known, prepared

    def _read_schema(self, known: Model) -> InputSchema | None:
        """The model's inputs, read once: that is half of what preparing a request costs."""
        from replicate_stream._model.input_schema import parse_input_schema

        if known.schema is None:
            return None
        given, read = self._schemas.get(known.ref, (None, None))
        if read is None or given is not known.schema:
            read = parse_input_schema(known.schema)
            self._schemas[known.ref] = known.schema, read
        return read

    async def _start(
        self, model: str, request: dict[str, Any]
    ) -> tuple[PredictionRun, PreparedInput]:
        known, prepared = await self._prepare(model, request)
        try:
            return await self._create(known, prepared), prepared
        except InvalidInputError as error:
            # The model may have another schema by now. Nothing was created, so nothing was paid.
            if not error.fields or known.schema is None or known.ref.version:
                raise
            self._models.forget(known)
            known, again = await self._prepare(model, request)
            if again.input == prepared.input:
                raise
            return await self._create(known, again), again

    async def _create(self, known: Model, prepared: PreparedInput) -> PredictionRun:
        from replicate_stream._api.prediction_run import PredictionRun
        from replicate_stream._api.predictions import create_prediction
        from replicate_stream._response.output import extract_text

        if prepared.uploads:
            from replicate_stream._uploads import attach

            await attach(prepared, self._files)
        text_of = partial(
            extract_text, kind=prepared.output, has_tools=prepared.reading.tools is not None
        )
        prediction, deadline_at = await create_prediction(
            self._http, self._models, known, prepared.input
        )
        return PredictionRun(
            self._http,
            prediction,
            text_of,
            deadline_at,
            is_polled=prepared.output in {"alternatives", "object"},
        )


def _rebuild(settings: Settings, on_unsupported: OnUnsupported) -> Client:
    client = Client.__new__(Client)
    client._set_up(settings, on_unsupported)  # noqa: SLF001 - this is the class's own constructor
    return client


def _restore(settings: Settings, on_unsupported: OnUnsupported) -> Client:
    return _rebuild(settings.with_environments_token(), on_unsupported)


def _without(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The arguments of a method whose signature is spelled out for its readers, less some."""
    return {name: value for name, value in given.items() if name not in names}


class _Opening:
    """The context manager of `Client.stream`."""

    def __init__(
        self,
        start: Callable[[str, dict[str, Any]], Awaitable[tuple[PredictionRun, PreparedInput]]],
        model: str,
        request: dict[str, Any],
        told: Mapping[str, Any],
    ) -> None:
        repairs = told["max_repairs"]
        if not isinstance(repairs, int) or repairs < 0:
            raise InvalidInputError(
                f"max_repairs is {repairs!r}; it must be 0 or more", fields=("max_repairs",)
            )
        self._start = start
        self._model = model
        self._request = request
        self._told = told
        self._stream: EventStream | None = None

    async def __aenter__(self) -> EventStream:
        from replicate_stream._api.sessions import import_in_thread

        await import_in_thread("replicate_stream._event_stream")
        from replicate_stream._event_stream import EventStream, StreamOptions
        from replicate_stream._types.messages import to_messages

        self._request["messages"] = to_messages(self._request["messages"])
        run, prepared = await self._start(self._model, self._request)
        self._stream = EventStream(run, prepared, self._again, StreamOptions(**self._told))
        return self._stream

    async def _again(self, more: Sequence[Message]) -> tuple[PredictionRun, PreparedInput]:
        """The same request, with what was answered and what is wrong with it."""
        messages = [*self._request["messages"], *more]
        return await self._start(self._model, {**self._request, "messages": messages})

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream is None:
            return
        if exc_type is not None and issubclass(exc_type, GeneratorExit):
            # A generator around us is being dropped. Its loop may never come back to an `await`.
            self._stream.abandon()
        else:
            await self._stream.aclose()

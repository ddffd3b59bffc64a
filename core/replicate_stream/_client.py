"""The client: adapts a request to its model, creates the prediction, and streams its answer.

It is the only module that joins `_request`, `_api` and `_response`. It imports them inside of
functions: the adapters import this module, and most programs that import an adapter ask no model.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from replicate_stream._errors import InvalidInputError, ModelNotFoundError
from replicate_stream._lazy import public
from replicate_stream._logging import log
from replicate_stream._secrets import hide, hide_headers
from replicate_stream._settings import ApiKey, Dialect, Settings, read_settings
from replicate_stream._types.parameters import OnUnsupported, check_arguments, check_on_unsupported

if TYPE_CHECKING:
    from replicate_stream._api.api import Reading, Run
    from replicate_stream._api.creation import Recorder
    from replicate_stream._api.model_list import ModelList
    from replicate_stream._api.models import Model, ModelRef
    from replicate_stream._batch.journal import Journal
    from replicate_stream._batch.requests import BatchResult
    from replicate_stream._batch.run import BatchRequests
    from replicate_stream._event_stream import EventStream, Start
    from replicate_stream._metering import Meter, OnPrediction
    from replicate_stream._model.capabilities import ModelCapabilities
    from replicate_stream._model.embedding_profile import InputType
    from replicate_stream._model.profile import ModelProfile
    from replicate_stream._response.completion import CompletionBuilder
    from replicate_stream._types.content_blocks import ReadFile
    from replicate_stream._types.costs import Budget, Prices
    from replicate_stream._types.messages import Completion, Message, Messages, ToolSpec
    from replicate_stream._types.prediction import Prediction, Usage
    from replicate_stream._types.request import ModelInput, OutputKind, PreparedRequest, Request

P = ParamSpec("P")
R = TypeVar("R")

# A stream would run alternatives into one another, and cut objects into pieces.
_POLLED_KINDS = {"alternatives", "object"}


def _check_names(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method reject an unknown argument with the closest known name."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except TypeError:
            check_arguments(method.__name__, kwargs)
            raise

    return call


def _same_parameters(
    documented: Callable[P, object],
) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the parameters of another, for type checkers and for `inspect`."""

    def declare(function: Callable[..., R]) -> Callable[P, R]:
        own = inspect.signature(function)
        function.__signature__ = inspect.signature(documented).replace(  # type: ignore[attr-defined]
            return_annotation=own.return_annotation
        )
        return function

    return declare


@public
class Client:
    """Streams the answers of Replicate's language models.

    Its constructor does no I/O. A client can be used in any number of event loops and threads,
    copied and pickled. A pickle holds no token; `REPLICATE_API_TOKEN` replaces it on loading.

    Args:
        api_key: The API token, a secret with `get_secret_value()`, or a function (async or not)
            that returns the token for each request. Default: `REPLICATE_API_TOKEN`.
        base_url: The API's address, with or without `/v1`. Default: `REPLICATE_BASE_URL`, or else
            `https://api.replicate.com/v1`.
        proxy: An HTTP proxy for everything, `http://user:password@host:port`. Default:
            `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        timeout: The longest silence, in seconds: until a response, until the first token (while a
            model boots, too), and between tokens; not the wait for the rate limit. None: no limit.
        deadline: The longest time for the whole answer, in seconds, with the wait for the rate
            limit. Replicate enforces it too (`Cancel-After`, at least 5 seconds), even if this
            process dies.
        headers: Further headers of requests to the API; other hosts do not get them.
        max_retries: Retries of a failed request. The creation of a prediction costs money: it is
            retried only if the first attempt cannot have arrived. What the rate limit refuses
            costs no retry: it is repeated until the limit lets it pass. A request to cancel has
            retries of its own.
        requires_auth: If true, a missing token raises `MissingAuthError`.
        on_unsupported: The policy for a parameter that the model has no input for: `raise`
            `UnsupportedParameterError` before anything is paid, `warn`, or `ignore`.
        dialect: `replicate`, or `cog` for a container of Cog that runs elsewhere: its address
            without `/v1` is the `base_url`, and no token is sent (docs/self-hosted-cog.md).
            Default: `REPLICATE_DIALECT`, or else `replicate`.
        prices: Prices by model (`owner/name`): `Price`s, or dicts of `input` and `output` (for a
            million tokens) and `second` (of the model's work). They make the `cost` of a `Usage`.
        budget: The most that this client's predictions may use together: a `Budget`, or a dict, of
            `money`, `tokens` and `seconds`; a number is money. Once it is spent, the next request
            is refused; an answer is never cut off for it. Answers that are under way do not count
            yet.
        on_prediction: Called with a `PredictionReport` when a prediction has ended, was left or
            failed; in any thread, without blocking for long. What it raises is logged.

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
        dialect: Dialect | None = None,
        prices: Prices | None = None,
        budget: Budget | Mapping[str, float] | float | None = None,
        on_prediction: OnPrediction | None = None,
    ) -> None:
        # First of all: error trackers record the variables of a frame that an error leaves.
        api_key, base_url, proxy = hide(api_key), hide(base_url), hide(proxy)
        headers = hide_headers(headers)
        settings = read_settings(
            api_key,
            base_url=base_url,
            proxy=proxy,
            timeout=timeout,
            deadline=deadline,
            headers=headers,
            max_retries=max_retries,
            requires_auth=requires_auth,
            dialect=dialect,
        )
        from replicate_stream._metering import Meter

        meter = Meter(prices, budget, on_prediction)
        self._set_up(settings, check_on_unsupported(on_unsupported), meter)

    def _set_up(self, settings: Settings, on_unsupported: OnUnsupported, meter: Meter) -> None:
        # Imported by the first client, which is usually made outside of the event loop.
        from replicate_stream._api.api import connect

        self._settings = settings
        self._on_unsupported: OnUnsupported = on_unsupported
        self._meter = meter
        self._api = connect(settings)
        self._models = self._api.models
        self._profiles: dict[ModelRef, tuple[Mapping[str, Any] | None, ModelProfile]] = {}

    def __copy__(self) -> Client:
        return _rebuild(self._settings, self._on_unsupported, self._meter.copy())

    def __deepcopy__(self, memo: dict[int, Any]) -> Client:
        return self.__copy__()  # settings never change, and connections cannot be copied

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickles are stored and sent to other machines, so they hold no token.
        settings = self._settings.without_secrets()
        return _restore, (settings, self._on_unsupported, self._meter)

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # a tracker shows a client whose constructor failed
            return "Client()"
        return f"Client(base_url={self._settings.base_url!r}, timeout={self._settings.timeout})"

    @property
    def base_url(self) -> str:
        """The API's address, with its `/v1` if it is Replicate's."""
        return self._settings.base_url

    @property
    def dialect(self) -> Dialect:
        """The API that is spoken: `replicate` or `cog`."""
        return self._settings.dialect

    @property
    def spent(self) -> Usage:
        """What the predictions of this client have used, with their cost if `prices` are given.

        Those that were rejected and repeated count too, and those that were left, if their record
        says what they used. A copy of the client begins at 0.
        """
        return self._meter.spent

    @property
    def budget(self) -> Budget | None:
        """The most that this client's predictions may use together; None for no limit."""
        return self._meter.budget

    @property
    def files_url(self) -> str | None:
        """The address below which the API keeps uploaded files; None if it keeps none."""
        return None if self.dialect == "cog" else f"{self._settings.base_url}/files"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running loop, unless another client shares them.

        A later request opens new ones. Clients with equal `base_url` and proxies share.
        """
        await self._api.http.aclose()

    @_check_names
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
        reasoning_effort: str | None = None,
        tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        validator: Callable[[Any], object] | None = None,
        extra_input: Mapping[str, Any] | None = None,
        prompt_format: str | None = None,
        include_usage: bool = True,
        coalesce: bool = False,
        max_repairs: int = 1,
    ) -> AbstractAsyncContextManager[EventStream]:
        """Stream an answer, event by event.

        Entering the context creates the prediction. Leaving it before the answer has ended, in any
        way, cancels the prediction.

        Args:
            model: `owner/name`, `owner/name:version`, a version of 64 hex digits, or
                `deployments/owner/name`.
            messages: A string, a `Message`, or a list of `Message`s or of dicts `{"role",
                "content"}`.
            system_prompt: A system text, before those among the messages.
            max_tokens: The longest answer, in tokens.
            temperature: Randomness; 0 picks the most likely tokens.
            top_p: Sample from the most likely tokens of this total probability.
            top_k: Sample from this many of the most likely tokens; 0 or -1: all.
            stop: Texts that end the answer and are not part of it. Enforced on every model.
            seed: Makes answers repeatable on models that support it.
            presence_penalty: Penalty for tokens that have occurred.
            frequency_penalty: Penalty for tokens, by how often they have occurred.
            reasoning_effort: The level of reasoning: `none`, `minimal`, `low`, `medium`, `high`,
                `xhigh` or `max`. The nearest that the model has is used.
            tools: Tools that the model may call: `ToolSpec`s, or dicts in OpenAI's format. The
                prompt describes them to a model without an input for tools, in the format that
                the model was trained on.
            tool_choice: `auto`, `none`, `required` (or `any`), or the name of the tool that must be
                called; also a dict in OpenAI's or Anthropic's format.
            parallel_tool_calls: False allows at most one tool call in an answer.
            response_format: The format of the answer: `{"type": "json_object"}`, `{"type":
                "json_schema", "json_schema": {"schema": …}}`, or a JSON schema. The text is then
                bare JSON, checked against the schema.
            validator: Called with the JSON of an answer that fits `response_format`, or with the
                arguments of a required call that fit the tool's schema. It raises an exception for
                what its schema cannot express; the model is told its text, and asked again.
            extra_input: Further inputs of the model under its own names, checked against its
                schema; they win over the other parameters.
            prompt_format: The family whose chat format the prompt is written in (`llama3`,
                `chatml`, …), or `plain` for the texts as they are; chosen by the model if None.
            include_usage: Fetch the record when the answer has ended: for its token counts, and to
                verify the delivered text. If False, events that the stream lost go unnoticed.
            coalesce: Hand on tokens that have arrived already as one piece, for batch work and slow
                consumers: fewer and larger pieces, and no token waits for another.
            max_repairs: Retries of an answer without the required call or JSON, each of which is
                paid: in `stream` only while nothing of the answer has been emitted.

        Returns:
            An async context manager that returns the stream of events.

        Raises:
            ReplicateError: On entering and iterating; see its subclasses. `AnswerFormatError` is
                raised for an answer without the required call or JSON.
        """
        # As a dict: handing them on by name costs 10,000 instructions at each call.
        parameters = {
            "system_prompt": system_prompt,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "stop": stop,
            "seed": seed,
            "presence_penalty": presence_penalty,
            "frequency_penalty": frequency_penalty,
            "reasoning_effort": reasoning_effort,
            "tools": tools,
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": response_format,
            "validator": validator,
            "extra_input": extra_input,
            "prompt_format": prompt_format,
            "include_usage": include_usage,
            "coalesce": coalesce,
            "max_repairs": max_repairs,
        }
        opening = partial(self._open_stream, model, messages, parameters)
        return _StreamContext(opening)

    @_same_parameters(stream)
    async def complete(self, model: str, messages: Messages, **parameters: Any) -> Completion:
        """Return a whole answer. The arguments and errors are those of `stream`.

        It is one piece whatever `coalesce` is.
        Cancelling the call cancels the prediction.
        """
        check_arguments("complete", parameters)
        opening = partial(self._open_stream, model, messages, parameters, is_buffered=True)
        async with _StreamContext(opening) as events:
            builder = _load_steps().completion_builder()
            async for event in events:
                builder.add(event)
        return builder.build()

    def resume(
        self,
        prediction_id: str,
        *,
        model: str | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] | None = None,
        tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        validator: Callable[[Any], object] | None = None,
        prompt_format: str | None = None,
        include_usage: bool = True,
        cancel_on_exit: bool = True,
    ) -> EventStream:
        """Take up a prediction that was created before, here or elsewhere, and costs nothing more.

            async with client.resume(prediction_id) as events:
                async for event in events: ...

        The whole answer is streamed, from its first token. An answer that has ended is read from
        its record, which holds it for an hour. Its length, and how long its stream may be silent,
        are bounded as in `stream`; the `deadline` counts from the take-up.

        The prediction is looked up when the stream is entered or its first event is asked for.
        From then on it is cancelled if the stream is left before its end, as in `stream`.

        Args:
            prediction_id: The id, as in `Prediction.id`.
            model: The model that was asked for; None for the one in the record. Its chat format
                decides how thoughts and tool calls are told from text.
            max_tokens: As in the request; an answer of this length has the finish reason `length`.
            stop: As in the request, like the other parameters: they decide how the answer is read.
            tools: As in the request; without them a call is part of the text.
            tool_choice: As in the request.
            parallel_tool_calls: As in the request.
            response_format: As in the request. A wrong answer is not asked for again.
            validator: As in the request.
            prompt_format: As in the request.
            include_usage: As for `stream`.
            cancel_on_exit: False lets the prediction run on, and be paid, if the stream is left.

        Returns:
            The stream of events, also an async context manager.

        Raises:
            InvalidInputError: Not a prediction's id.
            ReplicateError: On entering and iterating, as in `stream`. `ModelNotFoundError` is
                raised for an unknown id, `StreamInterruptedError` for an answer whose text the
                service has removed.
        """
        from replicate_stream._resumed_stream import ResumedStream, check_prediction_id

        take_up = partial(
            self._take_up,
            check_prediction_id(prediction_id),
            model,
            is_kept=not cancel_on_exit,
            max_tokens=max_tokens,
            stop=stop,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            response_format=response_format,
            validator=validator,
            prompt_format=prompt_format,
            include_usage=include_usage,
        )
        return ResumedStream(prediction_id, take_up)

    def batch(
        self,
        model: str,
        requests: BatchRequests,
        *,
        journal: str | os.PathLike[str] | Journal | None = None,
        concurrency: int | None = None,
        retry_failed: bool = False,
        cancel_after: float = 600.0,
        **parameters: Any,
    ) -> AsyncGenerator[BatchResult, None]:
        """Answer many requests at once, and yield each result as it ends.

            async for result in client.batch(model, {"a": "Why?", "b": "How?"}.items()): ...

        A failed request is a result with an `error`, and ends nothing. Requests are taken from
        their source as earlier results are consumed, so that it can be larger than the memory.
        Creations wait in the queue of the rate limit.

        With a journal, a run that was interrupted can be repeated: what was answered is yielded
        again, what was created is taken up, and only the rest is created. So leaving the iterator
        early lets predictions run on, for the next run. Without a journal it cancels them.

        Args:
            model: As for `stream`, for requests that name none.
            requests: An iterable, async or not, of `BatchRequest`s, of pairs of a key and
                messages, or of dicts with `key`, `messages`, and any of `model` and the
                parameters of `stream`. Keys are strings or integers, each used once.
            journal: A file that remembers what was paid; it is created if it is missing. Or an open
                `Journal`.
            concurrency: The most requests in work at once, whose predictions exist or wait for the
                rate limit. None: 100.
            retry_failed: Ask again for what has failed before, by the journal.
            cancel_after: Seconds after its creation at which the service cancels a prediction, even
                if this process dies (`Cancel-After`): at least 5.
            **parameters: The parameters of `stream`; those of a request win over them.

        Returns:
            An async generator of results, in the order of their ends.

        Raises:
            InvalidInputError: At once, or before anything is paid, for an argument of the batch;
                while iterating, if an element of `requests` is not a request.
            MissingAuthError: While iterating, as any `ResponseError` with status 401 or 402: all
                further requests would fail, too.
            OSError: While iterating: the journal cannot be read or written.
        """
        check_arguments("batch", parameters)
        from replicate_stream._batch.run import BatchSettings, Steps, run_batch

        settings = BatchSettings(
            model, parameters, concurrency, retry_failed=retry_failed, cancel_after=cancel_after
        )
        steps = Steps(self._api, _build_request, self._start, self._take_up_for)
        return run_batch(steps, settings, requests, journal)

    @_same_parameters(stream)
    async def prepare(self, model: str, messages: Messages, **parameters: Any) -> PreparedRequest:
        """Build the request of an answer without sending it: a dry run that costs nothing.

        The arguments are those of `stream`; `include_usage`, `coalesce` and `max_repairs` concern
        the answer, and change nothing here. The model is looked up if it is not known yet. Files
        are neither read nor uploaded, and placeholders stand in their place, but for those that are
        texts: the prompt holds them.

        Raises:
            ReplicateError: As `stream` does up to the creation of the prediction.
        """
        check_arguments("prepare", parameters)
        request = await _build_request(model, messages, parameters)
        found, model_input = await self._build_model_input(request)
        from replicate_stream._types.request import PreparedRequest

        path, others = found.endpoint
        return PreparedRequest(
            url=self._settings.base_url + path,
            body={**others, "input": model_input.input},
            notes=model_input.notes,
        )

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        input_type: InputType | None = None,
        instruction: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 8,
        extra_input: Mapping[str, Any] | None = None,
    ) -> list[list[float]]:
        """Embed texts: return a vector for each of them, in their order.

        The model's schema shows how it takes texts (docs/embeddings.md). A prediction that fails is
        repeated in halves, each of which is paid, until the text is found that fails. Cancelling
        the call cancels its predictions. `timeout` and `deadline` hold for each prediction.

        Args:
            model: As for `stream`.
            texts: The texts, none of them empty. An empty list sends no request.
            input_type: `query` for search queries, `document` for the texts to search in. Models
                with an input for the kind of text get it; the others embed both in the same way.
            instruction: A text that tells the model the purpose of the vectors. It goes into the
                model's input for it, or else, as it is, in front of each text: `"query: "` for E5.
            batch_size: The most texts of one prediction; the model's own limit if that is less.
                Default: 32.
            concurrency: The most predictions at once.
            extra_input: Further inputs of the model under its own names, checked against its
                schema.

        Raises:
            InvalidInputError: Before anything is paid: a text is empty or too long, the model takes
                no texts, or an argument or input is invalid.
            ResponseError: The output holds no valid vectors of one length, one for each text.
            ReplicateError: As `stream` does. `text_index` is the position of the text that failed.
        """
        if "replicate_stream._embedding" not in sys.modules:
            from replicate_stream._api.sessions import import_in_thread

            await import_in_thread("replicate_stream._embedding")
        from replicate_stream._embedding import embed_texts
        from replicate_stream._request.embedding_input import (
            EmbeddingInput,
            build_embedding_request,
        )

        request = build_embedding_request(
            model,
            texts,
            input_type=input_type,
            instruction=instruction,
            batch_size=batch_size,
            concurrency=concurrency,
            extra_input=extra_input,
        )
        if not request.texts:
            return []
        with self._meter.watch_start(model, "embeddings"):
            found = await self._find_model(model)
            model_input = EmbeddingInput(
                request, self._get_profile(found), self._on_unsupported, found.schema_remedy
            )
        for note in model_input.notes:
            log.debug("%s: %s", model, note)
        return await embed_texts(model_input, partial(self._start_embedding, model, found))

    async def describe(self, model: str) -> Mapping[str, Any] | None:
        """Look up a model's `openapi_schema`, which describes its input and output.

        Args:
            model: As for `stream`. It is looked up once.

        Returns:
            The schema, as `prepare_input` takes it; None if the model publishes none.

        Raises:
            ModelNotFoundError: The API does not know the model.
            ReplicateError: As `stream` does up to the creation of the prediction.
        """
        return (await self._find_model(model)).schema

    def models(self, query: str | None = None) -> ModelList:
        """Find models: Replicate's collection of language models, or the results of a search.

            for model in await client.models("llama"):
                print(model.name, model.description)

        Args:
            query: Words to search for among all public models. Models whose output is files, such
                as images, are left out. None lists the language models.

        Returns:
            The models: `await` it for a list, or iterate over it with `async for`, which requests
            further pages when they are needed. No request is sent before that.

        Raises:
            InvalidInputError: The query is empty.
            ReplicateError: When awaited or iterated, if the API refuses or cannot be reached.
        """
        from replicate_stream._model.input_schema import makes_files

        return self._api.list_models(query, lambda schema: not makes_files(schema))

    def capabilities(self, model: str) -> ModelCapabilities:
        """Return what is known of a model: its context window, the media it takes. No I/O.

        Args:
            model: As for `stream`. More is known once its schema has been looked up.

        Raises:
            InvalidInputError: Not a model reference.
        """
        from replicate_stream._model.capabilities import get_capabilities

        found = self._models.get_cached(model)
        return get_capabilities(model) if found is None else self._get_profile(found).capabilities

    async def _open_stream(
        self,
        model: str,
        messages: Messages,
        parameters: Mapping[str, Any],
        *,
        is_buffered: bool = False,
    ) -> EventStream:
        request = await _build_request(model, messages, parameters)
        open_events = _load_steps().open_events
        if self._api.may_boot:
            watch_start = partial(self._meter.watch_start, request.model, request=request)
            with watch_start():
                boot = await self._api.find_boot(request.model)
            if boot is not None:
                start = partial(self._start, deadline_at=boot.deadline_at)
                return open_events(
                    boot, None, request, start, is_buffered=is_buffered, watch_boot=watch_start
                )
        run, model_input = await self._start(request)
        return open_events(run, model_input, request, self._start, is_buffered=is_buffered)

    async def _take_up(
        self, prediction_id: str, model: str | None, *, is_kept: bool, **parameters: Any
    ) -> tuple[Run, ModelInput, Request, Start]:
        """Look a prediction up, and build what reading its answer needs."""
        prediction = await self._api.fetch_prediction(prediction_id)
        from replicate_stream._request.prepare import build_model_input
        from replicate_stream._resumed_stream import find_model

        # Any message will do: it is not sent, and how an answer is read does not depend on it.
        name = model or find_model(prediction)
        request = await _build_request(name, "-", {"max_repairs": 0, **parameters})
        profile = self._get_profile(await self._models.look_up(name))
        model_input = build_model_input(request, profile, "ignore", is_sent=False)
        run = self._api.read(prediction, _build_reading(model_input, request))
        run.observation = self._meter.observe(name, time.monotonic())
        if is_kept:
            run.leave_running()
        return run, model_input, request, self._start

    async def _take_up_for(
        self, request: Request, prediction: Prediction
    ) -> tuple[Run, ModelInput]:
        """Take over a prediction that was created for a request."""
        # Its files were sent, and may be gone. Any text will do: how an answer is read does not
        # depend on it.
        _, model_input = await self._build_model_input(request, lambda *_: b"-")
        run = self._api.read(prediction, _build_reading(model_input, request))
        run.observation = self._meter.observe(request.model, time.monotonic(), request=request)
        return run, model_input

    async def _start(
        self,
        request: Request,
        recorder: Recorder | None = None,
        deadline_at: float | None = None,
    ) -> tuple[Run, ModelInput]:
        """Create a prediction for a request.

        Args:
            request: The request.
            recorder: Records the creation; None for nobody.
            deadline_at: The deadline, in the running loop's time; None: it begins now, if any.
        """
        with self._meter.watch_start(request.model, request=request):
            return await self._create_for(request, recorder, deadline_at)

    async def _create_for(
        self, request: Request, recorder: Recorder | None, deadline_at: float | None
    ) -> tuple[Run, ModelInput]:
        model, model_input = await self._build_model_input(request)
        create = partial(
            self._create_prediction, request=request, recorder=recorder, deadline_at=deadline_at
        )
        try:
            return await create(model, model_input), model_input
        except InvalidInputError as error:
            # The model may have another schema by now. Nothing was created, so nothing was paid.
            if not error.fields or model.schema is None or model.ref.version:
                raise
            self._models.forget(model)
            model, rebuilt = await self._build_model_input(request)
            if rebuilt.input == model_input.input:  # it would be refused again
                raise
            return await create(model, rebuilt), rebuilt

    async def _build_model_input(
        self, request: Request, read: ReadFile | None = None
    ) -> tuple[Model, ModelInput]:
        model = await self._models.look_up(request.model)
        if read is None and any(not isinstance(each.content, str) for each in request.messages):
            read = await _read_texts(request.messages)
        profile = self._get_profile(model)
        build_model_input = _load_steps().build_model_input
        model_input = build_model_input(request, profile, self._on_unsupported, read=read)
        for note in model_input.notes:  # they hold no text of the prompt
            log.debug("%s: %s", request.model, note)
        return model, model_input

    async def _find_model(self, model: str) -> Model:
        found = await self._models.look_up(model)
        if not found.is_found:
            raise ModelNotFoundError(f"Model not found: {model}", status=404)
        return found

    def _get_profile(self, model: Model) -> ModelProfile:
        """Return the model's profile, which is derived once per schema."""
        schema, profile = self._profiles.get(model.ref, (None, None))
        # Another schema object means that the model was looked up again since.
        if profile is None or schema is not model.schema:
            from replicate_stream._model.profile import build_profile

            profile = build_profile(model.schema, str(model.ref))
            self._profiles[model.ref] = model.schema, profile
        return profile

    async def _create_prediction(
        self,
        model: Model,
        model_input: ModelInput,
        request: Request,
        recorder: Recorder | None,
        deadline_at: float | None,
    ) -> Run:
        if self._meter.budget is not None:
            self._meter.check_budget(request.model, is_counted=request.include_usage)
        if model_input.uploads:
            await self._api.files.place_files(model_input)
        reading = _build_reading(model_input, request)
        requested_at = time.monotonic()
        run = await self._api.create(model, model_input.input, reading, deadline_at, recorder)
        run.observation = self._meter.observe(request.model, requested_at, request=request)
        if recorder is not None:
            await recorder.note_run(run)
        return run

    async def _start_embedding(self, name: str, model: Model, input_: dict[str, Any]) -> Run:
        from replicate_stream._api.api import Reading

        # Vectors are in the record alone, and hold no text.
        reading = Reading(lambda _: None, is_whole=True)
        with self._meter.watch_start(name, "embeddings"):
            self._meter.check_budget(name)
            requested_at = time.monotonic()
            run = await self._api.create(model, input_, reading, None)
        run.observation = self._meter.observe(name, requested_at, "embeddings")
        return run


class _StreamContext:
    """The context manager of `Client.stream`: opens a stream once, and ends it on leaving."""

    def __init__(self, open_stream: Callable[[], Awaitable[EventStream]]) -> None:
        self._open_stream: Callable[[], Awaitable[EventStream]] | None = open_stream

    async def __aenter__(self) -> EventStream:
        open_stream, self._open_stream = self._open_stream, None
        if open_stream is None:  # it would be paid again, and the first one not be cancelled
            raise RuntimeError("A stream can be entered once; call `stream` for another answer")
        self._events = await open_stream()
        return self._events

    async def __aexit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        await self._events.__aexit__(exc_type, *exc_info)


class _Steps(NamedTuple):
    """What an answer needs of the modules that are imported with the first one."""

    build_request: Callable[..., Request]
    build_model_input: Callable[..., ModelInput]
    reading: Callable[..., Reading]
    extract_text: Callable[..., str | None]
    open_events: Callable[..., EventStream]
    completion_builder: Callable[[], CompletionBuilder]


@cache  # a `from … import` costs 2 us each time, together a hundredth of a short answer
def _load_steps() -> _Steps:
    from replicate_stream._api.api import Reading
    from replicate_stream._event_stream import EventStream
    from replicate_stream._request.prepare import build_model_input
    from replicate_stream._response.completion import CompletionBuilder
    from replicate_stream._response.output import extract_text
    from replicate_stream._types.request import build_request

    return _Steps(
        build_request, build_model_input, Reading, extract_text, EventStream, CompletionBuilder
    )


def _build_reading(model_input: ModelInput, request: Request) -> Reading:
    has_tools = model_input.expected_answer.tools is not None
    return _get_reading(model_input.output_kind, has_tools, request.include_usage)


@cache  # there are few of them
def _get_reading(kind: OutputKind | None, has_tools: bool, is_verified: bool) -> Reading:
    steps = _load_steps()
    return steps.reading(
        partial(steps.extract_text, kind=kind, has_tools=has_tools),
        is_whole=kind in _POLLED_KINDS,
        is_verified=is_verified,
    )


async def _build_request(model: str, messages: Messages, parameters: Mapping[str, Any]) -> Request:
    # The modules of a first request are imported in a thread: the loop has others to serve.
    if "replicate_stream._event_stream" not in sys.modules:
        from replicate_stream._api.sessions import import_in_thread

        await import_in_thread("replicate_stream._request.prepare")
        await import_in_thread("replicate_stream._event_stream")
    if parameters.get("response_format") is not None:
        from replicate_stream._api.sessions import import_in_thread

        await import_in_thread("jsonschema")
    return _load_steps().build_request(model, messages, **parameters)


async def _read_texts(messages: Sequence[Message]) -> ReadFile | None:
    """Read the local files that are texts in a thread; return a function that returns them."""
    from replicate_stream._local_files import read_text_file
    from replicate_stream._types.contents import names_file, parse_contents

    if not any(names_file(each.content) for each in messages):
        return None
    read = cache(read_text_file)
    await asyncio.to_thread(parse_contents, messages, read=read)
    return read


def _rebuild(settings: Settings, on_unsupported: OnUnsupported, meter: Meter) -> Client:
    client = Client.__new__(Client)
    client._set_up(settings, on_unsupported, meter)  # noqa: SLF001 - this is the class's own constructor
    return client


def _restore(settings: Settings, on_unsupported: OnUnsupported, meter: Meter) -> Client:
    return _rebuild(settings.with_environment_token(), on_unsupported, meter)

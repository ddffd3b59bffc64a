"""Building blocks for adapters to a framework.

Public, but not in the package's `__all__`: users of an adapter need none of them. The adapters of
this distribution use these names and the package's public ones, and nothing else of the core.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict

from replicate_stream import _secrets
from replicate_stream._client import Client
from replicate_stream._errors import InvalidInputError, MissingAuthError
from replicate_stream._lazy import export
from replicate_stream._secrets import hide, hide_headers, without_secrets
from replicate_stream._settings import ApiKey, Dialect
from replicate_stream._sync import iterate_blocking, run_blocking
from replicate_stream._types.json_schema import (
    ROOT,
    describes_object,
    find_references,
    inline_root,
    resolve,
    to_parameters,
)
from replicate_stream._types.parameters import PARAMETERS, Parameter, check_argument_names
from replicate_stream._types.strict_json import is_too_deep, parse_arguments, replace_surrogates
from replicate_stream._warnings import warn_caller

if TYPE_CHECKING:
    from replicate_stream._event_stream import EventStream
    from replicate_stream._metering import OnPrediction
    from replicate_stream._types.contents import Contents
    from replicate_stream._types.costs import Budget, Price, Prices
    from replicate_stream._types.messages import Completion, Finished, Message, StreamEvent

__all__ = [
    "CONNECTION_REMEDIES",
    "PARAMETERS",
    "ROOT",
    "ClientCache",
    "Connection",
    "ConnectionSettings",
    "DeferredSignature",
    "Parameter",
    "StreamLeft",
    "build_partial",
    "check_argument_names",
    "describes_object",
    "export",
    "find_missing_token",
    "find_references",
    "finish_left",
    "inline_root",
    "is_too_deep",
    "iterate_blocking",
    "merge_arguments",
    "parse_arguments",
    "parse_contents",
    "replace_surrogates",
    "resolve",
    "run_blocking",
    "stream_blocking",
    "to_parameters",
    "warn_caller",
    "without_secret_inputs",
    "without_secrets",
    "without_values",
]


class ConnectionSettings(TypedDict, total=False):
    """The arguments for the connection that every adapter's constructor has."""

    base_url: str | None
    proxy: str | None
    timeout: float | None
    deadline: float | None
    max_retries: int
    default_headers: dict[str, str] | None
    on_unsupported: Literal["raise", "warn", "ignore"]
    dialect: Literal["replicate", "cog"] | None
    prices: dict[str, Price | dict[str, float]] | None
    budget: Budget | dict[str, float] | float | None
    on_prediction: OnPrediction | None


CONNECTION_REMEDIES: Mapping[str, str] = {
    name: "it belongs to the connection: use a copy of the object, "
    f"llm.model_copy(update={{{name!r}: …}})"
    for name in ConnectionSettings.__annotations__
}
"""What to do instead of giving a setting of the connection in a call."""
_FIELD_NAMES = ConnectionSettings.__annotations__.keys() - {"default_headers"}
_LEAVE_TIMEOUT = 2.0  # seconds that the response to a cancellation may keep a thread


class StreamLeft(Exception):  # noqa: N818 - not an error
    """Thrown into a stream by a reader who leaves it, and gets its last event or response."""


class DeferredSignature:
    """The signature of a Pydantic class that is built when it is first used: asking builds it."""

    def __get__(self, instance: object, owner: Any) -> inspect.Signature:
        """Build the class, and return its signature."""
        if instance is not None:
            raise AttributeError("Only the class has a signature")
        owner.model_rebuild(force=True)  # replaces the attribute of the class
        return inspect.signature(owner)


@dataclass(frozen=True)
class Connection:
    """The settings of an adapter's object that its client is made with.

    The attributes are the arguments of `Client` of the same names.
    """

    api_key: ApiKey = field(default=None, repr=False)
    base_url: str | None = field(default=None, repr=False)  # a wrong one may hold a password
    proxy: str | None = field(default=None, repr=False)
    timeout: float | None = 180.0
    deadline: float | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    max_retries: int = 2
    on_unsupported: Literal["raise", "warn", "ignore"] = "raise"
    dialect: Dialect | None = None
    prices: Prices | None = None
    budget: Budget | Mapping[str, float] | float | None = None
    on_prediction: OnPrediction | None = None

    @classmethod
    def from_fields(cls, model: Any, api_key: ApiKey) -> Connection:
        """Read the settings from the fields of an adapter's object.

        Args:
            model: The object. Its field for `headers` is `default_headers`.
            api_key: The token, which the adapters keep in different places.
        """
        return cls(
            hide(api_key),
            headers=hide_headers(model.default_headers),  # a copy, to notice changes in place
            **{name: getattr(model, name) for name in _FIELD_NAMES},
        )

    def make_client(self) -> Client:
        """Make a client."""
        return Client(**vars(self))

    def check_shared(self, client: Client) -> Client:
        """Return the client that an object shares, unless the object has settings beside it.

        Raises:
            InvalidInputError: Names the settings, which would have no effect.
        """
        defaults = vars(_DEFAULTS)
        if own := [name for name, value in vars(self).items() if value != defaults[name]]:
            names = [{"headers": "default_headers"}.get(name, name) for name in own]
            raise InvalidInputError(
                f"{' and '.join(names)} would have no effect beside client, which has settings of "
                "its own; give them to that client",
                fields=tuple(names),
            )
        return client

    @property
    def accounting(self) -> tuple[Any, ...]:
        """The settings of which what was spent is a part."""
        return self.prices, self.budget, self.on_prediction

    def without_secrets(self) -> Connection:
        """Copy the settings for a pickle: no token, unless a function returns it, no passwords."""
        proxy, headers = without_secrets(self.proxy, self.headers)
        return replace(
            self,
            api_key=self.api_key if callable(self.api_key) else None,
            base_url=without_secrets(self.base_url)[0],
            proxy=proxy,
            headers=headers,
        )


_DEFAULTS = Connection()


class ClientCache:
    """An adapter object's client, with the settings that it was made with. Immutable.

    Shallow copies of an object share its cache until their settings differ: so a changed setting
    makes another cache. What was spent stays in common, unless it is another budget. All caches are
    equal, because objects compare by their settings, and deep copies and pickles of one are empty.

    Args:
        connection: The settings; None for an empty cache.
        previous: The cache whose settings were changed.

    Attributes:
        client: The client. An empty cache has no such attribute.
    """

    client: Client

    def __init__(
        self, connection: Connection | None = None, previous: ClientCache | None = None
    ) -> None:
        self._connection = connection
        if connection is None:
            return
        self.client = connection.make_client()
        if previous is not None and previous.has_accounting_of(connection):
            self.client._meter = previous.client._meter  # noqa: SLF001 - the core's

    def update(self, connection: Connection) -> ClientCache:
        """Return this cache if its client has these settings, else one with a new client."""
        return self if self._connection == connection else ClientCache(connection, self)

    def has_accounting_of(self, connection: Connection) -> bool:
        """Return True if its client and one with these settings spend the same budget."""
        own = self._connection
        return own is not None and own.accounting == connection.accounting

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientCache)

    __hash__: ClassVar[None]  # type: ignore[assignment]  # all are equal: not a key

    def __reduce__(self) -> tuple[type[ClientCache], tuple[()]]:
        return ClientCache, ()


def find_missing_token(client: Client) -> MissingAuthError | None:
    """Return the error of a client that has no token and needs one, for an adapter to raise early.

    From where the token is needed, its traceback would have sixty lines, most of the framework's.
    """
    return MissingAuthError() if client._settings.lacks_token else None  # noqa: SLF001 - the core's


def without_secret_inputs(
    inputs: Mapping[str, Any], *, model: str, get_client: Callable[[], Client]
) -> dict[str, Any]:
    """Remove the secrets from inputs of a model: other services' keys and tokens.

    For everything that is stored or traced.

    Args:
        inputs: The inputs, by the model's names.
        model: The model.
        get_client: Returns a client that may know the model's schema, which can declare an input
            secret. Other secrets are recognized by their names and forms.
    """
    declared: Collection[str] = ()
    if inputs:
        with suppress(InvalidInputError):  # a model that has no valid name, or invalid settings
            declared = get_client().capabilities(model).secret_inputs
    # What is nested too deeply is never sent, and could not be stored.
    flat = {name: value for name, value in inputs.items() if not is_too_deep(value)}
    return _secrets.without_secret_inputs(flat, declared)


def without_values(error: Exception) -> Exception:
    """Copy the error of a constructor without its traceback and the values that were given.

    Args:
        error: A `ValidationError` of pydantic, whose `errors()` holds them; or a `TypeError`.
    """
    if isinstance(error, TypeError):
        return TypeError(*error.args)
    # The core itself does not need pydantic.
    from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

    if not isinstance(error, ValidationError):
        return error
    custom_error: Any = PydanticCustomError  # its annotations demand literals
    details: list[InitErrorDetails] = [
        {"type": custom_error(each["type"], each["msg"]), "loc": each["loc"], "input": None}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def merge_arguments(
    settings: Mapping[str, Any], kwargs: Mapping[str, Any], aliases: Mapping[str, str]
) -> dict[str, Any]:
    """Merge a call's arguments over an object's settings, as arguments of `Client.stream`.

    Args:
        settings: The object's settings by the names of `Client.stream`; `extra_input` among them.
        kwargs: The call's arguments. A value of None overrides too, and leaves the choice to the
            model; only `model` falls back to the object's. Extra inputs are added to the object's.
        aliases: The framework's names of arguments, with those of `Client.stream`.

    Raises:
        TypeError: Extra inputs are not a mapping.
    """
    merged, extra_input = dict(settings), dict(settings["extra_input"] or {})
    for name, value in kwargs.items():
        target = aliases.get(name, name)
        if target != "extra_input":
            merged[target] = value
        elif isinstance(inputs := value or {}, Mapping):
            extra_input.update(inputs)
        else:
            raise TypeError(f"{name} is of type {type(inputs).__name__}; a dict is needed")
    model = settings["model"] if merged["model"] is None else merged["model"]
    return {**merged, "model": model, "extra_input": extra_input or None}


def stream_blocking(
    client: Client, request: Mapping[str, Any]
) -> Generator[StreamEvent, None, None]:
    """Iterate over the events of `client.stream(**request)` in the background loop.

    With `coalesce`, events that the consumer has let wait are merged, too. Throwing `StreamLeft`
    cancels the prediction, waits for the record in the response, and returns the last event.
    """
    streams: list[EventStream] = []
    has_left = threading.Event()

    @asynccontextmanager
    async def open_stream() -> AsyncGenerator[EventStream, None]:
        try:
            async with client.stream(**request) as stream:
                streams.append(stream)
                yield stream
        finally:
            has_left.set()

    # Few need `merge_deltas`, and no adapter's import should pay for the core's values.
    merge = _import_merge_deltas() if request["coalesce"] else None
    try:
        yield from iterate_blocking(open_stream, merge)
    except StreamLeft:
        # Bounded: the background thread might wait for a lock that this one holds.
        has_left.wait(_LEAVE_TIMEOUT)
        yield finish_left(streams[0])


def _import_merge_deltas() -> Callable[[Sequence[StreamEvent]], Sequence[StreamEvent]]:
    from replicate_stream._response.completion import merge_deltas

    return merge_deltas


def build_partial(events: Sequence[StreamEvent], prediction_id: str | None) -> Completion:
    """Build the completion of a stream that an error ended, from its events so far."""
    from replicate_stream._response.completion import CompletionBuilder
    from replicate_stream._types.prediction import Prediction

    builder = CompletionBuilder()
    for event in events:
        builder.add(event)
    return builder.build_partial(Prediction(prediction_id or "", ""))


def finish_left(stream: EventStream) -> Finished:
    """Make the last event of a stream that was left: the usage is what its newest record counts."""
    from replicate_stream._types.messages import Finished

    return Finished("canceled", stream.usage, stream.prediction.without_stream())


def parse_contents(messages: Sequence[Message]) -> list[Contents]:
    """Parse the contents of messages into texts, media and calls.

    Local files that are texts are read.

    Raises:
        InvalidInputError: A block is of an unknown type or lacks its content, or a text cannot be
            read.
    """
    # The values of the core are only imported by a program that makes some.
    from replicate_stream._local_files import read_text_file
    from replicate_stream._types.contents import parse_contents as parse

    return parse(messages, read=read_text_file)

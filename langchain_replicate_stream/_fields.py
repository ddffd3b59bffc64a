"""The fields of the classes: their checks, their serialization, and a call's arguments.

The traps: secrets, which must not get into a trace, a cache or a pickle, and misspelt names, with
which the framework would run the model, for pay, without the argument.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.load import dumpd
from langchain_core.messages import BaseMessage
from langchain_core.utils import secret_from_env
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from langchain_replicate_stream._from_core import PROVIDER, raise_as_langchain, to_langchain
from langchain_replicate_stream._to_core import to_core
from langchain_replicate_stream._tools import convert_arguments
from replicate_stream import Client, ModelCapabilities, Usage, __version__
from replicate_stream.adapters import (
    CONNECTION_REMEDIES,
    PARAMETERS,
    ClientCache,
    Connection,
    DeferredSignature,
    check_argument_names,
    find_missing_token,
    merge_arguments,
    without_secret_inputs,
    without_secrets,
    without_values,
)

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.prompt_values import PromptValue

SETTINGS = ("model", *(parameter.name for parameter in PARAMETERS if parameter.is_setting))
"""Arguments of `Client.stream` that are fields, and that a call can override."""
_FIELD_NAMES = {"extra_input": "model_kwargs", "include_usage": "stream_usage"}
_ALIASES = {field: name for name, field in _FIELD_NAMES.items()}
_read_token = secret_from_env("REPLICATE_API_TOKEN", default=None)
_SWITCH = "stream"  # LangChain's own argument of `invoke`, which reaches us too
_CALL_NAMES = frozenset(
    {"model", "stop_sequences", _SWITCH, *_ALIASES, *(each.name for each in PARAMETERS)}
)
# What traces and caches do not show: texts and code of the developer's, and possible secrets.
_HIDDEN = frozenset({"system_prompt", "model_kwargs", "extra_input", "validator"})
_SAME_ANSWER = frozenset({"include_usage", "coalesce"})  # settings that do not change an answer
REPLACED: Mapping[str, str] = {
    "prompt_key": "the model's schema determines the input of the prompt",
    "version_obj": "a model's schema is looked up once for all objects",
    "input": "give inputs under the model's own names in model_kwargs",
    "api_base": "use base_url",
    "request_timeout": "use timeout",
    "replicate_api_key": "use api_key",
    "extra_headers": "use default_headers",
}
"""Arguments of other classes for Replicate, and their replacements."""
_REPLACED_IN_CALLS: Mapping[str, str] = {
    **REPLACED,
    **CONNECTION_REMEDIES,
    "headers": CONNECTION_REMEDIES["default_headers"],
}


def _check_call_names(kwargs: Mapping[str, Any]) -> None:
    """Reject arguments of a call that are unknown.

    Raises:
        TypeError: Names the first one, with the remedy.
    """
    if not kwargs.keys() <= _CALL_NAMES:
        check_argument_names(
            "ChatReplicate", kwargs, _CALL_NAMES, _REPLACED_IN_CALLS, input_argument="model_kwargs"
        )


class ConnectionFields(BaseModel):
    """The fields of every model on Replicate: its name, its connection, its own inputs."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,  # the client
        populate_by_name=True,
        hide_input_in_errors=True,  # they would show the token
        # Built when the first model is made: an import that is never used should not cost that.
        defer_build=True,
    )

    model: str = Field(validation_alias=AliasChoices("model", "model_name"))
    """`owner/name`, `owner/name:version`, a 64-hex version, or `deployments/owner/name`."""
    api_key: SecretStr | str | Callable[[], Any] | None = Field(
        default_factory=_read_token,
        validation_alias=AliasChoices("api_key", "replicate_api_token"),
        repr=False,
    )
    """The API token, or a function (async or not) that returns it for each request."""
    base_url: str | None = None
    """The API's address; `REPLICATE_BASE_URL` by default."""
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    """An HTTP proxy for all requests."""
    timeout: float | None = 180.0
    """The longest silence in seconds: for a reply, the first token, and between tokens."""
    deadline: float | None = None
    """The longest time for the whole answer in seconds, with the wait for the rate limit."""
    max_retries: int = 2
    """The number of times that a failed request is repeated; a rate limit's refusal costs none."""
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Further headers for requests to the API."""
    on_unsupported: Literal["raise", "warn", "ignore"] = "raise"
    """The reaction to a parameter that the model has no input for: `raise`, `warn`, `ignore`."""
    dialect: Literal["replicate", "cog"] | None = None
    """`cog` for a container of Cog; by default `REPLICATE_DIALECT`, or else `replicate`."""
    prices: dict[str, Any] | None = None
    """Prices by model, which make the cost of an answer; see `replicate_stream.Price`."""
    budget: Any = None
    """The most that the predictions may use together; beyond it the next request is refused."""
    on_prediction: Callable[[Any], Any] | None = Field(default=None, exclude=True, repr=False)
    """Called with a report of each prediction that has ended, was left, or failed."""
    client: Client | None = Field(default=None, exclude=True, repr=False)
    """A client to share with other models, in place of the settings above."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further inputs of the model under its own names; they win over the other parameters."""

    _client_cache: ClientCache = PrivateAttr(default_factory=ClientCache)
    _replaced: ClassVar[Mapping[str, str]] = REPLACED

    if not TYPE_CHECKING:  # see ChatReplicate

        @classmethod
        def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
            super().__pydantic_init_subclass__(**kwargs)
            cls.__signature__ = DeferredSignature()

        def __init__(self, **kwargs: Any) -> None:
            self._construct(kwargs)

        def _construct(self, kwargs: dict[str, Any]) -> None:
            """Construct the object; empty `kwargs` if that fails."""
            failure = None
            try:
                super().__init__(**kwargs)
            except ValueError as error:
                failure = without_values(error)
            if failure is not None:
                kwargs.clear()  # error trackers record the variables of a frame
                raise failure

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        aliases = [each.validation_alias for each in cls.model_fields.values()]
        synonyms = [list(map(str, a.choices)) for a in aliases if isinstance(a, AliasChoices)]
        known = {*cls.model_fields}.union(*synonyms)
        try:
            check_argument_names(
                cls.__name__, values, known, cls._replaced, input_argument="model_kwargs"
            )
        except TypeError as error:
            raise ValueError(str(error)) from None  # Pydantic reports only these
        for names in synonyms:
            given = [name for name in names if values.get(name) is not None]
            if len(given) > 1:
                raise ValueError(f"{' and '.join(given)} are names of one argument; give one")
            if given:  # Pydantic takes the first name, be its value None
                values = {n: v for n, v in values.items() if n in given or n not in names}
        return values

    @field_validator("api_key", mode="before")
    @classmethod
    def _wrap_secret(cls, key: Any) -> Any:
        if isinstance(key, str):
            return SecretStr(key)
        if key is not None and not isinstance(key, SecretStr) and not callable(key):
            raise ValueError(
                f"api_key is of type {type(key).__name__}; it must be a str, a SecretStr, or a "
                "function that returns one"
            )
        return key

    def _get_client(self) -> Client:
        """Return the shared client, or one for the settings as they are now."""
        if self.client is not None:
            is_given = "api_key" in self.model_fields_set and self.api_key != _read_token()
            own = Connection.from_fields(self, self.api_key if is_given else None)
            return own.check_shared(self.client)
        self._client_cache = self._client_cache.update(Connection.from_fields(self, self.api_key))
        return self._client_cache.client

    @property
    def spent(self) -> Usage:
        """What the predictions of this object and its shallow copies have used: `Client.spent`."""
        return self._get_client().spent

    # Serialization

    @field_serializer("model_kwargs")
    def _without_secret_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return without_secret_inputs(inputs, model=self.model, get_client=self._get_client)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_secrets(self.base_url)[0] if name == "base_url" else value

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state for a pickle, without secrets; the token is read again on loading."""
        state = super().__getstate__()
        connection = Connection.from_fields(self, self.api_key).without_secrets()
        state["__dict__"] = {
            **state["__dict__"],
            "api_key": connection.api_key,
            "base_url": connection.base_url,
            "proxy": connection.proxy,
            "default_headers": connection.headers,
            "model_kwargs": self._without_secret_inputs(self.model_kwargs),
        }
        state["__dict__"].pop("_serialized", None)
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickle, with the token of this process's environment."""
        super().__setstate__(state)
        if self.api_key is None:
            self.api_key = _read_token()


class ChatReplicateFields(ConnectionFields, BaseChatModel):
    """The fields of a chat model on Replicate."""

    temperature: float | None = None
    """Randomness; 0 picks the most likely tokens. None: the model's own default, as below."""
    max_tokens: int | None = None
    """The longest answer, in tokens."""
    top_p: float | None = None
    """Sample from the most likely tokens of this total probability."""
    top_k: int | None = None
    """Sample from this many of the most likely tokens; 0 or -1: all."""
    stop: list[str] | str | None = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    """Texts that end the answer and are not part of it; enforced on every model."""
    seed: int | None = None
    """Makes answers repeatable on models that support it."""
    presence_penalty: float | None = None
    """Penalty for tokens that have occurred."""
    frequency_penalty: float | None = None
    """Penalty for tokens, by how often they have occurred."""
    reasoning_effort: str | None = None
    """`none` to `max`: the level of reasoning, or the nearest that the model has."""
    system_prompt: str | None = Field(default=None, repr=False)
    """A system text, before those among the messages."""
    prompt_format: str | None = None
    """The family whose chat format prompts are written in, or `plain`; None: the model's own."""
    streaming: bool = False
    """Whether `invoke` streams internally."""
    max_repairs: int = 1
    """Retries of an answer without the required call or JSON, each of which is paid."""
    coalesce: bool = False
    """Whether to stream tokens that have arrived already as one piece; none waits for another."""
    stream_usage: bool = True
    """Whether to request the token counts when an answer has ended."""

    _capabilities: ModelCapabilities | None = PrivateAttr(default=None)  # None: a given profile

    if not TYPE_CHECKING:  # see ChatReplicate
        # The names that no field has, for tools that read the signature of a constructor.
        def __init__(
            self, *, replicate_api_token: Any = None, stop_sequences: Any = None, **kwargs: Any
        ) -> None:
            if replicate_api_token is not None:
                kwargs["replicate_api_token"] = replicate_api_token
            if stop_sequences is not None:
                kwargs["stop_sequences"] = stop_sequences
            del replicate_api_token  # error trackers record the variables of a frame
            self._construct(kwargs)

    @model_validator(mode="after")
    def _record_version(self) -> ChatReplicateFields:
        add_version = getattr(self, "_add_version", None)  # langchain-core has it from 1.5 on
        if add_version is not None:
            add_version("replicate-stream", __version__)
        return self

    def __eq__(self, other: object) -> bool:
        """Return True for equal fields, whatever is known of the model by now."""
        if isinstance(other, ChatReplicateFields) and None not in (
            self._capabilities,
            other._capabilities,
        ):
            other = other.model_copy(update={"profile": self.profile})
            other._capabilities = self._capabilities
        return super().__eq__(other)

    # The client, and the arguments of its methods

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        # The first step of every call: the traceback of a missing token is short from here.
        if self.api_key is None:
            with raise_as_langchain():
                error = find_missing_token(self._get_client())
            has_cache = self.cache is not False and bool(self.cache or get_llm_cache())
            if error is not None and not has_cache:  # a cache answers without a token
                raise to_langchain(error)
        return super()._convert_input(model_input)

    def _get_stop(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> Any:
        """Return the stop sequences of a call under either name, or the object's."""
        if stop is not None:
            return stop
        stop_sequences = kwargs.get("stop_sequences")
        return self.stop if stop_sequences is None else stop_sequences

    def _build_request(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> tuple[Client, dict[str, Any]]:
        """Return the client, and the arguments of its `stream`, `complete` and `prepare`.

        Raises:
            InvalidInputError: A message is of a type that has no role for a model.
            TypeError: An argument of the call is unknown.
            ValueError: A tool or the format is of an unknown type.
        """
        _check_call_names(kwargs)
        stop = self._get_stop(stop, kwargs)
        own = {n: v for n, v in kwargs.items() if n not in {_SWITCH, "stop_sequences"}}
        settings = {name: getattr(self, _FIELD_NAMES.get(name, name)) for name in SETTINGS}
        client = self._get_client()
        request = merge_arguments(settings, own, _ALIASES)
        request["messages"] = to_core(messages, files_url=client.files_url)
        request["stop"] = stop
        if "tools" in request or "response_format" in request:
            request = convert_arguments(request)
        return client, request

    # Traces, caches and serialization

    @property
    def _llm_type(self) -> str:
        return "replicate-stream"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Every setting that changes the answer, and no secret, for traces."""
        names = (_FIELD_NAMES.get(name, name) for name in SETTINGS if name not in _SAME_ANSWER)
        params = {name: getattr(self, name) for name in names if name not in _HIDDEN}
        # The framework overwrites `stop` with the call's own, be it None.
        params["stop_sequences"] = params.pop("stop")
        params["base_url"] = without_secrets(self.base_url)[0]
        return {name: value for name, value in params.items() if value is not None}

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        _check_call_names(kwargs)  # before a trace records an unknown one, such as a token
        # Traces record these even where they hide the inputs of a run.
        params = super()._get_invocation_params(stop=stop, **kwargs)
        return {n: v for n, v in params.items() if n not in _HIDDEN and v is not None}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=str(kwargs.get("model") or self.model),
            ls_model_type="chat",
        )
        if (temperature := kwargs.get("temperature", self.temperature)) is not None:
            params["ls_temperature"] = temperature
        if (max_tokens := kwargs.get("max_tokens", self.max_tokens)) is not None:
            params["ls_max_tokens"] = max_tokens
        stop_sequences = self._get_stop(stop, kwargs)
        if isinstance(stop_sequences, str):
            stop_sequences = [stop_sequences] if stop_sequences else []
        if stop_sequences and isinstance(stop_sequences, Sequence):  # others are rejected later
            params["ls_stop"] = list(stop_sequences)
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # The key of caches: what the core is asked for, whether the object or the call has it. The
        # framework's own is made of the object's first serialization: after a setting was changed
        # it would return the old setting's answers. Two classes of one name, or two functions,
        # would be the same in it: their schemas are not.
        client, request = self._build_request([], stop, kwargs)
        del request["messages"]  # they are the other half of the key
        stop_sequences = request["stop"] or None
        request["stop"] = [stop_sequences] if isinstance(stop_sequences, str) else stop_sequences
        # Another server may run another model under the same name; the demo's does.
        request["base_url"] = client.base_url
        # Caches keep messages in the version they were made in.
        request["output_version"] = self.output_version
        shown = {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in request.items()
            if value is not None and name not in _SAME_ANSWER
        }
        # Caches store their keys, so what may be secret is in it as a hash.
        hidden = [(name, shown.pop(name)) for name in sorted(_HIDDEN) if name in shown]
        digest = hashlib.sha256(str(hidden).encode("utf-8", "backslashreplace")).hexdigest()
        return f"{sorted(shown.items())} {digest}"

    @cached_property
    def _serialized(self) -> dict[str, Any]:
        """The description of this object that handlers of callbacks get, and that traces store.

        `dumps` writes the hidden fields, but tracers send this one whatever they are to hide.
        """
        described: dict[str, Any] = dumpd(self)
        kwargs = described.get("kwargs", {})  # a subclass may not be serializable
        for name in _HIDDEN:
            kwargs.pop(name, None)
        return described

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: `dumps` writes the model without secrets.

        `loads` reads it where `allowed_objects` has this class and `valid_namespaces` this package.
        The token is taken from its `secrets_map`, or the environment.
        """
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return the package, where `loads` finds the class."""
        return ["langchain_replicate_stream"]

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Attributes that are serialized in another form: without passwords and secrets."""
        attributes = {
            "base_url": without_secrets(self.base_url)[0],
            "model_kwargs": self._without_secret_inputs(self.model_kwargs),
        }
        return {name: value for name, value in attributes.items() if getattr(self, name)}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Arguments that are secrets, with their environment variables."""
        return {"api_key": "REPLICATE_API_TOKEN", "replicate_api_token": "REPLICATE_API_TOKEN"}

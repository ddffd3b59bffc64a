"""The fields of the classes: their serialization, the client, and the arguments of a call.

The traps: secrets, because the framework puts every plain field into an object's dict, repr and
pickle, and into traces; and misspelt names, which it ignores, so that the model would be run, and
paid, without the argument.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llama_index.core.bridge.pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
)
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic.json_schema import SkipJsonSchema

from llama_index_replicate_stream._function_calling import FunctionCallingMixin
from llama_index_replicate_stream._hidden_inputs import reveal_inputs
from llama_index_replicate_stream._metadata import ReplicateMetadata, make_metadata
from llama_index_replicate_stream._structured_output import (
    astream_objects,
    build_arguments,
    replace_tool,
    stream_objects,
)
from llama_index_replicate_stream._tools import convert_tools
from replicate_stream import Client, ModelNotFoundError, Usage
from replicate_stream.adapters import (
    CONNECTION_REMEDIES,
    PARAMETERS,
    ClientCache,
    Connection,
    DeferredSignature,
    check_argument_names,
    describes_object,
    merge_arguments,
    run_blocking,
    without_secret_inputs,
    without_secrets,
    without_values,
)

# `include_usage` is a call's alone: the framework's token counter needs the counts.
_OTHER_SETTINGS = {"extra_input", "include_usage"}
SETTINGS = tuple(p.name for p in PARAMETERS if p.is_setting and p.name not in _OTHER_SETTINGS)
"""Parameters of an answer that are fields of the same name, and that a call can override."""
_CALL_NAMES = ("model", *(parameter.name for parameter in PARAMETERS), "additional_kwargs")
_TOOL_ARGUMENTS = ("tools", "tool_choice", "parallel_tool_calls")
REPLACED: Mapping[str, str] = {
    "prompt_key": "the model's schema determines the input of the prompt; "
    "fill another one by additional_kwargs",
    "api_base": "use base_url",
}
"""Arguments of other classes of LlamaIndex, and their replacements."""
_REPLACED_IN_CALLS: Mapping[str, str] = {
    **REPLACED,
    **CONNECTION_REMEDIES,
    "headers": CONNECTION_REMEDIES["default_headers"],
}
_FUNCTION_MODES = (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)


class ConnectionFields(BaseModel):
    """The fields of every model on Replicate: its connection, and its own inputs."""

    # Built when the first model is made: an import that is never used should not cost that.
    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True, defer_build=True)

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
    additional_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further inputs of the model under its own names; they win over the other parameters."""
    prices: dict[str, Any] | None = None
    """Prices by model, which make the cost of an answer; see `replicate_stream.Price`."""
    budget: Any = None
    """The most that the predictions may use together; beyond it the next request is refused."""
    # Left out of the JSON schema, which cannot describe a function, and would be an error.
    on_prediction: SkipJsonSchema[Callable[[Any], Any] | None] = Field(
        default=None, exclude=True, repr=False
    )
    """Called with a report of each prediction that has ended, was left, or failed."""

    _api_key: str | SecretStr | Callable[[], Any] | None = PrivateAttr(default=None)
    _shared_client: Client | None = PrivateAttr(default=None)
    _client_cache: ClientCache = PrivateAttr(default_factory=ClientCache)
    _replaced: ClassVar[Mapping[str, str]] = REPLACED
    _hidden: ClassVar[Collection[str]] = ()

    def _initialize(self, api_key: Any, client: Client | None, settings: dict[str, Any]) -> None:
        """Construct the object; empty `settings` if that fails.

        Raises:
            TypeError, ValidationError: Without the values, which may be secret.
        """
        if settings.get("additional_kwargs", {}) is None:  # as the framework's own classes allow
            del settings["additional_kwargs"]
        known = (*type(self).model_fields, "model", "api_key", "client")
        failure = None
        try:
            check_argument_names(
                type(self).__name__,
                list(settings),
                known,
                self._replaced,
                input_argument="additional_kwargs",
            )
            super().__init__(**settings)
        except (TypeError, ValueError) as error:
            failure = without_values(error)
        if failure is not None:
            settings.clear()  # error trackers record the variables of a frame
            raise failure
        self._api_key = api_key
        self._shared_client = client

    if not TYPE_CHECKING:  # for which a signature has another type

        @classmethod
        def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
            super().__pydantic_init_subclass__(**kwargs)
            cls.__signature__ = DeferredSignature()

    def _get_client(self) -> Client:
        """Return the shared client, or one for the settings as they are now."""
        own = Connection.from_fields(self, self._api_key)
        if self._shared_client is not None:
            return own.check_shared(self._shared_client)
        self._client_cache = self._client_cache.update(own)
        return self._client_cache.client

    @property
    def spent(self) -> Usage:
        """What the predictions of this object and its shallow copies have used: `Client.spent`."""
        return self._get_client().spent

    # Serialization

    @property
    def _model(self) -> str:
        """The model, by which the secrets among its inputs are recognized."""
        raise NotImplementedError

    @field_serializer("additional_kwargs")
    def _without_secret_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return without_secret_inputs(inputs, model=self._model, get_client=self._get_client)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Yield the fields that are set, without those of the framework that are hidden."""
        for name, value in super().__repr_args__():
            if name not in self._hidden and value is not None:
                yield name, without_secrets(value)[0] if name == "base_url" else value

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state for a pickle, without secrets; the token is read again on loading."""
        # Of a copy: the framework deletes what it cannot pickle from the object itself.
        copy = self.model_copy()
        connection = Connection.from_fields(self, self._api_key).without_secrets()
        copy._api_key = self._api_key if callable(self._api_key) else None  # noqa: SLF001
        copy.base_url, copy.proxy = connection.base_url, connection.proxy
        copy.default_headers = None if connection.headers is None else dict(connection.headers)
        copy.additional_kwargs = self._without_secret_inputs(self.additional_kwargs)
        state: dict[Any, Any] = super(ConnectionFields, copy).__getstate__()
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickle. The framework's own method loses private attributes."""
        super().__setstate__(state)
        private = state.get("__pydantic_private__") or {}
        self._api_key = private.get("_api_key")
        self._shared_client = private.get("_shared_client")


class ReplicateFields(ConnectionFields, CustomLLM, FunctionCallingMixin):
    """The fields of a language model on Replicate."""

    model: str
    """`owner/name`, `owner/name:version`, a 64-hex version, or `deployments/owner/name`."""
    system_prompt: str | None = Field(default=None, repr=False)
    """A system text, before those among the messages."""
    temperature: float | None = None
    """Randomness; 0 picks the most likely tokens. None: the model's own default, as below."""
    max_tokens: int | None = None
    """The longest answer, in tokens."""
    top_p: float | None = None
    """Sample from the most likely tokens of this total probability."""
    top_k: int | None = None
    """Sample from this many of the most likely tokens; 0 or -1: all."""
    stop: list[str] | str | None = None
    """Texts that end the answer and are not part of it; enforced on every model."""
    seed: int | None = None
    """Makes answers repeatable on models that support it."""
    presence_penalty: float | None = None
    """Penalty for tokens that have occurred."""
    frequency_penalty: float | None = None
    """Penalty for tokens, by how often they have occurred."""
    reasoning_effort: str | None = None
    """`none` to `max`: the level of reasoning, or the nearest that the model has."""
    prompt_format: str | None = None
    """The family whose chat format prompts are written in, or `plain`; None: the model's own."""
    max_repairs: int = 1
    """Retries of an answer without the required call or JSON, each of which is paid."""
    coalesce: bool = False
    """Whether to stream tokens that have arrived already as one piece; none waits for another."""
    image: str | None = Field(default=None, repr=False)
    """Path or address of an image for every question."""

    context_window: int | None = Field(default=None, gt=0)
    """The model's context window, in tokens; None: the known one."""
    is_chat_model: bool = True
    """True if the framework should use chats, False for completions."""
    is_function_calling_model: bool = True
    """True if the framework should offer tools."""

    _hidden: ClassVar[Collection[str]] = CustomLLM.model_fields  # two of them are prompts

    @property
    def _model(self) -> str:
        return self.model

    @classmethod
    def class_name(cls) -> str:
        """Return the name in serialized forms, which never changes."""
        return "replicate_stream_llm"

    @property
    def metadata(self) -> ReplicateMetadata:
        """The model's limits for the framework's planning. No I/O.

        Of an unknown context window `is_context_window_known` is False, and reading it warns.
        """
        known = self._get_client().capabilities(self.model)
        return make_metadata(
            self.context_window or known.context_window,
            self.max_tokens,
            is_chat_model=self.is_chat_model,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model,
        )

    # The framework's structured streaming; see `_structured_output`

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if not self._uses_function_calls():
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        arguments = build_arguments(self, output_cls, prompt, llm_kwargs, prompt_args)
        is_json = run_blocking(lambda: self._takes_json(output_cls, arguments.get("model")))
        if is_json:
            responses = self.stream_chat(**replace_tool(output_cls, arguments))
        else:
            responses = self.stream_chat(**self._prepare_chat_with_tools(**arguments))
        return stream_objects(responses, output_cls, is_json=is_json)

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if not self._uses_function_calls():
            parent = super()._structured_astream_call
            return await parent(output_cls, prompt, llm_kwargs, **prompt_args)
        arguments = build_arguments(self, output_cls, prompt, llm_kwargs, prompt_args)
        is_json = await self._takes_json(output_cls, arguments.get("model"))
        if is_json:
            responses = await self.astream_chat(**replace_tool(output_cls, arguments))
        else:
            responses = await self.astream_chat(**self._prepare_chat_with_tools(**arguments))
        return astream_objects(responses, output_cls, is_json=is_json)

    async def _takes_json(self, output_cls: type[BaseModel], model: str | None) -> bool:
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return False
        client, model = self._get_client(), model or self.model
        # Cached: the request needs it too. A gateway may have no look-ups.
        with suppress(ModelNotFoundError):
            await client.describe(model)
        has_input = bool(client.capabilities(model).has_native_json)
        return has_input and describes_object(output_cls.model_json_schema())

    def _uses_function_calls(self) -> bool:
        return self.is_function_calling_model and self.pydantic_program_mode in _FUNCTION_MODES

    # The client, and the arguments of its methods

    @staticmethod
    def _check_call_names(names: Iterable[str]) -> None:
        check_argument_names(
            "Replicate", names, _CALL_NAMES, _REPLACED_IN_CALLS, input_argument="additional_kwargs"
        )

    def _merge_arguments(self, kwargs: Mapping[str, Any], *, is_chat: bool) -> dict[str, Any]:
        """Merge a call's arguments over the fields, as arguments of `Client.stream`.

        Args:
            kwargs: The call's arguments. None overrides too: it is the model's own default.
            is_chat: False for a completion, which cannot contain tool calls.

        Raises:
            TypeError: An argument is unknown, with the closest known name, or needs a chat.
        """
        self._check_call_names(kwargs)
        for name in _TOOL_ARGUMENTS:
            if not is_chat and kwargs.get(name) is not None:
                raise TypeError(f"A completion cannot contain tool calls; use {name!r} in a chat")
        settings = {name: getattr(self, name) for name in ("model", *SETTINGS)}
        settings["extra_input"] = self.additional_kwargs
        call = reveal_inputs(kwargs)
        arguments = merge_arguments(settings, call, {"additional_kwargs": "extra_input"})
        return {**arguments, "tools": convert_tools(arguments.get("tools"))}

    # Traces and serialization

    def to_payload(self) -> dict[str, Any]:
        """Return the description of the model for traces: no secrets, and no prompts."""
        settings = {name: getattr(self, name) for name in ("model", "temperature", "max_tokens")}
        return {**super().to_payload(), **settings}

"""What a `Replicate` is beside its endpoints: its settings, its client, its copies.

The trap: what the framework makes of an object (its dict, its repr, its pickle, what it hands to
tracers) holds every plain field. A token, a proxy's password or a header is none.

A misspelt name is an error here: the framework would let it pass, and the model would be run, and
paid, without it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Mapping
from typing import Any, Literal

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode

from llama_index_replicate_stream import _structured_output
from llama_index_replicate_stream._function_calling import Calling
from llama_index_replicate_stream._tools import to_core_tools
from replicate_stream import Client
from replicate_stream.adapters import without_secrets

PARAMETERS = (
    "model",
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "system_prompt",
    "prompt_format",
    "max_repairs",
)
"""What an object and a call may both give, under the names of `Client.stream`."""

_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_ONLY_FOR_A_CALL = (*_TOOLS, "response_format", "include_usage")
_EXTRA = ("additional_kwargs", "extra_input")
_GONE: Mapping[str, str] = {
    "prompt_key": "the model's schema tells which input takes the prompt; to fill another one, "
    "give it in additional_kwargs",
}
"""Arguments of `llama_index.llms.replicate.Replicate` that are not here, and what replaces them."""
_CONNECTION = ("base_url", "proxy", "timeout", "deadline", "max_retries", "on_unsupported")
_BY_FUNCTIONS = (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)


class Configured(CustomLLM, Calling):
    """The settings of a model on Replicate, and what they make of it."""

    # Built when the first model is made: an import that is never used should not cost that.
    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

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
    max_repairs: int = Field(
        default=1,
        description="How often an answer without the call, or the JSON, that was asked for is "
        "asked for again, which is paid again.",
    )
    context_window: int | None = Field(
        default=None, gt=0, description="Tokens that the model can hold; None: as is known of it."
    )
    is_chat_model: bool = Field(
        default=True, description="Whether the framework should ask it by chats."
    )
    is_function_calling_model: bool = Field(
        default=True, description="Whether the framework should offer it tools."
    )
    image: str | None = Field(
        default=None,
        repr=False,
        description="An image for every question: a local path, or an address.",
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="Further inputs of the model under its own names.",
    )

    _api_key: Any = PrivateAttr(default=None)
    _shared: Client | None = PrivateAttr(default=None)
    _own: tuple[dict[str, Any], Client] | None = PrivateAttr(default=None)

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
        """What the framework plans with, as far as it is known of the model by now. No I/O.

        Of the context window at least half is left to the prompt: the framework's queries have no
        room for one otherwise, and fail.
        """
        known = self._client().capabilities(self.model)
        window = self.context_window or known.context_window or DEFAULT_CONTEXT_WINDOW
        output = self.max_tokens or known.default_output or DEFAULT_NUM_OUTPUTS
        return LLMMetadata(
            context_window=window,
            num_output=min(output, window // 2),
            is_chat_model=self.is_chat_model,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model,
        )

    def to_payload(self) -> dict[str, Any]:
        """What tracers are told of the model: no secret, and no prompt."""
        told = {name: getattr(self, name) for name in ("model", "temperature", "max_tokens")}
        return {**super().to_payload(), **told}

    # Objects out of streams: see `_structured_output`

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if self._answers_by_calls():
            return _structured_output.stream(
                self, output_cls, prompt, llm_kwargs or {}, **prompt_args
            )
        return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if self._answers_by_calls():
            return _structured_output.astream(
                self, output_cls, prompt, llm_kwargs or {}, **prompt_args
            )
        return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)

    def _answers_by_calls(self) -> bool:
        return self.is_function_calling_model and self.pydantic_program_mode in _BY_FUNCTIONS

    # The way to the core

    def _request(self, kwargs: dict[str, Any], *, is_chat: bool) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in PARAMETERS}
        return for_the_client(own, self.additional_kwargs, kwargs, is_chat=is_chat)

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
        state: dict[Any, Any] = super(Configured, bare).__getstate__()
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore from a pickle. The framework's own way loses what is private."""
        super().__setstate__(state)
        private = state.get("__pydantic_private__") or {}
        self._api_key, self._shared = private.get("_api_key"), private.get("_shared")


def for_the_client(
    own: Mapping[str, Any], extra: Mapping[str, Any], given: Mapping[str, Any], *, is_chat: bool
) -> dict[str, Any]:
    """The arguments of `Client.stream`, all but the messages.

    Args:
        own: The object's parameters.
        extra: The object's further inputs; those of the call are added, and win.
        given: The call's arguments. None overrides too: it is the model's own default.
        is_chat: Whether tools can be called: a completion has no place for a call.

    Raises:
        TypeError: An argument of the call is not known; it names the closest one that is.
    """
    refuse_unknown(given, (*PARAMETERS, *_ONLY_FOR_A_CALL, *_EXTRA))
    for name in _TOOLS:
        if not is_chat and given.get(name) is not None:
            raise TypeError(f"A completion cannot hold calls of tools: give {name!r} to a chat")
    inputs = dict(extra)
    for name in _EXTRA:
        more = given.get(name) or {}
        if not isinstance(more, Mapping):
            raise TypeError(f"{name} is of type {type(more).__name__}; a dict is needed")
        inputs.update(more)
    called = {name: value for name, value in given.items() if name not in _EXTRA}
    tools = to_core_tools(given.get("tools"))
    return {**own, **called, "tools": tools, "extra_input": inputs or None}


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Raise `TypeError` for the first name that is not known."""
    for name in given:
        if name in known:
            continue
        if name in _GONE:
            raise TypeError(f"Replicate has no argument {name!r}: {_GONE[name]}")
        import difflib  # as large as this package, and only a mistake needs it

        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise TypeError(f"Replicate has no argument {name!r}; {hint}")

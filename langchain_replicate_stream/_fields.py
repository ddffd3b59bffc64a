"""What a `ChatReplicate` is made of: its settings, and what of them is written down.

The traps are secrets, which go into no trace, cache or pickle, and misspelt names, which would have
the model run, and paid, without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.utils import secret_from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from langchain_replicate_stream._arguments import PARAMETERS, unknown
from replicate_stream import Client, __version__
from replicate_stream.adapters import without_secrets

KeyFunction = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Own:
    """A model's own client and the settings that it was made of.

    Equal to any other one: two models are equal by what they were told.
    """

    settings: Mapping[str, Any] | None = None
    client: Client | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)


class Settings(BaseChatModel):
    """The settings of a chat model on Replicate."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,  # they would show the token
        # Built when the first model is made: an import that is never used should not cost that.
        defer_build=True,
    )

    model: str = Field(validation_alias="model_name")
    """`owner/name`, `owner/name:version`, a 64-hex version, or `deployments/owner/name`."""
    api_key: SecretStr | str | KeyFunction | None = Field(
        default_factory=secret_from_env("REPLICATE_API_TOKEN", default=None),
        validation_alias="replicate_api_token",
        repr=False,
    )
    """The API token, or a function (async or not) that gives it for each request."""
    base_url: str | None = None
    """The API's address; `REPLICATE_BASE_URL` by default."""
    proxy: str | None = Field(default=None, exclude=True, repr=False)
    """An HTTP proxy for everything."""
    timeout: float | None = 180.0
    """The longest silence in seconds: for a reply, the first token, and between tokens."""
    deadline: float | None = None
    """The longest that an answer may take in all, in seconds."""
    max_retries: int = 2
    """How often a request is repeated that was not served."""
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Further headers for requests to the API."""
    on_unsupported: Literal["raise", "warn", "ignore"] = "raise"
    """What to do about a parameter that the model has no input for: `raise`, `warn`, `ignore`."""
    client: Client | None = Field(default=None, exclude=True, repr=False)
    """A client to share with other models; it replaces the settings above."""

    temperature: float | None = None
    """Randomness; 0 is the most likely answer. None: the model's own default, as below."""
    max_tokens: int | None = None
    """The longest answer, in tokens."""
    top_p: float | None = None
    """Sample from the most likely tokens of this total probability."""
    top_k: int | None = None
    """Sample from this many of the most likely tokens."""
    stop: list[str] | str | None = Field(default=None, validation_alias="stop_sequences")
    """Texts that end the answer and are not part of it; enforced on every model."""
    seed: int | None = None
    """For repeatable answers, where the model has it."""
    presence_penalty: float | None = None
    """Against tokens that have come before."""
    frequency_penalty: float | None = None
    """Against tokens, the more often they have come."""
    system_prompt: str | None = Field(default=None, repr=False)
    """A system text before those among the messages."""
    prompt_format: str | None = None
    """The family whose chat format prompts are written in, or `plain`; None: the model's own."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further inputs of the model under its own names; they win."""
    streaming: bool = False
    """Whether `invoke` streams inside, too."""
    max_repairs: int = 1
    """How often an answer is asked for once more, and paid, that is not what was asked for: no call
    where one was required, or JSON that is missing, malformed or does not fit. 0: never."""
    stream_usage: bool = True
    """Whether to ask for the token counts when an answer has ended."""

    _own: Own = PrivateAttr(default_factory=Own)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_arguments(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            aliases = {field.validation_alias for field in cls.model_fields.values()}
            known = {*cls.model_fields, *(name for name in aliases if isinstance(name, str))}
            for name in given:
                if name not in known:
                    raise ValueError(unknown(str(name), known))
        return given

    @field_validator("api_key", mode="before")
    @classmethod
    def _hide(cls, key: Any) -> Any:
        return SecretStr(key) if isinstance(key, str) else key

    @model_validator(mode="after")
    def _record_version(self) -> Settings:
        add_version = getattr(self, "_add_version", None)  # langchain-core has it from 1.5 on
        if add_version is not None:
            add_version("replicate-stream", __version__)
        return self

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Every setting that changes the answer, and no secret: this goes to caches and traces."""
        given = {name: getattr(self, name) for name in PARAMETERS}
        # The framework writes the call's own `stop` over that name, be there one or not.
        given["stop_sequences"] = given.pop("stop")
        # Caches keep messages in the version they were made in.
        given["output_version"] = self.output_version
        # Another server may run another model under the same name; the demo's does.
        return {**given, "base_url": without_secrets(self.base_url)[0]}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Yes: `dumps` writes it without secrets.

        `loads` reads it where `allowed_objects` has this class and `valid_namespaces` this package.
        The token is taken from its `secrets_map`, or the environment.
        """
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where `loads` finds the class: in the package, whichever file it lives in."""
        return ["langchain_replicate_stream"]

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self.lc_attributes.get(name or "", value)

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What is written otherwise than it is: the address, without a password in it."""
        return {} if self.base_url is None else {"base_url": without_secrets(self.base_url)[0]}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The constructor's secrets, and the variables that hold them."""
        return {"api_key": "REPLICATE_API_TOKEN", "replicate_api_token": "REPLICATE_API_TOKEN"}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # The key of caches. The framework's own is what was serialized once for each object, so a
        # setting that was changed since would be answered with what was said before.
        params = {**self._get_invocation_params(stop=stop, **kwargs), **kwargs}
        return str(sorted(params.items()))

    def __getstate__(self) -> dict[Any, Any]:
        """The state for a pickle: without secrets. The token is read again where it is loaded."""
        state = super().__getstate__()
        proxy, headers = without_secrets(self.proxy, self.default_headers)
        shown = {"proxy": proxy, "default_headers": headers, **self.lc_attributes}
        kept = {**state["__dict__"], **shown}
        kept.pop("_serialized", None)  # made when it is needed
        state["__dict__"] = kept if callable(self.api_key) else {**kept, "api_key": None}
        state["__pydantic_private__"] = {"_own": Own()}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore from a pickle, with the token of this process's environment."""
        super().__setstate__(state)
        if self.api_key is None:
            self.api_key = secret_from_env("REPLICATE_API_TOKEN", default=None)()

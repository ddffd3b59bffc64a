"""Arguments and results of the classes for type checkers and editors, not used at runtime.

The tests compare the arguments with the fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from langchain_core.caches import BaseCache
from langchain_core.callbacks import Callbacks
from langchain_core.language_models import ModelProfile
from langchain_core.messages import AIMessage
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import SecretStr
from typing_extensions import TypedDict  # generic before Python 3.11, too

from replicate_stream import Client
from replicate_stream.adapters import ConnectionSettings

_T = TypeVar("_T")


class StructuredOutput(TypedDict, Generic[_T]):
    """The result of `with_structured_output(…, include_raw=True)`."""

    raw: AIMessage
    parsed: _T | None
    parsing_error: BaseException | None


class ModelSettings(ConnectionSettings, total=False):
    """The arguments of every class, under all their names, but for the required model."""

    api_key: SecretStr | str | Callable[[], Any] | None
    replicate_api_token: SecretStr | str | Callable[[], Any] | None
    client: Client | None
    model_kwargs: dict[str, Any]


class Settings(ModelSettings, total=False):
    """The arguments of `ChatReplicate`, under all their names, but for the required model."""

    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    stop: list[str] | str | None
    stop_sequences: list[str] | str | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    reasoning_effort: str | None
    system_prompt: str | None
    prompt_format: str | None
    streaming: bool
    max_repairs: int
    coalesce: bool
    stream_usage: bool
    name: str | None
    cache: BaseCache | bool | None
    verbose: bool
    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    custom_get_token_ids: Callable[[str], list[int]] | None
    rate_limiter: BaseRateLimiter | None
    disable_streaming: bool | Literal["tool_calling"]
    output_version: str | None
    profile: ModelProfile | None

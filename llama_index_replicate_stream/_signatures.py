"""Arguments of the classes for type checkers and editors, not used at runtime.

The tests compare them with the fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.llm import CompletionToPromptType, MessagesToPromptType
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import BaseOutputParser, PydanticProgramMode

from replicate_stream import Budget, PredictionReport, Price


class ConnectionSettings(TypedDict, total=False):
    """The arguments of every class that are fields."""

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
    on_prediction: Callable[[PredictionReport], object] | None
    additional_kwargs: dict[str, Any] | None
    callback_manager: CallbackManager
    rate_limiter: Any


class EmbeddingSettings(ConnectionSettings, total=False):
    """The arguments of `ReplicateEmbedding` that are fields."""

    model_name: str
    query_instruction: str | None
    text_instruction: str | None
    batch_size: int | None
    concurrency: int
    embed_batch_size: int
    num_workers: int | None
    embeddings_cache: Any


class Settings(ConnectionSettings, total=False):
    """The arguments of `Replicate` that are fields, but for the required model."""

    system_prompt: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    stop: list[str] | str | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    reasoning_effort: str | None
    prompt_format: str | None
    max_repairs: int
    coalesce: bool
    image: str | None
    context_window: int | None
    is_chat_model: bool
    is_function_calling_model: bool
    messages_to_prompt: MessagesToPromptType | None
    completion_to_prompt: CompletionToPromptType | None
    output_parser: BaseOutputParser | None
    pydantic_program_mode: PydanticProgramMode
    query_wrapper_prompt: BasePromptTemplate | None

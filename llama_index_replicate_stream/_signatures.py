"""Arguments of the classes for type checkers and editors, not used at runtime.

The tests compare them with the fields.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.llm import CompletionToPromptType, MessagesToPromptType
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import BaseOutputParser, PydanticProgramMode

from replicate_stream.adapters import ConnectionSettings


class ModelSettings(ConnectionSettings, total=False):
    """The arguments of every class that are fields."""

    additional_kwargs: dict[str, Any] | None
    callback_manager: CallbackManager
    rate_limiter: Any


class EmbeddingSettings(ModelSettings, total=False):
    """The arguments of `ReplicateEmbedding` that are fields."""

    model_name: str
    query_instruction: str | None
    text_instruction: str | None
    batch_size: int | None
    concurrency: int
    embed_batch_size: int
    num_workers: int | None
    embeddings_cache: Any


class Settings(ModelSettings, total=False):
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

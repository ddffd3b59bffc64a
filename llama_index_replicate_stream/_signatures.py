"""Arguments of `Replicate` for type checkers and editors, not used at runtime.

The tests compare `Settings` with the fields.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.llm import CompletionToPromptType, MessagesToPromptType
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import BaseOutputParser, PydanticProgramMode


class Settings(TypedDict, total=False):
    """The arguments of the constructor that are fields, but for the required model."""

    base_url: str | None
    proxy: str | None
    timeout: float | None
    deadline: float | None
    max_retries: int
    default_headers: dict[str, str] | None
    on_unsupported: Literal["raise", "warn", "ignore"]
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
    additional_kwargs: dict[str, Any]
    image: str | None
    context_window: int | None
    is_chat_model: bool
    is_function_calling_model: bool
    callback_manager: CallbackManager
    rate_limiter: Any
    messages_to_prompt: MessagesToPromptType | None
    completion_to_prompt: CompletionToPromptType | None
    output_parser: BaseOutputParser | None
    pydantic_program_mode: PydanticProgramMode
    query_wrapper_prompt: BasePromptTemplate | None

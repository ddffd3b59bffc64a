"""What the framework plans with: the model's limits, with a mark on those that are guessed.

The trap: prompt helpers, memories and query engines divide texts by these numbers without a word. A
window that is too small multiplies the predictions, and one that is too large makes them fail.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS

from replicate_stream.adapters import warn_caller


class ReplicateMetadata(LLMMetadata):
    """The limits of a model. Reading a guessed `context_window` warns.

    Attributes:
        is_context_window_known: False if `context_window` is a guess, the framework's default.
    """

    is_context_window_known: bool = True

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute; warn if it is a guess. Whoever reads it plans with it."""
        if name == "context_window" and not self.is_context_window_known:
            warn_caller(
                f"The context window of {self.model_name} is not known: LlamaIndex plans with "
                f"{DEFAULT_CONTEXT_WINDOW} tokens, which is a guess. Set context_window=.",
                UserWarning,
                is_for_all_lines=True,
            )
        return super().__getattribute__(name)


def make_metadata(
    context_window: int | None, max_tokens: int | None, **details: Any
) -> ReplicateMetadata:
    """Make the metadata of a model.

    Args:
        context_window: The window in tokens; None if it is not known.
        max_tokens: The longest answer that the user set. Without one a constant is reserved: the
            model's own default is known only after its first call, and would change the plan.
        details: The other fields.
    """
    window = context_window or DEFAULT_CONTEXT_WINDOW
    return ReplicateMetadata(
        context_window=window,
        # Half of the window is left for the prompt; without room for one, queries fail.
        num_output=min(max_tokens or DEFAULT_NUM_OUTPUTS, window // 2),
        is_context_window_known=context_window is not None,
        **details,
    )

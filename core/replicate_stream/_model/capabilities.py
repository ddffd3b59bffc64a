"""Capabilities of a model: its context window, its media, and the parameters that it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from replicate_stream._lazy import public

if TYPE_CHECKING:
    from replicate_stream._model.families import FamilyTables

# A size in a name is the window, unless it counts what a fine-tune was trained on (`60k`).
_SIZE_IN_NAME = re.compile(r"(?:^|[-_.])(4|8|16|32|64|128|200|256)k(?:$|[-_.])")
_DECIMAL_SIZE = 200  # Yi's 200k is 200,000; the powers of two count in 1,024s


@public
@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """The capabilities of a model. None stands for an unknown one.

    Attributes:
        context_window: The tokens of a prompt and its answer together.
        max_output: The longest answer that can be requested, in tokens.
        default_output: The longest answer if no bound is requested, in tokens.
        takes_images: True if it has an input for images.
        takes_audio: True if it has an input for audio.
        takes_video: True if it has an input for video.
        takes_files: True if it has an input for documents.
        thinks: True if it reasons before it answers.
        effort_levels: The levels of reasoning that its own input has; empty for no such input.
        default_effort: The level that it uses if the request has none.
        has_native_tools: True if it has an input for tools.
        has_native_json: True if it has an input for the format of an answer.
        takes_temperature: True if it has an input for the temperature.
        secret_inputs: The names of the inputs that its schema declares secret.
    """

    context_window: int | None = None
    max_output: int | None = None
    default_output: int | None = None
    takes_images: bool | None = None
    takes_audio: bool | None = None
    takes_video: bool | None = None
    takes_files: bool | None = None
    thinks: bool | None = None
    effort_levels: tuple[str, ...] | None = None
    default_effort: str | None = None
    has_native_tools: bool | None = None
    has_native_json: bool | None = None
    takes_temperature: bool | None = None
    secret_inputs: frozenset[str] = frozenset()


def get_capabilities(model: str) -> ModelCapabilities:
    """Derive the capabilities of a model from its name. No I/O.

    A model's schema shows more: see `ModelProfile.capabilities`.

    Args:
        model: The model's name, as `Client.stream` takes it.
    """
    # Imported late: the adapters ask for capabilities before they need anything else of a model.
    from replicate_stream._model import families

    name = model.partition(":")[0].rpartition("/")[2].lower()
    return _derive_from_name(name, families.TABLES)


@lru_cache(maxsize=512)
def _derive_from_name(name: str, tables: FamilyTables) -> ModelCapabilities:
    window = tables.find_window(name)
    tokens = None if window is None else window.tokens
    size = _SIZE_IN_NAME.search(name)
    if size is not None:
        thousands = int(size.group(1))
        tokens = thousands * (1000 if thousands == _DECIMAL_SIZE else 1024)
    return ModelCapabilities(
        context_window=tokens,
        max_output=None if window is None else window.max_output,
        takes_images=True if re.search(tables.vision_names, name) else None,
        thinks=True if re.search(tables.thinking_names, name) else None,
    )

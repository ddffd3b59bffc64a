"""Capabilities of a model: its context window and its media, by its name and its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from replicate_stream._lazy import public

if TYPE_CHECKING:
    from replicate_stream._model.families import FamilyTables
    from replicate_stream._model.profile import ModelProfile

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
        has_native_tools: True if it has an input for tools.
        has_native_json: True if it has an input for the format of an answer.
        takes_temperature: True if it has an input for the temperature.
    """

    context_window: int | None = None
    max_output: int | None = None
    default_output: int | None = None
    takes_images: bool | None = None
    takes_audio: bool | None = None
    takes_video: bool | None = None
    takes_files: bool | None = None
    thinks: bool | None = None
    has_native_tools: bool | None = None
    has_native_json: bool | None = None
    takes_temperature: bool | None = None


def get_capabilities(
    model: str, schema: Mapping[str, Any] | ModelProfile | None = None
) -> ModelCapabilities:
    """Derive the capabilities of a model. No I/O.

    Args:
        model: The model's name, as `Client.stream` takes it.
        schema: Its input schema, as `prepare_input` takes it, or the profile that was built from
            it. The schema wins over the name.
    """
    # Imported late: the adapters ask for capabilities before they need anything else of a model.
    from replicate_stream._model import families

    name = model.partition(":")[0].rpartition("/")[2].lower()
    named = _derive_from_name(name, families.TABLES)
    if schema is None:
        return named
    from replicate_stream._model.profile import ModelProfile, build_profile

    profile = schema if isinstance(schema, ModelProfile) else build_profile(schema, model)
    return _derive_from_schema(named, profile) if profile.has_schema else named


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


def _derive_from_schema(named: ModelCapabilities, profile: ModelProfile) -> ModelCapabilities:
    media = frozenset[str]().union(*profile.media_inputs.values())
    max_tokens = profile.parameters.get("max_tokens")
    window, maximum, default = named.context_window, None, None
    if max_tokens is not None and profile.max_tokens_counts_prompt:
        window = window or _to_tokens(max_tokens.spec.get("maximum"))
    elif max_tokens is not None:
        maximum = _to_tokens(max_tokens.spec.get("maximum"))
        default = _to_tokens(max_tokens.default)
    bounds = [bound for bound in (named.max_output, window) if bound is not None]
    return replace(
        named,
        context_window=window,
        # Many schemas allow a million tokens, which the model cannot reach.
        max_output=named.max_output if maximum is None else min([maximum, *bounds]),
        default_output=default,
        takes_images="image" in media,
        takes_audio="audio" in media,
        takes_video="video" in media,
        takes_files="file" in media,
        has_native_tools="tools" in profile.parameters,
        has_native_json="response_format" in profile.parameters or profile.json_schema is not None,
        takes_temperature="temperature" in profile.parameters,
    )


def _to_tokens(value: Any) -> int | None:
    """Return a positive integer; None for any other value, for a schema may hold anything."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

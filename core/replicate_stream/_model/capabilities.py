"""What is known of a model without running it: from its schema if that is at hand, and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from replicate_stream._lazy import public

if TYPE_CHECKING:
    from replicate_stream._model.input_schema import InputSchema

_SEES = (
    r"gpt-4o|gpt-4\.1|gpt-5|\bo[134]\b|o4-mini|claude|gemini|grok-4|llava|llama-4|vision|pixtral"
    r"|-vl\b|-vl-|gemma-?3-(?:4|12|27)b"
)
_THINKS = r"deepseek-r1|qwq|magistral|thinking"
_FORMS = ("response_format", "json_schema", "jsonschema", "response_schema", "guided_json")


@public
@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What is known of a model; None is not known.

    Attributes:
        context_window: The tokens of a prompt and its answer together.
        max_output: The longest answer that can be asked for, in tokens.
        default_output: The longest answer if none is asked for, in tokens.
        takes_images: Whether it has an input for images.
        takes_audio: Whether it has one for audio.
        takes_video: Whether it has one for video.
        takes_files: Whether it has one for documents.
        thinks: Whether it tells its reasoning before its answer.
        has_native_tools: Whether it has an input for tools.
        has_native_json: Whether it has an input for the form of an answer.
        takes_temperature: Whether it has an input for that.
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


@lru_cache(maxsize=512)
def _by_name(name: str) -> ModelCapabilities:
    from replicate_stream._model.context_window import window_of

    window, most = window_of(name)
    return ModelCapabilities(
        context_window=window,
        max_output=most,
        takes_images=True if re.search(_SEES, name) else None,
        thinks=True if re.search(_THINKS, name) else None,
    )


def get_capabilities(
    model: str, schema: Mapping[str, Any] | InputSchema | None = None
) -> ModelCapabilities:
    """What is known of a model. No I/O.

    Args:
        model: As `Client.stream` takes it.
        schema: Its input schema, as `prepare_input` takes it; what it tells wins over the name.
    """
    name = model.partition(":")[0].rpartition("/")[2].lower()
    named = _by_name(name)
    return named if schema is None else _by_schema(named, schema)


def _by_schema(
    named: ModelCapabilities, given: Mapping[str, Any] | InputSchema
) -> ModelCapabilities:
    from replicate_stream._model import field_names
    from replicate_stream._model.input_schema import InputSchema, parse_input_schema
    from replicate_stream._model.media_kinds import media_inputs

    schema = given if isinstance(given, InputSchema) else parse_input_schema(given)
    media = media_inputs(schema)
    bound = field_names.find_max_tokens(schema)
    window, most, default = named.context_window, None, None
    if bound is not None and field_names.bounds_prompt_too(bound):
        window = window or _whole(bound.spec.get("maximum"))
    elif bound is not None:
        most, default = _whole(bound.spec.get("maximum")), _whole(bound.default)
    return ModelCapabilities(
        context_window=window,
        max_output=_least(most, named.max_output, window),
        default_output=default,
        takes_images="image" in media,
        takes_audio="audio" in media,
        takes_video="video" in media,
        takes_files="file" in media,
        thinks=named.thinks,
        has_native_tools=field_names.find_parameter(schema, "tools") is not None,
        has_native_json=field_names.find(schema, _FORMS) is not None,
        takes_temperature=field_names.find_parameter(schema, "temperature") is not None,
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _least(most: int | None, *bounds: int | None) -> int | None:
    """A schema's own maximum, but not one that the model cannot reach: many say a million."""
    known = [each for each in (most, *bounds) if each is not None]
    return min(known) if most is not None else bounds[0]

"""A model's profile for LangChain's agents and middleware, from the core's capabilities. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import ModelProfile

if TYPE_CHECKING:
    from replicate_stream import ModelCapabilities


def make_profile(model: str, capabilities: ModelCapabilities) -> ModelProfile:
    """Make a model's profile; unknown entries are left out.

    Tool calls work on every model. `structured_output` is True only for models with an input for
    the format of an answer, and `create_agent` then asks for JSON in the last turn. For others it
    offers the answer as one more tool and requires a call in each turn, which models that only read
    about the format in their prompt follow better.
    """
    takes_media = (capabilities.takes_images, capabilities.takes_files)
    entries: dict[str, Any] = {
        "name": model.partition(":")[0],
        "max_input_tokens": capabilities.context_window,
        "max_output_tokens": capabilities.max_output,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": capabilities.takes_images,
        "image_url_inputs": capabilities.takes_images,
        "image_tool_message": capabilities.takes_images,
        "audio_inputs": capabilities.takes_audio,
        "video_inputs": capabilities.takes_video,
        "pdf_inputs": capabilities.takes_files,
        "pdf_tool_message": capabilities.takes_files,
        "attachment": None if None in takes_media else any(takes_media),
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": capabilities.thinks or bool(capabilities.effort_levels) or None,
        "reasoning_effort_levels": list(capabilities.effort_levels or ()) or None,
        "reasoning_effort_default": capabilities.default_effort,
        "temperature": capabilities.takes_temperature,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "structured_output": capabilities.has_native_json,
    }
    names = ModelProfile.__annotations__  # older versions warn about names they do not know
    known = {n: v for n, v in entries.items() if v is not None and n in names}
    return cast("ModelProfile", known)

"""What LangChain's agents and middleware want to know of a model, from the core's facts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import ModelProfile

if TYPE_CHECKING:
    from replicate_stream import ModelCapabilities


def profile_of(facts: ModelCapabilities) -> ModelProfile:
    """A model's profile; what is not known of it is left out.

    Calls of tools work on every model. `structured_output` is said only of models that have an
    input for the form of an answer: `create_agent` then asks for JSON in the last turn. Otherwise
    it makes the answer one more tool and requires a call in each turn, which holds models that only
    read of the form in their prompt better to it.
    """
    known: dict[str, Any] = {
        "max_input_tokens": facts.context_window,
        "max_output_tokens": facts.max_output,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": facts.takes_images,
        "image_url_inputs": facts.takes_images,
        "image_tool_message": facts.takes_images,
        "audio_inputs": facts.takes_audio,
        "video_inputs": facts.takes_video,
        "pdf_inputs": facts.takes_files,
        "pdf_tool_message": facts.takes_files,
        "reasoning_output": facts.thinks,
        "temperature": facts.takes_temperature,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "structured_output": facts.has_native_json,
    }
    names = ModelProfile.__annotations__  # older versions warn of names they do not know
    profile: Any = {n: value for n, value in known.items() if value is not None and n in names}
    found: ModelProfile = profile
    return found

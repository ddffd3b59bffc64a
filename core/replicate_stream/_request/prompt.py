"""Write a conversation into a model's text inputs: as messages, as history, or as one prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

from replicate_stream._errors import InvalidInputError, invalid_value
from replicate_stream._frozen import fill_slots
from replicate_stream._model import families
from replicate_stream._model.families.family import ChatTemplate
from replicate_stream._model.families.transcript import TRANSCRIPT
from replicate_stream._model.families.turn import Turn
from replicate_stream._request.conversation import Conversation
from replicate_stream._request.messages_input import can_hold_images, put_history, put_messages

_PLAIN = "plain"


@fill_slots
@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt.

    Attributes:
        prompt: The prompt; empty if the conversation went into an input for messages.
        prefix: The beginning of the answer, which the prompt ends with.
        template: The chat template that it is rendered in; None if the model applies its own.
    """

    prompt: str = field(default="", repr=False)
    prefix: str = field(default="", repr=False)
    template: ChatTemplate | None = None


def render_conversation(
    conversation: Conversation, prompt_format: str | None = None
) -> RenderedPrompt:
    """Put a conversation into `conversation.builder.input`.

    Args:
        conversation: The messages and the model's profile.
        prompt_format: A family's name, or `plain` for the texts alone. None: chosen by the model's
            schema and name.

    Raises:
        InvalidInputError: The model has no text input, or the prompt format is unknown.
    """
    builder, profile = conversation.builder, conversation.builder.profile
    prompt_field = None if profile.prompt is profile.messages else profile.prompt
    if profile.messages is not None and _is_sent_as_messages(conversation, prompt_format):
        if prompt_format == _PLAIN:
            builder.note("The prompt was sent as a message: the model only takes those.")
        put_messages(conversation, profile.messages)
        return RenderedPrompt()
    if prompt_field is None:
        raise InvalidInputError(
            f"The model takes no prompt; its inputs are {', '.join(profile.schema.fields)}",
            fields=("messages",),
        )
    rendered = _render_prompt(conversation, prompt_format)
    is_list = prompt_field.kind == "array"
    builder.input[prompt_field.name] = [rendered.prompt] if is_list else rendered.prompt
    return rendered


def _is_sent_as_messages(conversation: Conversation, prompt_format: str | None) -> bool:
    """Whether a model that has an input for messages gets them there."""
    profile = conversation.builder.profile
    has_prompt = profile.prompt is not None and profile.prompt is not profile.messages
    if prompt_format is not None:
        return prompt_format == _PLAIN and not has_prompt
    # A model that ignores `prompt` beside messages may ignore an image input too, so a conversation
    # with an image goes into the prompt, which the model documents together with the image. Items
    # can hold their images themselves.
    if not has_prompt or (conversation.has_tools and conversation.has_tools_input):
        return True
    is_system_lost = conversation.has_system and profile.system_prompt is None
    if is_system_lost and conversation.is_single_question:
        return True
    if can_hold_images(conversation) and not conversation.is_single_question:
        return True
    return not any(name in conversation.builder.input for name in profile.media_inputs)


def _render_prompt(conversation: Conversation, prompt_format: str | None) -> RenderedPrompt:
    if prompt_format == _PLAIN:
        return RenderedPrompt(_render_plain(conversation))
    if prompt_format is not None:
        return _render_template(conversation, _find_template(conversation, prompt_format))
    profile = conversation.builder.profile
    if profile.history is not None and not conversation.has_tools:
        question = put_history(conversation, profile.history)
        if question is not None:
            return RenderedPrompt(question)
    has_template = profile.takes_marks or profile.prompt_template is not None
    writes_marks = profile.is_raw or (has_template and not _fits_own_template(conversation))
    if writes_marks and profile.chat_template is not None and not profile.is_base:
        return _render_template(conversation, profile.chat_template)
    return RenderedPrompt(_render_unmarked(conversation))


def _fits_own_template(conversation: Conversation) -> bool:
    """Return True if the model's own template has a place for all texts: for one question."""
    profile = conversation.builder.profile
    if profile.takes_marks and conversation.has_tools:
        return False
    return conversation.is_single_question and (
        profile.system_prompt is not None or not conversation.has_system
    )


def _find_template(conversation: Conversation, prompt_format: str) -> ChatTemplate:
    template = conversation.builder.profile.find_chat_template(prompt_format)
    if template is None:
        known = ", ".join(dict.fromkeys(each.name for each in families.TABLES.templates))
        raise invalid_value("prompt_format", prompt_format, f"one of {known}, {_PLAIN}")
    return template


def _render_plain(conversation: Conversation) -> str:
    """Join the texts as they are, and put the system text into its own input if there is one."""
    profile = conversation.builder.profile
    tool_format = conversation.tool_format(str)
    turns = conversation.render_turns(tool_format)
    prompt = "\n\n".join(turn.text for turn in turns if turn.text)
    system = conversation.render_system(str, tool_format)
    template = profile.prompt_template
    if template is not None and template.default != "{prompt}" and profile.is_rendered(prompt):
        # The prompt was rendered by the caller: the model's template would wrap it again.
        conversation.builder.input[template.name] = "{prompt}"
        conversation.builder.note(f"{template.name} was set to {{prompt}}: the prompt has marks.")
    elif system and profile.system_prompt is not None:
        conversation.builder.input[profile.system_prompt.name] = system
        system = ""
    return "\n\n".join(text for text in (system, prompt) if text)


def _render_unmarked(conversation: Conversation) -> str:
    """Render a prompt without a chat's marks, for a model that adds them, or for a base model."""
    builder, neutralize = conversation.builder, conversation.neutralize
    if not conversation.messages:
        builder.note("The system text was sent as the prompt: there is no other message.")
        return conversation.render_system(neutralize, conversation.tool_format(neutralize))
    system = conversation.put_system()
    if not conversation.is_single_question:
        builder.note("The conversation was written into the prompt as a transcript.")
        return _render_transcript(conversation, system)
    turn = conversation.render_turns(conversation.tool_format(neutralize))[0]
    question = turn.text if turn.is_rendered else neutralize(turn.text)
    if not system:
        return question
    builder.note("The system text was put before the prompt: the model has no input for it.")
    return f"{system}\n\n{question}"


def _render_transcript(conversation: Conversation, system: str) -> str:
    neutralize = conversation.neutralize
    turns = conversation.render_turns(
        conversation.tool_format(lambda text: TRANSCRIPT.neutralize(neutralize(text)))
    )
    conversation.note_broken_marks(TRANSCRIPT)
    return TRANSCRIPT.render(
        system,
        [turn if turn.is_rendered else Turn(turn.role, neutralize(turn.text)) for turn in turns],
    )


def _render_template(conversation: Conversation, template: ChatTemplate) -> RenderedPrompt:
    """Render the prompt in a family's chat template, instead of the model's own template."""
    builder, own = conversation.builder, conversation.builder.profile.prompt_template
    if own is not None and own.default != "{prompt}":
        builder.input[own.name] = "{prompt}"
        builder.note(f"{own.name} was set to {{prompt}}: the prompt has all the marks.")
    builder.note(f"The conversation was written in the {template.name} format.")
    conversation.note_broken_marks(template)
    tool_format = conversation.tool_format(template.neutralize, template)
    turns = conversation.render_turns(tool_format, template)
    system = template.render_system(conversation.system) or template.default_system or ""
    system = conversation.render_system(template.neutralize, tool_format, system)
    if tool_format is None:
        prompt = template.render(system, turns, is_system_rendered=True)
        return RenderedPrompt(prompt, template=template)
    after_results = tool_format.after_results if turns and turns[-1].role == "none" else None
    tools = conversation.tools_in_prompt
    prefix = ""
    if tools is not None:
        offered = conversation.offered_tools(tool_format)
        turns = tool_format.insert_tools(offered, turns)
        template = template._replace(
            start=tool_format.render_start(template.start, offered),
            generation_prompt=tool_format.generation_prompt or template.generation_prompt,
        )
    if tools is not None and tools.is_forced:
        if (template.generation_prompt or "").rstrip().endswith("<think>"):
            template = template._replace(generation_prompt=None)  # a thought holds no call
        prefix = tool_format.prefill(tools.name and tool_format.neutralize(tools.name))
        if prefix:
            builder.note(
                "The prompt ends with the beginning of a tool call, which the model completes."
            )
    prompt = template.render(
        system, turns, is_system_rendered=True, has_generation_prompt=after_results is None
    )
    prompt += after_results or ""
    return RenderedPrompt(prompt + prefix, prefix, template)

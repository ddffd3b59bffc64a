"""Adapt a request to a model: the steps that build the `input` object, in their order. Pure.

`prepare_input` alone reads files: the texts among those that the messages name.

Replicate ignores an unknown input silently, so everything is checked against the model's schema
before anything is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._errors import InvalidInputError, too_deep, wrong_type
from replicate_stream._local_files import read_text_file
from replicate_stream._model import families
from replicate_stream._model.profile import ModelProfile, build_profile
from replicate_stream._request.conversation import (
    Conversation,
    ParsedMessage,
    PromptInstructions,
)
from replicate_stream._request.extra_input import put_extra_input, put_tools_and_format
from replicate_stream._request.input_builder import InputBuilder
from replicate_stream._request.media_inputs import put_media, tag_media
from replicate_stream._request.prompt import RenderedPrompt, render_conversation
from replicate_stream._request.sampling import put_sampling, put_stop
from replicate_stream._request.validation import check_input, check_required
from replicate_stream._types.content_blocks import ReadFile
from replicate_stream._types.contents import parse_contents
from replicate_stream._types.messages import Messages, ToolSpec
from replicate_stream._types.parameters import OnUnsupported, check_on_unsupported
from replicate_stream._types.request import (
    ExpectedAnswer,
    ModelInput,
    PreparedInput,
    Request,
    build_request,
)
from replicate_stream._types.strict_json import is_too_deep, replace_surrogates

_NO_INSTRUCTIONS = PromptInstructions()


def prepare_input(
    messages: Messages,
    *,
    model: str,
    schema: Mapping[str, Any] | None,
    system_prompt: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    reasoning_effort: str | None = None,
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
    tool_choice: str | bool | Mapping[str, Any] | None = None,
    parallel_tool_calls: bool | None = None,
    response_format: Mapping[str, Any] | None = None,
    extra_input: Mapping[str, Any] | None = None,
    on_unsupported: OnUnsupported = "raise",
    prompt_format: str | None = None,
) -> PreparedInput:
    """Build the `input` of a model whose schema is at hand. Nothing is sent, nothing is paid.

    Of the local files only those that are texts are read, because the prompt holds them.

    Args:
        messages: As for `Client.stream`.
        model: The model's name. The chat format follows from it if the schema shows none.
        schema: The model's input schema: the `Input` object, or a whole `openapi_schema`; None if
            it is not known.
        system_prompt: As for `Client.stream`, like all other parameters of the answer.
        max_tokens: As for `Client.stream`.
        temperature: As for `Client.stream`.
        top_p: As for `Client.stream`.
        top_k: As for `Client.stream`.
        stop: As for `Client.stream`.
        seed: As for `Client.stream`.
        presence_penalty: As for `Client.stream`.
        frequency_penalty: As for `Client.stream`.
        tools: As for `Client.stream`.
        tool_choice: As for `Client.stream`.
        parallel_tool_calls: As for `Client.stream`.
        response_format: As for `Client.stream`.
        extra_input: As for `Client.stream`.
        on_unsupported: As for `Client`.
        reasoning_effort: As for `Client.stream`.
        prompt_format: As for `Client.stream`.

    Raises:
        InvalidInputError: A value is invalid, a required input is missing, or the model makes
            files.
        UnsupportedParameterError: The model has no input for a parameter, and `on_unsupported` is
            `raise`.
    """
    request = build_request(
        model,
        messages,
        system_prompt=system_prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop=stop,
        seed=seed,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        reasoning_effort=reasoning_effort,
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=parallel_tool_calls,
        response_format=response_format,
        extra_input=extra_input,
        prompt_format=prompt_format,
    )
    if not isinstance(schema, Mapping | None):
        raise wrong_type("schema", schema, "a dict or None")
    if is_too_deep(schema):
        raise too_deep("schema")
    profile = build_profile(schema, model)
    policy = check_on_unsupported(on_unsupported)
    built = build_model_input(request, profile, policy, read=read_text_file)
    return PreparedInput(built.input, built.notes, built.stop, built.max_tokens)


def build_model_input(
    request: Request,
    profile: ModelProfile,
    on_unsupported: OnUnsupported,
    *,
    is_sent: bool = True,
    read: ReadFile | None = None,
) -> ModelInput:
    """Adapt a request to a model.

    Args:
        request: The request.
        profile: The model's profile.
        on_unsupported: As for `Client`.
        is_sent: False to skip the checks of an input that is not sent, because the prediction
            exists and only its answer is to be read.
        read: Reads the local files that are texts; None if there are none.

    Raises:
        InvalidInputError: A value is invalid for this model, a required input is missing, or the
            model makes files.
        UnsupportedParameterError: The model has no input for a parameter, and `on_unsupported` is
            `raise`.
    """
    if profile.schema.output_kind == "file":
        raise InvalidInputError(f"{request.model} makes files, not text", fields=("model",))
    builder = InputBuilder(profile, on_unsupported)
    if not profile.has_schema:
        builder.note(
            f"The input schema of {request.model} is not known; the usual names were used."
        )
    contents = parse_contents(request.messages, builder.note_once, read)
    messages = [ParsedMessage(*each) for each in contents]
    # Media come before the prompt, which may have to name the inputs that hold them.
    if media := [each for message in messages for each in message.media]:
        put_media(media, builder)
        messages = tag_media(messages, builder)
    conversation = Conversation(
        system=_join_system(request.system_prompt, messages),
        messages=[each for each in messages if each.message.role != "system"],
        builder=builder,
        instructions=_put_instructions(request, builder),
    )
    prompt = render_conversation(conversation, request.prompt_format)
    if profile.takes_marks and (stream := profile.stream_switch) is not None:
        builder.input[stream.name] = True
        builder.note(f"{stream.name} was set, without which the answer comes in one piece.")
    if sampling := request.sampling:
        put_sampling(sampling, builder)
    if request.stop:
        put_stop(request.stop, builder)
    # `extra_input` comes last: it wins over every other parameter.
    if profile.has_schema:
        if request.extra_input:
            put_extra_input(request.extra_input, builder)
        if is_sent:
            check_input(profile.schema, builder.input)
            check_required(profile.required, builder.input, attachable=profile.media_inputs)
    else:
        builder.input.update(request.extra_input)  # there is nothing to check it against
    return ModelInput(
        input=replace_surrogates(builder.input),
        notes=builder.notes,
        stop=request.stop,
        max_tokens=_find_answer_limit(profile, builder.input),
        default_max_tokens=_find_answer_limit(profile),
        output_kind=profile.schema.output_kind,
        # A file that `extra_input` replaced need not be read or uploaded.
        uploads=[each for each in builder.uploads if each.input_name not in request.extra_input],
        expected_answer=ExpectedAnswer(
            request.tools,
            () if request.tools is None else conversation.get_tool_formats(prompt.template),
            prompt.prefix,
            request.response_format,
            _find_reasoning_tag(profile, prompt),
            request.validator,
        ),
    )


def _join_system(system_prompt: str | None, messages: Sequence[ParsedMessage]) -> str:
    texts = [each.text for each in messages if each.message.role == "system"]
    return "\n\n".join(filter(None, (system_prompt, *texts)))


def _put_instructions(request: Request, builder: InputBuilder) -> PromptInstructions:
    if request.tools is None and request.response_format is None:
        return _NO_INSTRUCTIONS
    return put_tools_and_format(request.tools, request.response_format, builder)


def _find_reasoning_tag(profile: ModelProfile, prompt: RenderedPrompt) -> str:
    """Find the opening tag of the reasoning that the prompt ends with; empty for none."""
    if prompt.template is None:
        return profile.reasoning_tag
    tags = (opening for opening, _ in families.TABLES.thinking_tags)
    return next((tag for tag in tags if prompt.prompt.rstrip().endswith(tag)), "")


def _find_answer_limit(
    profile: ModelProfile, model_input: Mapping[str, Any] | None = None
) -> int | None:
    """The longest answer in tokens, as sent, or by default; None if it is unknown."""
    field = profile.parameters.get("max_tokens")
    # A limit that counts the prompt as well can end the answer at any length.
    if field is None or profile.max_tokens_counts_prompt:
        return None
    limit = field.default if model_input is None else model_input.get(field.name)
    return limit if isinstance(limit, int) else None

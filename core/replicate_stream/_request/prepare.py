"""Messages and parameters into the `input` object that a model really takes.

Pure: what is sent depends on the arguments alone. The chat formats and all the rest are imported
by the first call, because an application that imports this library may never make one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replicate_stream._types.messages import Messages, ToolSpec
from replicate_stream._types.prepared import PreparedInput

if TYPE_CHECKING:
    from replicate_stream._model.input_schema import InputSchema

__all__ = ["PreparedInput", "prepare_input"]


def prepare_input(
    messages: Messages,
    *,
    model: str,
    schema: Mapping[str, Any] | InputSchema | None,
    system_prompt: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
    tool_choice: Any = None,
    parallel_tool_calls: bool | None = None,
    response_format: Any = None,
    extra_input: Mapping[str, Any] | None = None,
    on_unsupported: str = "raise",
    prompt_format: str | None = None,
) -> PreparedInput:
    """Turn messages and parameters into a model's own input. No I/O, nothing is paid.

    Args:
        messages: A text, a `Message`, or several of them, also as dicts.
        model: The model's name, for want of better hints on its chat format.
        schema: The model's input schema: the `Input` object, a whole `openapi_schema`, or what
            `parse_input_schema` made of one; None if it is not known.
        system_prompt: A system text before those among the messages.
        max_tokens: The longest answer, in tokens.
        temperature: Randomness, 0 or more.
        top_p: Nucleus sampling, 0 to 1.
        top_k: How many of the likeliest tokens to choose from; 0 or -1 for all.
        stop: One stop sequence or several.
        seed: For repeatable answers.
        presence_penalty: Against tokens that occurred at all.
        frequency_penalty: Against tokens by how often they occurred.
        tools: Tools that the model may call, as `ToolSpec`s or as dicts. A model that has no input
            for them is told in the prompt, in the format that it was trained on.
        tool_choice: `auto`, `none`, `required` (or `any`), or the name of the tool to call; also
            in a dict, as OpenAI and Anthropic write it.
        parallel_tool_calls: False for one call at most in an answer.
        response_format: The form of the answer: `{"type": "json_object"}`, `{"type":
            "json_schema", "json_schema": {"schema": …}}`, or a JSON schema.
        extra_input: Further fields of the input under the model's names; they win.
        on_unsupported: What to do about a parameter without a field: `raise`, `warn`, `ignore`.
        prompt_format: A chat format's name (`llama3`, `chatml`, …), `transcript`, or `plain` for
            the bare texts, where the choice by schema and name is not right.

    Raises:
        InvalidInputError: A value that cannot be sent, an input that is still missing, or a model
            that makes files.
        UnsupportedParameterError: No field for a parameter, and `on_unsupported` is `raise`.
    """
    from replicate_stream._request.preparation import Parameters, prepare
    from replicate_stream._types.response_format import parse_response_format
    from replicate_stream._types.tool_choice import parse_tool_choice

    parameters = Parameters(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        stop=stop,
        tools=parse_tool_choice(tools, tool_choice, parallel_tool_calls),
        form=parse_response_format(response_format),
        extra_input=extra_input or {},
    )
    return prepare(
        messages, model, schema, system_prompt, parameters, on_unsupported, prompt_format
    )

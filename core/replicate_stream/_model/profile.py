"""The profile of a model: its inputs and its chat template, by its schema and its name.

The traps are a chat template around a prompt that the model wraps in one itself, and no template
around a prompt that it takes as it is. If neither the schema nor the name decides, the prompt is
sent without control marks: a model that applies a template gets exactly one, and one that does not
still reads plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from replicate_stream._model import families, field_names
from replicate_stream._model.families.family import ChatTemplate
from replicate_stream._model.families.tool_format import HermesToolFormat, ToolFormat
from replicate_stream._model.families.turn import ROLE_LABELS, SPECIAL_TOKENS
from replicate_stream._model.input_schema import InputField, InputSchema, parse_input_schema
from replicate_stream._types.media import MediaKind

if TYPE_CHECKING:
    from replicate_stream._model.capabilities import ModelCapabilities

_PLACEHOLDER = re.compile(r"\{[a-z_]*\}")
_EXAMPLE = re.compile(rf"{SPECIAL_TOKENS}|### ?\w+:|\bUSER:|\bchat-?ml\b")
# The words of vLLM's own SamplingParams: such a model hands its prompt to the engine as it is.
_ENGINE = re.compile(r"\bper output sequence\b")
_JSON_MESSAGES = re.compile(r"\bjson\b.*\bmessages\b|\bmessages\b.*\bjson\b")
# A description that was cut off counts as a match: messages always carry the system text, while
# an input that is ignored beside them loses it.
_IGNORED = re.compile(r"\bprompt\b.*\bignored\b|(?:\.\.\.|\u2026)$")
# IBM's servers of Granite (docs/replicate-api.md 5.4).
_MARKED_PROMPT = re.compile(r"\btemplate to format the prompt with\b")
_CHAT_API = re.compile(r"\bchat completion api\b")
_CHAT_API_PARAMETERS = ("tools", "tool_choice", "parallel_tool_calls")
_MEDIA_TAG = re.compile(r"<(\w+)>(\w+)</\1>")


@dataclass(frozen=True)  # without slots, which leave no room for cached properties
class ModelProfile:
    """Everything that a request has to know of a model. Built once per input schema, then cached.

    Attributes:
        model: The model's name, as it was passed to `build_profile`.
        schema: The model's inputs; those of `USUAL_SCHEMA` if it publishes no schema.
        has_schema: True if the model publishes its schema.
        parameters: The input of each parameter that the model has, by the parameter's canonical
            name (a key of `field_names.PARAMETERS`: `max_tokens`, `top_p`, `stop`, `tools`, …).
        max_tokens_counts_prompt: True if the input for `max_tokens` limits prompt and answer
            together.
        prompt: The input for the prompt, or for the user's message.
        system_prompt: The input for the system text.
        messages: The input for a list of messages: an array, or text that holds JSON.
        messages_hold_system: True if the system text belongs into `messages`.
        takes_system_role: True if a message of the role `system` may stand in `messages`.
        history: The input for earlier messages, an array of alternating texts.
        prompt_template: The input for a template with `{prompt}` in it, which can be overridden.
        chat_template: The chat format that the model was trained on; None if it is not known.
        takes_marks: True if the model takes a prompt that begins with its own marks as it is, and
            puts any other into its template.
        is_raw: True if the model takes its prompt as it is, so that the client has to format it.
        is_base: True if the model was not trained on chats.
    """

    model: str
    schema: InputSchema = field(repr=False)
    has_schema: bool
    parameters: Mapping[str, InputField] = field(repr=False)
    max_tokens_counts_prompt: bool
    prompt: InputField | None
    system_prompt: InputField | None
    messages: InputField | None
    messages_hold_system: bool
    takes_system_role: bool
    history: InputField | None
    prompt_template: InputField | None
    chat_template: ChatTemplate | None
    takes_marks: bool
    is_raw: bool
    is_base: bool

    @cached_property
    def required(self) -> tuple[InputField, ...]:
        """The inputs that must be sent."""
        return tuple(each for each in self.schema.fields.values() if each.required)

    @cached_property
    def media_inputs(self) -> Mapping[str, frozenset[MediaKind]]:
        """The kinds of media that each input takes, by the name of the input, as declared."""
        return {
            name: frozenset(kinds)
            for name, each in self.schema.fields.items()
            if (kinds := field_names.get_media_kinds(each))
        }

    @cached_property
    def media_tag(self) -> str | None:
        """The tag by which a prompt must name its media, such as `img`; None if it need not.

        An example such as `<img>image1</img> What is this?` as the default of the prompt shows
        that the input `image1` is ignored unless the text names it.
        """
        shown = _MEDIA_TAG.search(_text(self.prompt.default)) if self.prompt is not None else None
        if shown is None or shown.group(2) not in self.media_inputs:
            return None
        return shown.group(1) if self.schema.fields[shown.group(2)].kind == "string" else None

    @cached_property
    def takes_items(self) -> bool:
        """Whether messages, tools and schemas are those of OpenAI's Responses API."""
        return self.messages is not None and self.messages.name == "input_item_list"

    @cached_property
    def stream_switch(self) -> InputField | None:
        """The input without which the server streams nothing."""
        found = self.schema.fields.get("stream")
        return found if found is not None and found.kind == "boolean" else None

    @cached_property
    def json_schema(self) -> InputField | None:
        """The input for a bare JSON schema of the answer."""
        return field_names.find(self.schema, field_names.JSON_SCHEMA)

    @cached_property
    def effort_level(self) -> InputField | None:
        """The input for the reasoning effort as one of several levels."""
        found = field_names.find(self.schema, field_names.EFFORT_LEVEL)
        return found if found is not None and found.choices else None

    @cached_property
    def thinking_switch(self) -> InputField | None:
        """The input that turns reasoning on or off."""
        found = field_names.find(self.schema, field_names.THINKING_SWITCH)
        return found if found is not None and found.kind == "boolean" else None

    @cached_property
    def thinking_budget(self) -> InputField | None:
        """The input for the longest reasoning, in tokens."""
        found = field_names.find(self.schema, field_names.THINKING_BUDGET)
        is_count = found is not None and found.kind in {"integer", "number", "any"}
        return found if is_count else None

    @cached_property
    def capabilities(self) -> ModelCapabilities:
        """The model's capabilities, by its schema if there is one, and else by its name."""
        # Imported late: most requests never ask, and the adapters ask before there is a profile.
        from replicate_stream._model.capabilities import get_capabilities

        named = get_capabilities(self.model)
        return _derive_capabilities(named, self) if self.has_schema else named

    @property
    def tool_format(self) -> type[ToolFormat]:
        """The format of tools in a text that the model puts into its own template."""
        template = self.chat_template
        if template is None or template.tool_format.has_control_tokens:
            return HermesToolFormat
        return template.tool_format

    @cached_property
    def reasoning_tag(self) -> str:
        """The tag with which the model's own template opens its reasoning; empty for none."""
        return families.TABLES.find_reasoning_tag(self.model)

    @cached_property
    def trained_tool_formats(self) -> tuple[type[ToolFormat], ...]:
        """The formats in which the model was trained to call tools, as far as they are known."""
        known = families.TABLES.find_tool_format(self.model)
        formats = [] if known is None else [known]
        if self.chat_template is not None:
            formats.append(self.chat_template.tool_format)
        return tuple(formats)

    def find_chat_template(self, name: str) -> ChatTemplate | None:
        """Find the chat template that `prompt_format=` names, in the model's own variant if any."""
        own = self.chat_template
        return own if own is not None and own.name == name else families.TABLES.find_by_name(name)

    def is_rendered(self, prompt: str) -> bool:
        """Return True if a prompt begins as one that the model's own template has rendered."""
        shown = self.prompt_template.default if self.prompt_template is not None else None
        openings = [shown.partition("{")[0]] if isinstance(shown, str) else []
        if self.chat_template is not None:
            system = self.chat_template.system or ("", "")
            openings += [self.chat_template.start, self.chat_template.user[0], system[0]]
        marks = tuple(opening.strip() for opening in openings if opening.strip())
        return prompt.lstrip().startswith(marks)

    @cached_property
    def control_marks(self) -> re.Pattern[str] | None:
        """A pattern for the marks that the model's own template would take for a turn's.

        They are those of its chat template, or else of every known one. None: no text can hold one.
        """
        if self.chat_template is not None:
            return re.compile(self.chat_template.control_marks)
        if re.search(families.TABLES.hosted_names, self.model.lower()):
            return None
        return re.compile(f"{SPECIAL_TOKENS}|{ROLE_LABELS}")


def build_profile(schema: Mapping[str, Any] | None, model: str) -> ModelProfile:
    """Derive the profile of a model from its schema and its name.

    Args:
        schema: The model's input schema, as `parse_input_schema` takes it; None if the model
            publishes none, which stands for `USUAL_SCHEMA`.
        model: The model's name, with or without its version.
    """
    parsed = parse_input_schema(schema)
    prompt = field_names.find_prompt(parsed)
    system = field_names.find_system_prompt(parsed)
    template = _find_prompt_template(parsed)
    messages = _find_messages(parsed, prompt)
    pattern = _text(template.default) if template is not None else ""
    is_bare = bool(pattern) and not _PLACEHOLDER.sub("", pattern).strip()
    example = "" if prompt is None else f"{_text(prompt.default)}\n{prompt.description}"
    parameters = {
        parameter: found
        for parameter in field_names.PARAMETERS
        if (found := field_names.find_parameter(parsed, parameter)) is not None
    }
    # In answer to messages the server writes JSON, and of a prompt's answer only the text.
    is_chat_api = messages is not None and bool(_CHAT_API.search(messages.description))
    if is_chat_api:
        messages = None
        for name in _CHAT_API_PARAMETERS:
            parameters.pop(name, None)
    max_tokens = parameters.get("max_tokens")
    is_engine = max_tokens is not None and bool(_ENGINE.search(max_tokens.description))
    name = model.partition(":")[0].lower()
    is_shown_raw = (
        is_engine or _EXAMPLE.search(example) or re.search(families.TABLES.raw_names, name)
    )
    is_raw = is_bare or (system is None and template is None and bool(is_shown_raw))
    chat_template = _find_chat_template(name, example if is_bare or not pattern else pattern)
    return ModelProfile(
        model=model,
        schema=parsed,
        has_schema=schema is not None,
        parameters=parameters,
        max_tokens_counts_prompt=max_tokens is not None and field_names.counts_prompt(max_tokens),
        prompt=prompt,
        # A template without a place for the system text drops it (cog-vllm, `format_prompt`).
        system_prompt=system if not pattern or "{system" in pattern else None,
        messages=messages,
        messages_hold_system=messages is not None
        and (system is None or bool(_IGNORED.search(messages.description))),
        takes_system_role=not re.search(families.TABLES.systemless_names, name),
        history=_find_history(parsed),
        prompt_template=template,
        chat_template=chat_template,
        takes_marks=chat_template is not None and _takes_marks(parsed),
        is_raw=is_raw,
        is_base=is_raw
        and not (re.search(families.TABLES.chat_names, name) or _EXAMPLE.search(example)),
    )


def _takes_marks(schema: InputSchema) -> bool:
    template = schema.fields.get("chat_template")
    if template is None or not _MARKED_PROMPT.search(template.description):
        return False
    # With media the marks of their places would have to be known too.
    return not any(map(field_names.get_media_kinds, schema.fields.values()))


def _find_chat_template(model: str, shown: str) -> ChatTemplate | None:
    """Find the chat template by the model's name, unless its schema shows another one.

    Both are needed: versions of a family may only differ by their names, and a fine-tune may have
    another format than the model that it is named after.

    Args:
        model: The model's name in lower case, without its version.
        shown: The default of `prompt_template`, or else the default and description of the prompt.
    """
    named = families.TABLES.find_by_model(model)
    if not shown.strip():
        return named
    if named is not None and named.user[0].strip().removeprefix("<s>") in shown:
        return named
    hinted = families.TABLES.find_by_hint(shown)
    return hinted if hinted is not None or _EXAMPLE.search(shown) else named


def _find_prompt_template(schema: InputSchema) -> InputField | None:
    """The input for a template with `{prompt}`; not one for Jinja or with other placeholders."""
    found = field_names.find(schema, field_names.PROMPT_TEMPLATE)
    if found is None or not found.can_be_text:
        return None
    default = _text(found.default)
    return found if not default or "{prompt}" in default else None


def _find_messages(schema: InputSchema, prompt: InputField | None) -> InputField | None:
    found = field_names.find(schema, field_names.MESSAGES)
    if found is not None and (found.kind == "array" or found.can_be_text):
        return found
    return prompt if prompt is not None and _JSON_MESSAGES.search(prompt.description) else None


def _find_history(schema: InputSchema) -> InputField | None:
    found = field_names.find(schema, field_names.HISTORY)
    is_texts = found is not None and found.kind == "array" and found.items == "string"
    return found if is_texts else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _derive_capabilities(named: ModelCapabilities, profile: ModelProfile) -> ModelCapabilities:
    media = frozenset[str]().union(*profile.media_inputs.values())
    max_tokens = profile.parameters.get("max_tokens")
    window, maximum, default = named.context_window, None, None
    if max_tokens is not None and profile.max_tokens_counts_prompt:
        window = window or _to_tokens(max_tokens.spec.get("maximum"))
    elif max_tokens is not None:
        maximum = _to_tokens(max_tokens.spec.get("maximum"))
        default = _to_tokens(max_tokens.default)
    effort = profile.effort_level
    levels = () if effort is None else tuple(c for c in effort.choices if isinstance(c, str))
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
        effort_levels=levels,
        default_effort=effort.default if effort is not None and effort.default in levels else None,
        has_native_tools="tools" in profile.parameters,
        has_native_json="response_format" in profile.parameters or profile.json_schema is not None,
        takes_temperature="temperature" in profile.parameters,
        secret_inputs=frozenset(name for name, f in profile.schema.fields.items() if f.is_secret),
    )


def _to_tokens(value: Any) -> int | None:
    """Return a positive integer; None for any other value, for a schema may hold anything."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

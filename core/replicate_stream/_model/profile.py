"""How a model takes a conversation: told by its schema first, by its name last.

The traps are a chat template around a prompt that the model wraps in one itself, and no template
around a prompt that it takes as it is. Where nothing tells which, no marks are sent: a model that
applies a template gets exactly one, and one that does not still reads plain text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replicate_stream._model import field_names
from replicate_stream._model.families import Family, by_hint, by_model
from replicate_stream._model.families.family import literals
from replicate_stream._model.input_schema import InputField, InputSchema

_PLACE = re.compile(r"\{[a-z_]*\}")
_TOKENS = re.compile(r"<\|[^|<>\s]+\|>|<\uff5c[^\uff5c<>]+\uff5c>|\[/?[A-Z_]+\]|</?s>|<<?/?SYS>>?")
_EXAMPLE = re.compile(rf"{_TOKENS.pattern}|### ?\w+:|\bUSER:|\bchat-?ml\b")
# The words of vLLM's own SamplingParams: such a model hands its prompt to the engine as it is.
_ENGINE = re.compile(r"\bper output sequence\b")
_JSON_MESSAGES = re.compile(r"\bjson\b.*\bmessages\b|\bmessages\b.*\bjson\b")
# A description that was cut off somewhere on its way is taken to say so too: messages always carry
# the system text, while a field that is ignored beside them loses it.
_IGNORED = re.compile(r"\bprompt\b.*\bignored\b|(?:\.\.\.|\u2026)$")
_CHAT_NAME = re.compile(
    r"instruct|chat|-it\b|assistant|-sft|-dpo|-orpo|rlhf|tuned|hermes|dolphin|zephyr|vicuna|alpaca"
    r"|wizard|openchat|starling|orca|tulu|guanaco|airoboros|command-?r|capybara|phind|magistral"
    r"|deepseek-(?:v3|r1)(?!.*base)|qwen-?3(?!.*base)|qwq"
)


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """How a model takes what is said.

    Attributes:
        text: The field for the prompt, or for what the user says.
        system: The field for the system text.
        native: The field for the messages themselves, an array or a JSON text.
        native_holds_system: Whether the system text belongs into the messages.
        history: The field for earlier messages, an array of alternating texts.
        template: The field of a template with `{prompt}` in it, which can be overridden.
        family: The chat format, as far as it is known.
        is_raw: Whether the model takes its prompt as it is, so that the format is up to us.
        is_base: Whether it was not trained on chats.
        guard: The family whose marks are broken in texts, as the model's template has them.
    """

    text: InputField | None
    system: InputField | None
    native: InputField | None
    native_holds_system: bool
    history: InputField | None
    template: InputField | None
    family: Family | None
    is_raw: bool
    is_base: bool

    def defuse(self, text: str) -> str:
        """Break the marks that the model's own template would take for a turn's."""
        family = self.family or _unknown_family(self.template)
        return text if family is None else family.defuse(text)

    def is_rendered(self, prompt: str) -> bool:
        """Whether a prompt begins as the model's own template would make it begin."""
        shown = self.template.default if self.template is not None else None
        openings = [shown.partition("{")[0]] if isinstance(shown, str) else []
        if self.family is not None:
            system = self.family.system or ("", "")
            openings += [self.family.start, self.family.user[0], system[0]]
        marks = tuple(opening.strip() for opening in openings if opening.strip())
        return prompt.lstrip().startswith(marks)


def build_profile(schema: InputSchema, model: str) -> ModelProfile:
    """Find out how a model takes a conversation."""
    text = field_names.find_text(schema)
    system = field_names.find_system(schema)
    template = _template(schema)
    native = _native(schema, text)
    default = template.default if template is not None else None
    pattern = default if isinstance(default, str) else ""
    is_bare = template is not None and bool(pattern) and not _PLACE.sub("", pattern).strip()
    example = _example(text)
    is_raw = is_bare or (
        system is None
        and template is None
        and (bool(_EXAMPLE.search(example)) or _is_engine(schema))
    )
    name = model.partition(":")[0].lower()
    family = _family(name, example if is_bare or not pattern else pattern)
    return ModelProfile(
        text=text,
        # A template without a place for the system text drops it (cog-vllm, `format_prompt`).
        system=system if not pattern or "{system" in pattern else None,
        native=native,
        native_holds_system=native is not None
        and (system is None or bool(_IGNORED.search(native.about))),
        history=_history(schema),
        template=template,
        family=family,
        is_raw=is_raw,
        is_base=is_raw and not (_CHAT_NAME.search(name) or _EXAMPLE.search(example)),
    )


def _family(model: str, shown: str) -> Family | None:
    """The family by name if what the schema shows agrees or shows nothing, else by what it shows.

    A name can tell versions apart that look alike in a template, and a fine-tune can have another
    format than the model it is named after.
    """
    named = by_model(model)
    if not shown.strip():
        return named
    if named is not None and named.user[0].strip().removeprefix("<s>") in shown:
        return named
    hinted = by_hint(shown)
    return hinted if hinted is not None or _EXAMPLE.search(shown) else named


def _template(schema: InputSchema) -> InputField | None:
    """A field for a template with `{prompt}`; Jinja ones and ones with other places are not."""
    field = field_names.find(schema, field_names.TEMPLATE)
    if field is None or not field.is_text:
        return None
    default = field.default if isinstance(field.default, str) else ""
    return field if not default or "{prompt}" in default else None


def _native(schema: InputSchema, text: InputField | None) -> InputField | None:
    native = field_names.find(schema, field_names.MESSAGES)
    if native is not None and (native.kind == "array" or native.is_text):
        return native
    return text if text is not None and _JSON_MESSAGES.search(text.about) else None


def _history(schema: InputSchema) -> InputField | None:
    field = field_names.find(schema, field_names.HISTORY)
    return (
        field if field is not None and field.kind == "array" and field.items == "string" else None
    )


def _example(text: InputField | None) -> str:
    if text is None:
        return ""
    return f"{text.default if isinstance(text.default, str) else ''}\n{text.about}"


def _is_engine(schema: InputSchema) -> bool:
    bound = field_names.find_max_tokens(schema)
    return bound is not None and bool(_ENGINE.search(bound.about))


def _unknown_family(template: InputField | None) -> Family | None:
    """A family of which nothing is known but the tokens in the model's default template."""
    default = template.default if template is not None else None
    tokens = _TOKENS.findall(default) if isinstance(default, str) else []
    if not tokens:
        return None
    return Family("", user=("", ""), assistant=("", ""), answer="", control=literals(*tokens))

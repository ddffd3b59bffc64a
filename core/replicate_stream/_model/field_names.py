"""Tables of the names that models have for their inputs, and functions that find an input.

Replicate ignores an input whose name it does not know, without an error, so a name has to be found
in the schema and must not be assumed. Known names are searched first, the usual one before rare
ones, then the descriptions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._types.media import MediaKind

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "max_tokens": (
        "max_new_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens",
        "max_tokens_to_sample", "max_response_tokens", "max_generated_tokens", "max_gen_tokens",
        "max_gen_len", "max_output_len", "max_output_length", "max_length_tokens",
        "max_new_token", "max_token",
        "new_tokens", "num_tokens", "n_predict", "num_predict", "n_tokens", "max_length", "max_len",
        "maximum_length", "max_sequence", "max_sequence_length", "max_seq_len", "max_seq_length",
        "total_tokens", "max_total_tokens",
    ),
    "temperature": ("temperature", "temp", "sampling_temperature"),
    "top_p": ("top_p", "topp", "topP", "nucleus_p", "p"),
    "top_k": ("top_k", "topk", "topK", "k"),
    "min_p": ("min_p", "minp"),
    "seed": ("seed", "random_seed", "rng_seed", "manual_seed"),
    "presence_penalty": ("presence_penalty", "presence"),
    "frequency_penalty": ("frequency_penalty", "frequency"),
    "repetition_penalty": (
        "repetition_penalty", "repeat_penalty", "repitition_penalty", "rep_penalty",
    ),
    "min_tokens": ("min_new_tokens", "min_tokens", "min_output_tokens", "min_length"),
    "stop": (
        "stop_sequences", "stop", "stop_sequence", "stop_words", "stop_strings", "stop_string",
        "stop_tokens", "stops",
    ),
    "tools": ("tools", "functions"),
    "tool_choice": ("tool_choice", "function_call"),
    "parallel_tool_calls": ("parallel_tool_calls",),
    "response_format": ("response_format",),
    "reasoning_effort": ("reasoning_effort", "thinking_level", "effort"),
}  # fmt: skip
"""The names of each parameter's input in models, by the parameter's canonical name."""

SYSTEM_PROMPT = (
    "system_prompt", "system_instruction", "system_instructions", "system_message", "system",
    "system_text", "sys_prompt", "pre_prompt", "preprompt",
)  # fmt: skip
PROMPT = (
    "prompt", "message", "user_prompt", "user_message", "user_input", "text_prompt", "prompt_text",
    "input_text", "text_input", "text", "question", "query", "instruction", "input", "inp",
    "prompts",
)  # fmt: skip
MESSAGES = ("messages", "chat_messages", "conversation", "chat", "input_item_list")
HISTORY = ("history", "chat_history", "conversation_history")
PROMPT_TEMPLATE = ("prompt_template", "template")
JSON_SCHEMA = ("json_schema", "jsonschema", "response_schema", "guided_json")
EFFORT_LEVEL = ("reasoning_effort", "thinking_level", "effort", "thinking")
THINKING_BUDGET = ("thinking_budget", "thinking_budget_tokens", "budget_tokens", "reasoning_budget")
THINKING_SWITCH = ("extended_thinking", "enable_thinking", "thinking", "reasoning")

# The words of a description by which a limit on tokens counts the prompt too.
_TOTAL = re.compile(
    r"\b(?:prompt|input) (?:\+|and|plus)|\+ (?:prompt|input)\b|including (?:the )?(?:prompt|input)"
)
# Words that mean the same, unless the description speaks of the answer alone.
_VAGUE_TOTAL = re.compile(
    r"\b(?:in all|total|overall|context (?:length|window|size)|sequence length)\b"
)
_ABOUT_ANSWER = re.compile(r"generat|\bcompletion|\boutput|\bresponse|\banswer|\bnew tokens?\b")
_TOTAL_NAMES = frozenset({"total_tokens", "max_total_tokens", "max_sequence", "max_seq_len"})
_ABOUT_SYSTEM = re.compile(
    r"\bsystem (?:\(or developer\) )?(?:prompt|message|instruction)|\bdeveloper message"
)
_ABOUT_MAX_TOKENS = re.compile(
    r"\b(?:max\w*|limit\w*|how many|number of)\b.{0,40}\b(?:tokens?|words|length)\b"
)
# Names whose descriptions speak of a number of tokens, but not of the answer's.
_OTHER_LIMIT_NAMES = re.compile(
    r"min|image|video|frame|input|prompt|context|history|seq|stop|top|beam|repeat|penalty|batch"
)
_ABOUT_STOP = re.compile(r"\bstop (?:sequence|word|string|token|text)s?\b|\bstop generat")
_DEPRECATED = re.compile(
    r"\bdeprecated\b|\brenamed to\b|\bbackwards? compatib|\bno longer (?:used|supported)\b"
)
# Required texts that no conversation can fill.
_OTHER_TEXT_NAMES = re.compile(r"json|schema|grammar|weights|template|url|key|token|cols|name")
_MEDIA_NAMES: tuple[tuple[MediaKind, re.Pattern[str]], ...] = (
    ("image", re.compile(r"image|img|photo|picture")),
    ("video", re.compile(r"video")),
    ("audio", re.compile(r"audio|speech|sound|voice")),
    ("file", re.compile(r"file|document|pdf")),
)
_NO_MEDIA_NAMES = re.compile(
    r"size|resolution|width|height|detail|format|quality|prompt|caption|archive|name|weights|mask"
)
# An input that is not declared as a file must have a name of these words alone: `voice_style` is
# text.
_MEDIA_WORDS = re.compile(
    r"(?:(?:image|img|photo|picture|video|audio|file|document|pdf|input|url|uri|path|base64|b64|data)"
    r"s?\d*_?)+"
)
_ABOUT_TWO_KINDS = re.compile(r"\b(image|video|audio)(?: file)?s? or (image|video|audio)\b")

_SEPARATORS = re.compile(r"[_\-\s]+")


def find(schema: InputSchema, names: Iterable[str]) -> InputField | None:
    """Find the first of several names that the model has, a deprecated one last."""
    present = [schema.fields[name] for name in names if name in schema.fields]
    return min(present, key=is_deprecated, default=None)


def is_deprecated(field: InputField) -> bool:
    """Return True if the description calls the input deprecated."""
    return bool(_DEPRECATED.search(field.description))


def find_parameter(schema: InputSchema, parameter: str) -> InputField | None:
    """Find the input for a parameter.

    Args:
        schema: The model's inputs.
        parameter: The canonical name, or else the name that a model has for it.
    """
    if parameter == "max_tokens":
        return find_max_tokens(schema)
    found = find(schema, PARAMETERS.get(parameter, (parameter,)))
    if found is None and parameter == "stop":
        return next((f for f in schema.fields.values() if _is_stop(f)), None)
    return found


def find_max_tokens(schema: InputSchema) -> InputField | None:
    """Find the input for the longest answer, preferably one that does not count the prompt too."""
    present = [
        field
        for name in PARAMETERS["max_tokens"]
        if (field := schema.fields.get(name)) is not None
        and field.kind in {"integer", "number", "string", "any"}
    ]
    if not present:
        present = [f for f in schema.fields.values() if _is_max_tokens(f)]
    return min(present, key=lambda f: (is_deprecated(f), counts_prompt(f)), default=None)


def _is_max_tokens(field: InputField) -> bool:
    if field.kind not in {"integer", "any"} or _OTHER_LIMIT_NAMES.search(field.name.lower()):
        return False
    return bool(_ABOUT_MAX_TOKENS.search(field.description))


def _is_stop(field: InputField) -> bool:
    is_text = field.can_be_text or (field.kind == "array" and field.items == "string")
    return is_text and field.name not in PROMPT and bool(_ABOUT_STOP.search(field.description))


def counts_prompt(field: InputField) -> bool:
    """Return True if the input limits the tokens of prompt and answer together."""
    text = field.description
    is_total = bool(_VAGUE_TOTAL.search(text)) and not _ABOUT_ANSWER.search(text)
    return field.name in _TOTAL_NAMES or is_total or bool(_TOTAL.search(text))


def find_system_prompt(schema: InputSchema) -> InputField | None:
    """Find the input for the system text, by its name or its description."""
    named = find(schema, SYSTEM_PROMPT)
    if named is not None and named.can_be_text:
        return named
    for field in schema.fields.values():
        if field.is_text and field.name not in PROMPT and _ABOUT_SYSTEM.search(field.description):
            return None if field.name in PROMPT_TEMPLATE + MESSAGES else field
    return None


def find_prompt(schema: InputSchema) -> InputField | None:
    """Find the input for the prompt: a known name, or the first free text that is required."""
    for name in PROMPT:
        field = schema.fields.get(name)
        if field and (field.can_be_text or (field.kind == "array" and field.items == "string")):
            return field
    taken = {*SYSTEM_PROMPT, *MESSAGES, *HISTORY, *PROMPT_TEMPLATE, *PARAMETERS["stop"]}
    for name, field in schema.fields.items():
        is_prompt = name not in taken and not _OTHER_TEXT_NAMES.search(name)
        if is_prompt and field.is_text and field.required:
            return field
    return None


def get_media_kinds(field: InputField) -> set[MediaKind]:
    """Return the kinds of media that an input takes; empty for an input of another kind."""
    if field.kind not in {"string", "array", "any"} or field.choices:
        return set()
    name = field.name.lower()
    if _NO_MEDIA_NAMES.search(name):
        return set()
    kinds: set[MediaKind] = {kind for kind, names in _MEDIA_NAMES if names.search(name)}
    if not field.is_file and not (kinds and _MEDIA_WORDS.fullmatch(name)):
        return set()
    for pair in _ABOUT_TWO_KINDS.findall(field.description):
        kinds.update(pair)
    if not kinds:  # a file whose name leaves its kind open
        kinds = {kind for kind, names in _MEDIA_NAMES if names.search(field.description)} or {
            "file"
        }
    return kinds


def find_closest_name(name: str, known: Iterable[str]) -> str | None:
    """Find the most similar name, without regard to case and separators; None if all differ."""
    by_plain_name = {_strip_separators(each): each for each in reversed(list(known))}
    for alias in (name, *PARAMETERS.get(name, ())):
        near = difflib.get_close_matches(_strip_separators(alias), by_plain_name, n=1, cutoff=0.75)
        if near:
            return by_plain_name[near[0]]
    return None


def _strip_separators(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()

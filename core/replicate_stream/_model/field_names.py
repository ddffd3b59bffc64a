"""Which of a model's fields means what: the alias tables, as data, and the rules beside them.

Replicate ignores unknown names without a word, so a name must be found, never assumed. Known names
come first, the best first; then what the description says.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from replicate_stream._model.input_schema import InputField, InputSchema

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "max_tokens": (
        "max_new_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "max_tokens_to_sample",
        "max_response_tokens",
        "max_generated_tokens",
        "max_gen_tokens",
        "max_gen_len",
        "max_output_len",
        "max_output_length",
        "max_new_token",
        "max_token",
        "new_tokens",
        "num_tokens",
        "n_predict",
        "num_predict",
        "n_tokens",
        "max_length",
        "max_len",
        "maximum_length",
        "max_sequence",
        "max_sequence_length",
        "max_seq_len",
        "max_seq_length",
        "total_tokens",
        "max_total_tokens",
    ),
    "temperature": ("temperature", "temp", "sampling_temperature"),
    "top_p": ("top_p", "topp", "topP", "nucleus_p", "p"),
    "top_k": ("top_k", "topk", "topK", "k"),
    "min_p": ("min_p", "minp"),
    "seed": ("seed", "random_seed", "rng_seed", "manual_seed"),
    "presence_penalty": ("presence_penalty", "presence"),
    "frequency_penalty": ("frequency_penalty", "frequency"),
    "repetition_penalty": (
        "repetition_penalty",
        "repeat_penalty",
        "repitition_penalty",
        "rep_penalty",
    ),
    "min_tokens": ("min_new_tokens", "min_tokens", "min_output_tokens", "min_length"),
    "stop": (
        "stop_sequences",
        "stop",
        "stop_sequence",
        "stop_words",
        "stop_strings",
        "stop_string",
        "stop_tokens",
        "stops",
    ),
    "tools": ("tools", "functions"),
    "tool_choice": ("tool_choice", "function_call"),
    "parallel_tool_calls": ("parallel_tool_calls",),
    "response_format": ("response_format",),
    "reasoning_effort": ("reasoning_effort", "thinking_level", "effort"),
}
"""A parameter's canonical name, and what models call it."""

SYSTEM = (
    "system_prompt",
    "system_instruction",
    "system_instructions",
    "system_message",
    "system",
    "system_text",
    "sys_prompt",
    "pre_prompt",
    "preprompt",
)
TEXT = (
    "prompt",
    "message",
    "user_prompt",
    "user_message",
    "user_input",
    "text_prompt",
    "prompt_text",
    "input_text",
    "text_input",
    "text",
    "question",
    "query",
    "instruction",
    "input",
    "inp",
    "prompts",
)
MESSAGES = ("messages", "chat_messages", "conversation", "chat", "input_item_list")
HISTORY = ("history", "chat_history", "conversation_history")
TEMPLATE = ("prompt_template", "template")
JSON_SCHEMA = ("json_schema", "jsonschema", "response_schema", "guided_json")
EFFORT_LEVEL = ("reasoning_effort", "thinking_level", "effort", "thinking")
THINKING_BUDGET = ("thinking_budget", "thinking_budget_tokens", "budget_tokens", "reasoning_budget")
THINKING_SWITCH = ("extended_thinking", "enable_thinking", "thinking", "reasoning")

_BOUNDS_ALL = re.compile(
    r"\ball\b|\btotal\b|input \+|prompt \+|(?:prompt|input) and|including (?:the )?(?:prompt|input)"
    r"|context (?:length|window|size)|sequence length"
)
_BOUNDS_ALL_NAMES = frozenset({"total_tokens", "max_total_tokens", "max_sequence", "max_seq_len"})
_SYSTEM_TEXT = re.compile(
    r"\bsystem (?:\(or developer\) )?(?:prompt|message|instruction)|\bdeveloper message"
)
_MAX_TOKENS = re.compile(
    r"\b(?:max\w*|limit\w*|how many|number of)\b.{0,40}\b(?:tokens?|words|length)\b"
)
_OTHER_BOUND = re.compile(
    r"min|image|video|frame|input|prompt|context|history|seq|stop|top|beam|repeat|penalty|batch"
)
_STOP = re.compile(r"\bstop (?:sequence|word|string|token|text)s?\b|\bstop generat")
_DEPRECATED = re.compile(
    r"\bdeprecated\b|\brenamed to\b|\bbackwards? compatib|\bno longer (?:used|supported)\b"
)
_NO_TEXT = re.compile(r"json|schema|grammar|weights|template|url|key|token|cols|name")
_SEPARATORS = re.compile(r"[_\-\s]+")


def find(schema: InputSchema, names: Iterable[str]) -> InputField | None:
    """The first of several names that the model has, a deprecated one last."""
    present = [schema.fields[name] for name in names if name in schema.fields]
    return next((each for each in present if not is_deprecated(each)), next(iter(present), None))


def is_deprecated(field: InputField) -> bool:
    """Whether the field's own description calls it deprecated."""
    return bool(_DEPRECATED.search(field.about))


def find_parameter(schema: InputSchema, parameter: str) -> InputField | None:
    """The field for a parameter by its canonical name, or for a model's own spelling of it."""
    if parameter == "max_tokens":
        return find_max_tokens(schema)
    found = find(schema, PARAMETERS.get(parameter, (parameter,)))
    if found is None and parameter == "stop":
        return next((f for f in schema.fields.values() if _is_stop(f)), None)
    return found


def find_max_tokens(schema: InputSchema) -> InputField | None:
    """The field that bounds the answer; one that bounds the prompt too only for want of another."""
    present = [
        field
        for name in PARAMETERS["max_tokens"]
        if (field := schema.fields.get(name)) is not None
        and field.kind in {"integer", "number", "string", "any"}
    ]
    if not present:
        present = [f for f in schema.fields.values() if f.kind == "integer" and _is_bound(f)]
    return min(present, key=lambda f: (is_deprecated(f), bounds_prompt_too(f)), default=None)


def _is_bound(field: InputField) -> bool:
    return bool(_MAX_TOKENS.search(field.about)) and not _OTHER_BOUND.search(field.name.lower())


def _is_stop(field: InputField) -> bool:
    is_text = field.is_text or (field.kind == "array" and field.items == "string")
    return is_text and field.name not in TEXT and bool(_STOP.search(field.about))


def bounds_prompt_too(field: InputField) -> bool:
    """Whether a bound on tokens counts the prompt as well."""
    return field.name in _BOUNDS_ALL_NAMES or bool(_BOUNDS_ALL.search(field.about))


def find_system(schema: InputSchema) -> InputField | None:
    """The field for the system text, by name or by what its description says."""
    named = find(schema, SYSTEM)
    if named is not None and named.is_text:
        return named
    for field in schema.fields.values():
        if field.is_text and field.name not in TEXT and _SYSTEM_TEXT.search(field.about):
            return None if field.name in TEMPLATE + MESSAGES else field
    return None


def find_text(schema: InputSchema) -> InputField | None:
    """The field for what the user says: a known name, or the first free text that is required."""
    for name in TEXT:
        field = schema.fields.get(name)
        if field and (field.is_text or (field.kind == "array" and field.items == "string")):
            return field
    taken = {*SYSTEM, *MESSAGES, *HISTORY, *TEMPLATE, *PARAMETERS["stop"]}
    return next(
        (
            field
            for name, field in schema.fields.items()
            if field.is_text and field.required and name not in taken and not _NO_TEXT.search(name)
        ),
        None,
    )


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name most like a given one, passing over case and separators; None if none is."""
    plain = {_plain(each): each for each in reversed(list(known))}
    for alias in (name, *PARAMETERS.get(name, ())):
        near = difflib.get_close_matches(_plain(alias), plain, n=1, cutoff=0.75)
        if near:
            return plain[near[0]]
    return None


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()

"""How an embedding model takes its texts: in which input, in which form, and how many at once.

Embedding models share no interface. They take one text, an array, a JSON array in a string, or
lines in a string (docs/embeddings.md), and their schemas show which in names, types, descriptions
and defaults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField, InputSchema

TextForm: TypeAlias = Literal["array", "json", "joined", "single"]
InputType: TypeAlias = Literal["query", "document"]

# Inputs for several texts come first: a model that has both takes one text in the other.
_TEXTS = (
    "texts", "text_batch", "text_list", "json_text", "query_texts", "input_texts", "sentences",
    "documents", "passages", "inputs", "prompts", "text", "input_text", "text_input", "input",
    "sentence", "document", "passage", "content", "prompt", "query",
)  # fmt: skip
# Of these an undescribed string is taken for a JSON array; the others hold one text.
_PLURALS = frozenset(_TEXTS[: _TEXTS.index("text")])
_INPUT_TYPES = ("input_type", "task_type", "task", "prompt_name", "embedding_task")
_INSTRUCTIONS = ("instruction", "query_instruction", "task_description", "task")
_JSON = re.compile(r"\bjson\b|\bserialized\b.*\b(?:array|list)\b")
_LINES = re.compile(r"\bnew-?\s?lines?\b|\bone (?:\w+ )?per line\b")
_SEPARATOR_NAME = re.compile(r"(?:^|_)(?:sep|separator|delimiter)$")
_MOST_TEXTS = re.compile(
    r"\b(?:max(?:imum)?(?: of)?|at most|up to) (\d+) "
    r"(?:texts|prompts|sentences|strings|inputs|documents|passages|items)\b"
)
_QUERY = re.compile(r"query|queries")
_DOCUMENT = re.compile(r"document|passage|corpus")
_SEARCH = re.compile(r"retriev|search")
# Values that an input must have for vectors of texts as lists of numbers.
_CONSTANTS: Mapping[str, str] = {"output_format": "array", "modality": "text"}


@dataclass(frozen=True, slots=True)
class TextInput:
    r"""The input of a model for its texts.

    Attributes:
        field: The input.
        form: `array`; `json`, an array as JSON in a string; `joined`, texts in one string between
            separators; or `single`, one text.
        max_texts: The most texts of one prediction; None if the schema shows no limit.
        separator: The separator of a `joined` input, `\n` or the default of `separator_field`.
        separator_field: The input that sets the separator; None if it is fixed.
    """

    field: InputField
    form: TextForm
    max_texts: int | None
    separator: str = "\n"
    separator_field: InputField | None = None


def find_text_input(schema: InputSchema) -> TextInput | None:
    """Find the input for texts by a known name, or else the only required one that takes text."""
    fields = {name: each for name, each in schema.fields.items() if _takes_text(each)}
    present = [fields[name] for name in _TEXTS if name in fields]
    if not present:
        required = [each for each in fields.values() if each.required]
        present = required if len(required) == 1 else []
    if not present:
        return None
    field = min(present, key=field_names.is_deprecated)
    separator_field = _find_separator(schema)
    form = _find_form(field, has_separator=separator_field is not None)
    limit = 1 if form == "single" else _find_max_texts(field)
    if form != "joined" or separator_field is None:
        return TextInput(field, form, limit)
    return TextInput(field, form, limit, str(separator_field.default or "\n"), separator_field)


def find_constants(schema: InputSchema) -> dict[str, str]:
    """Find inputs that must have a certain value if the output is to be a list of numbers."""
    return {
        name: value
        for name, value in _CONSTANTS.items()
        if name in schema.fields and value in schema.fields[name].choices
    }


def find_input_type(schema: InputSchema, input_type: InputType) -> tuple[str, Any] | None:
    """Find the input, and its value, for texts that are queries, or documents to search in."""
    words = _QUERY if input_type == "query" else _DOCUMENT
    for name in _INPUT_TYPES:
        choices = schema.fields[name].choices if name in schema.fields else ()
        named = [each for each in choices if words.search(str(each).lower())]
        if named:
            # Some models have more kinds of queries, such as `retrieval.query` and `code.query`.
            return name, min(named, key=lambda each: not _SEARCH.search(str(each).lower()))
    return None


def find_instruction(schema: InputSchema) -> InputField | None:
    """Find the input for an instruction, which describes the purpose of the vectors."""
    texts = (schema.fields[name] for name in _INSTRUCTIONS if name in schema.fields)
    return next((each for each in texts if each.is_text), None)


def _takes_text(field: InputField) -> bool:
    return field.is_text or _find_array(field) is not None


def _find_array(field: InputField) -> Mapping[str, Any] | None:
    """Return the schema of an array of texts, which may be one of several types of the input."""
    options = field.spec.get("anyOf") or field.spec.get("oneOf") or [field.spec]
    for option in options if isinstance(options, list) else ():
        items = option.get("items", {}) if isinstance(option, Mapping) else None
        if isinstance(items, Mapping) and option.get("type") == "array":
            is_texts = items.get("type", "string") == "string" and items.get("format") != "uri"
            return option if is_texts else None
    return None


def _find_form(field: InputField, *, has_separator: bool) -> TextForm:
    if _find_array(field) is not None:
        return "array"
    if _JSON.search(field.description) or _is_json_array(field.default):
        return "json"
    if has_separator or _LINES.search(field.description):
        return "joined"
    return "json" if field.name in _PLURALS else "single"


def _is_json_array(default: object) -> bool:
    try:
        return isinstance(json.loads(default), list) if isinstance(default, str) else False
    except (ValueError, RecursionError):
        return False


def _find_separator(schema: InputSchema) -> InputField | None:
    named = (each for name, each in schema.fields.items() if _SEPARATOR_NAME.search(name))
    return next((each for each in named if each.is_text), None)


def _find_max_texts(field: InputField) -> int | None:
    array = _find_array(field)
    declared = array.get("maxItems") if array is not None else None
    if isinstance(declared, int) and declared > 0:
        return declared
    described = _MOST_TEXTS.search(field.description)
    return max(1, int(described[1])) if described else None

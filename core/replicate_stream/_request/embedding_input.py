"""The input of an embedding model for a batch of texts. Pure.

Replicate ignores an unknown input silently, and a model without texts embeds its own example. So
everything is checked against the schema before anything is paid.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, get_args

from replicate_stream._errors import InvalidInputError, invalid_value, too_deep, wrong_type
from replicate_stream._model.embedding_profile import (
    InputType,
    TextInput,
    find_constants,
    find_input_type,
    find_instruction,
    find_text_input,
)
from replicate_stream._model.profile import ModelProfile
from replicate_stream._request.extra_input import put_extra_input
from replicate_stream._request.input_builder import InputBuilder
from replicate_stream._request.validation import check_input, check_required
from replicate_stream._types.parameters import OnUnsupported
from replicate_stream._types.strict_json import is_too_deep, replace_surrogates

DEFAULT_BATCH_SIZE = 32
"""Number of texts in a prediction. The models that have an input `batch_size` have this default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """The validated arguments of `Client.embed`; see there."""

    model: str
    texts: Sequence[str] = field(repr=False)
    input_type: InputType | None
    instruction: str = field(repr=False)
    batch_size: int
    concurrency: int
    extra_input: Mapping[str, Any] = field(repr=False)


def build_embedding_request(
    model: str,
    texts: Any,
    *,
    input_type: Any = None,
    instruction: Any = None,
    batch_size: Any = None,
    concurrency: Any = 8,
    extra_input: Any = None,
) -> EmbeddingRequest:
    """Validate the arguments of `Client.embed`.

    Raises:
        InvalidInputError: Names the argument, of a text its position, and what it must be.
    """
    if input_type is not None and input_type not in get_args(InputType):
        raise invalid_value("input_type", input_type, "'query', 'document' or None")
    if not isinstance(instruction, str | None):
        raise wrong_type("instruction", instruction, "a string or None")
    batch_size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    for name, value in (("batch_size", batch_size), ("concurrency", concurrency)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise invalid_value(name, value, "a whole number, 1 or more")
    extra_input = {} if extra_input is None else extra_input
    if not isinstance(extra_input, Mapping) or not all(isinstance(k, str) for k in extra_input):
        raise wrong_type("extra_input", extra_input, "a dict of inputs by name")
    if is_too_deep(extra_input):
        raise too_deep("extra_input")
    return EmbeddingRequest(
        model=model,
        texts=replace_surrogates(_parse_texts(texts)),
        input_type=input_type,
        instruction=replace_surrogates(instruction or ""),
        batch_size=batch_size,
        concurrency=concurrency,
        extra_input=replace_surrogates(dict(extra_input)),
    )


def _parse_texts(texts: Any) -> list[str]:
    # A string is a sequence too, of its characters.
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Sequence):
        raise wrong_type("texts", texts, "a list of strings")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            error = wrong_type(f"texts[{index}]", text, "a string")
        elif not text.strip():
            # Some models drop it, and others embed their own example in its place.
            error = InvalidInputError(f"texts[{index}] is empty; it must have a character to embed")
        else:
            continue
        error.fields, error.text_index = ("texts",), index
        raise error
    return list(texts)


class EmbeddingInput:
    """The input of a model for any batch of a request's texts.

    Attributes:
        request: The request.
        name: The model's input for the texts.
        batch_size: The most texts of one prediction: the request's, or the model's if it is less.
        notes: Each adaptation to the model in one sentence, without the texts.
    """

    def __init__(
        self,
        request: EmbeddingRequest,
        profile: ModelProfile,
        on_unsupported: OnUnsupported,
        schema_remedy: str,
    ) -> None:
        """Adapt a request to a model.

        Args:
            request: The attribute.
            profile: The model's profile.
            on_unsupported: The policy for a name in `extra_input` that the model does not have.
            schema_remedy: The likely remedy if the model publishes no schema.

        Raises:
            InvalidInputError: The model takes no texts, or makes no vectors; an input is invalid or
                missing.
            UnsupportedParameterError: As for `Client.embed`.
        """
        text_input = _find_text_input(request, profile, schema_remedy)
        builder = InputBuilder(profile, on_unsupported)
        self._prefix = _put_options(request, builder)
        if text_input.field.name in request.extra_input:
            raise InvalidInputError(
                f"extra_input sets {text_input.field.name}, the model's input for the texts",
                fields=("extra_input",),
            )
        put_extra_input(request.extra_input, builder)
        check_input(profile.schema, builder.input)
        check_required(profile.required, {*builder.input, text_input.field.name})
        self.request = request
        self.name = text_input.field.name
        self.batch_size = min(request.batch_size, text_input.max_texts or request.batch_size)
        self.notes = builder.notes
        self._text_input = text_input
        self._schema = profile.schema
        self._others = builder.input
        if text_input.form == "joined" and text_input.separator_field is None:
            builder.note("Line breaks become spaces: the model separates its texts by them.")

    def build(self, texts: Sequence[str]) -> dict[str, Any]:
        """Build the `input` for a batch.

        Raises:
            InvalidInputError: The texts are too long, or cannot be separated; `fields` has `name`.
        """
        texts = [self._prefix + text for text in texts]
        built = {**self._others, **self._encode(texts)}
        check_input(self._schema, built)
        return built

    def _encode(self, texts: list[str]) -> dict[str, Any]:
        form, name = self._text_input.form, self.name
        if form == "single":
            return {name: texts[0]}
        if form == "array":
            return {name: texts}
        if form == "json":
            return {name: json.dumps(texts, ensure_ascii=False)}
        separator_field = self._text_input.separator_field
        if separator_field is None:
            return {name: "\n".join(" ".join(text.splitlines()) for text in texts)}
        separator = self._choose_separator(texts, separator_field.name)
        return {name: separator.join(texts), separator_field.name: separator}

    def _choose_separator(self, texts: list[str], name: str) -> str:
        """Choose a separator at which the model splits the string into these texts again."""
        own = self._others.get(name)
        candidates = _make_separators(self._text_input.separator) if own is None else iter([own])
        for separator in candidates:
            if separator and separator.join(texts).split(separator) == texts:
                return separator
        raise InvalidInputError(
            f"a text contains the {name} that extra_input sets", fields=(self.name,)
        )


def _make_separators(default: str) -> Iterator[str]:
    yield default
    yield from (f"\n--- {number} ---\n" for number in count())


def _find_text_input(
    request: EmbeddingRequest, profile: ModelProfile, schema_remedy: str
) -> TextInput:
    model, schema = request.model, profile.schema
    if not profile.has_schema:
        raise InvalidInputError(
            f"{model} publishes no input schema, so its input for texts is not known; "
            f"{schema_remedy}",
            fields=("model",),
        )
    if schema.output_kind in {"pieces", "text", "file"}:
        made = "files" if schema.output_kind == "file" else "text"
        raise InvalidInputError(f"{model} makes {made}, not vectors", fields=("model",))
    found = find_text_input(schema)
    if found is None:
        inputs = ", ".join(schema.fields) or "none"
        raise InvalidInputError(
            f"{model} has no known input for texts; its inputs: {inputs}", fields=("model",)
        )
    return found


def _put_options(request: EmbeddingRequest, builder: InputBuilder) -> str:
    """Put the options into the model's inputs; return the prefix that each text needs instead."""
    schema = builder.profile.schema
    builder.input.update(find_constants(schema))
    if request.input_type is not None:
        found = find_input_type(schema, request.input_type)
        if found is not None:
            builder.input[found[0]] = found[1]
            builder.note(f"{found[0]} is {found[1]} for input_type {request.input_type}.")
    instruction = find_instruction(schema) if request.instruction else None
    if instruction is None:
        return request.instruction
    builder.input[instruction.name] = request.instruction
    builder.note(f"instruction went into {instruction.name}.")
    return ""

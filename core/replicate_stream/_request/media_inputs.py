"""Put images, audio, video and files into the model's own inputs for them.

Small bytes go in as data URIs or bare base64. Large ones and local files are left for the client to
upload, because nothing here does I/O.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replicate_stream._errors import InvalidInputError
from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField
from replicate_stream._request.conversation import ParsedMessage
from replicate_stream._request.input_builder import InputBuilder
from replicate_stream._types.media import (
    DATA_URI_LIMIT,
    Media,
    MediaKind,
    Upload,
    is_text_type,
    to_data_uri,
)

_LIMIT = re.compile(r"\bmax(?:imum)?(?: of)? (\d+) (?:image|video|audio|file)")


def put_media(media: Sequence[Media], builder: InputBuilder) -> None:
    """Put media into the input, and the files that are still to be read into its uploads.

    Raises:
        InvalidInputError: There are more than the model takes.
        UnsupportedParameterError: The model has no input for them, and `on_unsupported` is `raise`.
    """
    profile, model_input = builder.profile, builder.input
    for each in media:
        candidates = [
            profile.schema.fields[name]
            for name, kinds in profile.media_inputs.items()
            if each.kind in kinds
        ]
        usable = _rank_fields(candidates, each)
        if not usable:
            reason = f"The model has no input for {each.kind} parts"
            if candidates:
                reason = f"The format of {candidates[0].name} is not known; use extra_input"
            elif each.url is None and is_text_type(each.mime_type):  # else it is in the prompt
                name = f"a {each.mime_type}" if each.path is None else f"{each.path!r}"
                reason += f", and the prompt takes text in UTF-8 only, which {name} is not"
            builder.handle_unsupported(each.kind, reason=reason)
            continue
        field = next((f for f in usable if _has_room(f, model_input)), None)
        if field is None:
            raise _too_many(each.kind, media, usable)
        _put(each, field, builder)


def _rank_fields(candidates: Sequence[InputField], media: Media) -> list[InputField]:
    """Select the inputs that can hold the media, the best first."""
    # A list of objects has keys that no schema describes.
    usable = [f for f in candidates if f.kind != "array" or f.items in {"string", "any"}]
    # Where one input takes base64, the one beside it takes URLs only.
    if any("base64" in f.name for f in usable):
        usable = [f for f in usable if ("base64" in f.name) == (media.url is None)]
    return sorted(usable, key=field_names.is_deprecated)


def _too_many(kind: str, media: Sequence[Media], usable: Sequence[InputField]) -> InvalidInputError:
    count = sum(each.kind == kind for each in media)
    limit = sum(_capacity(f) or 1 for f in usable if "base64" not in f.name)
    names = tuple(f.name for f in usable)
    return InvalidInputError(
        f"The messages have {count} {kind} parts; the model takes {limit} ({', '.join(names)})",
        fields=names,
    )


def _capacity(field: InputField) -> int | None:
    """Number of media that an input takes; None if no limit is known."""
    if field.kind != "array":
        return 1
    limit = field.spec.get("maxItems")
    if isinstance(limit, int):
        return limit
    described = _LIMIT.search(field.description)
    return int(described.group(1)) if described else None


def _has_room(field: InputField, model_input: dict[str, Any]) -> bool:
    if field.kind != "array":
        return field.name not in model_input
    capacity = _capacity(field)
    return capacity is None or len(model_input.get(field.name, ())) < capacity


def _put(media: Media, field: InputField, builder: InputBuilder) -> None:
    value, model_input = media.url, builder.input
    is_list = field.kind == "array"
    if media.data is not None and "base64" in field.name:
        value = base64.b64encode(media.data).decode("ascii")
    elif media.data is not None and len(media.data) <= DATA_URI_LIMIT:
        value = to_data_uri(media.data, media.mime_type)
    elif value is None:
        # Valid as a string, so that the input passes the check before anything is uploaded.
        keys = (field.name, len(model_input.get(field.name, ()))) if is_list else (field.name,)
        builder.uploads.append(Upload(keys, media.mime_type, media.data, media.path))
        value = f"(a file to be uploaded, {media.mime_type})"
    if is_list:
        model_input.setdefault(field.name, []).append(value)
    else:
        model_input[field.name] = value


def tag_media(messages: Sequence[ParsedMessage], builder: InputBuilder) -> list[ParsedMessage]:
    """Name the media in the texts of their messages, for a model that ignores them otherwise.

    A model with an input for messages has its media beside them, so they are numbered: nothing
    else shows in which message each was sent.

    Call this after `put_media`; see `ModelProfile.media_tag`.
    """
    profile = builder.profile
    tag, fields = profile.media_tag, profile.schema.fields
    if tag is None:
        is_single = sum(each.message.role != "system" for each in messages) == 1
        is_placed = profile.messages is None or is_single
        return list(messages) if is_placed else _number_media(messages, builder)
    names = [n for n in profile.media_inputs if fields[n].kind == "string" and n in builder.input]
    unnamed = iter(names)
    tagged = []
    for message in messages:
        tags = [f"<{tag}>{name}</{tag}>" for _, name in zip(message.media, unnamed, strict=False)]
        tagged.append(replace(message, text="\n".join([*tags, message.text])))
    return tagged


def _number_media(messages: Sequence[ParsedMessage], builder: InputBuilder) -> list[ParsedMessage]:
    kinds = frozenset[MediaKind]().union(*builder.profile.media_inputs.values())
    counts: Counter[str] = Counter()
    numbered = []
    for message in messages:
        marks = []
        for kind in (each.kind for each in message.media if each.kind in kinds):
            counts[kind] += 1
            marks.append(f"[{kind} {counts[kind]}]")
        numbered.append(replace(message, text="\n".join([*marks, message.text])))
    if counts:
        builder.note(
            "The media are numbered in the texts of their messages: [image 1] is the first."
        )
    return numbered

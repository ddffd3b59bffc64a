"""Media onto the model's own fields, one or many, as addresses, data URIs or bare base64.

What is too large for the request, or lies in a file, is left for the client to upload: nothing
here does I/O.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replicate_stream._errors import InvalidInputError
from replicate_stream._model import field_names
from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._model.media_kinds import kinds_of_media, takes_media
from replicate_stream._request.message_parts import MessageParts
from replicate_stream._request.notes import Notes
from replicate_stream._types.media import DATA_URI_LIMIT, Media, Upload, data_uri, media_type

_TAGGED = re.compile(r"<(\w+)>(\w+)</\1>")
_AT_MOST = re.compile(r"\bmax(?:imum)?(?: of)? (\d+) (?:image|video|audio|file)")


def put_media(
    media: Sequence[Media], schema: InputSchema, target: dict[str, Any], report: Notes
) -> list[Upload]:
    """Put media into `target`.

    Returns:
        What is still to be uploaded.

    Raises:
        InvalidInputError: There are more than the model takes.
        UnsupportedParameterError: The model takes none, and `report` is to raise.
    """
    uploads: list[Upload] = []
    for each in media:
        own = [f for f in schema.fields.values() if each.kind in kinds_of_media(f)]
        usable = _in_order(own, each)
        if not usable:
            reason = f"The model has no input for {each.kind} parts"
            if own:
                reason = f"The form of the model's {own[0].name} is not known; use extra_input"
            report.unsupported(each.kind, because=reason)
            continue
        free = next((f for f in usable if _has_room(f, target)), None)
        if free is None:
            count = sum(m.kind == each.kind for m in media)
            most = sum(_room(f) or 1 for f in usable if "base64" not in f.name)
            raise InvalidInputError(
                f"{count} {each.kind} parts were given; the model takes {most} "
                f"({', '.join(f.name for f in usable)})",
                fields=tuple(f.name for f in usable),
            )
        upload = _put(each, free, target)
        if upload is not None:
            uploads.append(upload)
    return uploads


def mentioned(
    said: Sequence[MessageParts], schema: InputSchema, target: dict[str, Any]
) -> list[MessageParts]:
    """Messages that name their media, where the model's own example shows that a prompt has to.

    An example such as `<img>image1</img> What is this?` tells that the input `image1` is not looked
    at unless the text speaks of it. Call this when the media are in `target`.
    """
    text = field_names.find_text(schema)
    example = text.default if text is not None and isinstance(text.default, str) else ""
    names = [f.name for f in schema.fields.values() if f.kind == "string" and takes_media(f)]
    shown = _TAGGED.search(example)
    if shown is None or shown.group(2) not in names:
        return list(said)
    tag, filled = shown.group(1), iter([name for name in names if name in target])
    listed = []
    for each in said:
        marks = [f"<{tag}>{name}</{tag}>" for _, name in zip(each.media, filled, strict=False)]
        listed.append(replace(each, text="\n".join([*marks, each.text])))
    return listed


def _in_order(own: Sequence[InputField], media: Media) -> list[InputField]:
    """The fields that can hold it, the best first.

    An array of objects has a form that no schema tells. Base64 is for bytes, and a bare list of
    addresses beside it for addresses.
    """
    usable = [f for f in own if f.kind != "array" or f.items in {"string", "any"}]
    has_base64 = any("base64" in f.name for f in usable)
    fitting = [f for f in usable if not has_base64 or ("base64" in f.name) == (media.url is None)]
    return sorted(fitting, key=field_names.is_deprecated)


def _room(field: InputField) -> int | None:
    """How many a field takes; None: no bound is known."""
    if field.kind != "array":
        return 1
    stated = field.spec.get("maxItems")
    if isinstance(stated, int):
        return stated
    said = _AT_MOST.search(field.about)
    return int(said.group(1)) if said else None


def _has_room(field: InputField, target: dict[str, Any]) -> bool:
    room = _room(field)
    if field.kind != "array":
        return field.name not in target
    return room is None or len(target.get(field.name, ())) < room


def _put(media: Media, field: InputField, target: dict[str, Any]) -> Upload | None:
    value, upload = media.url, None
    index = len(target.get(field.name, ())) if field.kind == "array" else None
    if media.data is not None and "base64" in field.name:
        value = base64.b64encode(media.data).decode("ascii")
    elif media.data is not None and len(media.data) <= DATA_URI_LIMIT:
        value = data_uri(media.data, media_type(media))
    elif value is None:
        upload = Upload(field.name, index, media_type(media), media.data, media.path)
        value = f"(a file to be uploaded, {upload.mime_type})"
    if index is None:
        target[field.name] = value
    else:
        target.setdefault(field.name, []).append(value)
    return upload

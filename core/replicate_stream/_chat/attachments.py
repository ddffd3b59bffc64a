"""Media onto the model's own fields, one or many, as addresses, data URIs or bare base64.

What is too large for the request, or lies in a file, is left for the client to upload: nothing
here does I/O.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from replicate_stream._chat import fields
from replicate_stream._chat.media import DATA_URI_LIMIT, Media, MediaKind, data_uri, media_type
from replicate_stream._chat.report import Report
from replicate_stream._chat.said import Said
from replicate_stream._chat.schema import InputField, InputSchema
from replicate_stream._errors import InvalidInputError

_NAMES: tuple[tuple[MediaKind, re.Pattern[str]], ...] = (
    ("image", re.compile(r"image|img|photo|picture")),
    ("video", re.compile(r"video")),
    ("audio", re.compile(r"audio|speech|sound|voice")),
    ("file", re.compile(r"file|document|pdf")),
)
_NO_MEDIA = re.compile(
    r"size|resolution|width|height|detail|format|quality|prompt|caption|archive|name|weights|mask"
)
# Of inputs that are not declared as files, only those whose name says nothing else: `voice_style`
# is no audio.
_WORDS = re.compile(
    r"(?:(?:image|img|photo|picture|video|audio|file|document|pdf|input|url|uri|path|base64|b64|data)"
    r"s?\d*_?)+"
)
_TAGGED = re.compile(r"<(\w+)>(\w+)</\1>")
_EITHER = re.compile(r"\b(image|video|audio)(?: file)?s? or (image|video|audio)\b")
_AT_MOST = re.compile(r"\bmax(?:imum)?(?: of)? (\d+) (?:image|video|audio|file)")


@dataclass(frozen=True, slots=True)
class Upload:
    """Something that the client has to read or upload before the input is complete.

    Attributes:
        input_name: The input it belongs to; a placeholder stands there.
        index: Its place where that input is an array, else None.
        mime_type: Its media type.
        data: Its bytes; None if they are in a file.
        path: The local file; up to `DATA_URI_LIMIT` bytes are sent as a data URI.
    """

    input_name: str
    index: int | None
    mime_type: str
    data: bytes | None = field(default=None, repr=False)
    path: str | None = None


def place_upload(target: dict[str, Any], upload: Upload, uri: str) -> None:
    """Put the address of an uploaded file, or a data URI, where its placeholder stands."""
    if upload.index is None:
        target[upload.input_name] = uri
    else:
        target[upload.input_name][upload.index] = uri


def put_media(
    media: Sequence[Media], schema: InputSchema, target: dict[str, Any], report: Report
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
        own = [f for f in schema.fields.values() if each.kind in _kinds(f)]
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


def mentioned(said: Sequence[Said], schema: InputSchema, target: dict[str, Any]) -> list[Said]:
    """Messages that name their media, where the model's own example shows that a prompt has to.

    An example such as `<img>image1</img> What is this?` tells that the input `image1` is not looked
    at unless the text speaks of it. Call this when the media are in `target`.
    """
    text = fields.find_text(schema)
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


def takes_media(field: InputField) -> bool:
    """Whether an input is for an image, audio, video or another file."""
    return bool(_kinds(field))


def media_inputs(schema: InputSchema) -> set[MediaKind]:
    """The kinds of media that a model has an input for."""
    return {kind for field in schema.fields.values() for kind in _kinds(field)}


def _kinds(field: InputField) -> set[MediaKind]:
    if field.kind not in {"string", "array", "any"} or field.choices:
        return set()
    name = field.name.lower()
    if _NO_MEDIA.search(name):
        return set()
    kinds: set[MediaKind] = {kind for kind, names in _NAMES if names.search(name)}
    if not field.is_file and not (kinds and _WORDS.fullmatch(name)):
        return set()
    for pair in _EITHER.findall(field.about):
        kinds.update(pair)
    if not kinds:
        kinds = {kind for kind, names in _NAMES if names.search(field.about)} or {"file"}
    return kinds


def _in_order(own: Sequence[InputField], media: Media) -> list[InputField]:
    """The fields that can hold it, the best first.

    An array of objects has a form that no schema tells. Base64 is for bytes, and a bare list of
    addresses beside it for addresses.
    """
    usable = [f for f in own if f.kind != "array" or f.items in {"string", "any"}]
    has_base64 = any("base64" in f.name for f in usable)
    fitting = [f for f in usable if not has_base64 or ("base64" in f.name) == (media.url is None)]
    return sorted(fitting, key=fields.is_deprecated)


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

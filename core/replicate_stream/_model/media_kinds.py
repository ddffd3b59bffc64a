"""Which inputs of a model take images, audio, video or other files."""

from __future__ import annotations

import re

from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._types.media import MediaKind

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
_EITHER = re.compile(r"\b(image|video|audio)(?: file)?s? or (image|video|audio)\b")


def takes_media(field: InputField) -> bool:
    """Whether an input is for an image, audio, video or another file."""
    return bool(kinds_of_media(field))


def media_inputs(schema: InputSchema) -> set[MediaKind]:
    """The kinds of media that a model has an input for."""
    return {kind for field in schema.fields.values() for kind in kinds_of_media(field)}


def kinds_of_media(field: InputField) -> set[MediaKind]:
    """The kinds of media that an input takes; empty for an input that takes none."""
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

"""Recognize the inputs that take images, audio, video or other files."""

from __future__ import annotations

import re

from replicate_stream._model.input_schema import InputField
from replicate_stream._types.media import MediaKind

_NAMES: tuple[tuple[MediaKind, re.Pattern[str]], ...] = (
    ("image", re.compile(r"image|img|photo|picture")),
    ("video", re.compile(r"video")),
    ("audio", re.compile(r"audio|speech|sound|voice")),
    ("file", re.compile(r"file|document|pdf")),
)
_OTHER_NAMES = re.compile(
    r"size|resolution|width|height|detail|format|quality|prompt|caption|archive|name|weights|mask"
)
# An input that is not declared as a file must have a name of these words alone: `voice_style` is
# text.
_WORDS = re.compile(
    r"(?:(?:image|img|photo|picture|video|audio|file|document|pdf|input|url|uri|path|base64|b64|data)"
    r"s?\d*_?)+"
)
_ABOUT_TWO_KINDS = re.compile(r"\b(image|video|audio)(?: file)?s? or (image|video|audio)\b")


def get_media_kinds(field: InputField) -> set[MediaKind]:
    """Return the kinds of media that an input takes; empty for an input of another kind."""
    if field.kind not in {"string", "array", "any"} or field.choices:
        return set()
    name = field.name.lower()
    if _OTHER_NAMES.search(name):
        return set()
    kinds: set[MediaKind] = {kind for kind, names in _NAMES if names.search(name)}
    if not field.is_file and not (kinds and _WORDS.fullmatch(name)):
        return set()
    for pair in _ABOUT_TWO_KINDS.findall(field.description):
        kinds.update(pair)
    if not kinds:  # a file whose name leaves its kind open
        kinds = {kind for kind, names in _NAMES if names.search(field.description)} or {"file"}
    return kinds

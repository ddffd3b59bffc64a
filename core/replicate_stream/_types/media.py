"""Images, audio, video and files: parts of messages, in the forms that are in use.

Read here: OpenAI's, Anthropic's and LangChain's blocks, bytes, and local paths. Nothing is opened
or fetched. A path must be given as such (`"path"`): a `file:` address in a message that came from
somewhere else must not read this machine's files.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from replicate_stream._errors import InvalidInputError, wrong_type

MediaKind: TypeAlias = Literal["image", "audio", "video", "file"]

DATA_URI_LIMIT = 256 * 1024
"""Bytes up to which a file is sent inside the request (replicate-api.md 2.1)."""

_KINDS: Mapping[str, MediaKind] = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "audio_url": "audio",
    "input_audio": "audio",
    "audio": "audio",
    "video_url": "video",
    "input_video": "video",
    "video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
_USUAL_TYPE = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}
_SUFFIXES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
    "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg",
    "m4a": "audio/mp4", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
}  # fmt: skip
_BEGINNINGS = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_DATA_URI = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Media:
    """A part of a message that is no text. Exactly one of `url`, `data` and `path` is set.

    Attributes:
        kind: `image`, `audio`, `video` or `file`.
        mime_type: Its media type; None if it was not said.
        url: Where it can be fetched, `http:` or `https:`.
        data: Its bytes.
        path: A local file.
    """

    kind: MediaKind
    mime_type: str | None = None
    url: str | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    path: str | None = field(default=None, repr=False)


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


def read_media(part: Any, where: str) -> Media:
    """Read a part of a message.

    Args:
        part: `{"type": "image_url", "image_url": {"url": …}}`, `{"type": "image", "url" | "base64"
            | "data" | "path": …, "mime_type": …}`, and their like for the other kinds.
        where: What to call the message in an error.

    Raises:
        InvalidInputError: The part's type or form is not known, or its type does not fit its kind.
    """
    named = str(part.get("type")) if isinstance(part, Mapping) else type(part).__name__
    kind = _KINDS.get(named)
    if kind is None:
        raise InvalidInputError(
            f"{where} has a part of type {named!r}; text, {', '.join(_KINDS)} are known",
            fields=(where,),
        )
    media = _from_mapping(part, named, kind, where)
    _check_type(media, where)
    return media


def data_uri(data: bytes, mime_type: str) -> str:
    """Bytes as a `data:` URI."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def media_type(media: Media) -> str:
    """The media type as said, else as its bytes or its name tell, else the usual of its kind."""
    usual = _USUAL_TYPE.get(media.kind, "application/octet-stream")
    return media.mime_type or _seen_type(media) or usual


def _seen_type(media: Media) -> str | None:
    if media.path is not None:
        return _SUFFIXES.get(media.path.rpartition(".")[2].lower())
    data = media.data or b""
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12])
    return next((mime for start, mime in _BEGINNINGS if data.startswith(start)), None)


def _from_mapping(part: Mapping[str, Any], named: str, kind: MediaKind, where: str) -> Media:
    inner = part.get(named) or part.get("source") or part
    if named == "input_image":
        inner = part.get("image_url") or part
    if isinstance(inner, str):
        inner = {"url": inner}
    both = {**part, **inner} if isinstance(inner, Mapping) else dict(part)
    mime = both.get("mime_type") or both.get("media_type") or _mime_of(kind, both.get("format"))
    if mime is not None and not isinstance(mime, str):
        raise wrong_type(f"{where}.mime_type", mime, "a text")
    url = both.get("url") or both.get("file_url")
    text = both.get("base64") or both.get("data") or both.get("file_data")
    path = both.get("path")
    if isinstance(text, str) and text.startswith("data:"):
        url = text
    if isinstance(url, str):
        return _from_url(url, kind, mime, where)
    if isinstance(text, bytes | bytearray):
        return Media(kind, mime, data=bytes(text))
    if isinstance(text, str):
        return Media(kind, mime, data=_decoded(text, where))
    if path is not None:
        return Media(kind, mime, path=str(path))
    raise InvalidInputError(
        f"{where} has a part of type {named!r} without a url, base64, data or path",
        fields=(where,),
    )


def _mime_of(kind: MediaKind, suffix: Any) -> str | None:
    return f"{kind}/{suffix}" if isinstance(suffix, str) and kind != "file" else None


def _from_url(url: str, kind: MediaKind, mime: str | None, where: str) -> Media:
    match = _DATA_URI.fullmatch(url)
    if match is not None:
        stated, options, body = match.groups()
        if ";base64" not in options.lower():
            raise InvalidInputError(f"{where} has a data URI that is not base64", fields=(where,))
        return Media(kind, stated or mime, data=_decoded(body, where))
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidInputError(
            f"{where} has a {kind} whose address is neither http(s) nor a data URI; "
            'give a local file as {"path": …}',
            fields=(where,),
        )
    return Media(kind, mime, url=url)


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"{where} has data that is not base64", fields=(where,)) from error


def _check_type(media: Media, where: str) -> None:
    known = media.mime_type or _seen_type(media) or ""
    stated = known.partition("/")[0].lower()
    if stated and media.kind != "file" and stated not in {media.kind, "application"}:
        raise InvalidInputError(f"{where} gives {known} as its {media.kind}", fields=(where,))

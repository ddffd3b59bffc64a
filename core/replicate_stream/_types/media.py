"""Images, audio, video and files in messages: the parts of OpenAI, Anthropic and LangChain.

Nothing is opened or fetched here. A local file is only read for the key `"path"`: a `file:` URL in
a message from elsewhere must not read this machine's files.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeGuard

from replicate_stream._errors import InvalidInputError, wrong_type

MediaKind: TypeAlias = Literal["image", "audio", "video", "file"]

DATA_URI_LIMIT = 256 * 1024
"""The largest file that is sent inside the request, in bytes (docs/replicate-api.md 2.1)."""

_TEXT_TYPES = frozenset({"text", "input_text", "extract_text"})
_KINDS: Mapping[str, MediaKind] = {
    "image_url": "image", "input_image": "image", "image": "image",
    "audio_url": "audio", "input_audio": "audio", "audio": "audio",
    "video_url": "video", "input_video": "video", "video": "video",
    "file": "file", "input_file": "file", "document": "file",
}  # fmt: skip
_DEFAULT_TYPES = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}
_TYPES_BY_SUFFIX = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
    "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg",
    "m4a": "audio/mp4", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
}  # fmt: skip
_MAGIC_NUMBERS = (
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
    """An image, audio, video or file of a message. One of `url`, `data` and `path` is set.

    Attributes:
        kind: `image`, `audio`, `video` or `file`.
        mime_type: The media type as given, else as guessed by content or file name, else the
            kind's usual one.
        url: An `http:` or `https:` URL.
        data: The content.
        path: The path of a local file.
    """

    kind: MediaKind
    mime_type: str
    url: str | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    path: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the client has to read or upload before the input is complete.

    Attributes:
        input_name: The model's input, which holds a placeholder until then.
        index: The index in that input if it is a list, else None.
        mime_type: The media type.
        data: The content; None if it is in a local file.
        path: The local file; up to `DATA_URI_LIMIT` bytes are sent as a data URI.
    """

    input_name: str
    index: int | None
    mime_type: str
    data: bytes | None = field(default=None, repr=False)
    path: str | None = None


def place_upload(model_input: dict[str, Any], upload: Upload, uri: str) -> None:
    """Replace the placeholder of a file by its URL or data URI."""
    if upload.index is None:
        model_input[upload.input_name] = uri
    else:
        model_input[upload.input_name][upload.index] = uri


def is_text_part(part: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return True if a part of a message is a dict that holds text."""
    return isinstance(part, Mapping) and str(part.get("type", "text")) in _TEXT_TYPES


def parse_media(part: Any, path: str) -> Media:
    """Parse a part of a message that is not text.

    Args:
        part: `{"type": "image_url", "image_url": {"url": …}}`, `{"type": "image", "url" | "base64"
            | "data" | "path": …, "mime_type": …}`, and the same for the other kinds.
        path: The message's name in errors, e.g. `messages[0]`.

    Raises:
        InvalidInputError: The part has an unknown type or lacks its content, or its media type
            contradicts its kind.
    """
    part_type = str(part.get("type")) if isinstance(part, Mapping) else type(part).__name__
    kind = _KINDS.get(part_type)
    if kind is None:
        known = ", ".join(_KINDS)
        raise _invalid(f"a part of type {part_type!r}; it must be text, {known}", path)
    media = _from_mapping(part, part_type, kind, path)
    default = _DEFAULT_TYPES.get(kind, "application/octet-stream")
    mime_type = media.mime_type or _guess_type(media) or default
    # `application/octet-stream` fits every kind, and a file may be anything.
    if kind != "file" and mime_type.partition("/")[0].lower() not in {kind, "application"}:
        raise _invalid(f"{mime_type} as its {kind}", path)
    return replace(media, mime_type=mime_type)


def to_data_uri(data: bytes, mime_type: str) -> str:
    """Encode bytes as a `data:` URI."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def _guess_type(media: Media) -> str | None:
    if media.path is not None:
        return _TYPES_BY_SUFFIX.get(media.path.rpartition(".")[2].lower())
    data = media.data or b""
    # RIFF is a container; the format of its content follows the length.
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12])
    return next((mime for start, mime in _MAGIC_NUMBERS if data.startswith(start)), None)


def _from_mapping(part: Mapping[str, Any], part_type: str, kind: MediaKind, path: str) -> Media:
    inner = part.get(part_type) or part.get("source") or part
    if part_type == "input_image":
        inner = part.get("image_url") or part
    if isinstance(inner, str):
        inner = {"url": inner}
    # The content may stand in the part itself or one level down; keys of the inner level win.
    merged = {**part, **inner} if isinstance(inner, Mapping) else dict(part)
    mime_type = merged.get("mime_type") or merged.get("media_type") or ""
    suffix = merged.get("format")
    if not mime_type and isinstance(suffix, str) and kind != "file":
        mime_type = f"{kind}/{suffix}"
    if not isinstance(mime_type, str):
        raise wrong_type(f"{path}.mime_type", mime_type, "a string")
    url = merged.get("url") or merged.get("file_url")
    content = merged.get("base64") or merged.get("data") or merged.get("file_data")
    if isinstance(content, str) and content.startswith("data:"):
        url = content
    if isinstance(url, str):
        return _from_url(url, kind, mime_type, path)
    if isinstance(content, bytes | bytearray):
        return Media(kind, mime_type, data=bytes(content))
    if isinstance(content, str):
        return Media(kind, mime_type, data=_decode_base64(content, path))
    if merged.get("path") is not None:
        return Media(kind, mime_type, path=str(merged["path"]))
    raise _invalid(f"a part of type {part_type!r} without a url, base64, data or path", path)


def _from_url(url: str, kind: MediaKind, mime_type: str, path: str) -> Media:
    match = _DATA_URI.fullmatch(url)
    if match is not None:
        declared, options, body = match.groups()
        if ";base64" not in options.lower():
            raise _invalid("a data URI that is not base64", path)
        return Media(kind, declared or mime_type, data=_decode_base64(body, path))
    if not url.lower().startswith(("http://", "https://")):
        raise _invalid(
            f"a {kind} whose URL is neither http(s) nor a data URI; "
            'pass a local file as {"path": …}',
            path,
        )
    return Media(kind, mime_type, url=url)


def _decode_base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("data that is not base64", path) from error


def _invalid(content: str, path: str) -> InvalidInputError:
    return InvalidInputError(f"{path} has {content}", fields=(path,))

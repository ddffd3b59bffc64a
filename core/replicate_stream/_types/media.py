"""Images, audio, video and files of messages. Their media type decides which of these they are.

Nothing is opened or fetched here. A local file is named by an `os.PathLike` under the key `"path"`.
Text never names one, not even a `file:` URL: a message that came as JSON from somebody else would
read this machine's files.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from replicate_stream._errors import InvalidInputError, wrong_type

MediaKind: TypeAlias = Literal["image", "audio", "video", "file"]

MEDIA_KINDS: Mapping[str, MediaKind] = {
    "image": "image", "image_url": "image", "input_image": "image", "computer_screenshot": "image",
    "image_generation_call": "image",
    "audio": "audio", "audio_url": "audio", "input_audio": "audio",
    "video": "video", "video_url": "video", "input_video": "video",
    "file": "file", "input_file": "file", "document": "file", "text_plain": "file",
    "search_result": "file", "resource": "file", "document_url": "file",
    "media": "file", "inline_data": "file", "file_data": "file",
}  # fmt: skip
"""The types of blocks that hold media, in snake case."""

DATA_URI_LIMIT = 256 * 1024
"""The largest file that is sent inside the request, in bytes (docs/replicate-api.md 2.1)."""

_DEFAULT_TYPES = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}
TYPES_BY_SUFFIX = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
    "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg",
    "m4a": "audio/mp4", "pdf": "application/pdf", "txt": "text/plain", "log": "text/plain",
    "md": "text/markdown", "markdown": "text/markdown", "csv": "text/csv",
    "tsv": "text/tab-separated-values", "html": "text/html", "htm": "text/html",
    "json": "application/json", "jsonl": "application/jsonl", "xml": "application/xml",
    "yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
}  # fmt: skip
"""Media types by the ends of file names."""

_MAGIC_NUMBERS = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
# Types that do not tell audio and video from files.
_GENERIC_TYPES = frozenset(
    {"application/octet-stream", "binary/octet-stream", "application/mp4", "application/ogg"}
)
_URL_KEYS = ("url", "file_url", "file_uri", "uri", "image_url", "audio_url", "video_url")
_DATA_KEYS = ("base64", "data", "file_data", "bytes", "blob", "result")
_URL_STARTS = ("data:", "http://", "https://")
_PATHS = "a local file is passed as {'path': pathlib.Path(…)}, because text may be somebody else's"
_TEXT_TYPE = re.compile(
    r"application/(?:[\w.-]+[+-])?(?:json|jsonl|ndjson|xml|yaml|toml|sql|javascript)"
)
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+ *(?:;[ -~]*)?", re.ASCII)
# No word of a text is as long as a file in base64, which may be broken into lines.
_LONG_WORD = re.compile(
    r"(?<![A-Za-z0-9+/=_-])(?:[A-Za-z0-9+/=_-]{2000,}|(?:[A-Za-z0-9+/=_-]{60,}(?:\\r)?\\n){100,})"
)
# A sequence of one alphabet, such as a genome's or a number in hexadecimal, is a text.
_ALPHABETS = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9]"))
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
        keys: The place of its placeholder: the model's input, and the keys and indices inside it.
        mime_type: The media type.
        data: The content; None if it is in a local file.
        path: The local file.
        is_inline: True to send a data URI of any size, False up to `DATA_URI_LIMIT` bytes.
    """

    keys: tuple[Any, ...]
    mime_type: str
    data: bytes | None = field(default=None, repr=False)
    path: str | None = None
    is_inline: bool = False

    @property
    def input_name(self) -> str:
        """The model's input."""
        return str(self.keys[0])


def is_text_type(mime_type: str) -> bool:
    """Return True if a file of this media type is a text: `text/csv`, `application/json`."""
    name = mime_type.partition(";")[0].strip().lower()
    return name.startswith("text/") or bool(_TEXT_TYPE.fullmatch(name))


def place_upload(model_input: dict[str, Any], upload: Upload, uri: str) -> None:
    """Replace the placeholder of a file by its URL or data URI."""
    holder: Any = model_input
    for key in upload.keys[:-1]:
        holder = holder[key]
    holder[upload.keys[-1]] = uri


def parse_media(block_type: str, fields: Mapping[str, Any], path: str) -> Media:
    """Parse a block that holds media.

    Args:
        block_type: One of `MEDIA_KINDS`. A media type that contradicts it wins.
        fields: The block's keys in snake case, with those of its inner dicts.
        path: The block's place in errors, e.g. `messages[0].content[1]`.

    Raises:
        InvalidInputError: The block lacks its content.
    """
    kind = MEDIA_KINDS[block_type]
    mime_type = fields.get("mime_type") or fields.get("media_type") or ""
    if not isinstance(mime_type, str):
        raise wrong_type(f"{path}.mime_type", mime_type, "a string")
    suffix = mime_type or fields.get("format")
    if isinstance(suffix, str) and "/" not in mime_type:
        mime_type = _find_type(suffix, kind) or ("" if kind == "file" else f"{kind}/{suffix}")
    media = _find_content(kind, fields, mime_type, path)
    if media is None:
        sources = "a url, base64, data or path"
        raise _invalid(f"a block of type {block_type!r} without {sources}", path)
    if not media.mime_type or media.mime_type.lower() in _GENERIC_TYPES:
        default = media.mime_type or _DEFAULT_TYPES.get(kind, "application/octet-stream")
        media = replace(media, mime_type=_guess_type(media) or default)
    if not _MEDIA_TYPE.fullmatch(media.mime_type):  # it is written into a header of the upload
        raise _invalid("a mime_type that is no media type, such as image/png", path)
    return replace(media, kind=_find_kind(media.mime_type, kind))


def to_data_uri(data: bytes, mime_type: str) -> str:
    """Encode bytes as a `data:` URI."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def holds_base64(text: str) -> bool:
    """Return True if JSON holds a file in base64."""
    return any(map(_is_encoded, _LONG_WORD.findall(text)))


def _is_encoded(word: str) -> bool:
    word = word.replace("\\n", "").replace("\\r", "")
    return all(letters.search(word) for letters in _ALPHABETS)


def _find_kind(mime_type: str, kind: MediaKind) -> MediaKind:
    main: Any = mime_type.partition("/")[0].strip().lower()
    if main in _DEFAULT_TYPES:
        found: MediaKind = main
        return found
    return kind if mime_type.lower() in _GENERIC_TYPES else "file"


def _find_type(suffix: str, kind: MediaKind) -> str | None:
    return _fit_container(TYPES_BY_SUFFIX.get(suffix.lower()), kind)


def _fit_container(mime_type: str | None, kind: MediaKind) -> str | None:
    """Give a type the main type of its block: the same containers hold audio and video."""
    if mime_type and {kind, mime_type[:5]} == {"audio", "video"}:
        return kind + mime_type[5:]
    return mime_type


def _guess_type(media: Media) -> str | None:
    if media.path is not None:
        return _find_type(media.path.rpartition(".")[2], media.kind)
    data = media.data or b""
    # RIFF is a container; the format of its content follows the length.
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12])
    guess = next((mime for start, mime in _MAGIC_NUMBERS if data.startswith(start)), None)
    return _fit_container(guess, media.kind)


def _find_content(
    kind: MediaKind, fields: Mapping[str, Any], mime_type: str, path: str
) -> Media | None:
    given = (fields.get(key) for key in _DATA_KEYS)
    content = next((each for each in given if each and isinstance(each, str | bytes)), None)
    url = next((fields[key] for key in _URL_KEYS if isinstance(fields.get(key), str)), None)
    content = content or url or fields.get("value")
    # A URL may stand wherever base64 may.
    if isinstance(content, str) and (content is url or content.startswith(_URL_STARTS)):
        return _from_url(content, kind, mime_type, path)
    if isinstance(content, bytes):
        return Media(kind, mime_type, data=content)
    if isinstance(content, str):
        return Media(kind, mime_type, data=_decode_base64(content, path))
    local: Any = fields.get("path")
    if local is None:
        return None
    name = local.__fspath__() if hasattr(type(local), "__fspath__") else None
    if not isinstance(name, str):
        raise _invalid(
            f"{kind} content whose path is of type {type(local).__name__}; {_PATHS}", path
        )
    return Media(kind, mime_type, path=name)


def _from_url(url: str, kind: MediaKind, mime_type: str, path: str) -> Media:
    match = _DATA_URI.fullmatch(url)
    if match is not None:
        declared, options, body = match.groups()
        if ";base64" not in options.lower():
            raise _invalid("a data URI that is not base64", path)
        return Media(kind, declared or mime_type, data=_decode_base64(body, path))
    if not url.lower().startswith(("http://", "https://")):
        raise _invalid(
            f"{kind} content whose URL is neither http(s) nor a data URI; {_PATHS}", path
        )
    return Media(kind, mime_type, url=url)


def _decode_base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("data that is not base64", path) from error


def _invalid(content: str, path: str) -> InvalidInputError:
    return InvalidInputError(f"{path} has {content}", fields=(path.partition(".")[0],))

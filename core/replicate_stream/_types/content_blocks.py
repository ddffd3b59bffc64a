"""Parse content blocks: one table of the forms in which providers write them.

Text, media, calls and results are kept. Reasoning and marks of prompt caches are left out, and so
is what only a provider's own server did, with a note. Anything else is an error. Types and keys are
compared in snake case: Bedrock's `toolUse` is Anthropic's `tool_use`.

Sources: OpenAI (platform.openai.com/docs/api-reference/chat and /responses), Anthropic
(docs.claude.com/en/api/messages), Amazon Bedrock (docs.aws.amazon.com/bedrock/latest/APIReference,
`ContentBlock`), Google (ai.google.dev/api/caching, `Part`), MCP (modelcontextprotocol.io, tools),
and `langchain_core.messages.content`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from replicate_stream._errors import InvalidInputError
from replicate_stream._types.media import (
    MEDIA_KINDS,
    Media,
    holds_base64,
    is_text_type,
    parse_media,
)
from replicate_stream._types.messages import ToolCall

# Blocks without a type have one key, which is it: Bedrock's and Google's. Those of files have a
# `source` in them.
_UNTYPED_FILES = frozenset({"image", "document", "video", "audio"})
_UNTYPED = _UNTYPED_FILES.union(
    ("text", "json", "tool_use", "tool_result", "guard_content", "reasoning_content"),
    ("inline_data", "file_data", "function_call", "function_response", "executable_code"),
    ("code_execution_result", "cache_point", "citations_content", "search_result"),
)
# Other keys of such a block that are no content.
_DECORATIONS = frozenset(
    {"thought", "thought_signature", "video_metadata", "media_resolution", "part_metadata", "id"}
    | {"index", "annotations", "citations", "cache_control"}
)
_TEXT_KEYS = ("value", "text", "content")
_ARGUMENT_KEYS = ("input", "args", "arguments", "action", "operation", "partial_json")
_ID_KEYS = ("call_id", "tool_use_id", "tool_call_id", "id")
_RESULT_KEYS = ("content", "output", "value", "tools")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Section(NamedTuple):
    """A text that stands in paragraphs of its own, such as a document."""

    text: str


class Result(NamedTuple):
    """The result of a tool, which is a message of its own.

    Attributes:
        call_id: The id of the call; None if the block has none.
        name: The tool's name; None if the block has none.
        text: The text.
        media: The media, in their order.
    """

    call_id: str | None
    name: str | None
    text: str
    media: tuple[Media, ...]


class LeftOut(NamedTuple):
    """Something that a provider's own server did, which no other model can use.

    Attributes:
        block_type: The block's type.
    """

    block_type: str


Piece: TypeAlias = str | Section | Media | ToolCall | Result | LeftOut
ReadFile: TypeAlias = Callable[[str, str], bytes]
"""Reads a local file: its path, and the place of its block in errors."""


class _Block(NamedTuple):
    type: str
    fields: dict[str, Any]  # by keys in snake case, those of inner dicts included
    path: str
    is_result: bool
    read: ReadFile | None

    def parse_inner(self, blocks: Any, path: str, *, is_result: bool) -> Iterator[Piece]:
        return parse_blocks(blocks, path, is_result=is_result, read=self.read)


def parse_blocks(
    blocks: Any, path: str, *, is_result: bool, read: ReadFile | None = None
) -> Iterator[Piece]:
    """Parse a list of blocks, or a single one.

    Args:
        blocks: Strings and dicts. None is an empty list.
        path: The place of the blocks in errors, e.g. `messages[0].content`.
        is_result: True in the result of a tool, where other values are data, written as JSON.
        read: Reads the local files that are texts; None leaves them as media.

    Raises:
        InvalidInputError: A block is of an unknown type or lacks its content. The message names its
            type and place.
    """
    if blocks is None:
        return
    if isinstance(blocks, Sequence) and not isinstance(blocks, str | bytes):
        for index, block in enumerate(blocks):
            yield from _parse_block(block, f"{path}[{index}]", is_result, read)
    else:
        yield from _parse_block(blocks, path, is_result, read)


def join_texts(pieces: Iterable[Piece]) -> str:
    """Join the texts of pieces, with an empty line around each section."""
    texts: list[str] = []
    is_after_section = False
    for piece in pieces:
        is_section = isinstance(piece, Section)
        text = piece.text if isinstance(piece, Section) else piece
        if isinstance(text, str) and text:
            texts += ["\n\n", text] if texts and (is_section or is_after_section) else [text]
            is_after_section = is_section
    return "".join(texts)


def find_media(pieces: Iterable[Piece]) -> tuple[Media, ...]:
    """Find the media among pieces."""
    return tuple(piece for piece in pieces if isinstance(piece, Media))


def _parse_block(block: Any, path: str, is_result: bool, read: ReadFile | None) -> Iterator[Piece]:
    if isinstance(block, str):
        yield block
        return
    block_type = _find_type(block, is_result) if isinstance(block, Mapping) else None
    if block_type is not None:
        fields = _flatten(block, block_type)
        if not isinstance(block.get("type"), str):
            fields.pop("path", None)  # data with this key must not read this machine's files
        yield from _PARSERS[block_type](_Block(block_type, fields, path, is_result, read))
    elif is_result and not (isinstance(block, Mapping) and "type" in block):
        yield Section(_to_json(block, path))
    else:
        raise _unknown(block, path)


def _find_type(block: Mapping[Any, Any], is_result: bool) -> str | None:
    if isinstance(block.get("type"), str):
        block_type = _to_snake(block["type"])
        return block_type if block_type in _PARSERS else None
    if block.get("thought") is True:
        return "thought"
    given = {_to_snake(key): value for key, value in block.items() if value is not None}
    found = [key for key, value in given.items() if key in _UNTYPED and _is_content(key, value)]
    # A tool's own data may have such a key among others.
    is_block = len(found) == 1 and not (is_result and given.keys() - _DECORATIONS - {*found})
    return found[0] if is_block else None


def _is_content(key: str, value: Any) -> bool:
    if key in {"text", "json"}:
        return key == "json" or isinstance(value, str)
    return isinstance(value, Mapping) and (key not in _UNTYPED_FILES or "source" in value)


def _flatten(block: Mapping[Any, Any], block_type: str) -> dict[str, Any]:
    """Merge the inner dicts, which hold the content in most forms; their keys win."""
    fields = {_to_snake(key): value for key, value in block.items()}
    for key in (block_type, "source", "image_url", "s3_location"):
        inner = fields.get(key)
        if isinstance(inner, Mapping) and block_type != "json":
            fields |= {_to_snake(key): value for key, value in inner.items()}
        elif key == block_type and inner is not None:
            fields["value"] = inner
    return fields


def _to_snake(key: object) -> str:
    return _CAPITAL.sub(r"_\1", str(key)).lower().replace("-", "_")


# Texts and files


def _parse_text(block: _Block) -> Iterator[Piece]:
    keys = [key for key in _TEXT_KEYS if key in block.fields]
    if not keys:
        raise _invalid(f"a block of type {block.type!r} without a text", block.path)
    yield from block.parse_inner(block.fields[keys[0]], block.path, is_result=block.is_result)


def _parse_json(block: _Block) -> Iterator[Piece]:
    if "value" not in block.fields:
        raise _invalid("a block of type 'json' without its value", block.path)
    yield Section(_to_json(block.fields["value"], block.path))


def _parse_wrapped(block: _Block) -> Iterator[Piece]:
    inner = block.fields.get(block.type, block.fields.get("value"))
    if block.type == "guard_content" and isinstance(inner, Mapping) and len(inner) == 1:
        ((key, value),) = inner.items()  # Bedrock's, whose text is in a dict
        inner = {**value, "type": key, "path": None} if isinstance(value, Mapping) else inner
    yield from _parse_block(inner, block.path, block.is_result, block.read)


def _parse_link(block: _Block) -> Iterator[Piece]:
    yield Section(_join_lines(block.fields, "title", "name", "uri", "url", "description"))


def _parse_media(block: _Block) -> Iterator[Piece]:
    fields = block.fields
    content, heading = None, ""
    if MEDIA_KINDS[block.type] == "file":
        # Frameworks keep what they do not know in `extras`.
        extras = fields.get("extras")
        named = {**(extras if isinstance(extras, Mapping) else {}), **fields}
        heading = _join_lines(named, "title", "name", "context", "source")
        content = fields.get("data" if fields.get("type") == "text" else "text")
        content = fields.get("content") if content is None else content
        if isinstance(fields.get("data"), Mapping):  # Cohere's
            content = {"type": "json", "json": fields["data"]}
    if content is not None:
        inner = block.parse_inner(content, f"{block.path}.content", is_result=block.is_result)
        pieces = list(inner)
    else:
        media = parse_media(block.type, fields, block.path)
        text = _decode_text(media, block)
        pieces = [media if text is None else text]
    text = join_texts([heading, "\n" if heading else "", *pieces]).strip("\r\n")
    if text:
        yield Section(text)
    yield from (piece for piece in pieces if not isinstance(piece, str | Section))


def _decode_text(media: Media, block: _Block) -> str | None:
    """The text of a file that is one; None for other files, and for those that are elsewhere."""
    if not is_text_type(media.mime_type):
        return None
    data = media.data
    if media.path is not None and block.read is not None:
        data = block.read(media.path, block.path)
    try:
        return None if data is None else data.decode("utf-8-sig")  # spreadsheets write the mark
    except UnicodeDecodeError:
        return None


def _join_lines(fields: Mapping[str, Any], *keys: str) -> str:
    return "\n".join(fields[key] for key in keys if isinstance(fields.get(key), str))


# Calls and results


def _parse_call(block: _Block) -> Iterator[Piece]:
    fields = block.fields
    given = (fields.get(key) for key in _ARGUMENT_KEYS)
    arguments: Any = next((value for value in given if value not in (None, "", {})), {})
    if block.type == "custom_tool_call":
        arguments = {"input": arguments or ""}
    elif not isinstance(arguments, Mapping | str):
        arguments = _to_json(arguments, block.path)
    name = fields.get("name") or fields.get("tool_name")
    if block.type in _BUILT_IN_CALLS:
        name = block.type.removesuffix("_call")
    yield ToolCall(_find_id(fields) or "", str(name or ""), arguments)


def _parse_result(block: _Block) -> Iterator[Piece]:
    fields = block.fields
    contents = [fields.get(key) for key in _RESULT_KEYS if fields.get(key) is not None][:1]
    if "response" in fields:
        contents = [_unwrap_response(fields["response"])]
    pieces: list[Piece] = []
    for content in (*contents, fields.get("parts")):
        pieces += block.parse_inner(content, f"{block.path}.content", is_result=True)
    if any(isinstance(piece, ToolCall) for piece in pieces):
        raise _invalid("a call in the result of a tool", block.path)
    yield from (piece for piece in pieces if isinstance(piece, LeftOut))
    inner = [piece for piece in pieces if isinstance(piece, Result)]
    text = join_texts([*pieces, *(Section(each.text) for each in inner)])
    is_failed = fields.get("is_error") or str(fields.get("status")).lower() == "error"
    # A prompt has no other place for the status.
    if is_failed and not text.lstrip().lower().startswith("error"):
        text = f"Error: {text}"
    media = (*find_media(pieces), *(media for each in inner for media in each.media))
    name = fields.get("name")
    yield Result(_find_id(fields), name if isinstance(name, str) else None, text, media)


def _unwrap_response(response: Any) -> Any:
    """Google's response is data, with keys of choice; a text stands under one of two by custom."""
    if isinstance(response, Mapping) and len(response) == 1:
        ((key, value),) = response.items()
        if key in {"output", "result"} and isinstance(value, str):
            return value
    return {"json": response}


def _parse_server_result(block: _Block) -> Iterator[Piece]:
    """Keep what can be read of a server's result; some is for that provider only."""
    fields = block.fields
    content = next((fields[key] for key in _RESULT_KEYS if fields.get(key)), None)
    if printed := [fields[key] for key in ("stdout", "stderr") if fields.get(key)]:
        content = "\n".join(map(str, printed))
    pieces: list[Piece] = []
    for each in (content, {"json": content}):  # as blocks, else as data
        try:
            pieces = list(block.parse_inner(each, block.path, is_result=True))
            break
        except InvalidInputError:
            continue
    text = join_texts(pieces)
    yield Section(text) if text else LeftOut(block.type)
    yield from find_media(pieces)


def _parse_image_generation(block: _Block) -> Iterator[Piece]:
    yield from _parse_media(block) if block.fields.get("result") else _leave_out(block)


def _leave_out(block: _Block) -> Iterator[Piece]:
    yield LeftOut(block.type)


def _ignore(_: _Block) -> Iterator[Piece]:
    return iter(())


def _find_id(fields: Mapping[str, Any]) -> str | None:
    return next((str(fields[key]) for key in _ID_KEYS if fields.get(key)), None)


# Data and errors


def _to_json(value: Any, path: str) -> str:
    """Write a tool's data as JSON, which must not hold a file."""

    def convert(value: object) -> str:
        if isinstance(value, bytes | bytearray):
            raise _holds_file(path)
        return str(value)

    text = json.dumps(value, ensure_ascii=False, default=convert)
    if holds_base64(text):
        raise _holds_file(path)
    return text


def _holds_file(path: str) -> InvalidInputError:
    return _invalid("a file in data; send it as a block of type 'image' or 'file'", path)


def _unknown(block: Any, path: str) -> InvalidInputError:
    kind = type(block).__name__
    if isinstance(block, Mapping):
        kind = str(block["type"])[:60] if "type" in block else "none"
    known = "text, image, audio, video, file, document, tool_use, tool_result"
    return _invalid(f"a block of type {kind!r}; known types are {known} and their variants", path)


def _invalid(content: str, path: str) -> InvalidInputError:
    return InvalidInputError(f"{path} has {content}", fields=(path.partition(".")[0],))


# Tools that OpenAI defines and the caller runs.
_BUILT_IN_CALLS = ("computer_call", "shell_call", "local_shell_call", "apply_patch_call")
_FORMS: tuple[tuple[Callable[[_Block], Iterator[Piece]], str], ...] = (
    (_parse_text, "text input_text output_text extract_text refusal compaction citations_content"),
    (_parse_json, "json"),
    (_parse_wrapped, "guard_content non_standard"),
    (_parse_link, "resource_link web_search_result"),
    (_parse_media, " ".join(MEDIA_KINDS)),
    (_parse_image_generation, "image_generation_call"),
    (_parse_call, "tool_use tool_call tool_call_chunk invalid_tool_call function function_call"),
    (_parse_call, " ".join(("custom_tool_call", *_BUILT_IN_CALLS))),
    (_parse_result, "tool_result function_response function_call_output custom_tool_call_output"),
    (_parse_result, " ".join(f"{each}_output" for each in _BUILT_IN_CALLS)),
    (_parse_server_result, "server_tool_result mcp_tool_result web_search_tool_result"),
    (_parse_server_result, "web_fetch_tool_result tool_search_tool_result tool_search_output"),
    (_parse_server_result, "code_execution_tool_result bash_code_execution_tool_result"),
    (_parse_server_result, "text_editor_code_execution_tool_result code_execution_result"),
    (_leave_out, "server_tool_use mcp_tool_use server_tool_call server_tool_call_chunk"),
    (_leave_out, "web_search_call file_search_call code_interpreter_call tool_search_call"),
    (_leave_out, "mcp_call mcp_list_tools mcp_approval_request mcp_approval_response"),
    (_leave_out, "executable_code container_upload input_json_delta"),
    (_leave_out, "tool_reference item_reference reference"),
    (_ignore, "thinking redacted_thinking reasoning reasoning_content thought"),
    (_ignore, "cache_point cache function_call_signature"),
)
_PARSERS = {name: parser for parser, names in _FORMS for name in names.split()}

"""The framework's messages and blocks as the core's."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms import ChatMessage, MessageRole
from pydantic import BaseModel

from llama_index_replicate_stream._to_core import to_core
from replicate_stream import InvalidInputError, Message, ToolCall

PNG = b"\x89PNG\r\n\x1a\n\xff\xfe"


def content_of(*blocks: Any) -> Any:
    (message,) = to_core([ChatMessage(role="user", blocks=list(blocks))])
    return message.content


@pytest.mark.parametrize(
    ("role", "told"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "system"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_every_role_is_told(role: MessageRole, told: Any) -> None:
    assert to_core([ChatMessage(role=role, content="x")]) == [Message(told, "x")]


def test_no_role_of_the_framework_is_forgotten() -> None:
    to_core([ChatMessage(role=role, content="x") for role in MessageRole])


def test_texts_are_joined_as_the_framework_joins_them() -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert to_core([message])[0].content == message.content == "one\ntwo"


def test_thoughts_and_cache_points_are_not_said_again() -> None:
    cache = CachePoint(cache_control=CacheControl(type="ephemeral"))
    assert content_of(ThinkingBlock(content="hm"), TextBlock(text="Well"), cache) == "Well"


def test_tool_calls_and_their_answers_are_told() -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs={"q": "é"})
    told = to_core(
        [
            ChatMessage(role="assistant", blocks=[TextBlock(text="Well"), call]),
            ChatMessage(role="tool", content="found", additional_kwargs={"tool_call_id": "c1"}),
        ]
    )
    assert told == [
        Message("assistant", "Well", tool_calls=(ToolCall("c1", "search", {"q": "é"}),)),
        Message("tool", "found", tool_call_id="c1"),
    ]


def test_media_stand_beside_their_text() -> None:
    assert content_of(TextBlock(text="what?"), ImageBlock(url="https://x.example/a.png")) == [
        {"type": "text", "text": "what?"},
        {"type": "image", "mime_type": "image/png", "url": "https://x.example/a.png"},
    ]


def test_what_a_citable_block_holds_is_told() -> None:
    block = CitableBlock(title="T", source="S", content=[TextBlock(text="a"), TextBlock(text="b")])
    assert content_of(block) == "a\nb"


def test_a_local_file_is_told_by_its_path(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    assert content_of(ImageBlock(path=picture)) == [
        {"type": "image", "mime_type": "image/png", "path": str(picture)}
    ]


@pytest.mark.parametrize(
    ("block", "about"),
    [
        (ImageBlock(image=PNG), {"type": "image", "mime_type": "image/png"}),
        (AudioBlock(audio=b"ID3\x03\xff", format="mp3"), {"type": "audio", "format": "mp3"}),
        (
            VideoBlock(video=b"\x00\xffvideo", video_mimetype="video/mp4"),
            {"type": "video", "mime_type": "video/mp4"},
        ),
        (
            DocumentBlock(data=b"%PDF-1.7\xff", document_mimetype="application/pdf"),
            {"type": "file", "mime_type": "application/pdf"},
        ),
    ],
)
def test_bytes_are_told_as_base64(block: Any, about: dict[str, str]) -> None:
    (part,) = content_of(block)
    assert {**about, "base64": part["base64"]} == part
    raw = {"image": PNG, "audio": b"ID3\x03\xff", "video": b"\x00\xffvideo"}
    assert base64.b64decode(part["base64"]) == raw.get(part["type"], b"%PDF-1.7\xff")


def test_an_open_file_is_told_whole_each_time_and_stays_where_it_was() -> None:
    file = io.BytesIO(PNG)
    file.seek(3)
    block = ImageBlock(image=file)
    for _ in range(2):
        assert content_of(block) == [{"type": "image", "data": PNG}]
    assert file.tell() == 3


def test_a_block_of_an_unknown_kind_is_an_error_that_names_it() -> None:
    class Hologram(BaseModel):
        block_type: str = "hologram"

    message = ChatMessage(role="user", content="x")
    message.blocks.append(Hologram())  # type: ignore[arg-type]  # a later version's block
    with pytest.raises(InvalidInputError, match=r"messages\[0\] has a Hologram"):
        to_core([message])


def test_the_messages_are_not_changed() -> None:
    messages = [
        ChatMessage(role="system", content="S"),
        ChatMessage(role="user", blocks=[TextBlock(text="a"), ImageBlock(image=PNG)]),
        ChatMessage(role="tool", content="x", additional_kwargs={"tool_call_id": "c1"}),
    ]
    before = [message.model_dump() for message in messages]
    to_core(messages)
    assert [message.model_dump() for message in messages] == before

"""Media in messages, in every format that LangChain knows; content blocks of answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    messages_from_dict,
)

from langchain_replicate_stream import ChatReplicate
from replicate_stream import InvalidInputError
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]

MODEL = "some/model-that-sees"
URI = {"type": "string", "format": "uri"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "system_prompt": {"type": "string"},
        "images": {"type": "array", "items": URI},
        "audio": URI,
        "video": URI,
        "document": URI,
    },
}
URL = "https://example.com/one"
PNG, WAV, MP4, PDF = (
    base64.b64encode(start + b"rest").decode()
    for start in (b"\x89PNG\r\n\x1a\n", b"RIFF0000WAVE", b"0000ftypmp42", b"%PDF-1.7 ")
)


def data(mime: str, body: str) -> str:
    return f"data:{mime};base64,{body}"


FORMS: list[tuple[str, Any, dict[str, Any]]] = [
    ("images", [URL], {"type": "image", "url": URL}),
    (
        "images",
        [data("image/png", PNG)],
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
    ),
    ("images", [URL], {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}),
    ("images", [URL], {"type": "image_url", "image_url": URL}),
    (
        "images",
        [data("image/png", PNG)],
        {"type": "image_url", "image_url": {"url": data("image/png", PNG)}},
    ),
    (
        "images",
        [data("image/png", PNG)],
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            "cache_control": {"type": "ephemeral"},
        },
    ),
    ("images", [URL], {"type": "image", "source": {"type": "url", "url": URL}}),
    ("images", [URL], {"type": "image", "source_type": "url", "url": URL}),
    (
        "images",
        [data("image/png", PNG)],
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
    ),
    (
        "audio",
        data("audio/wav", WAV),
        {"type": "audio", "base64": WAV, "mime_type": "audio/wav"},
    ),
    (
        "audio",
        data("audio/wav", WAV),
        {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
    ),
    ("audio", URL, {"type": "audio", "url": URL}),
    (
        "video",
        data("video/mp4", MP4),
        {"type": "video", "base64": MP4, "mime_type": "video/mp4"},
    ),
    ("video", URL, {"type": "video", "url": URL}),
    (
        "document",
        data("application/pdf", PDF),
        {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
    ),
    (
        "document",
        data("application/pdf", PDF),
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": data("application/pdf", PDF)},
        },
    ),
    ("document", URL, {"type": "file", "url": URL, "mime_type": "application/pdf"}),
]
BY_ID: list[tuple[str, dict[str, Any]]] = [
    ("images", {"type": "image", "file_id": "abc"}),
    ("audio", {"type": "audio", "file_id": "abc"}),
    ("video", {"type": "video", "file_id": "abc"}),
    ("document", {"type": "file", "file_id": "abc"}),
    ("document", {"type": "file", "file": {"file_id": "abc"}}),
    ("images", {"type": "image", "source": {"type": "file", "file_id": "abc"}}),
    ("images", {"type": "image", "source_type": "id", "id": "abc"}),
    ("images", {"type": "non_standard", "value": {"type": "image", "file_id": "abc"}}),
    (
        "images",
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "image", "file_id": "abc"}]},
        },
    ),
    (
        "images",
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_image", "file_id": "abc"}],
        },
    ),
]


@pytest.fixture
def multimodal_llm(make_llm: MakeLLM, replicate_emulator: Emulator) -> ChatReplicate:
    """A model with inputs for everything."""
    replicate_emulator.add_model(MODEL, SCHEMA, official=True)
    return make_llm(model=MODEL)


def make_conversation(message: type[BaseMessage], block: dict[str, Any]) -> list[BaseMessage]:
    """Make a conversation with the block in the user's message, or in a tool's."""
    if message is HumanMessage:
        return [HumanMessage([{"type": "text", "text": "What is it?"}, block])]
    call = {"name": "look", "args": {}, "id": "c1", "type": "tool_call"}
    return [
        HumanMessage("Look at something."),
        AIMessage([], tool_calls=[call]),
        ToolMessage([block], tool_call_id="c1"),
    ]


@pytest.mark.parametrize("message", [HumanMessage, ToolMessage])
@pytest.mark.parametrize(("field", "value", "block"), FORMS)
async def test_a_file_arrives_in_the_models_own_input(
    multimodal_llm: ChatReplicate,
    message: type[BaseMessage],
    field: str,
    value: Any,
    block: dict[str, Any],
) -> None:
    prepared = await multimodal_llm.aprepare(make_conversation(message, block))
    assert prepared.body["input"][field] == value


@pytest.mark.parametrize("message", [HumanMessage, ToolMessage])
@pytest.mark.parametrize(("field", "block"), BY_ID)
async def test_a_file_id_becomes_the_address_of_replicates_file(
    multimodal_llm: ChatReplicate, message: type[BaseMessage], field: str, block: dict[str, Any]
) -> None:
    prepared = await multimodal_llm.aprepare(make_conversation(message, block))
    address = f"{multimodal_llm.base_url}/files/abc"
    assert prepared.body["input"][field] in (address, [address])


async def test_a_file_id_cannot_lead_to_another_address(multimodal_llm: ChatReplicate) -> None:
    block = {"type": "image", "file_id": "../predictions/a?b#c"}
    prepared = await multimodal_llm.aprepare(make_conversation(HumanMessage, block))
    (address,) = prepared.body["input"]["images"]
    assert address == f"{multimodal_llm.base_url}/files/..%2Fpredictions%2Fa%3Fb%23c"


async def test_blocks_that_are_nested_too_deeply_are_an_error(llm: ChatReplicate) -> None:
    block: dict[str, Any] = {"type": "text", "text": "Hi"}
    for _ in range(3000):
        block = {"type": "tool_result", "tool_use_id": "c1", "content": block}
    with pytest.raises(InvalidInputError, match="messages"):
        await llm.aprepare([HumanMessage([block])])


async def test_a_file_id_in_a_tools_data_is_data(multimodal_llm: ChatReplicate) -> None:
    data = {"file_id": "abc", "source": {"file_id": "abc"}, "source_type": "id", "id": "7"}
    prepared = await multimodal_llm.aprepare(make_conversation(ToolMessage, data))
    assert json.dumps(json.dumps(data)) in prepared.body["input"]["prompt"]


@pytest.mark.parametrize("message", [HumanMessage, ToolMessage])
async def test_a_file_is_sent_as_prepared(
    multimodal_llm: ChatReplicate, replicate_emulator: Emulator, message: type[BaseMessage]
) -> None:
    block = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    assert (await multimodal_llm.ainvoke(make_conversation(message, block))).text
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["images"] == [data("image/png", PNG)]


# What the model thinks


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_reasoning_is_a_block_before_the_text_block(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, version: str, method: str
) -> None:
    replicate_emulator.reply = ["<think>", "Well", ", hm", "</think>", "So", " it is", "."]
    answer = await ask(make_llm(output_version=version), method)
    message = reduce(add, answer) if method == "astream" else answer
    reasoning, text = message.content_blocks
    assert (reasoning["type"], reasoning["reasoning"]) == ("reasoning", "Well, hm")
    assert (text["type"], text["text"]) == ("text", "So it is.")
    assert message.text == "So it is."
    assert (message.content == "So it is.") == (version == "v0")


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_reasoning_text_and_calls_are_blocks_in_their_order(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, version: str, method: str
) -> None:
    def look(at: str) -> str:
        """Look at something."""
        return at

    replicate_emulator.reply = [
        *["<think>", "Hm", "</think>", "Let", " me", ".\n", "<tool_call>\n"],
        *['{"name": "look",', ' "arguments": {"at":', ' "é"}}', "\n</tool_call>"],
    ]
    llm: Any = make_llm(output_version=version).bind_tools([look])
    answer = await ask(llm, method)
    message = reduce(add, answer) if method == "astream" else answer
    reasoning, text, call = message.content_blocks
    assert (reasoning["type"], text["type"], call["type"]) == ("reasoning", "text", "tool_call")
    assert (reasoning["reasoning"], text["text"].strip()) == ("Hm", "Let me.")
    assert (call["name"], call["args"]) == ("look", {"at": "é"})
    assert call["id"] == message.tool_calls[0]["id"]


async def test_an_answer_of_blocks_can_be_sent_again(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = ["<think>", "Secret", "</think>", "So it is."]
    llm = make_llm(output_version="v1")
    first = await llm.ainvoke("Hi")
    await llm.ainvoke([HumanMessage("Hi"), first, HumanMessage("And?")])
    prompt = str(list(replicate_emulator.predictions.values())[-1].input)
    assert "So it is." in prompt
    assert "Secret" not in prompt


async def test_each_streamed_block_has_an_index(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = ["<think>", "Hm", "</think>", "So", "."]
    chunks = [chunk async for chunk in make_llm(output_version="v1").astream("Hi")]
    blocks = [block for chunk in chunks for block in chunk.content_blocks]
    assert {block["type"]: block.get("index") for block in blocks} == {"reasoning": 0, "text": 1}


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage([{"file_id": "abc"}]),
        HumanMessage([{"type": "image", "base64": "QUJD", "mime_type": 5}]),
        AIMessage("", additional_kwargs={"tool_calls": 5}),
        AIMessage("", additional_kwargs={"tool_calls": [{"function": {"name": "add"}}]}),
        AIMessage("", additional_kwargs={"function_call": "add"}),
    ],
    ids=str,
)
async def test_an_unknown_block_is_an_error_before_anything_is_paid(
    llm: ChatReplicate, replicate_emulator: Emulator, message: BaseMessage
) -> None:
    with pytest.raises(InvalidInputError):
        await llm.ainvoke(["Hi", message])
    assert replicate_emulator.predictions == {}


async def test_a_message_out_of_json_reads_no_local_file(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    block = {"type": "image", "path": __file__}
    written = {"type": "human", "data": {"content": [block]}}
    (foreign,) = messages_from_dict([written])
    for messages in ([foreign], [{"role": "user", "content": [block]}]):
        with pytest.raises(InvalidInputError, match=r"pathlib\.Path"):
            await llm.ainvoke(messages)
    assert not replicate_emulator.predictions


async def test_a_local_file_is_sent_where_the_programmer_names_its_path(
    multimodal_llm: ChatReplicate, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(base64.b64decode(PNG))
    await multimodal_llm.ainvoke([HumanMessage([{"type": "image", "path": tmp_path / "a.png"}])])
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["images"] == [data("image/png", PNG)]


@pytest.mark.parametrize("message", [HumanMessage, ToolMessage])
async def test_a_text_file_goes_into_the_prompt_and_is_counted(
    llm: ChatReplicate, message: type[BaseMessage], tmp_path: Path
) -> None:
    path = tmp_path / "owls.md"
    path.write_text("Owls hunt hares. " * 50, encoding="utf-8")
    conversations = [
        make_conversation(message, {"type": "file", **source})
        for source in (
            {"path": path},
            {"data": path.read_bytes(), "mime_type": "text/markdown"},
        )
    ]
    by_path, by_data = [(await llm.aprepare(each)).body for each in conversations]
    assert by_path == by_data
    assert "Owls hunt hares." in by_path["input"]["prompt"]
    of_path, of_data = [llm.get_num_tokens_from_messages(each) for each in conversations]
    assert of_path == of_data > 150


async def test_a_text_file_that_is_missing_is_an_error_before_anything_is_paid(
    llm: ChatReplicate, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    block = {"type": "file", "path": tmp_path / "owls.md"}
    match = r"content\[0\]: the file '.*owls.md' cannot be read"
    with pytest.raises(InvalidInputError, match=match):
        await llm.ainvoke([HumanMessage([block])])
    assert not replicate_emulator.predictions

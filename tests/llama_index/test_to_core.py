"""The framework's messages and blocks as the core's."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms import ChatMessage, MessageRole
from pydantic import BaseModel

import replicate_stream as core
from llama_index_replicate_stream import Replicate
from llama_index_replicate_stream._to_core import to_core
from replicate_stream import InvalidInputError, Message, ToolCall
from replicate_stream.adapters import parse_contents
from replicate_stream.testing import Emulator

PNG = b"\x89PNG\r\n\x1a\n\xff\xfe"
PNG_URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
TEXT = {"type": "string"}
URI = {"type": "string", "format": "uri"}
TEMPLATE = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
RENDERED = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nWell,"
COMPLETIONS = ["complete", "stream_complete", "acomplete", "astream_complete"]


def content_of(*blocks: Any) -> Any:
    (message,) = to_core([ChatMessage(role="user", blocks=list(blocks))])
    return message.content


@pytest.mark.parametrize(
    ("role", "converted"),
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
def test_every_role_is_converted(role: MessageRole, converted: Any) -> None:
    assert to_core([ChatMessage(role=role, content="x")]) == [Message(converted, "x")]


def test_no_role_of_the_framework_is_forgotten() -> None:
    to_core([ChatMessage(role=role, content="x") for role in MessageRole])


def test_texts_are_joined_as_the_framework_joins_them() -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert to_core([message])[0].content == message.content == "one\ntwo"


def test_reasoning_and_cache_points_are_left_out() -> None:
    cache = CachePoint(cache_control=CacheControl(type="ephemeral"))
    message = ChatMessage(
        role="user", blocks=[ThinkingBlock(content="hm"), TextBlock(text="Well"), cache]
    )
    prepared = core.prepare_input(to_core([message]), model="a/b", schema=None)
    assert prepared.input == {"prompt": "Well"}
    message.blocks = [cache]
    with pytest.raises(core.InvalidInputError, match="nothing to send"):
        core.prepare_input(to_core([message]), model="a/b", schema=None)


def test_tool_calls_and_their_results_are_converted() -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs={"q": "é"})
    converted = to_core(
        [
            ChatMessage(role="assistant", blocks=[TextBlock(text="Well"), call]),
            ChatMessage(role="tool", content="found", additional_kwargs={"tool_call_id": "c1"}),
        ]
    )
    assert converted == [
        Message("assistant", "Well", tool_calls=(ToolCall("c1", "search", {"q": "é"}),)),
        Message("tool", "found", tool_call_id="c1"),
    ]


def test_media_stand_beside_their_text() -> None:
    assert content_of(TextBlock(text="what?"), ImageBlock(url="https://x.example/a.png")) == [
        {"type": "text", "text": "what?"},
        {"type": "image", "mime_type": "image/png", "url": "https://x.example/a.png"},
    ]


def test_a_citable_block_keeps_its_title_and_source() -> None:
    content: list[Any] = [TextBlock(text="a"), ImageBlock(url="https://x.example/a.png")]
    block = CitableBlock(title="T", source="S", content=content)
    cited = CitationBlock(
        title="U", source="V", cited_content=TextBlock(text="b"), additional_location_info={}
    )
    message = ChatMessage(role="user", blocks=[block, cited])
    ((_, text, media),) = parse_contents(to_core([message]))
    assert text == "T\nS\na\n\nU\nV\nb"
    assert [each.url for each in media] == ["https://x.example/a.png"]


def test_a_document_of_text_is_text_with_its_title() -> None:
    blocks = [
        DocumentBlock(data=b"Owls hunt.", document_mimetype="text/plain", title="Birds"),
        DocumentBlock(data=b"Bats too.", document_mimetype="text/plain"),
    ]
    ((_, text, _),) = parse_contents(to_core([ChatMessage(role="user", blocks=blocks)]))
    assert text == "Birds\nOwls hunt.\n\nBats too."


def test_a_local_file_is_converted_to_its_path(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    assert content_of(ImageBlock(path=picture)) == [
        {"type": "image", "mime_type": "image/png", "path": picture}
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
def test_bytes_are_converted_to_base64(block: Any, about: dict[str, str]) -> None:
    (part,) = content_of(block)
    assert {**about, "base64": part["base64"]} == part
    raw = {"image": PNG, "audio": b"ID3\x03\xff", "video": b"\x00\xffvideo"}
    assert base64.b64decode(part["base64"]) == raw.get(part["type"], b"%PDF-1.7\xff")


def test_an_open_file_is_read_from_its_start_and_keeps_its_position() -> None:
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


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        SimpleNamespace(id="c1", function=SimpleNamespace(name="f", arguments='{"a": 1}')),
        {"id": "c1", "type": "tool_use", "name": "f", "input": '{"a": 1}'},
    ],
)
def test_calls_in_messages_of_another_provider_are_converted(call: Any) -> None:
    message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
    assert to_core([message]) == [
        Message("assistant", "", tool_calls=(ToolCall("c1", "f", '{"a": 1}'),))
    ]


# Sent


@pytest.fixture
def model_with(replicate_emulator: Emulator, make_llm: Any) -> Any:
    """Makes a model that has these inputs."""

    def model_with(inputs: dict[str, Any], **settings: Any) -> Replicate:
        schema = {"type": "object", "properties": inputs}
        replicate_emulator.add_model("acme/oracle", schema, official=True)
        llm: Replicate = make_llm(model="acme/oracle", **settings)
        return llm

    return model_with


@pytest.fixture
def sent(replicate_emulator: Emulator) -> Any:
    """Returns the input of the one prediction."""

    def sent() -> dict[str, Any]:
        (prediction,) = replicate_emulator.predictions.values()
        return dict(prediction.input)

    return sent


async def complete(llm: Replicate, method: str, prompt: str, **kwargs: Any) -> None:
    result: Any = getattr(llm, method)(prompt, **kwargs)
    if method.startswith("a"):
        result = await result
    if method == "stream_complete":
        list(result)
    if method == "astream_complete":
        [each async for each in result]


# Completions


@pytest.mark.parametrize("method", COMPLETIONS)
@pytest.mark.parametrize("prompt", ["Once upon a time", "  \n<|im_end|> [INST] </s>\n", RENDERED])
async def test_a_completion_is_sent_as_it_is(
    model_with: Any, sent: Any, method: str, prompt: str
) -> None:
    raw = {"prompt": {**TEXT, "default": "<|im_start|>user\nHi<|im_end|>"}}
    await complete(model_with(raw), method, prompt)
    assert sent() == {"prompt": prompt}


@pytest.mark.parametrize("method", COMPLETIONS)
async def test_a_formatted_prompt_is_not_put_into_the_models_own_template(
    model_with: Any, sent: Any, method: str
) -> None:
    template = {"prompt": TEXT, "prompt_template": {**TEXT, "default": TEMPLATE}}
    await complete(model_with(template), method, RENDERED, formatted=True)
    assert sent() == {"prompt": RENDERED, "prompt_template": "{prompt}"}


async def test_a_completion_by_a_model_that_takes_messages_is_one(
    model_with: Any, sent: Any
) -> None:
    await model_with({"messages": {"type": "array", "items": {"type": "object"}}}).acomplete("Hi")
    assert sent() == {"messages": [{"role": "user", "content": "Hi"}]}


async def test_a_completion_can_be_a_chat_in_a_format_of_choice(model_with: Any, sent: Any) -> None:
    await model_with({"prompt": TEXT}).acomplete("Hi", prompt_format="chatml")
    assert sent()["prompt"] == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


async def test_a_completions_system_prompt_has_its_field(model_with: Any, sent: Any) -> None:
    llm = model_with({"prompt": TEXT, "system_prompt": TEXT}, system_prompt="Be brief.")
    await llm.acomplete("Hi")
    assert sent() == {"prompt": "Hi", "system_prompt": "Be brief."}


async def test_a_system_prompt_that_the_framework_put_into_the_prompt_is_not_sent_twice(
    model_with: Any, sent: Any
) -> None:
    llm = model_with(
        {"prompt": TEXT, "system_prompt": TEXT},
        system_prompt="Be brief.",
        query_wrapper_prompt=PromptTemplate("Q: {query_str} A:"),
        is_chat_model=False,
    )
    await llm.apredict(PromptTemplate("About {topic}."), topic="owls")
    assert sent() == {"prompt": "Q: Be brief.\n\nAbout owls. A:"}


async def test_a_chat_in_the_users_own_format_goes_out_as_it_is(model_with: Any, sent: Any) -> None:
    llm = model_with(
        {"prompt": TEXT, "system_prompt": TEXT, "image": URI},
        messages_to_prompt=lambda messages: "|".join(
            f"<|{m.role.value}|>{m.content}" for m in messages
        ),
        system_prompt="Be brief.",
    )
    blocks = [TextBlock(text="</s> What?"), ImageBlock(image=PNG)]
    await llm.achat([ChatMessage(role="user", blocks=blocks)])
    assert sent() == {"prompt": "<|system|>Be brief.|<|user|></s> What?", "image": PNG_URI}


async def test_a_chat_in_the_users_own_format_keeps_what_the_format_leaves_out(
    model_with: Any, sent: Any
) -> None:
    llm = model_with({"prompt": TEXT}, messages_to_prompt=lambda messages: messages[0].content)
    cited = CitableBlock(title="Birds", source="S", content=[TextBlock(text="Owls")])
    await llm.achat([ChatMessage(role="user", blocks=[TextBlock(text="What?"), cited])])
    assert sent() == {"prompt": "What?\n\nBirds\nS\nOwls"}


# Media


@pytest.mark.parametrize(
    ("block", "field", "value"),
    [
        (ImageBlock(image=PNG), "image", PNG_URI),
        (ImageBlock(url="https://x.example/a.png"), "image", "https://x.example/a.png"),
        (AudioBlock(audio=b"ID3\x03", format="mp3"), "audio", "data:audio/mpeg;base64,SUQzAw=="),
        (
            VideoBlock(video=b"\x00\xff", video_mimetype="video/mp4"),
            "video",
            "data:video/mp4;base64,AP8=",
        ),
        (
            DocumentBlock(data=b"%PDF-1", document_mimetype="application/pdf"),
            "document",
            "data:application/pdf;base64,JVBERi0x",
        ),
    ],
)
async def test_a_block_goes_into_the_models_field_for_it(
    model_with: Any, sent: Any, block: Any, field: str, value: str
) -> None:
    llm = model_with({"prompt": TEXT, field: URI})
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), block])]
    for result in ([each async for each in await llm.astream_chat(messages)], messages):
        assert result
    assert sent() == {"prompt": "What is it?", field: value}


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        (ImageBlock(image=PNG), "image"),
        (AudioBlock(audio=b"ID3\x03", format="mp3"), "audio"),
        (VideoBlock(video=b"\x00\xff", video_mimetype="video/mp4"), "video"),
        (DocumentBlock(data=b"%PDF-1", document_mimetype="application/pdf"), "file"),
    ],
)
async def test_a_block_that_the_model_has_no_field_for_is_reported(
    model_with: Any, replicate_emulator: Emulator, block: Any, kind: str
) -> None:
    llm = model_with({"prompt": TEXT})
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), block])]
    with pytest.raises(core.UnsupportedParameterError, match=f"no input for {kind}"):
        await llm.achat(messages)
    assert not replicate_emulator.predictions
    llm.on_unsupported = "warn"
    with pytest.warns(core.ParameterWarning, match=f"no input for {kind}"):
        await llm.achat(messages)


async def test_a_local_image_is_read_when_it_is_sent(
    model_with: Any, sent: Any, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    llm = model_with({"prompt": TEXT, "image": URI})
    blocks = [TextBlock(text="What?"), ImageBlock(path=picture)]
    await llm.achat([ChatMessage(role="user", blocks=blocks)])
    assert sent() == {"prompt": "What?", "image": PNG_URI}


async def test_an_image_that_a_tool_gave_is_sent(model_with: Any, sent: Any) -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs={})
    messages = [
        ChatMessage(role="user", content="What is there?"),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(
            role="tool",
            blocks=[TextBlock(text="a picture"), ImageBlock(image=PNG)],
            additional_kwargs={"tool_call_id": "c1"},
        ),
    ]
    await model_with({"prompt": TEXT, "image": URI}).achat(messages)
    assert sent()["image"] == PNG_URI
    assert "a picture" in sent()["prompt"]


# Arguments of `llama_index.llms.replicate.Replicate`


@pytest.mark.parametrize("method", ["complete", "acomplete", "achat"])
async def test_an_image_of_the_object_is_sent_with_every_question(
    model_with: Any, replicate_emulator: Emulator, tmp_path: Path, method: str
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    fields = {"prompt": TEXT, "image": URI}
    if method == "achat":
        messages = [ChatMessage(role="user", content="What?")]
        await model_with(fields, image=str(picture)).achat(messages)
        assert messages[0].content == "What?"
    else:
        await complete(model_with(fields, image=str(picture)), method, "What?")
    await complete(model_with(fields, image="https://x.example/a.png"), "acomplete", "What?")
    await complete(model_with(fields, image=""), "acomplete", "What?")
    assert [dict(each.input) for each in replicate_emulator.predictions.values()] == [
        {"prompt": "What?", "image": PNG_URI},
        {"prompt": "What?", "image": "https://x.example/a.png"},
        {"prompt": "What?"},
    ]


async def test_the_arguments_of_the_class_it_replaces_work(model_with: Any, sent: Any) -> None:
    llm = model_with(
        {"prompt": TEXT, "temperature": {"type": "number"}, "max_new_tokens": {"type": "integer"}},
        temperature=0.75,
        context_window=4096,
        max_tokens=100,
        additional_kwargs={},
        image="",
        is_chat_model=True,
    )
    await llm.acomplete("Who is Paul Graham?")
    assert sent() == {"prompt": "Who is Paul Graham?", "temperature": 0.75, "max_new_tokens": 100}


async def test_an_input_with_a_name_of_the_models_own_is_filled(model_with: Any, sent: Any) -> None:
    llm = model_with({"input_text": TEXT, "mood": TEXT}, additional_kwargs={"mood": "calm"})
    await llm.acomplete("Hi")
    assert sent() == {"input_text": "Hi", "mood": "calm"}

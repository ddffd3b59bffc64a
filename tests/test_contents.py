"""Content blocks as providers write them, in every role, through the core and both adapters.

Forms are those of the public references of OpenAI (chat and Responses), Anthropic, Amazon Bedrock
(Converse), Google (`Part`), MCP (tools), and of LangChain's content blocks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock

from langchain_replicate_stream._to_core import to_core as convert_langchain
from llama_index_replicate_stream._to_core import to_core as convert_llama_index
from replicate_stream import InvalidInputError, Message, PreparedInput, ToolCall, prepare_input

FILE = {"type": "string", "format": "uri"}
OBJECTS = {"type": "array", "items": {"type": "object"}}
SCHEMA = {
    "properties": {
        "messages": OBJECTS,
        "tools": OBJECTS,
        "image": FILE,
        "audio": FILE,
        "video": FILE,
        "file": FILE,
    }
}

BYTES = {
    "image": b"\x89PNG\r\n\x1a\n",
    "audio": b"ID3\x03",
    "video": b"\0\0\0\x18ftypmp42",
    "file": b"%PDF-1.7",
}
TYPES = {
    "image": "image/png",
    "audio": "audio/mpeg",
    "video": "video/mp4",
    "file": "application/pdf",
}
BASE64 = {kind: base64.b64encode(data).decode() for kind, data in BYTES.items()}
URIS = {kind: f"data:{TYPES[kind]};base64,{data}" for kind, data in BASE64.items()}
PNG, PDF = BASE64["image"], BASE64["file"]
LINES = base64.encodebytes(BYTES["image"] * 1000).decode()
URL = "https://example.com/one"

TEXTS: dict[str, tuple[Any, str]] = {
    "string": ("Owls", "Owls"),
    "OpenAI": ({"type": "text", "text": "Owls"}, "Owls"),
    "OpenAI input": ({"type": "input_text", "text": "Owls"}, "Owls"),
    "OpenAI output": ({"type": "output_text", "text": "Owls", "annotations": []}, "Owls"),
    "OpenAI refusal": ({"type": "refusal", "refusal": "Owls"}, "Owls"),
    "OpenAI assistants": ({"type": "text", "text": {"value": "Owls", "annotations": []}}, "Owls"),
    "content for text": ({"type": "text", "content": "Owls"}, "Owls"),
    "Anthropic cached": (
        {"type": "text", "text": "Owls", "cache_control": {"type": "ephemeral"}},
        "Owls",
    ),
    "Anthropic document": (
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "Owls"},
            "title": "Birds",
            "context": "A book",
        },
        "Birds\nA book\nOwls",
    ),
    "Anthropic document of blocks": (
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": "Owls"}]},
        },
        "Owls",
    ),
    "Anthropic search result": (
        {
            "type": "search_result",
            "source": "https://birds.example",
            "title": "Birds",
            "content": [{"type": "text", "text": "Owls"}],
        },
        "Birds\nhttps://birds.example\nOwls",
    ),
    "Anthropic compaction": ({"type": "compaction", "content": "Owls"}, "Owls"),
    "Anthropic server result": (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s1",
            "content": [
                {
                    "type": "web_search_result",
                    "title": "Owls",
                    "url": URL,
                    "encrypted_content": "x" * 5000,
                }
            ],
        },
        f"Owls\n{URL}",
    ),
    "Anthropic server error": (
        {"type": "web_fetch_tool_result", "tool_use_id": "s1", "content": {"type": "x", "n": 1}},
        '{"type": "x", "n": 1}',
    ),
    "Anthropic output of code": (
        {
            "type": "code_execution_tool_result",
            "tool_use_id": "s1",
            "content": {"type": "code_execution_result", "stdout": "Owls", "stderr": "Cats"}
            | {"return_code": 0, "content": []},
        },
        "Owls\nCats",
    ),
    "Cohere document": (
        {"type": "document", "document": {"id": "d1", "data": {"title": "Birds", "text": "Owls"}}},
        '{"title": "Birds", "text": "Owls"}',
    ),
    "Bedrock": ({"text": "Owls"}, "Owls"),
    "Bedrock guard": ({"guardContent": {"text": {"text": "Owls", "qualifiers": []}}}, "Owls"),
    "Bedrock citations": (
        {"citationsContent": {"content": [{"text": "Owls"}], "citations": []}},
        "Owls",
    ),
    "Bedrock document": (
        {"document": {"format": "txt", "name": "Birds", "source": {"text": "Owls"}}},
        "Birds\nOwls",
    ),
    "Bedrock bytes of text": (
        {"document": {"format": "md", "name": "Birds", "source": {"bytes": b"Owls"}}},
        "Birds\nOwls",
    ),
    "Bedrock search result": (
        {"searchResult": {"source": URL, "title": "Birds", "content": [{"text": "Owls"}]}},
        f"Birds\n{URL}\nOwls",
    ),
    "Google": ({"text": "Owls", "thoughtSignature": "c2ln"}, "Owls"),
    "Google dumped": ({"text": "Owls", "inline_data": None, "function_call": None}, "Owls"),
    "Google code result": (
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "Owls"}},
        "Owls",
    ),
    "LangChain text-plain": (
        {"type": "text-plain", "text": "Owls", "title": "Birds", "context": "A book"},
        "Birds\nA book\nOwls",
    ),
    "LangChain text-plain in base64": (
        {"type": "text-plain", "base64": base64.b64encode(b"Owls").decode()}
        | {"mime_type": "text/plain", "extras": {"title": "Birds"}},
        "Birds\nOwls",
    ),
    "LangChain v0 text file": (
        {"type": "file", "source_type": "text", "text": "Owls", "mime_type": "text/plain"},
        "Owls",
    ),
    "LangChain server result": (
        {"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": "Owls"},
        "Owls",
    ),
    "LangChain wrapped": (
        {"type": "non_standard", "value": {"type": "output_text", "text": "Owls"}},
        "Owls",
    ),
    "MCP resource": (
        {"type": "resource", "resource": {"uri": "file:///a", "text": "Owls"}},
        "Owls",
    ),
    "MCP link": ({"type": "resource_link", "uri": URL, "name": "Owls"}, f"Owls\n{URL}"),
    "a text file as an image": (
        {"type": "image", "data": b"Owls", "mime_type": "text/plain"},
        "Owls",
    ),
}
"""Blocks by the forms' names, with the text that the model has to read."""

MEDIA: dict[str, tuple[dict[str, Any], str, str]] = {
    "OpenAI image": (
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        "image",
        URL,
    ),
    "OpenAI image as string": ({"type": "image_url", "image_url": URL}, "image", URL),
    "OpenAI image in base64": (
        {"type": "image_url", "image_url": {"url": URIS["image"]}},
        "image",
        URIS["image"],
    ),
    "OpenAI input image": ({"type": "input_image", "image_url": URL}, "image", URL),
    "OpenAI made image": (
        {"type": "image_generation_call", "id": "i1", "result": PNG},
        "image",
        URIS["image"],
    ),
    "OpenAI audio": (
        {"type": "input_audio", "input_audio": {"data": BASE64["audio"], "format": "mp3"}},
        "audio",
        URIS["audio"],
    ),
    "OpenAI file": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": URIS["file"]}},
        "file",
        URIS["file"],
    ),
    "OpenAI input file": ({"type": "input_file", "file_url": URL}, "file", URL),
    "Mistral document": (
        {"type": "document_url", "document_url": URIS["file"], "document_name": "a.pdf"},
        "file",
        URIS["file"],
    ),
    "Anthropic image": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        "image",
        URIS["image"],
    ),
    "Anthropic image by URL": (
        {"type": "image", "source": {"type": "url", "url": URL}},
        "image",
        URL,
    ),
    "Anthropic document": (
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        },
        "file",
        URIS["file"],
    ),
    "Bedrock image": (
        {"image": {"format": "png", "source": {"bytes": BYTES["image"]}}},
        "image",
        URIS["image"],
    ),
    "Bedrock video": (
        {"video": {"format": "mp4", "source": {"bytes": BYTES["video"]}}},
        "video",
        URIS["video"],
    ),
    "Bedrock document": (
        {"document": {"format": "pdf", "source": {"bytes": BYTES["file"]}}},
        "file",
        URIS["file"],
    ),
    "Bedrock guard": (
        {"guardContent": {"image": {"format": "png", "source": {"bytes": BYTES["image"]}}}},
        "image",
        URIS["image"],
    ),
    "Google inline": (
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        "image",
        URIS["image"],
    ),
    "Google inline in snake case": (
        {"inline_data": {"mime_type": "audio/mpeg", "data": BYTES["audio"]}},
        "audio",
        URIS["audio"],
    ),
    "Google file": ({"fileData": {"mimeType": "video/mp4", "fileUri": URL}}, "video", URL),
    "Google media": (
        {"type": "media", "mime_type": "video/mp4", "data": BASE64["video"]},
        "video",
        URIS["video"],
    ),
    "Google media by URI": (
        {"type": "media", "mime_type": "application/pdf", "file_uri": URL},
        "file",
        URL,
    ),
    "LangChain image": (
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        "image",
        URIS["image"],
    ),
    "LangChain v0 image": (
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
        "image",
        URIS["image"],
    ),
    "MCP image": ({"type": "image", "data": PNG, "mimeType": "image/png"}, "image", URIS["image"]),
    "MCP resource": (
        {
            "type": "resource",
            "resource": {"uri": "file:///a", "mimeType": "image/png", "blob": PNG},
        },
        "image",
        URIS["image"],
    ),
    "a PDF as an image": (
        {"type": "image", "base64": PDF, "mime_type": "application/pdf"},
        "file",
        URIS["file"],
    ),
    "a PDF as an image, by its content": ({"type": "image", "base64": PDF}, "file", URIS["file"]),
    "an image as a file": (
        {"type": "file", "base64": PNG, "mime_type": "image/png"},
        "image",
        URIS["image"],
    ),
    "an image as a document, by its content": (
        {"type": "document", "data": PNG},
        "image",
        URIS["image"],
    ),
    "audio as a file": (
        {"type": "input_file", "file_data": URIS["audio"]},
        "audio",
        URIS["audio"],
    ),
    "a video as an image": ({"type": "image", "url": URIS["video"]}, "video", URIS["video"]),
}
"""Blocks by the forms' names, with the kind of the media and the value that is sent."""

CALLS: dict[str, dict[str, Any]] = {
    "OpenAI": {
        "type": "function",
        "id": "c1",
        "function": {"name": "look", "arguments": '{"at": "owls"}'},
    },
    "OpenAI item": {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "look",
        "arguments": '{"at": "owls"}',
    },
    "Anthropic": {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "owls"}},
    "Anthropic streamed": {
        "type": "tool_use",
        "id": "c1",
        "name": "look",
        "input": {},
        "partial_json": '{"at": "owls"}',
    },
    "Bedrock": {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": "owls"}}},
    "Google": {"functionCall": {"id": "c1", "name": "look", "args": {"at": "owls"}}},
    "Google in snake case": {"function_call": {"id": "c1", "name": "look", "args": {"at": "owls"}}},
    "Google typed": {"type": "function_call", "id": "c1", "name": "look", "args": {"at": "owls"}},
    "LangChain": {"type": "tool_call", "id": "c1", "name": "look", "args": {"at": "owls"}},
    "LangChain chunk": {
        "type": "tool_call_chunk",
        "id": "c1",
        "name": "look",
        "args": '{"at": "owls"}',
    },
}
"""Blocks of one call: `look` at owls, with the id `c1`."""

RESULTS: dict[str, dict[str, Any]] = {
    "OpenAI item": {"type": "function_call_output", "call_id": "c1", "output": "Two owls"},
    "OpenAI item of blocks": {
        "type": "function_call_output",
        "call_id": "c1",
        "output": [{"type": "input_text", "text": "Two owls"}],
    },
    "Anthropic": {"type": "tool_result", "tool_use_id": "c1", "content": "Two owls"},
    "Anthropic of blocks": {
        "type": "tool_result",
        "tool_use_id": "c1",
        "content": [{"type": "text", "text": "Two owls"}],
    },
    "Bedrock": {"toolResult": {"toolUseId": "c1", "content": [{"text": "Two owls"}]}},
    "Google": {
        "functionResponse": {"id": "c1", "name": "look", "response": {"output": "Two owls"}}
    },
}
"""Blocks of one result: two owls, for the call `c1`."""

LEFT_OUT: dict[str, dict[str, Any]] = {
    "OpenAI search": {"type": "web_search_call", "id": "w1", "status": "completed"},
    "OpenAI code": {"type": "code_interpreter_call", "id": "w1", "code": "secret()"},
    "OpenAI files": {"type": "file_search_call", "id": "w1", "queries": ["secret"]},
    "OpenAI MCP": {"type": "mcp_call", "id": "w1", "name": "secret", "arguments": "{}"},
    "OpenAI image without result": {"type": "image_generation_call", "id": "w1", "result": None},
    "Anthropic": {"type": "server_tool_use", "id": "w1", "name": "secret", "input": {}},
    "Anthropic result": {
        "type": "web_fetch_tool_result",
        "tool_use_id": "w1",
        "content": {"type": "page", "encrypted_content": "Secret1" * 500},
    },
    "Google": {"executableCode": {"language": "PYTHON", "code": "secret()"}},
    "LangChain": {"type": "server_tool_call", "id": "w1", "name": "secret", "args": {}},
    "Mistral": {"type": "reference", "reference_ids": [1]},
}
"""Blocks of what only a provider's own server did."""

IGNORED: dict[str, dict[str, Any]] = {
    "Anthropic": {"type": "thinking", "thinking": "secret", "signature": "x"},
    "Anthropic redacted": {"type": "redacted_thinking", "data": "secret"},
    "OpenAI": {"type": "reasoning", "summary": [{"type": "summary_text", "text": "secret"}]},
    "Bedrock": {"reasoningContent": {"reasoningText": {"text": "secret"}}},
    "Bedrock cache": {"cachePoint": {"type": "default"}},
    "Google": {"text": "secret", "thought": True},
    "LangChain": {"type": "reasoning", "reasoning": "secret"},
}
"""Blocks of reasoning, and marks of prompt caches."""

UNKNOWN: dict[str, tuple[Any, str]] = {
    "JSON without its value": ({"type": "json", "words": "Owls"}, "json"),
    "type": ({"type": "hologram", "payload": PNG}, "'hologram'"),
    "wrapped": ({"type": "non_standard", "value": {"type": "hologram"}}, "'hologram'"),
    "in a result": (
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "hologram"}]},
        "'hologram'",
    ),
    "text without text": ({"type": "text", "words": "Owls"}, "'text'"),
    "image without content": ({"type": "image", "picture": PNG}, "'image'"),
    "call without name": ({"type": "tool_use", "id": "c9", "input": {}}, "a call without a name"),
    "encoded data": (
        {"type": "tool_result", "tool_use_id": "c1", "content": {"picture": PNG * 300}},
        "a file in data",
    ),
    "encoded data in lines": (
        {"type": "tool_result", "tool_use_id": "c1", "content": {"picture": LINES}},
        "a file in data",
    ),
    "bytes": (
        {"type": "tool_result", "tool_use_id": "c1", "content": {"picture": b"x"}},
        "a file in data",
    ),
    "two lines for a media type": (
        {"type": "file", "data": PDF, "mime_type": "application/pdf\r\nX-Header: a"},
        "mime_type",
    ),
    "a media type with a surrogate": (
        {"type": "file", "data": PDF, "mime_type": "application/\ud800"},
        "mime_type",
    ),
}
"""Blocks that cannot be read, with what an error has to name."""


def make_core(role: str, blocks: list[Any], **more: Any) -> list[Message]:
    names: Any = role
    return [Message(names, blocks, **more)]


def make_langchain(role: str, blocks: list[Any], **more: Any) -> list[Message]:
    classes: dict[str, Any] = {
        "system": SystemMessage,
        "user": HumanMessage,
        "assistant": AIMessage,
    }
    message = ToolMessage(blocks, **more) if role == "tool" else classes[role](blocks)
    if isinstance(message, AIMessage):
        message.tool_calls = []  # as another provider's stored messages may be
    return convert_langchain([message])


def make_llama_index(role: str, blocks: list[Any], **more: Any) -> list[Message]:
    message = ChatMessage(role=role, additional_kwargs=more)
    message.blocks = [TextBlock(text=each) if isinstance(each, str) else each for each in blocks]
    return convert_llama_index([message])


Make = Callable[..., "list[Message]"]
FRAMEWORKS: dict[str, Make] = {
    "core": make_core,
    "LangChain": make_langchain,
    "LlamaIndex": make_llama_index,
}
CALL = Message("assistant", tool_calls=(ToolCall("c1", "look", {"at": "owls"}),))
ROLES: dict[str, list[Message]] = {
    "system": [],
    "user": [],
    "assistant": [Message("user", "Hi")],
    "tool": [Message("user", "Hi"), CALL],
}
"""The roles, with the messages before."""


def prepare(make: Make, role: str, *blocks: Any) -> PreparedInput:
    """Prepare a conversation that holds the blocks in a message of this role."""
    more = {"tool_call_id": "c1"} if role == "tool" else {}
    messages = [*ROLES[role], *make(role, [*blocks], **more), Message("user", "And?")]
    return prepare_input(messages, model="acme/oracle", schema=SCHEMA)


def read(prepared: PreparedInput, role: str) -> list[Any]:
    """The messages that were made of the blocks."""
    messages: list[Any] = prepared.input["messages"]
    return messages[len(ROLES[role]) : -1]


@pytest.fixture(params=FRAMEWORKS)
def make(request: pytest.FixtureRequest) -> Make:
    """A function that makes the core's messages from blocks, as each framework does."""
    return FRAMEWORKS[request.param]


every_role = pytest.mark.parametrize("role", ROLES)


@every_role
@pytest.mark.parametrize("form", TEXTS)
def test_a_text_of_every_form_is_kept(make: Make, role: str, form: str) -> None:
    block, text = TEXTS[form]
    (message,) = read(prepare(make, role, block), role)
    assert (message["role"], message["content"]) == (role, text)


@every_role
@pytest.mark.parametrize("form", MEDIA)
def test_a_file_of_every_form_goes_where_its_kind_goes(make: Make, role: str, form: str) -> None:
    block, kind, sent = MEDIA[form]
    prepared = prepare(make, role, "Owls", block)
    assert {k: v for k, v in prepared.input.items() if k != "messages"} == {kind: sent}
    (message,) = read(prepared, role)
    assert message["content"].endswith("Owls")  # a mark before it says where the file was


@every_role
@pytest.mark.parametrize("form", CALLS)
def test_a_call_of_every_form_is_kept(make: Make, role: str, form: str) -> None:
    calls = [
        m["tool_calls"] for m in read(prepare(make, role, CALLS[form]), role) if "tool_calls" in m
    ]
    function = {"name": "look", "arguments": '{"at": "owls"}'}
    assert calls == [[{"id": "c1", "type": "function", "function": function}]]


@every_role
@pytest.mark.parametrize("form", RESULTS)
def test_a_result_of_every_form_is_a_message_of_the_tool(make: Make, role: str, form: str) -> None:
    (message,) = read(prepare(make, role, RESULTS[form]), role)
    found = {key: message[key] for key in ("role", "content", "tool_call_id")}
    assert found == {"role": "tool", "content": "Two owls", "tool_call_id": "c1"}


@every_role
@pytest.mark.parametrize("form", LEFT_OUT)
def test_what_a_providers_server_did_is_left_out_with_a_note(
    make: Make, role: str, form: str
) -> None:
    prepared = prepare(make, role, "Owls", LEFT_OUT[form])
    (message,) = read(prepared, role)
    assert message["content"] == "Owls"
    (note,) = (note for note in prepared.notes if "left out" in note)
    assert "secret" not in note


@every_role
@pytest.mark.parametrize("form", IGNORED)
def test_reasoning_and_cache_marks_are_left_out(make: Make, role: str, form: str) -> None:
    prepared = prepare(make, role, "Owls", IGNORED[form])
    (message,) = read(prepared, role)
    assert message["content"] == "Owls"
    assert prepared.notes == []


@every_role
@pytest.mark.parametrize("form", UNKNOWN)
def test_a_block_that_cannot_be_read_is_an_error_with_its_type_and_place(
    make: Make, role: str, form: str
) -> None:
    block, named = UNKNOWN[form]
    at = len(ROLES[role])
    with pytest.raises(InvalidInputError) as caught:
        prepare(make, role, "Owls", block)
    # Each adapter's own message is the first one here.
    assert f"messages[{at}]" in str(caught.value)
    assert named in str(caught.value)
    assert PNG not in str(caught.value)
    assert "X-Header" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("form", IGNORED)
def test_a_users_message_without_anything_to_send_is_an_error(make: Make, form: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^messages\[0\]\.content has nothing to send"):
        prepare(make, "user", IGNORED[form])


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize(
    "block",
    [{"city": "Rome"}, 5, {"file_id": "abc"}, {"text": "Owls", "image": {"source": {"url": URL}}}],
)
def test_data_outside_of_a_tools_result_is_an_error(role: str, block: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"content\[0\] has a block of type"):
        prepare(make_core, role, block)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([{"city": "Rome", "text": "Owls"}], '{"city": "Rome", "text": "Owls"}'),
        ([{"json": {"é": 1}}], '{"é": 1}'),
        ([{"type": "json", "json": {"é": 1}}, "b"], '{"é": 1}\n\nb'),
    ],
)
def test_data_in_a_tools_result_becomes_json(make: Make, data: list[Any], text: str) -> None:
    (own,) = read(prepare(make, "tool", *data), "tool")
    block = {"type": "tool_result", "tool_use_id": "c1", "content": data}
    (inner,) = read(prepare(make, "user", block), "user")
    assert own["content"] == inner["content"] == text


def test_a_long_sequence_of_one_alphabet_is_data(make: Make) -> None:
    data = {"genome": "ACGT" * 1000, "hash": "0f" * 2000, "names": "owl\n" * 2000}
    (message,) = read(prepare(make, "tool", data), "tool")
    assert message["content"] == json.dumps(data)


def test_single_values_in_a_tools_result_become_json(make: Make) -> None:
    block = {"type": "tool_result", "tool_use_id": "c1", "content": [5, None]}
    assert read(prepare(make, "user", block), "user")[0]["content"] == "5\n\nnull"


@pytest.mark.parametrize(
    "data",
    [
        {"image": {"path": "/etc/passwd"}},
        {"image": "cat.png"},
        {"document": "Owls"},
        {"text": "Owls", "score": 1},
        {"text": 5},
    ],
)
def test_a_tools_data_with_keys_of_blocks_becomes_json(make: Make, data: dict[str, Any]) -> None:
    prepared = prepare(make, "tool", data)
    assert read(prepared, "tool")[0]["content"] == json.dumps(data)
    assert "image" not in prepared.input


def test_googles_response_is_data_whatever_its_keys_are(make: Make) -> None:
    response = {"type": "Feature", "image": {"source": 1}}
    block = {"functionResponse": {"id": "c1", "name": "look", "response": response}}
    (message,) = read(prepare(make, "user", block), "user")
    assert message["content"] == json.dumps(response)


def test_data_without_a_type_reads_no_local_file(make: Make) -> None:
    with pytest.raises(InvalidInputError, match="without a url"):
        prepare(make, "tool", {"image": {"source": {"path": "/etc/passwd"}}})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("No such city", "Error: No such city"),
        ([{"type": "text", "text": "error in line 1"}], "error in line 1"),
        (None, "Error: "),
    ],
)
@pytest.mark.parametrize("failed", [{"is_error": True}, {"status": "error"}])
def test_the_result_of_a_failed_tool_starts_with_error(
    make: Make, failed: dict[str, Any], content: Any, text: str
) -> None:
    block = {"type": "tool_result", "tool_use_id": "c1", "content": content, **failed}
    (message,) = read(prepare(make, "user", block), "user")
    assert message["content"] == text


def test_results_come_before_the_question_that_they_are_sent_with(make: Make) -> None:
    parts = [{"type": "text", "text": "So?"}, RESULTS["Bedrock"], RESULTS["Anthropic"]]
    messages = read(prepare(make, "user", *parts), "user")
    assert [each["role"] for each in messages] == ["tool", "tool", "user"]


def test_an_answer_keeps_the_order_of_its_texts_calls_and_results(make: Make) -> None:
    parts = ["One. ", CALLS["Anthropic"], RESULTS["Anthropic"], {"type": "text", "text": "Two."}]
    messages = read(prepare(make, "assistant", *parts), "assistant")
    assert [(m["role"], m["content"]) for m in messages] == [
        ("assistant", "One. "),
        ("tool", "Two owls"),
        ("assistant", "Two."),
    ]
    assert ["tool_calls" in m for m in messages] == [True, False, False]


@pytest.mark.parametrize("form", CALLS)
def test_a_call_in_two_places_is_one_with_the_arguments_of_the_message(form: str) -> None:
    edited = ToolCall("c1", "look", {"at": "bats"})
    other = ToolCall("c2", "look", {"at": "cats"})
    message = Message("assistant", [CALLS[form]], tool_calls=(edited, other))
    prepared = prepare_input([message, Message("user", "?")], model="a/b", schema=SCHEMA)
    calls = prepared.input["messages"][0]["tool_calls"]
    assert [(c["id"], c["function"]["arguments"]) for c in calls] == [
        ("c1", '{"at": "bats"}'),
        ("c2", '{"at": "cats"}'),
    ]


def test_a_call_without_an_id_is_the_one_of_its_name() -> None:
    block = {"functionCall": {"name": "look", "args": {"at": "owls"}}}
    message = Message("assistant", [block], tool_calls=(ToolCall("c1", "look", {"at": "owls"}),))
    prepared = prepare_input([message, Message("user", "?")], model="a/b", schema=SCHEMA)
    assert [c["id"] for c in prepared.input["messages"][0]["tool_calls"]] == ["c1"]


def test_a_malformed_call_of_an_answer_needs_no_name() -> None:
    block = {"type": "invalid_tool_call", "id": "c1", "name": None, "args": "{"}
    message = Message("assistant", [block], tool_calls=(ToolCall("c1", "", "{"),))
    prepared = prepare_input([message, Message("user", "?")], model="a/b", schema=SCHEMA)
    assert prepared.input["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{"


@pytest.mark.parametrize(
    ("block", "name", "arguments"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": "ls"},
            "run",
            '{"input": "ls"}',
        ),
        (
            {"type": "computer_call", "call_id": "c1", "action": {"type": "click"}},
            "computer",
            '{"type": "click"}',
        ),
        ({"type": "tool_use", "id": "c1", "name": "run", "input": {}}, "run", "{}"),
        ({"type": "invalid_tool_call", "id": "c1", "name": "run", "args": '{"a'}, "run", '{"a'),
    ],
)
def test_a_call_keeps_its_arguments_as_they_are(
    make: Make, block: dict[str, Any], name: str, arguments: str
) -> None:
    (message,) = read(prepare(make, "assistant", block), "assistant")
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": name, "arguments": arguments}


def test_documents_stand_apart_from_other_texts(make: Make) -> None:
    block = {"type": "text-plain", "text": "Owls hunt.\n", "title": "Birds"}
    parts = [{"type": "text", "text": "Read this."}, block, {"type": "text", "text": "When?"}]
    (message,) = read(prepare(make, "user", *parts), "user")
    assert message["content"] == "Read this.\n\nBirds\nOwls hunt.\n\nWhen?"


def test_the_title_of_a_file_is_text(make: Make) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    block = {"type": "document", "source": source, "title": "Birds", "context": "A book"}
    prepared = prepare(make, "user", block)
    assert prepared.input["file"] == URIS["file"]
    assert read(prepared, "user")[0]["content"].endswith("Birds\nA book")

"""`ChatReplicate` against the emulator, as a LangChain user meets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator, Fault

MakeLLM = Callable[..., ChatReplicate]


async def test_a_stream_yields_each_token_once_and_in_time(
    llm: ChatReplicate, words: list[str]
) -> None:
    chunks = [chunk async for chunk in llm.astream("Hi")]
    assert [chunk.content for chunk in chunks] == [*[word for word in words if word], ""]


async def test_only_the_last_chunk_is_marked_and_has_metadata(llm: ChatReplicate) -> None:
    chunks = [chunk async for chunk in llm.astream("Hi")]
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    # LangChain itself notes the provider on nothing; all of it is on the one chunk.
    assert [bool(chunk.response_metadata) for chunk in chunks][:-1] == [False] * (len(chunks) - 1)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_sum_of_a_stream_is_the_whole_message(
    llm: ChatReplicate, replicate_emulator: Emulator, words: list[str]
) -> None:
    total: AIMessageChunk | None = None
    async for chunk in llm.astream("Hi"):
        assert isinstance(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk
    assert total is not None
    assert total.content == "".join(words)
    assert total.response_metadata["model_name"] == replicate_emulator.model
    assert total.response_metadata["finish_reason"] == "stop"
    assert total.response_metadata["prediction_id"] in replicate_emulator.predictions
    assert total.usage_metadata is not None
    assert total.usage_metadata["total_tokens"] == (
        total.usage_metadata["input_tokens"] + total.usage_metadata["output_tokens"]
    )


async def test_every_method_returns_the_same_text(llm: ChatReplicate, words: list[str]) -> None:
    assert (await llm.ainvoke("Hi")).content == "".join(words)
    assert llm.invoke("Hi").content == "".join(words)  # inside a running loop
    assert "".join(str(chunk.content) for chunk in llm.stream("Hi")) == "".join(words)
    assert [message.content for message in await llm.abatch(["Hi", "Ho"])] == [
        "".join(words),
        "".join(words),
    ]
    assert (await llm.ainvoke("Hi", stream=True)).content == "".join(words)


async def test_each_token_is_one_callback(llm: ChatReplicate, words: list[str]) -> None:
    texts = [
        event["data"]["chunk"].content
        async for event in llm.astream_events("Hi", version="v2")
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(texts) == "".join(words)
    assert len([text for text in texts if text]) == len([word for word in words if word])


async def test_a_chain_streams_through_it(llm: ChatReplicate, words: list[str]) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "About {topic}")]) | llm
    texts = [text async for text in (chain | StrOutputParser()).astream({"topic": "owls"})]
    assert "".join(texts) == "".join(words)
    assert len(texts) > 3


async def test_usage_can_be_switched_off(llm: ChatReplicate, replicate_emulator: Emulator) -> None:
    message = await llm.ainvoke("Hi", stream_usage=False)
    assert isinstance(message, AIMessage)
    assert message.usage_metadata is None
    assert not [r for r in replicate_emulator.requests if r.path.startswith("/v1/predictions/")]


async def test_reasoning_is_not_part_of_the_text(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = ["<think>", "Well", ", hm", "</think>", "So", " it is"]
    llm = make_llm()
    whole = await llm.ainvoke("Hi")
    total: AIMessageChunk | None = None
    async for chunk in llm.astream("Hi"):
        assert isinstance(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk
    assert total is not None
    for message in (whole, total):
        assert message.content == "So it is"
        assert message.additional_kwargs["reasoning_content"] == "Well, hm"
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


async def test_an_empty_answer_is_one_chunk(
    llm: ChatReplicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = []
    (chunk,) = [chunk async for chunk in llm.astream("Hi")]
    assert (chunk.content, chunk.chunk_position) == ("", "last")


async def test_a_broken_stream_is_completed(
    llm: ChatReplicate, replicate_emulator: Emulator, words: list[str]
) -> None:
    replicate_emulator.fault(Fault(on="stream", cut_after=90), times=2)
    assert "".join([str(c.content) async for c in llm.astream("Hi")]) == "".join(words)


@pytest.mark.parametrize("name", ["llm_stream_1_sse_200", "llm_stream_2_sse_200"])
async def test_a_recorded_stream_has_exactly_the_recorded_text(
    shared: Path, replicate_emulator: Emulator, name: str, make_llm: MakeLLM
) -> None:
    body = json.loads((shared / "recorded" / f"{name}.json").read_text())["response"]["body"]
    blocks = [block.split("\n") for block in body.split("\n\n") if "event: output" in block]
    recorded = ["\n".join(line[6:] for line in b if line[:6] == "data: ") for b in blocks]
    replicate_emulator.reply = recorded  # for the record, which the client compares
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
    replicate_emulator.fault(Fault(on="stream", garbage=head + body.encode()), times=2)
    llm = make_llm()
    chunks = [str(chunk.content) async for chunk in llm.astream("tell me a joke")]
    assert chunks == [*[token for token in recorded if token], ""]
    assert llm.invoke("tell me a joke").content == "".join(recorded)


def test_one_object_works_in_several_loops_and_threads(
    llm: ChatReplicate, words: list[str]
) -> None:
    async def ask() -> str:
        return str((await llm.ainvoke("Hi")).content)

    assert [asyncio.run(ask()) for _ in range(3)] == ["".join(words)] * 3
    assert [message.content for message in llm.batch(["a", "b", "c"])] == ["".join(words)] * 3

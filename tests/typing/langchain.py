"""`ChatReplicate` as a user's type checker sees it. Checked by mypy and pyright, not run."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretStr
from typing_extensions import assert_type

from langchain_replicate_stream import ChatReplicate
from replicate_stream import Client, PreparedRequest


class City(BaseModel):
    name: str


def make_models(client: Client) -> list[ChatReplicate]:
    return [
        ChatReplicate(model="a/b"),
        ChatReplicate(model="a/b", client=client),
        ChatReplicate(
            model="a/b",
            api_key="r8_FAKE",
            base_url="http://127.0.0.1:1",
            timeout=None,
            on_unsupported="warn",
            temperature=0,
            max_tokens=5,
            stop=["END"],
            model_kwargs={"n": 1},
            streaming=True,
        ),
        ChatReplicate(model="a/b", api_key=SecretStr("r8_FAKE"), stop="END"),
        ChatReplicate(model="a/b", api_key=lambda: "r8_FAKE"),
    ]


async def call(llm: ChatReplicate) -> None:
    assert_type(await llm.ainvoke("Hi"), AIMessage)
    assert_type(llm.invoke([HumanMessage("Hi")]), AIMessage)
    async for chunk in llm.astream([("human", "Hi")]):
        assert_type(chunk, AIMessageChunk)
    for chunk in llm.stream("Hi"):
        assert_type(chunk, AIMessageChunk)
    assert_type(llm.prepare("Hi"), PreparedRequest)
    assert_type(await llm.aprepare("Hi"), PreparedRequest)


def bind(llm: ChatReplicate) -> None:
    assert_type(llm.bind_tools([City], tool_choice="any"), Runnable[LanguageModelInput, AIMessage])
    assert_type(llm.with_structured_output(City), Runnable[LanguageModelInput, Any])
    assert_type(llm.temperature, float | None)
    assert_type(llm.model, str)

"""`ChatReplicate` as a user's type checker sees it. Checked by mypy and pyright, not run."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_core.exceptions import ModelError, ModelRateLimitError, OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr
from typing_extensions import assert_type

import replicate_stream
from langchain_replicate_stream import ChatReplicate, ReplicateEmbeddings, errors
from replicate_stream import Client, PreparedRequest


class City(BaseModel):
    name: str


class Place(TypedDict):
    name: str


@tool
def get_weather(city: str) -> str:
    """Get the weather."""
    return city


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
        ChatReplicate(model_name="a/b", replicate_api_token="r8_FAKE", stop_sequences=["END"]),
        ChatReplicate(model="a/b", api_key=lambda: "r8_FAKE"),
    ]


async def embed(client: Client) -> None:
    embeddings = ReplicateEmbeddings(model="a/b", query_instruction="query: ", timeout=None)
    ReplicateEmbeddings(model_name="a/b", client=client, batch_size=8, model_kwargs={"dim": 8})
    assert_type(embeddings.embed_query("Hi"), list[float])
    assert_type(await embeddings.aembed_documents(["Hi"]), list[list[float]])


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
    llm.bind_tools([get_weather, print, {"name": "add"}], parallel_tool_calls=False, strict=True)
    llm.bind_tools([], response_format=City, temperature=0.5)
    assert_type(llm.with_structured_output(City).invoke("Hi"), City)
    assert_type(llm.with_structured_output(Place, method="json_mode").invoke("Hi"), Place)
    result = llm.with_structured_output(City, include_raw=True).invoke("Hi")
    assert_type(result["raw"], AIMessage)
    assert_type(result["parsed"], City | None)
    assert_type(result["parsing_error"], BaseException | None)
    assert_type(llm.with_structured_output({"title": "city"}), Runnable[LanguageModelInput, Any])
    llm.with_structured_output({"title": "city"}, method="function_calling", include_raw=True)
    llm.with_structured_output(method="json_mode")
    assert_type(llm.get_num_tokens_from_messages([HumanMessage("Hi")], tools=[get_weather]), int)
    assert_type(llm.temperature, float | None)
    assert_type(llm.model, str)


def handle(llm: ChatReplicate) -> float | None:
    try:
        llm.invoke("Hi", stop=["END"], temperature=0.5)
    except errors.RateLimitError as error:
        both: tuple[replicate_stream.RateLimitError, ModelRateLimitError] = (error, error)
        assert_type(error.status, int | None)
        return both[0].retry_after
    except errors.AnswerFormatError as error:
        parser_error: OutputParserException = error
        raise parser_error from error
    except errors.ContextOverflowError as error:
        assert_type(error.prediction_id, str)
    except (errors.ReplicateTimeoutError, ModelError) as error:
        assert_type(error.is_retryable, bool)
    return None

"""The profile of a model, which agents and middleware read."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models import ModelProfile
from pydantic import BaseModel

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from replicate_stream import ParameterWarning, PredictionFailedError
from replicate_stream.testing import Emulator, Reply

MakeLLM = Callable[..., ChatReplicate]

FULL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "system_prompt": {"type": "string"},
        "image": {"type": "string", "format": "uri"},
        "response_format": {"type": "object"},
        "max_tokens": {"type": "integer", "maximum": 4096},
        "temperature": {"type": "number"},
    },
}


class Weather(BaseModel):
    """A weather report."""

    degrees: float


def get_profile(llm: ChatReplicate) -> ModelProfile:
    assert llm.profile is not None
    return llm.profile


def test_a_profile_is_known_from_the_models_name_without_a_request(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    entries = get_profile(make_llm(model="deepseek-ai/deepseek-r1"))
    assert entries["reasoning_output"] is True
    assert get_profile(make_llm(model="openai/gpt-4o"))["image_inputs"] is True
    assert get_profile(make_llm(model="meta/meta-llama-3-70b-instruct"))["max_input_tokens"] == 8192
    assert replicate_emulator.requests == []


def test_every_model_has_tool_calls_in_its_profile(make_llm: MakeLLM) -> None:
    entries = get_profile(make_llm(model="nobody/knows-it"))
    assert all(entries[key] for key in ("tool_calling", "tool_choice", "tool_call_streaming"))
    assert "max_input_tokens" not in entries
    assert "structured_output" not in entries


async def test_a_profile_has_more_after_the_schema_was_fetched(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("some/model", FULL, official=True)
    await make_llm(model="some/model").aprepare("Hi")
    entries = get_profile(make_llm(model="some/model"))
    assert entries["image_inputs"] is True
    assert entries["image_tool_message"] is True
    assert entries["audio_inputs"] is False
    assert entries["max_output_tokens"] == 4096
    assert entries["structured_output"] is True
    assert entries["temperature"] is True


def test_a_users_own_profile_is_kept(make_llm: MakeLLM) -> None:
    llm = make_llm(profile={"max_input_tokens": 7})
    assert llm.load_profile() == {"max_input_tokens": 7}
    llm.invoke("Hi")
    assert get_profile(llm) == {"max_input_tokens": 7}


@pytest.mark.parametrize("method", ["load_profile", "aprofile"])
async def test_a_profile_can_be_loaded_before_the_first_request(
    method: str, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("some/model", FULL, official=True)
    llm = make_llm(model="some/model")
    loaded = await llm.aprofile() if method == "aprofile" else llm.load_profile()
    assert loaded == get_profile(llm)
    assert loaded["structured_output"] is True
    assert [request.kind for request in replicate_emulator.requests] == ["model"]


@pytest.mark.parametrize("error", [None, "boom"])
@pytest.mark.parametrize("method", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_objects_profile_is_complete_after_its_first_request(
    method: str, error: str | None, make_llm: MakeLLM, replicate_emulator: Emulator, ask: Any
) -> None:
    replicate_emulator.add_model("some/model", FULL, official=True)
    replicate_emulator.reply = Reply("Hello", error=error)
    llm = make_llm(model="some/model")
    assert "structured_output" not in get_profile(llm)
    with suppress(PredictionFailedError):
        await ask(llm, method)
    assert get_profile(llm)["structured_output"] is True


async def test_a_profile_has_the_levels_of_reasoning(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    effort = {"type": "string", "enum": ["low", "high"], "default": "low"}
    properties = {"prompt": {"type": "string"}, "reasoning_effort": effort}
    replicate_emulator.add_model("some/model", {"properties": properties}, official=True)
    entries = await make_llm(model="some/model").aprofile()
    assert entries["name"] == "some/model"
    assert entries["reasoning_effort_levels"] == ["low", "high"]
    assert entries["reasoning_effort_default"] == "low"
    assert entries["reasoning_output"] is True
    assert entries["attachment"] is False


async def test_the_reasoning_effort_goes_to_the_nearest_level(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    effort = {"type": "string", "enum": ["low", "high"]}
    properties = {"prompt": {"type": "string"}, "effort": effort}
    replicate_emulator.add_model("some/model", {"properties": properties}, official=True)
    llm = make_llm(model="some/model", reasoning_effort="high")
    await llm.ainvoke("Hi")
    with pytest.warns(ParameterWarning, match="low instead of reasoning_effort=minimal"):
        await llm.ainvoke("Hi", reasoning_effort="minimal")
    used = [each.input["effort"] for each in replicate_emulator.predictions.values()]
    assert used == ["high", "low"]
    with pytest.raises(core.UnsupportedParameterError, match="reasoning_effort"):
        await make_llm(reasoning_effort="high").ainvoke("Hi")


async def test_an_agent_requests_json_from_a_model_with_an_input_for_it(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("some/model", FULL, official=True)
    await make_llm(model="some/model").aprepare("Hi")
    replicate_emulator.reply = json.dumps({"degrees": 21})
    agent: Any = create_agent(make_llm(model="some/model"), response_format=Weather)
    state = await agent.ainvoke({"messages": "How warm is it?"})
    assert state["structured_response"] == Weather(degrees=21)
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["response_format"]["type"] == "json_schema"


def test_the_summarization_middleware_uses_the_context_window(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.enqueue("They talked about owls.")
    replicate_emulator.enqueue("Owls, then.")
    llm = make_llm()
    shorten = SummarizationMiddleware(llm, trigger=("fraction", 0.5), keep=("messages", 1))
    agent: Any = create_agent(llm, middleware=[shorten])
    turns = [("human", "owls " * 100), ("ai", "Indeed. " * 100)] * 20
    state = agent.invoke({"messages": [*turns, ("human", "What of?")]})
    assert state["messages"][-1].content == "Owls, then."
    assert len(replicate_emulator.predictions) == 2

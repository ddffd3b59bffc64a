"""What the framework plans with: the context window, and the room for an answer."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.prompts import PromptTemplate

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

SCHEMA = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "max_tokens": {"type": "integer", "default": 700, "maximum": 2000},
    },
}


def test_a_well_known_models_window_is_known_by_its_name() -> None:
    llm = Replicate("meta/meta-llama-3-70b-instruct")
    assert llm.metadata.context_window == 8192
    assert llm.metadata.model_name == "meta/meta-llama-3-70b-instruct"


def test_nothing_is_known_of_an_unknown_model_so_the_frameworks_defaults_hold() -> None:
    assert Replicate("acme/oracle").metadata.context_window == 3900
    assert Replicate("acme/oracle").metadata.num_output == 256


async def test_the_schema_tells_more_once_it_has_been_looked_up(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("acme/oracle", SCHEMA, official=True)
    llm = make_llm(model="acme/oracle")
    assert llm.metadata.num_output == 256
    assert replicate_emulator.requests == []  # asking cost nothing
    await llm.acomplete("Hi")
    asked = len(replicate_emulator.requests)
    assert llm.metadata.num_output == 700
    assert len(replicate_emulator.requests) == asked


def test_what_the_user_says_wins() -> None:
    llm = Replicate("meta/meta-llama-3-70b-instruct", context_window=1000, max_tokens=50)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (1000, 50)


@pytest.mark.parametrize("window", [None, 512])
def test_there_is_always_room_for_a_prompt(window: int | None) -> None:
    llm = Replicate("acme/oracle", context_window=window, max_tokens=100_000)
    assert llm.metadata.num_output == llm.metadata.context_window // 2
    helper = PromptHelper.from_llm_metadata(llm.metadata)
    (text,) = helper.repack(PromptTemplate("{context_str}: {query}"), ["one", "two"], llm=llm)
    assert text.split() == ["one", "two"]


def test_what_kind_of_model_it_is_can_be_said() -> None:
    told = Replicate("a/b").metadata
    assert (told.is_chat_model, told.is_function_calling_model) == (True, True)
    told = Replicate("a/b", is_chat_model=False, is_function_calling_model=False).metadata
    assert (told.is_chat_model, told.is_function_calling_model) == (False, False)


def test_tracers_are_told_the_model_and_its_temperature() -> None:
    told = Replicate("a/b", temperature=0.5, max_tokens=9, system_prompt="FAKE_PROMPT").to_payload()
    assert (told["class_name"], told["model"]) == ("replicate_stream_llm", "a/b")
    assert (told["temperature"], told["max_tokens"]) == (0.5, 9)
    assert "FAKE_PROMPT" not in str(told)

"""What a newcomer sees who leaves out the token or the model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from pydantic import ValidationError

from langchain_replicate_stream import ChatReplicate
from langchain_replicate_stream.errors import MissingAuthError
from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator

MODEL = "meta/meta-llama-3-70b-instruct"
LANGCHAIN = (
    f"from langchain_replicate_stream import ChatReplicate\nllm = ChatReplicate(model='{MODEL}')\n"
)
LLAMA_INDEX = (
    f"from llama_index_replicate_stream import Replicate\nllm = Replicate(model='{MODEL}')\n"
)
PROGRAMS = {
    "invoke": f"{LANGCHAIN}llm.invoke('Hi')",
    "stream": f"{LANGCHAIN}list(llm.stream('Hi'))",
    "complete": f"{LLAMA_INDEX}llm.complete('Hi')",
    "stream_complete": f"{LLAMA_INDEX}list(llm.stream_complete('Hi'))",
}
# The frames of asyncio itself are further lines.
ASYNC_PROGRAMS = {
    "ainvoke": f"import asyncio\n{LANGCHAIN}asyncio.run(llm.ainvoke('Hi'))",
    "acomplete": f"import asyncio\n{LLAMA_INDEX}asyncio.run(llm.acomplete('Hi'))",
}


def run_without_token(program: str) -> list[str]:
    environment = {name: v for name, v in os.environ.items() if name != "REPLICATE_API_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()


@pytest.mark.parametrize("name", [*PROGRAMS, *ASYNC_PROGRAMS])
def test_a_missing_token_is_an_error_of_ten_lines_that_names_the_remedy(name: str) -> None:
    lines = run_without_token({**PROGRAMS, **ASYNC_PROGRAMS}[name])
    assert "MissingAuthError: No Replicate API token: set REPLICATE_API_TOKEN" in lines[-1]
    assert "https://replicate.com/account/api-tokens" in lines[-1]
    assert len(lines) <= (10 if name in PROGRAMS else 20)


async def test_a_missing_token_is_the_frameworks_error_in_a_chain_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    llm: BaseChatModel = ChatReplicate(model=MODEL)
    chain = llm | str
    with pytest.raises(MissingAuthError):
        chain.invoke("Hi")
    with pytest.raises(MissingAuthError):
        await chain.ainvoke("Hi")
    with pytest.raises(MissingAuthError):
        async for _ in chain.astream("Hi"):
            pass


def test_a_cache_answers_without_a_token(
    replicate_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = InMemoryCache()
    settings: dict[str, Any] = {
        "model": replicate_emulator.model,
        "base_url": replicate_emulator.base_url,
    }
    with_token = ChatReplicate(api_key=replicate_emulator.token, cache=cache, **settings)
    answer = with_token.invoke("Hi").text
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    assert ChatReplicate(cache=cache, **settings).invoke("Hi").text == answer


def test_a_function_or_a_header_is_a_token(replicate_emulator: Emulator) -> None:
    model, token = replicate_emulator.model, replicate_emulator.token
    header = {"Authorization": f"Bearer {token}"}
    base_url = replicate_emulator.base_url
    for llm in (
        ChatReplicate(model=model, base_url=base_url, api_key=lambda: token),
        ChatReplicate(model=model, base_url=base_url, api_key="", default_headers=header),
    ):
        assert llm.invoke("Hi").text
    for other in (
        Replicate(model=model, base_url=base_url, api_key=lambda: token),
        Replicate(model=model, base_url=base_url, api_key="", default_headers=header),
    ):
        assert other.complete("Hi").text


@pytest.mark.parametrize("cls", [ChatReplicate, Replicate])
def test_an_object_without_a_model_names_the_argument_model(cls: type) -> None:
    with pytest.raises((ValidationError, TypeError)) as caught:
        cls()
    assert re.search(r"\bmodel\b", str(caught.value))
    assert "model_name" not in str(caught.value)

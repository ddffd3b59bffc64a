"""`replicate-stream batch` answers a file line by line, and goes on where it was interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from replicate_stream._cli import main
from replicate_stream._cli.progress import LineDisplay, Progress
from replicate_stream._local_files import MAX_BYTES
from replicate_stream.testing import Emulator, Fault, Reply

RunBatch = Callable[..., Result]
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,"
LINES = [{"key": "a", "prompt": "What is ka?"}, {"prompt": "What is kb?"}]


def answer(values: Mapping[str, Any]) -> Any:
    prompt = str(values["prompt"])
    if "failure" in prompt:
        return Reply(error="E1001")
    return "".join(word for word in prompt.split() if word.startswith("k"))


@pytest.fixture
def environment(replicate_emulator: Emulator) -> dict[str, str]:
    replicate_emulator.reply = answer
    return {
        "REPLICATE_API_TOKEN": replicate_emulator.token,
        "REPLICATE_BASE_URL": replicate_emulator.base_url,
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> RunBatch:
    """Runs the command on lines, from in.jsonl to out.jsonl."""

    def run(lines: list[Any], *options: str) -> Result:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / "in.jsonl").write_text("\n".join(texts), encoding="utf-8")
        files = [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
        return CliRunner(env=environment).invoke(main, ["batch", *files, *options])

    return run


@pytest.fixture
def read(tmp_path: Path) -> Callable[[], dict[Any, Any]]:
    """Reads the results by key; there is one line for each."""

    def read() -> dict[Any, Any]:
        lines = (tmp_path / "out.jsonl").read_bytes().decode().splitlines()
        results = [json.loads(line) for line in lines]
        by_key = {result["key"]: result for result in results}
        assert len(by_key) == len(results)
        return by_key

    return read


def test_each_line_has_a_result_under_its_key_or_its_number(run: RunBatch, read: Any) -> None:
    result = run([*LINES, "", {"key": 7, "messages": [{"role": "user", "content": "kc"}]}])
    assert result.exit_code == 0
    assert {key: fields["text"] for key, fields in read().items()} == {
        "a": "ka?",
        2: "kb?",
        7: "kc",
    }
    fields = read()["a"]
    assert fields.keys() == {"key", "text", "finish_reason", "usage", "prediction_id"}
    assert fields["usage"]["output_tokens"] > 0
    assert "3 of 3 answered, 0 failed, " in result.stderr


def test_a_line_overrides_model_and_parameters(run: RunBatch, replicate_emulator: Emulator) -> None:
    replicate_emulator.add_model("other/model", official=True)
    lines = [*LINES, {"prompt": "kc", "max_tokens": 9, "model": "other/model"}]
    assert run(lines, "--max-tokens", "5", "--concurrency", "1").exit_code == 0
    created = replicate_emulator.predictions.values()
    assert [each.input.get("max_tokens") for each in created] == [5, 5, 9]
    assert [each.model for each in created] == [Emulator.model, Emulator.model, "other/model"]
    assert {each.headers["cancel-after"] for each in created} == {"600s"}


def test_lines_have_images_and_formats_of_their_own(
    run: RunBatch, read: Any, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.gif").write_bytes(GIF)
    image = {"type": "string", "format": "uri"}
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}, "image": image}}
    replicate_emulator.add_model("some/seer", schema, official=True)
    replicate_emulator.reply = lambda values: '{"n": 1}' if "JSON" in str(values) else "kx"
    city = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    lines = [
        {"key": "file", "prompt": "What is this?", "images": ["cats/1.gif"]},
        {"key": "url", "prompt": "And this?", "images": ["HTTPS://example.com/2.gif"]},
        {"key": "json", "prompt": "Count", "response_format": city},
    ]
    result = run(lines, "-m", "some/seer", "--concurrency", "1")
    assert result.exit_code == 0, result.stderr
    images = [each.input.get("image", "") for each in replicate_emulator.predictions.values()]
    assert images[0].startswith("data:image/gif;base64,")
    assert images[1:] == ["https://example.com/2.gif", ""]
    assert json.loads(read()["json"]["text"]) == {"n": 1}


def test_failed_lines_have_one_error_line_each_and_can_be_run_again_alone(
    run: RunBatch, read: Any, replicate_emulator: Emulator
) -> None:
    unknown = {"key": "y", "prompt": "ky", "extra_input": {"unknown": 7}}
    lines = [*LINES, {"key": "x", "prompt": "failure kx"}, unknown]
    result = run(lines)
    assert result.exit_code == 3
    assert "2 of 4 answered, 2 failed" in result.stderr
    assert read()["x"]["error"]["type"] == "PredictionFailedError"
    assert "E1001" in read()["x"]["error"]["message"]
    assert read()["x"]["error"]["prediction_id"] in replicate_emulator.predictions
    assert read()["y"]["error"]["type"] == "UnsupportedParameterError"
    assert run(lines).exit_code == 3
    assert len(replicate_emulator.predictions) == 3
    replicate_emulator.reply = "now"
    assert run(lines, "--retry-failed").exit_code == 3
    assert {key: fields.get("text") for key, fields in read().items()} == {
        "a": "ka?",
        2: "kb?",
        "x": "now",
        "y": None,
    }
    assert len(replicate_emulator.predictions) == 4


@pytest.mark.parametrize("lost", ["output", "last line", "nothing"])
def test_a_repeated_run_completes_the_output_without_any_request(
    run: RunBatch, read: Any, replicate_emulator: Emulator, tmp_path: Path, lost: str
) -> None:
    run(LINES)
    expected, requests = read(), len(replicate_emulator.requests)
    output = tmp_path / "out.jsonl"
    if lost == "output":
        output.unlink()
    elif lost == "last line":
        output.write_bytes(output.read_bytes()[:-20])
    assert run(LINES).exit_code == 0
    assert read() == expected
    assert len(replicate_emulator.requests) == requests


def test_a_line_that_has_changed_is_an_error_and_its_answer_stays(
    run: RunBatch, read: Any, replicate_emulator: Emulator
) -> None:
    run(LINES)
    expected = read()
    result = run([{"key": "a", "prompt": "Another one"}, *LINES[1:]])
    assert result.exit_code == 3
    assert "a: request 'a' is another one than in the journal" in result.stderr
    assert read() == expected
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 "),
        ("5", "line 2 is not a JSON object"),
        ({}, "line 2 needs either a prompt or messages"),
        ({"prompt": "p", "messages": []}, "line 2 needs either a prompt or messages"),
        ({"prompt": ["p"]}, "line 2 has a prompt that is not a string"),
        ({"messages": "p"}, "line 2 has messages that are not a list of at least one"),
        ({"messages": []}, "line 2 has messages that are not a list of at least one"),
        ({"prompt": "p", "key": None}, "line 2 has a key"),
        ({"prompt": "p", "key": True}, "line 2 has a key"),
        ({"prompt": "p", "key": "a"}, "line 2 has the key 'a' of line 1"),
        ({"prompt": "p", "max_token": 5}, "did you mean 'max_tokens'"),
        ({"prompt": "p", "temperature": "hot"}, "line 2 cannot be asked: temperature is 'hot'"),
        ({"prompt": "p", "max_tokens": 0}, "line 2 cannot be asked: max_tokens is 0"),
        ({"prompt": "p", "top_p": 7}, "line 2 cannot be asked: top_p is 7"),
        ({"prompt": "p", "response_format": "json"}, "line 2 cannot be asked: response_format is"),
        ({"prompt": "p", "extra_input": [1]}, "extra_input is of type list"),
        ({"prompt": "p", "model": "llama"}, "line 2 cannot be asked: model has no owner"),
        ({"messages": [{"role": "user", "content": 5}]}, "line 2 cannot be asked: messages[0]"),
        ({"messages": ["p", 7]}, "line 2 cannot be asked: messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "line 2 cannot be asked"),
        ({"prompt": "p", "images": "a.gif"}, "line 2 has images that are not a list"),
        ({"prompt": "p", "images": ["none.gif"]}, "line 2 names none.gif, which is no file"),
        ({"prompt": "p", "images": ["R0lGOD" * 999]}, "R0lGODR0…, which is no file and no URL"),
        ({"prompt": "p", "files": ["a\0b"]}, "which is no file and no URL"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_line_is_named_before_anything_is_paid(
    run: RunBatch, replicate_emulator: Emulator, tmp_path: Path, line: Any, problem: str
) -> None:
    result = run([LINES[0], line])
    assert result.exit_code == 2
    assert problem in " ".join(result.stderr.split())
    assert replicate_emulator.requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_files_of_something_else_are_left_as_they_are(
    run: RunBatch, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("mine\n")
    result = run(LINES)
    assert (result.exit_code, "the journal of its run, does not" in result.stderr) == (2, True)
    assert not (tmp_path / "out.jsonl.journal").exists()
    (tmp_path / "out.jsonl.journal").write_text("mine\n")
    result = run(LINES)
    assert (result.exit_code, "is not a journal" in result.stderr) == (1, True)
    (tmp_path / "out.jsonl.journal").write_bytes(b"")
    result = run(LINES)
    assert (result.exit_code, "is not a result of this command" in result.stderr) == (2, True)
    assert (tmp_path / "out.jsonl").read_text() == "mine\n"
    assert replicate_emulator.requests == []


@pytest.mark.parametrize(
    "line",
    [
        *("[]", '["key"]', '{"key": []}', '{"key": {}}', '{"id": 1}', "[" * 10**5),
        '{"key": "a", "prompt": "What is ka?"}',
    ],
)
def test_an_output_of_other_json_is_left_as_it_is(
    run: RunBatch, replicate_emulator: Emulator, tmp_path: Path, line: str
) -> None:
    (tmp_path / "out.jsonl").write_text(f"{line}\n")
    (tmp_path / "out.jsonl.journal").write_bytes(b"")
    result = run(LINES)
    assert (result.exit_code, "is not a result of this command" in result.stderr) == (2, True)
    assert (tmp_path / "out.jsonl").read_text() == f"{line}\n"
    assert not (tmp_path / "out.jsonl.draft").exists()
    assert replicate_emulator.requests == []


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl"])
def test_a_line_without_an_end_is_an_error_in_bounded_memory(
    run: RunBatch, replicate_emulator: Emulator, tmp_path: Path, name: str
) -> None:
    in_file, out_file = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    in_file.write_text('{"prompt": "ka"}\n')
    out_file.touch()
    (tmp_path / "out.jsonl.journal").touch()
    with (tmp_path / name).open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.truncate(8 * 2**30)  # zeros, which take no room on the disk
    tracemalloc.start()
    try:
        result = CliRunner().invoke(main, ["batch", str(in_file), "-o", str(out_file)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    line = 2 if name == "in.jsonl" else 1
    assert result.exit_code == 2
    assert f"{name}: line {line} is longer than 100 MiB" in " ".join(result.stderr.split())
    assert peak < 3 * MAX_BYTES
    assert replicate_emulator.requests == []


@pytest.mark.parametrize("names", ["in in j", "in out in", "in x x"])
def test_one_file_in_two_places_is_refused(
    run: RunBatch, replicate_emulator: Emulator, tmp_path: Path, names: str
) -> None:
    run(LINES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    requests, output, journal = (str(tmp_path / "." / f"{name}.jsonl") for name in names.split())
    arguments = ["batch", requests, "-o", output, "--journal", journal]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, "must be three files" in result.stderr) == (2, True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(replicate_emulator.predictions) == len(LINES)


def test_a_file_that_cannot_be_written_is_named(run: RunBatch, tmp_path: Path) -> None:
    result = run(LINES, "--journal", str(tmp_path / "none" / "journal"))
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'none' / 'journal'}: No such file or directory\n"


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_requests_that_cannot_be_read_twice_are_refused(
    kind: str, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    arguments = ["batch", str(path), "-o", str(tmp_path / "out.jsonl")]
    result = CliRunner(env=environment).invoke(main, arguments)
    assert (result.exit_code, "in.jsonl is no regular file" in result.stderr) == (2, True)


def test_a_refused_token_ends_the_batch_with_one_line(
    run: RunBatch, read: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault("create", status=401), times=None)
    result = run(LINES)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    replicate_emulator.clear_faults()
    assert run(LINES).exit_code == 0
    assert len(read()) == 2


def test_a_result_is_one_line_for_every_reader(
    run: RunBatch, read: Any, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    text = "a\u2028b\u2029c\x85d\ne\x0bé\\"
    replicate_emulator.reply = Reply([text], output=[text])
    run(LINES)
    assert len((tmp_path / "out.jsonl").read_text("utf-8").splitlines()) == len(LINES)
    assert read()["a"]["text"] == text
    assert "é" in (tmp_path / "out.jsonl").read_text("utf-8")


def start(environment: Mapping[str, str], folder: Path, *code: str, **settings: Any) -> Any:
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    command = ["-c", *code] if code else ["-m", "replicate_stream"]
    return subprocess.Popen(
        [sys.executable, *command, "batch", "in.jsonl", "-o", "out.jsonl"],
        env={**os.environ, **environment},
        cwd=folder,
        **settings,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for a single process")
def test_ctrl_c_ends_it_and_the_same_command_pays_for_nothing_twice(
    run: RunBatch,
    read: Any,
    environment: dict[str, str],
    replicate_emulator: Emulator,
    tmp_path: Path,
) -> None:
    gate = threading.Event()

    def wait(values: Mapping[str, Any]) -> Iterator[str]:
        yield answer(values)
        gate.wait(20)

    replicate_emulator.reply = wait
    with start(environment, tmp_path, stderr=subprocess.PIPE, text=True) as process:
        replicate_emulator.wait_for(lambda e: e.streams_open == 2, timeout=30)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command takes it up" in errors
    assert "Traceback" not in errors
    assert replicate_emulator.cancels == []
    gate.set()
    assert run(LINES).exit_code == 0
    assert len(read()) == len(replicate_emulator.predictions) == 2


WITHOUT_RICH = (
    "import sys; sys.modules['rich'] = None; from replicate_stream._cli import main; main()"
)
WITH_RICH = "from replicate_stream._cli import main; main()"


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize("code", [WITHOUT_RICH, WITH_RICH], ids=["line", "bar"])
def test_a_terminal_shows_rate_remaining_time_tokens_and_failures(
    code: str, environment: dict[str, str], replicate_emulator: Emulator, tmp_path: Path
) -> None:
    if code == WITH_RICH:
        pytest.importorskip("rich")
    import pty

    parent, child = pty.openpty()
    # More than the fifth of a second after which a line is drawn again.
    replicate_emulator.reply = Reply(["k", "!"], delays=0.3)
    environment = {**environment, "TERM": "xterm", "COLUMNS": "120"}
    with start(environment, tmp_path, code, stderr=child) as process:
        os.close(child)
        shown = b""
        with suppress(OSError):  # the other end was closed
            while True:
                shown += os.read(parent, 4096)
    os.close(parent)
    text = shown.decode()
    assert process.returncode == 0
    assert "/s, " in text
    assert " left, " in text
    assert " tokens, 0 failed" in text
    assert re.search("[12]/2", text)
    assert "2 of 2 answered" in text


def test_a_line_that_is_printed_meanwhile_does_not_run_into_the_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("replicate_stream._cli.progress._INTERVAL_ON_TERMINAL", 0)
    with LineDisplay() as display:
        display.show(Progress(2))
        display.print("a: failed")
    assert re.fullmatch(r"\r0/2, .*\r +\ra: failed\n", capsys.readouterr().err)


def test_rich_is_imported_by_nothing_but_a_bar() -> None:
    program = (
        "import sys\n"
        "from replicate_stream import Client\n"
        "assert 'replicate_stream._batch' not in sys.modules\n"
        "import replicate_stream._cli\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_help_explains_lines_and_exit_codes() -> None:
    text = CliRunner().invoke(main, ["batch", "--help"]).output
    parts = ("A line of IN.jsonl", "A line of OUT.jsonl", "Exit status", "130", "--retry-failed")
    assert [part for part in parts if part not in text] == []

"""A conversation on a real terminal: the command in a pseudo-terminal, as a person types."""

from __future__ import annotations

import json
import os
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from replicate_stream.testing import Emulator, Fault, Reply

pty = pytest.importorskip("pty", reason="needs pseudo-terminals", exc_type=ImportError)
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

# Makes the terminal the program's own, so that Ctrl-C is a signal, and then becomes the command.
LAUNCHER = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'replicate_stream', *sys.argv[1:]])"
)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """A pseudo-terminal with a command in it."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        output: Path | None = None,
        columns: int = 0,
    ) -> None:
        self.master, slave = pty.openpty()
        size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        stdout: Any = slave if output is None else output.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *command],
            stdin=slave,
            stdout=stdout,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        if output is not None:
            stdout.close()
        os.close(slave)
        self.raw = ""
        self._read_until = 0

    @property
    def shown(self) -> str:
        """All text so far, without control sequences."""
        return CONTROL.sub("", self.raw)

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Read until a text has appeared behind the one that was waited for before."""
        ends_at = time.monotonic() + seconds
        while (at := self.shown.find(text, self._read_until)) < 0:
            ready, _, _ = select.select([self.master], [], [], max(0, ends_at - time.monotonic()))
            assert ready, f"{text!r} did not appear in {self.shown!r}"
            self.raw += self._read()
        self._read_until = at + len(text)

    def shows(self, text: str, within: float) -> bool:
        """Whether a text appears within some seconds; `wait_for` goes on behind it."""
        try:
            self.wait_for(text, within)
        except AssertionError:
            return False
        return True

    def _read(self) -> str:
        try:
            data = os.read(self.master, 4096)
        except OSError:  # Linux reports the end in this way
            data = b""
        assert data, f"the command ended: {self.shown!r}"
        return data.decode(errors="replace")

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self.master, text.encode())

    def ask(self, line: str) -> None:
        """Type a line once the prompt is there."""
        self.wait_for("> ")
        self.type(f"{line}\n")

    def end(self) -> int:
        """Type Ctrl-D at the prompt; return the exit status."""
        self.wait_for("> ")
        self.type("\x04")
        return self.process.wait(timeout=30)


Open = Callable[..., Terminal]


@pytest.fixture
def open_terminal(replicate_emulator: Emulator) -> Iterator[Open]:
    """Opens a terminal with `replicate-stream chat` in it; takes further arguments."""
    terminals: list[Terminal] = []

    def open_terminal(
        *arguments: str, output: Path | None = None, columns: int = 0, **environment: str
    ) -> Terminal:
        settings = {
            "REPLICATE_API_TOKEN": replicate_emulator.token,
            "REPLICATE_BASE_URL": replicate_emulator.base_url,
        }
        values = {**settings, **environment}
        terminals.append(Terminal(["chat", *arguments], values, output, columns))
        return terminals[-1]

    yield open_terminal
    for terminal in terminals:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def get_prompts(emulator: Emulator) -> list[str]:
    return [str(prediction.input) for prediction in emulator.predictions.values()]


def test_a_conversation_remembers_questions_and_answers_until_it_is_cleared(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = lambda _: f"Answer {len(replicate_emulator.predictions)}."
    terminal = open_terminal()
    for at, line in enumerate(("First?", "Second?", "/clear", "Third?")):
        terminal.ask(line)
        if line != "/clear":
            terminal.wait_for(f"Answer {at + 1 - (at > 2)}.")
    assert terminal.end() == 0
    first, second, third = get_prompts(replicate_emulator)
    assert "First?" in first
    assert all(text in second for text in ("First?", "Answer 1.", "Second?"))
    assert "Third?" in third
    assert not any(text in third for text in ("First?", "Answer", "Second?"))


def test_system_prompt_and_model_can_be_changed(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    replicate_emulator.reply = ["Yes."]
    terminal = open_terminal("-s", "Be brief.", "--max-tokens", "9")
    for line in ("One?", "/system Be long.", "Two?", "/system", "/model other/model", "Three?"):
        terminal.ask(line)
        if not line.startswith("/"):
            terminal.wait_for("Yes.")
    terminal.ask("/model")
    terminal.wait_for("other/model")
    assert terminal.end() == 0
    one, two, three = get_prompts(replicate_emulator)
    assert ("Be brief." in one, "Be long." in one) == (True, False)
    assert ("Be brief." in two, "Be long." in two) == (False, True)
    assert "Be " not in three
    models = [each.version.model for each in replicate_emulator.predictions.values()]
    assert models == [replicate_emulator.model] * 2 + ["other/model"]
    assert all(p.input["max_tokens"] == 9 for p in replicate_emulator.predictions.values())


def test_a_message_of_several_lines_is_sent_as_it_is(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model("other/model", official=True)
    terminal = open_terminal("-m", "other/model")
    terminal.ask('"""/not a command')
    terminal.wait_for(". ")
    terminal.type("  indented\n")
    terminal.wait_for(". ")
    terminal.type('last"""\n')
    terminal.wait_for("scripted answer")
    assert terminal.end() == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["prompt"] == "/not a command\n  indented\nlast"


def test_ctrl_c_cancels_the_answer_and_keeps_the_conversation(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.token_delay = 0.01
    replicate_emulator.enqueue(["word "] * 10_000)
    replicate_emulator.enqueue(["Done."])
    terminal = open_terminal()
    terminal.ask("Tell me a long story.")
    terminal.wait_for("word word")
    terminal.type("\x03")
    terminal.wait_for("The answer was canceled.")
    terminal.ask("Shorter?")
    terminal.wait_for("Done.")
    assert terminal.end() == 0
    first, second = replicate_emulator.predictions
    assert replicate_emulator.cancels == [first]
    prompt = str(replicate_emulator.predictions[second].input)
    assert all(text in prompt for text in ("long story", "word word", "Shorter?"))
    assert "Traceback" not in terminal.shown


def test_ctrl_c_at_the_prompt_drops_the_line_and_keeps_the_conversation(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    terminal = open_terminal()
    terminal.wait_for("> ")
    terminal.type("half a ques")
    terminal.wait_for("half a ques")
    # Python misses the signal just before it waits for a key, as any program with readline does.
    for _ in range(10):
        terminal.type("\x03")
        if terminal.shows("Ctrl-D ends the conversation.", within=1):
            break
    terminal.ask("A whole one?")
    terminal.wait_for("scripted answer")
    assert terminal.end() == 0
    (prompt,) = get_prompts(replicate_emulator)
    assert "half" not in prompt


def test_characters_that_the_terminals_encoding_lacks_are_an_error_and_not_the_end(
    open_terminal: Open,
) -> None:
    terminal = open_terminal(PYTHONIOENCODING="ascii:strict", LC_ALL="C.UTF-8")
    terminal.ask("Straße")
    terminal.wait_for("Error: the line is not in the terminal's encoding")
    assert terminal.end() == 0


def test_an_error_ends_the_answer_and_not_the_conversation(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.fault(Fault(on="create", status=402))
    terminal = open_terminal()
    terminal.ask("First?")
    terminal.wait_for("Error: ")
    terminal.ask("Second?")
    terminal.wait_for("scripted answer")
    assert terminal.end() == 0
    (prompt,) = get_prompts(replicate_emulator)
    assert "First?" not in prompt  # or the model would see two questions in a row


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/sytem Be brief.", "/sytem is not a command"),
        ("/model llama", "model has no owner"),
        ("/help", "/system [TEXT]"),
        ("/exit now", "/exit takes no text"),
        ("/clear all", "/clear takes no text"),
        ("/help me", "/help takes no text"),
    ],
)
def test_a_command_is_never_sent_to_the_model(
    line: str, words: str, open_terminal: Open, replicate_emulator: Emulator
) -> None:
    terminal = open_terminal()
    terminal.ask(line)
    terminal.wait_for(words)
    terminal.ask("/exit")
    assert terminal.process.wait(timeout=30) == 0
    assert not replicate_emulator.predictions


def test_a_file_goes_with_the_first_question(
    open_terminal: Open, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    text, uri = {"type": "string"}, {"type": "string", "format": "uri"}
    schema: dict[str, Any] = {"type": "object", "properties": {"prompt": text, "image": uri}}
    replicate_emulator.add_model("own/seeing", schema, official=True)
    terminal = open_terminal("-m", "own/seeing", "--image", "https://example.org/owl.png")
    terminal.ask("What is this?")
    terminal.wait_for("scripted answer")
    assert terminal.end() == 0
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input["image"] == "https://example.org/owl.png"


def test_the_error_behind_a_part_of_an_answer_has_a_line_of_its_own(
    open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply(["one ", "two "], error="E1001")
    terminal = open_terminal()
    terminal.ask("Count.")
    terminal.wait_for("one two \nError: prediction ")
    assert terminal.end() == 0


def test_ctrl_c_before_the_prompt_is_sent_tells_of_no_prediction(
    open_terminal: Open, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    terminal = open_terminal(output=tmp_path / "answer.txt")
    terminal.wait_for("Type the prompt; Ctrl-D ends it.")
    terminal.type("\x03")
    # Python does not see a signal that comes just before it waits, until the next one comes.
    while not terminal.shows("Interrupted.", within=2):
        terminal.type("\x03")
    assert terminal.process.wait(timeout=30) == 130
    assert "canceled" not in terminal.shown
    assert not replicate_emulator.predictions


@pytest.fixture(params=[True, False], ids=["rich", "no rich"])
def rich(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of an environment with rich, and of one without it."""
    if request.param:
        pytest.importorskip("rich")
        return {}
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')")
    path = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{path}"}


def test_the_standard_output_is_the_same_whatever_the_standard_error_is(
    rich: dict[str, str], open_terminal: Open, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.behaviour.boot_time = 0.5
    replicate_emulator.reply = ["Booted."]
    terminal = open_terminal("--json", "Hi", output=tmp_path / "events.jsonl", **rich)
    terminal.wait_for("The prediction is starting")
    assert terminal.process.wait(timeout=30) == 0
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [each.get("status") for each in events] == ["starting", "processing", None, None]
    assert "StatusChanged" not in terminal.shown


def test_an_event_has_a_line_of_its_own_on_a_terminal(
    rich: dict[str, str], open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 0.5
    replicate_emulator.reply = ["Booted."]
    terminal = open_terminal("--json", "Hi", **rich)
    terminal.wait_for("The prediction is starting")
    for name in ("StatusChanged", "TextDelta", "Finished"):
        terminal.wait_for(f'"type": "{name}"')
    assert terminal.process.wait(timeout=30) == 0
    printed = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.raw)
    assert not re.search(r'[^\r\n]\{"type"', printed)


def test_a_status_without_rich_is_no_wider_than_the_terminal(
    open_terminal: Open, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    replicate_emulator.behaviour.boot_time = 0.5
    replicate_emulator.reply = ["Yes."]
    terminal = open_terminal("Hi", columns=16, PYTHONPATH=path)
    terminal.wait_for("Yes.")
    assert terminal.process.wait(timeout=30) == 0
    assert "\rThe prediction \r" in terminal.raw
    assert max(map(len, re.split(r"[\r\n]", terminal.raw))) < 16


def test_a_spinner_shows_that_a_model_boots_and_vanishes(
    rich: dict[str, str], open_terminal: Open, replicate_emulator: Emulator
) -> None:
    replicate_emulator.behaviour.boot_time = 0.5
    replicate_emulator.reply = ["Booted."]
    terminal = open_terminal("Hi", **rich)
    terminal.wait_for("The prediction is starting")
    terminal.wait_for("Booted.")
    assert terminal.process.wait(timeout=30) == 0
    # What a person sees in the end: the line of the spinner was erased before the answer came.
    before, _, _ = terminal.raw.rpartition("Booted.")
    last = before.rpartition("The prediction is")[2]
    assert "\x1b[2K" in last if not rich else re.search(r"\r +\r$", last)

"""The programs of examples/ run as they stand, in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from replicate_stream.testing import Emulator, Reply, ToolUser

EXAMPLES = Path(__file__).parents[2] / "examples"
EMBEDDING_MODEL = "beautyyuyanli/multilingual-e5-large"


def run(name: str, *arguments: str, typed: str = "") -> str:
    """Run a program that must succeed without a word on its standard error; return its output."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        input=typed,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def clerk(replicate_emulator: Emulator) -> Emulator:
    """An emulator whose model refunds the order, and then knows what was ordered."""
    refund = ToolUser(calls=[("refund", {"order": 17, "euros": 40})])
    recall = ToolUser(calls=[], answer="A teapot.")

    def reply(values: Mapping[str, Any]) -> Reply:
        return (recall if "What did I order?" in values["prompt"] else refund)(values)

    replicate_emulator.reply = reply
    return replicate_emulator


def test_the_agent_acts_once_a_human_has_said_yes_and_remembers_it(clerk: Emulator) -> None:
    output = run("langgraph_agent.py", typed="yes\n")
    assert "May I call refund with {'order': 17, 'euros': 40}?" in output
    assert "40 euros for order 17 were paid back." in output
    assert output.endswith("A teapot.\n")
    # The second question is part of the conversation that the checkpointer has kept.
    last = list(clerk.predictions.values())[-1]
    assert "My teapot of order 17 came broken." in last.input["prompt"]
    assert "40 euros for order 17 were paid back." in last.input["prompt"]


def test_the_agent_does_not_act_if_a_human_says_no(clerk: Emulator) -> None:
    output = run("langgraph_agent.py", typed="no\n")
    assert "A human said no." in output
    assert not any("were paid back" in str(each.input) for each in clerk.predictions.values())


def cite(values: Mapping[str, Any]) -> str:
    """Answer with the sentence about the water of the source that is asked for, and its number."""
    _, _, prompt = values["prompt"].rpartition("Below are several numbered sources")
    sources = re.findall(r"Source (\d+):\n(.*?)(?=\nSource |\nQuery: )", prompt, re.DOTALL)
    topic = "Green" if "green tea" in prompt.rpartition("Query: ")[2] else "Iron"
    for number, text in sources:
        found = re.search(rf"{topic}[^#.]*\.", text.partition("\n\n")[2] or text)
        if found:
            return f"{found[0]} [{number}]"
    raise AssertionError(f"no source about {topic} in {prompt}")


def test_an_answer_cites_the_file_that_holds_it(replicate_emulator: Emulator) -> None:
    replicate_emulator.reply = cite
    replicate_emulator.add_embedding_model(EMBEDDING_MODEL)
    output = run("rag_with_citations.py")
    cited = re.match(r"Green tea takes water of 70 to 80 degrees\. \[(\d)\]\n\n", output)
    assert cited is not None, output
    assert f"[{cited[1]}] green-tea.md: # Green tea" in output


def test_the_folder_and_the_question_are_arguments(
    replicate_emulator: Emulator, tmp_path: Path
) -> None:
    replicate_emulator.reply = cite
    replicate_emulator.add_embedding_model(EMBEDDING_MODEL)
    (tmp_path / "iron.txt").write_text("Iron rusts in wet air.")
    output = run("rag_with_citations.py", str(tmp_path), "When does it rust?")
    assert output.startswith("Iron rusts in wet air. [1]\n\n[1] iron.txt: Iron rusts in wet air.")

"""The notebooks of examples/ run from top to bottom, and show what is stored in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from replicate_stream.testing import Emulator, ToolUser

EXAMPLES = Path(__file__).parents[2] / "examples"
EMBEDDING_MODEL = "beautyyuyanli/multilingual-e5-large"
PARIS = {"name": "Paris", "country": "France"}
CITY = ToolUser(calls=[("City", PARIS)], answer=json.dumps(PARIS))
AGENT = ToolUser(calls=[("weather", {"city": "Paris"})])
STORY = ["Once", *[" upon"] * 200]


def answer(values: Mapping[str, Any]) -> Any:
    """Call the tool, write the city, tell the story, or answer the question."""
    text = str(values)
    if "weather" in text:
        return AGENT(values)
    if "Seine" in text:
        return CITY(values)
    if "do owls hunt" in text:
        return "Owls hunt at night."
    return STORY if "long story" in text else "Air scatters blue light more than red light."


def read_outputs(notebook: Any) -> list[str]:
    """Return what each cell of code shows: what it prints, or its value."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(read_text(output) for output in cell.outputs) for cell in cells]


def read_text(output: Any) -> str:
    if output.output_type == "stream":
        assert output.name == "stdout", output.text
        return str(output.text)
    return str(output.data["text/plain"])


@pytest.fixture
def notebooks_emulator(
    replicate_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Emulator:
    """An emulator with the models of the notebooks; Jupyter writes to a folder of the test."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    replicate_emulator.reply = answer
    replicate_emulator.add_embedding_model(EMBEDDING_MODEL)
    return replicate_emulator


@pytest.mark.parametrize("name", ["langchain", "llama_index"])
def test_a_notebook_shows_what_is_stored_in_it(name: str, notebooks_emulator: Emulator) -> None:
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    stored = read_outputs(notebook)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert read_outputs(notebook) == stored
    assert all(stored[1:]), "a cell shows nothing"
    # The stream that was left is the only one that was cancelled.
    (cancelled,) = notebooks_emulator.cancels
    assert "long story" in str(notebooks_emulator.predictions[cancelled].input)

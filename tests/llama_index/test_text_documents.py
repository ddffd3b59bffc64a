"""Documents that are text go into the prompt, from memory and from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import DocumentBlock, TextBlock
from llama_index.core.llms import ChatMessage

from replicate_stream import InvalidInputError, UnsupportedParameterError


@pytest.mark.parametrize(
    ("suffix", "mime_type"),
    [
        (".txt", "text/plain"),
        (".md", "text/markdown"),
        (".csv", "text/csv"),
        (".json", "application/json"),
        (".xml", "application/rss+xml"),
        (".yaml", "application/x-yaml; charset=utf-8"),
    ],
)
def test_a_text_document_stands_in_the_prompt_of_a_text_model(
    make_llm: Any, tmp_path: Path, suffix: str, mime_type: str
) -> None:
    path = tmp_path / f"owls{suffix}"
    path.write_text("name,prey\nBubo,hares", encoding="utf-8")
    for block in (
        DocumentBlock(path=path, document_mimetype=mime_type, title="Birds"),
        DocumentBlock(data=path.read_bytes(), document_mimetype=mime_type, title="Birds"),
    ):
        blocks = [TextBlock(text="What does it eat?"), block]
        request = make_llm().prepare([ChatMessage(role="user", blocks=blocks)])
        assert "Birds\nname,prey\nBubo,hares" in request.body["input"]["prompt"]


def test_the_type_of_a_text_document_is_known_by_its_name(make_llm: Any, tmp_path: Path) -> None:
    for suffix in (".txt", ".md", ".csv", ".json", ".xml"):
        path = tmp_path / f"owls{suffix}"
        path.write_text("hares", encoding="utf-8")
        request = make_llm().prepare([ChatMessage(role="user", blocks=[DocumentBlock(path=path)])])
        assert request.body["input"]["prompt"] == "hares"


def test_marks_and_line_ends_of_spreadsheets_are_no_part_of_a_text_document(
    make_llm: Any, tmp_path: Path
) -> None:
    path = tmp_path / "owls.csv"
    path.write_bytes(b"\xef\xbb\xbfname,prey\r\nBubo,hares\r\n")
    request = make_llm().prepare([ChatMessage(role="user", blocks=[DocumentBlock(path=path)])])
    assert request.body["input"]["prompt"] == "name,prey\r\nBubo,hares"


def test_a_document_of_another_type_needs_an_input_for_files(make_llm: Any, tmp_path: Path) -> None:
    path = tmp_path / "owls.pdf"
    path.write_bytes(b"%PDF-1.7\xff")
    message = ChatMessage(role="user", blocks=[DocumentBlock(path=path)])
    with pytest.raises(UnsupportedParameterError, match="no input for file parts"):
        make_llm().prepare([message])


def test_a_document_whose_path_came_as_text_is_not_read(make_llm: Any, tmp_path: Path) -> None:
    path = tmp_path / "private.txt"
    path.write_text("fake secret", encoding="utf-8")
    block = {"block_type": "document", "path": str(path)}
    message = ChatMessage.model_validate({"role": "user", "blocks": [block]})
    with pytest.raises(InvalidInputError, match="path is of type str"):
        make_llm().prepare([message])


def test_a_text_document_that_is_gone_is_an_error_of_this_package(
    make_llm: Any, tmp_path: Path
) -> None:
    path = tmp_path / "owls.txt"
    path.touch()
    block = DocumentBlock(path=path)  # the framework looks whether it is there
    path.unlink()
    with pytest.raises(InvalidInputError, match=r"the file '.*owls\.txt' cannot be read"):
        make_llm().prepare([ChatMessage(role="user", blocks=[block])])

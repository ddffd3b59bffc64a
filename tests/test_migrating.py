"""What docs/migrating.md promises of arguments is true of the classes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from pydantic import ValidationError

from langchain_replicate_stream import ChatReplicate
from llama_index_replicate_stream import Replicate
from replicate_stream import Client
from replicate_stream import Replicate as Provider
from replicate_stream.testing import Emulator

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"
if not PAGE.is_file():
    pytest.skip("docs/ is not part of the source distribution", allow_module_level=True)

SECTIONS = PAGE.read_text().split("\n## ")[1:]
CLASSES: list[tuple[str, type[Any], set[str]]] = [
    ("langchain_community", ChatReplicate, {"replicate_api_token"}),
    ("langchain_replicate", ChatReplicate, {"replicate_api_token"}),
    ("ChatLiteLLM", ChatReplicate, set()),
    ("llama_index", Replicate, {"api_key"}),
]
GONE = {
    "langchain_community": ["input", "prompt_key", "version_obj"],
    "langchain_replicate": ["version_obj"],
    "ChatLiteLLM": ["replicate_api_key", "api_base", "request_timeout", "extra_headers", "n"],
    "llama_index": ["prompt_key", "api_token"],
}


def rows(whose: str) -> list[list[str]]:
    """The cells of a section's tables."""
    (section,) = [section for section in SECTIONS if whose in section.splitlines()[0]]
    lines = [line for line in section.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize(("whose", "ours", "aliases"), CLASSES, ids=[row[0] for row in CLASSES])
def test_what_replaces_an_argument_is_one(whose: str, ours: type[Any], aliases: set[str]) -> None:
    known = {*ours.model_fields, *aliases}
    for cells in rows(whose):
        for name in re.findall(r"`(\w+)=", cells[-1]):
            assert name in known, cells
        if cells[-1] == "the same":
            for name in re.findall(r"`(\w+)=", cells[0]):
                assert name in known, cells


@pytest.mark.parametrize(("whose", "ours", "_"), CLASSES, ids=[row[0] for row in CLASSES])
def test_what_is_gone_is_named_there_and_is_an_error(whose: str, ours: type[Any], _: Any) -> None:
    named = " ".join(cells[0] + cells[1] for cells in rows(whose))
    for name in GONE[whose]:
        assert f"`{name}=" in named
        with pytest.raises((TypeError, ValidationError), match=f"no argument '{name}'"):
            ours(model="a/b", api_key="r8_FAKE", **{name: "x"})


@pytest.mark.parametrize("whose", ["the SDK", "provider class"])
def test_what_replaces_an_argument_of_the_core_is_one(whose: str) -> None:
    provider = inspect.signature(Provider.create_async_generator).parameters
    core = {*inspect.signature(Client).parameters, *inspect.signature(Client.stream).parameters}
    for cells in rows(whose):
        is_same = cells[-1].startswith("the same")
        for name in re.findall(r"\b(\w+)=", cells[0] if is_same else cells[-1]):
            assert name in ({*core, *provider} if whose == "provider class" else core), cells
        names = re.findall(r"`(\w+)`", cells[0]) if is_same else []
        for name in names:
            assert hasattr(Provider, name) or name in provider, cells


def test_a_prompt_goes_out_as_it_was_made(replicate_emulator: Emulator) -> None:
    where: dict[str, Any] = {
        "model": replicate_emulator.model,
        "api_key": replicate_emulator.token,
        "base_url": replicate_emulator.base_url,
    }
    plain = ChatReplicate(**where, prompt_format="plain").prepare("Once upon")
    assert plain.body["input"] == {"prompt": "Once upon"}
    llm = Replicate(
        **where,
        context_window=3900,
        completion_to_prompt=lambda prompt: f"<{prompt}>",
        messages_to_prompt=lambda messages: f"[{messages[0].content}]",
    )
    assert llm.prepare("Hi").body["input"] == {"prompt": "<Hi>"}
    assert llm.prepare([ChatMessage(content="Hi")]).body["input"] == {"prompt": "[Hi]"}
    assert llm.metadata.context_window == 3900

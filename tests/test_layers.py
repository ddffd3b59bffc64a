"""The arrows between the modules, the public names, and the errors of the layer below."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import get_type_hints

import aiohttp
import pytest

import replicate_stream
from langchain_replicate_stream import ChatReplicate
from replicate_stream import ReplicateError
from replicate_stream._api.errors import to_replicate_error
from replicate_stream.testing import Emulator

ROOT = Path(__file__).parents[1]
PUBLIC = ["replicate_stream", "langchain_replicate_stream", "llama_index_replicate_stream"]
MOST_MODULES, MOST_MOVES = 28, 55
"""How many modules a reader visits, and how often, who follows a question until it is sent."""
ADAPTERS = ["langchain_replicate_stream", "llama_index_replicate_stream"]


def test_every_import_points_where_the_contracts_say() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_exported_is_there_and_sorted(name: str) -> None:
    package = importlib.import_module(name)
    exported = package.__all__
    assert exported == sorted(exported)
    assert all(hasattr(package, each) for each in exported)
    public = {
        each
        for each, value in vars(package).items()
        if not each.startswith("_") and not inspect.ismodule(value)
    }
    assert public - set(exported) <= {"annotations", "TYPE_CHECKING"}
    assert set(exported) <= set(dir(package))


def test_a_name_that_is_not_exported_is_an_error() -> None:
    with pytest.raises(AttributeError, match="'replicate_stream' has no attribute 'Clinet'"):
        replicate_stream.Clinet  # type: ignore[attr-defined]  # noqa: B018 - type checkers say so too


def test_public_classes_name_the_public_package() -> None:
    for name in replicate_stream.__all__:
        value = getattr(replicate_stream, name)
        if isinstance(value, type):
            assert value.__module__ == "replicate_stream", name


@pytest.mark.parametrize(
    "value",
    [
        each
        for name in replicate_stream.__all__
        if dataclasses.is_dataclass(each := getattr(replicate_stream, name))
    ],
    ids=str,
)
def test_the_annotations_of_a_value_can_be_resolved(value: type) -> None:
    assert get_type_hints(value).keys() == {each.name for each in dataclasses.fields(value)}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_uses_the_public_names_of_the_core_only(name: str) -> None:
    for path in (ROOT / name).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "replicate_stream"
            ):
                assert node.module in {"replicate_stream", "replicate_stream.adapters"}, path
                if node.module == "replicate_stream":
                    used = {alias.name for alias in node.names}
                    assert used <= set(replicate_stream.__all__), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_cores = node.value.id == "core"
                assert not is_cores or node.attr in replicate_stream.__all__, path


def subclasses(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


@pytest.mark.parametrize(
    "kind",
    sorted(
        (k for k in subclasses(aiohttp.ClientError) if k.__module__.startswith("aiohttp")),
        key=str,
    ),
    ids=str,
)
def test_every_error_of_aiohttps_client_becomes_one_of_ours(kind: type[BaseException]) -> None:
    # Made without its constructor, whose arguments differ from class to class.
    error = kind.__new__(kind)
    key = type("Key", (), {"host": "h", "port": 1})()
    cause = OSError(1, "why")
    error.__dict__.update(
        status=502, _conn_key=key, _os_error=cause, _certificate_error=cause, _path="/p"
    )
    assert isinstance(to_replicate_error(error, "GET /x", 1.0), ReplicateError)


@pytest.mark.parametrize(
    "heavy",
    [
        *("aiohttp", "anyio", "jsonschema", "click", "langchain_core", "llama_index", "pydantic"),
        *(
            f"replicate_stream.{room}"
            for room in ("_api", "_client", "_model", "_request", "_response", "_types")
        ),
    ],
)
def test_importing_the_core_does_not_import(heavy: str) -> None:
    program = f"import sys, replicate_stream; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_plain_question_walks_through_few_modules(replicate_emulator: Emulator) -> None:
    llm = ChatReplicate(model=replicate_emulator.model)
    await llm.ainvoke("Why is the sky blue?")  # imports, and looks the model up
    way: list[str] = []

    def note_call(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        path = Path(code.co_filename)
        if event != "call" or code.co_name == "<module>":
            return
        if path.parts[-2:] == ("aiohttp", "client.py") and code.co_name == "_request":
            sys.setprofile(None)  # the question is sent
        elif any(each in PUBLIC for each in path.parts) and way[-1:] != [str(path)]:
            way.append(str(path))

    sys.setprofile(note_call)
    try:
        async for _ in llm.astream("Why is the sky blue?"):
            pass
    finally:
        sys.setprofile(None)
    assert way
    assert len(set(way)) <= MOST_MODULES, way
    assert len(way) - 1 <= MOST_MOVES, way


@pytest.mark.parametrize("name", ADAPTERS)
def test_importing_an_adapter_makes_none_of_the_cores_values(name: str) -> None:
    program = f"import sys, {name}; sys.exit('replicate_stream._types.messages' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", ADAPTERS)
def test_importing_an_adapter_does_not_import_aiohttp_for_itself(name: str) -> None:
    framework = {"langchain_replicate_stream": "langchain_core"}.get(name, "llama_index.core")
    program = (
        (
            f"import sys, {framework}, {framework}.language_models\n"
            if name == "langchain_replicate_stream"
            else f"import sys, {framework}\n"
        )
        + f"before = 'aiohttp' in sys.modules\nimport {name}\n"
        + ("sys.exit('aiohttp' in sys.modules and not before)")
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [
        ("langchain_replicate_stream", "langchain_core", "replicate-stream[langchain]"),
        ("llama_index_replicate_stream", "llama_index.core", "replicate-stream[llama-index]"),
    ],
)
def test_a_missing_framework_is_an_error_that_says_what_to_install(
    name: str, missing: str, extra: str
) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import {name}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"pip install '{extra}'" in done.stderr

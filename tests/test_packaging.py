"""What is built is what is in the tree: the packages, typed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import replicate_stream

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "replicate_stream": ROOT / "core" / "replicate_stream",
    "langchain_replicate_stream": ROOT / "langchain_replicate_stream",
    "llama_index_replicate_stream": ROOT / "llama_index_replicate_stream",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def modules_in_the_tree() -> set[str]:
    return {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_exactly_the_trees_modules(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == modules_in_the_tree()


def test_each_package_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{name}/py.typed" for name in PACKAGES} <= set(wheel.namelist())


def test_the_metadata_names_the_extras_and_the_version(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "replicate-stream"
    assert metadata["Version"] == replicate_stream.__version__ == "0.1.0"
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "agents",
        "all",
        "cli",
        "dask",
        "dev",
        "docs",
        "langchain",
        "llama-index",
        "llm",
        "local",
        "otel",
        "testing",
    }
    required = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    names = {each.split("<")[0].split(">")[0].split(";")[0].strip() for each in required}
    assert names == {"aiohttp", "anyio", "click", "jsonschema"}


def test_the_wheel_has_the_command_and_the_plugins(
    wheel: zipfile.ZipFile,
) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    entries = wheel.read(name).decode()
    assert "replicate-stream = replicate_stream._cli:main" in entries
    assert "[pytest11]\nreplicate_stream = replicate_stream.testing.pytest_plugin" in entries
    assert "[llm]\nreplicate = replicate_stream.llm_plugin" in entries


def test_the_sdist_holds_the_sources_and_the_tests(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert "core/replicate_stream/_client.py" in names
    assert {"tests/test_packaging.py", "examples/web_chat/static/chat.js"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", "dist"))]
    assert list_tracked_files() <= names


def list_tracked_files() -> set[str]:
    """The files of the tree that packagers get: all but what only hosts of repositories read."""
    command = ["git", "ls-files", "--", ":!.github", ":!.editorconfig", ":!.pre-commit-config.yaml"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return set(listed.stdout.splitlines())  # none in an sdist, which is no repository


def test_a_build_elsewhere_has_the_same_bytes(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    for each in root.rglob("*"):
        os.utime(each, (1e9, 1e9))
        each.chmod(each.stat().st_mode & 0o700)  # as under another umask
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", "again", "."],
        cwd=root,
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    first = {each.name: each.read_bytes() for each in built.iterdir()}
    again = {each.name: each.read_bytes() for each in (root / "again").iterdir()}
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []


def test_the_checks_before_an_upload_pass(built: Path) -> None:
    files = sorted(map(str, built.iterdir()))
    for command in (
        ("twine", "check", "--strict", *files),
        ("check_wheel_contents", "--config", str(ROOT / "pyproject.toml"), files[0]),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_the_sdists_own_tests_run_in_it(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    # The others import no file that the sdist lacks: the test above compares all names.
    readers = ["test_docs", "test_parameters", "test_new_family", "test_migrating", "test_layers"]
    files = [str(next(root.glob(f"tests/**/{name}.py"))) for name in readers]
    paths = [str(root / "core"), str(root)]
    # It would take itself for a worker of the tests that run here, and its coverage for theirs.
    foreign = ("PYTEST_", "COVERAGE_")
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=root,
        env={**inherited, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_no_package_is_named_core() -> None:
    assert not (ROOT / "core" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))

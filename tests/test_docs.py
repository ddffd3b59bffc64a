"""The documentation and the code refer to each other by names that exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import replicate_stream
from replicate_stream.adapters import PARAMETERS, Connection

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
SOURCES = [
    path
    for folder in ("core", "langchain_replicate_stream", "llama_index_replicate_stream", "tests")
    for path in (ROOT / folder).rglob("*.py")
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_fact_about_the_service_cites_a_section_that_exists(path: Path) -> None:
    headings = re.findall(
        r"^##+ (\d(?:\.\d)?)", (DOCS / "replicate-api.md").read_text(), re.MULTILINE
    )
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        for page, section in re.findall(r"([\w./-]*replicate-api\.md)[ \n]+([\d.]*\d)?", line):
            assert page == "docs/replicate-api.md", line
            assert not section or section in headings, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_relative_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).is_file(), target


def test_the_readme_links_to_this_project_by_addresses_that_work_on_a_registrys_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    home = re.search(r'^Homepage = "(.*)"$', metadata, re.MULTILINE)
    assert home is not None
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert [target for target in targets if not target.startswith("https://")] == []
    own = [target for target in targets if target.startswith(home[1])]
    assert len(own) >= 10
    for target in own:
        name = target.removeprefix(f"{home[1]}/blob/main/").partition("#")[0]
        assert (ROOT / name).is_file(), target


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [page.name for page in DOCS.glob("*.md") if page.name != "index.md"]
    assert [name for name in pages if f"/docs/{name})" not in readme] == []


def test_the_readme_is_read_in_three_minutes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", readme, flags=re.DOTALL)
    words = [word for word in prose.split() if word.strip("|-")]  # without the bars of tables
    assert len(words) <= 3 * 230


def test_the_site_shows_every_page() -> None:
    shown = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_the_table_of_parameters_is_that_of_the_code() -> None:
    page = (DOCS / "parameters.md").read_text(encoding="utf-8")
    assert build_parameter_table() in page


def test_the_reference_has_every_public_module_once_and_the_fields_of_the_adapters() -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md")}
    shown = re.findall(r"^::: ([\w.]+)$", "\n".join(pages.values()), re.MULTILINE)
    package = Path(replicate_stream.__file__).parent
    names = {path.stem for path in package.iterdir() if path.suffix in {".py", ""}}
    adapters = ["langchain_replicate_stream", "llama_index_replicate_stream"]
    public = [f"replicate_stream.{name}" for name in names if not name.startswith("_")]
    others = ["replicate_stream", "langchain_replicate_stream.errors", *adapters]
    assert sorted(shown) == sorted([*public, *others])
    # Their fields stand in classes of private modules.
    for page in ("langchain", "llama-index"):
        assert "inherited_members: true" in pages[page]


def test_every_error_has_a_row_with_its_remedy() -> None:
    rows = re.findall(r"^\| `(\w+Error)`", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    names = {name for name in replicate_stream.__all__ if name.endswith("Error")}
    assert names - {"ReplicateError"} <= set(rows)


def test_the_table_of_settings_has_every_setting() -> None:
    page = (DOCS / "parameters.md").read_text(encoding="utf-8")
    table = page.partition("## Settings of the connection")[2].partition("\n\nFor ")[0]
    for each in fields(Connection):
        (row,) = re.findall(rf"^\| [^|]*`{each.name}`[^|]*\| ([^|]*) \|", table, re.MULTILINE)
        default = f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
        assert each.default is None or default in row


def build_parameter_table() -> str:
    """Return what `docs/parameters.md` has to contain."""
    rows = ["| parameter | default | meaning | field |", "| --- | --- | --- | --- |"]
    for each in PARAMETERS:
        default = "" if each.default is None else f"`{each.default}`"
        field = "yes" if each.is_setting else ""
        rows.append(f"| `{each.name}` | {default} | {each.description} | {field} |")
    return "\n".join(rows)


def test_the_walks_through_the_code_name_functions_that_exist() -> None:
    steps = re.findall(
        r"^\d+\. `([\w/]+\.py)`:\s+`(\w+)`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert len(steps) == 15
    for file, function in steps:
        assert re.search(rf"\bdef {function}\(", (ROOT / file).read_text()), (file, function)

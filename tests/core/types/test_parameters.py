"""The table of parameters agrees with every signature and page that lists them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import Client, prepare_input
from replicate_stream.adapters import PARAMETERS

README = Path(__file__).parents[3] / "README.md"
OTHERS = ("self", "model", "messages", "schema", "on_unsupported")
OF_THE_STREAM = ("include_usage", "max_repairs")  # a dry run has neither


@pytest.mark.parametrize("method", [Client.stream, Client.complete], ids=lambda m: m.__name__)
def test_a_method_takes_the_parameters_in_the_order_of_the_table(
    method: Callable[..., Any],
) -> None:
    names = [name for name in inspect.signature(method).parameters if name not in OTHERS]
    assert names == [each.name for each in PARAMETERS]


@pytest.mark.parametrize("function", [Client.prepare, prepare_input], ids=lambda f: f.__name__)
def test_a_dry_run_takes_the_same_parameters_without_those_of_a_stream(
    function: Callable[..., Any],
) -> None:
    names = {name for name in inspect.signature(function).parameters if name not in OTHERS}
    assert names == {each.name for each in PARAMETERS} - set(OF_THE_STREAM)


@pytest.mark.parametrize("method", [Client.stream, Client.complete], ids=lambda m: m.__name__)
def test_the_defaults_and_types_of_a_method_are_those_of_the_table(
    method: Callable[..., Any],
) -> None:
    signature = inspect.signature(method).parameters
    for each in PARAMETERS:
        assert signature[each.name].default == each.default
        if each.type in {int, float, str, bool}:
            optional = "" if each.default is not None else " | None"
            assert signature[each.name].annotation == each.type.__name__ + optional


def test_the_docstring_of_stream_describes_every_parameter() -> None:
    arguments = (Client.stream.__doc__ or "").partition("Args:")[2].partition("Returns:")[0]
    described = re.findall(r"^ {12}(\w+): ", arguments, re.MULTILINE)
    assert described[2:] == [each.name for each in PARAMETERS]


def test_the_readme_names_every_parameter() -> None:
    text = README.read_text(encoding="utf-8")
    assert [each.name for each in PARAMETERS if f"`{each.name}`" not in text] == []

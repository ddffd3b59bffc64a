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
from replicate_stream.testing import Emulator

PAGE = Path(__file__).parents[3] / "docs" / "parameters.md"
OTHERS = ("self", "model", "messages", "schema", "on_unsupported")
METHODS = [Client.stream, Client.complete, Client.prepare]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
def test_a_method_takes_the_parameters_in_the_order_of_the_table(
    method: Callable[..., Any],
) -> None:
    names = [name for name in inspect.signature(method).parameters if name not in OTHERS]
    assert names == [each.name for each in PARAMETERS]


def test_the_signature_of_a_method_has_its_own_result() -> None:
    results = [inspect.signature(method).return_annotation for method in METHODS]
    assert results == ["AbstractAsyncContextManager[EventStream]", "Completion", "PreparedRequest"]


def test_prepare_input_takes_the_parameters_that_change_an_input() -> None:
    names = {name for name in inspect.signature(prepare_input).parameters if name not in OTHERS}
    assert names == {each.name for each in PARAMETERS} - {
        "include_usage",
        "coalesce",
        "max_repairs",
        "validator",
    }


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
async def test_an_unknown_parameter_is_a_type_error(
    method: Callable[..., Any], replicate_emulator: Emulator
) -> None:
    async with Client() as client:
        with pytest.raises(TypeError) as caught:
            await method(client, replicate_emulator.model, "Hi", temprature=0)
        with pytest.raises(
            TypeError, match=f"Client.{method.__name__} has no argument 'xyz'; .* use extra_input="
        ):
            await method(client, replicate_emulator.model, "Hi", xyz=0)
    name = f"Client.{method.__name__}"
    assert str(caught.value) == (
        f"{name} has no argument 'temprature'; did you mean 'temperature'? "
        "Or, if it is an input of the model, use extra_input={'temprature': …}"
    )
    assert replicate_emulator.requests == []


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
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
    # Without its indentation, which Python 3.13 removes from docstrings.
    text = inspect.getdoc(Client.stream) or ""
    arguments = text.partition("Args:")[2].partition("Returns:")[0]
    described = re.findall(r"^ {4}(\w+): ", arguments, re.MULTILINE)
    assert described[2:] == [each.name for each in PARAMETERS]


def test_the_page_of_parameters_names_every_parameter() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [each.name for each in PARAMETERS if f"`{each.name}`" not in text] == []

"""Options that several commands share, and the client that they describe."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem

from replicate_stream import Client, Replicate
from replicate_stream._api.models import parse_model
from replicate_stream._cli.files import read_all
from replicate_stream._errors import too_deep
from replicate_stream._settings import Dialect
from replicate_stream._types.parameters import PARAMETERS, Parameter
from replicate_stream._types.strict_json import is_too_deep

_CONTAINER = "container"  # the model of a container, which has no name of its own


class Text(click.types.StringParamType):
    """Text in UTF-8, whatever the terminal's encoding is."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is not UTF-8: Python hands such bytes on as surrogates, which no model gets.

        Raises:
            click.BadParameter: The text is not UTF-8.
        """
        if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value):
            return value
        try:
            return os.fsencode(value).decode()
        except UnicodeDecodeError as error:
            self.fail(
                f"it is not UTF-8 (byte {error.start}); convert it, e.g. with iconv", param, ctx
            )


class PathOrUrl(click.types.StringParamType):
    """A local file, whose name a shell completes, or a URL."""

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Let the shell complete the names of files."""
        return [CompletionItem(incomplete, type="file")]


def _to_option(parameter: Parameter) -> click.Option:
    """Convert a parameter of an answer to a command line option."""
    names = [*_SHORTER.get(parameter.name, ()), f"--{parameter.name.replace('_', '-')}"]
    is_list = parameter.type not in {int, float, str, bool}
    return click.Option(
        [*names, parameter.name],
        type=Text() if is_list or parameter.type is str else parameter.type,
        is_flag=parameter.type is bool,
        multiple=is_list,
        default=None if is_list else parameter.default,
        help=f"{parameter.description} Repeatable." if is_list else parameter.description,
    )


_SHORTER = {"system_prompt": ("-s", "--system")}
# They have options below.
_WITH_OWN_OPTION = {"extra_input", "include_usage"}
PARAMETER_OPTIONS = [
    _to_option(each) for each in PARAMETERS if each.is_setting and each.name not in _WITH_OWN_OPTION
]


def parse_assignments(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Parse inputs of the form `NAME=VALUE`."""
    inputs = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.BadParameter("must be of the form NAME=VALUE, e.g. -o seed=7")
        inputs[name] = value
    return inputs


def read_schema(_: click.Context, __: click.Parameter, path: Path | None) -> Any:
    """Read a file with a JSON schema."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            schema = json.loads(read_all(file, str(path)).decode("utf-8-sig"))
    except ValueError as error:  # not UTF-8, too
        raise click.BadParameter(f"{path} is not JSON: {error}") from None
    except RecursionError:
        raise click.BadParameter(f"{path} is nested too deeply") from None
    if not isinstance(schema, dict):
        raise click.BadParameter(f"{path} must hold a JSON schema, which is an object")
    if is_too_deep(schema):
        raise click.BadParameter(str(too_deep(str(path))))
    return schema


model_option = click.option(
    "-m",
    "--model",
    help="The model; a container of Cog has one, under any name.  "
    f"[default: {Replicate.default_model}]",
)
base_url_option = click.option(
    "--base-url",
    metavar="URL",
    help="The address of the API, or of a container.  [default: REPLICATE_BASE_URL, or "
    "Replicate's own]",
)
dialect_option = click.option(
    "--dialect",
    type=click.Choice(get_args(Dialect)),
    help="`cog` for a container of Cog, which gets no token.  [default: REPLICATE_DIALECT, or "
    "replicate]",
)


def choose_model(client: Client, model: str | None) -> str:
    """Return the model that was named, or the default of the client's dialect."""
    return model or (_CONTAINER if client.dialect == "cog" else Replicate.default_model)


def check_model(client: Client, model: str) -> None:
    """Check the name of a model; a container takes any.

    Raises:
        InvalidInputError: It has none of the known forms.
    """
    if client.dialect == "replicate":
        parse_model(model)

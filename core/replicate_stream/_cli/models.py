"""`replicate-stream models`: language models, and a model's inputs and their parameters."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click

from replicate_stream import Client, InvalidInputError, ModelSummary
from replicate_stream._api.models import parse_model
from replicate_stream._cli.options import Text, base_url_option, choose_model, dialect_option
from replicate_stream._logging import escape_unprintable
from replicate_stream._model.field_names import PARAMETERS as NAMES_BY_PARAMETER
from replicate_stream._model.input_schema import InputField
from replicate_stream._model.profile import ModelProfile, build_profile
from replicate_stream._types.parameters import PARAMETERS

_LONGEST_DEFAULT = 60  # characters: some models have a whole template as a default
_LEAST_DESCRIPTION = 20  # characters, however narrow the terminal is
_WITHOUT_INPUT = {"system_prompt": "goes into the prompt", "stop": "enforced by the client"}
_EPILOG = """\b
Examples:
  replicate-stream models                                    # all language models
  replicate-stream models llama vision                       # those that a search finds
  replicate-stream models meta/meta-llama-3-8b-instruct      # one model's inputs
  replicate-stream models --dialect cog --base-url http://localhost:5000
"""


@click.command(epilog=_EPILOG)
@click.argument("name_or_query", type=Text(), nargs=-1)
@base_url_option
@dialect_option
def models(name_or_query: tuple[str, ...], base_url: str | None, dialect: Any) -> None:
    """List language models, search for some, or print the inputs of one.

    Without an argument Replicate's collection of language models is listed, with the number of
    predictions of each. OWNER/NAME prints a model's inputs, and those that the parameters are sent
    in. Other words are a search. Of a container of Cog, the inputs of its one model are printed.
    """
    text = " ".join(name_or_query).strip()
    client = Client(base_url=base_url, dialect=dialect)
    if _is_name(text) or client.dialect == "cog":
        asyncio.run(_print_model(client, choose_model(client, text)))
    else:
        asyncio.run(_print_list(client, text or None))


def _is_name(text: str) -> bool:
    """Return True for the name of a model, and for what is a faulty one rather than words."""
    try:
        parse_model(text)
    except InvalidInputError:
        return "/" in text
    return True


async def _print_list(client: Client, query: str | None) -> None:
    async with client:
        found = await client.models(query)
    if not found:
        raise click.ClickException("no language model was found")
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    for line in format_list(found, shutil.get_terminal_size().columns if is_terminal else None):
        click.echo(line, file=sys.stdout)  # in the terminal's encoding, as in `chat`


def format_list(summaries: Sequence[ModelSummary], columns: int | None) -> list[str]:
    """Format models, one in a line, cut off at a number of columns if there is one."""
    width = max(len(each.name) for each in summaries)
    counts = [_format_count(each.run_count) for each in summaries]
    count_width = max(map(len, counts))
    lines = []
    for summary, count in zip(summaries, counts, strict=True):
        # Descriptions are written by anybody.
        description = escape_unprintable(" ".join(summary.description.split()))
        room = len(description)
        if columns is not None:
            room = max(_LEAST_DESCRIPTION, columns - width - count_width - 4)
        if len(description) > room:
            description = f"{description[: room - 1]}…"
        lines.append(f"{summary.name:<{width}}  {count:>{count_width}}  {description}".rstrip())
    return lines


def _format_count(count: int) -> str:
    for limit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= limit:
            return f"{count / limit:.1f}{letter}"
    return str(count)


async def _print_model(client: Client, name: str) -> None:
    async with client:
        schema = await client.describe(name)
    if schema is None and client.dialect == "replicate" and not parse_model(name).name:
        raise click.ClickException(f"a version needs its model's name: OWNER/NAME:{name}")
    if schema is None:
        raise click.ClickException(f"{name} publishes no input schema")
    for line in format_profile(build_profile(schema, name)):
        click.echo(line, file=sys.stdout)


def format_profile(profile: ModelProfile) -> list[str]:
    """Format a model's inputs in their own order, then the parameters, one in a line."""
    fields = profile.schema.fields
    # The other parameters, such as `max_repairs`, are the client's own.
    names = [each.name for each in PARAMETERS if each.name in NAMES_BY_PARAMETER]
    targets = {"system_prompt": profile.system_prompt}
    targets |= {name: profile.parameters.get(name) for name in names}
    parameters = {
        name: field.name if field else _WITHOUT_INPUT.get(name, "has no input")
        for name, field in targets.items()
    }
    width = max(map(len, (*fields, *parameters)))
    lines = [
        "Inputs",
        *(f"  {each.name:<{width}}  {_format_field(each)}" for each in fields.values()),
        "",
        "Parameters",
        *(f"  {name:<{width}}  {target}" for name, target in parameters.items()),
    ]
    return list(map(escape_unprintable, lines))


def _format_field(field: InputField) -> str:
    words = ["file" if field.is_file else field.kind]
    if field.required:
        words.append("required")
    if field.choices:
        words.append("one of " + ", ".join(map(str, field.choices)))
    if field.minimum is not None or field.maximum is not None:
        words.append(f"{_format_bound(field.minimum)} to {_format_bound(field.maximum)}")
    if field.default not in (None, ""):
        text = repr(field.default)
        is_long = len(text) > _LONGEST_DEFAULT
        words.append(f"default {text[:_LONGEST_DEFAULT] + '…' if is_long else text}")
    description = str(field.spec.get("description") or "").strip().split("\n")[0]
    return ", ".join(words) + (f". {description}" if description else "")


def _format_bound(bound: float | None) -> str:
    return "…" if bound is None else f"{bound:g}"

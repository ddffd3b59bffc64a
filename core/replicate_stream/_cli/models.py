"""`replicate-stream models`: a model's inputs, and the inputs that parameters are sent in."""

from __future__ import annotations

import asyncio
import sys

import click

from replicate_stream import Client
from replicate_stream._model.field_names import PARAMETERS as NAMES_BY_PARAMETER
from replicate_stream._model.input_schema import InputField
from replicate_stream._model.profile import ModelProfile, build_profile
from replicate_stream._types.parameters import PARAMETERS

_LONGEST_DEFAULT = 60  # characters: some models have a whole template as a default
_WITHOUT_INPUT = {"system_prompt": "goes into the prompt", "stop": "enforced by the client"}


@click.command()
@click.argument("name")
def models(name: str) -> None:
    """Print the inputs of the model NAME, and the inputs that the parameters are sent in."""
    asyncio.run(_print_model(name))


async def _print_model(name: str) -> None:
    async with Client() as client:
        schema = await client.describe(name)
    if schema is None:
        raise click.ClickException(f"{name} publishes no input schema")
    for line in format_profile(build_profile(schema, name)):
        click.echo(line, file=sys.stdout)  # in the terminal's encoding, as in `chat`


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
    return [
        "Inputs",
        *(f"  {each.name:<{width}}  {_format_field(each)}" for each in fields.values()),
        "",
        "Parameters",
        *(f"  {name:<{width}}  {target}" for name, target in parameters.items()),
    ]


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

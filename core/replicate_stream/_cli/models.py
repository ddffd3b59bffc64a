"""`replicate-stream models`: what a model takes, and what the parameters become on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from replicate_stream._cli.running import run
from replicate_stream._model.field_names import find_parameter, find_system_prompt
from replicate_stream._model.input_schema import InputField, InputSchema, parse_input_schema

_PARAMETERS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "tools",
    "tool_choice",
    "response_format",
)


@click.command()
@click.argument("name")
def models(name: str) -> None:
    """Print the inputs of the model NAME and what the parameters map to."""
    run(_describe(name), when_interrupted="Interrupted.")


async def _describe(name: str) -> None:
    from replicate_stream import Client

    async with Client() as client:
        schema = await client.describe(name)
    if schema is None:
        raise click.ClickException(f"no input schema of {name} is to be had")
    for line in lines_about(schema):
        click.echo(line)


def lines_about(schema: Mapping[str, Any]) -> list[str]:
    """A model's schema in words: its inputs in their own order, then the parameters."""
    known = parse_input_schema(schema)
    width = max((len(name) for name in known.names), default=0)
    inputs = [f"  {each.name:<{width}}  {_in_words(each)}" for each in known.fields.values()]
    mapped = [f"  {name:<{width}}  {_target(known, name)}" for name in _PARAMETERS]
    system = find_system_prompt(known)
    system_line = f"  {'system_prompt':<{width}}  {system.name if system else 'goes into the text'}"
    return ["Inputs", *inputs, "", "Parameters", system_line, *mapped]


def _in_words(field: InputField) -> str:
    words = ["file" if field.is_file else field.kind]
    if field.required:
        words.append("required")
    if field.choices:
        words.append("one of " + ", ".join(map(str, field.choices)))
    if field.minimum is not None or field.maximum is not None:
        words.append(f"{_number(field.minimum)} to {_number(field.maximum)}")
    if field.default not in (None, ""):
        text = repr(field.default)
        words.append(f"default {text if len(text) <= 60 else text[:60] + '…'}")
    about = str(field.spec.get("description") or "").strip().split("\n")[0]
    return ", ".join(words) + (f". {about}" if about else "")


def _number(value: float | None) -> str:
    return "…" if value is None else f"{value:g}"


def _target(schema: InputSchema, parameter: str) -> str:
    field = find_parameter(schema, parameter)
    if field is not None:
        return field.name
    return "enforced by the client" if parameter == "stop" else "has no input"

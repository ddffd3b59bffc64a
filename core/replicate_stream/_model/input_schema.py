"""Parse a model's input schema.

It comes in two forms: a whole OpenAPI document, as the service publishes it, with enums behind
`allOf` and `$ref` (docs/replicate-api.md 5.2), and the `Input` object alone, with all of them
resolved.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._types.request import OutputKind

# Most of Replicate's own language models take these inputs (docs/replicate-api.md 5.2).
_USUAL_INPUTS = {
    "prompt": "string", "system_prompt": "string", "max_tokens": "integer",
    "temperature": "number", "top_p": "number", "top_k": "integer", "presence_penalty": "number",
    "frequency_penalty": "number", "seed": "integer", "stop_sequences": "string",
}  # fmt: skip
USUAL_SCHEMA: Mapping[str, Any] = {
    "properties": {name: {"type": kind} for name, kind in _USUAL_INPUTS.items()}
}
"""The schema that is assumed for a model that publishes none."""
# The types of defaults that leave no doubt: 0 may be the default of a number, too.
_KINDS = {str: "string", bool: "boolean", float: "number", list: "array", dict: "object"}


@dataclass(frozen=True, slots=True)
class InputField:
    """One input of a model.

    Attributes:
        name: The model's name for it.
        kind: JSON Schema's `type`; `any` if the schema leaves it open, and text is possible.
        items: The `type` of an array's items; `any` if the schema leaves it open.
        is_file: True if it takes a URI, or an array of URIs.
        default: The value that the model uses if the request has none; None without a default.
        description: The description in lower case, with single spaces.
        minimum: The least number that the model accepts.
        maximum: The greatest number that it accepts.
        choices: The values of an enum; empty for any other input.
        required: True if a request must have it.
        spec: The field's resolved JSON Schema.
    """

    name: str
    kind: str
    items: str
    is_file: bool
    default: Any
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    required: bool
    spec: Mapping[str, Any] = field(repr=False)

    @property
    def is_text(self) -> bool:
        """True if it takes free text."""
        return self.kind == "string" and not self.is_file and not self.choices

    @property
    def can_be_list(self) -> bool:
        """True if it takes a list."""
        return "array" in {self.kind, *map(_get_kind, _get_alternatives(self.spec))}

    @property
    def can_be_text(self) -> bool:
        """True if it takes free text, or if the schema leaves its type open."""
        return self.is_text or (self.kind == "any" and not self.is_file and not self.choices)

    @property
    def is_secret(self) -> bool:
        """True if it takes a secret: Cog's `Secret`, or a list of them."""
        items = self.spec.get("items")
        specs = (self.spec, items if isinstance(items, Mapping) else {})
        return any(s.get("format") == "password" or s.get("x-cog-secret") is True for s in specs)


@dataclass(frozen=True, slots=True)
class InputSchema:
    """All inputs of a model, in the declared order (`x-order`).

    Attributes:
        fields: The inputs by name.
        output_kind: The kind of output that the `Output` schema announces; None if it announces
            none, or if only the inputs are known.
    """

    fields: Mapping[str, InputField]
    output_kind: OutputKind | None


def parse_input_schema(schema: Mapping[str, Any] | None) -> InputSchema:
    """Parse a model's input schema. Anything but JSON Schema in it is skipped.

    Args:
        schema: The `Input` schema (`{"type": "object", "properties": …}`), or a whole
            `openapi_schema` with `components.schemas.Input`; None or empty for `USUAL_SCHEMA`.
    """
    schema = schema or USUAL_SCHEMA
    siblings = _as_mapping(_as_mapping(schema.get("components")).get("schemas"))
    declared = _as_mapping(siblings.get("Input", schema))
    properties = _as_mapping(declared.get("properties"))
    listed = declared.get("required")
    required = listed if isinstance(listed, list) else []
    fields = [
        _parse_field(name, _resolve(spec, siblings), name in required)
        for name, spec in sorted(properties.items(), key=_get_order)
    ]
    output_kind = get_output_kind(_resolve(siblings.get("Output"), siblings))
    return InputSchema({each.name: each for each in fields}, output_kind)


def get_output_kind(schema: Mapping[str, Any] | None) -> OutputKind | None:
    """Return the kind of output that an `Output` schema announces; None if it announces none.

    `pieces` are to be joined (`x-cog-array-display: concatenate`), `alternatives` are separate
    answers (docs/replicate-api.md 5.2).
    """
    if not schema:
        return None
    declared = schema.get("type")
    if declared == "array":
        items = schema.get("items")
        if isinstance(items, Mapping) and items.get("format") == "uri":
            return "file"
        is_joined = schema.get("x-cog-array-display") == "concatenate"
        return "pieces" if is_joined else "alternatives"
    if declared == "string":
        return "file" if schema.get("format") == "uri" else "text"
    return "object" if declared == "object" else None


def makes_files(schema: Mapping[str, Any]) -> bool:
    """Return True if a model's `openapi_schema` announces an output of files."""
    return parse_input_schema(schema).output_kind == "file"


def _as_mapping(value: Any) -> Mapping[str, Any]:
    # A schema comes from the model's author, who may have written anything.
    return value if isinstance(value, Mapping) else {}


def _get_order(item: tuple[str, Any]) -> float:
    order = item[1].get("x-order") if isinstance(item[1], Mapping) else None
    return order if isinstance(order, int | float) else float("inf")


def _resolve(spec: Any, siblings: Mapping[str, Any], depth: int = 8) -> dict[str, Any]:
    """Replace `$ref`, `allOf`, and `anyOf` of one schema, by the schemas that they refer to.

    A key beside the reference (a default, a description) wins over the referenced schema's.
    Newer versions of Cog declare an optional input as `anyOf` with null. The alternatives of a true
    `anyOf` are resolved, and stay.
    """
    own = dict(spec) if isinstance(spec, Mapping) else {}
    if depth == 0:  # a schema may refer to itself
        return own
    reference = own.pop("$ref", None)
    if isinstance(reference, str):
        target = siblings.get(reference.rpartition("/")[2])
        own = {**_resolve(target, siblings, depth - 1), **own}
    for key in ("allOf", "anyOf", "oneOf"):
        options = own.get(key)
        if not isinstance(options, list):
            continue
        real = [o for o in options if not (isinstance(o, Mapping) and o.get("type") == "null")]
        # Several that each refer to themselves would double with every step.
        further = depth - 1 if len(real) == 1 else min(depth - 1, 1)
        resolved = [_resolve(each, siblings, further) for each in real]
        if len(real) == 1 or key == "allOf":
            del own[key]
            own = {**{k: v for each in reversed(resolved) for k, v in each.items()}, **own}
        else:
            own[key] = resolved
        if len(real) < len(options):
            own["nullable"] = True
    if isinstance(own.get("items"), Mapping):
        own["items"] = _resolve(own["items"], siblings, depth - 1)
    return own


def _parse_field(name: str, spec: dict[str, Any], required: bool) -> InputField:
    items, kind = _as_mapping(spec.get("items")), _get_kind(spec)
    listed = [_as_mapping(each.get("items")) for each in _get_alternatives(spec)]
    formats = [each.get("format") for each in (spec, items, *_get_alternatives(spec), *listed)]
    choices = spec.get("enum")
    return InputField(
        name=name,
        kind=kind,
        items=_get_kind(items),
        is_file="uri" in formats,
        default=spec.get("default"),
        description=" ".join(str(spec.get("description") or "").lower().split()),
        minimum=_parse_bound(spec.get("minimum"), spec.get("exclusiveMinimum"), kind, 1),
        maximum=_parse_bound(spec.get("maximum"), spec.get("exclusiveMaximum"), kind, -1),
        choices=tuple(choices) if isinstance(choices, list) else (),
        required=required,
        spec=spec,
    )


def _get_alternatives(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas of which a value may fit any; empty where there is only one."""
    options = spec.get("anyOf", spec.get("oneOf"))
    return [_as_mapping(each) for each in options] if isinstance(options, list) else []


def _get_kind(spec: Mapping[str, Any]) -> str:
    declared = spec.get("type")
    if isinstance(declared, list):
        return _unite({each for each in declared if isinstance(each, str)})
    if isinstance(declared, str):
        return declared
    if alternatives := _get_alternatives(spec):
        return _unite({_get_kind(each) for each in alternatives})
    values = spec.get("enum")
    if isinstance(values, list) and values:
        return "string" if all(isinstance(v, str) for v in values) else "any"
    # A default, or what the schema says of the parts, shows the type that it leaves out.
    by_key = {"items": "array", "properties": "object"}
    shown = next((kind for key, kind in by_key.items() if key in spec), None)
    return shown or _KINDS.get(type(spec.get("default")), "any")


def _unite(kinds: set[str]) -> str:
    """Return the kind of a value that may be of several kinds."""
    kinds = kinds - {"null"}
    if kinds == {"integer", "number"}:
        return "number"
    if len(kinds) == 1 or not kinds & {"string", "any"}:
        return min(kinds, default="any")
    return "any"


def _parse_bound(inclusive: Any, exclusive: Any, kind: str, inward: int) -> float | None:
    """Return the last accepted value: next to an exclusive bound the next integer, or 0.01 on."""
    bounds: list[float] = [inclusive] if _is_number(inclusive) else []
    if _is_number(exclusive):
        bounds.append(exclusive + inward * (1 if kind == "integer" else 0.01))
    return max(bounds, default=None) if inward > 0 else min(bounds, default=None)


def _is_number(value: Any) -> bool:
    """Return True for a number that a float can hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max

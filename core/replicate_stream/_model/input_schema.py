"""A model's input schema, read into fields.

It comes in two forms: the live one, a whole OpenAPI document whose enums hide behind
`allOf`/`$ref` (replicate-api.md 5.2), and the resolved one, the `Input` object alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicate_stream._types.prepared import OutputKind

# Most of Replicate's own language models take these inputs (docs/replicate-api.md 5.2).
USUAL_SCHEMA: Mapping[str, Any] = {
    "properties": {
        "prompt": {"type": "string", "x-order": 0},
        "system_prompt": {"type": "string", "x-order": 1},
        "max_tokens": {"type": "integer", "x-order": 2},
        "temperature": {"type": "number", "x-order": 3},
        "top_p": {"type": "number", "x-order": 4},
        "top_k": {"type": "integer", "x-order": 5},
        "presence_penalty": {"type": "number", "x-order": 6},
        "frequency_penalty": {"type": "number", "x-order": 7},
        "seed": {"type": "integer", "x-order": 8},
        "stop_sequences": {
            "type": "string",
            "description": "A comma-separated list of sequences.",
            "x-order": 9,
        },
    }
}
"""The schema that is assumed for a model that publishes none."""


@dataclass(frozen=True, slots=True)
class InputField:
    """One input of a model.

    Attributes:
        name: The model's own name for it.
        kind: JSON Schema's type; `any` where none is declared.
        items: The type of an array's items, `any` where none is declared.
        is_file: Whether it takes a URI (an array: whether its items are URIs).
        default: What the model uses when nothing is sent; None if it has no default.
        about: The description in lower case, white space made even.
        minimum: The least number allowed.
        maximum: The greatest number allowed.
        choices: The values allowed, empty if it is no enum.
        required: Whether it must be sent.
        spec: The field's resolved JSON Schema.
    """

    name: str
    kind: str
    items: str
    is_file: bool
    default: Any
    about: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    required: bool
    spec: Mapping[str, Any] = field(repr=False)

    @property
    def is_text(self) -> bool:
        """Whether it takes free text."""
        return self.kind == "string" and not self.is_file and not self.choices


@dataclass(frozen=True, slots=True)
class InputSchema:
    """All inputs of a model, in the order of their declaration (`x-order`).

    Attributes:
        fields: The inputs by name.
        output: The model's output schema; None where only the inputs are known.
    """

    fields: Mapping[str, InputField]
    output: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names in the order of declaration."""
        return tuple(self.fields)


def parse_input_schema(schema: Mapping[str, Any]) -> InputSchema:
    """Read a model's inputs.

    Args:
        schema: The `Input` schema (`{"type": "object", "properties": …}`), or a whole
            `openapi_schema` with `components.schemas.Input`. What has another shape than JSON
            schemas have is passed over.
    """
    siblings = _mapping(_mapping(schema.get("components")).get("schemas"))
    declared = _mapping(siblings.get("Input", schema))
    properties = _mapping(declared.get("properties"))
    listed = declared.get("required")
    required = listed if isinstance(listed, list) else []
    fields = [
        _read_field(name, _resolve(spec, siblings), name in required)
        for name, spec in sorted(properties.items(), key=_declared_at)
    ]
    output = siblings.get("Output")
    return InputSchema(
        fields={each.name: each for each in fields},
        output=_resolve(output, siblings) if isinstance(output, Mapping) else None,
    )


def get_output_kind(schema: Mapping[str, Any] | None) -> OutputKind | None:
    """The kind of output that a model's `Output` schema announces; None if it announces none.

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


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _declared_at(item: tuple[str, Any]) -> float:
    order = item[1].get("x-order") if isinstance(item[1], Mapping) else None
    return order if isinstance(order, int | float) else float("inf")


def _resolve(spec: Any, siblings: Mapping[str, Any], depth: int = 8) -> dict[str, Any]:
    """Replace `$ref` and one-element `allOf`/`anyOf` by what they stand for.

    A key beside the reference (a default, a description) wins over the referenced schema's.
    `anyOf` with null is how newer Cog declares an optional input.
    """
    own = dict(spec) if isinstance(spec, Mapping) else {}
    if depth == 0:
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
        if len(real) == 1:
            del own[key]
            own = {**_resolve(real[0], siblings, depth - 1), **own}
            if len(options) > 1:
                own["nullable"] = True
    if isinstance(own.get("items"), Mapping):
        own["items"] = _resolve(own["items"], siblings, depth - 1)
    return own


def _read_field(name: str, spec: dict[str, Any], required: bool) -> InputField:
    items = spec.get("items") if isinstance(spec.get("items"), Mapping) else {}
    choices = spec.get("enum")
    return InputField(
        name=name,
        kind=_kind(spec),
        items=_kind(items or {}),
        is_file="uri" in (spec.get("format"), (items or {}).get("format")),
        default=spec.get("default"),
        about=" ".join(str(spec.get("description") or "").lower().split()),
        minimum=_bound(spec.get("minimum"), spec.get("exclusiveMinimum"), _kind(spec), 1),
        maximum=_bound(spec.get("maximum"), spec.get("exclusiveMaximum"), _kind(spec), -1),
        choices=tuple(choices) if isinstance(choices, list) else (),
        required=required,
        spec=spec,
    )


def _kind(spec: Mapping[str, Any]) -> str:
    declared = spec.get("type")
    if isinstance(declared, list):
        declared = next((each for each in declared if each != "null"), None)
    if isinstance(declared, str):
        return declared
    values = spec.get("enum")
    if isinstance(values, list) and values and all(isinstance(v, str) for v in values):
        return "string"
    return "any"


def _bound(inclusive: Any, exclusive: Any, kind: str, inward: int) -> float | None:
    """The last value allowed; beside an excluded bound, the next integer or a little further in."""
    found = [b for b in (inclusive,) if _is_number(b)]
    if _is_number(exclusive):
        found.append(exclusive + inward * (1 if kind == "integer" else 0.01))
    if not found:
        return None
    bound: float = max(found) if inward > 0 else min(found)
    return bound


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

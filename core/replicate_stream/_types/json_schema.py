"""JSON schemas of answers and of tools' arguments: their references, and values that do not fit.

The schema of a recursive class is a reference to one of its own definitions. Models, and services
with an input for tools, look for the properties at the root instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import filterfalse
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = "root"
"""The property that holds a value which is not an object, as in Pydantic's `RootModel`."""
_REFERENCE = re.compile(r'"\$(?:ref|dynamicRef)": "([^"]*)"')
_ID = re.compile(r'"\$id": "([^"]*)"')
_LOCAL_REFERENCE = re.compile(r'(?<="\$ref": ")#')
_ANNOTATIONS = frozenset({"title", "description", "default", "examples"})
_VALUE_KEYS = frozenset({"items", "prefixItems", "enum", "const"})
_NOT_STRICT = frozenset({"$ref", "anyOf", "oneOf", "allOf", "uniqueItems"})
# Keys that models put around a value, beside the name of the tool or of the class.
_WRAPPERS = frozenset({"properties", "parameters", "arguments"})


def find_references(schema: Any) -> set[str]:
    """Find the references in a schema, or in a part of one."""
    return set(_REFERENCE.findall(_dump(schema)))


def _dump(schema: Any) -> str:
    return json.dumps(schema, ensure_ascii=False, default=str)


def resolve(schema: Mapping[str, Any], reference: str) -> Any:
    """Return the part of a schema that a reference leads to; None if there is none."""
    if reference != "#" and not reference.startswith("#/"):
        return _look_up(schema, reference)
    part: Any = schema
    for step in unquote(reference).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        index: Any = int(key) if isinstance(part, list) and key.isdigit() else key
        try:
            part = part[index]
        except (LookupError, TypeError):
            return None
    return part


def _look_up(schema: Mapping[str, Any], reference: str) -> Any:
    """Resolve a reference to an anchor or an id. Nothing is fetched."""
    # Imported here, because it takes long and few schemas have such references.
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        resolver = Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema))
        return resolver.lookup(reference).contents
    except (Unresolvable, AttributeError, TypeError, ValueError):
        # The last three where keywords that it follows, such as `$id` or `allOf`, have other types.
        return None


def inline_root(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a reference at the root of a schema by what it leads to."""
    root, seen = dict(schema), set[str]()
    while isinstance(reference := root.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        target = resolve(schema, reference)
        if not isinstance(target, Mapping) or _contradict(root, target):
            break
        del root["$ref"]
        root = {**target, **root}
    return root


def _contradict(root: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    common = root.keys() & target.keys() - _ANNOTATIONS - {"$ref"}
    return any(root[key] != target[key] for key in common)


def to_parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a schema to that of a tool's arguments, which are always an object.

    A value of another kind, such as a list, becomes the property `root`.
    """
    root = inline_root(schema)
    if describes_object(root):
        return root if "type" in root else {"type": "object", **root}
    text = _LOCAL_REFERENCE.sub(f"#/properties/{ROOT}", json.dumps(root))
    return {"type": "object", "properties": {ROOT: json.loads(text)}, "required": [ROOT]}


def wraps_value(parameters: Mapping[str, Any]) -> bool:
    """True if arguments have no property but `root`, which `to_parameters` added."""
    properties = parameters.get("properties")
    return isinstance(properties, Mapping) and properties.keys() == {ROOT}


def describes_object(schema: Mapping[str, Any]) -> bool:
    """True unless a schema allows a value that is not an object."""
    return _is_object(schema, schema, frozenset())


def _is_object(schema: Any, root: Mapping[str, Any], seen: frozenset[str]) -> bool:
    if not isinstance(schema, Mapping):
        return True
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = None if reference in seen else resolve(root, reference)
        return _is_object(target, root, seen | {reference})
    kind = schema.get("type")
    if kind is not None:
        return kind == "object" or (
            isinstance(kind, list) and all(each in ("object", "null") for each in kind)
        )
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(branches, (list, tuple)):
        branches = ()
    return not schema.keys() & _VALUE_KEYS and all(_is_object(b, root, seen) for b in branches)


def close_objects(schema: Any) -> dict[str, Any] | None:
    """Forbid further properties, as OpenAI's strict mode demands (docs/replicate-api.md 5.4).

    Returns:
        The schema; None if this mode does not allow it: all properties must be required, and
        references and alternatives are not supported.
    """
    if not isinstance(schema, Mapping) or schema.keys() & _NOT_STRICT:
        return None
    closed = dict(schema)
    if "items" in schema:
        closed["items"] = close_objects(schema["items"])
    if "properties" in schema or "object" in (schema.get("type") or ()):
        properties = schema.get("properties") or {}
        closed["properties"] = {name: close_objects(each) for name, each in properties.items()}
        closed["additionalProperties"] = False
        is_open = schema.get("additionalProperties", False) is not False
        if is_open or {*schema.get("required", ())} != properties.keys():
            return None
    is_complete = None not in (closed.get("items", ()), *closed.get("properties", {}).values())
    return closed if is_complete else None


def find_schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Describe why a JSON schema is invalid; None if it is valid."""
    try:
        return _find_schema_problem(_dump(schema))
    except RecursionError:
        return "it is nested too deeply"


@lru_cache(maxsize=64)  # the check takes 0.3 ms a property, and programs send a schema repeatedly
def _find_schema_problem(text: str) -> str | None:
    from jsonschema import Draft202012Validator, SchemaError

    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    unreadable = next(filterfalse(_is_url, _ID.findall(text)), None)
    if unreadable is not None:
        return f"{unreadable!r} is not an identifier"
    missing = sorted(each for each in find_references(schema) if resolve(schema, each) is None)
    return f"{missing[0]!r} refers to nothing in it" if missing else None


def _is_url(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


def find_mismatch(schema: Mapping[str, Any], value: Any, name: str) -> str | None:
    """Describe how a value does not fit a valid schema, without any text of it; None if it fits.

    Args:
        schema: The schema.
        value: The value, parsed from JSON.
        name: The name of the tool or of the format, which models put around a value.
    """
    # Imported here, because it costs more than all of this package and few requests need it.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry

    if _is_wrapped(schema, value, name):
        return " is wrapped in an object of one key"
    # An empty registry: the default one fetches references from the network.
    validator = Draft202012Validator(dict(schema), registry=Registry[Any]())
    try:
        error = best_match(validator.iter_errors(value))
    except RecursionError:
        return " is nested too deeply"
    except OverflowError:
        return " holds a number that is too large"
    if error is None:
        return None
    # A key that the schema does not name is text of the answer.
    known = {*error.absolute_schema_path}
    keys = (key for key in error.absolute_path if isinstance(key, int) or key in known)
    path = "".join(f"[{key!r}]" for key in keys)
    rule = str(error.validator)
    if rule == "required":  # the names are the schema's
        rule += f": {', '.join(n for n in error.validator_value if n not in error.instance)}"
    return f"{path} does not fit the schema ({rule})"


def _is_wrapped(schema: Mapping[str, Any], value: Any, name: str) -> bool:
    """True if a value is in an object under the name of its schema, or a keyword like it."""
    root = inline_root(schema)
    properties = root.get("properties")
    is_open = root.get("additionalProperties") or "patternProperties" in root
    if not properties or is_open or not isinstance(value, dict) or len(value) != 1:
        return False
    ((key, inner),) = value.items()
    is_wrapper = key in _WRAPPERS or key.lower() == name.lower()
    return is_wrapper and key not in properties and isinstance(inner, dict)

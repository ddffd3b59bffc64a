"""A cheaper constructor for the frozen dataclasses of which every answer needs several.

`dataclass` lets a frozen value fill its fields through `object.__setattr__`, which looks up the
name of each one: 1,400 instructions a field. The setter of its slot takes 700.
"""

from __future__ import annotations

import dataclasses
import inspect
from functools import update_wrapper
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def fill_slots(cls: Class) -> Class:
    """Let the constructor of a frozen dataclass with slots call the setters of its slots.

    To be written above `dataclass`, which makes all the rest, and which type checkers see. The
    class has no `__post_init__`.
    """
    generated: Any = vars(cls)["__init__"]
    parameters = inspect.signature(cls).parameters
    names: dict[str, Any] = {}
    lines = []
    for each in dataclasses.fields(cls):
        name = value = each.name
        names[f"set_{name}"] = getattr(cls, name).__set__
        if each.default_factory is not dataclasses.MISSING:
            names[f"make_{name}"] = each.default_factory
            names[f"default_{name}"] = parameters[name].default
            value = f"make_{name}() if {name} is default_{name} else {name}"
        lines.append(f"    set_{name}(self, {value})\n")
    keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    arguments = [each for each in ("self", *parameters) if each not in keywords]
    if keywords:
        arguments += ["*", *keywords]
    exec(f"def __init__({', '.join(arguments)}):\n{''.join(lines)}", names)  # noqa: S102 - as `dataclass` does
    filled = names.pop("__init__")
    filled.__defaults__, filled.__kwdefaults__ = generated.__defaults__, generated.__kwdefaults__
    setattr(cls, "__init__", update_wrapper(filled, generated))  # noqa: B010 - mypy refuses the assignment
    return cls

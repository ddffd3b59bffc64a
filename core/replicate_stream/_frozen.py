"""A cheaper constructor for the frozen dataclasses of which every answer needs several.

`dataclass` lets a frozen value fill its fields through `object.__setattr__`, which looks up the
name of each one: 1,400 instructions a field. The setter of its slot takes 700. A value of many
fields is of a class that is not frozen while it is filled: 100 a field, and 3,000 for each value.
"""

from __future__ import annotations

import dataclasses
import inspect
from functools import update_wrapper
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)
_MANY = 5


def fill_slots(cls: Class) -> Class:
    """Let the constructor of a frozen dataclass with slots call the setters of its slots.

    To be written above `dataclass`, which makes all the rest, and which type checkers see. The
    class has no `__post_init__`.
    """
    generated: Any = vars(cls)["__init__"]
    parameters = inspect.signature(cls).parameters
    fields = dataclasses.fields(cls)
    values = {each.name: each.name for each in fields}
    names: dict[str, Any] = {}
    for each in fields:
        name = each.name
        if each.default_factory is not dataclasses.MISSING:
            names[f"make_{name}"] = each.default_factory
            names[f"default_{name}"] = parameters[name].default
            values[name] = f"make_{name}() if {name} is default_{name} else {name}"
    if len(fields) < _MANY or cls.__bases__ != (object,):
        names |= {f"set_{name}": getattr(cls, name).__set__ for name in values}
        lines = [f"set_{name}(self, {value})" for name, value in values.items()]
    else:
        open_class = type(cls.__name__, (), {"__slots__": tuple(values)})
        names |= {"generated": generated, "frozen": cls, "open_class": open_class}
        names["set_class"] = object.__dict__["__class__"].__set__
        same = ", ".join(f"{name}={name}" for name in values)
        lines = [
            f"if type(self) is not frozen: return generated(self, {same})",  # of another layout
            "set_class(self, open_class)",
            *(f"self.{name} = {value}" for name, value in values.items()),
            "self.__class__ = frozen",
        ]
    keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    arguments = [each for each in ("self", *parameters) if each not in keywords]
    if keywords:
        arguments += ["*", *keywords]
    body = "".join(f"    {line}\n" for line in lines)
    exec(f"def __init__({', '.join(arguments)}):\n{body}", names)  # noqa: S102 - as `dataclass` does
    filled = names.pop("__init__")
    filled.__defaults__, filled.__kwdefaults__ = generated.__defaults__, generated.__kwdefaults__
    setattr(cls, "__init__", update_wrapper(filled, generated))  # noqa: B010 - mypy refuses the assignment
    return cls

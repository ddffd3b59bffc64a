"""Late imports of a package's public names, and the names of public classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def export(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Build `__getattr__` and `__dir__` of a package that imports its modules at first use.

    A class is named after the package from its first use on.

    Args:
        package: The package's `__name__`.
        names: The public names by module, relative to the package.

    Returns:
        The functions that PEP 562 describes.
    """
    modules = {name: module for module, listed in names.items() for name in listed}

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        if isinstance(value, type):
            value.__module__ = package
        # Python calls `__getattr__` for missing names only: this was the last call for this one.
        setattr(import_module(package), name, value)
        return value

    def list_names() -> list[str]:
        exported: list[str] = import_module(package).__all__
        return exported

    return get_attribute, list_names


def public(exported: Class) -> Class:
    """Name a class after the public package instead of its file.

    The name is in tracebacks, reprs and pickles. Pickles need it before the first use by a user.
    """
    exported.__module__ = "replicate_stream"
    return exported

"""Marks the classes that the package exports."""

from __future__ import annotations

from typing import TypeVar

Class = TypeVar("Class", bound=type)


def public(exported: Class) -> Class:
    """Name the package as a class's home, and not its file: in tracebacks, reprs and pickles."""
    exported.__module__ = "replicate_stream"
    return exported

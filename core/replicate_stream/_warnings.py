"""Warnings that point at the user's code, past this library and the frameworks around it."""

from __future__ import annotations

import warnings


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn with the file and line of the user's code that called the library."""
    warnings.warn(message, category, stacklevel=3)

"""Counts work instead of time, which other programs on the machine would change."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable


def count_calls(function: Callable[[], object]) -> int:
    """Count the calls that a function makes, those into C included."""
    calls = itertools.count()
    sys.setprofile(lambda _frame, event, _argument: event.endswith("call") and next(calls))
    try:
        function()
    finally:
        sys.setprofile(None)
    return next(calls)

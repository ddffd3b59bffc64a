"""The log of the package, in which no text of a service forges a line or steers a terminal."""

from __future__ import annotations

import logging


class _OneLineFilter(logging.Filter):
    """Escapes the characters of arguments that cannot be printed, such as line breaks."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_escape, record.args))
        return True


def _escape(value: object) -> object:
    return value if isinstance(value, int | float) else escape_unprintable(str(value))


def escape_unprintable(text: str) -> str:
    """Escape line breaks, and what steers a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


log = logging.getLogger("replicate_stream")
log.addFilter(_OneLineFilter())

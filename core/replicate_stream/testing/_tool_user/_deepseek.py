"""DeepSeek's marks: the bars are U+FF5C, the low line is U+2581."""

from __future__ import annotations


def mark(words: str) -> str:
    """A mark of these words."""
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


CALLS = mark("tool calls begin"), mark("tool calls end")
CALL = mark("tool call begin"), mark("tool call end")
OUTPUTS = mark("tool outputs begin"), mark("tool outputs end")
OUTPUT = mark("tool output begin"), mark("tool output end")
SEPARATOR = mark("tool sep")

"""Turns of a conversation as text, and how control marks inside a text are broken.

A text that holds the marks of a chat format could forge a turn or a tool call. Every text is
therefore neutralized before it is put between marks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from replicate_stream._types.messages import ToolCall, ToolSpec

Role: TypeAlias = Literal["user", "assistant", "tool", "none"]
Marks: TypeAlias = tuple[str, str]
"""The marks directly before a text and directly after it."""
# As strings, because no family needs the classes before there is a request.
Tools: TypeAlias = "Sequence[ToolSpec]"
Calls: TypeAlias = "Sequence[ToolCall]"

_LINE_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
# The space behind a line end holds no other one: else a text of line ends would be searched
# from each of them to its end.
LINE_START = rf"(?:^|(?<=[{_LINE_ENDS}]))[^\S{_LINE_ENDS}]*"
"""A pattern for the place where a label opens a turn, for all that programs take as a line end."""
SPECIAL_TOKENS = (
    r"<\|[^|<>\s]+\|>|<\|[a-z_]+>|<[a-z_]+\|>|</?\uff5c[^\uff5c<>]+\uff5c>?|<</?SYS>>|</?s>"
    r"|\[/?(?:INST|[A-Z]+_PROMPT|TOOL_[A-Z]+|AVAILABLE_TOOLS|CALL_ID|ARGS|THINK|gMASK)\]|<sop>"
    r"|<(?:start|end)_of_turn>|</?(?:bos|eos|BOS_TOKEN|EOS_TOKEN)>|<SPECIAL_\d+>"
    r"|<(?:begin|beginning|end)_of_(?:document|sentence)>|\]~!?b[\[\]]|\[e~\["
)
"""A pattern for the marks of all known chat formats, by their shapes."""
ROLE_LABELS = r"GPT4(?: Correct)? \w+:|(?:USER|ASSISTANT):"
"""A pattern for the labels that open a turn within a line: those of OpenChat and Vicuna."""


class Turn(NamedTuple):
    """One message of a conversation, as text.

    Attributes:
        role: The role whose marks go around the text; `none` for a text that holds its own marks.
        text: The text.
        is_rendered: True if the text is written as it is, because the marks in it are meant.
    """

    role: Role
    text: str
    is_rendered: bool = False


def neutralize(pattern: str | re.Pattern[str] | None, text: str) -> str:
    """Break every mark that a pattern finds, so that it is read as mere text.

    A space goes before a mark's last character: `<|im_end|>` becomes `<|im_end| >`.

    Args:
        pattern: A regular expression for marks of at least two characters, none of which ends in
            white space; None: nothing is one.
        text: The text.
    """
    if pattern is None:
        return text
    if isinstance(pattern, str):  # `re` finds a compiled one again by hashing its whole code
        pattern = re.compile(pattern)
    pieces: list[str] = []
    at = 0
    while match := pattern.search(text, at):
        start, end = match.span()
        # A mark may hold another one, as `<|USER:|>` holds a label.
        inner = neutralize(pattern, text[start + 1 : end - 1])
        pieces += [text[at:start], text[start], inner, " "]
        at = end - 1  # the last character may begin another mark, as in `[TOOL]~!b[`
    return "".join([*pieces, text[at:]])

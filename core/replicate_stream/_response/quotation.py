"""Tell where a text quotes: in a code fence, in backticks, behind a quotation mark.

A call that an answer quotes, to show or to explain it, must not be executed.
"""

from __future__ import annotations

from copy import copy

_LONGEST_FENCE = 12
_FENCES = ("```", "~~~")
_QUOTES = ('"', "'", "\u201c", "\u2018", "\u201e", "\u00ab", "\u2039", "\u300c", "\u300e", "`",
           "<code>", "<pre>")  # fmt: skip
_SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
_LONGEST_QUOTE = max(map(len, _QUOTES))
_CODE_INDENT = 4  # of a block of code in Markdown
_LONGEST_HEAD = _CODE_INDENT + _LONGEST_FENCE


class QuotationTracker:
    """Follows the text of an answer in Markdown, line by line.

    Attributes:
        quotes_call: Set to True where a quoted call begins: what follows belongs to the quotation,
            up to the next blank line.
    """

    __slots__ = ("_backticks", "_fence", "_has_text", "_head", "_tail", "quotes_call")

    def __init__(self) -> None:
        self.quotes_call = False
        self._has_text = False
        self._fence = ""  # the fence that is open
        self._head = ""  # the beginning of the line: its indent, and what may open a fence
        self._tail = ""  # the end of the line
        self._backticks = 0  # in the line

    def add(self, text: str) -> None:
        """Add the next text of the answer."""
        *ended, last = text.split("\n")
        for line in ended:
            self._add_to_line(line)
            self._end_line()
        self._add_to_line(last)

    def add_to_copy(self, text: str) -> QuotationTracker:
        """Return a tracker that has a further text."""
        tracker = copy(self)
        tracker.add(text)
        return tracker

    @property
    def is_line_start(self) -> bool:
        """True if the line has white space only."""
        return not self._head.strip()

    @property
    def is_in_sentence(self) -> bool:
        """True if the line has text that ends no sentence, so that more of one may follow."""
        return not self.is_line_start and not self._tail.rstrip().endswith(_SENTENCE_ENDS)

    @property
    def is_quoted(self) -> bool:
        """True if what stands behind the text is quoted. An answer as a whole is no quotation."""
        head = self._head.lstrip()
        indent = len(self._head.expandtabs(_CODE_INDENT)) - len(head)
        return self._has_text and (
            self.quotes_call
            or bool(self._fence)
            or self._backticks % 2 == 1
            or head.startswith((*_FENCES, ">"))
            or self._tail.endswith(_QUOTES)
            or (indent >= _CODE_INDENT and not head)
        )

    def _add_to_line(self, text: str) -> None:
        if not text:
            return
        head, body = self._head, text
        if not head.strip():
            body = text.lstrip()
            # A deeper indent than that of code is the same, and a line of blanks may be long.
            head = (head + text[: len(text) - len(body)])[:_CODE_INDENT]
        self._head = (head + body[:_LONGEST_HEAD])[:_LONGEST_HEAD]
        self._backticks += text.count("`")
        self._tail = (self._tail + text)[-_LONGEST_QUOTE:]
        self._has_text = self._has_text or not text.isspace()

    def _end_line(self) -> None:
        head = self._head.strip()
        if self._fence:
            # A fence ends with as many characters as it began with, alone in their line.
            is_end = head.startswith(self._fence) and not head.strip(head[0])
            self._fence = "" if is_end else self._fence
        elif head.startswith(_FENCES):
            self._fence = head[: len(head) - len(head.lstrip(head[0]))]
        self.quotes_call = self.quotes_call and bool(head)
        self._head = self._tail = ""
        self._backticks = 0

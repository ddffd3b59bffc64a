"""Split the reasoning of a model from its answer while it streams.

Models write their reasoning between tags before the answer, or in a channel of its own. The traps:
a tag that is split between two chunks, and an answer that merely mentions a tag. So only a tag at
the very start counts, or, where the prompt ends with the opening tag, the first closing one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

from replicate_stream._model import families
from replicate_stream._response.quotation import QuotationTracker

if TYPE_CHECKING:
    from replicate_stream._response.json_repair import JsonScanner

Piece: TypeAlias = tuple[Literal["text", "reasoning"], str]

# The prompt may end with the start of the message, so that the answer begins with its recipient.
_HARMONY_STARTS = ("<|channel|>", "<|start|>assistant", "to=functions.")
_HARMONY_OPENINGS = frozenset(each[:3] for each in _HARMONY_STARTS)
_HARMONY_CALL_END = "<|call|>"
_HARMONY_ENDS = ("<|end|>", "<|return|>", _HARMONY_CALL_END)
_HARMONY_END = re.compile("|".join(map(re.escape, _HARMONY_ENDS)))
_HARMONY_CALL = "<|channel|>commentary to="
_MESSAGE = "<|message|>"
_LONGEST_HEADER = 200
# What a header consists of, the last part of it cut off or not.
_HARMONY_HEADER = re.compile(
    r"(?:\s*(?:<\|start\|>(?:assistant|functions\.[^\s<]*|[a-z]*\Z)|<\|(?:channel|constrain)\|>\w*"
    r"|to=[^\s<]+|json\b|<(?:\|[a-z]*\|?)?\Z))*\s*"
)
_HARMONY_RESULT = "<|start|>functions."
_HARMONY_OTHER = re.compile(r"\s*<\|start\|>(?!assistant\b|functions\.)")


class ReasoningSplitter:
    """Splits a text into reasoning and answer. The result is the same for every chunking.

    White space before the opening tag belongs to the reasoning; the tags are dropped. A block that
    is never closed is reasoning to the end.

    Args:
        opening: The tag of a block that is open already; empty for none.
        call_marks: The marks of calls. An answer that begins with one has no reasoning, although
            the block is open: it would be lost else, because nothing closes the block then.

    Attributes:
        is_assumed: True while nothing in the text shows that it is reasoning: the block was open
            already, and is neither opened nor closed.
        is_over: True once the rest of the text is not needed: the model plays another's turn.
    """

    __slots__ = (
        *("_blanks", "_call_marks", "_closing", "_harmony", "_is_start", "_pending"),
        "is_assumed",
    )

    def __init__(self, opening: str = "", call_marks: tuple[str, ...] = ()) -> None:
        self._pending = ""
        self._is_start = True  # until an opening tag is found or excluded
        self._blanks: list[str] = []  # at the start; a string would be copied for each token
        # The closing tag of the open block; empty outside of a block.
        self._closing = dict(families.TABLES.thinking_tags).get(opening, "") if opening else ""
        self.is_assumed = bool(self._closing)
        self._harmony: _HarmonySplitter | None = None
        self._call_marks = call_marks if opening else ()

    @property
    def is_over(self) -> bool:
        return self._harmony is not None and self._harmony.is_over

    @property
    def is_done(self) -> bool:
        """True once all further text belongs to the answer, so that it need not pass through."""
        return not self._is_start and not self._closing and self._harmony is None

    def feed(self, text: str) -> list[Piece]:
        """Add text; return the pieces that are certain, none of them empty."""
        if self._harmony is not None:
            return self._harmony.feed(text)
        if self._is_start and not self._pending:
            text = self._hold_blanks(text)
        rest, self._pending = self._pending + text, ""
        pieces: list[Piece] = []
        if self._is_start and rest:
            rest = self._open(rest, pieces)
        if self._harmony is not None:
            return self._harmony.feed(rest)
        if self._is_start:
            self._pending, rest = rest, ""
        elif self._closing:
            rest = self._close(rest, pieces)
        if rest:
            pieces.append(("text", rest))
        return pieces

    def flush(self) -> list[Piece]:
        """Return the pending text, after the last `feed`."""
        if self._harmony is not None:
            return self._harmony.flush()
        text, self._pending = self._release_blanks() + self._pending, ""
        return [("reasoning" if self._closing else "text", text)] if text else []

    def _hold_blanks(self, text: str) -> str:
        """Hold the white space at the start of the answer; return the text after it."""
        body = text.lstrip()
        self._blanks.append(text[: len(text) - len(body)])
        return body

    def _release_blanks(self) -> str:
        blanks, self._blanks = "".join(self._blanks), []
        return blanks

    def _open(self, text: str, pieces: list[Piece]) -> str:
        """Find an opening tag at the start; return the text after it, or the whole text."""
        start = text[:3]
        is_word = start not in families.TABLES.thinking_starts and start not in _HARMONY_OPENINGS
        # As most answers begin; comparing a word with every mark costs 40,000 instructions.
        if is_word and len(start) == 3 and not self._call_marks:
            self._is_start = False
            return self._release_blanks() + text
        tags = families.TABLES.thinking_tags
        if text.startswith(_HARMONY_STARTS):
            self._harmony, self.is_assumed = _HarmonySplitter(), False
            return text
        for opening, closing in tags:
            if text.startswith(opening):
                self._is_start, self._closing, self.is_assumed = False, closing, False
                blanks = self._release_blanks()
                if blanks:
                    pieces.append(("reasoning", blanks))
                return text[len(opening) :]
        if self._call_marks and text.startswith(self._call_marks):
            self._is_start, self._closing, self.is_assumed = False, "", False
            return self._release_blanks() + text
        openings = (*(opening for opening, _ in tags), *_HARMONY_STARTS, *self._call_marks)
        self._is_start = any(opening.startswith(text) for opening in openings)
        return text if self._is_start else self._release_blanks() + text

    def _close(self, text: str, pieces: list[Piece]) -> str:
        """Append the reasoning up to the closing tag; return the text after the tag."""
        end = text.find(self._closing)
        if end >= 0:
            rest = text[end + len(self._closing) :]
            self._closing, self.is_assumed = "", False
        else:
            end = len(text) - _count_partial(text, (self._closing,))
            self._pending, rest = text[end:], ""
        if end:
            pieces.append(("reasoning", text[:end]))
        return rest


class _HarmonySplitter:
    """Splits the messages of gpt-oss by their channels; calls are passed on behind one mark.

    Source: https://developers.openai.com/cookbook/articles/openai-harmony.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._pending = ""
        self._kind: Literal["header", "text", "reasoning", "call"] = "header"
        self._scanner: JsonScanner | None = None  # of the arguments of a call, up to their end

    def feed(self, text: str) -> list[Piece]:
        self._pending += text
        pieces: list[Piece] = []
        while not self.is_over and self._read(pieces):
            pass
        return pieces

    def flush(self) -> list[Piece]:
        pieces: list[Piece] = []
        if self._kind == "header" and not self.is_over:
            self._end_header(pieces)
        if self.is_over:
            return []
        text, self._pending = self._pending, ""
        if not text.strip():
            # The call was cut off in its header, and so may be the name.
            return [(kind, piece.removesuffix(_MESSAGE)) for kind, piece in pieces]
        return [*pieces, ("reasoning" if self._kind == "reasoning" else "text", text)]

    def _read(self, pieces: list[Piece]) -> bool:
        """Read a header, or what is there of a message; return True if more can be read."""
        if self._kind == "header":
            end = self._pending.find(_MESSAGE, 0, _LONGEST_HEADER)
            if end >= 0:
                header, self._pending = self._pending[:end], self._pending[end + len(_MESSAGE) :]
                self._start_message(header, pieces)
            elif len(self._pending) >= _LONGEST_HEADER:
                self._end_header(pieces)
            return self._kind != "header"
        start = self._skip_arguments()
        found = _HARMONY_END.search(self._pending, start)
        size = len(self._pending)
        stop = (
            size - _count_partial(self._pending[start:], _HARMONY_ENDS)
            if found is None
            else found.start()
        )
        body = self._pending[:stop]
        if found is not None and self._kind == "call":
            body += _HARMONY_CALL_END  # whatever the message ends with
        if body:
            pieces.append(("reasoning" if self._kind == "reasoning" else "text", body))
        self._pending = self._pending[stop if found is None else found.end() :]
        self._kind = self._kind if found is None else "header"
        return found is not None

    def _skip_arguments(self) -> int:
        """Return the position behind arguments: a mark in a text of theirs ends no message."""
        if self._scanner is None:
            return 0
        end = self._scanner.feed(self._pending)
        if self._scanner.is_done or self._scanner.is_broken:
            self._scanner = None
        return end

    def _end_header(self, pieces: list[Piece]) -> None:
        """End a header that lacks the mark of its message: the rest of the text is the message."""
        # The same part in any pieces: more than a header may hold can be there already.
        header = _HARMONY_HEADER.match(self._pending[:_LONGEST_HEADER])
        end = 0 if header is None else header.end()
        if end == _LONGEST_HEADER and not self._pending[end - 1].isspace():
            end = 0  # a word goes on: no header has one that long
        self._start_message(self._pending[:end], pieces)
        self._pending = self._pending[end:]

    def _start_message(self, header: str, pieces: list[Piece]) -> None:
        if _HARMONY_OTHER.match(header) is not None:
            self.is_over = True
            return
        if header.lstrip().startswith(_HARMONY_RESULT):
            self._kind = "text"
            pieces.append(("text", header.lstrip()))  # the reader of calls knows this mark
            return
        recipient = re.search(r"\bto=([^\s<]+)", header)
        if recipient is not None and recipient[1] != "user":
            from replicate_stream._response.json_repair import JsonScanner

            self._kind, self._scanner = "call", JsonScanner()
            pieces.append(("text", f"{_HARMONY_CALL}{recipient[1]}{_MESSAGE}"))
        else:
            self._kind = "reasoning" if "<|channel|>analysis" in header else "text"


def is_channel(text: str) -> bool:
    """Return True if a text begins a message of gpt-oss."""
    return text.lstrip().startswith(_HARMONY_STARTS)


def skip_reasoning(text: str) -> str:
    """Return the text behind the reasoning at its beginning, if there is any."""
    splitter = ReasoningSplitter()
    pieces = [*splitter.feed(text), *splitter.flush()]
    return "".join(piece for kind, piece in pieces if kind == "text")


def find_unopened_reasoning(text: str) -> str:
    """Find the tag that an answer closes on a line of its own, and never opened; empty for none.

    The opening tag then was the end of the prompt that the model's own template rendered.
    """
    for opening, closing in families.TABLES.thinking_tags:
        if closing not in text:
            continue
        tag = re.escape(closing)
        if re.search(rf"(?m)^[ \t]*{tag}(?!`)|{tag}[ \t]*$", text) is not None:
            before = text[: text.index(closing)]
            quotation = QuotationTracker()
            quotation.add(before)
            if opening not in before and not quotation.is_quoted:
                return opening
    return ""


def _count_partial(text: str, tags: Iterable[str]) -> int:
    """Return the number of characters at the end of the text that may begin one of the tags."""
    return max(
        next(
            (n for n in range(min(len(tag) - 1, len(text)), 0, -1) if tag.startswith(text[-n:])), 0
        )
        for tag in tags
    )

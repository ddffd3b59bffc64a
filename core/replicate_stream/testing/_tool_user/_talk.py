"""The conversation as the model sees it: what it has to answer now, and what came before that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from replicate_stream.testing._tool_user import _demands
from replicate_stream.testing._tool_user._conversation import Call, Result, Turn
from replicate_stream.testing._tool_user._facts import Facts, read_facts

_GO_ON = re.compile(r"\bcontinue with the (?:current )?(?:request|task)\b", re.IGNORECASE)
_FOLLOWING = re.compile(r"^\W*(?:and|what about|how about)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Talk:
    """The conversation, with what the model has to answer now in view.

    Attributes:
        turns: All turns, complaints about earlier answers left out.
        request: What the user said last.
        before: The tool that was called before that, if the request goes on with it.
        earlier: What the user said before that.
        called: What was called since then.
        results: What tools have given since then, but for mere words to go on.
        is_asked_again: Whether an answer to the request was refused.
    """

    turns: tuple[Turn, ...]
    request: str
    before: str
    earlier: tuple[str, ...]
    called: tuple[Call, ...]
    results: tuple[Result, ...]
    is_asked_again: bool

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> Talk:
        """The conversation in these turns."""
        kept = list(turns)
        is_asked_again = False
        users = [turn for turn in kept if turn.role == "user"]
        while len(users) > 1 and kept[-1] is users[-1] and _demands.is_complaint(users[-1].text):
            is_asked_again = True
            users.pop()
            kept.pop()
            while kept and kept[-1].role == "assistant":
                kept.pop()  # the answer that would not do
        last = max((at for at, turn in enumerate(kept) if turn.role == "user"), default=-1)
        since = kept[last + 1 :]
        request = users[-1].text if users else ""
        called = tuple(call for turn in since for call in turn.calls)
        before = [call.name for turn in kept[: max(last, 0)] for call in turn.calls]
        return cls(
            turns=tuple(kept),
            request=request,
            before=before[-1] if before and _FOLLOWING.search(request) else "",
            earlier=tuple(turn.text for turn in users[:-1]),
            called=called,
            results=tuple(r for t in since for r in t.results if not _GO_ON.search(r.text)),
            is_asked_again=is_asked_again,
        )

    def facts(self) -> Facts:
        """What there is to go by: the request, then results, then what was said before."""
        results = [result.text for result in self.results]
        return read_facts(self.request, [*results, *reversed(self.earlier)], hint=self.before)

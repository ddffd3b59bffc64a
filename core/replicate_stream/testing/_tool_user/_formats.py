"""The chat formats: a prompt back into its turns, by the marks that the vendors document.

Written from the vendors' templates, not from the code that fills them in: a mark that is missing
or misspelt there has to be noticed here, as a model would notice it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from replicate_stream.testing._tool_user._conversation import Role

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "instruction": "user",
    "assistant": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "response": "assistant",
    "tool": "tool",
    "ipython": "tool",
    "tool_response": "tool",
    "function": "tool",
    "available_tools": "offer",
}
# How a turn opens, with the role in it, and how it ends.
_HEADED = tuple(
    (re.compile(opening), re.compile(end))
    for opening, end in (
        (r"<\|im_start\|>(\w+)(?:\n|<\|im_sep\|>)", r"<\|im_end\|>\n?"),
        (r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n", r"<\|eo[tm]_id\|>"),
        (r"<\|header_start\|>(\w+)<\|header_end\|>\n\n", r"<\|eo[tm]\|>"),
        (r"<\|start_of_role\|>(\w+)<\|end_of_role\|>", r"<\|end_of_text\|>\n?"),
        (r"<start_of_turn>(\w+)\n", r"<end_of_turn>\n?"),
        (r"<\|START_OF_TURN_TOKEN\|><\|(\w+)_TOKEN\|>", r"<\|END_OF_TURN_TOKEN\|>"),
        (r"GPT4 Correct (\w+):[ ]?", r"<\|end_of_turn\|>"),
        (r"<\|(system|user|assistant|tool)\|>\n?", r"(?:<\|end\|>|</s>)\n?"),
    )
)
_STARTS = re.compile(r"^(?:<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|\[gMASK\]sop)+")
_MISTRAL = re.compile(
    r"(\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|</?s>|<<SYS>>|<</SYS>>)"
)
_DEEPSEEK = re.compile(
    "(<\uff5c(?:User|Assistant|begin\u2581of\u2581sentence|end\u2581of\u2581sentence"
    "|tool\u2581outputs\u2581begin|tool\u2581outputs\u2581end)\uff5c>)"
)
_LABEL = re.compile(
    r"(?:^|(?<=\n))(?:###[ ]*)?"
    r"(System|User|Human|Assistant|AI|Tool|Instruction|Response)[ ]?:[ \n]?"
    r"|(?:^|(?<=[ \n]))(USER|ASSISTANT):[ ]?",
    re.IGNORECASE,
)
STRAY = re.compile(r"<\|[A-Za-z_]+\|>|<\uff5c[^\uff5c<>]+\uff5c>|\[/?INST\]|<</?SYS>>")
"""A mark that no turn's text can hold: where one does, the marks around it are wrong."""

_CALL_BEGUN = re.compile(r"\s*(?:<|\{|\[TOOL)")


@dataclass(frozen=True, slots=True)
class Read:
    """A prompt's turns as role and text, and the beginning of the answer at its end."""

    turns: list[tuple[Role, str]] = field(default_factory=list)
    begun: str = ""
    has_system_inside: bool = False


def read_prompt(prompt: str) -> Read:
    """The turns of a prompt; one of the user if it shows no format."""
    for opening, end in _HEADED:
        if opening.search(prompt):
            return _headed(prompt, opening, end)
    if "[INST]" in prompt:
        return _mistral(prompt)
    if "<\uff5cUser\uff5c>" in prompt or "<\uff5cAssistant\uff5c>" in prompt:
        return _deepseek(prompt)
    return _labelled(prompt) or Read([("user", prompt.strip())], has_system_inside=True)


def _headed(prompt: str, opening: re.Pattern[str], end: re.Pattern[str]) -> Read:
    found = list(opening.finditer(prompt))
    turns: list[tuple[Role, str]] = []
    head = _STARTS.sub("", prompt[: found[0].start()]).strip()
    if head:
        turns.append(("system", head))
    begun = ""
    for at, mark in enumerate(found):
        last = at + 1 == len(found)
        text = prompt[mark.end() : len(prompt) if last else found[at + 1].start()]
        closing = end.search(text)
        role = _ROLES.get(mark.group(1).lower())
        if role is None:  # nobody's turn: its mark is one that does not belong there
            role, text = "user", mark.group() + text
        if last and closing is None and role == "assistant":
            begun = text
        else:
            turns.append((role, text[: closing.start()] if closing else text))
    return Read(turns, begun, not any(role == "system" for role, _ in turns))


def _mistral(prompt: str) -> Read:
    """Mistral's and Llama 2's: the mark before a text says whose it is."""
    opens: Mapping[str, Role] = {
        "[INST]": "user",
        "[/INST]": "assistant",
        "[SYSTEM_PROMPT]": "system",
        "<<SYS>>": "system",
        "<</SYS>>": "user",
        "[AVAILABLE_TOOLS]": "offer",
        "[TOOL_RESULTS]": "tool",
        "[/TOOL_RESULTS]": "assistant",
    }
    turns: list[tuple[Role, str]] = []
    role: Role | None = None
    begun = ""
    for at, piece in enumerate(_MISTRAL.split(prompt)):
        if at % 2:
            role, begun = opens.get(piece), ""
        elif role is not None:
            begun = piece if role == "assistant" else ""
            if piece.strip():
                turns.append((role, piece.strip()))
    if begun.strip():
        turns.pop()
    return Read(turns, begun, not any(role == "system" for role, _ in turns))


def _deepseek(prompt: str) -> Read:
    opens: Mapping[str, Role] = {
        "begin of sentence": "system",
        "User": "user",
        "Assistant": "assistant",
        "tool outputs begin": "tool",
        "tool outputs end": "assistant",
    }
    turns: list[tuple[Role, str]] = []
    role: Role | None = "system"
    begun = ""
    for at, piece in enumerate(_DEEPSEEK.split(prompt)):
        if at % 2:
            mark = piece.strip("<>\uff5c").replace("\u2581", " ")
            role, begun = opens.get(mark), ""
        elif role is not None:
            begun = piece if role == "assistant" else ""
            if piece.strip():
                turns.append((role, piece.strip()))
    if begun.strip():
        turns.pop()
    return Read(turns, begun)


def _labelled(prompt: str) -> Read | None:
    """A transcript; None unless it ends where the assistant is to speak."""
    found = list(_LABEL.finditer(prompt))
    roles = [_ROLES[(mark.group(1) or mark.group(2)).lower()] for mark in found]
    if not found or roles[-1] != "assistant" or "user" not in roles:
        return None
    begun = prompt[found[-1].end() :]
    if begun.strip() and not _CALL_BEGUN.match(begun):
        return None
    turns: list[tuple[Role, str]] = []
    head = _STARTS.sub("", prompt[: found[0].start()]).strip()
    if head:
        turns.append(("system", head))
    for at, (mark, role) in enumerate(zip(found[:-1], roles, strict=False)):
        text = prompt[mark.end() : found[at + 1].start()].replace("</s>", "").strip()
        turns.append((role, text))
    return Read(turns, begun)

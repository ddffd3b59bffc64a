"""A readable transcript, for models whose format is not known, or that apply one themselves.

Roles are labels at the beginning of a line, as in a printed interview.
"""

from __future__ import annotations

import re

from replicate_stream._chat.prompts.family import Family

TRANSCRIPT = Family(
    name="transcript",
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant: ", "\n\n"),
    tool=("Tool: ", "\n\n"),
    answer="Assistant:",
    # Also after line ends that only some programs take for such, and after other white space.
    control=re.compile(
        r"(?:^|(?<=[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]))[^\S\n]*(?:System|User|Assistant|Tool):"
    ),
)

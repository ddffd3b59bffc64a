"""A readable transcript, for models whose format is not known, or that apply one themselves.

Roles are labels at the beginning of a line, as in a printed interview.
"""

from __future__ import annotations

import re

from replicate_stream._model.families.family import LINE_START, Family

TRANSCRIPT = Family(
    name="transcript",
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant: ", "\n\n"),
    tool=("Tool: ", "\n\n"),
    answer="Assistant:",
    control=re.compile(rf"{LINE_START}(?:System|User|Assistant|Tool):"),
)

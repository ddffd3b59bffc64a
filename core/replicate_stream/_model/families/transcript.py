"""A readable transcript, for models whose format is not known, or that apply one themselves.

Roles are labels at the beginning of a line, as in a printed interview.
"""

from replicate_stream._model.families.family import ChatTemplate, Family
from replicate_stream._model.families.turn import LINE_START

TRANSCRIPT = ChatTemplate(
    name="transcript",
    system=("", "\n\n"),
    user=("User: ", "\n\n"),
    assistant=("Assistant: ", "\n\n"),
    tool=("Tool: ", "\n\n"),
    generation_prompt="Assistant:",
    control_marks=rf"{LINE_START}(?:System|User|Assistant|Tool):",
)
FAMILY = Family(templates=(TRANSCRIPT,))

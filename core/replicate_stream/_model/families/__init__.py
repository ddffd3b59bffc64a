"""Everything that is known of models by their families, one file a family.

To add a family: one file beside this one that defines `FAMILY`, and its name in `_FILES`.
Nothing else in the core compares the names of models: every table is derived from the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from importlib import import_module

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import CallMark, ToolFormat
from replicate_stream._model.families.turn import Marks

# Fine-tunes bring their own format along and keep the name of what they were made from
# (dolphin-2.9-llama3, starling on mistral), so their families come before those of base models.
_FILES = (
    "openai",
    "anthropic",
    "google",
    "xai",
    "deepseek",
    "openchat",
    "zephyr",
    "alpaca",
    "vicuna",
    "solar",
    "phi",
    "qwen",
    "chatml",
    "cohere",
    "granite",
    "falcon",
    "moonshot",
    "glm",
    "mistral",
    "llama",
    "transcript",
)
# Words that mean the same in the name of any family's model.
_CHAT_NAMES = r"instruct|chat|-it\b|assistant|-sft|-dpo|-orpo|rlhf|tuned"
_VISION_NAMES = r"vision|-vl\b|-vl-"
_THINKING_NAMES = r"thinking"


class FamilyTables:
    """Lookup tables over families, each derived when it is first used.

    Args:
        families: The families, fine-tunes before what they were made from: of several that fit a
            name, the first is taken.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        self.families = tuple(families)
        # A name is looked up for every schema, and searching takes a pattern for each template.
        self.find_by_model = lru_cache(maxsize=512)(self._find_by_model)

    @cached_property
    def templates(self) -> tuple[ChatTemplate, ...]:
        """All chat templates, in the order in which they are searched."""
        return tuple(template for family in self.families for template in family.templates)

    def find_by_name(self, name: str) -> ChatTemplate | None:
        """Find the chat template that `prompt_format=` names."""
        # Several families may share a format; the one with the hint defined it.
        found = [each for each in self.templates if each.name == name]
        return next((each for each in found if each.hint), next(iter(found), None))

    def find_by_hint(self, text: str) -> ChatTemplate | None:
        """Find the chat template whose marks a template, an example or a description shows."""
        return next((t for t in self.templates if t.hint and re.search(t.hint, text)), None)

    def _find_by_model(self, model: str) -> ChatTemplate | None:
        """Find the chat template that a model was trained on, by the model's name."""
        name = model.lower()
        return next((t for t in self.templates if t.names and re.search(t.names, name)), None)

    def find_window(self, name: str) -> ContextWindow | None:
        """Find a model's context window by its name in lower case, without its owner."""
        # One pattern after the other, so that only those before the match are compiled.
        windows = (window for family in self.families for window in family.windows)
        return next((window for window in windows if re.search(window.names, name)), None)

    @cached_property
    def vision_names(self) -> str:
        """A pattern for the names of models that take images."""
        return _join(_VISION_NAMES, *(family.vision_names for family in self.families))

    @cached_property
    def thinking_names(self) -> str:
        """A pattern for the names of models that reason before they answer."""
        return _join(_THINKING_NAMES, *(family.thinking_names for family in self.families))

    @cached_property
    def chat_names(self) -> str:
        """A pattern for the names of models that were trained on chats."""
        return _join(_CHAT_NAMES, *(family.chat_names for family in self.families))

    @cached_property
    def thinking_tags(self) -> tuple[Marks, ...]:
        """The tags around reasoning: pairs of an opening and a closing one."""
        return tuple(dict.fromkeys(tag for f in self.families for tag in f.thinking_tags))

    @cached_property
    def call_marks(self) -> Mapping[str, tuple[CallMark, ...]]:
        """The marks that open a call, by their text; a text may introduce several headers."""
        marks = dict.fromkeys(mark for each in self._tool_formats for mark in each.call_marks)
        found: dict[str, tuple[CallMark, ...]] = {}
        for mark in marks:
            found[mark.opening] = (*found.get(mark.opening, ()), mark)
        return found

    @cached_property
    def frame_marks(self) -> frozenset[str]:
        """The marks around all calls of an answer."""
        return frozenset(mark for each in self._tool_formats for mark in each.frame_marks)

    @cached_property
    def result_marks(self) -> frozenset[str]:
        """The marks that open the result of a tool."""
        return frozenset(mark for each in self._tool_formats for mark in each.result_marks)

    @cached_property
    def closing_marks(self) -> frozenset[str]:
        """The marks that close a call."""
        marks = (mark for listed in self.call_marks.values() for mark in listed)
        return frozenset(closing for mark in marks for closing in mark.closings)

    @cached_property
    def call_separators(self) -> tuple[str, ...]:
        """The texts that may stand between two calls without marks."""
        return tuple(dict.fromkeys(s for each in self._tool_formats for s in each.call_separators))

    @cached_property
    def _tool_formats(self) -> tuple[type[ToolFormat], ...]:
        return tuple(dict.fromkeys(template.tool_format for template in self.templates))


def _join(*patterns: str | None) -> str:
    return "|".join(pattern for pattern in patterns if pattern)


# Imported by name, so that a family has to be entered in one place only.
FAMILIES: tuple[Family, ...] = tuple(import_module(f"{__name__}.{name}").FAMILY for name in _FILES)
TABLES = FamilyTables(FAMILIES)

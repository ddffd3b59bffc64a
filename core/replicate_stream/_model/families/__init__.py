"""Everything that is known of models by their families, one file a family.

To add a family: one file beside this one that defines `FAMILY`, and its name in `_FILES`.
Nothing else in the core compares the names of models: every table is derived from the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from itertools import chain
from typing import TypeVar

from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family
from replicate_stream._model.families.tool_format import ToolFormat

_Item = TypeVar("_Item")

# Fine-tunes bring their own format along and keep the name of what they were made from
# (dolphin-2.9-llama3, starling on mistral), so their families come before those of base models.
_FILES = (
    "openai", "anthropic", "google", "xai", "minimax", "nvidia", "deepseek", "openchat", "zephyr",
    "alpaca", "vicuna", "solar", "phi", "qwen", "chatml", "cohere", "granite", "falcon",
    "moonshot", "glm", "mistral", "llama", "bigcode", "transcript",
)  # fmt: skip
# Words that mean the same in the name of any family's model.
_CHAT_NAMES = r"instruct|chat|-it\b|assistant|-sft|-dpo|-orpo|rlhf|tuned"
# Models that pass the prompt to the engine, which only some of their schemas show
# (docs/replicate-api.md 5.4).
_RAW_NAMES = r"^tomasmcm/"
_VISION_NAMES = r"vision|-vl\b|-vl-"
_THINKING_NAMES = r"thinking"


class FamilyTables:
    """Lookup tables over families.

    Args:
        families: The families, fine-tunes before what they were made from: of several that fit a
            name, the first is taken.

    Attributes:
        templates: All chat templates, in the order in which they are searched.
        vision_names: A pattern for the names of models that take images.
        thinking_names: A pattern for the names of models that reason before they answer.
        chat_names: A pattern for the names of models that were trained on chats.
        raw_names: A pattern for the full names of models that take their prompt as it is.
        hosted_names: A pattern for the names of models in whose texts no control token can stand.
        systemless_names: A pattern for the names of models that refuse the role `system`.
        thinking_tags: The tags around reasoning: pairs of an opening and a closing one.
        thinking_starts: The first three characters of each opening tag.
        tool_formats: All tool formats, by the names of their classes.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        self.families = tuple(families)
        self.templates = tuple(t for family in self.families for t in family.templates)
        self.vision_names = _join(_VISION_NAMES, *(f.vision_names for f in self.families))
        self.thinking_names = _join(_THINKING_NAMES, *(f.thinking_names for f in self.families))
        self.chat_names = _join(_CHAT_NAMES, *(f.chat_names for f in self.families))
        self.raw_names = _RAW_NAMES
        self.hosted_names = _join(*(f.hosted_names for f in self.families))
        self.systemless_names = _join(*(f.systemless_names for f in self.families))
        self.thinking_tags = _chain(family.thinking_tags for family in self.families)
        self.thinking_starts = frozenset(opening[:3] for opening, _ in self.thinking_tags)
        formats = [template.tool_format for template in self.templates]
        formats += [each for family in self.families for _, each in family.tool_formats]
        self.tool_formats = {each.__name__: each for each in formats}
        # A name is looked up for every schema, and searching takes a pattern for each template.
        self.find_by_model = lru_cache(maxsize=512)(self._find_by_model)

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

    def find_tool_format(self, model: str) -> type[ToolFormat] | None:
        """Find the tool format of a model that has no chat template, by the model's name."""
        name = model.lower()
        formats = (pair for family in self.families for pair in family.tool_formats)
        return next((each for names, each in formats if re.search(names, name)), None)

    def find_reasoning_tag(self, model: str) -> str:
        """Find the tag with which a model's own template opens its reasoning; empty for none."""
        name = model.lower()
        for family in self.families:
            if family.unopened_names and re.search(family.unopened_names, name):
                return family.thinking_tags[0][0]
        return ""

    def find_window(self, name: str) -> ContextWindow | None:
        """Find a model's context window by its name in lower case, without its owner."""
        # One pattern after the other, so that only those before the match are compiled.
        windows = (window for family in self.families for window in family.windows)
        return next((window for window in windows if re.search(window.names, name)), None)


def _chain(tables: Iterable[Iterable[_Item]]) -> tuple[_Item, ...]:
    """Chain tables in their order, each item once."""
    return tuple(dict.fromkeys(chain.from_iterable(tables)))


def _join(*patterns: str | None) -> str:
    return "|".join(pattern for pattern in patterns if pattern)


# Imported by name, so that a family has to be entered in one place only.
FAMILIES: tuple[Family, ...] = tuple(import_module(f"{__name__}.{name}").FAMILY for name in _FILES)
TABLES = FamilyTables(FAMILIES)

"""What was said, onto the model's text fields: as messages, as history, or as one prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from replicate_stream._chat.profiles import Profile
from replicate_stream._chat.prompts import FAMILIES, TRANSCRIPT, Family, Turn, by_name
from replicate_stream._chat.report import Report
from replicate_stream._chat.said import Said, native
from replicate_stream._chat.schema import InputField, InputSchema
from replicate_stream._errors import InvalidInputError

_PLAIN = "plain"


def put_conversation(
    said: Sequence[Said],
    schema: InputSchema,
    model: Profile,
    target: dict[str, Any],
    report: Report,
    prompt_format: str | None = None,
) -> None:
    """Put all messages into `target`, the system text into the model's own field if it has one.

    Args:
        said: The messages.
        schema: The model's inputs.
        model: How the model takes a conversation.
        target: The input that is being made.
        report: Takes the notes.
        prompt_format: A family's name, or `plain` for the texts alone, instead of the choice by
            schema and name.

    Raises:
        InvalidInputError: The model takes no text, or there is no such prompt format.
    """
    system = "\n\n".join(s.text for s in said if s.message.role == "system" and s.text)
    turns = [s for s in said if s.message.role != "system"]
    forced = _forced(prompt_format)
    if forced is None and prompt_format is None and model.native is not None:
        _put_messages(system, turns, model, model.native, target, report)
        return
    text = model.text
    if text is None or text is model.native:
        raise InvalidInputError(
            f"The model takes no prompt; its inputs are {', '.join(schema.names)}",
            fields=("messages",),
        )
    if prompt_format is not None:
        prompt = _forced_prompt(system, turns, forced, model, target, report)
    elif model.is_raw and model.family is not None and not model.is_base:
        prompt = _rendered(system, turns, model.family, model, target, report)
    else:
        prompt = _held(system, turns, model, target, report)
    target[text.name] = [prompt] if text.kind == "array" else prompt


def _forced(prompt_format: str | None) -> Family | None:
    family = by_name(prompt_format) if prompt_format is not None else None
    if prompt_format is not None and family is None and prompt_format != _PLAIN:
        known = ", ".join(f.name for f in FAMILIES)
        raise InvalidInputError(
            f"prompt_format is {prompt_format!r}; one of {known}, {_PLAIN} is needed",
            fields=("prompt_format",),
        )
    return family


def _forced_prompt(
    system: str,
    turns: Sequence[Said],
    family: Family | None,
    model: Profile,
    target: dict[str, Any],
    report: Report,
) -> str:
    if family is not None:
        return _rendered(system, turns, family, model, target, report)
    return "\n\n".join([*([system] if system else []), *(s.turn().text for s in turns)])


def _held(
    system: str, turns: Sequence[Said], model: Profile, target: dict[str, Any], report: Report
) -> str:
    """The prompt for a model that applies a template of its own, or for a base model."""
    is_single = len(turns) == 1 and turns[0].message.role == "user"
    if model.history is not None and (pairs := _alternating(turns)) is not None and not is_single:
        return _put_history(system, pairs, model.history, model, target, report)
    is_placed = not system or model.system is not None
    is_ours = model.template is not None and not model.is_base and not (is_single and is_placed)
    if is_ours and model.family is not None:
        return _rendered(system, turns, model.family, model, target, report)
    if system and model.system is not None:
        target[model.system.name] = _safe(system, model, report)
        system = ""
    if is_single:
        text = _safe(turns[0].turn().text, model, report)
        if not system:
            return text
        report.note("The system text was put before the prompt: the model has no field for it.")
        return f"{_safe(system, model, report)}\n\n{text}"
    report.note("The conversation was written into the prompt as a transcript.")
    safe = [Turn(t.speaker, _safe(t.text, model, report)) for t in (s.turn() for s in turns)]
    return _render(_safe(system, model, report), safe, TRANSCRIPT, report)


def _rendered(
    system: str,
    turns: Sequence[Said],
    family: Family,
    model: Profile,
    target: dict[str, Any],
    report: Report,
) -> str:
    """The prompt in a family's own format, past the model's template if it has one."""
    template = model.template
    if template is not None and template.default != "{prompt}":
        target[template.name] = "{prompt}"
        report.note(f"{template.name} was set to the bare prompt, which holds the whole chat.")
    report.note(f"The conversation was written in the {family.name} format.")
    return _render(system, [s.turn() for s in turns], family, report)


def _render(system: str, turns: Sequence[Turn], family: Family, report: Report) -> str:
    if any(family.control.search(text) for text in (system, *(t.text for t in turns))):
        _note_broken(report)
    return family.render(system, turns)


def _safe(text: str, model: Profile, report: Report) -> str:
    safe = model.defuse(text)
    if safe != text:
        _note_broken(report)
    return safe


def _note_broken(report: Report) -> None:
    sentence = "Control marks in a message were broken with a space, so that they open no turn."
    if sentence not in report.notes:
        report.note(sentence)


def _put_messages(
    system: str,
    turns: Sequence[Said],
    model: Profile,
    field: InputField,
    target: dict[str, Any],
    report: Report,
) -> None:
    listed = [native(s, _safe(s.text, model, report)) for s in turns]
    if system and model.native_holds_system:
        listed.insert(0, {"role": "system", "content": _safe(system, model, report)})
    elif system and model.system is not None:
        target[model.system.name] = _safe(system, model, report)
    in_text = field.kind == "string" or field.items == "string"
    if field.kind == "array":
        target[field.name] = (
            [json.dumps(each, ensure_ascii=False) for each in listed] if in_text else listed
        )
    else:
        target[field.name] = json.dumps(listed, ensure_ascii=False)


def _alternating(turns: Sequence[Said]) -> list[str] | None:
    """The texts, turns of one speaker joined, if they begin and end with the user's."""
    texts: list[str] = []
    last = ""
    for each in turns:
        turn = each.turn()
        speaker = "assistant" if turn.speaker == "assistant" else "user"
        if speaker == last:
            texts[-1] += f"\n\n{turn.text}"
        elif not texts and speaker == "assistant":
            return None
        else:
            texts.append(turn.text)
        last = speaker
    return texts if last == "user" else None


def _put_history(
    system: str,
    texts: list[str],
    history: InputField,
    model: Profile,
    target: dict[str, Any],
    report: Report,
) -> str:
    safe = [_safe(text, model, report) for text in texts]
    if system and model.system is not None:
        target[model.system.name] = _safe(system, model, report)
    elif system:
        report.note("The system text was put before the first message: there is no field for it.")
        safe[0] = f"{_safe(system, model, report)}\n\n{safe[0]}"
    if safe[:-1]:
        target[history.name] = safe[:-1]
    return safe[-1]

"""What was said, onto the model's text fields: natively where it takes messages, else as a prompt.

The trap is a model that applies its own chat template: a second one around it ruins the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from replicate_stream._chat import fields
from replicate_stream._chat.messages import Content, Message
from replicate_stream._chat.report import Report
from replicate_stream._chat.schema import InputField, InputSchema
from replicate_stream._errors import InvalidInputError

_JSON_MESSAGES = re.compile(r"json.*messages|messages.*json")
_IGNORED = re.compile(r"prompt\b.*\bignored")
_SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System"}


def put_conversation(
    messages: Sequence[Message], schema: InputSchema, target: dict[str, Any], report: Report
) -> None:
    """Put all messages into `target`, the system text into the model's own field if it has one.

    Raises:
        InvalidInputError: The model takes no text, or a message holds what is no text.
    """
    system = "\n\n".join(t for m in messages if m.role == "system" if (t := _text(m.content)))
    turns = [m for m in messages if m.role != "system"]
    native = _native_field(schema)
    own = fields.find_system(schema)
    if native is not None:
        inside = own is None or bool(_IGNORED.search(native.about))
        listed = [{"role": m.role, "content": _text(m.content)} for m in turns]
        if system and inside:
            listed.insert(0, {"role": "system", "content": system})
        elif system and own:
            target[own.name] = system
        in_text = native.kind == "string"
        target[native.name] = json.dumps(listed, ensure_ascii=False) if in_text else listed
        return
    field = fields.find_text(schema)
    if field is None:
        raise InvalidInputError(
            f"The model takes no text; its inputs are {', '.join(schema.names)}",
            fields=("messages",),
        )
    if system and own is not None:
        target[own.name] = system
        system = ""
    prompt = _prompt(system, turns, report)
    target[field.name] = [prompt] if field.kind == "array" else prompt


def _native_field(schema: InputSchema) -> InputField | None:
    native = fields.find(schema, fields.MESSAGES)
    if native is not None and native.kind in {"array", "string"}:
        return native
    text = fields.find_text(schema)
    return text if text is not None and _JSON_MESSAGES.search(text.about) else None


def _prompt(system: str, turns: Sequence[Message], report: Report) -> str:
    if len(turns) == 1 and turns[0].role == "user":
        if system:
            report.note("The system text was put before the prompt: the model has no field for it.")
        return f"{system}\n\n{_text(turns[0].content)}" if system else _text(turns[0].content)
    report.note("The conversation was written into the prompt as a transcript.")
    said = [f"{_SPEAKERS[m.role]}: {_text(m.content)}" for m in turns]
    return "\n\n".join([*([system] if system else []), *said, "Assistant:"])


def _text(content: Content) -> str:
    if isinstance(content, str):
        return content
    pieces = []
    for part in content:
        if isinstance(part, str):
            pieces.append(part)
        elif part.get("type", "text") == "text" and isinstance(part.get("text"), str):
            pieces.append(part["text"])
        else:
            raise InvalidInputError(
                f"A message has a part of type {part.get('type')!r}, which is not sent yet",
                fields=("messages",),
            )
    return "".join(pieces)

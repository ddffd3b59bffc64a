"""A conversation as turns of a prompt, with what was called and what came of it written out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replicate_stream._model.families.family import Turn
from replicate_stream._model.tool_formats import Result, ToolFormat
from replicate_stream._request.message_parts import MessageParts


def is_about_tools(said: Iterable[MessageParts]) -> bool:
    """Whether anything was called or answered by a tool."""
    return any(each.message.tool_calls or each.message.role == "tool" for each in said)


def turns_with_tools(said: Sequence[MessageParts], dialect: ToolFormat) -> list[Turn]:
    """All messages as turns; results in a row belong together."""
    names = {call.id: call.name for each in said for call in each.message.tool_calls}
    turns: list[Turn] = []
    results: list[Result] = []
    is_after_results = False
    for each in said:
        message = each.message
        if message.role == "tool":
            called = names.get(message.tool_call_id or "")
            text = dialect.clean(each.text)
            results.append(Result(text, message.name or called, message.tool_call_id))
            continue
        if results:
            turns += dialect.results(results)
            results = []
            is_after_results = True
        turn = _turn(each, dialect)
        if is_after_results and turn.speaker == "assistant" and dialect.continues:
            turn = Turn("none", turn.text + dialect.assistant[1], is_ready=True)
        turns.append(turn)
        is_after_results = False
    return turns + (dialect.results(results) if results else [])


def _turn(said: MessageParts, dialect: ToolFormat) -> Turn:
    plain = said.turn()
    text = dialect.clean(plain.text)
    if said.message.tool_calls:
        return dialect.said(text, said.message.tool_calls)
    return Turn(plain.speaker, text, is_ready=True)

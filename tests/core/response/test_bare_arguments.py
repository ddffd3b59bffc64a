"""An answer that is nothing but the arguments of the one call that it had to be."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import AnswerFormatError, Client, Completion
from replicate_stream.testing import Emulator

CITY: Any = {
    "name": "find",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def ask(emulator: Emulator, text: str, **parameters: Any) -> Completion:
    emulator.reply = [text[at : at + 3] for at in range(0, len(text), 3)]
    async with Client() as client:
        return await client.complete(
            emulator.model,
            "Hi",
            tools=[CITY],
            max_repairs=0,
            **{"tool_choice": "find", **parameters},
        )


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Oslo"}',
        '\n{\n"city": "Oslo"}\n',
        '```json\n{"city": "Oslo"}\n```',
        '<think>Hm.</think>\n{"city": "Oslo"}',
    ],
)
async def test_they_are_taken_for_the_call(replicate_emulator: Emulator, text: str) -> None:
    completion = await ask(replicate_emulator, text)
    (call,) = completion.tool_calls
    assert (call.name, call.arguments) == ("find", {"city": "Oslo"})
    assert completion.finish_reason == "tool_calls"
    assert completion.text == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"city": 5}',
        '{"city": "Oslo"',
        '{"error": "There is no such city."}',
        'Here it is: {"city": "Oslo"}',
        '[{"city": "Oslo"}]',
    ],
)
async def test_what_does_not_fit_or_stands_beside_words_is_no_call(
    replicate_emulator: Emulator, text: str
) -> None:
    with pytest.raises(AnswerFormatError, match="it calls no tool"):
        await ask(replicate_emulator, text)


async def test_without_one_tool_that_must_be_called_they_are_text(
    replicate_emulator: Emulator,
) -> None:
    completion = await ask(replicate_emulator, '{"city": "Oslo"}', tool_choice="auto")
    assert (completion.tool_calls, completion.text) == ((), '{"city": "Oslo"}')

"""CPU time of `prepare_input`, which every request needs: one question, and a conversation."""

from __future__ import annotations

import statistics
import time

from benchmarks.report import Row
from benchmarks.sizes import Sizes
from replicate_stream import prepare_input
from replicate_stream.testing.server.schemas import TEXT_INPUT

NEEDS = ()
_ROUNDS = 5


async def rows(sizes: Sizes) -> list[Row]:
    """Microseconds of CPU per call."""
    turns = [
        {"role": role, "content": f"turn {number} of a conversation"}
        for number in range(10)
        for role in ("user", "assistant")
    ]
    conversations: dict[str, str | list[dict[str, str]]] = {
        "prepare_input, one question": "Why is the sky blue?",
        "prepare_input, 21 turns": [*turns, {"role": "user", "content": "And now?"}],
    }
    return [
        Row(name, _cost(messages, sizes), "us/call") for name, messages in conversations.items()
    ]


def _cost(messages: str | list[dict[str, str]], sizes: Sizes) -> float:
    figures = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(sizes.calls):
            prepare_input(
                messages,
                model="meta/meta-llama-3-70b-instruct",
                schema=TEXT_INPUT,
                system_prompt="Be brief.",
                max_tokens=64,
                temperature=0.5,
                stop=["END"],
            )
        figures.append((time.process_time() - began) / sizes.calls * 1e6)
    return statistics.median(figures)

"""Many calls at once under a rate limit: each is answered, none is paid twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator, RateLimit

MakeLLM = Callable[..., ChatReplicate]
CROWD = 300


async def test_three_hundred_calls_at_a_limit_of_six_hundred_a_minute(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.behaviour.rate_limit = RateLimit(50, 5)  # 600 a minute, in slices
    replicate_emulator.reply = lambda values: str(values["prompt"]).partition("number ")[2][:4]
    llm = make_llm()
    answers = await asyncio.gather(*(llm.ainvoke(f"number {n:04}") for n in range(CROWD)))
    assert [answer.content for answer in answers] == [f"{n:04}" for n in range(CROWD)]
    assert len(replicate_emulator.predictions) == CROWD
    creations = [request for request in replicate_emulator.requests if request.kind == "create"]
    # All came at once, and all but the first were refused. Later refusals are few.
    assert 2 * CROWD - 50 <= len(creations) <= 3 * CROWD

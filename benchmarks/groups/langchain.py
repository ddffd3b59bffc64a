"""The client's CPU for a token in LangChain, beside LangChain alone; and for making a model."""

from __future__ import annotations

from time import process_time

from benchmarks import readers
from benchmarks.report import Contender, Row, compare, cpu_per_token
from benchmarks.server import running
from benchmarks.sizes import Sizes
from replicate_stream import Client

NEEDS = ("langchain_core",)


async def rows(sizes: Sizes) -> list[Row]:
    """`ChatReplicate.astream`, and `stream` over the bridge for sync code."""
    from benchmarks.bare_langchain import BareChat, a_chunk
    from langchain_replicate_stream import ChatReplicate

    model, tokens = f"burst-{sizes.chunks}", sizes.chunks
    # The target's own figure, 32 us, is with the making of the chunks.
    made, ready = BareChat(tokens=tokens), BareChat(ready=[a_chunk() for _ in range(tokens)])
    with running() as address:
        async with Client(readers.TOKEN, base_url=address.api) as client:
            chat = ChatReplicate(model=f"bench/{model}", client=client, stream_usage=False)
            has_ready = readers.items(lambda _: ready.astream("x"))
            makes = readers.items(lambda _: made.astream("x"))
            streams = readers.items(lambda _: chat.astream("x"))
            bridged = readers.in_thread(lambda _: chat.stream("x"))
            alone = "LangChain alone, making its chunks"
            per_token = await compare(
                [
                    Contender("LangChain alone, chunks ready", cpu_per_token(has_ready, model)),
                    Contender(alone, cpu_per_token(makes, model)),
                    Contender("the core alone", cpu_per_token(readers.core(client), model)),
                    Contender("ChatReplicate.astream", cpu_per_token(streams, model), alone, 1.25),
                    Contender(
                        "ChatReplicate.stream, over the bridge",
                        cpu_per_token(bridged, model),
                        "ChatReplicate.astream",
                        2.0,
                    ),
                ],
                rounds=sizes.rounds,
                unit="us/token",
            )
    return [*per_token, Row("making a ChatReplicate, not the first", _making(sizes), "ms", most=1)]


def _making(sizes: Sizes) -> float:
    """Milliseconds of CPU for a model with settings of its own, when the class has been built."""
    from langchain_replicate_stream import ChatReplicate

    began = process_time()
    for _ in range(sizes.calls):
        ChatReplicate(model="meta/meta-llama-3-70b-instruct", api_key=readers.TOKEN)
    return (process_time() - began) / sizes.calls * 1e3

"""CPU time per token in LlamaIndex, compared with LlamaIndex alone and the core alone."""

from __future__ import annotations

from benchmarks import readers
from benchmarks.report import Contender, Row, compare, cpu_per_token
from benchmarks.server import running
from benchmarks.sizes import Sizes
from replicate_stream import Client

NEEDS = ("llama_index.core",)


async def rows(sizes: Sizes) -> list[Row]:
    """`Replicate.astream_complete`, `astream_chat`, and the blocking `stream_complete`."""
    from llama_index.core.llms import ChatMessage

    from benchmarks.bare_llama_index import BareLLM
    from llama_index_replicate_stream import Replicate

    # Chunks of HTTP, which the recorded service does not send, cost more than this package does.
    model, asked = f"plain-{sizes.chunks}", [ChatMessage(content="x")]
    bare, brief = BareLLM(tokens=sizes.chunks), {"include_usage": False}
    with running() as address:
        async with Client(readers.TOKEN, base_url=address.api) as client:
            ours = Replicate(model=f"bench/{model}", client=client)
            bare_text = readers.async_items(lambda _: bare.astream_complete("x"))
            text = readers.async_items(lambda _: ours.astream_complete("x", **brief))
            bare_chat = readers.async_items(lambda _: bare.astream_chat(asked))
            chat = readers.async_items(lambda _: ours.astream_chat(asked, **brief))
            bridged = readers.blocking_items(lambda _: ours.stream_complete("x", **brief))
            alone, alone_chat = "LlamaIndex alone, completion", "LlamaIndex alone, chat"
            complete, answer = "Replicate.astream_complete", "Replicate.astream_chat"
            return await compare(
                [
                    Contender("the core alone", cpu_per_token(readers.core(client), model)),
                    Contender(alone, cpu_per_token(bare_text, model)),
                    Contender(complete, cpu_per_token(text, model), alone, 1.3),
                    Contender(alone_chat, cpu_per_token(bare_chat, model)),
                    Contender(answer, cpu_per_token(chat, model), alone_chat, 1.3),
                    Contender(
                        "Replicate.stream_complete, blocking",
                        cpu_per_token(bridged, model),
                        complete,
                        2.0,
                    ),
                ],
                rounds=sizes.rounds,
                unit="us/token",
            )

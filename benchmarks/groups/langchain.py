"""CPU time per token in LangChain, compared with LangChain alone, and per model created."""

from __future__ import annotations

from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Any

from benchmarks import readers
from benchmarks.report import Contender, Row, compare, cpu_per_token
from benchmarks.server import running
from benchmarks.sizes import Sizes
from replicate_stream import Client

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

NEEDS = ("langchain_core",)
_FRAME = 4  # events of a message: it starts, its text starts, the text ends, it ends


async def rows(sizes: Sizes) -> list[Row]:
    """`ChatReplicate.astream`, the blocking `stream`, and the events of version 3."""
    from langchain_core._api import suppress_langchain_beta_warning

    from benchmarks.bare_langchain import BareChat, create_chunk
    from langchain_replicate_stream import ChatReplicate

    # Chunks of HTTP, which the recorded service does not send, cost more than this package does.
    model, tokens = f"plain-{sizes.chunks}", sizes.chunks
    # The target includes the creation of the chunks, so the floor creates them too.
    made, ready = BareChat(tokens=tokens), BareChat(ready=[create_chunk() for _ in range(tokens)])
    with suppress_langchain_beta_warning(), running() as address:
        async with Client(readers.TOKEN, base_url=address.api) as client:
            chat = ChatReplicate(model=f"bench/{model}", client=client, stream_usage=False)
            has_ready = readers.async_items(lambda _: ready.astream("x"))
            makes = readers.async_items(lambda _: made.astream("x"))
            streams = readers.async_items(lambda _: chat.astream("x"))
            bridged = readers.blocking_items(lambda _: chat.stream("x"))
            has_events = readers.async_items(partial(_stream_events, made), more=_FRAME)
            events = readers.async_items(partial(_stream_events, chat), more=_FRAME)
            alone = "LangChain alone, creating its chunks"
            events_alone = "LangChain alone, events of version 3"
            per_token = await compare(
                [
                    Contender("LangChain alone, chunks ready", cpu_per_token(has_ready, model)),
                    Contender(alone, cpu_per_token(makes, model)),
                    Contender("the core alone", cpu_per_token(readers.core(client), model)),
                    Contender("ChatReplicate.astream", cpu_per_token(streams, model), alone, 1.25),
                    Contender(
                        "ChatReplicate.stream, blocking",
                        cpu_per_token(bridged, model),
                        "ChatReplicate.astream",
                        2.0,
                    ),
                    Contender(events_alone, cpu_per_token(has_events, model)),
                    Contender(
                        "ChatReplicate, events of version 3",
                        cpu_per_token(events, model),
                        events_alone,
                        0.64,
                    ),
                ],
                rounds=sizes.rounds,
                unit="us/token",
            )
    return [
        *per_token,
        Row("creating a ChatReplicate, not the first", _cost_of_model(sizes), "ms", most=1),
    ]


def _stream_events(chat: BaseChatModel, _: str) -> Any:
    return chat.astream_events("x", version="v3")


def _cost_of_model(sizes: Sizes) -> float:
    """Milliseconds of CPU per model with its own settings, after Pydantic has built the class."""
    from langchain_replicate_stream import ChatReplicate

    began = process_time()
    for _ in range(sizes.calls):
        ChatReplicate(model="meta/meta-llama-3-70b-instruct", api_key=readers.TOKEN)
    return (process_time() - began) / sizes.calls * 1e3

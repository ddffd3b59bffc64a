"""`ReplicateEmbedding`: indexes, pipelines, event loops, settings, secrets."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import ValidationError

from llama_index_replicate_stream import Replicate, ReplicateEmbedding
from llama_index_replicate_stream._signatures import EmbeddingSettings
from replicate_stream import Client, InvalidInputError
from replicate_stream.adapters import Connection
from replicate_stream.testing import Emulator, HashingEmbedder

FACTS = ["Owls hunt at night.", "Iron rusts when wet.", "The capital of France is Paris."]
OWN = {"query_instruction", "text_instruction", "batch_size", "concurrency", "additional_kwargs"}

MakeEmbedding = Callable[..., ReplicateEmbedding]


@pytest.fixture
def make_embedding(replicate_emulator: Emulator) -> MakeEmbedding:
    """Makes embedding models of the emulator, with further settings."""

    def make(model: str = replicate_emulator.embedding_model, **settings: Any) -> Any:
        return ReplicateEmbedding(model, **settings)

    return make


def count_batches(emulator: Emulator) -> int:
    model = emulator.embedding_model
    return sum(each.model == model for each in emulator.predictions.values())


# In LlamaIndex


async def test_a_query_engine_answers_from_the_text_that_was_found(
    replicate_emulator: Emulator, make_embedding: MakeEmbedding
) -> None:
    replicate_emulator.reply = lambda values: str("capital of France is Paris" in str(values))
    index = VectorStoreIndex.from_documents(
        [Document(text=fact) for fact in FACTS], embed_model=make_embedding()
    )
    engine = index.as_query_engine(
        llm=Replicate(replicate_emulator.model), similarity_top_k=1, streaming=False
    )
    question = "What is the capital of France?"
    assert str(await engine.aquery(question)) == "True"
    assert str(engine.query(question)) == "True"


async def test_an_index_can_be_built_asynchronously(make_embedding: MakeEmbedding) -> None:
    index = VectorStoreIndex([], embed_model=make_embedding())
    await index.ainsert_nodes([Document(text=fact) for fact in FACTS])
    (found,) = await index.as_retriever(similarity_top_k=1).aretrieve("When do owls hunt?")
    assert found.get_content() == FACTS[0]


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_ingestion_pipeline_embeds_its_nodes(
    is_async: bool, make_embedding: MakeEmbedding
) -> None:
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(), make_embedding()])
    documents = [Document(text=fact) for fact in FACTS]
    nodes = (
        await pipeline.arun(documents=documents) if is_async else pipeline.run(documents=documents)
    )
    expected = [HashingEmbedder().embed(fact) for fact in FACTS]
    assert [node.embedding for node in nodes] == expected


async def test_many_texts_keep_their_order_and_take_few_predictions(
    replicate_emulator: Emulator, make_embedding: MakeEmbedding
) -> None:
    texts = [f"text number {n}" for n in range(300)]
    model = make_embedding()
    vectors = await model.aget_text_embedding_batch(texts)
    assert vectors == [HashingEmbedder().embed(text) for text in texts]
    assert count_batches(replicate_emulator) == 256 // 32 + 2
    assert model.get_text_embedding_batch(texts[:3]) == vectors[:3]


async def test_async_methods_do_not_block_the_loop(
    replicate_emulator: Emulator, make_embedding: MakeEmbedding
) -> None:
    replicate_emulator.behaviour.boot_time = 60
    pipeline = IngestionPipeline(transformations=[make_embedding()])
    task = asyncio.create_task(pipeline.arun(documents=[Document(text=FACTS[0])]))
    # This loop waits for the emulator in a thread, and goes on only if nothing blocks it.
    await replicate_emulator.wait_for_async(lambda e: len(e.predictions) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await replicate_emulator.wait_for_async(lambda e: e.cancels == list(e.predictions))


async def test_every_method_of_the_framework_returns_the_same_vector(
    make_embedding: MakeEmbedding,
) -> None:
    model, text = make_embedding(), FACTS[0]
    vectors = [
        model.get_query_embedding(text),
        model.get_text_embedding(text),
        *model.get_text_embedding_batch([text]),
        model.get_agg_embedding_from_queries([text]),
        await model.aget_query_embedding(text),
        await model.aget_text_embedding(text),
        *(await model.aget_text_embedding_batch([text])),
        await model.aget_agg_embedding_from_queries([text]),
    ]
    assert vectors == [HashingEmbedder().embed(text)] * 8


async def test_callbacks_and_caches_of_the_framework_work(
    replicate_emulator: Emulator, make_embedding: MakeEmbedding
) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    model = make_embedding(
        callback_manager=CallbackManager([handler]), embeddings_cache=SimpleKVStore()
    )
    first = await model.aget_text_embedding_batch(FACTS)
    assert await model.aget_text_embedding_batch(FACTS) == first
    assert len(handler.get_event_pairs(CBEventType.EMBEDDING)) == 2
    assert count_batches(replicate_emulator) == 1


async def test_queries_and_texts_are_told_apart(
    replicate_emulator: Emulator, make_embedding: MakeEmbedding
) -> None:
    replicate_emulator.add_model(
        "acme/embedder",
        {
            "type": "object",
            "properties": {
                "texts": {"type": "array", "items": {"type": "string"}},
                "task": {"type": "string", "enum": ["retrieval.query", "retrieval.passage"]},
                "dim": {"type": "integer"},
            },
        },
        output_schema={"type": "array"},
        official=True,
        reply=HashingEmbedder(),
    )
    model = make_embedding(
        "acme/embedder",
        query_instruction="q: ",
        text_instruction="t: ",
        additional_kwargs={"dim": 8},
    )
    await model.aget_query_embedding("a")
    await model.aget_text_embedding("b")
    assert [each.input for each in replicate_emulator.predictions.values()] == [
        {"texts": ["q: a"], "task": "retrieval.query", "dim": 8},
        {"texts": ["t: b"], "task": "retrieval.passage", "dim": 8},
    ]


async def test_an_empty_text_is_an_error_that_names_its_position(
    make_embedding: MakeEmbedding,
) -> None:
    with pytest.raises(InvalidInputError, match=r"^texts\[1\] is empty"):
        await make_embedding().aget_text_embedding_batch(["a", " "])


async def test_a_client_can_be_shared(replicate_emulator: Emulator) -> None:
    async with Client(replicate_emulator.token, base_url=replicate_emulator.base_url) as client:
        model = ReplicateEmbedding(replicate_emulator.embedding_model, client=client)
        assert len(await model.aget_text_embedding_batch(FACTS)) == 3


# Fields


def test_every_field_belongs_to_the_connection_to_the_vectors_or_to_llama_index() -> None:
    connection = {
        {"headers": "default_headers"}.get(each.name, each.name) for each in fields(Connection)
    }
    own = set(ReplicateEmbedding.model_fields) - set(BaseEmbedding.model_fields)
    assert own == OWN | connection - {"api_key"}


def test_type_checkers_know_each_field() -> None:
    assert set(EmbeddingSettings.__annotations__) == set(ReplicateEmbedding.model_fields)


def test_the_model_is_given_first_or_under_the_frameworks_name() -> None:
    assert ReplicateEmbedding("a/b").model_name == "a/b"
    assert (
        ReplicateEmbedding(model="a/b").to_dict() == ReplicateEmbedding(model_name="a/b").to_dict()
    )
    with pytest.raises(TypeError, match="needs a model, such as 'owner/name'"):
        ReplicateEmbedding()


def test_an_unknown_argument_is_an_error_with_the_closest_name() -> None:
    with pytest.raises(TypeError, match="ReplicateEmbedding has no argument 'modle'; did you mean"):
        ReplicateEmbedding(modle="a/b")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="concurrency"):
        ReplicateEmbedding("a/b", concurrency=0)


def test_a_dict_of_the_object_makes_the_same_object() -> None:
    model = ReplicateEmbedding("a/b", query_instruction="query: ", batch_size=4, timeout=30)
    twin = ReplicateEmbedding.from_dict(model.to_dict())
    assert (twin.to_dict(), twin.model_name, twin.timeout) == (model.to_dict(), "a/b", 30)


def test_neither_repr_nor_dict_nor_pickle_nor_trace_holds_a_secret() -> None:
    secret = "r8_SESAME"
    model = ReplicateEmbedding(
        "a/b",
        api_key=secret,
        proxy=f"http://user:{secret}@localhost:1",
        default_headers={"x-token": secret},
        additional_kwargs={"hf_token": secret, "dim": 8},
    )
    shown = [repr(model), str(model.to_dict()), model.to_json(), str(model.to_payload())]
    assert secret not in "".join(shown)
    assert secret.encode() not in pickle.dumps(model)
    with pytest.raises(ValidationError) as caught:
        ReplicateEmbedding("a/b", timeout=secret)  # type: ignore[arg-type]
    assert secret not in str(caught.value)


async def test_a_pickle_works_with_the_token_of_the_environment(
    make_embedding: MakeEmbedding,
) -> None:
    model = make_embedding(query_instruction="query: ")
    await model.aget_query_embedding("a")
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert await twin.aget_query_embedding("a") == HashingEmbedder().embed("query: a")


def test_it_is_loaded_at_first_use_only() -> None:
    code = (
        "import sys, llama_index_replicate_stream as package\n"
        "name = 'llama_index_replicate_stream.embedding'\n"
        "assert name not in sys.modules\n"
        "assert package.ReplicateEmbedding.__module__ == 'llama_index_replicate_stream'\n"
        "assert name in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

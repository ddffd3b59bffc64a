"""Embeddings of a real model on this machine: texts of one meaning are near without a common word.

The emulator's other embedding model hashes words, and finds none of the answers here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline

from langchain_replicate_stream import ReplicateEmbeddings
from llama_index_replicate_stream import Replicate, ReplicateEmbedding
from replicate_stream import Client
from replicate_stream.testing import Emulator, HashingEmbedder
from replicate_stream.testing.local_embedder import MODEL, LocalEmbedder

FACTS = [
    "A doctor gave medicine to her patient.",
    "The cat is napping on the couch.",
    "Share prices dropped in New York.",
    "Metal corrodes in damp air.",
]
QUESTIONS = [
    "Who treats ill people in hospital?",
    "Where do kittens sleep?",
    "How did stocks trade at Wall Street?",
    "Why does iron rust with water?",
]


@pytest.fixture
def emulator(embedder: LocalEmbedder, replicate_emulator: Emulator) -> Emulator:
    """An emulator with the model, whose address and token are in the environment."""
    replicate_emulator.add_embedding_model(MODEL, official=True, embedder=embedder)
    return replicate_emulator


def multiply(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def find_nearest(questions: list[list[float]], facts: list[list[float]]) -> list[int]:
    return [
        max(range(len(facts)), key=lambda index: multiply(question, facts[index]))
        for question in questions
    ]


async def test_related_texts_are_nearer_than_others(emulator: Emulator) -> None:
    async with Client() as client:
        vectors = await client.embed(MODEL, [*QUESTIONS, *FACTS], batch_size=3)
    questions, facts = vectors[: len(QUESTIONS)], vectors[len(QUESTIONS) :]
    assert find_nearest(questions, facts) == [0, 1, 2, 3]
    for index, question in enumerate(questions):
        others = [multiply(question, fact) for fact in facts if fact is not facts[index]]
        assert multiply(question, facts[index]) > max(others) + 0.1
    hashed = [HashingEmbedder().embed(text) for text in [*QUESTIONS, *FACTS]]
    assert find_nearest(hashed[: len(QUESTIONS)], hashed[len(QUESTIONS) :]) != [0, 1, 2, 3]


async def test_a_vector_store_of_langchain_finds_the_answer_by_its_meaning(
    emulator: Emulator,
) -> None:
    store = InMemoryVectorStore(ReplicateEmbeddings(model=MODEL))
    await store.aadd_texts(FACTS)
    for question, fact in zip(QUESTIONS, FACTS, strict=True):
        (found,) = await store.asimilarity_search(question, k=1)
        assert found.page_content == fact
    retriever = store.as_retriever(search_kwargs={"k": 1})
    assert [found.page_content for found in retriever.invoke(QUESTIONS[1])] == [FACTS[1]]


async def test_a_pipeline_and_a_query_engine_of_llama_index_find_the_answer_by_its_meaning(
    emulator: Emulator,
) -> None:
    emulator.reply = lambda values: values["prompt"]  # the model repeats what it is asked
    embed_model = ReplicateEmbedding(MODEL)
    pipeline = IngestionPipeline(transformations=[embed_model])
    nodes = await pipeline.arun(documents=[Document(text=fact) for fact in FACTS])
    index = VectorStoreIndex(nodes, embed_model=embed_model)
    engine = index.as_query_engine(llm=Replicate(emulator.model), similarity_top_k=1)
    for question, fact in zip(QUESTIONS, FACTS, strict=True):
        answer = await engine.aquery(question)
        assert [found.node.get_content() for found in answer.source_nodes] == [fact]
        assert fact in str(answer)
        assert not any(other in str(answer) for other in FACTS if other != fact)


@pytest.mark.parametrize(
    ("text", "ids"),
    [  # made with the package `tokenizers` 0.23 from the same file
        ("Owls hunt at night.", [438, 29893, 3137, 298, 1657, 472, 4646, 29889]),
        ("naïve 😀\n x", [1055, 30085, 345, 29871, 243, 162, 155, 131, 13, 921]),
    ],
)
def test_tokens_are_those_of_the_models_vocabulary(
    embedder: LocalEmbedder, text: str, ids: list[int]
) -> None:
    assert embedder.tokenize(text) == ids


@pytest.mark.parametrize(
    "text", ["an owl", "-", " ", "", "😀", "\ud800", "word " * 10_000, "日" * 9_000]
)
def test_a_vector_of_any_text_has_length_one(embedder: LocalEmbedder, text: str) -> None:
    vector = embedder.embed(text)
    assert len(vector) == 256
    assert math.isclose(multiply(vector, vector), 1.0)

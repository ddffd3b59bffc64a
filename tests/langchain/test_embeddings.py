"""`ReplicateEmbeddings`: LangChain's suites, vector stores, settings, secrets, event loops."""

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
from langchain_core.documents import Document
from langchain_core.exceptions import LangChainException
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from pydantic import AliasChoices, ValidationError

import replicate_stream as core
from langchain_replicate_stream import ReplicateEmbeddings, errors
from langchain_replicate_stream._signatures import ModelSettings
from replicate_stream import Client
from replicate_stream.adapters import Connection
from replicate_stream.testing import Emulator, HashingEmbedder, Reply

OWN = {"model", "query_instruction", "document_instruction", "batch_size", "concurrency"}
FACTS = ["Owls hunt at night.", "Iron rusts when wet.", "The capital of France is Paris."]

MakeEmbeddings = Callable[..., ReplicateEmbeddings]


@pytest.fixture
def make_embeddings(replicate_emulator: Emulator) -> MakeEmbeddings:
    """Makes embeddings of the emulator's model, with further settings."""

    def make(**settings: Any) -> ReplicateEmbeddings:
        defaults = {"model": replicate_emulator.embedding_model}
        return ReplicateEmbeddings(**{**defaults, **settings})

    return make


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[ReplicateEmbeddings]:
        return ReplicateEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "acme/embedder"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        variables = {"REPLICATE_API_TOKEN": "r8_FROM_ENVIRONMENT"}
        return variables, {"model": "acme/embedder"}, {"api_key": "r8_FROM_ENVIRONMENT"}


class TestIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def emulator(self, replicate_emulator: Emulator) -> None:
        """The service in the environment."""

    @property
    def embeddings_class(self) -> type[ReplicateEmbeddings]:
        return ReplicateEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": Emulator.embedding_model}


# In LangChain


async def test_a_vector_store_finds_the_text_with_the_words_of_the_question(
    make_embeddings: MakeEmbeddings,
) -> None:
    store = InMemoryVectorStore(make_embeddings())
    await store.aadd_documents([Document(fact) for fact in FACTS])
    (found,) = await store.asimilarity_search("What is the capital of France?", k=1)
    assert found.page_content == FACTS[2]


async def test_blocking_methods_work_inside_a_running_loop(make_embeddings: MakeEmbeddings) -> None:
    embeddings = make_embeddings()
    store = InMemoryVectorStore.from_texts(FACTS, embeddings)
    (found,) = store.similarity_search("When do owls hunt?", k=1)
    assert found.page_content == FACTS[0]
    assert embeddings.embed_query(FACTS[1]) == await embeddings.aembed_query(FACTS[1])


def test_one_object_serves_several_loops(make_embeddings: MakeEmbeddings) -> None:
    embeddings = make_embeddings()
    vectors = [asyncio.run(embeddings.aembed_query("owl")) for _ in range(2)]
    assert vectors == [HashingEmbedder().embed("owl")] * 2


async def test_async_methods_do_not_block_the_loop(
    replicate_emulator: Emulator, make_embeddings: MakeEmbeddings
) -> None:
    replicate_emulator.behaviour.boot_time = 60
    task = asyncio.create_task(make_embeddings().aembed_documents(FACTS))
    # This loop waits for the emulator in a thread, and goes on only if nothing blocks it.
    await replicate_emulator.wait_for_async(lambda e: len(e.predictions) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await replicate_emulator.wait_for_async(lambda e: e.cancels == list(e.predictions))


async def test_queries_and_documents_are_told_apart(
    replicate_emulator: Emulator, make_embeddings: MakeEmbeddings
) -> None:
    replicate_emulator.add_model(
        "acme/embedder",
        {
            "type": "object",
            "properties": {
                "texts": {"type": "array", "items": {"type": "string"}},
                "input_type": {"type": "string", "enum": ["query", "document"]},
                "dim": {"type": "integer"},
            },
        },
        output_schema={"type": "array"},
        official=True,
        reply=HashingEmbedder(),
    )
    embeddings = make_embeddings(
        model="acme/embedder",
        query_instruction="q: ",
        document_instruction="d: ",
        model_kwargs={"dim": 8},
        batch_size=2,
    )
    await embeddings.aembed_query("a")
    await embeddings.aembed_documents(["b", "c", "d"])
    inputs = [dict(each.input) for each in replicate_emulator.predictions.values()]
    assert inputs[0] == {"texts": ["q: a"], "input_type": "query", "dim": 8}
    assert sorted(inputs[1:], key=lambda each: len(each["texts"])) == [
        {"texts": ["d: d"], "input_type": "document", "dim": 8},
        {"texts": ["d: b", "d: c"], "input_type": "document", "dim": 8},
    ]


async def test_errors_are_langchains_too(
    replicate_emulator: Emulator, make_embeddings: MakeEmbeddings
) -> None:
    embeddings = make_embeddings()
    with pytest.raises(errors.InvalidInputError, match=r"^texts\[1\] is empty") as caught:
        await embeddings.aembed_documents(["a", ""])
    assert isinstance(caught.value, LangChainException)
    assert isinstance(caught.value, core.InvalidInputError)
    assert caught.value.text_index == 1
    replicate_emulator.add_model(
        "acme/embedder",
        {"type": "object", "properties": {"text": {"type": "string"}}},
        output_schema={"type": "array", "items": {"type": "number"}},
        official=True,
        reply=Reply(error="out of memory"),
    )
    with pytest.raises(errors.PredictionFailedError, match=r"^texts\[0\]: prediction"):
        make_embeddings(model="acme/embedder").embed_query("a")


async def test_a_client_can_be_shared(replicate_emulator: Emulator) -> None:
    async with Client(replicate_emulator.token, base_url=replicate_emulator.base_url) as client:
        embeddings = ReplicateEmbeddings(model=replicate_emulator.embedding_model, client=client)
        assert len(await embeddings.aembed_documents(FACTS)) == 3


# Fields


def test_every_field_belongs_to_the_connection_or_to_the_vectors() -> None:
    connection = {
        {"headers": "default_headers"}.get(each.name, each.name) for each in fields(Connection)
    }
    assert set(ReplicateEmbeddings.model_fields) == OWN | connection | {"client", "model_kwargs"}


def test_type_checkers_know_each_field_under_all_its_names() -> None:
    names = set()
    for name, field in ReplicateEmbeddings.model_fields.items():
        alias = field.validation_alias
        names |= {name, *(alias.choices if isinstance(alias, AliasChoices) else ())}
    assert {*ModelSettings.__annotations__, "model_name"} | OWN == names


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("modell", "did you mean 'model'"),
        ("chunk_size", "use batch_size"),
        ("texts_key", "the model's schema determines"),
    ],
)
def test_an_unknown_argument_is_an_error_with_a_remedy(name: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"ReplicateEmbeddings has no argument .*{remedy}"):
        ReplicateEmbeddings(model="a/b", **{name: "x"})  # type: ignore[call-overload]


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"concurrency": 0}], ids=str)
def test_a_size_below_one_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        ReplicateEmbeddings(model="a/b", **settings)


def test_neither_repr_nor_dump_nor_pickle_holds_a_secret() -> None:
    secret = "r8_SESAME"
    embeddings = ReplicateEmbeddings(
        model="a/b",
        api_key=secret,
        proxy=f"http://user:{secret}@localhost:1",
        default_headers={"x-token": secret},
        model_kwargs={"hf_token": secret, "dim": 8},
    )
    shown = [repr(embeddings), str(embeddings.model_dump()), embeddings.model_dump_json()]
    assert secret not in "".join(shown)
    assert secret.encode() not in pickle.dumps(embeddings)
    with pytest.raises(ValidationError) as caught:
        ReplicateEmbeddings(model="a/b", timeout=secret)  # type: ignore[call-overload]
    assert secret not in str(caught.value)


async def test_a_pickle_works_with_the_token_of_the_environment(
    make_embeddings: MakeEmbeddings,
) -> None:
    embeddings = make_embeddings(query_instruction="query: ")
    await embeddings.aembed_query("a")
    for twin in (pickle.loads(pickle.dumps(embeddings)), copy.deepcopy(embeddings)):
        assert twin == embeddings
        assert await twin.aembed_query("a") == HashingEmbedder().embed("query: a")


def test_it_is_loaded_at_first_use_only() -> None:
    code = (
        "import sys, langchain_replicate_stream as package\n"
        "name = 'langchain_replicate_stream.embeddings'\n"
        "assert name not in sys.modules\n"
        "assert package.ReplicateEmbeddings.__module__ == 'langchain_replicate_stream'\n"
        "assert name in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

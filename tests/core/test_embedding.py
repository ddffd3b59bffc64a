"""`Client.embed`: order, batches, the search for a failing text, refusals, leaving."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicate_stream import (
    Client,
    InvalidInputError,
    ModelNotFoundError,
    PredictionFailedError,
    ReplicateConnectionError,
    ReplicateError,
    ReplicateTimeoutError,
    ResponseError,
    UnsupportedParameterError,
)
from replicate_stream.testing import Emulator, Fault, HashingEmbedder, Reply

MODEL = "acme/embedder"
TEXTS_INPUT = {"texts": {"type": "array", "items": {"type": "string"}}}
LISTS = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}

AddModel = Callable[..., None]


@pytest.fixture
def add_model(replicate_emulator: Emulator) -> AddModel:
    """Adds `MODEL`, with further inputs besides `texts`."""

    def add(reply: Any = None, **properties: Any) -> None:
        schema = {"type": "object", "properties": {**TEXTS_INPUT, **properties}}
        replicate_emulator.add_model(
            MODEL,
            schema,
            output_schema=LISTS,
            official=True,
            reply=reply or HashingEmbedder(8),
        )

    return add


def get_batches(emulator: Emulator) -> list[list[str]]:
    return [list(each.input["texts"]) for each in emulator.predictions.values()]


async def never_end(values: Mapping[str, Any]) -> Reply:
    """A model that is never ready."""
    await asyncio.Event().wait()
    raise AssertionError


def fail_on(*bad: str) -> Callable[[Mapping[str, Any]], Reply]:
    """Make a model that fails for every batch with one of some texts."""

    def reply(values: Mapping[str, Any]) -> Reply:
        if any(text in bad for text in values["texts"]):
            return Reply(error="sequence too long")
        return Reply(output=[[float(text)] for text in values["texts"]])

    return reply


# Order and batches


async def test_vectors_come_in_the_order_of_the_texts_whichever_batch_ends_first(
    client: Client, add_model: AddModel
) -> None:
    is_last = threading.Event()

    def reply(values: Mapping[str, Any]) -> Reply:
        (text,) = values["texts"]
        if text == "0":
            is_last.wait(10)
        elif text == "4":
            is_last.set()  # so 1, 2 and 3 have ended
        return Reply(output=[[float(text)]])

    add_model(reply)
    texts = ["0", "1", "2", "3", "4"]
    vectors = await client.embed(MODEL, texts, batch_size=1, concurrency=2)
    assert vectors == [[0.0], [1.0], [2.0], [3.0], [4.0]]


async def test_an_empty_list_sends_no_request(client: Client, replicate_emulator: Emulator) -> None:
    assert await client.embed(MODEL, []) == []
    assert replicate_emulator.requests == []


async def test_predictions_at_once_are_bounded(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def reply(values: Mapping[str, Any]) -> Reply:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1
        return Reply(output=[[1.0] for _ in values["texts"]])

    add_model(reply)
    await client.embed(MODEL, ["a"] * 12, batch_size=1, concurrency=2)
    assert (len(replicate_emulator.predictions), most) == (12, 2)


async def test_a_batch_has_32_texts_unless_another_size_is_given(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model()
    await client.embed(MODEL, ["a"] * 40)
    assert sorted(map(len, get_batches(replicate_emulator))) == [8, 32]


async def test_integers_become_floats(client: Client, add_model: AddModel) -> None:
    add_model(Reply(output=[[1, 2, 0.5]]))
    (vector,) = await client.embed(MODEL, ["a"])
    assert [type(number) for number in vector] == [float] * 3


async def test_lone_surrogates_are_replaced(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model()
    await client.embed(MODEL, ["a\ud800b"])
    assert get_batches(replicate_emulator) == [["a\ufffdb"]]


# The search for the text that fails


async def test_a_failing_batch_is_split_down_to_the_failing_text(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(fail_on("13"))
    with pytest.raises(
        PredictionFailedError, match=r"^texts\[13\]: prediction \w+ failed"
    ) as caught:
        await client.embed(MODEL, [str(n) for n in range(20)], batch_size=8)
    assert (caught.value.text_index, caught.value.error) == (13, "sequence too long")
    assert pickle.loads(pickle.dumps(caught.value)).text_index == 13
    failed = [batch for batch in get_batches(replicate_emulator) if "13" in batch]
    assert [len(batch) for batch in failed] == [8, 4, 2, 1]


async def test_a_batch_that_only_fails_as_a_whole_is_embedded_in_halves(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    def reply(values: Mapping[str, Any]) -> Reply:
        if len(values["texts"]) > 2:
            return Reply(error="CUDA out of memory")
        return Reply(output=[[float(text)] for text in values["texts"]])

    add_model(reply)
    vectors = await client.embed(MODEL, [str(n) for n in range(7)])
    assert vectors == [[float(n)] for n in range(7)]
    assert sorted(map(len, get_batches(replicate_emulator))) == [1, 2, 2, 2, 3, 4, 7]


@settings(max_examples=20)  # each waits for up to a second
@given(
    count=st.integers(1, 24),
    size=st.integers(1, 9),
    bad=st.sets(st.integers(0, 23), max_size=3),
    concurrency=st.integers(1, 3),
)
def test_every_text_gets_its_vector_or_the_error_names_one_that_fails(
    count: int, size: int, bad: set[int], concurrency: int
) -> None:
    async def run(emulator: Emulator) -> None:
        emulator.add_model(
            MODEL,
            {"type": "object", "properties": TEXTS_INPUT},
            output_schema=LISTS,
            official=True,
            reply=fail_on(*map(str, bad)),
        )
        present = {n for n in bad if n < count}
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            call = client.embed(
                MODEL, [str(n) for n in range(count)], batch_size=size, concurrency=concurrency
            )
            if not present:
                assert await call == [[float(n)] for n in range(count)]
                return
            with pytest.raises(PredictionFailedError) as caught:
                await call
        assert caught.value.text_index in present
        assert str(caught.value).startswith(f"texts[{caught.value.text_index}]: ")

    with Emulator() as emulator:
        asyncio.run(run(emulator))


async def test_a_text_that_the_service_refuses_is_found_and_named_free_of_charge(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    items = {"type": "string", "maxLength": 5}
    add_model(texts={"type": "array", "items": items})
    with pytest.raises(InvalidInputError, match=r"^texts\[2\]: texts must be a list") as caught:
        await client.embed(MODEL, ["a", "b", "too long a text", "d"])
    assert caught.value.text_index == 2
    assert "too long a text" not in str(caught.value)
    assert get_batches(replicate_emulator) == [["a", "b"]]


# What is not repeated


async def test_a_prediction_of_unknown_outcome_is_not_repeated(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model()
    replicate_emulator.fault(Fault(on="create", lose_reply=True), times=None)
    with pytest.raises(ReplicateConnectionError) as caught:
        await client.embed(MODEL, ["a", "b", "c"])
    assert caught.value.has_unknown_outcome
    assert caught.value.text_index is None
    posts = [each for each in replicate_emulator.requests if each.method == "POST"]
    assert len(posts) == 1


@pytest.mark.parametrize("status", [401, 402, 404, 500])
async def test_a_refusal_that_concerns_no_text_is_raised_at_once(
    status: int, client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model()
    replicate_emulator.fault(Fault(on="create", status=status), times=None)
    with pytest.raises(ResponseError) as caught:
        await client.embed(MODEL, ["a", "b", "c"])
    assert (caught.value.status, caught.value.text_index) == (status, None)
    assert len([each for each in replicate_emulator.requests if each.method == "POST"]) == 1


@pytest.mark.parametrize(
    ("error", "predictions"),
    [
        ("Director: unexpected error handling prediction (E6716)", 1),
        ("Prediction interrupted; please retry (code: PA)", 1),
        ("Service is currently unavailable due to high demand (E003)", 1),
        ("The input or output was flagged as sensitive (E005)", 3),
        ("The model ran out of memory (E1001)", 3),
    ],
)
async def test_a_failure_of_the_platform_is_not_searched_for_in_the_texts(
    error: str,
    predictions: int,
    client: Client,
    replicate_emulator: Emulator,
    add_model: AddModel,
) -> None:
    add_model(Reply(error=error))
    with pytest.raises(PredictionFailedError) as caught:
        await client.embed(MODEL, ["a", "b", "c", "d"])
    assert caught.value.text_index == (0 if predictions > 1 else None)
    assert len(replicate_emulator.predictions) == predictions


# What the output must be


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ([[1.0]], "returned 1 vector for 2 texts"),
        ([[1.0], [2.0], [3.0]], "returned 3 vectors for 2 texts"),
        ([1.0, 2.0], "returned 1 vector for 2 texts"),
        ([], "returned 0 vectors for 2 texts"),
        ([[1.0], [2.0, 3.0]], r"^texts\[1\]: the vector has 2 numbers, .* texts\[0\] 1$"),
        ([[1.0], []], r"^texts\[1\]: the vector is not a list of numbers$"),
        ([[1.0], [None]], r"^texts\[1\]: the vector holds something that is not a number$"),
        ([[1.0], ["2"]], r"^texts\[1\]: the vector holds something that is not a number$"),
        ([[1.0], [True]], r"^texts\[1\]: the vector holds something that is not a number$"),
        ([[float("nan")], [1.0]], r"^texts\[0\]: the vector holds a number that is not finite$"),
        ([[1.0], [float("-inf")]], r"^texts\[1\]: the vector holds a number that is not finite$"),
        ([[1.0], [10**400]], r"^texts\[1\]: the vector holds a number that is not finite$"),
        ([[[1.0]], [[2.0]]], r"^texts\[0\]: the vector holds something that is not a number$"),
        ([[1.0], {"embedding": [2.0]}], r"^texts\[1\]: the vector is not a list of numbers$"),
        ([{"embedding": [1.0]}, [2.0, 3.0]], r"^texts\[1\]: the vector has 2 numbers"),
        ([{"embedding": [1.0]}, {"embedding": []}], r"^texts\[1\]: .* not a list of numbers$"),
        ([{"embedding": [1.0]}, {"score": 1}], "an object without vectors"),
        ([{"embedding": "AACAPw=="}] * 2, "an object without vectors"),
        ({"score": 0.5}, "an object without vectors; .* embedding, embeddings, vector,"),
        ("1.0, 2.0", "output is of type str"),
        (["AACAPw==", "AACAPw=="], "returned 1 vector for 2 texts"),
        (None, "output is empty"),
    ],
    ids=str,
)
async def test_an_output_without_valid_vectors_is_an_error(
    output: Any, problem: str, client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(Reply(output=output))
    with pytest.raises(ResponseError, match=problem) as caught:
        await client.embed(MODEL, ["a", "b"])
    (prediction,) = replicate_emulator.predictions.values()
    if "numbers" not in problem:  # the lengths of several predictions are compared
        assert caught.value.prediction_id == prediction.id


async def test_vectors_of_several_predictions_must_have_one_length(
    client: Client, add_model: AddModel
) -> None:
    add_model(lambda values: Reply(output=[[1.0] * int(text) for text in values["texts"]]))
    with pytest.raises(ResponseError, match=r"^texts\[2\]: the vector has 4 numbers") as caught:
        await client.embed(MODEL, ["3", "3", "4"], batch_size=1)
    assert caught.value.text_index == 2


# Arguments and inputs


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ("abc", "texts is of type str"),
        (None, "texts is of type NoneType"),
        ({"a": 1}, "texts is of type dict"),
        (["a", 1], r"texts\[1\] is of type int"),
        (["a", "b", ""], r"texts\[2\] is empty"),
        ([" \n"], r"texts\[0\] is empty"),
    ],
    ids=str,
)
async def test_texts_that_cannot_be_embedded_are_refused_before_any_request(
    texts: Any, problem: str, client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(InvalidInputError, match=problem) as caught:
        await client.embed(MODEL, texts)
    assert caught.value.fields == ("texts",)
    assert replicate_emulator.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"input_type": "passage"},
        {"instruction": 3},
        {"batch_size": 0},
        {"batch_size": True},
        {"batch_size": 1.5},
        {"concurrency": 0},
        {"extra_input": ["a"]},
    ],
    ids=str,
)
async def test_an_argument_of_a_wrong_value_is_named(
    arguments: dict[str, Any], client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(InvalidInputError, match=f"^{next(iter(arguments))} is "):
        await client.embed(MODEL, ["a"], **arguments)
    assert replicate_emulator.requests == []


async def test_extra_inputs_are_sent_and_checked_against_the_schema(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(normalize={"type": "boolean"}, dim={"type": "integer", "maximum": 64})
    await client.embed(MODEL, ["a"], extra_input={"normalize": False, "dim": 32})
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input == {"texts": ["a"], "normalize": False, "dim": 32}
    wrong: Sequence[tuple[dict[str, Any], type[ReplicateError], str]] = [
        ({"normalise": True}, UnsupportedParameterError, "did you mean normalize"),
        ({"dim": 100}, InvalidInputError, "dim must be 64 or less"),
        ({"texts": ["b"]}, InvalidInputError, "the model's input for the texts"),
    ]
    for extra_input, kind, problem in wrong:
        with pytest.raises(kind, match=problem):
            await client.embed(MODEL, ["a"], extra_input=extra_input)
    assert len(replicate_emulator.predictions) == 1


async def test_an_unknown_extra_input_can_be_left_out(
    make_client: Callable[..., Client], replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model()
    client = make_client(on_unsupported="ignore")
    await client.embed(MODEL, ["a"], extra_input={"colour": "red"})
    assert get_batches(replicate_emulator) == [["a"]]


async def test_a_separator_that_a_text_contains_is_an_error_that_names_the_text(
    client: Client, replicate_emulator: Emulator
) -> None:
    text = {"type": "string"}
    replicate_emulator.add_model(
        MODEL,
        {"type": "object", "properties": {"text": text, "text_sep": text}},
        output_schema=LISTS,
        official=True,
        reply=lambda values: Reply(output=[[1.0] for _ in values["text"].split("|")]),
    )
    with pytest.raises(InvalidInputError, match=r"^texts\[1\]: a text contains the text_sep"):
        await client.embed(MODEL, ["a", "b|c"], extra_input={"text_sep": "|"})
    assert await client.embed(MODEL, ["a", "b"], extra_input={"text_sep": "|"}) == [[1.0]] * 2


@pytest.mark.parametrize(
    ("schema", "output", "problem"),
    [
        ({"prompt": {"type": "string"}}, None, "makes text, not vectors"),
        ({"text": {"type": "string"}}, {"type": "string", "format": "uri"}, "makes files"),
        ({"image": {"type": "string", "format": "uri"}}, LISTS, "no known input for texts"),
        ({"texts": {"type": "string", "format": "uri"}}, LISTS, "no known input for texts"),
        ({}, LISTS, "its inputs: none"),
    ],
    ids=str,
)
async def test_a_model_that_embeds_no_texts_is_refused_before_anything_is_paid(
    schema: Any, output: Any, problem: str, client: Client, replicate_emulator: Emulator
) -> None:
    properties = {"type": "object", "properties": schema}
    replicate_emulator.add_model(MODEL, properties, output_schema=output, official=True)
    with pytest.raises(InvalidInputError, match=problem):
        await client.embed(MODEL, ["a"])
    assert not replicate_emulator.predictions


async def test_an_input_that_the_texts_do_not_fill_must_be_given(
    client: Client, replicate_emulator: Emulator
) -> None:
    schema = {**TEXTS_INPUT, "image": {"type": "string", "format": "uri"}}
    replicate_emulator.add_model(
        MODEL,
        {"type": "object", "properties": schema, "required": ["image", "texts"]},
        output_schema=LISTS,
        official=True,
        reply=HashingEmbedder(8),
    )
    with pytest.raises(InvalidInputError, match="also needs image"):
        await client.embed(MODEL, ["a"])
    image = {"image": "https://example.org/cat.png"}
    assert len(await client.embed(MODEL, ["a"], extra_input=image)) == 1


async def test_a_model_without_a_schema_is_refused(
    client: Client, replicate_emulator: Emulator
) -> None:
    with pytest.raises(InvalidInputError, match=r"publishes no input schema.* owner/name:version"):
        await client.embed("0" * 64, ["a"])
    with pytest.raises(ModelNotFoundError, match="no/model"):
        await client.embed("no/model", ["a"])
    assert not replicate_emulator.predictions


# Queries, documents and instructions

CHOICES = ["code.query", "retrieval.query", "retrieval.passage", "separation"]


@pytest.mark.parametrize(
    ("name", "choices", "query", "document"),
    [
        ("task", CHOICES, "retrieval.query", "retrieval.passage"),
        ("input_type", ["query", "document"], "query", "document"),
        ("task_type", ["SEARCH_QUERY", "SEARCH_DOCUMENT"], "SEARCH_QUERY", "SEARCH_DOCUMENT"),
        ("prompt_name", ["passage", "query", "none"], "query", "passage"),
    ],
)
async def test_the_kind_of_text_goes_into_the_models_input_for_it(
    name: str,
    choices: list[str],
    query: str,
    document: str,
    client: Client,
    replicate_emulator: Emulator,
    add_model: AddModel,
) -> None:
    add_model(**{name: {"type": "string", "enum": choices}})
    await client.embed(MODEL, ["a"], input_type="query")
    await client.embed(MODEL, ["a"], input_type="document")
    await client.embed(MODEL, ["a"])
    sent = [each.input.get(name) for each in replicate_emulator.predictions.values()]
    assert sent == [query, document, None]


async def test_a_model_without_such_an_input_embeds_queries_and_documents_alike(
    client: Client, add_model: AddModel
) -> None:
    add_model(mode={"type": "string", "enum": ["query", "document"]})
    query = await client.embed(MODEL, ["a"], input_type="query")
    assert query == await client.embed(MODEL, ["a"], input_type="document")


@pytest.mark.parametrize("name", ["instruction", "task", "query_instruction"])
async def test_an_instruction_goes_into_the_models_input_for_it(
    name: str, client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(**{name: {"type": "string"}})
    await client.embed(MODEL, ["a"], instruction="Find answers")
    (prediction,) = replicate_emulator.predictions.values()
    assert prediction.input == {"texts": ["a"], name: "Find answers"}


async def test_an_instruction_stands_before_each_text_of_a_model_without_an_input_for_it(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(task={"type": "string", "enum": CHOICES})
    await client.embed(MODEL, ["a", "b"], instruction="query: ")
    assert get_batches(replicate_emulator) == [["query: a", "query: b"]]


# Leaving


async def test_leaving_cancels_every_prediction_once(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(never_end)
    task = asyncio.create_task(client.embed(MODEL, ["a"] * 20, batch_size=1, concurrency=3))
    await replicate_emulator.wait_for_async(lambda e: len(e.predictions) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(replicate_emulator.cancels) == sorted(replicate_emulator.predictions)
    assert len(replicate_emulator.predictions) == 3


async def test_a_batch_that_fails_cancels_the_others(
    client: Client, replicate_emulator: Emulator, add_model: AddModel
) -> None:
    is_running = asyncio.Event()

    async def reply(values: Mapping[str, Any]) -> Reply:
        if values["texts"] == ["bad"]:
            await is_running.wait()
            return Reply(error="no")
        is_running.set()
        return await never_end(values)

    add_model(reply)
    with pytest.raises(PredictionFailedError, match=r"^texts\[1\]"):
        await client.embed(MODEL, ["endless", "bad", "never sent"], batch_size=1, concurrency=2)
    endless, _ = replicate_emulator.predictions.values()
    assert replicate_emulator.cancels == [endless.id]


async def test_a_silent_model_ends_in_a_time_out_and_is_cancelled(
    make_client: Callable[..., Client], replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model(never_end)
    with pytest.raises(ReplicateTimeoutError, match="waiting for the output") as caught:
        await make_client(timeout=0.5).embed(MODEL, ["a", "b"])
    assert caught.value.text_index is None
    assert replicate_emulator.cancels == list(replicate_emulator.predictions)
    assert len(replicate_emulator.cancels) == 1


async def test_the_service_receives_the_deadline_of_each_prediction(
    make_client: Callable[..., Client], replicate_emulator: Emulator, add_model: AddModel
) -> None:
    add_model()
    await make_client(deadline=90).embed(MODEL, ["a", "b"], batch_size=1)
    sent = [each.headers["cancel-after"] for each in replicate_emulator.predictions.values()]
    assert sent == ["90s", "90s"]


async def test_no_error_and_no_log_holds_a_text(
    client: Client, add_model: AddModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    text = json.dumps({"pass": "sesame"})
    add_model(fail_on(text), text={"type": "string", "enum": ["a"]})
    with pytest.raises(PredictionFailedError) as caught:
        await client.embed(MODEL, [text], instruction="")
    assert "sesame" not in f"{caught.value!r}{caplog.text}"

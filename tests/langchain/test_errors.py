"""Errors that are the core's and LangChain's at the same time."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
from langchain_core import exceptions
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
    OutputParserException,
)
from langchain_core.messages import BaseMessage, RemoveMessage

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate, errors
from langchain_replicate_stream._from_core import to_langchain
from replicate_stream.testing import Emulator, Reply


def find_errors(module: ModuleType) -> dict[str, type[core.ReplicateError]]:
    classes = {name: each for name, each in vars(module).items() if isinstance(each, type)}
    return {name: cls for name, cls in classes.items() if issubclass(cls, core.ReplicateError)}


MakeLLM = Callable[..., ChatReplicate]
Ask = Callable[..., Awaitable[Any]]
FAILED = {"prediction_id": "p"}
REFUSAL = getattr(exceptions, "ModelRefusalError", ModelError)  # since langchain-core 1.7.5


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (core.MissingAuthError(), ModelAuthenticationError, False),
        (core.ResponseError("x", status=401), ModelAuthenticationError, False),
        (core.ResponseError("x", status=402), ModelPermissionDeniedError, False),
        (core.ResponseError("x", status=403), ModelPermissionDeniedError, False),
        (core.ResponseError("x", status=400), ModelInvalidRequestError, False),
        (core.ResponseError("x", status=502), ModelAPIError, True),
        (core.ResponseError("the reply has no id", status=201), ModelError, False),
        (core.ResponseError("redirected too often"), ModelError, False),
        (core.ModelNotFoundError("x", status=404), ModelNotFoundError, False),
        (core.RateLimitError("x", status=429, retry_after=2), ModelRateLimitError, True),
        (core.InvalidInputError("x", fields=("a",)), ModelInvalidRequestError, False),
        (core.UnsupportedParameterError("x", parameter="a"), ModelInvalidRequestError, False),
        (core.ReplicateConnectionError("x"), ModelConnectionError, True),
        (core.ReplicateTimeoutError("x", waited_for="y", seconds=1), ModelTimeoutError, True),
        (core.PredictionFailedError("x", error="boom", **FAILED), ModelError, False),
        (core.PredictionFailedError("x", error="… (code: PA)", **FAILED), ModelAPIError, True),
        (
            core.PredictionFailedError("x", error="exceeds the context length", **FAILED),
            ContextOverflowError,
            False,
        ),
        (core.PredictionFailedError("x", error="flagged (E005)", **FAILED), REFUSAL, False),
        (core.PredictionCanceledError("x", **FAILED), ModelError, False),
        (core.StreamInterruptedError("x", delivered=3, **FAILED), ModelConnectionError, True),
        (core.AnswerFormatError("x", completion=None), ModelError, False),
        (core.BudgetExceededError("x", spent=None), ModelError, False),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_an_error_is_the_cores_and_langchains_at_once(
    error: core.ReplicateError, kind: type[ModelError], retryable: bool
) -> None:
    converted = to_langchain(error)
    assert isinstance(converted, type(error))
    assert isinstance(converted, kind)
    assert converted.is_retryable is retryable
    assert (str(converted), vars(converted)) == (str(error), vars(error))
    unpickled = pickle.loads(pickle.dumps(converted))
    assert (type(unpickled), str(unpickled), vars(unpickled)) == (
        type(converted),
        str(converted),
        vars(converted),
    )


def test_an_answer_format_error_is_a_parser_error_with_the_answers_text() -> None:
    prediction = core.Prediction("p", "succeeded")
    answer = core.Completion("I will not", "", (), "stop", None, prediction)
    converted = to_langchain(core.AnswerFormatError("it holds no JSON", completion=answer))
    assert isinstance(converted, OutputParserException)
    assert (converted.llm_output, converted.observation, converted.send_to_llm) == (
        "I will not",
        None,
        False,
    )
    assert "I will not" not in f"{converted} {converted!r}"
    made = errors.AnswerFormatError("it holds no JSON", completion=answer)
    assert (str(made), vars(made), made.llm_output) == (
        str(converted),
        vars(converted),
        "I will not",
    )


def test_old_versions_of_langchain_have_only_the_root_of_its_errors() -> None:
    program = """
import pickle
import langchain_core.exceptions as langchain
from langchain_core.language_models import BaseChatModel  # it imports some of the names itself
for name in [n for n in vars(langchain) if n.startswith("Model") or n == "ContextOverflowError"]:
    delattr(langchain, name)
import replicate_stream as core
from langchain_replicate_stream import errors
from langchain_replicate_stream._from_core import to_langchain
for each in vars(errors).values():
    if isinstance(each, type) and issubclass(each, core.ReplicateError):
        assert issubclass(each, langchain.LangChainException), each
error = to_langchain(core.RateLimitError("x", status=429, retry_after=2))
assert type(error) is errors.RateLimitError and error.retry_after == 2
assert pickle.loads(pickle.dumps(error)).retry_after == 2
"""
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_an_error_is_named_as_the_cores_at_a_public_path() -> None:
    classes = find_errors(errors)
    for name, cls in classes.items():
        assert (cls.__module__, cls.__name__) == ("langchain_replicate_stream.errors", name)
        assert issubclass(cls, getattr(core, name, core.ReplicateError))
    assert find_errors(core).keys() - classes.keys() == {"ReplicateError"}


@pytest.mark.parametrize("method", ["invoke", "ainvoke", "stream", "astream"])
async def test_every_method_raises_errors_of_both(
    replicate_emulator: Emulator, method: str, make_llm: MakeLLM, ask: Ask
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await ask(make_llm(model="no/model"), method, "Hi")
    assert isinstance(caught.value, core.ModelNotFoundError)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "method", ["invoke", "ainvoke", "stream", "astream", "prepare", "aprepare"]
)
async def test_an_unusable_message_is_langchains_error_too(
    llm: ChatReplicate, method: str, ask: Ask
) -> None:
    messages: list[BaseMessage] = [RemoveMessage(id="1")]
    with pytest.raises(core.InvalidInputError) as caught:
        await ask(llm, method, messages)
    assert isinstance(caught.value, ModelInvalidRequestError)


async def test_a_failed_prediction_is_an_error_in_a_stream_too(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="boom", status="failed")
    with pytest.raises(core.PredictionFailedError, match="boom"):
        [chunk async for chunk in make_llm().astream("Hi")]

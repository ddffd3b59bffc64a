"""Errors that are the core's and LangChain's at once."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
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
        (core.PredictionCanceledError("x", **FAILED), ModelError, False),
        (core.StreamInterruptedError("x", delivered=3, **FAILED), ModelConnectionError, True),
        (core.AnswerFormatError("x", completion=None), ModelError, False),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_an_error_is_the_cores_and_langchains_at_once(
    error: core.ReplicateError, kind: type[ModelError], retryable: bool
) -> None:
    both = to_langchain(error)
    assert isinstance(both, type(error))
    assert isinstance(both, kind)
    assert both.is_retryable is retryable
    assert (str(both), vars(both)) == (str(error), vars(error))
    twin = pickle.loads(pickle.dumps(both))
    assert (type(twin), str(twin), vars(twin)) == (type(both), str(both), vars(both))


def test_an_answer_that_does_not_fit_is_a_parsers_error_with_the_answer_at_hand() -> None:
    prediction = core.Prediction("p", "succeeded")
    answer = core.Completion("I will not", "", (), "stop", None, prediction)
    both = to_langchain(core.AnswerFormatError("it holds no JSON", completion=answer))
    assert isinstance(both, OutputParserException)
    assert (both.llm_output, both.observation, both.send_to_llm) == ("I will not", None, False)
    assert "I will not" not in f"{both} {both!r}"


def test_errors_are_langchains_before_it_had_kinds_for_them() -> None:
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
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_error_is_named_as_the_cores_at_a_public_path() -> None:
    classes = find_errors(errors)
    for name, cls in classes.items():
        assert (cls.__module__, cls.__name__) == ("langchain_replicate_stream.errors", name)
        assert issubclass(cls, getattr(core, name, core.ReplicateError))
    assert find_errors(core).keys() - classes.keys() == {"ReplicateError"}


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_every_way_to_ask_raises_errors_of_both(
    replicate_emulator: Emulator, way: str, make_llm: MakeLLM, ask: Ask
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await ask(make_llm(model="no/model"), way, "Hi")
    assert isinstance(caught.value, core.ModelNotFoundError)
    assert caught.value.status == 404


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "prepare", "aprepare"])
async def test_such_a_message_is_langchains_error_too(
    llm: ChatReplicate, way: str, ask: Ask
) -> None:
    messages: list[BaseMessage] = [RemoveMessage(id="1")]
    with pytest.raises(core.InvalidInputError) as caught:
        await ask(llm, way, messages)
    assert isinstance(caught.value, ModelInvalidRequestError)


async def test_a_failed_prediction_is_an_error_in_a_stream_too(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = Reply(tokens=["a"], error="boom", status="failed")
    with pytest.raises(core.PredictionFailedError, match="boom"):
        [chunk async for chunk in make_llm().astream("Hi")]

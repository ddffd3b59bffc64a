"""What traces are told of a run: of its parameters, and of its failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import requests
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import LangChainTracer
from langsmith import Client as LangSmith

from langchain_replicate_stream import ChatReplicate, errors
from replicate_stream.testing import Emulator, Reply

MakeLLM = Callable[..., ChatReplicate]
SECRET = "fake-secret-words"


class Recorder(BaseCallbackHandler):
    """Records what a tracer is given at the start of a run, and at its failure."""

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.partial: list[Any] = []

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any
    ) -> None:
        self.started = {"serialized": serialized, **kwargs}

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.partial = [g for generations in kwargs["response"].generations for g in generations]


async def test_traces_do_not_show_system_text_and_further_inputs(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    recorder = Recorder()
    llm = make_llm(system_prompt=SECRET, model_kwargs={"top_k": 7_373_737}, top_p=0.5)
    await llm.ainvoke(
        "Hi", {"callbacks": [recorder]}, system_prompt=SECRET, extra_input={"min_tokens": 25}
    )
    shown = str(recorder.started)
    assert (SECRET in shown, "7373737" in shown, "min_tokens" in shown) == (False, False, False)
    assert recorder.started["invocation_params"]["top_p"] == 0.5


class CapturingSession(requests.Session):
    """Keeps what is sent to LangSmith, and sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent.append(f"{kwargs.get('data')} {kwargs.get('json')}")
        response = requests.Response()
        response.status_code, response._content = 200, b"{}"
        return response


async def test_langsmith_receives_no_text_if_inputs_are_hidden(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    session = CapturingSession()
    client = LangSmith(
        api_url="http://127.0.0.1:1",
        api_key="x",
        session=session,
        auto_batch_tracing=False,
        hide_inputs=True,
        hide_outputs=True,
    )
    llm = make_llm(system_prompt=SECRET, model_kwargs={"top_k": 7_373_737}, top_p=0.515)
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | llm
    config: Any = {"callbacks": [LangChainTracer(client=client)]}
    await chain.ainvoke({"question": SECRET}, config)
    async for _ in llm.bind(system_prompt=SECRET).astream(SECRET, config):
        pass
    sent = "".join(session.sent)
    assert "0.515" in sent
    assert (SECRET in sent, "7373737" in sent, replicate_emulator.token in sent) == (False,) * 3


async def test_traces_show_no_parameter_that_is_not_set(make_llm: MakeLLM) -> None:
    recorder = Recorder()
    await make_llm().ainvoke("Hi", {"callbacks": [recorder]})
    assert None not in recorder.started["invocation_params"].values()
    assert "temperature" not in recorder.started["invocation_params"]


@pytest.mark.parametrize(
    "difference",
    [
        {"system_prompt": SECRET},
        {"model_kwargs": {"top_k": 73}},
        {"extra_input": {"top_k": 73}},
    ],
    ids=str,
)
async def test_caches_tell_apart_what_traces_do_not_show(
    difference: dict[str, Any], make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    cache = InMemoryCache()
    for arguments in ({}, difference, difference):
        await make_llm(cache=cache).ainvoke("Hi", **arguments)
    assert len(replicate_emulator.predictions) == 2
    assert SECRET not in str(cache._cache.keys())  # what a database would store


async def test_a_failed_run_has_the_services_reply(make_llm: MakeLLM) -> None:
    recorder = Recorder()
    with pytest.raises(errors.AuthenticationError) as caught:
        await make_llm(api_key="r8_fake").ainvoke("Hi", {"callbacks": [recorder]})
    metadata = recorder.partial[0].message.response_metadata
    assert metadata["status_code"] == 401
    assert metadata["body"]["title"] == caught.value.title
    assert metadata["headers"]
    assert "r8_fake" not in str(metadata)


def test_an_error_that_no_server_sent_has_no_reply() -> None:
    assert not hasattr(errors.InvalidInputError("x"), "response")


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-Id", "CF-Ray"])
def test_a_reply_has_the_id_of_its_request(name: str) -> None:
    assert errors.ServerError("x", status=502, headers={name: "r1"}).request_id == "r1"


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_partial_message_of_a_broken_stream_knows_its_origin(
    is_async: bool, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = Reply("Hello", error="boom")
    recorder = Recorder()
    llm = make_llm()
    config: Any = {"callbacks": [recorder]}
    with pytest.raises(errors.PredictionFailedError) as caught:
        if is_async:
            assert [chunk async for chunk in llm.astream("Hi", config)]
        else:
            assert list(llm.stream("Hi", config))
    message = recorder.partial[0].message
    assert message.text == "Hello"
    assert message.response_metadata == {
        "model_name": replicate_emulator.model,
        "model_provider": "replicate",
        "prediction_id": caught.value.prediction_id,
    }


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("method", ["invoke", "ainvoke"])
async def test_the_text_that_a_failed_answer_had_is_on_its_error(
    method: str, is_streamed: bool, make_llm: MakeLLM, replicate_emulator: Emulator, ask: Any
) -> None:
    replicate_emulator.reply = Reply("Hello", error="boom")
    with pytest.raises(errors.PredictionFailedError) as caught:
        await ask(make_llm(streaming=is_streamed), method)
    completion = caught.value.completion
    assert (completion.text, completion.finish_reason) == ("Hello", "error")
    assert completion.prediction.id == caught.value.prediction_id
    assert "Hello" not in f"{caught.value} {caught.value!r}"

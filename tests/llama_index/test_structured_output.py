"""Answers as objects: whole and growing, by calls and by text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field, model_validator

import replicate_stream as core
from llama_index_replicate_stream import Replicate
from llama_index_replicate_stream._structured_output import _ObjectParser
from replicate_stream.testing import Emulator

WHOLE = ["structured_predict", "astructured_predict"]
STREAMS = ["stream_structured_predict", "astream_structured_predict"]
ABOUT = PromptTemplate("Tell me of {topic}.")
BY_TEXT = PydanticProgramMode.LLM


class Owl(BaseModel):
    """An owl."""

    name: str
    hunts: list[str] = Field(description="What it hunts.")
    wingspan: float | None = None


Content = TypeVar("Content")


class Box(BaseModel, Generic[Content]):
    """A box."""

    content: Content


OWL: Any = {"name": "Bubo", "hunts": ["mice", "hares"], "wingspan": 1.7}


def call(name: str = "Owl", arguments: Any = OWL) -> str:
    """Write a tool call in the format of the prompt."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def pieces(text: str) -> list[str]:
    """A text in tokens of three characters."""
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def prompts(emulator: Emulator) -> list[str]:
    return [
        json.dumps(dict(each.input), ensure_ascii=False) for each in emulator.predictions.values()
    ]


@pytest.fixture
def predict() -> Callable[..., Any]:
    """Predicts an owl by the name of a method; returns it, or the list of a stream."""

    async def predict(llm: Replicate, method: str, **kwargs: Any) -> Any:
        result = getattr(llm, method)(Owl, ABOUT, **kwargs, topic="owls")
        if method.startswith("a"):
            result = await result
        if method.startswith("astream"):
            return [each async for each in result]
        return list(result) if method.startswith("stream") else result

    return predict


@pytest.mark.parametrize("method", WHOLE + STREAMS)
@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({}, call()),
        ({"pydantic_program_mode": PydanticProgramMode.FUNCTION}, call()),
        ({"pydantic_program_mode": BY_TEXT}, json.dumps(OWL)),
        ({"is_function_calling_model": False}, json.dumps(OWL)),
    ],
)
async def test_an_answer_becomes_an_object(
    make_llm: Any,
    replicate_emulator: Emulator,
    predict: Any,
    method: str,
    settings: Any,
    written: str,
) -> None:
    replicate_emulator.reply = pieces(written)
    answer = await predict(make_llm(system_prompt="Be brief.", **settings), method)
    assert (answer[-1] if method in STREAMS else answer) == Owl(**OWL)
    (sent,) = prompts(replicate_emulator)
    assert "Tell me of owls." in sent
    assert "What it hunts." in sent
    assert sent.count("Be brief.") == 1


@pytest.mark.parametrize("method", STREAMS)
async def test_a_streamed_object_grows(
    make_llm: Any, replicate_emulator: Emulator, predict: Any, method: str
) -> None:
    replicate_emulator.reply = pieces(call())
    seen = await predict(make_llm(), method)
    names = [getattr(each, "name", None) for each in seen]
    assert names[0] is None
    assert names[-1] == "Bubo"
    assert any(name and name != "Bubo" and "Bubo".startswith(name) for name in names)
    hunts = [each.hunts for each in seen if getattr(each, "hunts", None)]
    assert ["mice"] in hunts
    assert seen[-1] == Owl(**OWL)


def test_an_object_never_shrinks_while_it_grows() -> None:
    """A number that goes on after its point is invalid for a moment."""
    parser = _ObjectParser(Owl)
    seen: list[Any] = []
    for arguments in ('{"name": "Bubo", "wingspan": 1', '{"name": "Bubo", "wingspan": 1.'):
        block = ToolCallBlock(tool_call_id="c", tool_name="Owl", tool_kwargs=arguments)
        message = ChatMessage(role="assistant", blocks=[block])
        seen.append(parser.parse(ChatResponse(message=message)))
    assert [(each.name, each.wingspan) for each in seen] == [("Bubo", 1), ("Bubo", 1)]


@pytest.mark.parametrize("method", STREAMS)
async def test_a_validator_that_fails_on_half_an_object_fails_nothing(
    make_llm: Any, replicate_emulator: Emulator, method: str
) -> None:
    class Careless(Owl):
        @model_validator(mode="before")
        @classmethod
        def check(cls, values: Any) -> Any:
            assert values["wingspan"] > 1  # a KeyError until it is there
            return values

    replicate_emulator.reply = pieces(call("Careless"))
    result: Any = getattr(make_llm(), method)(Careless, ABOUT, topic="owls")
    seen = [each async for each in await result] if method.startswith("a") else list(result)
    assert seen[-1] == Careless(**OWL)
    assert seen[-5].name == "Bubo"


@pytest.mark.parametrize("method", WHOLE + STREAMS)
async def test_the_call_is_required_and_its_absence_repaired(
    make_llm: Any, replicate_emulator: Emulator, predict: Any, method: str
) -> None:
    replicate_emulator.enqueue("Owls are birds.")
    replicate_emulator.enqueue(pieces(call()))
    answer = await predict(make_llm(), method)
    assert (answer[-1] if method in STREAMS else answer) == Owl(**OWL)
    assert all("You must call the function Owl now" in sent for sent in prompts(replicate_emulator))
    replicate_emulator.reply = "Owls are birds."
    with pytest.raises(core.AnswerFormatError):
        await predict(make_llm(max_repairs=0), method)
    assert len(replicate_emulator.predictions) == 3


@pytest.mark.parametrize("method", WHOLE + STREAMS)
async def test_half_a_call_is_no_object(
    make_llm: Any, replicate_emulator: Emulator, predict: Any, method: str
) -> None:
    half = call()[:-40]
    replicate_emulator.reply = pieces(half)
    with pytest.raises(
        (ValueError, core.AnswerFormatError), match=r"malformed|breaks off|calls no"
    ):
        await predict(make_llm(max_repairs=0), method)


@pytest.mark.parametrize("method", WHOLE + STREAMS)
async def test_arguments_of_another_kind_are_an_error_that_says_so(
    make_llm: Any, replicate_emulator: Emulator, predict: Any, method: str
) -> None:
    replicate_emulator.reply = pieces(call(arguments={"name": "Bubo"}))
    with pytest.raises(core.AnswerFormatError, match=r"required: hunts"):
        await predict(make_llm(), method)


@pytest.mark.parametrize("method", WHOLE + STREAMS)
@pytest.mark.parametrize("settings", [{}, {"pydantic_program_mode": BY_TEXT}])
async def test_further_arguments_reach_the_model(
    make_llm: Any, replicate_emulator: Emulator, predict: Any, method: str, settings: Any
) -> None:
    replicate_emulator.reply = call() if not settings else json.dumps(OWL)
    llm_kwargs = {"temperature": 0.25, "seed": 7}
    await predict(make_llm(**settings), method, llm_kwargs=llm_kwargs)
    (prediction,) = replicate_emulator.predictions.values()
    assert (prediction.input["temperature"], prediction.input["seed"]) == (0.25, 7)
    assert llm_kwargs == {"temperature": 0.25, "seed": 7}


async def test_a_class_whose_name_is_not_an_identifier_works(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    """The framework's own `to_openai_tool` would rename it, and then not find what was called."""
    replicate_emulator.reply = call("Box[int]", {"content": 7})
    box = await make_llm().astructured_predict(Box[int], PromptTemplate("Seven?"))
    assert box == Box[int](content=7)


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # which the framework calls
async def test_a_structured_model_answers_with_json(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = pieces(call())
    llm = make_llm().as_structured_llm(Owl)
    messages = [ChatMessage(role="user", content="Tell me of owls.")]
    answers = [llm.chat(messages), await llm.achat(messages), llm.complete("Tell me of owls.")]
    answers += [list(llm.stream_chat(messages))[-1]]
    answers += [[each async for each in await llm.astream_chat(messages)][-1]]
    for answer in answers:
        assert answer.raw == Owl(**OWL)
        text = answer.text if hasattr(answer, "text") else answer.message.content
        assert json.loads(text) == OWL


async def test_programs_run(make_llm: Any, replicate_emulator: Emulator) -> None:
    llm = make_llm()
    replicate_emulator.reply = pieces(call())
    by_call = FunctionCallingProgram.from_defaults(
        output_cls=Owl, prompt_template_str="Tell me of {topic}.", llm=llm
    )
    assert by_call(topic="owls") == await by_call.acall(topic="owls") == Owl(**OWL)
    assert list(by_call.stream_call(topic="owls"))[-1] == Owl(**OWL)
    assert [each async for each in await by_call.astream_call(topic="owls")][-1] == Owl(**OWL)
    replicate_emulator.reply = f"Here it is: {json.dumps(OWL)}"
    by_text: Any = LLMTextCompletionProgram.from_defaults(
        output_parser=PydanticOutputParser(Owl), prompt_template_str="Tell me of {topic}.", llm=llm
    )
    assert by_text(topic="owls") == await by_text.acall(topic="owls") == Owl(**OWL)


async def test_a_program_takes_several_objects(make_llm: Any, replicate_emulator: Emulator) -> None:
    other: Any = {"name": "Athene", "hunts": ["beetles"]}
    replicate_emulator.reply = pieces(f"{call()}\n{call(arguments=other)}")
    program = FunctionCallingProgram.from_defaults(
        output_cls=Owl,
        prompt_template_str="Tell me of {topic}.",
        llm=make_llm(),
        allow_parallel_tool_calls=True,
    )
    owls = [Owl(**OWL), Owl(**other)]
    assert program(topic="owls") == await program.acall(topic="owls") == owls
    assert list(program.stream_call(topic="owls"))[-1] == owls


async def test_a_chat_and_a_completion_can_return_json(
    make_llm: Any, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = pieces(f"Sure!\n```json\n{json.dumps(OWL)}\n```\nAnything else?")
    llm, form = make_llm(), Owl.model_json_schema()
    messages = [ChatMessage(role="user", content="Tell me of owls.")]
    assert json.loads((await llm.achat(messages, response_format=form)).message.content) == OWL
    assert json.loads((await llm.acomplete("Owls?", response_format=form)).text) == OWL
    streamed = [each.delta async for each in await llm.astream_chat(messages, response_format=form)]
    assert json.loads("".join(streamed)) == OWL


@pytest.mark.parametrize("method", STREAMS)
async def test_a_reader_of_objects_who_stops_cancels_once(
    make_llm: Any, replicate_emulator: Emulator, method: str
) -> None:
    endless = {"name": "Bubo", "hunts": ["mice"] * 5000}
    replicate_emulator.behaviour.token_delay = 0.005
    replicate_emulator.reply = pieces(call(arguments=endless))
    stream: Any = getattr(make_llm(), method)(Owl, ABOUT, topic="owls")
    if method.startswith("a"):
        async for each in await stream:
            if getattr(each, "name", None):
                break
    else:
        for each in stream:
            if getattr(each, "name", None):
                break
    del stream
    (prediction,) = replicate_emulator.predictions
    await replicate_emulator.wait_for_async(
        lambda e: e.cancels == [prediction] and e.streams_open == 0
    )

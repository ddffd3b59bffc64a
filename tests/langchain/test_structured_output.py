"""Answers that are objects: every kind of schema by every method, in pieces, and gone wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, Field, field_validator
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]


class Joke(BaseModel):
    """A joke to tell."""

    setup: str = Field(description="The question.")
    punchline: str | None = Field(default=None, description="The answer.")


class JokeV1(BaseModelV1):
    """A joke to tell."""

    setup: str
    punchline: str = ""


class JokeDict(TypedDict):
    """A joke to tell."""

    setup: Annotated[str, ..., "The question."]
    punchline: Annotated[str | None, None, "The answer."]


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list[Tree] = Field(default_factory=list)


class Clean(Joke):
    """A joke for children."""

    @field_validator("setup")
    @classmethod
    def _is_clean(cls, setup: str) -> str:
        if "damn" in setup:
            raise ValueError("not for children")
        return setup


SCHEMAS: dict[str, Any] = {
    "Pydantic": Joke,
    "Pydantic 1": JokeV1,
    "TypedDict": JokeDict,
    "JSON schema": Joke.model_json_schema(),
}
SAID = {"setup": "Why do owls say “hoo”?", "punchline": "They ask."}
METHODS = ("json_schema", "function_calling", "json_mode")
every_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
every_method = pytest.mark.parametrize("method", METHODS)


def written(method: str, name: str, said: dict[str, Any]) -> str:
    """What a model writes when it does as it was told."""
    if method == "function_calling":
        said = {"name": name, "arguments": said}
    body = json.dumps(said, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>" if method == "function_calling" else body


def name_of(schema: Any) -> str:
    return str(schema["title"] if isinstance(schema, dict) else schema.__name__)


def fields_of(read: Any) -> dict[str, Any]:
    if isinstance(read, BaseModelV1):
        return read.dict()
    return read.model_dump() if isinstance(read, BaseModel) else read


@every_method
@every_schema
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_every_schema_works_by_every_method(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, schema: Any, method: Any, way: str
) -> None:
    replicate_emulator.reply = written(method, name_of(schema), SAID)
    llm = make_llm().with_structured_output(schema, method=method)
    read = await ask(llm, way)
    last = read[-1] if "stream" in way else read
    assert fields_of(last) == SAID
    if isinstance(schema, type) and not issubclass(schema, dict):
        assert isinstance(last, schema)


@every_method
async def test_an_object_grows_while_it_is_streamed(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = list(written(method, "JokeDict", SAID))
    llm = make_llm().with_structured_output(JokeDict, method=method)
    grown = [read async for read in llm.astream("Hi")]
    assert len(grown) > 20
    setups = [read.get("setup", "") for read in grown]
    assert all(SAID["setup"].startswith(setup) for setup in setups)
    assert setups == sorted(setups, key=len)
    assert grown[-1] == SAID


@every_method
async def test_a_class_is_streamed_as_soon_as_it_is_valid(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = list(written(method, "Joke", SAID))
    llm = make_llm().with_structured_output(Joke, method=method)
    grown = [read async for read in llm.astream("Hi")]
    assert all(isinstance(read, Joke) for read in grown)
    assert len(grown) > 5
    assert grown[-1] == Joke(**SAID)


@every_method
async def test_an_optional_field_may_be_missing(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = written(method, "Joke", {"setup": "Knock"})
    read = await make_llm().with_structured_output(Joke, method=method).ainvoke("Hi")
    assert read == Joke(setup="Knock")


async def test_words_and_fences_around_the_json_are_left_out(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = f"Sure!\n```json\n{json.dumps(SAID)}\n```\nEnjoy."
    llm = make_llm().with_structured_output(Joke)
    assert await llm.ainvoke("Hi") == Joke(**SAID)
    assert [read async for read in llm.astream("Hi")][-1] == Joke(**SAID)


async def test_a_class_of_trees_is_told_whole(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    grown: Any = {"name": "a", "children": [{"name": "b", "children": []}]}
    replicate_emulator.enqueue(json.dumps({"name": "a", "children": [{"name": 1}]}))
    replicate_emulator.enqueue(json.dumps(grown))
    read = await make_llm().with_structured_output(Tree).ainvoke("Hi")
    assert read == Tree(**grown)
    assert len(replicate_emulator.predictions) == 2


async def test_a_list_is_an_answer_too(replicate_emulator: Emulator, make_llm: MakeLLM) -> None:
    replicate_emulator.reply = '["a", "b"]'
    schema = {"title": "Names", "type": "array", "items": {"type": "string"}}
    assert await make_llm().with_structured_output(schema).ainvoke("Hi") == ["a", "b"]
    del schema["title"]
    assert await make_llm().with_structured_output(schema).ainvoke("Hi") == ["a", "b"]


async def test_a_json_object_needs_no_schema(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = '{"any": [1]}'
    llm = make_llm().with_structured_output(method="json_mode")
    assert await llm.ainvoke("Hi") == {"any": [1]}


# Answers that do not fit

NO_FIT = {
    "json_schema": ['{"punchline": "They ask."}', "I know none.", '{"setup": "Why'],
    "function_calling": ["I know none.", '<tool_call>\n{"name": "Joke", "arguments": {"setup": "W'],
    "json_mode": ["I know none.", "[1]", '{"setup": "Why'],
}
no_fits = pytest.mark.parametrize(
    ("method", "answer"), [(method, text) for method, texts in NO_FIT.items() for text in texts]
)


@no_fits
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_answer_that_does_not_fit_is_an_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: Any, answer: str, way: str
) -> None:
    replicate_emulator.reply = answer
    with pytest.raises(OutputParserException, match="is not what was asked for") as caught:
        await ask(make_llm().with_structured_output(Joke, method=method), way)
    assert "setup" not in str(caught.value)
    if "<tool_call>" not in answer:  # that one is handed on as a malformed call, for agents
        assert isinstance(caught.value, core.AnswerFormatError)
        assert isinstance(caught.value, ModelError)
        assert not caught.value.is_retryable


@no_fits
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_with_the_raw_message_it_comes_back_beside_its_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: Any, answer: str, way: str
) -> None:
    replicate_emulator.reply = answer
    llm = make_llm().with_structured_output(Joke, method=method, include_raw=True)
    got = await ask(llm, way)
    if "stream" in way:
        got = {key: value for piece in got for key, value in piece.items()}
    assert got.keys() == {"raw", "parsed", "parsing_error"}
    assert got["parsed"] is None
    assert isinstance(got["parsing_error"], OutputParserException)
    assert isinstance(got["raw"], AIMessage)
    assert got["raw"].usage_metadata
    assert got["raw"].response_metadata["model_name"] == replicate_emulator.model
    assert got["raw"].text or got["raw"].invalid_tool_calls


@every_method
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_with_the_raw_message_a_fit_has_no_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: Any, way: str
) -> None:
    replicate_emulator.reply = written(method, "Joke", SAID)
    llm = make_llm().with_structured_output(Joke, method=method, include_raw=True)
    got = await ask(llm, way)
    assert got["parsed"] == Joke(**SAID)
    assert got["parsing_error"] is None
    assert isinstance(got["raw"], AIMessage)


@every_method
async def test_what_the_class_refuses_is_a_parsing_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = written(method, "Clean", {"setup": "damn"})
    llm = make_llm().with_structured_output(Clean, method=method, include_raw=True)
    got = await llm.ainvoke("Hi")
    assert got["parsed"] is None
    assert "not for children" in str(got["parsing_error"])
    with pytest.raises(ValueError, match="not for children"):
        await make_llm().with_structured_output(Clean, method=method).ainvoke("Hi")


@every_method
@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_an_answer_that_does_not_fit_is_asked_for_once_more(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: Any, way: str
) -> None:
    replicate_emulator.enqueue("I know none.")
    replicate_emulator.enqueue(written(method, "Joke", SAID))
    got = await ask(make_llm().with_structured_output(Joke, method=method), way)
    assert (got[-1] if way == "astream" else got) == Joke(**SAID)
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize("where", ["field", "call", "bound"])
async def test_asking_again_can_be_switched_off(
    replicate_emulator: Emulator, make_llm: MakeLLM, where: str
) -> None:
    replicate_emulator.reply = "I know none."
    llm = make_llm(max_repairs=0) if where == "field" else make_llm()
    options: Any = {"max_repairs": 0} if where == "bound" else {}
    called: Any = {"max_repairs": 0} if where == "call" else {}
    with pytest.raises(core.AnswerFormatError):
        await llm.with_structured_output(Joke, **options).ainvoke("Hi", **called)
    assert len(replicate_emulator.predictions) == 1


async def test_usage_is_of_all_that_was_asked(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue("I know none.")
    replicate_emulator.enqueue(json.dumps(SAID))
    llm = make_llm().with_structured_output(Joke, include_raw=True)
    message = (await llm.ainvoke("Hi"))["raw"]
    counts = [p.metrics()["output_token_count"] for p in replicate_emulator.predictions.values()]
    assert message.usage_metadata["output_tokens"] == sum(counts)


# What is told of it

PLAIN = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMS: dict[str, Any] = {
    "OpenAI's format": {"type": "json_schema", "json_schema": {"name": "f", "schema": PLAIN}},
    "OpenAI's schema": {"name": "f", "schema": PLAIN},
    "OpenAI's tool": {"type": "function", "function": {"name": "f", "parameters": PLAIN}},
    "OpenAI's function": {"name": "f", "parameters": PLAIN},
    "Anthropic's tool": {"name": "f", "input_schema": PLAIN},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_schema_is_the_same_to_the_core(make_llm: MakeLLM, form: Any) -> None:
    bound: Any = make_llm().bind_tools([], response_format=form)
    assert bound.kwargs["response_format"] == FORMS["OpenAI's format"]


def test_a_bare_json_schema_is_named_by_its_title(make_llm: MakeLLM) -> None:
    for schema, name in (({**PLAIN, "title": "T"}, "T"), (PLAIN, "answer")):
        bound: Any = make_llm().bind_tools([], response_format=schema, strict=True)
        told = bound.kwargs["response_format"]["json_schema"]
        assert told == {"name": name, "schema": schema, "strict": True}


def test_a_format_without_a_schema_is_handed_on(make_llm: MakeLLM) -> None:
    for kind in ("text", "json_object"):
        bound: Any = make_llm().bind_tools([], response_format={"type": kind})
        assert bound.kwargs["response_format"] == {"type": kind}


class Heard(BaseCallbackHandler):
    """Hears the options of each call."""

    def __init__(self) -> None:
        self.options: list[dict[str, Any]] = []

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **about: Any
    ) -> None:
        self.options.append(about["options"])


@every_method
async def test_traces_hear_of_the_schema_and_the_method(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = written(method, "Joke", SAID)
    heard = Heard()
    llm = make_llm().with_structured_output(Joke, method=method)
    await llm.ainvoke("Hi", {"callbacks": [heard]})
    (options,) = heard.options
    told = options["ls_structured_output_format"]
    assert told["kwargs"]["method"] == method
    assert told["schema"]["title"] == "Joke"
    assert told["schema"]["properties"].keys() == {"setup", "punchline"}


def test_arguments_that_contradict_each_other_are_an_error(make_llm: MakeLLM) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("method is 'xml'", {"schema": Joke, "method": "xml"}),
        ("needs a schema", {"method": "json_schema"}),
        ("needs a schema", {"method": "function_calling"}),
        ("strict", {"schema": Joke, "method": "json_mode", "strict": True}),
    ]
    for match, given in wrong:
        with pytest.raises(ValueError, match=match):
            make_llm().with_structured_output(**given)

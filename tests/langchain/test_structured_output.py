"""Structured output: every kind of schema with every method, streams, and mismatches."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, Field, field_validator
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import validator
from typing_extensions import TypedDict

import replicate_stream as core
from langchain_replicate_stream import ChatReplicate
from replicate_stream.testing import Emulator

MakeLLM = Callable[..., ChatReplicate]


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="The question.")
    punchline: str | None = Field(default=None, description="The answer.")


class JokeV1(BaseModelV1):
    """A joke."""

    setup: str
    punchline: str = ""


class JokeDict(TypedDict):
    """A joke."""

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
FIELDS = {"setup": "Why do owls say “hoo”?", "punchline": "They ask."}
METHODS = ("json_schema", "function_calling", "json_mode")
every_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
every_method = pytest.mark.parametrize("method", METHODS)


def write_answer(method: str, name: str, fields: dict[str, Any]) -> str:
    """Write a valid answer for a method of structured output."""
    if method == "function_calling":
        fields = {"name": name, "arguments": fields}
    body = json.dumps(fields, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>" if method == "function_calling" else body


def get_name(schema: Any) -> str:
    return str(schema["title"] if isinstance(schema, dict) else schema.__name__)


def get_fields(result: Any) -> dict[str, Any]:
    if isinstance(result, BaseModelV1):
        return result.dict()
    return result.model_dump() if isinstance(result, BaseModel) else result


@every_method
@every_schema
@pytest.mark.parametrize("call_method", ["invoke", "ainvoke", "stream", "astream"])
async def test_every_schema_works_by_every_method(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    schema: Any,
    method: Any,
    call_method: str,
) -> None:
    replicate_emulator.reply = write_answer(method, get_name(schema), FIELDS)
    llm = make_llm().with_structured_output(schema, method=method)
    result = await ask(llm, call_method)
    last = result[-1] if "stream" in call_method else result
    assert get_fields(last) == FIELDS
    if isinstance(schema, type) and not issubclass(schema, dict):
        assert isinstance(last, schema)


@every_method
async def test_an_object_is_streamed_as_it_grows(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = list(write_answer(method, "JokeDict", FIELDS))
    llm = make_llm().with_structured_output(JokeDict, method=method)
    results = [result async for result in llm.astream("Hi")]
    assert len(results) > 20
    setups = [result.get("setup", "") for result in results]
    assert all(FIELDS["setup"].startswith(setup) for setup in setups)
    assert setups == sorted(setups, key=len)
    assert results[-1] == FIELDS


@every_method
async def test_a_class_is_streamed_as_soon_as_it_is_valid(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = list(write_answer(method, "Joke", FIELDS))
    llm = make_llm().with_structured_output(Joke, method=method)
    results = [result async for result in llm.astream("Hi")]
    assert all(isinstance(result, Joke) for result in results)
    assert len(results) > 5
    assert results[-1] == Joke(**FIELDS)


@every_method
async def test_an_optional_field_may_be_missing(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = write_answer(method, "Joke", {"setup": "Knock"})
    result = await make_llm().with_structured_output(Joke, method=method).ainvoke("Hi")
    assert result == Joke(setup="Knock")


async def test_text_and_fences_around_the_json_are_left_out(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.reply = f"Sure!\n```json\n{json.dumps(FIELDS)}\n```\nEnjoy."
    llm = make_llm().with_structured_output(Joke)
    assert await llm.ainvoke("Hi") == Joke(**FIELDS)
    assert [result async for result in llm.astream("Hi")][-1] == Joke(**FIELDS)


async def test_a_recursive_class_is_sent_with_its_definitions(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    tree: Any = {"name": "a", "children": [{"name": "b", "children": []}]}
    replicate_emulator.enqueue(json.dumps({"name": "a", "children": [{"name": 1}]}))
    replicate_emulator.enqueue(json.dumps(tree))
    result = await make_llm().with_structured_output(Tree).ainvoke("Hi")
    assert result == Tree(**tree)
    assert len(replicate_emulator.predictions) == 2


async def test_a_schema_can_have_a_list(replicate_emulator: Emulator, make_llm: MakeLLM) -> None:
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
@pytest.mark.parametrize("call_method", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_answer_that_does_not_match_is_an_error(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    method: Any,
    answer: str,
    call_method: str,
) -> None:
    replicate_emulator.reply = answer
    with pytest.raises(OutputParserException, match="is not what was asked for") as caught:
        await ask(make_llm().with_structured_output(Joke, method=method), call_method)
    # Of the answer nothing; a property that is missing is a name of the schema's.
    assert not any(text in str(caught.value) for text in ("They ask", "I know", "Why", "[1]"))
    if "<tool_call>" not in answer:  # that one is handed on as a malformed call, for agents
        assert isinstance(caught.value, core.AnswerFormatError)
        assert isinstance(caught.value, ModelError)
        assert not caught.value.is_retryable


@no_fits
@pytest.mark.parametrize("call_method", ["invoke", "ainvoke", "stream", "astream"])
async def test_with_include_raw_a_mismatch_is_returned_with_its_error(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    method: Any,
    answer: str,
    call_method: str,
) -> None:
    replicate_emulator.reply = answer
    llm = make_llm().with_structured_output(Joke, method=method, include_raw=True)
    result = await ask(llm, call_method)
    if "stream" in call_method:
        result = {key: value for piece in result for key, value in piece.items()}
    assert result.keys() == {"raw", "parsed", "parsing_error"}
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], OutputParserException)
    assert isinstance(result["raw"], AIMessage)
    assert result["raw"].usage_metadata
    assert result["raw"].response_metadata["model_name"] == replicate_emulator.model
    assert result["raw"].text or result["raw"].invalid_tool_calls


@every_method
@pytest.mark.parametrize("call_method", ["invoke", "ainvoke"])
async def test_with_include_raw_a_match_has_no_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: Any, call_method: str
) -> None:
    replicate_emulator.reply = write_answer(method, "Joke", FIELDS)
    llm = make_llm().with_structured_output(Joke, method=method, include_raw=True)
    result = await ask(llm, call_method)
    assert result["parsed"] == Joke(**FIELDS)
    assert result["parsing_error"] is None
    assert isinstance(result["raw"], AIMessage)


@every_method
async def test_a_value_that_the_class_rejects_is_a_parsing_error(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = write_answer(method, "Clean", {"setup": "damn"})
    llm = make_llm().with_structured_output(Clean, method=method, include_raw=True)
    result = await llm.ainvoke("Hi")
    assert result["parsed"] is None
    assert "not for children" in str(result["parsing_error"])
    with pytest.raises(ValueError, match="not for children"):
        await make_llm().with_structured_output(Clean, method=method).ainvoke("Hi")


@every_method
@pytest.mark.parametrize("call_method", ["ainvoke", "astream"])
async def test_an_answer_that_does_not_match_is_requested_once_more(
    replicate_emulator: Emulator, make_llm: MakeLLM, ask: Any, method: Any, call_method: str
) -> None:
    replicate_emulator.enqueue("I know none.")
    replicate_emulator.enqueue(write_answer(method, "Joke", FIELDS))
    result = await ask(make_llm().with_structured_output(Joke, method=method), call_method)
    assert (result[-1] if call_method == "astream" else result) == Joke(**FIELDS)
    assert len(replicate_emulator.predictions) == 2


@pytest.mark.parametrize("where", ["field", "call", "bound"])
async def test_repairs_can_be_switched_off(
    replicate_emulator: Emulator, make_llm: MakeLLM, where: str
) -> None:
    replicate_emulator.reply = "I know none."
    llm = make_llm(max_repairs=0) if where == "field" else make_llm()
    options: Any = {"max_repairs": 0} if where == "bound" else {}
    call_options: Any = {"max_repairs": 0} if where == "call" else {}
    with pytest.raises(core.AnswerFormatError):
        await llm.with_structured_output(Joke, **options).ainvoke("Hi", **call_options)
    assert len(replicate_emulator.predictions) == 1


async def test_usage_is_that_of_all_attempts(
    replicate_emulator: Emulator, make_llm: MakeLLM
) -> None:
    replicate_emulator.enqueue("I know none.")
    replicate_emulator.enqueue(json.dumps(FIELDS))
    llm = make_llm().with_structured_output(Joke, include_raw=True)
    message = (await llm.ainvoke("Hi"))["raw"]
    counts = [p.metrics()["output_token_count"] for p in replicate_emulator.predictions.values()]
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == sum(counts)


# Pickles


@every_method
@every_schema
@pytest.mark.parametrize("include_raw", [False, True])
async def test_the_runnable_can_be_pickled(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    monkeypatch: pytest.MonkeyPatch,
    schema: Any,
    method: Any,
    include_raw: bool,
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", replicate_emulator.token)
    replicate_emulator.reply = write_answer(method, get_name(schema), FIELDS)
    llm = make_llm().with_structured_output(schema, method=method, include_raw=include_raw)
    copy = pickle.loads(pickle.dumps(llm))
    for result in (await copy.ainvoke("Hi"), copy.invoke("Hi")):
        assert get_fields(result["parsed"] if include_raw else result) == FIELDS


class Strict(Clean):
    """A joke whose error holds what cannot be pickled."""

    @field_validator("punchline")
    @classmethod
    def _is_short(cls, punchline: str | None) -> str | None:
        class LocalError(ValueError):
            pass

        raise LocalError("too long")


class StrictV1(JokeV1):
    """A joke that is never right."""

    @validator("setup")
    def _fails(cls, setup: str) -> str:  # noqa: N805 - of Pydantic 1
        raise ValueError("too long")


@every_method
@pytest.mark.parametrize("schema", [Strict, StrictV1])
@pytest.mark.parametrize("answer", [FIELDS, {"setup": 3}, None])
async def test_results_and_their_errors_can_be_pickled(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any, schema: Any, answer: Any
) -> None:
    name = get_name(schema)
    replicate_emulator.reply = "No." if answer is None else write_answer(method, name, answer)
    llm = make_llm().with_structured_output(schema, method=method, include_raw=True)
    result = await llm.ainvoke("Hi")
    error = result["parsing_error"]
    assert isinstance(error, OutputParserException)
    copy = pickle.loads(pickle.dumps(result))
    assert copy["raw"] == result["raw"]
    assert type(copy["parsing_error"]) is type(error)
    # The framework adds a line to the text whenever its exception is made, so by unpickling too.
    assert str(copy["parsing_error"]).startswith(str(error))


# Formats and traces

PLAIN = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMS: dict[str, Any] = {
    "OpenAI's format": {"type": "json_schema", "json_schema": {"name": "f", "schema": PLAIN}},
    "OpenAI's schema": {"name": "f", "schema": PLAIN},
    "OpenAI's tool": {"type": "function", "function": {"name": "f", "parameters": PLAIN}},
    "OpenAI's function": {"name": "f", "parameters": PLAIN},
    "Anthropic's tool": {"name": "f", "input_schema": PLAIN},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_kind_of_schema_becomes_the_same_format(make_llm: MakeLLM, form: Any) -> None:
    bound: Any = make_llm().bind_tools([], response_format=form)
    assert bound.kwargs["response_format"] == FORMS["OpenAI's format"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_kind_of_schema_becomes_the_same_tool(make_llm: MakeLLM, form: Any) -> None:
    llm: Any = make_llm().with_structured_output(form, method="function_calling")
    (tool,) = llm.first.kwargs["tools"]
    assert (tool["function"]["name"], tool["function"]["parameters"]) == ("f", PLAIN)


def test_openais_format_keeps_its_other_keys_as_a_tool(make_llm: MakeLLM) -> None:
    form = {"name": "f", "description": "Finds.", "strict": True, "schema": PLAIN}
    llm: Any = make_llm().with_structured_output(form, method="function_calling")
    (tool,) = llm.first.kwargs["tools"]
    assert tool["function"] == {
        "name": "f",
        "description": "Finds.",
        "strict": True,
        "parameters": PLAIN,
    }


def test_a_bare_json_schema_is_named_by_its_title(make_llm: MakeLLM) -> None:
    for schema, name in (({**PLAIN, "title": "T"}, "T"), (PLAIN, "answer")):
        bound: Any = make_llm().bind_tools([], response_format=schema, strict=True)
        details = bound.kwargs["response_format"]["json_schema"]
        assert details == {"name": name, "schema": schema, "strict": True}


def test_a_format_without_a_schema_is_passed_on(make_llm: MakeLLM) -> None:
    for kind in ("text", "json_object"):
        bound: Any = make_llm().bind_tools([], response_format={"type": kind})
        assert bound.kwargs["response_format"] == {"type": kind}


class Recorder(BaseCallbackHandler):
    """Records the options of each call."""

    def __init__(self) -> None:
        self.options: list[dict[str, Any]] = []

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **about: Any
    ) -> None:
        self.options.append(about["options"])


@every_method
async def test_a_trace_has_the_schema_and_the_method(
    replicate_emulator: Emulator, make_llm: MakeLLM, method: Any
) -> None:
    replicate_emulator.reply = write_answer(method, "Joke", FIELDS)
    recorder = Recorder()
    llm = make_llm().with_structured_output(Joke, method=method)
    await llm.ainvoke("Hi", {"callbacks": [recorder]})
    (options,) = recorder.options
    details = options["ls_structured_output_format"]
    assert details["kwargs"]["method"] == method
    assert details["schema"]["title"] == "Joke"
    assert details["schema"]["properties"].keys() == {"setup", "punchline"}


@pytest.mark.parametrize("schema", [Joke, JokeDict])
async def test_a_call_of_another_tool_is_returned_in_place_of_an_object(
    schema: Any, make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = write_answer("function_calling", "search", {"query": "owls"})
    search = {"name": "search", "description": "", "parameters": {"type": "object"}}
    llm = make_llm().with_structured_output(schema, tools=[search], include_raw=True)
    result = await llm.ainvoke("Hi")
    assert (result["parsed"], result["parsing_error"]) == (None, None)
    assert result["raw"].tool_calls[0]["args"] == {"query": "owls"}


async def test_an_answer_without_the_call_that_it_was_free_to_make_is_an_error(
    make_llm: MakeLLM, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = "Why did the owl?"
    llm = make_llm().with_structured_output(Joke, method="function_calling", tool_choice="auto")
    with pytest.raises(core.AnswerFormatError, match="it calls no tool"):
        await llm.ainvoke("Hi")
    with pytest.raises(core.AnswerFormatError, match="it calls no tool"):
        assert [part async for part in llm.astream("Hi")] == []


def test_arguments_that_contradict_each_other_are_an_error(make_llm: MakeLLM) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("method is 'xml'", {"schema": Joke, "method": "xml"}),
        ("needs a schema", {"method": "json_schema"}),
        ("needs a schema", {"method": "function_calling"}),
        ("strict", {"schema": Joke, "method": "json_mode", "strict": True}),
        ("takes no tools", {"schema": Joke, "method": "function_calling", "tools": [Joke]}),
        ("response_format", {"schema": Joke, "response_format": {"type": "json_object"}}),
    ]
    for match, arguments in wrong:
        with pytest.raises(ValueError, match=match):
            make_llm().with_structured_output(**arguments)

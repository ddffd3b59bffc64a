"""Schemas that lead back to themselves reach the model whole, in every form and by every method."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, RootModel
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import NotRequired, Required, TypedDict

from langchain_replicate_stream import ChatReplicate
from langchain_replicate_stream._tools import to_openai_tools
from replicate_stream.testing import Emulator, ToolUser

MakeLLM = Callable[..., ChatReplicate]


class Tree(BaseModel):
    """A tree."""

    name: str = Field(description="The tree's name.")
    children: list[Tree] = []


class Folder(BaseModel):
    """A folder, which leads back to itself by its files."""

    name: str
    children: list[File] = []


class File(BaseModel):
    """A file."""

    name: str
    children: list[Folder] = []


class TreeV1(BaseModelV1):
    """A tree."""

    name: str
    children: list[TreeV1] = []


TreeV1.update_forward_refs()


class TreeDict(TypedDict):
    """A tree."""

    name: Annotated[str, ..., "The tree's name."]
    children: Annotated[list[TreeDict], [], "Its branches."]


class PlainTreeDict(typing.TypedDict):  # which Pydantic refuses before Python 3.12
    """A tree."""

    name: str
    children: NotRequired[list[PlainTreeDict]]


class FolderDict(TypedDict, total=False):
    """A folder, which leads back to itself by its files."""

    name: Required[str]
    children: list[FileDict]
    more: dict[str, FolderDict] | None


class FileDict(TypedDict, total=False):
    """A file."""

    name: str
    children: list[FolderDict]


class ByName(RootModel[dict[str, "Tree | ByName"]]):
    """Trees by their names."""


class Forest(RootModel[list[Tree]]):
    """Several trees."""


NODE: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
    },
    "required": ["name"],
}
BY_DEFINITION: Any = {"title": "Node", "$ref": "#/$defs/Node", "$defs": {"Node": NODE}}
BY_ROOT: Any = json.loads(json.dumps({"title": "Node", **NODE}).replace("#/$defs/Node", "#"))
NAMES: Any = {"title": "Names", "type": "array", "items": {"anyOf": [NODE, {"type": "string"}]}}
NAMES["$defs"] = {"Node": NODE}

TREE: Any = {"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": []}]}]}
BAD_TREE: Any = {"name": "a", "children": [{"name": "b", "children": [{"name": 3}]}]}
OBJECTS: dict[str, Any] = {
    "Pydantic": Tree,
    "mutual": Folder,
    "Pydantic 1": TreeV1,
    "TypedDict": TreeDict,
    "typing.TypedDict": PlainTreeDict,
    "mutual TypedDict": FolderDict,
    "definition": BY_DEFINITION,
    "root": BY_ROOT,
}
VALUES: dict[str, tuple[Any, Any, Any]] = {
    **{kind: (schema, TREE, BAD_TREE) for kind, schema in OBJECTS.items()},
    "RootModel of a dict": (ByName, {"x": TREE, "y": {"z": TREE}}, {"x": BAD_TREE}),
    "RootModel of a list": (Forest, [TREE], [BAD_TREE]),
    "array": (NAMES, [TREE, "x"], [BAD_TREE]),
}
every_value = pytest.mark.parametrize(("schema", "value", "bad"), VALUES.values(), ids=VALUES)
every_way = pytest.mark.parametrize("call_method", ["invoke", "ainvoke", "stream", "astream"])


def get_name(schema: Any) -> str:
    return str(schema["title"] if isinstance(schema, dict) else schema.__name__)


def to_plain(result: Any) -> Any:
    if isinstance(result, BaseModelV1):
        return json.loads(result.json())
    return result.model_dump() if isinstance(result, BaseModel) else result


def make_native(emulator: Emulator, output: Any = None) -> None:
    """Give the emulator a model with inputs for tools and formats."""
    schema = ToolUser.native_input
    emulator.add_model("acme/native", schema, output_schema=output, official=True)


def assert_is_whole(schema: Any, value: Any, bad: Any) -> None:
    """Assert that a posted schema takes a value, and sees a fault deep inside of another."""
    assert "$ref" not in schema
    assert Draft202012Validator(schema).is_valid(value)
    assert not Draft202012Validator(schema).is_valid(bad)


@every_value
@every_way
async def test_a_call_of_a_tool_returns_the_value(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    schema: Any,
    value: Any,
    bad: Any,
    call_method: str,
) -> None:
    make_native(replicate_emulator, output=ToolUser.native_output)
    is_object = isinstance(value, dict)
    arguments = value if is_object else {"root": value}
    replicate_emulator.reply = ToolUser(calls=[(get_name(schema), arguments)])
    llm = make_llm(model="acme/native").with_structured_output(schema, method="function_calling")
    result = await ask(llm, call_method)
    last = result[-1] if "stream" in call_method else result
    assert to_plain(last) == value
    assert not isinstance(schema, type) or issubclass(schema, dict) or isinstance(last, schema)
    (prediction,) = replicate_emulator.predictions.values()
    parameters = prediction.input["tools"][0]["function"]["parameters"]
    assert parameters["type"] == "object"
    assert_is_whole(parameters, arguments, bad if is_object else {"root": bad})


@pytest.mark.parametrize(("schema", "value"), [(Forest, [TREE]), (NAMES, [TREE])])
async def test_json_mode_makes_the_list_of_a_schema(
    replicate_emulator: Emulator, make_llm: MakeLLM, schema: Any, value: Any
) -> None:
    replicate_emulator.reply = json.dumps(value)
    llm = make_llm().with_structured_output(schema, method="json_mode")
    assert to_plain(await llm.ainvoke("Hi")) == value


@pytest.mark.parametrize(("schema", "value"), [(Forest, [TREE]), (NAMES, [TREE, "x"])])
@pytest.mark.parametrize("size", [1, 7, 1000])
@every_way
async def test_a_list_without_the_name_of_its_argument_is_taken(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    schema: Any,
    value: Any,
    size: int,
    call_method: str,
) -> None:
    call = json.dumps({"name": get_name(schema), "arguments": value})
    text = f"<tool_call>\n{call}\n</tool_call>"
    replicate_emulator.reply = [text[at : at + size] for at in range(0, len(text), size)]
    llm = make_llm().with_structured_output(schema, method="function_calling")
    result = await ask(llm, call_method)
    assert to_plain(result[-1] if "stream" in call_method else result) == value
    assert len(replicate_emulator.predictions) == 1


@every_value
@every_way
async def test_an_answer_as_json_returns_the_value(
    replicate_emulator: Emulator,
    make_llm: MakeLLM,
    ask: Any,
    schema: Any,
    value: Any,
    bad: Any,
    call_method: str,
) -> None:
    make_native(replicate_emulator)
    replicate_emulator.enqueue(json.dumps(bad))
    replicate_emulator.enqueue(json.dumps(value))
    llm = make_llm(model="acme/native").with_structured_output(schema)
    if "stream" in call_method:  # what was delivered is not asked for again
        replicate_emulator.enqueue(json.dumps(value))
        with pytest.raises(ValueError, match="does not fit the schema"):
            await ask(llm, call_method)
    result = await ask(llm, call_method)
    last = result[-1] if "stream" in call_method else result
    assert to_plain(last) == value
    for prediction in replicate_emulator.predictions.values():
        posted = prediction.input["response_format"]["json_schema"]["schema"]
        assert_is_whole(posted, value, bad)


@pytest.mark.parametrize("schema", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("strict", [None, True])
async def test_a_tool_is_offered_with_its_whole_schema(
    replicate_emulator: Emulator, make_llm: MakeLLM, schema: Any, strict: bool | None
) -> None:
    replicate_emulator.reply = ToolUser()
    message = await make_llm().bind_tools([schema], strict=strict).ainvoke("Hi")
    (call,) = message.tool_calls
    assert call["name"] == get_name(schema)
    (tool,) = to_openai_tools([schema], strict=strict)
    assert_is_whole(tool["function"]["parameters"], call["args"], BAD_TREE)
    (prediction,) = replicate_emulator.predictions.values()
    posted = "\n".join(map(str, prediction.input.values()))
    assert json.dumps(tool["function"]["parameters"]) in posted


def plant(tree: Tree, deep: int = 1) -> str:
    """Plant a tree.

    Args:
        tree: The tree to plant.
        deep: How deep.
    """
    return f"{tree.name}, {deep}"


MCP_TOOLS = [
    StructuredTool(name="plant", description="Plant a tree.", args_schema=schema, func=plant)
    for schema in (
        {
            "type": "object",
            "properties": {"tree": {"$ref": "#/$defs/Node"}},
            "$defs": {"Node": NODE},
        },
        {"type": "object", "properties": {"tree": {"$ref": "#"}, **BY_ROOT["properties"]}},
    )
]


@pytest.mark.parametrize(
    "tool",
    [plant, StructuredTool.from_function(plant), *MCP_TOOLS],
    ids=["function", "StructuredTool", "MCP by a definition", "MCP by the root"],
)
def test_arguments_of_tools_are_described_whole(tool: Any) -> None:
    (converted,) = to_openai_tools([tool], strict=None)
    function = converted["function"]
    assert function["name"] == "plant"
    assert function["description"].startswith("Plant a tree.")
    assert_is_whole(function["parameters"], {"tree": TREE}, {"tree": BAD_TREE})


class Author(TypedDict):
    name: str


class Book(TypedDict, total=False):
    """A book."""

    title: Required[str]
    author: Author | None
    year: Annotated[int | None, 1984, "When it appeared."]
    kind: Literal["novel", "poems"]


@pytest.mark.parametrize("strict", [None, True])
def test_a_typed_dict_keeps_none_and_what_may_be_missing(strict: bool | None) -> None:
    (tool,) = to_openai_tools([Book], strict=strict)
    parameters = tool["function"]["parameters"]
    assert tool["function"]["description"] == "A book."
    assert "$ref" not in json.dumps(parameters)
    year = parameters["properties"]["year"]
    assert (year["description"], year["default"]) == ("When it appeared.", 1984)
    whole = {"title": "1984", "author": {"name": "Orwell"}, "year": 1949, "kind": "novel"}
    validator = Draft202012Validator(parameters)
    for good in (whole, {**whole, "author": None, "year": None}):
        assert validator.is_valid(good)
    for bad in ({**whole, "author": {}}, {**whole, "kind": "essay"}, {**whole, "title": None}):
        assert not validator.is_valid(bad)
    assert validator.is_valid({"title": "1984"}) == (strict is None)


def test_descriptions_and_defaults_of_a_typed_dict_are_kept() -> None:
    (tool,) = to_openai_tools([TreeDict], strict=None)
    function = tool["function"]
    assert (function["name"], function["description"]) == ("TreeDict", "A tree.")
    properties = function["parameters"]["properties"]
    assert properties["name"]["description"] == "The tree's name."
    assert properties["children"]["description"] == "Its branches."
    assert function["parameters"]["required"] == ["name"]


@pytest.mark.parametrize("schema", [Tree, TreeDict, ByName])
@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_an_agent_answers_with_a_recursive_object(
    replicate_emulator: Emulator, make_llm: MakeLLM, schema: Any, strategy: Any
) -> None:
    value = {"x": TREE} if schema is ByName else TREE
    calls = [(get_name(schema), value)] if strategy is ToolStrategy else []
    replicate_emulator.reply = ToolUser(calls=calls, answer=json.dumps(value))
    agent: Any = create_agent(make_llm(), [], response_format=strategy(schema))
    state = await agent.ainvoke({"messages": [("human", "Plant.")]})
    assert to_plain(state["structured_response"]) == value
    (prediction,) = replicate_emulator.predictions.values()
    assert '"items": {"$ref": ' in str(prediction.input)
    assert '"items": {}' not in str(prediction.input)

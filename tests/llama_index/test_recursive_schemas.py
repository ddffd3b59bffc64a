"""Classes that lead back to themselves, and values that are no objects, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ConfigDict, RootModel
from typing_extensions import TypedDict

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator, ToolUser

METHODS = ["structured_predict", "astructured_predict"]
METHODS += ["stream_structured_predict", "astream_structured_predict"]
ABOUT = PromptTemplate("Plant {what}.")


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list[Tree] = []


class Folder(BaseModel):
    """A folder, which leads back to itself by its files."""

    model_config = ConfigDict(extra="forbid")
    name: str
    children: list[File] = []


class File(BaseModel):
    """A file."""

    name: str
    children: list[Folder] = []


class Named(RootModel[Tree]):
    """A tree, and nothing else."""


class ByName(RootModel[dict[str, "Tree | ByName"]]):
    """Trees by their names."""


class Forest(RootModel[list[Tree]]):
    """Several trees."""


class Either(RootModel["Tree | list[Either]"]):
    """A tree, or several."""


class TreeDict(TypedDict):
    """A tree."""

    name: str
    children: list[TreeDict]


TREE: Any = {"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": []}]}]}
BAD_TREE: Any = {"name": "a", "children": [{"name": "b", "children": [{"name": 3}]}]}
COUNTS: Any = {"oaks": 1, "root": 2, "elms": 3}
VALUES: dict[str, tuple[Any, Any, Any]] = {
    "recursive": (Tree, TREE, BAD_TREE),
    "mutual": (Folder, TREE, BAD_TREE),
    "RootModel": (Named, TREE, BAD_TREE),
    "RootModel of a dict": (ByName, {"x": TREE, "y": {"z": TREE}}, {"x": BAD_TREE}),
    "RootModel of a list": (Forest, [TREE], [BAD_TREE]),
    "RootModel of a union": (Either, [[TREE], TREE], [BAD_TREE]),
}
every_value = pytest.mark.parametrize(("cls", "value", "bad"), VALUES.values(), ids=VALUES)


@pytest.fixture
def native(replicate_emulator: Emulator, make_llm: Callable[..., Replicate]) -> Replicate:
    """A model with an input for tools, which gets its calls there."""
    schema, output = ToolUser.native_input, ToolUser.native_output
    replicate_emulator.add_model("acme/native", schema, output_schema=output, official=True)
    return make_llm(model="acme/native", pydantic_program_mode=PydanticProgramMode.FUNCTION)


def wrap(value: Any, cls: Any) -> Any:
    """Make the arguments of a call with a value."""
    return {"root": value} if cls in {Forest, Either} else value


def read_parameters(emulator: Emulator) -> Any:
    """Read the schema that was posted by every request."""
    posted = [each.input["tools"] for each in emulator.predictions.values()]
    assert all(each == posted[0] for each in posted)
    (tool,) = posted[0]
    return tool["function"]["parameters"]


def assert_is_whole(schema: Any, value: Any, bad: Any) -> None:
    """Assert that a posted schema takes a value, and sees a fault deep inside of another."""
    assert schema["type"] == "object"
    assert Draft202012Validator(schema).is_valid(value)
    assert not Draft202012Validator(schema).is_valid(bad)


@every_value
@pytest.mark.parametrize("method", METHODS)
async def test_a_call_becomes_an_object_of_the_class(
    native: Replicate, replicate_emulator: Emulator, method: str, cls: Any, value: Any, bad: Any
) -> None:
    replicate_emulator.reply = ToolUser(calls=[(cls.__name__, wrap(value, cls))])
    result = getattr(native, method)(cls, ABOUT, what="a tree")
    result = await result if method.startswith("a") else result
    if "stream" in method:
        result = [each async for each in result] if method.startswith("a") else list(result)
    assert (result[-1] if "stream" in method else result) == cls.model_validate(value)
    assert_is_whole(read_parameters(replicate_emulator), wrap(value, cls), wrap(bad, cls))


@pytest.mark.parametrize("method", METHODS)
async def test_a_list_without_the_name_of_its_argument_is_taken(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator, method: str
) -> None:
    call = json.dumps({"name": "Forest", "arguments": [TREE]})
    replicate_emulator.reply = list(f"<tool_call>\n{call}\n</tool_call>")
    result = getattr(make_llm(), method)(Forest, ABOUT, what="trees")
    result = await result if method.startswith("a") else result
    if "stream" in method:
        result = [each async for each in result] if method.startswith("a") else list(result)
    assert (result[-1] if "stream" in method else result) == Forest.model_validate([TREE])


@every_value
@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # which the framework calls
async def test_a_structured_model_answers_with_the_class(
    native: Replicate, replicate_emulator: Emulator, cls: Any, value: Any, bad: Any
) -> None:
    replicate_emulator.reply = ToolUser(calls=[(cls.__name__, wrap(value, cls))])
    llm = native.as_structured_llm(cls)
    messages = [ChatMessage(role="user", content="Plant a tree.")]
    answers: list[Any] = [llm.chat(messages), await llm.achat(messages), llm.complete("Plant.")]
    answers += [list(llm.stream_chat(messages))[-1]]
    answers += [[each async for each in await llm.astream_chat(messages)][-1]]
    assert [answer.raw for answer in answers] == [cls.model_validate(value)] * 5
    assert_is_whole(read_parameters(replicate_emulator), wrap(value, cls), wrap(bad, cls))


@every_value
async def test_a_program_returns_the_class(
    native: Replicate, replicate_emulator: Emulator, cls: Any, value: Any, bad: Any
) -> None:
    replicate_emulator.reply = ToolUser(calls=[(cls.__name__, wrap(value, cls))])
    program = FunctionCallingProgram.from_defaults(
        output_cls=cls, prompt_template_str="Plant {what}.", llm=native
    )
    results = [program(what="a tree"), await program.acall(what="a tree")]
    if cls not in {Forest, Either}:  # as below
        results += [list(program.stream_call(what="a tree"))[-1]]
        results += [[each async for each in await program.astream_call(what="a tree")][-1]]
    assert all(result == cls.model_validate(value) for result in results)
    assert_is_whole(read_parameters(replicate_emulator), wrap(value, cls), wrap(bad, cls))


class Plain(BaseModel):
    name: str


class City(BaseModel):
    """A city, much of which need not be said."""

    name: str
    size: int = 5
    motto: str | None = "none"


class Country(BaseModel):
    """A country."""

    capital: City
    names: list[str] = ["?"]
    motto: str


@pytest.mark.parametrize(
    ("cls", "description"),
    [
        (Plain, ""),
        (Tree, "A tree."),
        (Forest, "Several trees."),
        (ByName, "Trees by their names."),
    ],
)
def test_a_tool_made_of_a_class_is_described_by_its_docstring_alone(
    native: Replicate, cls: Any, description: str
) -> None:
    request = native._prepare_chat_with_tools([get_function_tool(cls)], user_msg="Plant a tree.")
    ((tool,),) = [native.prepare(**request).body["input"]["tools"]]
    assert tool["function"]["description"] == description


class Counts(RootModel[dict[str, int]]):
    """Numbers by their names."""


async def stream_program(llm: Replicate, cls: Any, *, is_async: bool = False) -> list[Any]:
    """Stream the objects of a program."""
    program = FunctionCallingProgram.from_defaults(
        output_cls=cls, prompt_template_str="Plant {what}.", llm=llm
    )
    if is_async:
        return [each async for each in await program.astream_call(what="a tree")]
    return list(program.stream_call(what="a tree"))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("cls", "value"),
    [
        (Counts, COUNTS),
        (ByName, {"x": TREE, "y": {"z": TREE}}),
        (Named, {"name": "a", "children": [TREE, TREE]}),
        (City, {"name": "Paris"}),
        (City, {"name": "Paris", "size": 30, "motto": None}),
        (Country, {"capital": {"name": "Paris", "size": 30}, "names": ["a", "bc"], "motto": "x y"}),
        (Country, {"motto": "x y", "capital": {"name": "Paris"}, "names": []}),
    ],
)
async def test_a_program_that_streams_an_object_ends_with_the_whole_call(
    make_llm: Callable[..., Replicate],
    replicate_emulator: Emulator,
    cls: Any,
    value: Any,
    is_async: bool,
) -> None:
    call = json.dumps({"name": cls.__name__, "arguments": value})
    replicate_emulator.reply = list(f"<tool_call>\n{call}\n</tool_call>")
    objects = await stream_program(make_llm(), cls, is_async=is_async)
    assert objects[-1] == cls.model_validate(value)


@pytest.mark.parametrize("method", METHODS[2:])
async def test_a_streamed_member_of_a_root_model_may_be_called_root(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator, method: str
) -> None:
    call = json.dumps({"name": "Counts", "arguments": COUNTS})
    replicate_emulator.reply = list(f"<tool_call>\n{call}\n</tool_call>")
    result = getattr(make_llm(), method)(Counts, ABOUT, what="trees")
    objects = [each async for each in await result] if method.startswith("a") else list(result)
    assert objects[-1] == Counts.model_validate(COUNTS)


async def test_a_program_shows_the_texts_of_an_object_as_they_grow(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator
) -> None:
    call = json.dumps({"name": "Plain", "arguments": {"name": "Owl"}})
    replicate_emulator.reply = list(f"<tool_call>\n{call}\n</tool_call>")
    names = {each.name for each in await stream_program(make_llm(), Plain)}
    assert names == {None, "", "O", "Ow", "Owl"}


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_program_that_streams_a_list_ends_with_the_frameworks_own_class_and_all_members(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator, is_async: bool
) -> None:
    # It validates the class against a dict, which a list never is, whatever it is handed.
    value = [TREE, {"name": "b", "children": []}]
    call = json.dumps({"name": "Forest", "arguments": {"root": value}})
    replicate_emulator.reply = list(f"<tool_call>\n{call}\n</tool_call>")
    objects = await stream_program(make_llm(), Forest, is_async=is_async)
    assert type(objects[-1]).__name__ == "FlexibleForest"
    assert Forest.model_validate(objects[-1].root) == Forest.model_validate(value)
    sizes = {len(each.root or []) for each in objects}
    assert sizes == {0, 1, 2}  # it grows


@pytest.mark.parametrize("cls", [Tree, Folder])
async def test_a_text_becomes_an_object_of_the_class(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator, cls: Any
) -> None:
    replicate_emulator.reply = json.dumps(TREE)
    llm = make_llm(pydantic_program_mode=PydanticProgramMode.LLM)
    assert await llm.astructured_predict(cls, ABOUT, what="a tree") == cls(**TREE)
    (prediction,) = replicate_emulator.predictions.values()
    written = json.dumps(cls.model_json_schema()).replace("{", "{{").replace("}", "}}")
    assert written in prediction.input["prompt"]  # the framework doubles the brackets


def plant(tree: Tree) -> str:
    """Plant a tree."""
    return Tree.model_validate(tree).name  # the framework passes on what the call has


def plant_dict(tree: TreeDict) -> str:
    """Plant a tree."""
    return tree["name"]


# The framework does not look up what an annotation names.
plant.__annotations__["tree"] = Tree
plant_dict.__annotations__["tree"] = TreeDict


@pytest.mark.parametrize(
    ("tool", "wrap_tree"),
    [
        (FunctionTool.from_defaults(plant), lambda tree: {"tree": tree}),
        (FunctionTool.from_defaults(plant_dict), lambda tree: {"tree": tree}),
        (
            FunctionTool.from_defaults(
                lambda **tree: tree["name"], name="plant", description="Plant.", fn_schema=Tree
            ),
            lambda tree: tree,
        ),
    ],
    ids=["class", "TypedDict", "fn_schema"],
)
@pytest.mark.parametrize("method", ["predict_and_call", "apredict_and_call"])
async def test_a_tool_with_a_recursive_argument_is_offered_whole_and_called(
    native: Replicate, replicate_emulator: Emulator, tool: Any, wrap_tree: Any, method: str
) -> None:
    name = tool.metadata.get_name()
    replicate_emulator.reply = ToolUser(calls=[(name, wrap_tree(TREE))])
    answer = getattr(native, method)([tool], user_msg="Plant a tree.")
    answer = await answer if method.startswith("a") else answer
    assert [source.is_error for source in answer.sources] == [False]
    assert answer.response == "a"
    assert_is_whole(read_parameters(replicate_emulator), wrap_tree(TREE), wrap_tree(BAD_TREE))


@pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning"
)  # as in test_tools
async def test_an_agent_answers_with_a_recursive_object(
    native: Replicate, replicate_emulator: Emulator
) -> None:
    replicate_emulator.reply = ToolUser(calls=[("Tree", TREE)], answer="Planted.")
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(plant)], llm=native, output_cls=Tree)
    result: Any = await agent.run("Plant a tree.")
    assert result.get_pydantic_model(Tree) == Tree(**TREE)

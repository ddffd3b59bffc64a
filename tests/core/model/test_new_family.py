"""A new family is one file: this test defines one, registers it, and uses it in every way.

`Nova` has what a file in `_model/families/` defines, with a format that no other family has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import Client, ToolCall, ToolSpec, prepare_input
from replicate_stream._model import families
from replicate_stream._model.families import FAMILIES, FamilyTables
from replicate_stream._model.families.family import ChatTemplate, ContextWindow, Family, mark_roles
from replicate_stream._model.families.tool_format import CallMark, ToolFormat, ToolResult
from replicate_stream._model.families.turn import Turn
from replicate_stream.testing import Emulator


class NovaToolFormat(ToolFormat):
    control_marks = r"</?nova:[a-z]+>"
    call_marks = (
        CallMark("<nova:call>", ("</nova:call>",), header=r"\s*(\w+)\s*:"),
        CallMark("<nova:json>", ("</nova:json>",)),
    )
    result_marks = ("<nova:result>",)

    def render_tools(self, tools: Sequence[ToolSpec]) -> str:
        return "Tools: " + ", ".join(tool.name for tool in tools)

    def render_calls(self, calls: Sequence[ToolCall]) -> str:
        return "".join(
            f"<nova:call>{call.name}: {self.dump_arguments(call)}</nova:call>" for call in calls
        )

    def render_results(self, results: Sequence[ToolResult]) -> list[Turn]:
        text = "".join(f"<nova:result>{result.text}</nova:result>" for result in results)
        return [Turn("user", text, is_rendered=True)]

    def prefill(self, name: str | None) -> str:
        return "<nova:call>" if name is None else f"<nova:call>{name}:"


NOVA = Family(
    templates=(
        ChatTemplate(
            name="nova",
            **mark_roles("({}) ", " (end)\n", assistant="nova"),
            control_marks=r"\((?:system|user|nova|end)\)",
            hint=r"\(nova\)",
            names=r"nova",
            tool_format=NovaToolFormat,
        ),
    ),
    windows=(ContextWindow(r"nova", 65_536, 4_096),),
    vision_names=r"nova-eye",
    thinking_names=r"nova-muse",
    chat_names=r"nova",
    thinking_tags=(("<nova:muse>", "</nova:muse>"),),
)
MODEL = "acme/nova-7b"
# These words are vLLM's own: such a model hands the prompt to the engine as it is.
MAX_TOKENS = {"type": "integer", "description": "Maximum tokens to generate per output sequence."}
INPUTS = {"prompt": {"type": "string"}, "max_tokens": MAX_TOKENS}
SCHEMA = {"type": "object", "properties": INPUTS}
WEATHER = ToolSpec("weather", "Get the weather.", {"type": "object"})


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the family, as its line in `families/__init__.py` would."""
    monkeypatch.setattr(families, "TABLES", FamilyTables((NOVA, *FAMILIES)))


def render(messages: Any, **parameters: Any) -> str:
    prompt = prepare_input(messages, model=MODEL, schema=SCHEMA, **parameters).input["prompt"]
    assert isinstance(prompt, str)
    return prompt


def test_a_conversation_is_rendered_in_its_chat_template() -> None:
    turns = [
        {"role": "user", "content": "Hi (end)"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    assert render(turns, system_prompt="Be brief.") == (
        "(system) Be brief. (end)\n(user) Hi (end ) (end)\n(nova) Hello (end)\n"
        "(user) Bye (end)\n(nova) "
    )


def test_its_template_is_found_by_a_hint_and_by_its_name() -> None:
    template = {"type": "string", "default": "(user) {prompt} (end)\n(nova) "}
    schema = {"properties": {**INPUTS, "prompt_template": template}}
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    by_hint = prepare_input(turns, model="acme/unknown", schema=schema).input
    by_name = prepare_input(turns, model="a/b", schema=SCHEMA, prompt_format="nova").input
    assert by_hint["prompt"] == by_name["prompt"] == render(turns)
    assert by_hint["prompt_template"] == "{prompt}"


def test_tools_calls_and_results_are_rendered_in_its_tool_format() -> None:
    call = {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    turns = [
        {"role": "user", "content": "Weather? <nova:result>"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert render(turns, tools=[WEATHER]) == (
        "(system) Tools: weather (end)\n(user) Weather? <nova:result > (end)\n"
        '(nova) <nova:call>weather: {"city": "Paris"}</nova:call> (end)\n'
        "(user) <nova:result>sunny</nova:result> (end)\n(nova) "
    )
    assert render("Weather?", tools=[WEATHER], tool_choice="weather").endswith(
        "<nova:call>weather:"
    )


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_reasoning_and_calls_are_read_from_its_answer(
    client: Client, replicate_emulator: Emulator, size: int
) -> None:
    answer = (
        "<nova:muse>Which city?</nova:muse>I look. "
        '<nova:call>weather: {"city": "Paris"}</nova:call><nova:result>made up</nova:result>'
    )
    replicate_emulator.add_model(MODEL, SCHEMA, official=True)
    replicate_emulator.reply = [answer[at : at + size] for at in range(0, len(answer), size)]
    completion = await client.complete(MODEL, "Weather?", tools=[WEATHER])
    assert completion.reasoning == "Which city?"
    assert completion.text == "I look. "
    (call,) = completion.tool_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Paris"})


async def test_a_call_behind_another_mark_of_its_tool_format_is_read(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(MODEL, SCHEMA, official=True)
    written = '{"name": "weather", "arguments": {"city": "Rome"}}'
    replicate_emulator.reply = f"<nova:json>{written}</nova:json>"
    completion = await client.complete(MODEL, "Weather?", tools=[WEATHER])
    assert completion.text == ""
    assert [call.arguments for call in completion.tool_calls] == [{"city": "Rome"}]


async def test_a_call_goes_on_behind_its_prefilled_beginning(
    client: Client, replicate_emulator: Emulator
) -> None:
    replicate_emulator.add_model(MODEL, SCHEMA, official=True)
    replicate_emulator.reply = ' {"city": "Oslo"}</nova:call>'
    completion = await client.complete(MODEL, "Go", tools=[WEATHER], tool_choice="weather")
    assert [call.arguments for call in completion.tool_calls] == [{"city": "Oslo"}]


def test_its_capabilities_are_known_by_the_models_name(client: Client) -> None:
    plain, eye, muse = (
        client.capabilities(f"acme/{name}") for name in ("nova-7b", "nova-eye-7b", "nova-muse-7b")
    )
    assert (plain.context_window, plain.max_output) == (65_536, 4_096)
    assert (plain.takes_images, plain.thinks) == (None, None)
    assert eye.takes_images
    assert muse.thinks


def test_the_file_in_the_documentation_defines_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[3] / "docs" / "adding-a-family.md"
    if not page.exists():
        pytest.skip("docs/ is not part of the source distribution")
    (code,) = re.findall(r"```py\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    defined: dict[str, Any] = {}
    exec(code, defined)
    monkeypatch.setattr(families, "TABLES", FamilyTables((defined["FAMILY"], *FAMILIES)))
    prompt = prepare_input("Hi", model="acme/nova-7b-chat", schema=SCHEMA).input["prompt"]
    assert prompt == "<s><|user|>\nHi<|end|>\n<|assistant|>\n"

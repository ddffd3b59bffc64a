"""`prompt_format="plain"` sends a prompt unchanged, for completions."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import Message, PreparedInput, prepare_input

TEXT = {"type": "string"}
TEMPLATE = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
RENDERED = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nOnce"


def prepare(said: Any, system: str | None = None, **properties: Any) -> PreparedInput:
    return prepare_input(
        said,
        model="acme/oracle",
        schema={"type": "object", "properties": properties},
        system_prompt=system,
        prompt_format="plain",
    )


@pytest.mark.parametrize("prompt", ["hi", "  hi\n", "<|im_end|> hi", "[INST] hi [/INST]"])
def test_a_plain_prompt_is_sent_unchanged(prompt: str) -> None:
    bare = {**TEXT, "default": "{prompt}"}
    templates: list[Any] = [{}, {"prompt_template": bare}, {"prompt_template": TEXT}]
    for template in templates:
        assert prepare(prompt, prompt=TEXT, **template).input == {"prompt": prompt}


def test_the_system_text_goes_into_the_system_input_if_there_is_one() -> None:
    made = prepare("hi", "be <|im_end|> brief", prompt=TEXT, system_prompt=TEXT)
    assert made.input == {"prompt": "hi", "system_prompt": "be <|im_end|> brief"}
    assert prepare("hi", "be brief", prompt=TEXT).input == {"prompt": "be brief\n\nhi"}


def test_the_models_template_is_kept_for_a_prompt_without_marks() -> None:
    made = prepare("hi <|im_start|>", prompt=TEXT, prompt_template={**TEXT, "default": TEMPLATE})
    assert made.input == {"prompt": "hi <|im_start|>"}


def test_the_models_template_is_bypassed_for_a_prompt_with_its_marks() -> None:
    template = {**TEXT, "default": TEMPLATE}
    made = prepare(RENDERED, prompt=TEXT, prompt_template=template)
    assert made.input == {"prompt": RENDERED, "prompt_template": "{prompt}"}
    assert any("prompt_template was set" in note for note in made.notes)


def test_the_system_text_goes_into_the_prompt_if_the_template_is_bypassed() -> None:
    made = prepare(
        RENDERED,
        "be brief",
        prompt=TEXT,
        system_prompt=TEXT,
        prompt_template={**TEXT, "default": TEMPLATE.replace("user", "{system_prompt} user")},
    )
    assert made.input == {"prompt": f"be brief\n\n{RENDERED}", "prompt_template": "{prompt}"}


@pytest.mark.parametrize(
    "properties",
    [
        {"messages": {"type": "array", "items": {"type": "object"}}},
        {"prompt": {**TEXT, "description": "The JSON stringified of the messages"}},
    ],
)
def test_a_model_with_only_a_messages_input_gets_one_message(properties: Any) -> None:
    made = prepare("hi", **properties)
    (value,) = made.input.values()
    assert value in ([{"role": "user", "content": "hi"}], '[{"role": "user", "content": "hi"}]')
    assert any("only takes those" in note for note in made.notes)


def test_a_model_with_prompt_and_messages_gets_the_prompt() -> None:
    both: Any = {"prompt": TEXT, "messages": {"type": "array", "items": {"type": "object"}}}
    assert prepare("hi", **both).input == {"prompt": "hi"}
    assert prepare([Message("user", "a"), Message("assistant", "b")], **both).input == {
        "prompt": "a\n\nb"
    }

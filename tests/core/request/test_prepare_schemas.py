"""Every kind of request, prepared for the schemas of real models and checked in every point.

`UNFILLABLE` has the models with a required input that no chat fills.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from replicate_stream._errors import InvalidInputError
from replicate_stream._request.prepare import prepare_input
from replicate_stream._types.request import PreparedInput

UNFILLABLE = {
    "andreasjansson/llama-2-13b-gguf": "grammar",
    "charles-dyfis-net/llama-2-13b-hf--lmtp-4bit": "messages",
    "charles-dyfis-net/llama-2-7b-hf--lmtp-4bit": "messages",
    "hamelsmu/genstruct-7b": "content",
    "hamelsmu/honeycomb": "cols",
    "hamelsmu/honeycomb-2": "cols",
    "hamelsmu/honeycomb-3": "cols",
    "hamelsmu/honeycomb-4-awq": "cols",
    "muqtadar08/finetuned_gemma_sql_generator": "ddl_doc",
    "nateraw/defog-sqlcoder-7b-2": "table_metadata",
    "nateraw/sqlcoder-70b-alpha": "table_metadata",
    "pbevan1/llama-3.1-8b-ocr-correction": "inp",
}

SYSTEM, USER = "Speak as a pirate would.", "Why is the sky blue?"
TURNS = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "second question"},
    {"role": "assistant", "content": "second answer"},
    {"role": "user", "content": "third question"},
]
SYSTEM_TURN = {"role": "system", "content": SYSTEM}
REQUESTS: dict[str, dict[str, Any]] = {
    "one user turn": {"messages": USER},
    "system and user": {"messages": [SYSTEM_TURN, {"role": "user", "content": USER}]},
    "five turns": {"messages": TURNS},
    "system and five turns": {"messages": [SYSTEM_TURN, *TURNS]},
    "sampling": {
        "messages": USER,
        "temperature": 0,
        "max_tokens": 64,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["END", "\n\n"],
        "seed": 7,
    },
    "penalties": {"messages": USER, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    "a stop with a comma": {"messages": USER, "stop": ["one, two", "three"]},
    "a short answer": {"messages": USER, "max_tokens": 1},
}
NAMES = {
    "temperature": r"temp(erature)?",
    "top_p": r"top_p",
    "top_k": r"top_k",
    "seed": r"seed",
    "presence_penalty": r"presence_penalty",
    "frequency_penalty": r"frequency_penalty",
    "max_tokens": r"max_.*(tokens|length|len|sequence)|new_tokens|total_tokens",
}
SYSTEM_NAMES = re.compile(r"system(_prompt|_instruction|_message)?")
MEDIA = re.compile(r"image|video|audio|media")


def load(shared: Path) -> list[dict[str, Any]]:
    paths = sorted((shared / "schemas").glob("*.json"))
    assert len(paths) > 250
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def prepare(model: Mapping[str, Any], request: Mapping[str, Any], media: int = 0) -> PreparedInput:
    """Prepare a request with the media that the model requires, or with `media` images."""
    request = dict(request)
    messages = request.pop("messages")
    listed = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    kinds = ["image"] * media or [kind_of(name) for name in required_media(model)]
    parts = [
        {"type": f"{kind}_url", f"{kind}_url": {"url": f"https://example.com/{at}"}}
        for at, kind in enumerate(kinds)
    ]
    last = {**listed[-1], "content": [{"type": "text", "text": listed[-1]["content"]}, *parts]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return prepare_input(
            [*listed[:-1], last] if parts else messages,
            model=model["model"],
            schema=model["input_schema"],
            on_unsupported="ignore",
            **request,
        )


def required_media(model: Mapping[str, Any]) -> list[str]:
    required = model["input_schema"].get("required") or []
    return [name for name in required if MEDIA.search(name)]


def kind_of(name: str) -> str:
    return "video" if "video" in name else "image"


def find_mistakes(
    model: Mapping[str, Any], request: dict[str, Any], prepared: PreparedInput
) -> list[str]:
    """Describe what is wrong with a prepared input."""
    found = [
        *_find_schema_errors(model, prepared),
        *_find_lost_texts(request, prepared),
        *_find_system_mistakes(model, request, prepared),
    ]
    properties = model["input_schema"]["properties"]
    for parameter, pattern in NAMES.items():
        value = request.get(parameter)
        if value is None:
            continue
        own = [name for name in properties if re.fullmatch(pattern, name)]
        if not own:
            if not any(repr(parameter) in note for note in prepared.notes):
                found.append(f"{parameter} is not reported")
            continue
        sent = [name for name in own if name in prepared.input]
        if len(sent) != 1:
            found.append(f"{parameter} went to {sent} of {own}")
            continue
        spec = properties[sent[0]]
        nearest = min(max(value, spec.get("minimum", value)), spec.get("maximum", value))
        if prepared.input[sent[0]] != nearest:
            found.append(f"{sent[0]} is {prepared.input[sent[0]]} for {value}")
        if nearest != value and not any(sent[0] in note for note in prepared.notes):
            found.append(f"{sent[0]} was moved without a note")
    return found + _find_stop_mistakes(properties, request, prepared)


def _find_schema_errors(model: Mapping[str, Any], prepared: PreparedInput) -> list[str]:
    strict = {**model["input_schema"], "additionalProperties": False}
    return [error.message for error in Draft202012Validator(strict).iter_errors(prepared.input)]


def _find_lost_texts(request: Mapping[str, Any], prepared: PreparedInput) -> list[str]:
    messages = request["messages"]
    texts = [messages] if isinstance(messages, str) else [m["content"] for m in messages]
    order = sorted(prepared.input.items(), key=lambda item: not SYSTEM_NAMES.fullmatch(item[0]))
    order.sort(key=lambda item: item[0] in {"prompt", "message"})
    values = json.dumps([value for _, value in order], ensure_ascii=False)
    at = -1
    lost = []
    for text in texts:
        found = values.find(text, at + 1)
        lost += [] if found >= 0 else [f"{text!r} is lost or out of order"]
        lost += [f"{text!r} is there twice"] if values.count(text) > 1 else []
        at = max(at, found)
    return lost


def _find_system_mistakes(
    model: Mapping[str, Any], request: Mapping[str, Any], prepared: PreparedInput
) -> list[str]:
    if SYSTEM_TURN not in list(request["messages"]) or "messages" in prepared.input:
        return []
    properties = model["input_schema"]["properties"]
    own = next((name for name in properties if SYSTEM_NAMES.fullmatch(name)), None)
    is_ours = any(
        prepared.input.get(name) == "{prompt}" for name in ("prompt_template", "template")
    )
    if own is None or is_ours or prepared.input.get(own) == SYSTEM:
        return []
    return [f"the system text is not in {own}"]


def _find_stop_mistakes(
    properties: Mapping[str, Any], request: Mapping[str, Any], prepared: PreparedInput
) -> list[str]:
    stops = request.get("stop")
    if stops is None:
        return []
    found = [] if prepared.stop == tuple(stops) else ["the client does not enforce every stop"]
    own = next((name for name in ("stop_sequences", "stop") if name in properties), None)
    if own is None:
        return found
    is_list = "comma" in properties[own].get("description", "").lower()
    expected = ",".join(s for s in stops if "," not in s) if is_list else stops[0]
    return found if prepared.input.get(own) == expected else [*found, f"{own} is not encoded"]


@pytest.mark.parametrize("name", REQUESTS)
def test_every_model_gets_every_request_without_a_mistake(name: str, shared: Path) -> None:
    wrong = {}
    for model in load(shared):
        if model["model"] in UNFILLABLE:
            continue
        found = find_mistakes(model, REQUESTS[name], prepare(model, REQUESTS[name]))
        print(f"{name:<22} {model['model']:<56} {'; '.join(found) or 'right'}")  # pytest -rP
        if found:
            wrong[model["model"]] = found
    assert not wrong


@pytest.mark.parametrize("name", REQUESTS)
def test_the_openapi_form_of_a_schema_leads_to_the_same_input(name: str, shared: Path) -> None:
    for model in load(shared):
        if model["model"] not in UNFILLABLE:
            live = {**model, "input_schema": to_openapi(model)}
            live["input_schema"]["required"] = model["input_schema"].get("required")
            assert prepare(live, REQUESTS[name]) == prepare(model, REQUESTS[name]), model["model"]


def to_openapi(model: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a schema to the API's form: a document whose enums are siblings of the input."""
    schema = model["input_schema"]
    siblings = {n: s for n, s in schema["properties"].items() if "enum" in s}
    properties = dict(schema["properties"])
    for name, spec in siblings.items():
        beside = {key: spec[key] for key in ("default", "x-order", "description") if key in spec}
        properties[name] = {"allOf": [{"$ref": f"#/components/schemas/{name}"}], **beside}
        siblings[name] = {"type": "string", "enum": spec["enum"], "title": name}
    ordered = {name: properties[name] for name in sorted(properties)}
    return {"components": {"schemas": {"Input": {**schema, "properties": ordered}, **siblings}}}


def test_a_required_input_that_no_chat_fills_is_named(shared: Path) -> None:
    for model in load(shared):
        field = UNFILLABLE.get(model["model"])
        if field is not None:
            with pytest.raises(InvalidInputError) as caught:
                prepare(model, REQUESTS["one user turn"])
            assert caught.value.fields[0] == field, model["model"]


def test_extra_input_fills_what_no_chat_fills(shared: Path) -> None:
    for model in load(shared):
        field = UNFILLABLE.get(model["model"])
        if field is None or field == "messages":
            continue
        prepared = prepare(model, {"messages": USER, "extra_input": {field: "extra"}})
        assert prepared.input[field] == "extra"
        assert not _find_schema_errors(model, prepared)


@pytest.mark.parametrize("count", [1, 2])
def test_images_go_into_the_models_inputs_or_are_refused(count: int, shared: Path) -> None:
    for model in load(shared):
        if model["model"] in UNFILLABLE or any(
            kind_of(n) == "video" for n in required_media(model)
        ):
            continue
        properties = model["input_schema"]["properties"]
        own = [n for n, spec in properties.items() if re.search(r"image|media", n)]
        many = (
            any(
                properties[n]["type"] == "array" and properties[n]["items"]["type"] == "string"
                for n in own
            )
            or "image2" in own
        )
        if count == 2 and own and not many:
            with pytest.raises(InvalidInputError, match="2 image parts; the model takes 1"):
                prepare(model, REQUESTS["one user turn"], media=2)
            continue
        prepared = prepare(model, REQUESTS["one user turn"], media=count)
        sent = json.dumps(prepared.input)
        assert not _find_schema_errors(model, prepared), model["model"]
        if own:
            assert all(f"https://example.com/{at}" in sent for at in range(count)), model["model"]
        else:
            assert "https://example.com/" not in sent
            assert any("image parts" in note for note in prepared.notes), model["model"]


def test_a_template_is_applied_exactly_once(shared: Path) -> None:
    marks = re.compile(r"<\|\w+\|>|\[/?INST\]|<start_of_turn>|<<SYS>>|### \w+:|USER: ")
    for model in load(shared):
        if model["model"] in UNFILLABLE:
            continue
        properties = model["input_schema"]["properties"]
        template: dict[str, Any] = properties.get("prompt_template") or properties.get(
            "template", {}
        )
        pattern = str(template.get("default") or "")
        applies_own = "messages" in properties or any(map(SYSTEM_NAMES.fullmatch, properties))
        applies_own |= bool(marks.search(pattern))
        for request in REQUESTS.values():
            prepared = prepare(model, request).input
            text = str(prepared.get("prompt") or prepared.get("message") or "")
            is_ours = "{prompt}" in (
                prepared.get("prompt_template"),
                prepared.get("template"),
                pattern,
            )
            if applies_own and not is_ours:
                assert not marks.search(text), model["model"]

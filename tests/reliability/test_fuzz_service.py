"""Whatever a service or a model's author sends: a result, or an error of this package."""

from __future__ import annotations

import contextlib
import itertools
import json
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_replicate_stream._from_core import ChunkConverter, to_message
from llama_index_replicate_stream._from_core import ChatConverter, to_chat_response
from replicate_stream import Completion, Finished, prepare_input
from replicate_stream._api import predictions as api
from replicate_stream._api.responses import Response, to_response_error
from replicate_stream._api.sse import Decoder, EventTooLargeError, list_events
from replicate_stream._model.profile import build_profile
from replicate_stream._response.completion import derive_finish_reason
from replicate_stream._response.output import CompletionReader, extract_text
from replicate_stream._secrets import Headers, Redactor
from replicate_stream._types.prediction import read_usage
from replicate_stream._types.strict_json import MAX_JSON_DEPTH
from tests.reliability.fuzzing import (
    CALLER_DEPTHS,
    DEEP,
    DEPTHS,
    INPUTS,
    RECORD_KEYS,
    SCHEMA_KEYS,
    SPECS,
    TEXT,
    fuzz,
    json_objects,
    json_values,
    nest,
    only_our_errors,
    to_body,
)

pytestmark = pytest.mark.timeout(0)  # the length of a run is the profile's

# What a service sends

LINES = st.sampled_from(
    [
        *(b"event: output", b"event: done", b"event", b"id: 1:0", b"id:", b"data: ", b"data"),
        *(b"data: {}", b"data: x" * 9, b": hi", b":408: x", b"retry: 1", b""),
        *(b"\xef\xbb\xbf", b"\xf0\x9f", b"\x00"),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n"])
BODIES = st.lists(st.tuples(LINES | st.binary(max_size=8), ENDS), max_size=12).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


def decode(pieces: list[bytes], limit: int) -> list[Any]:
    decoder = Decoder(max_event_bytes=limit)
    events: list[Any] = []
    for piece in pieces:
        events += list_events(decoder.feed(piece))
    return [*events, decoder.last_event_id, decoder.last_comment]


@fuzz
@given(body=BODIES, places=st.lists(st.integers(0, 200), max_size=6), limit=st.integers(0, 80))
def test_any_bytes_of_a_stream_are_events_or_too_large(
    body: bytes, places: list[int], limit: int
) -> None:
    cuts = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(cuts)]
    assert decode(pieces, 10**6) == decode([body], 10**6)
    with contextlib.suppress(EventTooLargeError):
        decode(pieces, limit)


HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Type", "Date"]),
    TEXT | st.sampled_from(["9" * 400, "-1", "nan", "inf", "1e999", "Thu, 01 Jan 1970 00:00:00"]),
)
RAW = st.binary(max_size=40) | st.builds(to_body, json_values(RECORD_KEYS), DEPTHS)


@fuzz
@given(status=st.integers(100, 999), headers=HEADERS, body=RAW, name=st.sampled_from("ab"))
def test_any_error_body_is_an_error_of_its_status(
    status: int, headers: dict[str, str], body: bytes, name: str
) -> None:
    redactor = Redactor()
    redactor.add(Headers({"Authorization": "Bearer FAKE_TOKEN"}))
    error = to_response_error(Response(status, headers, body, redactor), "GET /x")
    assert error.status == status
    assert error.retry_after is None or error.retry_after >= 0
    with only_our_errors():
        raise error


@fuzz
@given(
    record=json_objects(RECORD_KEYS), depth=DEPTHS, reason=TEXT, kind=st.none() | st.just("text")
)
def test_any_record_is_a_prediction_or_an_error(
    record: dict[str, Any], depth: int, reason: str, kind: Any
) -> None:
    body = to_body({"id": "p", **record}, depth)
    with only_our_errors():
        prediction = api.parse_response(Response(200, {}, body), "GET /x")
        assert pickle.loads(pickle.dumps(prediction)).id == prediction.id
        repr(prediction)
        usage = read_usage(prediction)
        derive_finish_reason(usage, 5, is_stopped=False, has_calls=False)
        finished = Finished("stop", usage, prediction)
        ChunkConverter("a/b").convert(finished)
        ChatConverter().convert(finished)
        with only_our_errors():
            text = extract_text(prediction.output, kind=kind, has_tools=True) or ""
            completion = Completion(text, "", (), "stop", usage, prediction)
            to_message(completion, "a/b")
            to_chat_response(completion)
        with only_our_errors():
            raise api.build_stream_error(prediction, reason, body.decode(), Redactor())
        api.raise_for_status(prediction)


@fuzz
@given(data=TEXT | json_values(RECORD_KEYS).map(json.dumps))
@example("\ud800")
def test_any_data_of_a_done_event_are_success_or_a_reason(data: str) -> None:
    reason = api.parse_done_reason(data)
    assert reason is None or isinstance(reason, str)


@fuzz
@given(completion=json_objects(RECORD_KEYS), depth=DEPTHS, has_tools=st.booleans())
def test_any_chat_completion_is_a_text_or_an_error(
    completion: dict[str, Any], depth: int, has_tools: bool
) -> None:
    whole = {"id": "chatcmpl-1", "object": "chat.completion", **completion}
    body = to_body(whole, depth).decode().replace(" ", "", 1)
    reader = CompletionReader(has_tools=has_tools)
    with only_our_errors():
        texts = [*reader.feed([body]), *reader.flush()]
        assert all(isinstance(text, str) for text in texts)


# What a model's author publishes

PROPERTIES = st.dictionaries(st.sampled_from(INPUTS) | TEXT, SPECS, max_size=6)
SCHEMAS = st.one_of(
    json_values([*SCHEMA_KEYS, "components", "schemas", "Input", "Output"]),
    st.fixed_dictionaries({"properties": PROPERTIES}, optional={"required": SPECS}),
    st.builds(
        lambda inputs, others: {
            "components": {"schemas": {"Input": {"properties": inputs}, **others}}
        },
        PROPERTIES,
        st.dictionaries(st.sampled_from(["Output", "a", "Input", "prompt"]), SPECS, max_size=3),
    ),
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.just(5), "temperature": st.just(0.5), "top_p": st.just(0.5),
        "top_k": st.just(5), "seed": st.just(1), "stop": st.just(["x"]),
        "system_prompt": st.just("Be brief."), "tools": st.just([{"name": "f"}]),
        "response_format": st.just({"type": "json_object"}),
        "extra_input": st.dictionaries(st.sampled_from(INPUTS), json_values(INPUTS), max_size=2),
    },
)  # fmt: skip


@fuzz
@given(
    schema=SCHEMAS, depth=CALLER_DEPTHS, parameters=PARAMETERS,
    policy=st.sampled_from(["raise", "ignore"]), content=st.just("Hi") | st.just(
        [{"type": "image", "data": "AA==", "mime_type": "image/png"}]
    ),
)  # fmt: skip
@example(1, 0, {}, "raise", "Hi")
@example({"properties": {"prompt": {"description": [DEEP]}}}, 2000, {}, "raise", "Hi")
def test_any_schema_of_a_model_gives_an_input_or_an_error(
    schema: Any, depth: int, parameters: dict[str, Any], policy: Any, content: Any
) -> None:
    nested = nest(schema, depth)
    with only_our_errors():
        prepared = prepare_input(
            [{"role": "user", "content": content}],
            model="acme/oracle",
            schema=nested,
            on_unsupported=policy,
            **parameters,
        )
        assert isinstance(prepared.input, dict)
    if isinstance(nested, Mapping) and depth < MAX_JSON_DEPTH // 2:
        repr(build_profile(nested, "acme/oracle").capabilities)

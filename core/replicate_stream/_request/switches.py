"""Switches that parameters depend on: without them a value is sent and has no effect.

`do_sample` decides between sampling and greedy decoding, `decoding` which of the two sampling
parameters counts, and `use_nucleus_sampling` whether `top_p` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replicate_stream._model.input_schema import InputField, InputSchema
from replicate_stream._request.notes import Notes

_SAMPLING = ("temperature", "top_p", "top_k")


def put_switches(
    given: Mapping[str, Any], schema: InputSchema, target: dict[str, Any], notes: Notes
) -> None:
    """Turn on what the given parameters need, and greedy decoding for `temperature=0`."""
    asked = [name for name in _SAMPLING if given.get(name) is not None]
    if not asked:
        return
    is_greedy = given.get("temperature") == 0
    sample = schema.fields.get("do_sample")
    if sample is not None and sample.kind == "boolean" and bool(sample.default) == is_greedy:
        target[sample.name] = not is_greedy
        notes.add(f"{sample.name} was set to {not is_greedy}, as {asked[0]} asks for.")
    nucleus = schema.fields.get("use_nucleus_sampling")
    if nucleus is not None and "top_p" in asked and nucleus.kind == "boolean":
        target[nucleus.name] = True
        notes.add(f"{nucleus.name} was set, without which top_p has no effect.")
    decoding = schema.fields.get("decoding")
    if decoding is not None:
        _put_decoding(asked, decoding, target, notes)


def _put_decoding(
    asked: list[str], decoding: InputField, target: dict[str, Any], notes: Notes
) -> None:
    wanted = next((name for name in ("top_p", "top_k") if name in asked), None)
    if wanted is None or wanted not in decoding.choices:
        return
    if decoding.default != wanted:
        target[decoding.name] = wanted
        notes.add(f"{decoding.name} was set to {wanted}, without which it has no effect.")
    if wanted == "top_p" and "top_k" in asked:
        notes.add(f"top_k has no effect with {decoding.name} {wanted}.")

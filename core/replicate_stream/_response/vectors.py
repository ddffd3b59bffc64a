"""Read vectors from the output of an embedding model, whose shape differs between models.

The output is a vector, a list of vectors, or objects that hold them under a key. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from replicate_stream._errors import ResponseError

# Keys under which objects hold one vector or all of them, as seen in models and in OpenAI's API.
_KEYS = (
    "embedding", "embeddings", "vector", "vectors", "query_embeddings", "data", "dense_vecs",
    "output", "result",
)  # fmt: skip


def read_vectors(output: Any, count: int) -> list[list[float]]:
    """Read the vectors of a prediction.

    Args:
        output: The decoded JSON value.
        count: The number of texts in the prediction.

    Returns:
        One vector for each text, in their order.

    Raises:
        ResponseError: The output holds no vectors, not one for each text, or a number that is not
            finite. `text_index` is the position of the text whose vector is invalid.
    """
    found = _find_vectors(output)
    if len(found) != count:
        raise ResponseError(
            f"The model returned {_plural(len(found), 'vector')} for {_plural(count, 'text')}; "
            "batch_size=1 sends each by itself"
        )
    return [_parse_vector(vector, index) for index, vector in enumerate(found)]


def check_dimensions(vectors: Sequence[Sequence[float]]) -> None:
    """Check that all vectors have the same length.

    Raises:
        ResponseError: Names the first that differs in `text_index`.
    """
    for index, vector in enumerate(vectors):
        if len(vector) != len(vectors[0]):
            raise _build_error(
                index, f"has {len(vector)} numbers, and the vector of texts[0] {len(vectors[0])}"
            )


def _find_vectors(output: Any, *, is_item: bool = False) -> list[Any]:
    """Find the vectors; of an item of a list, which holds one of them, that one in a list."""
    if isinstance(output, Mapping):
        key = next((key for key in _KEYS if isinstance(output.get(key), list | dict)), None)
        if key is None:
            raise ResponseError(
                "The model's output is an object without vectors; those are read under the keys "
                f"{', '.join(_KEYS)}"
            )
        return _find_vectors(output[key], is_item=is_item)
    if not isinstance(output, list):
        kind = "empty" if output is None else f"of type {type(output).__name__}"
        raise ResponseError(f"The model's output is {kind}; a list of vectors was expected")
    if is_item or (output and not isinstance(output[0], list | dict)):
        return [output]
    if not output:
        return []
    if isinstance(output[0], list):
        return output
    return [_find_vectors(item, is_item=True)[0] for item in _sort(output)]


def _sort(items: list[Any]) -> list[Any]:
    """Sort the objects of OpenAI's API by the `index` of their text."""
    indexes = [item.get("index") if isinstance(item, Mapping) else None for item in items]
    if sorted(i for i in indexes if isinstance(i, int)) != list(range(len(items))):
        return items
    return sorted(items, key=lambda item: int(item["index"]))


def _parse_vector(vector: Any, index: int) -> list[float]:
    if not isinstance(vector, list) or not vector:
        raise _build_error(index, "is not a list of numbers")
    for number in vector:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _build_error(index, "holds something that is not a number")
    try:
        numbers = [float(number) for number in vector]
    except OverflowError:  # an integer that no float can hold
        numbers = [math.inf]
    if not all(map(math.isfinite, numbers)):
        raise _build_error(index, "holds a number that is not finite")
    return numbers


def _build_error(index: int, problem: str) -> ResponseError:
    error = ResponseError(f"the vector {problem}")
    error.text_index = index
    return error


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

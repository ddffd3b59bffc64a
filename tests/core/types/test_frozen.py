"""Values whose constructor fills their slots."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from replicate_stream._frozen import fill_slots


@dataclass(frozen=True, slots=True)
class Plain:
    """Filled by `dataclass`."""

    name: str
    size: int = 1
    tags: list[str] = field(default_factory=list, repr=False)


@fill_slots
@dataclass(frozen=True, slots=True)
class Filled:
    """Filled by its slots."""

    name: str
    size: int = 1
    tags: list[str] = field(default_factory=list, repr=False)


@fill_slots
@dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Filled):
    """With slots of its own and of its base."""

    mark: str = ""
    more: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    "arguments", [("a",), ("a", 2), ("a", 2, ["b"])], ids=lambda given: str(len(given))
)
def test_a_filled_value_is_what_dataclass_makes_of_the_same_arguments(
    arguments: tuple[Any, ...],
) -> None:
    plain, filled = Plain(*arguments), Filled(*arguments)
    assert asdict(filled) == asdict(plain)
    assert repr(filled) == repr(plain).replace("Plain", "Filled")
    assert [each.name for each in fields(filled)] == [each.name for each in fields(plain)]
    assert inspect.signature(Filled) == inspect.signature(Plain)
    for same in (copy.copy(filled), copy.deepcopy(filled), pickle.loads(pickle.dumps(filled))):
        assert same == filled
    assert replace(filled, size=3) == Filled(filled.name, 3, filled.tags)


def test_each_value_has_defaults_of_its_own() -> None:
    one, other = Derived(name="a"), Derived(name="a", mark="b")
    assert (one.size, one.tags, one.mark, one.more, other.mark) == (1, [], "", {}, "b")
    assert one.tags is not other.tags
    assert one.more is not other.more


def test_a_filled_value_is_frozen_and_names_what_is_missing() -> None:
    with pytest.raises(FrozenInstanceError):
        Filled("a").name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"Filled.*'name'"):
        Filled()  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """Of many fields, filled by `dataclass`."""

    a: int
    b: int
    c: int = 3
    d: int = 4
    e: int = 5
    f: int = 6
    g: int = 7
    h: list[int] = field(default_factory=list)


@fill_slots
@dataclass(frozen=True, slots=True)
class FilledRecord:
    """Of many fields, filled by its slots."""

    a: int
    b: int
    c: int = 3
    d: int = 4
    e: int = 5
    f: int = 6
    g: int = 7
    h: list[int] = field(default_factory=list)


class DerivedRecord(FilledRecord):
    """With a dict of its own."""


@pytest.mark.parametrize("record_class", [FilledRecord, DerivedRecord])
def test_a_value_of_many_fields_is_filled_and_frozen_as_any_other(
    record_class: type[FilledRecord],
) -> None:
    record = record_class(1, b=2, g=0)
    assert asdict(record) == asdict(PlainRecord(1, 2, g=0))
    assert type(record) is record_class
    assert replace(record, a=5) == record_class(5, 2, g=0)
    assert pickle.loads(pickle.dumps(record)) == record
    assert record.h is not record_class(1, 2).h
    with pytest.raises(FrozenInstanceError):
        record.a = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="'b'"):
        record_class(1)  # type: ignore[call-arg]

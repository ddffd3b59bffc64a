"""Prices and budgets are what the caller states, and a wrong one is an error that names it."""

from __future__ import annotations

from typing import Any

import pytest

from replicate_stream import Budget, InvalidInputError, Price
from replicate_stream._types.costs import find_price, read_budget, read_prices


@pytest.mark.parametrize(
    ("price", "counts", "cost"),
    [
        (Price(input=2.0, output=8.0), (500_000, 250_000, None), 3.0),
        (Price(second=0.5), (10, 10, 4.0), 2.0),
        (Price(second=0.5), (10, 10, None), None),
        (Price(input=1.0, second=0.5), (1_000_000, 0, 2.0), 2.0),
        (Price(), (1, 1, None), 0.0),
    ],
)
def test_a_cost_is_the_sum_of_what_the_price_counts(
    price: Price, counts: tuple[int, int, float | None], cost: float | None
) -> None:
    assert price.compute(*counts) == cost


def test_a_price_of_tokens_knows_no_cost_where_none_are_counted() -> None:
    assert Price(output=1.0).compute(0, 0, 2.0, has_counts=False) is None
    assert Price(second=1.0).compute(0, 0, 2.0, has_counts=False) == 2.0


def test_prices_and_budgets_are_also_dicts_and_a_number_is_money() -> None:
    assert read_prices({"a/b": {"input": 1, "output": 2}}) == {"a/b": Price(1, 2)}
    assert read_budget({"tokens": 5}) == Budget(tokens=5)
    assert read_budget(2.5) == Budget(money=2.5)


def test_a_price_of_a_model_is_that_of_its_versions_too() -> None:
    version = "a/b:" + "0" * 64
    prices = {"a/b": Price(1), "a/c": Price(2)}
    assert find_price(prices, version) == Price(1)
    assert find_price({**prices, version: Price(3)}, version) == Price(3)
    assert find_price(prices, "a/d") is None


@pytest.mark.parametrize(
    ("read", "value", "field"),
    [
        (read_prices, ["a/b"], "prices"),
        (read_prices, {"a/b": 3}, "prices"),
        (read_prices, {"a/b": {"inputs": 3}}, "prices"),
        (read_prices, {"a/b": {"input": "3"}}, "Price.input"),
        (read_prices, {"a/b": {"input": -1}}, "Price.input"),
        (read_prices, {"a/b": {"output": None}}, "Price.output"),
        (read_prices, {"a/b": {"second": 10**400}}, "Price.second"),
        (read_budget, 10**400, "Budget.money"),
        (read_budget, {"tokens": float("inf")}, "Budget.tokens"),
        (read_budget, True, "budget"),
        (read_budget, "5", "budget"),
        (read_budget, {"euros": 5}, "budget"),
        (read_budget, float("nan"), "Budget.money"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_field(read: Any, value: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(value)
    assert caught.value.fields == (field,)

"""Prices and budgets, as the caller states them: the API names no prices.

Annotations are evaluated here, as in `_types.messages`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from replicate_stream._errors import invalid_value, wrong_type
from replicate_stream._lazy import public

_MILLION = 1_000_000


_MAX_AMOUNT = 1e100  # of which sums and products are floats, too


def _check_amounts(owner: str, value: object, *, is_optional: bool = False) -> None:
    """Raise `InvalidInputError` for an amount that is not a number of 0 or more."""
    for each in fields(value):  # type: ignore[arg-type]  # a dataclass
        amount = getattr(value, each.name)
        if amount is None and is_optional:
            continue
        if not isinstance(amount, (int, float)) or isinstance(amount, bool):
            raise wrong_type(f"{owner}.{each.name}", amount, "a number")
        if not 0 <= amount <= _MAX_AMOUNT:
            raise invalid_value(f"{owner}.{each.name}", amount, f"0 to {_MAX_AMOUNT:g}")


@public
@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model, in any currency, as its page on Replicate shows it.

        Price(input=0.65, output=2.75)  # for a million tokens
        Price(second=0.000975)  # for a second of the model's work

    Attributes:
        input: For a million tokens of the prompt.
        output: For a million tokens of the answer.
        second: For a second of `predict_time`.

    Raises:
        InvalidInputError: A number is negative or not finite.
    """

    input: float = 0.0
    output: float = 0.0
    second: float = 0.0

    def __post_init__(self) -> None:
        _check_amounts("Price", self)

    def compute(
        self,
        input_tokens: int,
        output_tokens: int,
        predict_time: float | None,
        *,
        has_counts: bool = True,
    ) -> float | None:
        """Compute the cost of a prediction; None if what the price counts is unknown.

        Args:
            input_tokens: The tokens of the prompt.
            output_tokens: The tokens of the answer.
            predict_time: The seconds that the model worked.
            has_counts: False if the tokens are not counted.
        """
        if (self.second and predict_time is None) or (
            (self.input or self.output) and not has_counts
        ):
            return None
        tokens = (self.input * input_tokens + self.output * output_tokens) / _MILLION
        return tokens + self.second * (predict_time or 0.0)


@public
@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a client's predictions may use together. None stands for no limit.

    Attributes:
        money: In the currency of the prices, which every model needs then.
        tokens: Of prompts and answers.
        seconds: Of `predict_time`.

    Raises:
        InvalidInputError: A number is negative or not finite.
    """

    money: float | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        _check_amounts("Budget", self, is_optional=True)


Prices: TypeAlias = Mapping[str, Price | Mapping[str, float]]
"""Prices by model: `owner/name`, or a longer reference."""


def read_prices(prices: Any) -> dict[str, Price]:
    """Validate the argument `prices`.

    Raises:
        InvalidInputError: It is not a mapping from models to prices.
    """
    if not isinstance(prices, Mapping):
        raise wrong_type("prices", prices, "a dict from models to Price")
    return {str(model): _read("prices", Price, price) for model, price in prices.items()}


def read_budget(budget: Any) -> Budget:
    """Validate the argument `budget`; a number is money.

    Raises:
        InvalidInputError: It is neither a number nor a budget.
    """
    if isinstance(budget, (int, float)) and not isinstance(budget, bool):
        return Budget(money=budget)
    read: Budget = _read("budget", Budget, budget)
    return read


def _read(argument: str, kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    names = [each.name for each in fields(kind)]
    if not isinstance(value, Mapping):
        raise wrong_type(argument, value, f"{kind.__name__}, or a dict of {', '.join(names)}")
    for name in value:
        if name not in names:
            raise invalid_value(argument, name, f"a dict of {', '.join(names)}")
    return kind(**value)


def find_price(prices: Mapping[str, Price], model: str) -> Price | None:
    """Return the price of a model by its whole reference, or by the name before its version."""
    return prices.get(model) or prices.get(model.partition(":")[0])

"""The formats of tool calling: what an offer, a call and a result look like in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from replicate_stream.testing._tool_user import _offers, _spelled, _writing
from replicate_stream.testing._tool_user._conversation import Call, Offer, Result
from replicate_stream.testing._tool_user._deepseek import OUTPUT, OUTPUTS
from replicate_stream.testing._tool_user._json import dump
from replicate_stream.testing._tool_user._style import Style


@dataclass(frozen=True, slots=True)
class Dialect:
    """One format.

    Attributes:
        find: Finds an offer of tools in a text.
        write: Writes calls, as the vendor's template has them.
        invent: Writes a result, as the vendor's template has it, for a model that invents one.
        say: Writes an answer that is no call.
        read: Reads the calls in an earlier answer, where no vendor's marks are around them.
    """

    find: Callable[[str], Offer | None]
    write: Callable[[Sequence[Call], Style], str]
    invent: Callable[[Result], str]
    say: Callable[[str], str] = str
    read: Callable[[str], list[Call]] | None = None


DIALECTS: Mapping[str, Dialect] = {
    "hermes": Dialect(_offers.find_hermes, _writing.write_hermes, _writing.invent_hermes),
    "llama": Dialect(
        _offers.find_llama, _writing.write_llama, lambda r: f"\n{dump({'output': r.text})}\n"
    ),
    "granite": Dialect(
        _offers.find_granite,
        _writing.write_granite,
        lambda r: f"\n<|start_of_role|>tool_response<|end_of_role|>{r.text}<|end_of_text|>\n",
    ),
    "deepseek": Dialect(
        _offers.find_deepseek,
        _writing.write_deepseek,
        lambda r: f"{OUTPUTS[0]}{OUTPUT[0]}{r.text}{OUTPUT[1]}{OUTPUTS[1]}",
    ),
    "mistral": Dialect(
        _offers.find_nothing,
        _writing.write_mistral,
        lambda r: f"[TOOL_RESULTS] {dump({'content': r.text})}[/TOOL_RESULTS]",
    ),
    "react": Dialect(
        _spelled.find_react,
        _spelled.write_react,
        lambda r: f"\nObservation: {r.text}\n",
        _spelled.say_react,
        _spelled.read_react,
    ),
    "code": Dialect(
        _spelled.find_code,
        _spelled.write_code,
        lambda r: f"\nResult of executing the code given:\n\n{r.text}\n\n",
        read=_spelled.read_code,
    ),
}

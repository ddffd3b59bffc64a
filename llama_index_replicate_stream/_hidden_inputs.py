"""Keep the secret inputs of a call out of what the framework's handlers see.

Handlers of events and spans get the arguments of a call. So `hide_secret_inputs` replaces the
model's inputs among them by a `VisibleInputs`: a dict without the secrets, and with all inputs as
an attribute, from which `reveal_inputs` reads them. It goes around the framework's decorators, and
applies the one for spans itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR

from llama_index_replicate_stream._stream_callbacks import Callback, copy_names
from replicate_stream import ReplicateError
from replicate_stream.adapters import find_missing_token, run_blocking, without_secret_inputs

if TYPE_CHECKING:
    from llama_index_replicate_stream._fields import ReplicateFields

Method = TypeVar("Method", bound=Callable[..., Any])
_NAMES = ("additional_kwargs", "extra_input")


class VisibleInputs(dict[str, Any]):
    """The inputs of a call that are not secret.

    Attributes:
        every_input: All inputs of the call.
    """

    def __init__(self, visible: Mapping[str, Any], every_input: Mapping[str, Any]) -> None:
        super().__init__(visible)
        self.every_input = every_input

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the secrets out of pickles and copies."""
        return dict, (dict(self),)


def reveal_inputs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call with all inputs."""
    return {
        name: value.every_input if isinstance(value, VisibleInputs) else value
        for name, value in kwargs.items()
    }


def hide_secret_inputs(callback: Callback) -> Callback:
    """Return a callback decorator that hides the secret inputs of a call from handlers.

    A missing token is an error here already, before any handler and with a short traceback. So is
    an unknown argument, which may be a token.

    Args:
        callback: The callback decorator of the framework, or one made of it.
    """

    def decorate(method: Method) -> Method:
        signature = inspect.signature(method)
        endpoint: Any = _hide_inputs(callback(method), signature.parameters.keys())
        # Editors show it. The framework's decorators may not see it: see `copy_names`.
        endpoint.__signature__ = signature
        return cast("Method", endpoint)

    return decorate


def _hide_inputs(method: Method, names: Collection[str]) -> Method:
    # By the framework's own mark, it does not put its decorator for spans around this one.
    spanned = get_dispatcher(method.__module__).span(method)

    def check(llm: ReplicateFields, kwargs: Mapping[str, Any]) -> None:
        if (error := find_missing_token(llm._get_client())) is not None:  # noqa: SLF001
            raise error
        llm._check_call_names(name for name in kwargs if name not in names)  # noqa: SLF001

    def call(llm: ReplicateFields, /, *args: Any, **kwargs: Any) -> Any:
        check(llm, kwargs)
        if _has_inputs(kwargs):
            kwargs = run_blocking(lambda: _hide(llm, kwargs))
        return spanned.__get__(llm, type(llm))(*args, **kwargs)

    async def call_async(llm: ReplicateFields, /, *args: Any, **kwargs: Any) -> Any:
        check(llm, kwargs)
        if _has_inputs(kwargs):
            kwargs = await _hide(llm, kwargs)
        return await spanned.__get__(llm, type(llm))(*args, **kwargs)

    endpoint: Any = call_async if inspect.iscoroutinefunction(method) else call
    setattr(endpoint, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return copy_names(method, endpoint)


def _has_inputs(kwargs: Mapping[str, Any]) -> bool:
    return any(isinstance(kwargs.get(name), Mapping) and kwargs[name] for name in _NAMES)


async def _hide(llm: ReplicateFields, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    client, model = llm._get_client(), kwargs.get("model") or llm.model  # noqa: SLF001
    try:
        await client.describe(model)  # cached: the request needs it too
        is_known = True
    except ReplicateError:  # which the request will raise, too
        is_known = False
    hidden = dict(kwargs)
    for name in _NAMES:
        inputs = kwargs.get(name)
        if isinstance(inputs, Mapping) and not isinstance(inputs, VisibleInputs):
            shown: dict[str, Any] = {}
            if is_known:
                shown = without_secret_inputs(inputs, model=model, get_client=llm._get_client)  # noqa: SLF001
            hidden[name] = VisibleInputs(shown, inputs)
    return hidden

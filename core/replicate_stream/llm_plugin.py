"""Plugin for the command line `llm` (llm.datasette.io): models of Replicate as `replicate/…`.

`llm` finds a model in a list that its plugins build at every start. Requests would delay every
command then, so models are named once, by `llm replicate add` or `fetch-models`, in a file.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import llm
from llm.parts import AttachmentPart, StreamEvent, TextPart, ToolCallPart, ToolResultPart
from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from replicate_stream import (
    Client,
    Completion,
    Finished,
    InvalidInputError,
    Message,
    ParameterWarning,
    ReasoningDelta,
    Replicate,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from replicate_stream._types.media import TYPES_BY_SUFFIX
from replicate_stream._types.parameters import PARAMETERS
from replicate_stream._types.strict_json import parse_strict_json

if TYPE_CHECKING:
    from replicate_stream import StreamEvent as CoreEvent

__all__ = ["AsyncReplicateModel", "ReplicateModel"]

_PREFIX = "replicate/"
_FILE = "replicate-models.json"
_KEY_NAME, _KEY_VARIABLE = "replicate", "REPLICATE_API_TOKEN"
_NOT_OPTIONS = {"system_prompt"}  # `llm` has `--system`
# `llm` passes options on beside these, as arguments of the same call.
_ARGUMENTS = {
    name
    for method in (llm.Model.prompt, llm.Conversation.prompt)
    for name, parameter in inspect.signature(method).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
}
_FLAGS = {
    "attachments": "-a",
    "fragments": "-f",
    "hide_reasoning": "-R",
    "key": "--key",
    "schema": "--schema",
    "stream": "--no-stream",
    "system": "-s",
    "system_fragments": "--sf",
    "tools": "-T",
}


class _ModelListWarning(UserWarning):
    """The file with the names of the models cannot be read."""


class _ModelListError(click.ClickException):
    """The same, for a command that would change the file."""


class _OpenOptions(llm.Options):
    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def reject_arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Reject an option with the name of an argument of `llm`, which would get the value."""
        errors = [
            InitErrorDetails(type=_explain_argument(name), loc=(name,), input=value)
            for name, value in values.items()
            if name in _ARGUMENTS
        ]
        if errors:  # in this form, because it has a place for the option's name
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return values

    @field_validator("stop", mode="before", check_fields=False)
    @classmethod
    def read_list(cls, value: object) -> object:
        """Read a JSON list: the value of an option on the command line is one text."""
        value = _parse_json(value) if isinstance(value, str) and value.startswith("[") else value
        # Where an item is wrong pydantic says its number, which `llm` cannot print.
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise PydanticCustomError(
                "texts", 'It must be a text, or a JSON list of texts: \'["END", "###"]\''
            )
        return value

    @field_validator("extra_input", mode="before", check_fields=False)
    @classmethod
    def read_object(cls, value: object) -> object:
        """Read a JSON object, of which the same is true."""
        value = _parse_json(value) if isinstance(value, str) else value
        if isinstance(value, str):
            raise PydanticCustomError("inputs", 'It must be a JSON object: \'{"NAME": "VALUE"}\'')
        return value


def _explain_argument(name: str) -> PydanticCustomError:
    flag = f" ({_FLAGS[name]})" if name in _FLAGS else ""
    return PydanticCustomError(
        "argument",
        "llm has an argument of its own with this name{flag}; "
        "an input of the model's goes into extra_input: -o extra_input '{input}'",
        {"flag": flag, "input": f'{{"{name}": …}}'},
    )


def _parse_json(text: str) -> object:
    """Parse JSON; what is none stays a text."""
    try:
        return parse_strict_json(text)
    except json.JSONDecodeError:
        return text
    except ValueError as error:
        raise PydanticCustomError("json", "{problem}", {"problem": str(error)}) from error


_FIELDS: dict[str, Any] = {
    each.name: (each.type | None, Field(default=None, description=each.description))
    for each in PARAMETERS
    if each.is_setting and each.name not in _NOT_OPTIONS
}


class _Replicate:
    """What `llm` is to know of a model, and its requests.

    Args:
        model: A model of Replicate, as for `Client.stream`.
    """

    needs_key: str | None = _KEY_NAME
    key_env_var: str | None = _KEY_VARIABLE
    can_stream = True
    supports_schema = True
    supports_tools = True
    # The model's schema decides, before anything is paid: `llm` asks before it is known.
    attachment_types: set[str] | frozenset[str] = frozenset(TYPES_BY_SUFFIX.values())
    Options: Any = create_model("Options", __base__=_OpenOptions, **_FIELDS)

    def __init__(self, model: str) -> None:
        self._model = model
        self.model_id = _PREFIX + model

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the API token; `llm` calls this.

        Raises:
            llm.NeedsKeyException: There is none.
        """
        with _in_one_line():
            key: str | None = super().get_key(explicit_key)  # type: ignore[misc]  # a mixin
            return key

    async def _build_request(self, client: Client, prompt: llm.Prompt) -> dict[str, Any]:
        """Build the arguments of `Client.stream`."""
        options: Any = prompt.options
        parameters = {name: getattr(options, name) for name in _FIELDS}
        schema: Any = prompt.schema
        return {
            # Not set, they keep the defaults of `Client.stream`.
            **{name: value for name, value in parameters.items() if value is not None},
            "model": self._model,
            # In a thread, because the type of an attachment can take a look into it.
            "messages": await asyncio.to_thread(_to_messages, prompt.messages),
            "tools": [_to_tool(each) for each in prompt.tools] or None,
            "response_format": schema or None,
            "extra_input": {
                **(options.extra_input or {}),
                **await self._parse_inputs(client, options.model_extra or {}),
            }
            or None,
        }

    async def _parse_inputs(self, client: Client, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Parse the model's own inputs, which are texts on the command line."""
        # The commands' modules are imported by those who have such inputs.
        from replicate_stream._cli.answer import parse_inputs

        texts = {name: value for name, value in inputs.items() if isinstance(value, str)}
        parsed = await parse_inputs(client, self._model, texts) if texts else {}
        return {**inputs, **parsed}


class ReplicateModel(_Replicate, llm.KeyModel):
    """A model of Replicate for `llm`, e.g. `ReplicateModel("owner/name").prompt("Why?")`.

    Args:
        model: A model of Replicate, as for `Client.stream`.
    """

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
        key: str | None,
    ) -> Iterator[StreamEvent]:
        """Ask the model; `llm` calls this. Closing the iterator cancels the prediction.

        Raises:
            ReplicateError: As `Client.stream` does.
        """
        with _in_one_line():
            yield from self._answer(prompt, stream, response, key)

    def _answer(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, key: str | None
    ) -> Iterator[StreamEvent]:
        from replicate_stream.adapters import run_blocking, stream_blocking

        client = Client(key)
        request = run_blocking(lambda: self._build_request(client, prompt))
        if not stream:
            completion = run_blocking(lambda: client.complete(**request))
            yield from _Answer(response).add_whole(completion)
            return
        with closing(stream_blocking(client, {"coalesce": False, **request})) as events:
            answer = _Answer(response)
            for event in events:
                yield from answer.add(event)


class AsyncReplicateModel(_Replicate, llm.AsyncKeyModel):
    """The same for `llm`'s async methods: `await AsyncReplicateModel("owner/name").prompt("Why?")`.

    Args:
        model: A model of Replicate, as for `Client.stream`.
    """

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
        key: str | None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask the model; `llm` calls this. Closing the generator cancels the prediction.

        Raises:
            ReplicateError: As `Client.stream` does.
        """
        # The response holds the generator. If that held the response, one that is left would live,
        # and its prediction run on, until Python searches for cycles.
        return self._answer(prompt, stream, weakref.proxy(response), key)

    async def _answer(
        self, prompt: llm.Prompt, stream: bool, response: llm.AsyncResponse, key: str | None
    ) -> AsyncGenerator[StreamEvent, None]:
        with _in_one_line():
            client = Client(key)
            request = await self._build_request(client, prompt)
            if not stream:
                completion = await client.complete(**request)
                for each in _Answer(response).add_whole(completion):
                    yield each
                return
            async with client.stream(**request) as events:
                answer = _Answer(response)
                async for event in events:
                    for each in answer.add(event):
                        yield each


class _Answer:
    """Converts an answer, and records in the response of `llm` what is not text."""

    def __init__(self, response: llm.Response | llm.AsyncResponse) -> None:
        # At the first answer, which has loaded it: `llm` imports this file at each start.
        from replicate_stream._response.completion import CompletionBuilder

        self._response = response
        self._builder = CompletionBuilder()

    def add(self, event: CoreEvent) -> Iterator[StreamEvent]:
        self._builder.add(event)
        if isinstance(event, TextDelta):
            yield StreamEvent("text", event.text)
        elif isinstance(event, ReasoningDelta):
            yield StreamEvent("reasoning", event.text)
        elif isinstance(event, Finished):
            self._record(self._builder.build())

    def add_whole(self, completion: Completion) -> Iterator[StreamEvent]:
        if completion.reasoning:
            yield StreamEvent("reasoning", completion.reasoning)
        yield StreamEvent("text", completion.text)
        self._record(completion)

    def _record(self, completion: Completion) -> None:
        from replicate_stream._cli.answer import summarize

        for call in completion.tool_calls:
            # `llm` itself has this key for text that is not a JSON object.
            found = {"_raw": text} if isinstance(text := call.arguments, str) else dict(text)
            self._response.add_tool_call(llm.ToolCall(call.name, found, call.id))
        usage = completion.usage
        if usage is not None:
            self._response.set_usage(input=usage.input_tokens, output=usage.output_tokens)
        prediction = summarize(completion.prediction)
        self._response.response_json = {"finish_reason": completion.finish_reason, **prediction}


def _to_messages(messages: Iterable[llm.Message]) -> list[Message]:
    return [converted for each in messages for converted in _to_core(each)]


def _to_core(message: Any) -> Iterator[Message]:
    """Convert a message. Each result of a tool becomes one; reasoning is not sent again."""
    content: list[dict[str, Any]] = []
    calls = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            yield Message("tool", part.output, name=part.name, tool_call_id=part.tool_call_id)
        elif isinstance(part, ToolCallPart):
            calls.append(ToolCall(part.tool_call_id or "", part.name, part.arguments))
        elif isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, AttachmentPart) and part.attachment is not None:
            content.append(_to_file(part.attachment))
    if content or calls:
        yield Message(message.role, content, tool_calls=tuple(calls))


def _to_file(attachment: Any) -> dict[str, Any]:
    """Convert an attachment. Its media type decides whether it is an image."""
    file: dict[str, Any] = {"type": "file", "mime_type": attachment.resolve_type()}
    if attachment.content:
        return {**file, "data": attachment.content}
    if attachment.path:
        return {**file, "path": Path(attachment.path)}
    return {**file, "url": attachment.url}


def _to_tool(tool: llm.Tool | llm.ServerSideTool) -> ToolSpec:
    return ToolSpec(tool.name, tool.description or "", tool.input_schema)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Inside the command `llm`, print warnings of this library and end on errors, in a line each.

    `llm chat` catches no error of a model. Programs that use the classes get errors and warnings
    as they are, and so does who sets `LLM_RAISE_ERRORS`, `llm`'s switch for tracebacks.
    """
    if not _is_in_command():
        yield
        return
    show = warnings.showwarning

    def print_warning(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, ParameterWarning | _ModelListWarning):
            click.echo(f"Warning: {_to_line(message)}", err=True)
        else:  # that of a tool, or of another plugin
            show(message, category, *place)

    warnings.showwarning = print_warning  # type: ignore[assignment]  # by position
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        if os.environ.get("LLM_RAISE_ERRORS"):
            raise
        raise click.ClickException(_to_line(error) or type(error).__name__) from error
    finally:
        warnings.showwarning = show


def _is_in_command() -> bool:
    context = click.get_current_context(silent=True)
    module = sys.modules.get("llm.cli")
    if context is None or module is None:
        return False
    return context.find_root().command is module.cli


def _to_line(text: object) -> str:
    return " ".join(str(text).split())


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register the models that were named; `llm` calls this."""
    try:
        names = _read_names()
    except _ModelListError as error:
        # An error would be one of every command, also for models that are not of Replicate.
        names = [Replicate.default_model]
        text = f"{error.message} Until then llm has one model of Replicate, {_PREFIX}{names[0]}."
        with _in_one_line():
            warnings.warn(text, _ModelListWarning, stacklevel=1)
    for name in names:
        register(ReplicateModel(name), AsyncReplicateModel(name))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the commands `llm replicate …`; `llm` calls this."""
    cli.add_command(_commands)


@click.group("replicate")
def _commands() -> None:
    """Choose the models of Replicate that llm knows."""


@_commands.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def add(names: tuple[str, ...]) -> None:
    """Add models by their names.

    A name is OWNER/NAME, OWNER/NAME:VERSION, or deployments/OWNER/NAME.
    """
    with _in_one_line():
        given = [_parse_name(name) for name in names]
        added = _add_names(given)
    if added:
        click.echo(f"Added {_list(added)}.")
    else:
        click.echo(f"Nothing to add: llm has {_list(given)} already.")


@_commands.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def remove(names: tuple[str, ...]) -> None:
    """Remove models."""
    with _in_one_line(), _lock():
        known = _read_names()
        given = [name if name in known else name.removeprefix(_PREFIX) for name in names]
        for name in given:
            if name not in known:
                raise click.ClickException(_explain_unknown(name, known))
        _write_names([name for name in known if name not in given])
    click.echo(f"Removed {_list(given)}.")


@_commands.command()
def fetch_models() -> None:
    """Add all models of Replicate's collection of language models."""
    from replicate_stream.adapters import run_blocking

    with _in_one_line():
        client = Client(ReplicateModel(Replicate.default_model).get_key())

        async def fetch() -> list[str]:
            return [each.name async for each in client.models()]

        names = run_blocking(fetch)
        added = _add_names(names)
    click.echo(f"Added {len(added)} of {len(names)} models; llm had the others already.")


def _parse_name(name: str) -> str:
    """Parse the name of a model, also in the form that `llm` shows.

    Raises:
        InvalidInputError: It has none of the known forms.
    """
    from replicate_stream._api.models import parse_model

    if name.startswith(_PREFIX):
        rest = name.removeprefix(_PREFIX)
        try:
            parse_model(rest)
        except InvalidInputError:  # Replicate has an account `replicate`
            pass
        else:
            return rest.strip()
    parse_model(name)
    return name.strip()


def _explain_unknown(name: str, known: Sequence[str]) -> str:
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {_PREFIX}{close[0]}?" if close else "see `llm models -q replicate`."
    return f"There is no {_PREFIX}{name} to remove; {hint}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"{_PREFIX}{name}" for name in dict.fromkeys(names))


def _add_names(names: Iterable[str]) -> list[str]:
    """Add names to the file, and return those that are new."""
    with _lock():
        known = _read_names()
        new = [name for name in dict.fromkeys(names) if name not in known]
        if new:
            _write_names([*known, *new])
    return new


def _read_names() -> list[str]:
    """Read the names of the models; at first there is the client's default model.

    Raises:
        _ModelListError: The file cannot be read, or holds something else.
    """
    file = _find_file()
    try:
        names = parse_strict_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [Replicate.default_model]
    except OSError as error:
        raise _ModelListError(f"{file} cannot be read ({error.strerror}).") from error
    except ValueError:  # also bytes that are no text
        names = None
    if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
        raise _ModelListError(
            f"{file} is damaged: it must be a JSON list of names of models. Correct it, or delete "
            "it and add your models again with `llm replicate add`."
        )
    return names


def _write_names(names: Iterable[str]) -> None:
    """Write the file as a whole or not at all, whatever happens. The caller holds the lock."""
    file = _find_file().resolve()  # it can be a link into a folder of settings
    draft = file.with_name(f"{file.name}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(f"{json.dumps(list(names), indent=2)}\n")
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _lock() -> Iterator[None]:
    """Let one process at a time change the file; the system unlocks it if the process dies."""
    # A file of its own, because the other is replaced.
    with _find_file().with_suffix(".lock").open("a") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_file() -> Path:
    return Path(llm.user_dir(), _FILE)  # type: ignore[no-untyped-call]

"""Plugin for the command line `llm` (llm.datasette.io): models of Replicate as `replicate/…`.

`llm` finds a model in a list that its plugins build at every start. Requests would delay every
command then, so models are named once, by `llm replicate add` or `fetch-models`, in a file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import llm
from llm.parts import AttachmentPart, StreamEvent, TextPart, ToolCallPart, ToolResultPart
from pydantic import ConfigDict, Field, create_model, field_validator

from replicate_stream import (
    Client,
    Completion,
    Finished,
    InvalidInputError,
    Message,
    ReasoningDelta,
    Replicate,
    ReplicateError,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from replicate_stream._types.media import TYPES_BY_SUFFIX
from replicate_stream._types.parameters import PARAMETERS

if TYPE_CHECKING:
    from replicate_stream import StreamEvent as CoreEvent

__all__ = ["AsyncReplicateModel", "ReplicateModel"]

_PREFIX = "replicate/"
_FILE = "replicate-models.json"
_KEY_NAME, _KEY_VARIABLE = "replicate", "REPLICATE_API_TOKEN"
# `llm` has `--system`; the model's own inputs are options under their own names.
_NOT_OPTIONS = {"system_prompt", "extra_input"}


class _OpenOptions(llm.Options):
    model_config = ConfigDict(extra="allow")

    @field_validator("stop", mode="before", check_fields=False)
    @classmethod
    def read_list(cls, value: object) -> object:
        """Read a JSON list: the value of an option on the command line is one text."""
        if isinstance(value, str) and value.startswith("["):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value


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
            "extra_input": await self._parse_inputs(client, options.model_extra or {}),
        }

    async def _parse_inputs(
        self, client: Client, inputs: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Parse the model's own inputs, which are texts on the command line."""
        # The commands' modules are imported by those who have such inputs.
        from replicate_stream._cli.answer import parse_inputs

        texts = {name: value for name, value in inputs.items() if isinstance(value, str)}
        parsed = await parse_inputs(client, self._model, texts) if texts else {}
        return {**inputs, **parsed} or None


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

    async def execute(
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


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register the models that were named; `llm` calls this."""
    for name in _read_names():
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
    from replicate_stream._api.models import parse_model

    try:
        for name in names:
            parse_model(name)
    except InvalidInputError as error:
        raise click.ClickException(str(error)) from error
    _write_names([*_read_names(), *names])


@_commands.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def remove(names: tuple[str, ...]) -> None:
    """Remove models."""
    known = _read_names()
    for name in names:
        if name not in known:
            raise click.ClickException(f"{name} is not one of {', '.join(known)}")
    _write_names([name for name in known if name not in names])


@_commands.command()
def fetch_models() -> None:
    """Add all models of Replicate's collection of language models."""
    from replicate_stream.adapters import run_blocking

    client = Client(llm.get_key(alias=_KEY_NAME, env=_KEY_VARIABLE))

    async def fetch() -> list[str]:
        return [each.name async for each in client.models()]

    try:
        names = run_blocking(fetch)
    except ReplicateError as error:
        raise click.ClickException(str(error)) from error
    _write_names([*_read_names(), *names])


def _read_names() -> list[str]:
    """Read the names of the models; at first there is the client's default model."""
    file = _find_file()
    if not file.exists():
        return [Replicate.default_model]
    names: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return names


def _write_names(names: Iterable[str]) -> None:
    text = json.dumps(list(dict.fromkeys(names)), indent=2)
    _find_file().write_text(f"{text}\n", encoding="utf-8")


def _find_file() -> Path:
    return Path(llm.user_dir(), _FILE)  # type: ignore[no-untyped-call]

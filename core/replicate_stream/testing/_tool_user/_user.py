"""The model itself: reads its input, decides, and answers in the format that it was offered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from replicate_stream.testing._tool_user import _demands, _prose
from replicate_stream.testing._tool_user._conversation import Asked, Call, Result, Tool
from replicate_stream.testing._tool_user._dialects import DIALECTS
from replicate_stream.testing._tool_user._facts import Facts
from replicate_stream.testing._tool_user._plan import calls_of, fits, wanted_calls
from replicate_stream.testing._tool_user._reading import read_input
from replicate_stream.testing._tool_user._schemas import NATIVE_INPUT, NATIVE_OUTPUT
from replicate_stream.testing._tool_user._style import PLAIN, Style
from replicate_stream.testing._tool_user._talk import Talk
from replicate_stream.testing.server.replies import Reply, split

_BOUNDS = ("max_tokens", "max_new_tokens", "max_completion_tokens", "max_output_tokens")
_MOST_CALLS = 6  # of one tool, in answer to one request


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUser:
    """A model of the emulator that uses tools: it reads what it is sent, and answers that.

        emulator.reply = ToolUser()

    It finds the tools and the conversation in the text of the prompt by the marks that vendors
    document, and answers in the same format: Hermes and Qwen (`<tool_call>`), Llama 3.1, Mistral,
    Granite, DeepSeek, or natively, as OpenAI does. It calls a tool whose words are in the request,
    with arguments that fit its schema, several times where several things are named; tells what
    tools have given; answers in JSON where that is asked for. It says so if a mark of a chat format
    stands where none belongs. All of it is done by simple rules:
    no request is known to it, and the same input always gets the same answer.

    For a model that takes tools natively, give one these inputs:

        emulator.add_model("acme/caller", ToolUser.native_input,
                           output_schema=ToolUser.native_output, official=True)

    Attributes:
        prose_before: Says something before a call, or before JSON. Not where the prompt has begun
            the call.
        fenced: Puts a code fence around the JSON of calls and answers.
        python_literals: Writes that JSON as Python would: single quotes, `True`, `None`.
        truncated: Breaks off in the middle of the last call, or of JSON that it answers with.
        refuses_first: Answers in prose where a call or JSON is demanded, until it is asked again.
        never_calls: Calls nothing at all.
        thinks: Thinks first, between `<think>` and `</think>`.
        hallucinates_result: Goes on after its calls with results that it invents.
        streams_text: The model's output is text in any case: calls that are asked for natively are
            written as Hermes does, not as an object.
    """

    native_input: ClassVar[Mapping[str, Any]] = NATIVE_INPUT
    native_output: ClassVar[Mapping[str, Any]] = NATIVE_OUTPUT

    prose_before: bool = False
    fenced: bool = False
    python_literals: bool = False
    truncated: bool = False
    refuses_first: bool = False
    never_calls: bool = False
    thinks: bool = False
    hallucinates_result: bool = False
    streams_text: bool = False

    def __call__(self, input: Mapping[str, Any]) -> Reply:  # noqa: A002 - what Replicate calls it
        """Answer a prediction's input, with as many tokens as it allows at most."""
        reply = self._answer(input)
        most = next((input[name] for name in _BOUNDS if isinstance(input.get(name), int)), None)
        if most is None or not isinstance(reply.tokens, list):
            return reply
        return replace(reply, tokens=reply.tokens[: most + 1])  # the first one is empty

    def _answer(self, input_: Mapping[str, Any]) -> Reply:
        asked = read_input(input_)
        if asked.stray is not None:
            return Reply(split(f"I do not understand what {asked.stray} means where it stands."))
        talk = Talk.of(asked.turns)
        reluctant = self.never_calls or (self.refuses_first and not talk.is_asked_again)
        calls = [] if self.never_calls else self._calls(asked, talk)
        if calls and not (reluctant and (asked.must_call or asked.form)):
            return self._call(asked, talk, calls)
        text = self._say(asked, talk, is_willing=not (self.refuses_first and reluctant))
        dialect = DIALECTS.get(asked.dialect or "")
        text = dialect.say(text) if dialect is not None else text
        return Reply(split(f"{self._thoughts(talk)}{text}"))

    def _calls(self, asked: Asked, talk: Talk) -> list[Call]:
        """The calls that are wanted now; none to answer in words."""
        tools = _tools(asked)
        if not tools:
            return []
        facts = talk.facts()
        best = _best(tools, facts, [call.name for call in talk.called])
        if asked.named is not None:
            return calls_of(best, facts)[:1]
        wanted = wanted_calls(asked.tools, facts, best if asked.must_call else None)
        left = _left(wanted, talk)
        if not left and asked.must_call:
            left = calls_of(best, facts)
        return left[:1] if asked.is_single else left

    def _call(self, asked: Asked, talk: Talk, calls: Sequence[Call]) -> Reply:
        if asked.dialect == "native" and not self.streams_text:
            return self._native(calls)
        dialect = DIALECTS.get(asked.dialect or "", DIALECTS["hermes"])
        if asked.begun.strip():
            whole = dialect.write(calls, PLAIN)
            text = _rest(asked.begun, whole)
            text = whole if text is None else text
        else:
            text = dialect.write(calls, Style(self.fenced, self.python_literals))
        if self.truncated:
            return Reply(split(f"{self._before(talk, calls, asked)}{_cut(text)}"))
        if self.hallucinates_result:
            invented = [Result(f"The result is {len(call.name)}.", call.name) for call in calls]
            text += "".join(dialect.invent(each) for each in invented)
            text += _prose.of_results(invented)
        return Reply(split(f"{self._before(talk, calls, asked)}{text}"))

    def _before(self, talk: Talk, calls: Sequence[Call], asked: Asked) -> str:
        if asked.begun.strip():
            return ""
        said = _prose.before_call(calls[0].name) if self.prose_before else ""
        return f"{self._thoughts(talk)}{said}"

    def _thoughts(self, talk: Talk) -> str:
        return _prose.thoughts(talk.request) if self.thinks else ""

    def _native(self, calls: Sequence[Call]) -> Reply:
        style = Style(is_python=self.python_literals)
        listed = []
        for at, call in enumerate(calls):
            arguments = style.value(call.arguments)
            if self.truncated and at + 1 == len(calls):
                arguments = _cut(arguments)
            function = {"name": call.name, "arguments": arguments}
            unique = hashlib.sha256(f"{at}{call!r}".encode()).hexdigest()[:24]
            listed.append({"id": f"call_{unique}", "type": "function", "function": function})
        said = _prose.before_call(calls[0].name).strip() if self.prose_before else None
        return Reply(output={"role": "assistant", "content": said, "tool_calls": listed})

    def _say(self, asked: Asked, talk: Talk, *, is_willing: bool) -> str:
        if asked.form is not None and is_willing:
            value = _prose.of_form(asked.form, talk.facts())
            style = Style(self.fenced, self.python_literals)
            text = style.block(style.value(value))
            before = "Here is the JSON:\n\n" if self.prose_before else ""
            return before + (_cut(text) if self.truncated else text)
        if talk.results:
            return _prose.of_results(talk.results)
        return _prose.of_request(talk.request, talk.turns, talk.facts())


def _tools(asked: Asked) -> Sequence[Tool]:
    if asked.named is None:
        return asked.tools
    named = [tool for tool in asked.tools if tool.name == asked.named]
    return named or [Tool(asked.named)]


def _best(tools: Sequence[Tool], facts: Facts, called: Sequence[str]) -> Tool:
    """The tool that fits best, one that was not called yet if there is one."""
    ranked = [fit.tool for fit in fits(tools, facts)]
    return next((tool for tool in ranked if tool.name not in called), ranked[0])


def _left(wanted: Sequence[Call], talk: Talk) -> list[Call]:
    """The wanted calls that were not made yet."""
    left = list(wanted)
    for call in talk.called:
        same = [each for each in left if each == call]
        named = same or [each for each in left if each.name == call.name]
        if named:
            left.remove(named[0])
    last = talk.results[-1] if talk.results else None
    if not left and last is not None and _demands.is_complaint(last.text):
        again = [each for each in wanted if each.name == last.name]
        made = [call for call in talk.called if call.name == last.name]
        return again if len(made) < _MOST_CALLS else []
    return left


def _rest(begun: str, whole: str) -> str | None:
    """What is left of a call that the prompt has begun; None if it was begun in another way."""
    at = 0
    for sign in begun:
        if sign.isspace():
            continue
        while at < len(whole) and whole[at].isspace():
            at += 1
        if at == len(whole) or whole[at] != sign:
            return None
        at += 1
    return whole[at:].lstrip() if begun[-1:].isspace() else whole[at:]


def _cut(text: str) -> str:
    """A text that breaks off, late enough to have begun."""
    return text[: max(1, len(text) * 2 // 3)]

"""Independent reader of a model's input: turns, offered tools, calls and results.

It is written from the vendors' chat templates and shares no code with the client, so that tests
notice a mark that the client leaves out, misspells or puts in a wrong place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.prompt_offers import OFFERS, Tool, json_at, read_gemma, to_tool
else:  # `conftest.py` has loaded it, because the tests' folders are not packages
    from prompt_offers import OFFERS, Tool, json_at, read_gemma, to_tool

SPEAKERS = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "instruction"), "user"),
    **dict.fromkeys(("assistant", "model", "response", "chatbot", "ai"), "assistant"),
    **dict.fromkeys(("tool", "ipython", "tool_response", "observation"), "tool"),
    **dict.fromkeys(("available_tools", "tools"), "offer"),
    "tool_declare": "kimi",
}
HARMONY_HEADING = (
    r"<\|start\|>(?:functions\.)?(\w+)"
    r"(?:(?: to=[\w.]+)?(?:<\|channel\|>\w+)?(?: json)?<\|message\|>|\Z)"
)
# Chat formats whose turns have a heading: its pattern, with the speaker in a group, and the end.
HEADED = tuple(
    (re.compile(heading), re.compile(end))
    for heading, end in (
        (r"<\|im_start\|>(\w+)(?:\n|<\|im_sep\|>)", r"<\|im_end\|>\n?"),
        (r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n", r"<\|eo[tm]_id\|>"),
        (r"<\|header_start\|>(\w+)<\|header_end\|>\n\n", r"<\|eo[tm]\|>"),
        (r"<\|start_of_role\|>(\w+)<\|end_of_role\|>", r"<\|end_of_text\|>\n?"),
        (r"<start_of_turn>(\w+)\n", r"<end_of_turn>\n?"),
        (r"GPT4 Correct (\w+):[ ]?", r"<\|end_of_turn\|>"),
        (r"<\|(system|user|assistant|tool_response|observation)\|>\n?", r"(?:<\|end\|>|</s>)\n?"),
        (r"<\|im_(?:system|user|assistant)\|>(\w+)<\|im_middle\|>", r"<\|im_end\|>"),
        (r"\]~b\](\w+)\n", r"\[e~\[\n"),
        (r"<beginning_of_sentence>(\w+)[^\n]*\n", r"<end_of_sentence>\n"),
        (r"<SPECIAL_1[01]>(\w+)\n", r"\n<SPECIAL_12>\n\n|\n+\Z"),
        (HARMONY_HEADING, r"<\|(?:end|call)\|>"),
        (r"<\|START_OF_TURN_TOKEN\|><\|(\w+)_TOKEN\|>", r"<\|END_OF_TURN_TOKEN\|>"),
        (r"<\|turn>(\w+)\n", r"<turn\|>\n"),
    )
)
# Chat formats in which the mark before a text names its speaker.
MISTRAL = re.compile(
    r"(\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|</?s>|<<SYS>>|<</SYS>>)"
)
MISTRAL_SPEAKERS = {
    "[INST]": "user",
    "[/INST]": "assistant",
    "[SYSTEM_PROMPT]": "system",
    "<<SYS>>": "system",
    "<</SYS>>": "user",
    "[AVAILABLE_TOOLS]": "offer",
    "[TOOL_RESULTS]": "tool",
    "[/TOOL_RESULTS]": "assistant",
    "</s>": "assistant",  # a second message of the assistant has no mark before it
}


def deepseek_mark(words: str) -> str:
    """One of DeepSeek's marks, whose bars are U+FF5C and whose spaces are U+2581."""
    return f"<\uff5c{words.replace(' ', chr(0x2581))}\uff5c>"


CALLS = deepseek_mark("tool calls begin"), deepseek_mark("tool calls end")
CALL = deepseek_mark("tool call begin"), deepseek_mark("tool call end")
OUTPUT = deepseek_mark("tool output begin"), deepseek_mark("tool output end")
SEPARATOR = deepseek_mark("tool sep")
DEEPSEEK_SPEAKERS = {
    deepseek_mark("begin of sentence"): "system",
    deepseek_mark("User"): "user",
    deepseek_mark("Assistant"): "assistant",
    OUTPUT[0]: "tool",
    OUTPUT[1]: "assistant",
    # V3.2: its offer shows the same tags, but not behind this mark.
    deepseek_mark("end of sentence") + "\n\n<function_results>": "tool",
    "</function_results>\n\n</think>": "assistant",
}
DEEPSEEK = re.compile(
    f"({'|'.join([*DEEPSEEK_SPEAKERS, deepseek_mark('end of sentence')])})"
    # V3.1 closes a thought that it does not have, and R1 opens one; V3 has a frame around results.
    f"(?:</think>|<think>\n|{deepseek_mark('tool outputs begin')}"
    f"|{deepseek_mark('tool outputs end')})?"
)
LABEL = re.compile(
    r"(?:^|(?<=\n))(?:###[ ]*)?(System|User|Human|Assistant|Tool|Instruction|Response)[ ]?:[ \n]?"
    r"|(?:^|(?<=[ \n>]))(USER|ASSISTANT):[ ]?",
)
START = re.compile(
    r"^(?:<s>|<bos>|<\|begin_of_text\|>|\[gMASK\]<sop>|\]~!b\[|<begin_of_document>)+"
)
# Tags around a thought: an earlier answer has none, and the last one may only begin.
THOUGHT = re.compile(r"^\s*<?/?think>(?:\s*</think>)?\s*")
# A mark that no text of a turn can hold: where one does, the marks around it are wrong.
STRAY = re.compile(
    r"<\|/?[A-Za-z_]+\|>|<\|[a-z_]+>|<[a-z_]+\|>|<\uff5c[^\uff5c<>]+\uff5c>"
    r"|\[/?[A-Z_]{4,}\]|<</?SYS>>|</?s>"
)
WRITTEN_CALL = re.compile(
    r"<tool_call>(?P<hermes>.*?)</tool_call>"
    r"|<\|tool_call\|>(?P<granite>\s*\[.*)"
    r"|\[TOOL_CALLS\](?P<name>[\w-]+)(?:\[CALL_ID\]\w+)?\[ARGS\](?P<json>.*?)(?=\[TOOL_CALLS\]|\Z)"
    r"|\[TOOL_CALLS\](?P<mistral>.*)"
    r"|<TOOLCALL>(?P<nemotron>.*?)</TOOLCALL>|<tool_calls>\n(?P<lines>.*?)\n</tool_calls>"
    r"|<\|START_ACTION\|>(?P<cohere>.*?)<\|END_ACTION\|>|Action:\n```json\n(?P<action>.*?)```"
    r"|<\|tool_call>call:(?P<gemma_name>\w+)(?P<gemma>\{.*?\})<tool_call\|>"
    rf"|{CALL[0]}(?P<deepseek>.*?){CALL[1]}|{CALLS[0]}|{CALLS[1]}",
    re.DOTALL,
)
# Formats whose calls are not JSON: a call with the name and the arguments, and an argument.
TAGGED_CALLS = {
    "glm": (
        r"<tool_call>(\w+)\n?(.*?)</tool_call>",
        r"<arg_key>(.*?)</arg_key>\n?<arg_value>(.*?)</arg_value>\n?",
    ),
    "qwen-coder": (
        r"<tool_call>\n<function=(\w+)>\n(.*?)</function>\n</tool_call>",
        r"<parameter=(\w+)>\n(.*?)\n</parameter>\n",
    ),
    "dsml": (
        (
            r"(?:<\uff5cDSML\uff5cfunction_calls>\n)?<\uff5cDSML\uff5cinvoke name=\"(\w+)\">\n(.*?)"
            r"</\uff5cDSML\uff5cinvoke>\n(?:</\uff5cDSML\uff5cfunction_calls>)?"
        ),
        r'<\uff5cDSML\uff5cparameter name="(\w+)" string="\w+">(.*?)</\uff5cDSML\uff5cparameter>\n',
    ),
    "minimax": (
        (
            r'(?:<minimax:tool_call>\n)?<invoke name="(\w+)">\n(.*?)</invoke>\n'
            r"(?:</minimax:tool_call>)?"
        ),
        r'<parameter name="(\w+)">(.*?)</parameter>\n',
    ),
}
# Formats whose calls are a name and JSON between marks.
MARKED_CALLS = {
    "kimi": r"(?:<\|tool_calls_section_begin\|>)?<\|tool_call_begin\|>functions\.(\w+):\d+"
    r"<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>(?:<\|tool_calls_section_end\|>)?",
    "harmony": r"<\|start\|>assistant to=functions\.(\w+)<\|channel\|>commentary json<\|message\|>"
    r"(.*)",
}


GEMMA_RESULT = "<|tool_response>"
RESULTS = (
    *("<tool_response>", "<|START_TOOL_RESULT|>", "<results>"),
    *("<function_results>", "<TOOL_RESPONSE>", "tool result: "),
)
# What stands around an answer beside the marks of its turn.
ANSWER_MARKS = re.compile(
    r"<\|(?:START|END)_(?:RESPONSE|THINKING)\|>|<\|python_(?:start|end|tag)\|>"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: its text beside calls and results, the calls, and the results with names."""

    speaker: str
    text: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    results: Sequence[str] = ()


@dataclass(slots=True)
class Prompt:
    """The content of a model's input.

    Attributes:
        turns: The conversation, without the words about tools.
        tools: The offered tools.
        format: The format of the offer: `hermes`, `llama`, `mistral`, `granite`, `deepseek`,
            `phi`, `cohere`, `command-r`, `gemma`, `kimi`, a key of
            `prompt_offers.FRAMED_OFFERS`, or `native`; None without an offer.
        prefix: The beginning of the answer, which the prompt ends with.
        stray_mark: A mark of a chat format in a place where none belongs.
    """

    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    format: str | None = None
    prefix: str = ""
    stray_mark: str | None = None


def read_input(values: Mapping[str, Any]) -> Prompt:
    """Read a prediction's input."""
    prompt = Prompt()
    if values.get("tools"):
        prompt.format = "native"
        prompt.tools = [to_tool(value) for value in values["tools"]]
    if values.get("system_prompt"):
        _add_turn(prompt, "system", values["system_prompt"])
    if values.get("messages"):
        for message in values["messages"]:
            _add_message(prompt, message)
    else:
        turns, prompt.prefix = _split_prompt(values["prompt"])
        for speaker, text in turns:
            _add_turn(prompt, speaker, text)
    return prompt


# Turns


def _split_prompt(prompt: str) -> tuple[list[tuple[str, str]], str]:
    """The turns of a prompt as speaker and text, and the beginning of the answer."""
    for heading, end in HEADED:
        if heading.search(prompt):
            return _split_headed(prompt, heading, end)
    if "[INST]" in prompt:
        return _split_marked(MISTRAL.split(prompt), MISTRAL_SPEAKERS)
    if deepseek_mark("User") in prompt:
        return _split_marked(DEEPSEEK.split(prompt), DEEPSEEK_SPEAKERS)
    return _split_transcript(prompt) or ([("user", prompt)], "")


def _split_headed(
    prompt: str, heading: re.Pattern[str], end: re.Pattern[str]
) -> tuple[list[tuple[str, str]], str]:
    found = list(heading.finditer(prompt))
    turns = []
    head = START.sub("", prompt[: found[0].start()]).strip()
    if head:
        turns.append(("system", head))
    starts = [mark.start() for mark in found[1:]]
    for mark, stop in zip(found, [*starts, len(prompt)], strict=True):
        text = prompt[mark.end() : stop]
        closing = end.search(text)
        speaker = SPEAKERS.get(mark[1].lower())
        if mark[0].startswith("<|start|>functions.") or text.startswith("## Return of "):
            speaker = "tool"
        if " to=functions." in mark[0]:  # the tool of a call stands in the heading
            if stop == len(prompt):
                return turns, mark[0] + text
            text = mark[0] + text
            closing = end.search(text)
        if speaker is None:  # a heading of nobody is a stray mark in somebody's text
            speaker, text, closing = "user", mark[0] + text, None
        is_begun = stop == len(prompt) and closing is None
        if is_begun and GEMMA_RESULT in text:  # the answer goes on behind the results
            results, mark_end, begun = text.rpartition("<tool_response|>")
            return [*turns, (speaker, results + mark_end)], begun
        if is_begun and speaker == "assistant":
            return turns, text
        turns.append((speaker, text[: closing.start()] if closing else text))
        if closing and text[closing.end() :].strip():  # between two turns nothing belongs
            turns.append(("user", text[closing.end() :]))
    return turns, ""


def _split_marked(
    pieces: Sequence[str], speakers: Mapping[str, str]
) -> tuple[list[tuple[str, str]], str]:
    """Split by marks that name the speaker of the text after them, every other piece."""
    turns: list[tuple[str, str]] = []
    if pieces[0].strip():
        turns.append(("system", pieces[0].strip()))
    for mark, text in zip(pieces[1::2], pieces[2::2], strict=True):
        speaker = speakers.get(mark)
        if text.strip() and speaker is not None:
            turns.append((speaker, text.strip()))
        elif text.strip() and [turn[0] for turn in turns] == ["system"]:
            turns = [("system", turns[0][1] + mark + text)]  # the offer of V3 ends with this mark
        elif text.strip():  # text after a mark that ends a turn
            turns.append(("user", mark + text))
    is_begun = speakers.get(pieces[-2]) == "assistant" and bool(pieces[-1].strip())
    return (turns[:-1], pieces[-1]) if is_begun else (turns, "")


def _split_transcript(prompt: str) -> tuple[list[tuple[str, str]], str] | None:
    """The turns of a transcript; None unless it ends where the assistant is to answer."""
    found = list(LABEL.finditer(prompt))
    speakers = [SPEAKERS[(mark[1] or mark[2]).lower()] for mark in found]
    if not found or speakers[-1] != "assistant" or "user" not in speakers:
        return None
    turns = []
    head = START.sub("", prompt[: found[0].start()]).strip()
    if head:
        turns.append(("system", head))
    for at, (mark, speaker) in enumerate(zip(found[:-1], speakers, strict=False)):
        text = prompt[mark.end() : found[at + 1].start()]
        turns.append((speaker, text.removesuffix("\n\n").removesuffix("</s>").strip()))
    return turns, prompt[found[-1].end() :]


def _add_message(prompt: Prompt, message: Mapping[str, Any]) -> None:
    """Add a message as OpenAI's API has it."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    speaker = SPEAKERS[message["role"]]
    if prompt.format != "native":
        _add_turn(prompt, speaker, content)
    elif speaker == "tool":
        prompt.turns.append(Turn("tool", results=[content]))
    else:
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        calls = [(each["name"], _decode(each["arguments"])) for each in functions]
        prompt.turns.append(Turn(speaker, content, calls))


def _add_turn(prompt: Prompt, speaker: str, text: str) -> None:
    """Add a turn, with the tools, calls and results in it taken out of its text."""
    results: list[str] = []
    calls: list[tuple[str, Any]] = []
    if speaker == "kimi":
        prompt.format, prompt.tools = "kimi", [to_tool(value) for value in json.loads(text)]
        return
    if speaker == "offer":
        prompt.format = "granite" if text.startswith(("[\n", "\n")) else "mistral"
        values, end = json_at(text, 0) or ([], 0)
        prompt.tools += [to_tool(value) for value in values]
        if text[end:].strip():
            _add_turn(prompt, "user", text[end:])
        return
    if speaker == "assistant" and GEMMA_RESULT in text:  # calls, results and answer in one turn
        text, _, rest = text.partition(GEMMA_RESULT)
        framed, _, answer = (GEMMA_RESULT + rest).rpartition("<tool_response|>")
        _add_turn(prompt, "assistant", text)
        _add_turn(prompt, "tool", f"{framed}<tool_response|>")
        if answer:
            _add_turn(prompt, "assistant", answer)
        return
    if speaker == "tool" or text.lstrip().startswith(RESULTS):
        speaker, results, text = "tool", list(_read_results(text)), ""
    elif speaker == "assistant":
        text, calls = _read_calls(THOUGHT.sub("", text), prompt.format)
    else:
        text = _take_offer(prompt, text)
    for each in (text, *results):
        stray = STRAY.search(each)
        prompt.stray_mark = prompt.stray_mark or (stray[0] if stray else None)
    prompt.turns.append(Turn(speaker, text, calls, results))


# Offers


def _take_offer(prompt: Prompt, text: str) -> str:
    """Read the tools that a text offers; returns the text without the words about them."""
    for name, find in OFFERS.items():
        found = find(text)
        if found is not None:
            tools, start, end = found
            prompt.format, prompt.tools = name, prompt.tools + tools
            text = f"{text[:start].rstrip()}\n\n{text[end:].lstrip()}".strip()
    return text


# Calls and results


def _read_calls(text: str, offered_in: str | None) -> tuple[str, list[tuple[str, Any]]]:
    """A model's text without its calls, and the calls."""
    calls: list[tuple[str, Any]] = []

    def take(match: re.Match[str]) -> str:
        calls.extend(_read_call(match))
        return ""

    if offered_in in TAGGED_CALLS or offered_in in MARKED_CALLS:
        return _read_own_calls(text, offered_in)
    rest = ANSWER_MARKS.sub("", WRITTEN_CALL.sub(take, text))
    if offered_in == "llama":
        rest = _read_bare_calls(rest, calls)
    return rest.strip(), calls


def _read_call(match: re.Match[str]) -> list[tuple[str, Any]]:
    """The calls that stand in a match of `WRITTEN_CALL`."""
    if match["deepseek"] is not None:
        name, _, arguments = match["deepseek"].partition(SEPARATOR)
        if name == "function":  # V3 and R1, with the arguments in a code fence
            name, _, arguments = arguments.partition("\n")
            arguments = arguments.removeprefix("```json\n").removesuffix("\n```")
        return [(name, _decode(arguments))]
    if match["name"] is not None:
        return [(match["name"], _decode(match["json"]))]
    if match["gemma"] is not None:
        return [(match["gemma_name"], read_gemma(match["gemma"]))]
    if body := match["cohere"] or match["action"]:
        return [(each["tool_name"], each["parameters"]) for each in json.loads(body)]
    if body := match["lines"]:
        values = [json.loads(line) for line in body.splitlines()]
    elif body := next(filter(None, match.group("hermes", "granite", "mistral", "nemotron")), ""):
        found = json_at(body, 0)
        values = [body] if found is None else found[0]
        values = values if isinstance(values, list) else [values]
    else:  # a mark around all calls
        return []
    return [
        (each["name"], each["arguments"]) if isinstance(each, dict) else ("", each)
        for each in values
    ]


def _read_bare_calls(text: str, calls: list[tuple[str, Any]]) -> str:
    """Read calls that are JSON without marks; returns the text without them."""
    while (start := text.find('{"name"')) >= 0:
        found = json_at(text, start)
        if found is None:
            break
        calls.append((found[0]["name"], found[0]["parameters"]))
        text = text[:start] + text[found[1] :]
    return text


def _read_own_calls(text: str, offered_in: str) -> tuple[str, list[tuple[str, Any]]]:
    """The same in a format in which a call is not JSON as a whole."""
    call, argument = TAGGED_CALLS.get(offered_in) or (MARKED_CALLS[offered_in], "")
    calls = [
        (name, dict(re.findall(argument, body, re.DOTALL)) if argument else _decode(body))
        for name, body in re.findall(call, text, re.DOTALL)
    ]
    return re.sub(call, "", text, flags=re.DOTALL).strip(), calls


def _read_results(text: str) -> Iterator[str]:
    """The results of tools in a turn."""
    text = re.sub(r"^## Return of .*\n", "", text)
    text = re.sub(r"^\w{9}\[TOOL_CONTENT\] ?", "", text)
    text = re.sub(r"^tool result: (.*)\n\n$", r"\1", text)
    framed = re.findall(r"<tool_response>\n?(.*?)\n?</tool_response>", text, re.DOTALL)
    framed += re.findall(r"<result>(.*?)</result>", text, re.DOTALL)
    for each in re.findall(r"<TOOL_RESPONSE>\[(.*?)\]</TOOL_RESPONSE>", text, re.DOTALL):
        framed += each.split(", ")  # the format does not tell two results from one with a comma
    framed += re.findall(r"<response>(.*?)</response>", text, re.DOTALL)
    framed += re.findall(r"<results>\n(.*?)</results>", text, re.DOTALL)
    framed += re.findall(r'\{value:<\|"\|>(.*?)<\|"\|>\}<tool_response\|>', text, re.DOTALL)
    for each in re.findall(r"<\|START_TOOL_RESULT\|>(.*?)<\|END_TOOL_RESULT\|>", text, re.DOTALL):
        framed += [value["results"]["0"] for value in json.loads(each)]
    for each in framed or [text]:
        value = _decode(each)
        if isinstance(value, dict) and "content" in value:
            value = value["content"]
        yield value if isinstance(value, str) else each


def _decode(text: str) -> Any:
    """The value of a JSON text; a text that is not JSON stays."""
    found = json_at(text, 0)
    return found[0] if found and not text[found[1] :].strip() else text

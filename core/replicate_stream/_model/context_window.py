"""How many tokens models hold, by what they are called: figures of model cards and vendors' pages.

Sources: `max_position_embeddings` and the model card of the first model of each line on Hugging
Face; for models that are not open, the vendor's own table of models (platform.openai.com,
docs.anthropic.com, ai.google.dev, docs.x.ai). Replicate tells none of this, so a figure may be out
of date: a model's schema wins over the table, and a user's `context_window` or profile over both. A
line that is missing was not certain enough.
"""

from __future__ import annotations

import re

_TABLE: tuple[tuple[str, int, int | None], ...] = (
    # not open: pattern, window, longest answer
    (r"gpt-4\.1", 1_047_576, 32_768),
    (r"gpt-5-chat", 128_000, 16_384),
    (r"gpt-5", 400_000, 128_000),
    (r"gpt-4o|chatgpt-4o", 128_000, 16_384),
    (r"gpt-oss", 131_072, None),
    (r"\bo1-mini\b", 128_000, 65_536),
    (r"\bo[134](?:-mini|-pro)?\b", 200_000, 100_000),
    (r"claude-(?:3\.5|3-5)", 200_000, 8_192),
    (r"claude-(?:4-opus|opus-4\.1|4\.1-opus)", 200_000, 32_000),
    (r"claude-(?:3\.7|4-sonnet|4\.5|opus-4\.5)", 200_000, 64_000),
    (r"claude", 200_000, None),
    (r"gemini-2\.0", 1_048_576, 8_192),
    (r"gemini-(?:2\.5|3)", 1_048_576, 65_536),
    (r"grok-4", 256_000, None),
    (r"grok-3", 131_072, None),
    # fine-tunes that keep the name of what they were made from come after what they are
    (r"deepseek-r1|deepseek-v3|deepseek-(?:coder-)?v2", 131_072, None),
    (r"deepseek-coder", 16_384, None),
    (r"deepseek-(?:llm|math|67b)", 4_096, None),
    (r"openchat|starling", 8_192, None),
    (r"solar-10", 4_096, None),
    (r"smollm2", 8_192, None),
    (r"tinyllama", 2_048, None),
    (r"dbrx", 32_768, None),
    (r"mixtral-8x22b", 65_536, None),
    (r"mixtral", 32_768, None),
    (r"mistral-nemo|ministral|pixtral|mistral-large|mistral-small-3\.[12]", 131_072, None),
    (r"mistral-small|codestral", 32_768, None),
    (r"mistral-7b-(?:instruct-)?v0\.[23]", 32_768, None),
    (r"mistral-7b", 8_192, None),
    (r"command-?r", 131_072, None),
    (r"kimi-k2-thinking", 262_144, None),
    (r"kimi-k2|glm-4\.5", 131_072, None),
    (r"qwen-?3.*2507", 262_144, None),
    (r"qwq", 131_072, None),
    (r"qwen-?(?:3|2\.5|2|1\.5)", 32_768, None),
    (r"internlm2", 32_768, None),
    (r"granite-?3\.0", 4_096, None),
    (r"granite-?(?:3\.[1-9]|4)", 131_072, None),
    (r"granite-20b-code", 8_192, None),
    (r"\byi-\d+b", 4_096, None),
    (r"phi-?4-mini", 131_072, None),
    (r"phi-?4", 16_384, None),
    (r"phi-?2\b", 2_048, None),
    (r"gemma-?3-(?:1b|270m)", 32_768, None),
    (r"gemma-?3", 131_072, None),
    (r"gemma", 8_192, None),
    (r"code-?llama", 16_384, None),
    (r"llama-?3[._-][123]\b", 131_072, None),
    (r"llama-?3(?![.\d])", 8_192, None),
    (r"llama-?2(?![.\d])|vicuna.*v1\.5", 4_096, None),
    (r"snowflake-arctic", 4_096, None),
    (r"falcon-?3", 32_768, None),
    (r"falcon|dolly|gpt-j|vicuna|oasst|llama-?7b", 2_048, None),
    (r"flan-t5", 512, None),
)
# A size in a name is the window, unless it counts what a fine-tune was trained on.
_IN_NAME = re.compile(r"(?:^|[-_.])(4|8|16|32|64|128|200|256)k(?:$|[-_.])")


def window_of(name: str) -> tuple[int | None, int | None]:
    """The context window and the longest answer of a model, in tokens, as far as they are known.

    Args:
        name: The model's name without its owner, in lower case.
    """
    said = _IN_NAME.search(name)
    # Compiled as they are needed: all of them would take a third of what making a model does.
    found = next(
        ((window, most) for pattern, window, most in _TABLE if re.search(pattern, name)),
        (None, None),
    )
    if said is None:
        return found
    size = int(said.group(1))
    return size * 1000 if size == 200 else size * 1024, found[1]

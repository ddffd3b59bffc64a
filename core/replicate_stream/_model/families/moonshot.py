"""Moonshot's Kimi.

Source: `max_position_embeddings` of moonshotai/Kimi-K2-Instruct and moonshotai/Kimi-K2-Thinking,
config.json. The tags around the reasoning are those of moonshotai/Kimi-VL-A3B-Thinking.
"""

from replicate_stream._model.families.family import ContextWindow, Family

FAMILY = Family(
    windows=(ContextWindow(r"kimi-k2-thinking", 262_144), ContextWindow(r"kimi-k2", 131_072)),
    thinking_tags=(("\u25c1think\u25b7", "\u25c1/think\u25b7"),),
)

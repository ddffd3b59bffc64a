"""A model of the emulator that uses tools, made of rules; it shares no code with the client.

What it answers depends on what was really sent, so a mark that the client misspells is noticed.
"""

from __future__ import annotations

from replicate_stream.testing._tool_user._user import ToolUser

__all__ = ["ToolUser"]

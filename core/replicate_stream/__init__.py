"""Replicate's language models, streamed token by token."""

from replicate_stream._version import __version__

__all__ = ["__version__"]

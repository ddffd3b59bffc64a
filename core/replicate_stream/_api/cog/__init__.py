"""The dialect of a container of Cog: one model, no token, and streams in a form of their own."""

from replicate_stream._api.cog.api import CogApi

__all__ = ["CogApi"]

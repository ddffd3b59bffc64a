"""Replicate's language models in LangChain, streamed token by token."""

try:
    import langchain_core  # noqa: F401 - its absence is reported with the command to install it
except ImportError as _error:
    raise ImportError(
        "langchain_replicate_stream needs langchain-core: pip install 'replicate-stream[langchain]'"
    ) from _error

from langchain_replicate_stream.chat_model import ChatReplicate
from replicate_stream import __version__

__all__ = ["ChatReplicate", "__version__"]

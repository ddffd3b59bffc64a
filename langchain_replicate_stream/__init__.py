"""Replicate's language models in LangChain, streamed token by token, and embedding models."""

from typing import TYPE_CHECKING

try:
    import langchain_core  # noqa: F401 - its absence is reported with the command to install it
except ImportError as _error:
    raise ImportError(
        "langchain_replicate_stream needs langchain-core: pip install 'replicate-stream[langchain]'"
    ) from _error

from langchain_replicate_stream.chat_model import ChatReplicate
from replicate_stream import __version__
from replicate_stream.adapters import export as _export

if TYPE_CHECKING:
    from langchain_replicate_stream.embeddings import ReplicateEmbeddings
else:
    # Imported at first use: most programs embed nothing.
    __getattr__, __dir__ = _export(__name__, {"embeddings": ["ReplicateEmbeddings"]})

__all__ = ["ChatReplicate", "ReplicateEmbeddings", "__version__"]

"""Replicate's language models in LlamaIndex, streamed token by token, and embedding models."""

from typing import TYPE_CHECKING

try:
    import llama_index.core  # noqa: F401 - for an error that names the package to install
except ImportError as _error:
    raise ImportError(
        "llama_index_replicate_stream needs llama-index-core: "
        "pip install 'replicate-stream[llama-index]'"
    ) from _error

from llama_index_replicate_stream.llm import Replicate
from replicate_stream import __version__
from replicate_stream.adapters import export as _export

if TYPE_CHECKING:
    from llama_index_replicate_stream.embedding import ReplicateEmbedding
else:
    # Imported at first use: most programs embed nothing.
    __getattr__, __dir__ = _export(__name__, {"embedding": ["ReplicateEmbedding"]})

__all__ = ["Replicate", "ReplicateEmbedding", "__version__"]

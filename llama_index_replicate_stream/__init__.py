"""Replicate's language models in LlamaIndex, streamed token by token."""

try:
    import llama_index.core  # noqa: F401 - for an error that names the package to install
except ImportError as _error:
    raise ImportError(
        "llama_index_replicate_stream needs llama-index-core: "
        "pip install 'replicate-stream[llama-index]'"
    ) from _error

from llama_index_replicate_stream.llm import Replicate
from replicate_stream import __version__

__all__ = ["Replicate", "__version__"]

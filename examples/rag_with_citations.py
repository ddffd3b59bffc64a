"""Answers from the files of a folder, each statement with the number of its source (LlamaIndex).

Run it with `python rag_with_citations.py FOLDER QUESTION`, after
`pip install 'replicate-stream[llama-index]'`. Without arguments it asks the folder `handbook`
beside it. It reads text and Markdown; PDF and others need `pip install llama-index-readers-file`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.base.response.schema import AsyncStreamingResponse
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import CitationQueryEngine

from llama_index_replicate_stream import Replicate, ReplicateEmbedding

MODEL = os.environ.get("CHAT_MODEL", "meta/meta-llama-3-70b-instruct")
EMBEDDING_MODEL = os.environ.get("EMBEDDING_MODEL", "beautyyuyanli/multilingual-e5-large")
HANDBOOK = str(Path(__file__).with_name("handbook"))
QUESTION = "How hot is the water for green tea?"


async def make_engine(folder: str) -> CitationQueryEngine:
    """Read and embed the files of a folder; return what answers questions about them."""
    embed_model = ReplicateEmbedding(
        EMBEDDING_MODEL, query_instruction="query: ", text_instruction="passage: "
    )
    documents = await SimpleDirectoryReader(folder, recursive=True).aload_data()
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(chunk_size=512), embed_model])
    nodes = await pipeline.arun(documents=documents)
    return CitationQueryEngine.from_args(
        VectorStoreIndex(nodes, embed_model=embed_model),
        llm=Replicate(MODEL),
        similarity_top_k=3,
        citation_chunk_size=512,
        streaming=True,
    )


async def main(folder: str = HANDBOOK, question: str = QUESTION) -> None:
    """Print the answer as it comes, and its sources."""
    engine = await make_engine(folder)
    response = await engine.aquery(question)
    assert isinstance(response, AsyncStreamingResponse)  # because of `streaming=True`
    async for text in response.async_response_gen():
        print(text, end="", flush=True)
    print("\n")
    for number, source in enumerate(response.source_nodes, start=1):
        text = source.node.get_content().partition("\n")[2]  # the first line is "Source 1:"
        print(f"[{number}] {source.metadata['file_name']}: {' '.join(text.split())[:70]}…")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

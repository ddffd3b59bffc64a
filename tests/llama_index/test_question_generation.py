"""Questions about several tools at once, without OpenAI's question generator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.tools import QueryEngineTool

from llama_index_replicate_stream import Replicate
from replicate_stream.testing import Emulator


async def test_a_question_is_divided_by_the_models_own_text(
    make_llm: Callable[..., Replicate], replicate_emulator: Emulator, index: VectorStoreIndex
) -> None:
    llm = make_llm()
    engine: Any = index.as_query_engine(llm=llm, similarity_top_k=1)
    tools = [QueryEngineTool.from_defaults(engine, name="facts", description="Facts.")]
    generator = LLMQuestionGenerator.from_defaults(llm=llm)
    questions = [
        {"sub_question": "What is the capital of France?", "tool_name": "facts"},
        {"sub_question": "When do owls hunt?", "tool_name": "facts"},
    ]
    whole = SubQuestionQueryEngine.from_defaults(
        tools, llm=llm, question_gen=generator, use_async=False, verbose=False
    )
    replicate_emulator.enqueue(f"```json\n{json.dumps({'items': questions})}\n```")
    for answer in ("Paris.", "By night.", "Paris, and by night."):
        replicate_emulator.enqueue(answer)
    assert str(whole.query("Capital and owls?")) == "Paris, and by night."
    prompts = [str(each.input["prompt"]) for each in replicate_emulator.predictions.values()]
    assert len(prompts) == 4
    assert "The capital of France is Paris." in prompts[1]
    assert "Owls hunt by night" in prompts[2]

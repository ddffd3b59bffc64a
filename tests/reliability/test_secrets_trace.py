"""A marked token, a marked header and a marked prompt, in the sight of every observer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from replicate_stream.testing import Emulator
from tests.reliability import observers, prediction_observers
from tests.reliability.observers import KEY, PROMPT, TOKEN, Observe

PLACES: dict[str, Observe] = {
    "logs at DEBUG": observers.collect_logs,
    "reprs": observers.collect_reprs,
    "recordings of the emulator": observers.collect_recordings,
    "exceptions": partial(observers.collect_errors, with_frames=False),
    "pickles": observers.collect_pickles,
    "LangChain's serialized forms": observers.collect_langchain_forms,
    "LlamaIndex's serialized forms": observers.collect_llama_index_forms,
    "LangChain's callbacks": observers.collect_langchain_callbacks,
    "LangSmith": observers.collect_langsmith,
    "LlamaIndex's instrumentation": observers.collect_instrumentation,
    "redirects": observers.collect_redirects,
    "foreign URLs": observers.collect_foreign_urls,
    "the command line": observers.collect_command_line,
    "reports, spans and metrics": prediction_observers.collect_reports,
    "the journal of a batch": prediction_observers.collect_journal,
    "files of the command line's batch": prediction_observers.collect_batch_files,
    "errors of vectors, lists and resumed predictions": prediction_observers.collect_other_errors,
    "containers of Cog": prediction_observers.collect_cog,
    "the shared pool": prediction_observers.collect_pool,
}
# The variables of a frame hold the caller's own arguments, and so the prompt.
FRAMES: dict[str, Observe] = {
    "frames": partial(observers.collect_errors, with_frames=True),
    "frames of vectors, lists and resumed predictions": prediction_observers.collect_other_frames,
}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(["an ", "answer"], token=TOKEN) as emulator:
        yield emulator


@pytest.mark.parametrize("place", [*PLACES, *FRAMES])
async def test_no_observer_sees_a_secret_or_a_prompt(emulator: Emulator, place: str) -> None:
    """Traces are of another prompt: that they hold the messages is their purpose."""
    seen = "\n".join(await {**PLACES, **FRAMES}[place](emulator))
    # Parts too: a secret that is cut off is one still.
    marks = [TOKEN[:20], TOKEN[-20:], KEY[:16], KEY[-16:]]
    marks += [] if place in FRAMES else [PROMPT, PROMPT[:12]]
    assert [mark for mark in marks if mark in seen] == []

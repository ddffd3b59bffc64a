"""A batch on a cluster: workers and the driver are killed, and nothing is paid twice."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from replicate_stream import Client, InvalidInputError, Journal, ResponseError
from replicate_stream.testing import Emulator, Fault, RateLimit, Reply
from tests.reliability.conftest import RecordFigure, Size

distributed: Any = pytest.importorskip("distributed")
arrow: Any = pytest.importorskip("pyarrow")
parquet: Any = pytest.importorskip("pyarrow.parquet")

from replicate_stream.dask import batch  # noqa: E402 - needs the package above

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL"),
    pytest.mark.timeout(500),
    # Of Dask itself, when a worker is killed under it.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


PAGE = Path(__file__).parents[2] / "docs" / "batches.md"


def answer(values: Mapping[str, Any]) -> str:
    return f"The answer to {str(values['prompt']).split('?')[0].split()[-1]} is whole."


@pytest.fixture
def cluster(replicate_emulator: Emulator, size: Size) -> Iterator[Any]:
    """Worker processes, with the emulator's token in their environment."""
    import dask.config

    replicate_emulator.reply = answer
    replicate_emulator.behaviour.token_delay = 0.01
    locks = {"lease-timeout": "3s", "lease-validation-interval": "0.5s"}
    with (
        dask.config.set({"distributed.scheduler.locks": locks}),
        distributed.LocalCluster(
            n_workers=size.choose(2, 4), threads_per_worker=1, dashboard_address=":0"
        ) as workers,
    ):
        yield workers


def wait_for_predictions(emulator: Emulator, count: int) -> None:
    emulator.wait_for(lambda e: len(e.predictions) >= count, timeout=120)


def kill_a_worker(scheduler: Any, emulator: Emulator, after: int) -> None:
    """Kill a worker process once that many predictions were created."""
    processes = list(scheduler.run(os.getpid).values())
    wait_for_predictions(emulator, after)
    os.kill(random.Random(after).choice(processes), signal.SIGKILL)


# The scheduler's own, if the lease of the killed worker has not timed out before the end.
@pytest.mark.filterwarnings("ignore:Closing semaphore .* unreleased leases:RuntimeWarning")
@pytest.mark.parametrize("leases", [None, 2])
def test_a_killed_worker_costs_nothing(
    cluster: Any, replicate_emulator: Emulator, tmp_path: Path, leases: int | None
) -> None:
    questions = {f"k{number}": f"What is k{number}?" for number in range(80)}
    with distributed.Client(cluster) as scheduler, ThreadPoolExecutor() as threads:
        killing = threads.submit(kill_a_worker, scheduler, replicate_emulator, 30)
        results = list(
            batch(
                scheduler,
                replicate_emulator.model,
                questions.items(),
                journal=tmp_path,
                chunk_size=5,
                leases=leases,
            )
        )
        killing.result()
        assert Counter(result.key for result in results) == Counter(questions.keys())
        texts = {result.key: result.completion and result.completion.text for result in results}
        assert texts == {key: f"The answer to {key} is whole." for key in questions}
        assert len(replicate_emulator.predictions) == len(questions)
        # A second run, in other chunks, asks for nothing.
        before = len(replicate_emulator.requests)
        again = batch(
            scheduler, replicate_emulator.model, questions.items(), journal=tmp_path, chunk_size=7
        )
        assert {result.key for result in again} == questions.keys()
        assert len(replicate_emulator.requests) == before


def test_errors_that_concern_all_requests_are_raised_in_the_driver(
    cluster: Any, replicate_emulator: Emulator, tmp_path: Path
) -> None:
    with distributed.Client(cluster) as scheduler:
        settings: dict[str, Any] = {"journal": tmp_path, "chunk_size": 1}
        with pytest.raises(InvalidInputError, match="a key with messages"):
            list(batch(scheduler, replicate_emulator.model, ["no request"], **settings))
        replicate_emulator.fault(Fault("create", status=401), times=None)
        client = Client(base_url=replicate_emulator.base_url)
        with pytest.raises(ResponseError, match="401"):
            list(
                batch(scheduler, replicate_emulator.model, [("a", "?")], client=client, **settings)
            )
        replicate_emulator.clear_faults()
        replicate_emulator.fault(Fault("create", status=422), times=1)
        (result,) = batch(scheduler, replicate_emulator.model, [("b", "?")], **settings)
        assert isinstance(result.error, InvalidInputError)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"client": Client("r8_FAKE", budget={"tokens": 5})}, "client"),
        ({"journal": None}, "journal"),
        ({"journal": Journal("x")}, "journal"),
        *(({"chunk_size": number}, "chunk_size") for number in (0, -1, 2.5, "2", None)),
        *(({"leases": number}, "leases") for number in (0, -1, 2.5, "2")),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field) as caught:
        batch(None, Emulator.model, [("a", "?")], **{"journal": "x", **arguments})  # type: ignore[arg-type]  # not reached
    assert caught.value.fields == (field,)


def test_a_relative_journal_is_the_drivers(
    cluster: Any, replicate_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # after the workers have started elsewhere
    with distributed.Client(cluster) as scheduler:
        requests = [("a", "What is a?")]
        (result,) = batch(scheduler, replicate_emulator.model, requests, journal="journal")
    assert result.error is None
    assert len(list((tmp_path / "journal").iterdir())) == 1


DRIVER = """
import sys
import distributed
from replicate_stream.dask import batch

address, model, journal, count = sys.argv[1:]
questions = ((f"k{number}", f"What is k{number}?") for number in range(int(count)))
with distributed.Client(address) as cluster:
    for result in batch(cluster, model, questions, journal=journal, chunk_size=10):
        assert result.error is None, result.error
        print(result.key, flush=True)
"""


def test_a_killed_worker_and_a_killed_driver_cost_nothing(
    cluster: Any,
    replicate_emulator: Emulator,
    tmp_path: Path,
    size: Size,
    record_figure: RecordFigure,
) -> None:
    count = size.choose(100, 1_000)
    if size.is_full:
        replicate_emulator.behaviour.rate_limit = RateLimit(600, 60.0)
    command = [sys.executable, "-c", DRIVER, cluster.scheduler_address, replicate_emulator.model]
    command += [str(tmp_path), str(count)]
    with distributed.Client(cluster) as scheduler:
        driver = subprocess.Popen(command, stdout=subprocess.PIPE)
        kill_a_worker(scheduler, replicate_emulator, count // 4)
        wait_for_predictions(replicate_emulator, count // 2)
        driver.kill()
        driver.communicate()
    done = subprocess.run(command, capture_output=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr.decode()
    expected = Counter(f"k{number}" for number in range(count))
    assert Counter(done.stdout.decode().split()) == expected
    assert len(replicate_emulator.predictions) == count
    above = len(replicate_emulator.predictions) - count
    record_figure("cluster, worker and driver killed: creations above the lines", above)


def test_the_recipe_for_parquet_has_each_key_once_after_kills(
    cluster: Any, replicate_emulator: Emulator, tmp_path: Path, size: Size
) -> None:
    count, rows = size.choose((100, "20"), (1_000, "200"))
    (code,) = re.findall(r"```py\n(import itertools\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert code.count("10_000") == 1
    program, answers = tmp_path / "program.py", tmp_path / "answers"
    program.write_text(code.replace("10_000", rows))
    keys = [f"k{number}" for number in range(count)]
    questions = {"key": keys, "prompt": [f"What is {key}?" for key in keys]}
    parquet.write_table(arrow.table(questions), tmp_path / "questions.parquet")
    replicate_emulator.reply = lambda values: (
        Reply(error="E1001") if "k7?" in str(values["prompt"]) else answer(values)
    )
    run: dict[str, Any] = {
        "args": [sys.executable, str(program)],
        "cwd": tmp_path,
        "env": {**os.environ, "DASK_SCHEDULER_ADDRESS": cluster.scheduler_address},
    }
    with distributed.Client(cluster) as scheduler:
        driver = subprocess.Popen(**run)
        kill_a_worker(scheduler, replicate_emulator, count // 4)
        replicate_emulator.wait_for(lambda _: any(answers.glob("*.parquet")), timeout=120)
        driver.kill()
        driver.wait()
    (answers / "00009.parquet").write_bytes(b"PAR1")  # as if it were killed while it writes
    done = subprocess.run(**run, capture_output=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr.decode()
    assert len(list(answers.iterdir())) == 5
    results = parquet.read_table(answers).to_pylist()
    assert Counter(result["key"] for result in results) == Counter(keys)
    texts = {result["key"]: result["text"] for result in results}
    assert texts.pop("k7") is None
    assert texts == {key: f"The answer to {key} is whole." for key in keys if key != "k7"}
    (error,) = [result["error"] for result in results if result["error"] is not None]
    assert "E1001" in error
    assert len(replicate_emulator.predictions) == count

"""The pytest fixture `replicate_emulator`, registered by installing this package.

pytest imports this module at each start, so it imports the emulator only when it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from replicate_stream.testing import Emulator


@pytest.fixture
def replicate_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running `replicate_stream.testing.Emulator`, set as the service in the environment.

    `REPLICATE_BASE_URL` and `REPLICATE_API_TOKEN` are set for the test, and `REPLICATE_DIALECT` is
    not, so that code without an explicit address uses the emulator and never the real service.
    """
    # Late, because pytest imports this module even in a run without this fixture.
    from replicate_stream.testing import Emulator

    with Emulator() as emulator:
        monkeypatch.setenv("REPLICATE_BASE_URL", emulator.base_url)
        monkeypatch.delenv("REPLICATE_DIALECT", raising=False)
        monkeypatch.setenv("REPLICATE_API_TOKEN", emulator.token)
        yield emulator

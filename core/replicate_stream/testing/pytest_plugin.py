"""The fixture `replicate_emulator`, for every test of whoever has this package installed.

pytest imports this module at each start, so it imports nothing of the emulator before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from replicate_stream.testing import Emulator


@pytest.fixture
def replicate_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running `replicate_stream.testing.Emulator`, which the environment points to.

    `REPLICATE_BASE_URL` and `REPLICATE_API_TOKEN` are set for the test: code that is not given
    an address finds the emulator, and never the real service.
    """
    from replicate_stream.testing import Emulator

    with Emulator() as emulator:
        monkeypatch.setenv("REPLICATE_BASE_URL", emulator.base_url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", emulator.token)
        yield emulator
